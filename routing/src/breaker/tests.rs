#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn failed(ticket: Ticket, started_ms: u64, now_ms: u64) -> Failed {
    Failed { ticket, started_ms, now_ms, error_rate: 1.0, calls: 0.0 }
}

fn fail(breaker: &CircuitBreaker, now_ms: u64) {
    breaker.failed(&failed(Ticket::Ordinary, now_ms, now_ms));
}

/// Open since 1,000 ms.
fn open() -> CircuitBreaker {
    let breaker = CircuitBreaker::default();
    for _ in 0..3 {
        fail(&breaker, 1_000);
    }
    breaker
}

#[test]
fn three_failures_in_a_row_open_it() {
    let breaker = CircuitBreaker::default();
    fail(&breaker, 0);
    fail(&breaker, 0);
    breaker.succeeded(Ticket::Ordinary, 0, 0);
    fail(&breaker, 0);
    fail(&breaker, 0);
    assert_eq!(breaker.state(0), Breaker::Closed, "a success in between starts over");
    assert_eq!(breaker.admit(0), Some(Ticket::Ordinary));
    fail(&breaker, 0);
    assert_eq!(breaker.state(0), Breaker::Open);
    assert_eq!(breaker.admit(0), None);
}

#[test]
fn successes_of_requests_from_before_the_row_do_not_end_it() {
    let breaker = CircuitBreaker::default();
    fail(&breaker, 100);
    breaker.succeeded(Ticket::Ordinary, 99, 110);
    fail(&breaker, 120);
    breaker.succeeded(Ticket::Ordinary, 110, 130);
    fail(&breaker, 140);
    fail(&breaker, 150);
    breaker.succeeded(Ticket::Ordinary, 130, 160);
    assert_eq!(breaker.state(160), Breaker::Closed, "the one of 110 began within the row");
    fail(&breaker, 170);
    assert_eq!(breaker.state(170), Breaker::Open, "the one of 130 began before the next row");
}

#[test]
fn a_high_error_rate_opens_it_once_there_are_enough_calls() {
    let with = |error_rate, calls| {
        let breaker = CircuitBreaker::default();
        let failed = failed(Ticket::Ordinary, 0, 0);
        breaker.failed(&Failed { error_rate, calls, ..failed });
        breaker.state(0)
    };
    assert_eq!(with(0.5, 9.0), Breaker::Closed);
    assert_eq!(with(0.4, 10.0), Breaker::Closed);
    assert_eq!(with(0.41, 10.0), Breaker::Open);
}

#[test]
fn one_request_at_a_time_is_let_through_as_a_probe() {
    let breaker = open();
    assert_eq!(breaker.state(2_999), Breaker::Open);
    assert_eq!(breaker.state(3_000), Breaker::HalfOpen);
    assert_eq!(breaker.admit(3_000), Some(Ticket::Probe));
    assert_eq!(breaker.admit(3_000), None);
    assert_eq!(breaker.start(3_000), Ticket::Forced);
}

#[test]
fn a_probe_that_succeeds_closes_it() {
    let breaker = open();
    let probe = breaker.admit(3_000).unwrap();
    breaker.succeeded(probe, 3_000, 3_100);
    assert_eq!(breaker.state(3_100), Breaker::Closed);
    fail(&breaker, 3_100);
    fail(&breaker, 3_100);
    assert_eq!(breaker.state(3_100), Breaker::Closed, "it starts over");
}

#[test]
fn a_probe_that_fails_doubles_the_back_off_up_to_eight_seconds() {
    let breaker = open();
    let mut now = 3_000;
    for back_off in [4_000, 8_000, 8_000, 8_000] {
        let probe = breaker.admit(now).unwrap();
        breaker.failed(&failed(probe, now, now + 100));
        assert_eq!(breaker.state(now + back_off - 1), Breaker::Open);
        assert_eq!(breaker.state(now + back_off), Breaker::HalfOpen);
        now += back_off;
    }
}

#[test]
fn a_probe_that_hangs_keeps_the_next_away_for_one_back_off_only() {
    let breaker = open();
    let first = breaker.admit(3_000).unwrap();
    assert_eq!(breaker.state(4_999), Breaker::Open);
    let second = breaker.admit(5_000).unwrap();
    assert_eq!(second, Ticket::Probe);
    breaker.failed(&failed(first, 3_000, 6_000));
    assert_eq!(breaker.state(7_000), Breaker::HalfOpen, "the first probe is history");
    breaker.succeeded(second, 5_000, 7_000);
    breaker.failed(&failed(first, 3_000, 8_000));
    assert_eq!(breaker.state(8_000), Breaker::Closed);
}

