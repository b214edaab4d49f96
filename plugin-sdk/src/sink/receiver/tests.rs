//! Deliveries to receivers in memory.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::sink::RowKind;

fn rows(count: usize) -> Vec<Row> {
    (0..count)
        .map(|number| Row {
            id: number.to_string(),
            kind: RowKind::Inference,
            inference_id: number.to_string(),
            time_unix_ms: 0,
            json: b"{}".to_vec(),
        })
        .collect()
}

fn response(status: u16, headers: &[(&str, &str)]) -> Result<Response, Error> {
    let headers = headers.iter().map(|(name, value)| Header::new(*name, *value)).collect();
    Ok(Response { status, headers, body: Vec::new() })
}

/// Delivers until the batch is settled; gives the outcome and how often it took.
fn settle(
    delivery: &mut Delivery,
    batch: &[Row],
    mut send: impl FnMut(&[Row]) -> Sent,
) -> (Outcome, usize) {
    for round in 1..10_000 {
        match delivery.deliver(batch, &mut send) {
            Outcome::Retry(_) => {}
            outcome => return (outcome, round),
        }
    }
    panic!("the batch never settles")
}

#[test]
fn answers_are_sorted_by_who_has_to_act() {
    let of = |status| Verdict::of(&response(status, &[]));
    for status in [200, 202, 204] {
        assert_eq!(of(status), Verdict::Taken, "{status}");
    }
    for status in [408, 425, 429, 500, 502, 503, 504, 599] {
        assert_eq!(of(status), Verdict::Later(None), "{status}");
    }
    for status in [301, 302, 308, 401, 403, 404, 405, 407, 410, 421] {
        assert!(matches!(of(status), Verdict::Misdirected(_)), "{status}");
    }
    assert_eq!(of(413), Verdict::TooLarge);
    for status in [400, 409, 411, 415, 422, 451] {
        assert_eq!(of(status), Verdict::Refused, "{status}");
    }
    for error in [Error::Timeout, Error::Connection(String::new()), Error::TooLarge] {
        assert_eq!(Verdict::of(&Err(error)), Verdict::Later(None));
    }
    for error in [
        Error::NotGranted(String::new()),
        Error::BlockedAddress(String::new()),
        Error::InvalidRequest(String::new()),
    ] {
        assert!(matches!(Verdict::of(&Err(error)), Verdict::Misdirected(_)));
    }
}

#[test]
fn pause_that_is_asked_for_is_kept_in_seconds_and_as_a_date() {
    let of = |value: &str| Verdict::of(&response(503, &[("Retry-After", value)]));
    assert_eq!(of(" 7 "), Verdict::Later(Some(7_000)));
    assert_eq!(of("86400"), Verdict::Later(Some(LONGEST_ASKED_MS)));
    assert_eq!(of("soon"), Verdict::Later(None));
    assert_eq!(of("Wed, 21 Oct 2015 07:28:00 GMT"), Verdict::Later(Some(0)), "it has passed");
    let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
    let Verdict::Later(Some(wait)) = of(&soon) else { panic!("{:?}", of(&soon)) };
    assert!((90_000..=100_000).contains(&wait), "{wait}");
    let mut delivery = Delivery::default();
    let asked = delivery.deliver(&rows(1), |_| Sent::Later(Some(1_234), String::new()));
    assert_eq!(asked, Outcome::Retry(1_234));
}

#[test]
fn batch_that_is_taken_is_sent_once() {
    let mut requests = 0;
    let outcome = Delivery::default().deliver(&rows(500), |piece| {
        requests += 1;
        assert_eq!(piece.len(), 500);
        Sent::Taken
    });
    assert_eq!((outcome, requests), (Outcome::Ack, 1));
    assert_eq!(Delivery::default().deliver(&[], |_| panic!("nothing to send")), Outcome::Ack);
}

#[test]
fn one_row_at_fault_is_found_in_few_requests_and_rejected_alone() {
    let mut requests = 0;
    let (outcome, _) = settle(&mut Delivery::default(), &rows(500), |piece| {
        requests += 1;
        if piece.iter().any(|row| row.id == "321") {
            return Sent::Refused("no such row".into());
        }
        Sent::Taken
    });
    let expected = Rejection { row: 321, reason: "no such row".into() };
    assert_eq!(outcome, Outcome::Reject(vec![expected]));
    assert!(requests <= 40, "{requests}");
}

#[test]
fn receiver_that_takes_little_at_once_is_not_asked_for_more_again() {
    let mut delivery = Delivery::default();
    let mut too_large = 0;
    for _ in 0..3 {
        let (outcome, _) = settle(&mut delivery, &rows(100), |piece| {
            if piece.len() > 30 {
                too_large += 1;
                return Sent::TooLarge("413".into());
            }
            Sent::Taken
        });
        assert_eq!(outcome, Outcome::Ack);
    }
    assert_eq!(too_large, 2, "100 and 50 rows, once");
}

