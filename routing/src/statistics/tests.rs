#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// A virtual clock.
#[derive(Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn at(self, seconds: f64) -> Instant {
        self.0 + Duration::from_secs_f64(seconds)
    }
}

fn fresh() -> (Clock, Arc<Statistics>) {
    let now = Instant::now();
    (Clock(now), Arc::new(Statistics::new(now)))
}

fn worked() -> Ending {
    Ending { output_tokens: 50, ..Ending::default() }
}

fn ended_with(kind: CallErrorKind) -> Ending {
    Ending { error: Some(kind), ..Ending::default() }
}

/// Times are seconds.
fn stream(statistics: &Arc<Statistics>, clock: Clock, start: f64, ttft: f64, total: f64) {
    let mut call = statistics.start(clock.at(start));
    call.first_token(clock.at(start + ttft));
    call.finished(&worked(), clock.at(start + total));
}

fn fail(statistics: &Arc<Statistics>, clock: Clock, at: f64, kind: CallErrorKind) {
    statistics.start(clock.at(at)).finished(&ended_with(kind), clock.at(at));
}

fn near(left: f64, right: f64) -> bool {
    (left - right).abs() <= 0.05 * right
}

#[test]
fn an_endpoint_without_calls_reads_as_zero() {
    let (clock, statistics) = fresh();
    assert_eq!(statistics.read(clock.at(9.0)), Reading::default());
    assert_eq!(statistics.summary(Window::ThirtyMinutes, clock.at(9.0)), Summary::default());
    assert_eq!(statistics.uptime(Window::FiveMinutes, clock.at(9.0)), None);
    assert_eq!(statistics.uptime_of_a_day(clock.at(9.0)), None);
}

#[test]
fn figures_follow_the_streamed_calls() {
    let (clock, statistics) = fresh();
    for call in 1..=100 {
        stream(&statistics, clock, 10.0, f64::from(call) / 1e3, f64::from(call) / 1e3 + 1.0);
    }
    let reading = statistics.read(clock.at(12.0));
    assert_eq!((reading.samples, reading.in_flight), (100, 0));
    assert!(near(reading.ttft_p50_ms, 50.0), "{reading:?}");
    assert!(near(reading.ttft_p90_ms, 90.0), "{reading:?}");
    assert!(near(reading.ttft_p95_ms, 95.0), "{reading:?}");
    assert!(near(reading.ttft_p99_ms, 99.0), "{reading:?}");
    assert!(reading.ttft_fast_ms > 40.0 && reading.ttft_fast_ms < 60.0, "{reading:?}");
    assert!(near(reading.total_slow_ms, 1_050.0), "{reading:?}");
    assert!(near(reading.throughput, 50.0), "{reading:?}");
    assert!(near(reading.output_tokens, 50.0), "{reading:?}");
    assert!(reading.error_rate.abs() < 1e-12);
    let summary = statistics.summary(Window::FiveMinutes, clock.at(12.0));
    assert_eq!((summary.succeeded, summary.failed), (100, 0));
    assert!(near(summary.total_ms.p75, 1_075.0), "{summary:?}");
    assert!(near(summary.throughput.p50, 50.0), "{summary:?}");
}

#[test]
fn the_first_answers_show_up_at_once_and_the_old_ones_disappear() {
    let (clock, statistics) = fresh();
    stream(&statistics, clock, 0.0, 0.1, 0.2);
    assert!(near(statistics.read(clock.at(0.2)).ttft_p50_ms, 100.0));
    assert!(near(statistics.read(clock.at(299.0)).ttft_p50_ms, 100.0));
    let later = statistics.read(clock.at(301.0));
    assert!(later.ttft_p50_ms.abs() < 1e-12, "{later:?}");
    assert!(near(later.ttft_slow_ms, 100.0), "averages stay until something else is known");
}

#[test]
fn a_request_is_outstanding_until_its_first_token() {
    let (clock, statistics) = fresh();
    let mut first = statistics.start(clock.at(1.0));
    let second = statistics.start(clock.at(3.0));
    let age = |at| statistics.read(clock.at(at)).oldest_outstanding;
    assert_eq!(age(4.0), Duration::from_secs(3));
    first.first_token(clock.at(4.0));
    assert_eq!(age(4.0), Duration::from_secs(1));
    assert_eq!(statistics.read(clock.at(4.0)).in_flight, 2);
    drop(second);
    assert_eq!(age(4.0), Duration::ZERO);
    assert_eq!(statistics.read(clock.at(4.0)).in_flight, 1);
    first.finished(&worked(), clock.at(5.0));
    assert_eq!(statistics.read(clock.at(5.0)).in_flight, 0);
}