#[test]
fn requests_from_before_it_opened_neither_close_it_nor_prolong_it() {
    let breaker = open();
    breaker.succeeded(Ticket::Ordinary, 900, 1_500);
    breaker.alive(Ticket::Ordinary, 1_500);
    fail(&breaker, 1_500);
    assert_eq!(breaker.state(1_500), Breaker::Open);
    assert_eq!(breaker.state(3_000), Breaker::HalfOpen);
}

#[test]
fn failures_from_before_it_closed_do_not_open_it_again() {
    let breaker = open();
    let probe = breaker.admit(3_000).unwrap();
    breaker.succeeded(probe, 3_000, 3_100);
    for _ in 0..10 {
        breaker.failed(&failed(Ticket::Ordinary, 900, 4_000));
    }
    assert_eq!(breaker.state(4_000), Breaker::Closed);
}

#[test]
fn a_forced_request_closes_it_when_it_works_and_changes_nothing_when_it_fails() {
    let breaker = open();
    let forced = breaker.start(1_500);
    breaker.failed(&failed(forced, 1_500, 1_600));
    assert_eq!(breaker.state(3_000), Breaker::HalfOpen);
    let forced = breaker.start(1_700);
    breaker.succeeded(forced, 1_700, 1_800);
    assert_eq!(breaker.state(1_800), Breaker::Closed);
}

#[test]
fn a_refused_probe_closes_it_and_a_refusal_while_closed_says_nothing() {
    let breaker = open();
    let probe = breaker.admit(3_000).unwrap();
    breaker.alive(probe, 3_100);
    assert_eq!(breaker.state(3_100), Breaker::Closed);
    for _ in 0..3 {
        breaker.alive(Ticket::Ordinary, 4_000);
        fail(&breaker, 4_000);
    }
    assert_eq!(breaker.state(4_000), Breaker::Open, "refusals do not interrupt a row");
}

#[test]
fn of_many_threads_one_gets_the_probe() {
    let breaker = open();
    for round in 1..200 {
        let now = 1_000 + round * 2_000;
        let probes = std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| scope.spawn(|| breaker.admit(now).is_some()));
            threads.into_iter().map(|one| one.join().unwrap()).filter(|&one| one).count()
        });
        assert_eq!(probes, 1);
    }
}

proptest! {
    #[test]
    fn there_is_never_more_than_one_probe_in_a_back_off(
        events in prop::collection::vec((0_u64..1_500, 0_u8..7, 0_usize..8), 1..400),
    ) {
        let breaker = CircuitBreaker::default();
        let mut now = 0;
        let mut running = Vec::new();
        let mut last_probe: Option<u64> = None;
        // Not once the breaker has closed since.
        let mut probing = None;
        let mut back_off = 2_000;
        for (pause, event, which) in events {
            now += pause;
            if event < 3 {
                let ticket = breaker.start(now);
                if ticket == Ticket::Probe {
                    if let Some(last) = last_probe {
                        prop_assert!(now - last >= back_off, "{} ms after the last", now - last);
                    }
                    last_probe = Some(now);
                    probing = last_probe;
                }
                running.push((ticket, now));
            } else if which < running.len() {
                let (ticket, started) = running.swap_remove(which);
                match event {
                    3 => breaker.succeeded(ticket, started, now),
                    4 => breaker.alive(ticket, now),
                    _ => breaker.failed(&failed(ticket, started, now)),
                }
                let open = breaker.state(now) != Breaker::Closed;
                if event > 4 && ticket == Ticket::Probe && probing == Some(started) {
                    back_off = (back_off * 2).min(8_000);
                }
                if !open {
                    back_off = 2_000;
                    probing = None;
                }
            }
        }
    }

    #[test]
    fn an_endpoint_is_back_within_ten_seconds_of_its_recovery(
        recovery in 0_u64..120_000,
        answer_takes in 1_u64..1_900,
        failure_takes in 1_u64..20_000,
    ) {
        let breaker = open();
        let mut probes: Vec<u64> = Vec::new();
        let deadline = 1_000 + recovery + 10_000;
        for now in 1_000..=deadline {
            probes.retain(|&started| {
                let works = started >= 1_000 + recovery;
                let ends = now == started + if works { answer_takes } else { failure_takes };
                match (ends, works) {
                    (false, _) => {}
                    (true, true) => breaker.succeeded(Ticket::Probe, started, now),
                    (true, false) => breaker.failed(&failed(Ticket::Probe, started, now)),
                }
                !ends
            });
            if breaker.admit(now) == Some(Ticket::Probe) {
                probes.push(now);
            }
        }
        prop_assert_eq!(breaker.state(deadline), Breaker::Closed);
    }

    #[test]
    fn the_word_holds_the_whole_state(since_ms in 0_u64..1 << 48, level: u8, failures: u8) {
        let state = State { since_ms, level, failures };
        prop_assert_eq!(State::unpack(state.pack()), state);
    }
}