#[test]
fn row_that_is_too_large_alone_is_rejected() {
    let outcome = Delivery::default().deliver(&rows(1), |_| Sent::TooLarge("413".into()));
    assert!(matches!(outcome, Outcome::Reject(rejected) if rejected[0].reason == "413"));
}

#[test]
fn rows_that_may_not_be_sent_again_are_all_rejected() {
    let outcome = Delivery::default().deliver(&rows(3), |_| Sent::Lost("partly".into()));
    assert!(matches!(outcome, Outcome::Reject(rejected) if rejected.len() == 3));
}

#[test]
fn outage_within_a_batch_goes_on_where_it_stopped() {
    let mut delivery = Delivery::default();
    let mut taken = Vec::new();
    let mut outages = 3;
    let (outcome, rounds) = settle(&mut delivery, &rows(64), |piece| {
        if piece.len() > 8 {
            return Sent::TooLarge(String::new());
        }
        if taken.len() >= 24 && outages > 0 {
            outages -= 1;
            return Sent::Later(None, "away".into());
        }
        taken.extend(piece.iter().map(|row| row.id.clone()));
        Sent::Taken
    });
    assert_eq!((outcome, rounds), (Outcome::Ack, 4));
    let expected: Vec<String> = rows(64).into_iter().map(|row| row.id).collect();
    assert_eq!(taken, expected, "in order, each once");
}

#[test]
fn progress_of_one_batch_is_not_taken_for_another_ones() {
    let mut delivery = Delivery::default();
    let first = delivery.deliver(&rows(2), |piece| {
        if piece.len() > 1 { Sent::Refused("x".into()) } else { Sent::Later(None, "y".into()) }
    });
    assert!(matches!(first, Outcome::Retry(_)));
    let other = rows(5).split_off(2);
    let mut seen = 0;
    assert_eq!(
        delivery.deliver(&other, |piece| {
            seen += piece.len();
            Sent::Taken
        }),
        Outcome::Ack
    );
    assert_eq!(seen, 3);
}

#[test]
fn pauses_grow_while_the_receiver_is_away_and_start_anew_afterwards() {
    let mut delivery = Delivery::default();
    let mut pause = || match delivery.deliver(&rows(1), |_| Sent::Later(None, "away".into())) {
        Outcome::Retry(pause) => pause,
        outcome => panic!("{outcome:?}"),
    };
    let pauses: Vec<u32> = (0..12).map(|_| pause()).collect();
    assert!((250..=500).contains(&pauses[0]), "{pauses:?}");
    assert!((4_000..=8_000).contains(&pauses[4]), "{pauses:?}");
    assert!((15_000..=LONGEST_PAUSE_MS).contains(&pauses[11]), "{pauses:?}");
    assert_eq!(delivery.deliver(&rows(1), |_| Sent::Taken), Outcome::Ack);
    let outcome = delivery.deliver(&rows(1), |_| Sent::Later(None, "away".into()));
    assert!(matches!(outcome, Outcome::Retry(pause) if pause <= FIRST_PAUSE_MS));
}

#[test]
fn words_of_a_receiver_are_one_bounded_line() {
    assert_eq!(words(" a\nb\u{7}c "), "a b c");
    assert_eq!(words(&"é".repeat(1_000)).chars().count(), MOST_WORDS);
}

proptest! {
    /// Whatever rows are at fault, however many go at once and whenever it is away: every row
    /// is taken once or rejected once, in order.
    #[test]
    fn every_row_is_settled_exactly_once(
        count in 1_usize..200,
        bad in proptest::collection::btree_set(0_usize..200, 0..20),
        most in 1_usize..250,
        away in proptest::collection::vec(any::<bool>(), 0..40),
    ) {
        let batch = rows(count);
        let mut away = away.into_iter();
        let mut taken = Vec::new();
        let (outcome, _) = settle(&mut Delivery::default(), &batch, |piece| {
            if away.next() == Some(true) {
                return Sent::Later(Some(0), String::new());
            }
            if piece.len() > most {
                return Sent::TooLarge("many".into());
            }
            if piece.iter().any(|row| bad.contains(&row.id.parse().unwrap())) {
                return Sent::Refused("bad".into());
            }
            taken.extend(piece.iter().map(|row| row.id.parse::<usize>().unwrap()));
            Sent::Taken
        });
        let rejected: Vec<usize> = match outcome {
            Outcome::Reject(rejected) => rejected.iter().map(|it| it.row as usize).collect(),
            _ => Vec::new(),
        };
        let expected: Vec<usize> = bad.into_iter().filter(|row| *row < count).collect();
        prop_assert_eq!(&rejected, &expected);
        let good: Vec<usize> = (0..count).filter(|row| !expected.contains(row)).collect();
        prop_assert_eq!(taken, good);
    }
}