#[test]
fn an_abandoned_request_says_nothing() {
    let (clock, statistics) = fresh();
    drop(statistics.start(clock.at(1.0)));
    assert_eq!(statistics.read(clock.at(9.0)), Reading::default());
}

#[test]
fn only_the_first_token_counts_as_first() {
    let (clock, statistics) = fresh();
    let mut call = statistics.start(clock.at(0.0));
    call.first_token(clock.at(0.1));
    call.first_token(clock.at(5.0));
    call.finished(&worked(), clock.at(6.0));
    assert!(near(statistics.read(clock.at(6.0)).ttft_slow_ms, 100.0));
    assert_eq!(statistics.summary(Window::FiveMinutes, clock.at(6.0)).ttft_ms.count, 1);
}

#[test]
fn a_timeout_raises_the_time_to_first_token_to_at_least_the_wait() {
    let (clock, statistics) = fresh();
    let timeout = ended_with(CallErrorKind::Timeout);
    statistics.start(clock.at(0.0)).finished(&timeout, clock.at(10.0));
    let reading = statistics.read(clock.at(11.0));
    assert!(near(reading.ttft_slow_ms, 10_000.0), "{reading:?}");
    assert!(near(reading.ttft_p50_ms, 10_000.0), "{reading:?}");
    statistics.start(clock.at(11.0)).finished(&timeout, clock.at(12.0));
    assert!(near(statistics.read(clock.at(13.0)).ttft_slow_ms, 10_000.0), "1 s says nothing new");
}

#[test]
fn a_timeout_after_the_first_token_says_nothing_about_it() {
    let (clock, statistics) = fresh();
    let mut call = statistics.start(clock.at(0.0));
    call.first_token(clock.at(0.2));
    call.finished(&ended_with(CallErrorKind::Timeout), clock.at(30.0));
    let reading = statistics.read(clock.at(31.0));
    assert!(near(reading.ttft_slow_ms, 200.0), "{reading:?}");
    assert!((reading.timeout_rate - 1.0).abs() < 1e-12);
    assert!(near(reading.error_rate_fast, 1.0), "a failure after all: {reading:?}");
}

#[test]
fn the_loser_of_a_hedge_is_slow_but_not_wrong() {
    let (clock, statistics) = fresh();
    stream(&statistics, clock, 0.0, 0.1, 0.2);
    let before = statistics.read(clock.at(1.0));
    statistics.start(clock.at(20.0)).lost(clock.at(23.0));
    let reading = statistics.read(clock.at(23.0));
    assert!(reading.ttft_fast_ms > 2_500.0, "{reading:?}");
    assert_eq!(reading.samples, before.samples);
    assert!(reading.error_rate.abs() < 1e-12);
    assert_eq!(reading.in_flight, 0);
}

#[test]
fn totals_of_whole_answers_stand_in_while_nothing_was_streamed() {
    let (clock, statistics) = fresh();
    statistics.start(clock.at(5.0)).finished(&worked(), clock.at(7.0));
    let reading = statistics.read(clock.at(8.0));
    assert!(near(reading.ttft_fast_ms, 2_000.0), "{reading:?}");
    assert!(near(reading.ttft_p95_ms, 2_000.0), "{reading:?}");
    assert!(near(reading.throughput, 25.0), "{reading:?}");
    stream(&statistics, clock, 8.0, 0.1, 1.1);
    let reading = statistics.read(clock.at(10.0));
    assert!(near(reading.ttft_fast_ms, 100.0), "{reading:?}");
    assert!(near(reading.ttft_p95_ms, 100.0), "{reading:?}");
    statistics.start(clock.at(10.0)).finished(&worked(), clock.at(19.0));
    assert!(near(statistics.read(clock.at(20.0)).ttft_fast_ms, 100.0), "no longer");
}

#[test]
fn a_whole_answer_corrects_a_time_to_first_token_that_is_too_long() {
    let (clock, statistics) = fresh();
    stream(&statistics, clock, 0.0, 9.0, 10.0);
    for call in 0..200 {
        let start = 20.0 + f64::from(call);
        statistics.start(clock.at(start)).finished(&worked(), clock.at(start + 0.5));
    }
    let reading = statistics.read(clock.at(221.0));
    assert!(reading.ttft_fast_ms <= 501.0, "{reading:?}");
}

