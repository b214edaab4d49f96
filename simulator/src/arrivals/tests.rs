use proptest::prelude::*;

use super::*;

fn generator() -> Generator {
    Generator {
        rate_per_s: 10.0,
        duration: Duration::from_secs(1_000),
        input_tokens: LogNormal { median: 700.0, sigma: 1.0 },
        output_tokens: LogNormal { median: 180.0, sigma: 0.7 },
        sessions: 0,
        bursts: None,
    }
}

#[test]
fn arrivals_come_at_their_rate_and_with_their_lengths() {
    let arrivals = generator().arrivals(1);
    assert!((9_600..10_400).contains(&arrivals.len()), "{}", arrivals.len());
    let mut input: Vec<u64> = arrivals.iter().map(|arrival| arrival.input_tokens).collect();
    input.sort_unstable();
    let median = input[input.len() / 2];
    assert!((650..750).contains(&median), "{median}");
    assert!(arrivals.iter().all(|arrival| arrival.session == 0));
}

#[test]
fn the_same_seed_gives_the_same_arrivals_and_another_gives_others() {
    assert_eq!(generator().arrivals(1), generator().arrivals(1));
    assert_ne!(generator().arrivals(1), generator().arrivals(2));
}

#[test]
fn bursts_bring_their_factor_and_the_expectation_knows() {
    let bursts =
        Bursts { every: Duration::from_secs(100), length: Duration::from_secs(10), factor: 5.0 };
    let bursty = Generator { bursts: Some(bursts), ..generator() };
    let arrivals = bursty.arrivals(3);
    let inside = |arrival: &&Arrival| arrival.at.as_secs() % 100 < 10;
    let inside = arrivals.iter().filter(inside).count();
    assert!((4_700..5_300).contains(&inside), "{inside}");
    assert!((8_700..9_300).contains(&(arrivals.len() - inside)));
    assert!((bursty.expected() - 14_000.0).abs() < 1e-6);
}

#[test]
fn sessions_are_as_many_as_asked_for_and_never_zero() {
    let arrivals = Generator { sessions: 7, ..generator() }.arrivals(1);
    let mut sessions: Vec<u64> = arrivals.iter().map(|arrival| arrival.session).collect();
    sessions.sort_unstable();
    sessions.dedup();
    assert_eq!(sessions, [1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn records_become_arrivals_in_order_from_zero_at_the_speed_asked_for() {
    let record = |at, output_tokens| Record {
        at: Duration::from_secs(at),
        input_tokens: 5,
        output_tokens,
        session: at,
    };
    let arrivals = from_records(vec![record(1_008, 9), record(1_000, 0), record(1_004, 9)], 4.0);
    let at: Vec<u64> = arrivals.iter().map(|arrival| arrival.at.as_secs()).collect();
    assert_eq!(at, [0, 1, 2]);
    assert_eq!((arrivals[0].output_tokens, arrivals[0].session), (1, 1_000));
    assert!(from_records(Vec::new(), 1.0).is_empty());
}

proptest! {
    #[test]
    fn whatever_is_generated_is_in_order_within_the_time_and_not_empty_of_tokens(
        seed in any::<u64>(),
        rate_per_s in 0.1..50.0f64,
        factor in 1.0..10.0f64,
        sigma in 0.0..5.0f64,
    ) {
        let bursts = Bursts { every: Duration::from_secs(7), length: Duration::from_secs(2), factor };
        let lengths = LogNormal { median: 100.0, sigma };
        let of = Generator {
            rate_per_s,
            duration: Duration::from_secs(30),
            input_tokens: lengths,
            output_tokens: lengths,
            sessions: 3,
            bursts: Some(bursts),
        };
        let arrivals = of.arrivals(seed);
        prop_assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
        for arrival in &arrivals {
            prop_assert!(arrival.at <= of.duration);
            prop_assert!((1..=1_000_000).contains(&arrival.input_tokens));
            prop_assert!((1..=1_000_000).contains(&arrival.output_tokens));
        }
    }
}