#[test]
fn faults_are_errors_and_open_the_breaker() {
    for kind in [
        CallErrorKind::Server,
        CallErrorKind::Overloaded,
        CallErrorKind::Timeout,
        CallErrorKind::MalformedResponse,
        CallErrorKind::Authentication,
        CallErrorKind::Permission,
        CallErrorKind::NotFound,
    ] {
        let (clock, statistics) = fresh();
        for _ in 0..3 {
            fail(&statistics, clock, 1.0, kind);
        }
        let reading = statistics.read(clock.at(1.0));
        assert_eq!(reading.breaker, Breaker::Open, "{kind:?}");
        assert!((reading.error_rate - 1.0).abs() < 1e-12);
        assert_eq!(statistics.summary(Window::FiveMinutes, clock.at(1.0)).failed, 3);
    }
}

#[test]
fn the_clients_own_errors_count_for_nothing() {
    for kind in [
        CallErrorKind::InvalidRequest,
        CallErrorKind::Unsupported,
        CallErrorKind::ContextLength,
        CallErrorKind::ContentFilter,
    ] {
        let (clock, statistics) = fresh();
        for _ in 0..20 {
            fail(&statistics, clock, 1.0, kind);
        }
        assert_eq!(statistics.read(clock.at(2.0)), Reading::default(), "{kind:?}");
        assert_eq!(statistics.uptime(Window::FiveMinutes, clock.at(2.0)), None);
    }
}

#[test]
fn a_model_that_is_not_found_is_the_fault_of_who_named_it() {
    let (clock, configured) = fresh();
    let any_model = Arc::new(Statistics::of_any_model(clock.at(0.0)));
    for _ in 0..3 {
        fail(&configured, clock, 1.0, CallErrorKind::NotFound);
        fail(&any_model, clock, 1.0, CallErrorKind::NotFound);
    }
    assert_eq!(configured.read(clock.at(1.0)).breaker, Breaker::Open);
    assert_eq!(any_model.read(clock.at(1.0)), Reading::default());
    fail(&any_model, clock, 2.0, CallErrorKind::Server);
    assert!((any_model.read(clock.at(2.0)).error_rate - 1.0).abs() < 1e-12);
}

#[test]
fn the_clients_own_error_closes_a_half_open_breaker() {
    let (clock, statistics) = fresh();
    for _ in 0..3 {
        fail(&statistics, clock, 1.0, CallErrorKind::Server);
    }
    assert!(statistics.start_if_admitted(clock.at(2.9)).is_none());
    let probe = statistics.start_if_admitted(clock.at(3.0)).unwrap();
    assert!(statistics.start_if_admitted(clock.at(3.0)).is_none());
    assert_eq!(statistics.read(clock.at(3.0)).in_flight, 1, "who is not admitted does not run");
    probe.finished(&ended_with(CallErrorKind::InvalidRequest), clock.at(3.1));
    assert_eq!(statistics.read(clock.at(3.1)).breaker, Breaker::Closed);
}

#[test]
fn the_first_token_of_a_probe_closes_the_breaker() {
    let (clock, statistics) = fresh();
    for _ in 0..3 {
        fail(&statistics, clock, 1.0, CallErrorKind::Server);
    }
    let mut probe = statistics.start(clock.at(3.0));
    assert_eq!(statistics.read(clock.at(3.0)).breaker, Breaker::Open, "one at a time");
    probe.first_token(clock.at(3.2));
    assert_eq!(statistics.read(clock.at(3.2)).breaker, Breaker::Closed);
}

#[test]
fn streams_of_before_that_end_well_do_not_hide_that_new_calls_fail() {
    let (clock, statistics) = fresh();
    let mut streaming: Vec<InFlight> = (0..3).map(|_| statistics.start(clock.at(0.0))).collect();
    streaming.iter_mut().for_each(|call| call.first_token(clock.at(0.2)));
    for call in streaming {
        fail(&statistics, clock, 3.0, CallErrorKind::Server);
        call.finished(&worked(), clock.at(3.0));
    }
    let reading = statistics.read(clock.at(3.0));
    assert_eq!(reading.breaker, Breaker::Open);
    assert!(near(reading.error_rate, 0.5), "{reading:?}");
    assert_eq!(statistics.summary(Window::FiveMinutes, clock.at(3.0)).succeeded, 3);
}

#[test]
fn first_tokens_of_calls_from_before_do_not_hide_that_new_ones_fail() {
    let (clock, statistics) = fresh();
    let streaming: Vec<InFlight> = (0..3).map(|_| statistics.start(clock.at(2.9))).collect();
    for mut call in streaming {
        fail(&statistics, clock, 3.0, CallErrorKind::Server);
        call.first_token(clock.at(3.1));
    }
    assert_eq!(statistics.read(clock.at(3.1)).breaker, Breaker::Open);

    let (clock, statistics) = fresh();
    for at in [3.0, 3.1, 3.2] {
        fail(&statistics, clock, at, CallErrorKind::Server);
        stream(&statistics, clock, at + 0.01, 0.01, 0.02);
    }
    assert_eq!(statistics.read(clock.at(3.3)).breaker, Breaker::Closed, "these are new");
}

#[test]
fn every_other_call_failing_opens_the_breaker_though_never_three_in_a_row() {
    let (clock, statistics) = fresh();
    for call in 0..20 {
        let at = f64::from(call) / 10.0;
        if call % 2 == 0 {
            stream(&statistics, clock, at, 0.01, 0.02);
        } else {
            fail(&statistics, clock, at, CallErrorKind::Server);
        }
    }
    assert_eq!(statistics.read(clock.at(2.0)).breaker, Breaker::Open);
}

#[test]
fn rate_limits_teach_the_cap_and_leave_breaker_and_error_rate_alone() {
    let (clock, statistics) = fresh();
    let mut running: Vec<InFlight> = (0..20).map(|_| statistics.start(clock.at(1.0))).collect();
    let refusal = Ending {
        retry_after: Some(Duration::from_secs(4)),
        ..ended_with(CallErrorKind::RateLimited)
    };
    running.pop().unwrap().finished(&refusal, clock.at(1.0));
    for _ in 0..5 {
        running.pop().unwrap().finished(&ended_with(CallErrorKind::RateLimited), clock.at(2.0));
    }
    let reading = statistics.read(clock.at(2.0));
    assert_eq!(reading.learned_cap, 12, "85 % of the 15 that ran at the last refusal");
    assert_eq!(reading.back_off, Duration::from_secs(3));
    assert_eq!(reading.breaker, Breaker::Closed);
    assert!(reading.error_rate.abs() < 1e-12);
    assert!((reading.rate_limited_rate - 1.0).abs() < 1e-12);
    let summary = statistics.summary(Window::FiveMinutes, clock.at(2.0));
    assert_eq!((summary.rate_limited, summary.failed), (6, 0));
    for call in running {
        call.finished(&worked(), clock.at(3.0));
    }
    assert_eq!(statistics.read(clock.at(3.0)).learned_cap, 13);
}

#[test]
fn uptime_leaves_rate_limits_out_and_needs_ten_calls() {
    let (clock, statistics) = fresh();
    for call in 0..9 {
        let at = f64::from(call);
        stream(&statistics, clock, at, 0.1, 0.2);
        fail(&statistics, clock, at, CallErrorKind::RateLimited);
    }
    assert_eq!(statistics.uptime(Window::FiveMinutes, clock.at(9.0)), None);
    fail(&statistics, clock, 9.0, CallErrorKind::Server);
    assert_eq!(statistics.uptime(Window::FiveMinutes, clock.at(9.5)), Some(0.9));
    assert_eq!(statistics.uptime(Window::FiveMinutes, clock.at(600.0)), None);
    assert_eq!(statistics.uptime(Window::ThirtyMinutes, clock.at(600.0)), Some(0.9));
    assert_eq!(statistics.uptime_of_a_day(clock.at(80_000.0)), Some(0.9));
    assert_eq!(statistics.uptime_of_a_day(clock.at(90_000.0)), None);
}

#[test]
fn costs_and_tool_calls_are_kept() {
    let (clock, statistics) = fresh();
    let ending = Ending { cost_usd: 0.25, ..worked() };
    statistics.start(clock.at(0.0)).finished(&ending, clock.at(1.0));
    statistics.start(clock.at(0.0)).finished(&ending, clock.at(2.0));
    statistics.tool_calls(true, clock.at(1.0));
    statistics.tool_calls(false, clock.at(1.0));
    let summary = statistics.summary(Window::ThirtyMinutes, clock.at(3.0));
    assert!((summary.cost_usd - 0.5).abs() < 1e-12);
    assert!((statistics.read(clock.at(3.0)).tool_call_error_rate - 0.5).abs() < 1e-12);
}

#[test]
fn tool_calls_that_were_all_right_differ_from_none() {
    let (clock, statistics) = fresh();
    stream(&statistics, clock, 0.0, 0.1, 0.2);
    let never = statistics.read(clock.at(1.0));
    assert_eq!((never.samples, never.tool_calls), (1, 0));
    (0..2).for_each(|_| statistics.tool_calls(true, clock.at(1.0)));
    let perfect = statistics.read(clock.at(900.0));
    assert_eq!(perfect.tool_calls, 2);
    assert!(perfect.tool_call_error_rate.abs() < 1e-12);
}

#[test]
fn a_running_request_may_move_to_another_thread() {
    fn needs<T: Send + 'static>() {}
    needs::<InFlight>();
    needs::<Arc<Statistics>>();
}

#[test]
fn the_figures_of_an_endpoint_take_less_than_64_kib() {
    let own = size_of::<Statistics>();
    assert!(own <= 6 * 1_024, "{own}");
    assert!(own + window::MOST_ON_THE_HEAP <= 64 * 1_024, "{own}");
}

#[test]
fn threads_lose_no_call() {
    const THREADS: usize = 4;
    const CALLS: usize = 2_000;
    let (clock, statistics) = fresh();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let statistics = &statistics;
            scope.spawn(move || {
                for call in 0..CALLS {
                    match call % 4 {
                        0 | 1 => stream(statistics, clock, 1.0, 0.1, 0.2),
                        2 => fail(statistics, clock, 1.0, CallErrorKind::Server),
                        _ => fail(statistics, clock, 1.0, CallErrorKind::RateLimited),
                    }
                    assert!(statistics.read(clock.at(1.0)).in_flight as usize <= THREADS);
                }
            });
        }
    });
    let now = clock.at(2.0);
    let summary = statistics.summary(Window::FiveMinutes, now);
    let quarter = (THREADS * CALLS / 4) as u64;
    assert_eq!(summary.succeeded, 2 * quarter);
    assert_eq!(summary.failed, quarter);
    assert_eq!(summary.rate_limited, quarter);
    assert_eq!(summary.ttft_ms.count, 2 * quarter);
    assert_eq!(summary.throughput.count, 2 * quarter);
    let reading = statistics.read(now);
    assert_eq!(reading.samples, 4 * quarter);
    assert_eq!((reading.in_flight, reading.oldest_outstanding), (0, Duration::ZERO));
    assert_eq!(statistics.uptime_of_a_day(now), Some(2.0 / 3.0));
}

proptest! {
    #[test]
    fn nothing_runs_any_more_however_the_requests_ended(
        calls in prop::collection::vec((0_u8..6, any::<bool>(), 0.0..50.0_f64), 0..700),
        order in any::<u64>(),
    ) {
        let (clock, statistics) = fresh();
        let mut running: Vec<_> = calls
            .iter()
            .map(|(ending, streams, at)| (statistics.start(clock.at(*at)), *ending, *streams))
            .collect();
        prop_assert_eq!(statistics.read(clock.at(50.0)).in_flight as usize, running.len());
        let mut state = order;
        while !running.is_empty() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let which = usize::try_from(state >> 33).unwrap() % running.len();
            let (mut call, ending, streams) = running.swap_remove(which);
            let now = clock.at(60.0);
            if streams {
                call.first_token(now);
            }
            match ending {
                0 => call.finished(&worked(), now),
                1 => call.finished(&ended_with(CallErrorKind::Timeout), now),
                2 => call.finished(&ended_with(CallErrorKind::RateLimited), now),
                3 => call.finished(&ended_with(CallErrorKind::InvalidRequest), now),
                4 => call.lost(now),
                _ => drop(call),
            }
            prop_assert_eq!(statistics.read(now).in_flight as usize, running.len());
        }
        prop_assert_eq!(statistics.read(clock.at(70.0)).oldest_outstanding, Duration::ZERO);
    }
}

#[test]
fn whole_answers_are_no_evidence_against_first_tokens_once_anything_was_streamed() {
    let (clock, statistics) = fresh();
    let mut before = statistics.start(clock.at(0.0));
    before.expects_whole();
    assert_eq!(statistics.read(clock.at(9.0)).oldest_outstanding, Duration::from_secs(9));
    drop(before);
    stream(&statistics, clock, 9.0, 0.3, 1.0);
    let mut beside = statistics.start(clock.at(10.0));
    beside.expects_whole();
    let reading = statistics.read(clock.at(30.0));
    assert_eq!((reading.oldest_outstanding, reading.in_flight), (Duration::ZERO, 1));
}
