//! Recorded traffic: what rows make of it, and a simulated world that is told from its rows.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};
use torana_routing::policy::{Candidate, Facts, Outcome, Plan, Step};

use super::*;
use crate::fault::FaultKind;
use crate::fixture::{fault, scenario};
use crate::random::{Luck, Purpose};
use crate::router::{Router, RouterFailure};
use crate::scenario::LogNormal;
use crate::{Options, run};

const START: u64 = 1_767_225_600_000;

/// Each endpoint first in turn; what became of attempts is kept.
#[derive(Default)]
struct Recorder {
    next: usize,
    outcomes: Vec<Outcome>,
}

impl Router for Recorder {
    fn route(&mut self, _: &Facts, candidates: &[Candidate]) -> Result<Plan, RouterFailure> {
        self.next += 1;
        let (first, rest) = candidates.split_at(self.next % candidates.len());
        let step = |row: &Candidate| Step { endpoint: row.endpoint, ..Step::default() };
        Ok(Plan { steps: rest.iter().chain(first).map(step).collect(), scores: vec![] })
    }

    fn observe(&mut self, outcomes: &[Outcome]) -> Result<(), RouterFailure> {
        self.outcomes.extend_from_slice(outcomes);
        Ok(())
    }
}

/// Runs a scenario and gives the rows that a gateway would have written.
fn recorded(scenario: &Scenario, streams: bool) -> History {
    let mut recorder = Recorder::default();
    run(scenario, 7, &mut recorder, &Options::default()).unwrap();
    let endpoints: Vec<Value> = scenario.endpoints.iter().map(listed).collect();
    let mut history = History::new();
    for (number, arrival) in scenario.arrivals.iter().enumerate() {
        let mut row = inference(&format!("i-{number}"), arrival.at, "chat");
        row["usage"] = json!({ "input": arrival.input_tokens, "output": arrival.output_tokens });
        row["decision"]["models"][0]["policy"] = json!({
            "endpoints": endpoints,
            "facts": { "session": arrival.session, "now_unix_ms": 0 },
        });
        push(&mut history, "inference", &row);
    }
    for (number, outcome) in recorder.outcomes.iter().enumerate() {
        let ended = std::time::Duration::from_millis(outcome.now_unix_ms - START);
        let started = ended.saturating_sub(Duration::from_secs_f64(outcome.total_ms / 1e3));
        let endpoint = &scenario.endpoints[outcome.endpoint as usize].name;
        let mut row = attempt(&format!("a-{number}"), started, endpoint, outcome.total_ms);
        row["ttft_ms"] = json!((outcome.ttft_ms > 0.0 && streams).then_some(outcome.ttft_ms));
        row["usage"] = serde_json::to_value(outcome.usage).unwrap();
        if let Some(kind) = outcome.error {
            row["outcome"] = json!("error");
            row["error"] = json!({ "kind": kind, "code": "x", "message": "x" });
        }
        push(&mut history, "model_inference", &row);
    }
    history
}

fn listed(endpoint: &Endpoint) -> Value {
    json!({
        "name": endpoint.name, "provider": "p", "model": "m", "weight": endpoint.weight,
        "price_input": endpoint.price.input, "price_output": endpoint.price.output,
        "price_cached_input": endpoint.price.cached_input,
    })
}

fn unix_ms(at: Duration) -> u64 {
    START + u64::try_from(at.as_millis()).unwrap()
}

fn inference(id: &str, at: Duration, model: &str) -> Value {
    json!({
        "id": id, "time_unix_ms": unix_ms(at), "dialect": "openai-chat", "model": model,
        "endpoint": "a/m", "outcome": "ok", "stream": true, "attempts": 1,
        "usage": { "input": 100, "output": 10, "reasoning": 3 }, "request": { "any": [1] },
        "decision": {
            "plan": ["a/m", "b/m"], "order": "policy",
            "models": [{ "model": model, "router": "adaptive" }],
        },
    })
}

fn attempt(id: &str, at: Duration, endpoint: &str, total_ms: f64) -> Value {
    json!({
        "id": id, "inference_id": "i", "time_unix_ms": unix_ms(at), "endpoint": endpoint,
        "attempt": 1, "reason": "first", "outcome": "ok", "status": 200, "ttft_ms": null,
        "total_ms": total_ms, "usage": null, "error": null,
    })
}

fn push(history: &mut History, kind: &str, row: &Value) {
    history.push(kind, row.to_string().as_bytes());
}

fn near(found: f64, truth: f64, share: f64) -> bool {
    (found / truth - 1.0).abs() <= share
}

/// Ten minutes, ten requests a second, three endpoints that differ.
fn world() -> Scenario {
    let mut world = scenario(3, 6_000);
    for (number, arrival) in world.arrivals.iter_mut().enumerate() {
        arrival.at /= 2;
        let luck = Luck::new(3, number as u64, 0);
        let output = LogNormal { median: 120.0, sigma: 0.8 }.value(luck.normal(Purpose::Cut));
        arrival.output_tokens = output.ceil() as u64;
        arrival.session = number as u64 % 400;
    }
    for (number, endpoint) in world.endpoints.iter_mut().enumerate() {
        let more = 1.0 + number as f64;
        endpoint.ttft_ms = LogNormal { median: 300.0 * more, sigma: 0.2 * more };
        endpoint.tokens_per_s = 40.0 * more;
        endpoint.error_rate = 0.01 * more;
    }
    world
}

#[test]
fn a_simulated_world_is_told_from_its_own_rows() {
    let truth = world();
    let replay = recorded(&truth, true).scenario(None).unwrap();
    let found = &replay.scenario;
    assert_eq!(found.arrivals, truth.arrivals);
    assert_eq!(replay.start_unix_ms, START);
    assert_eq!(found.faults, []);
    assert_eq!(found.endpoints.len(), 3);
    for (found, truth) in found.endpoints.iter().zip(&truth.endpoints) {
        assert_eq!((&found.name, found.price), (&truth.name, truth.price));
        assert!(near(found.ttft_ms.median, truth.ttft_ms.median, 0.08), "{found:?}");
        assert!(near(found.ttft_ms.sigma, truth.ttft_ms.sigma, 0.15), "{found:?}");
        assert!(near(found.tokens_per_s, truth.tokens_per_s, 0.05), "{found:?}");
        assert!((found.error_rate - truth.error_rate).abs() < 0.01, "{found:?}");
        assert!(found.concurrency >= 8);
    }
}

#[test]
fn whole_answers_tell_first_token_and_speed_by_their_lengths() {
    let mut truth = world();
    for arrival in &mut truth.arrivals {
        arrival.session = 0;
    }
    let replay = recorded(&truth, false).scenario(None).unwrap();
    for (found, truth) in replay.scenario.endpoints.iter().zip(&truth.endpoints) {
        assert!(near(found.tokens_per_s, truth.tokens_per_s, 0.08), "{found:?}");
        assert!(near(found.ttft_ms.median, truth.ttft_ms.median, 0.15), "{found:?}");
        // The spread of the speed cannot be told from that of the first token.
        assert!(found.ttft_ms.sigma < truth.ttft_ms.sigma + 0.35, "{found:?}");
    }
    let told = |notice: &&Notice| matches!(notice, Notice::SpeedFromWholeAnswers { .. });
    assert_eq!(replay.notices.iter().filter(told).count(), 3);
    assert!(replay.notices.contains(&Notice::NoSessions));
}

#[test]
fn faults_are_found_where_they_were_and_leave_the_rest_alone() {
    let mut truth = world();
    truth.endpoints[0].error_rate = 0.0;
    truth.faults = vec![
        fault(0, 70, 165, FaultKind::Error),
        fault(1, 210, 300, FaultKind::Slow { factor: 6.0 }),
        fault(2, 390, 450, FaultKind::Hang { seconds: 20.0 }),
    ];
    // So that retries reach everybody while an endpoint is down.
    truth.limits.retry_share = 1.0;
    let found = recorded(&truth, true).scenario(None).unwrap().scenario;
    assert_eq!(found.faults.len(), 3, "{:?}", found.faults);
    for (found, truth) in found.faults.iter().zip(&truth.faults) {
        assert_eq!((found.endpoint, found.kind.name()), (truth.endpoint, truth.kind.name()));
        let apart = |one: Duration, other: Duration| one.abs_diff(other).as_secs_f64();
        assert!(apart(found.start, truth.start) < 2.0, "{found:?}");
        // With an open breaker, probes tell: one in 8 s.
        assert!(apart(found.end, truth.end) < 9.0, "{found:?}");
        assert!(found.intensity > 0.95, "{found:?}");
        match found.kind {
            FaultKind::Slow { factor } => assert!(near(factor, 6.0, 0.15), "{factor}"),
            FaultKind::Hang { seconds } => assert!(near(seconds, 20.0, 0.01), "{seconds}"),
            _ => {}
        }
    }
    for (found, truth) in found.endpoints.iter().zip(&truth.endpoints) {
        assert!(near(found.ttft_ms.median, truth.ttft_ms.median, 0.08), "{found:?}");
        assert!((found.error_rate - truth.error_rate).abs() < 0.01, "{found:?}");
    }
}

#[test]
fn refusals_tell_the_capacity_and_when_it_was_less() {
    let mut truth = world();
    for endpoint in &mut truth.endpoints {
        endpoint.tokens_per_s = 12.0;
        endpoint.error_rate = 0.0;
    }
    truth.endpoints[0].concurrency = 30;
    truth.endpoints[0].congestion_above = 1.0;
    truth.faults = vec![fault(0, 300, 360, FaultKind::RateLimit { share: 0.3 })];
    let found = recorded(&truth, true).scenario(None).unwrap().scenario;
    assert!(
        near(f64::from(found.endpoints[0].concurrency), 30.0, 0.05),
        "{:?}",
        found.endpoints[0]
    );
    let limited: Vec<_> = found.faults.iter().filter(|fault| fault.endpoint == 0).collect();
    assert!(!limited.is_empty());
    for fault in limited {
        assert!(matches!(fault.kind, FaultKind::RateLimit { share } if share < 0.75), "{fault:?}");
        assert!(fault.start >= Duration::from_secs(298), "{fault:?}");
        assert!(fault.end <= Duration::from_secs(362), "{fault:?}");
    }
}

#[test]
fn an_endpoint_that_nobody_asked_is_assumed_healthy_and_that_is_said() {
    let mut history = History::new();
    for number in 0..40u32 {
        let at = Duration::from_secs(3) * number;
        push(&mut history, "inference", &inference(&format!("i{number}"), at, "chat"));
        push(&mut history, "model_inference", &attempt(&format!("a{number}"), at, "a/m", 500.0));
        if number < 5 {
            push(&mut history, "model_inference", &attempt(&format!("b{number}"), at, "b/m", 90.0));
        }
    }
    let replay = history.scenario(None).unwrap();
    assert_eq!(replay.scenario.faults, []);
    let unwatched = |endpoint: &str| {
        replay.notices.iter().find_map(|notice| match notice {
            Notice::Unwatched { endpoint: of, windows, of: all, .. } if of == endpoint => {
                Some((*windows, *all))
            }
            _ => None,
        })
    };
    assert_eq!((unwatched("a/m"), unwatched("b/m")), (None, Some((3, 4))));
    for expected in [
        Notice::FewSamples { endpoint: "b/m".into(), attempts: 5 },
        Notice::UnknownPrice { endpoint: "a/m".into() },
        Notice::NoSessions,
    ] {
        assert!(replay.notices.contains(&expected), "{expected}");
    }
}

#[test]
fn of_several_models_one_has_to_be_chosen() {
    let mut history = History::new();
    for (number, model) in ["chat", "code", "code"].into_iter().enumerate() {
        push(&mut history, "inference", &inference(&number.to_string(), Duration::ZERO, model));
    }
    let error = history.arrivals(Some("poem")).unwrap_err().to_string();
    assert!(
        error.contains("`poem`") && error.contains("`code` (2 requests, 2 endpoints)"),
        "{error}"
    );
    assert_eq!(history.arrivals(Some("chat")).unwrap().len(), 1);
    let error = history.scenario(None).unwrap_err();
    assert!(matches!(&error, HistoryError::SeveralModels(known) if known[0].model == "code"));
}

#[test]
fn a_model_with_one_endpoint_has_arrivals_but_gives_no_scenario() {
    let mut history = History::new();
    let mut row = inference("1", Duration::ZERO, "chat");
    row["decision"]["plan"] = json!(["a/m"]);
    push(&mut history, "inference", &row);
    assert_eq!(history.arrivals(None).unwrap().len(), 1);
    assert!(matches!(history.scenario(None), Err(HistoryError::NoChoice(_))));
    assert!(matches!(History::new().scenario(None), Err(HistoryError::NoRequests(_))));
}

#[test]
fn endpoints_that_never_answered_are_not_made_up() {
    let mut history = History::new();
    push(&mut history, "inference", &inference("1", Duration::ZERO, "chat"));
    push(&mut history, "model_inference", &attempt("2", Duration::ZERO, "a/m", 500.0));
    let error = history.scenario(None).unwrap_err();
    assert!(
        matches!(&error, HistoryError::TooFewAnswered { answered, .. } if answered == &["a/m"])
    );
}

#[test]
fn a_request_without_an_answer_arrives_as_well() {
    let mut history = History::new();
    for (number, output) in [100, 300, 200].into_iter().enumerate() {
        let mut row = inference(&number.to_string(), Duration::from_secs(number as u64), "chat");
        row["usage"]["output"] = json!(output);
        push(&mut history, "inference", &row);
    }
    let mut failed = inference("x", Duration::from_secs(9), "chat");
    failed["outcome"] = json!("error");
    failed["usage"] = Value::Null;
    push(&mut history, "inference", &failed);
    let arrivals = history.arrivals(None).unwrap();
    let last = arrivals.last().unwrap();
    assert_eq!((last.at.as_secs(), last.input_tokens, last.output_tokens), (9, 100, 200));
}

#[test]
fn an_attempt_that_lost_a_race_of_streams_took_longer_than_it_was_waited_for() {
    let mut history = History::new();
    let mut race = inference("race", Duration::ZERO, "chat");
    race["attempts"] = json!(2);
    let mut whole = inference("whole", Duration::ZERO, "chat");
    (whole["attempts"], whole["stream"]) = (json!(2), json!(false));
    push(&mut history, "inference", &race);
    push(&mut history, "inference", &whole);
    let mut number = 0;
    for endpoint in ["a/m", "b/m"] {
        for ttft in [100.0, 110.0, 120.0] {
            number += 1;
            let mut row = attempt(&format!("x{number}"), Duration::ZERO, endpoint, ttft + 5.0);
            row["ttft_ms"] = json!(ttft);
            push(&mut history, "model_inference", &row);
        }
    }
    for (race, endpoint) in [("race", "a/m"), ("whole", "b/m")] {
        for lost in 0..2 {
            let id = format!("{endpoint}{lost}");
            let mut row = attempt(&id, Duration::ZERO, endpoint, 115.0);
            (row["inference_id"], row["outcome"]) = (json!(race), json!("lost"));
            push(&mut history, "model_inference", &row);
        }
    }
    let found = history.scenario(None).unwrap().scenario;
    let median = |endpoint: usize| found.endpoints[endpoint].ttft_ms.median;
    assert!((median(0) - 120.0).abs() < 1e-9, "{}", median(0));
    assert!((median(1) - 110.0).abs() < 1e-9, "{}", median(1));
}

#[test]
fn prices_and_weights_are_the_last_recorded_and_a_change_is_said() {
    let mut history = History::new();
    for (number, price) in [(1, 2.0), (2, 3.0), (0, 1.0)] {
        let at = Duration::from_secs(number);
        let mut row = inference(&number.to_string(), at, "chat");
        let endpoint = |name: &str, price: f64| {
            json!({ "name": name, "provider": "p", "model": "m", "weight": 2.0,
                    "price_input": price, "price_output": 4.0 })
        };
        row["decision"]["models"][0]["policy"] =
            json!({ "endpoints": [endpoint("b/m", price), endpoint("a/m", 5.0)] });
        push(&mut history, "inference", &row);
        for name in ["a/m", "b/m"] {
            let row = attempt(&format!("{name}{number}"), at, name, 50.0);
            push(&mut history, "model_inference", &row);
        }
    }
    let replay = history.scenario(None).unwrap();
    let found: Vec<_> = replay
        .scenario
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.name.as_str(), endpoint.price.input, endpoint.weight))
        .collect();
    assert_eq!(found, [("b/m", 3.0, 2.0), ("a/m", 5.0, 2.0)]);
    let changed = |name: &str| Notice::PriceChanged { endpoint: name.into() };
    assert!(replay.notices.contains(&changed("b/m")));
    assert!(!replay.notices.contains(&changed("a/m")));
}

#[test]
fn what_is_the_clients_fault_is_not_the_endpoints() {
    let mut history = History::new();
    push(&mut history, "inference", &inference("i", Duration::ZERO, "chat"));
    let kinds = ["context_length", "not_found", "server", "rate_limited", "of_a_later_version"];
    for name in ["a/m", "b/m"] {
        for number in 0..8 {
            let id = format!("{name}{number}");
            push(&mut history, "model_inference", &attempt(&id, Duration::ZERO, name, 5.0));
        }
    }
    for kind in kinds {
        let mut row = attempt(kind, Duration::ZERO, "a/m", 5.0);
        (row["outcome"], row["error"]) = (json!("error"), json!({ "kind": kind }));
        push(&mut history, "model_inference", &row);
    }
    let found = history.scenario(None).unwrap().scenario;
    // Of those that say whether it works: the server's error and the unknown one.
    assert!((found.endpoints[0].error_rate - 0.2).abs() < 1e-9, "{:?}", found.endpoints[0]);
    assert!(found.endpoints[1].error_rate.abs() < 1e-9);
}

#[test]
fn lines_of_the_sink_are_read_and_what_is_no_row_is_counted() {
    let line = |kind: &str, row: &Value| json!({ "id": "i", "kind": kind, "row": row }).to_string();
    let row = inference("1", Duration::ZERO, "chat");
    let mut unknown = inference("2", Duration::ZERO, "nobody-knows");
    (unknown["decision"], unknown["endpoint"]) = (Value::Null, Value::Null);
    let text = [
        line("inference", &row),
        line("inference", &row),
        line("inference", &unknown),
        line("model_inference", &attempt("3", Duration::ZERO, "a/m", 5.0)),
        line("model_inference", &attempt("4", Duration::ZERO, "a/m", -5.0)),
        line("feedback", &json!({ "metric": "x" })),
        "{ torn".to_owned(),
    ];
    let mut history = History::new();
    history.read_jsonl(text.join("\n").as_bytes()).unwrap();
    let expected = Counts {
        inferences: 1,
        attempts: 1,
        unrouted: 1,
        twice: 1,
        other_kinds: 1,
        unreadable: 2,
        beyond: 0,
    };
    assert_eq!(history.counts(), expected);
}

/// Values that a key of a row might have, likely and unlikely ones.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0.0..90_000_000.0).prop_map(Value::from),
        (0u64..300_000).prop_map(|after| Value::from(START + after)),
        prop::sample::select(vec!["a/m", "b/m", "ok", "error", "lost", "cancelled", "x"])
            .prop_map(Value::from),
        prop::sample::select(vec!["rate_limited", "server", "timeout", "new"])
            .prop_map(|kind| json!({ "kind": kind })),
        (any::<u64>(), any::<u64>()).prop_map(|(output, cached)| {
            json!({ "input": cached / 2, "output": output, "cached_input": cached })
        }),
    ]
}

fn row() -> impl Strategy<Value = (bool, Vec<(usize, Value)>)> {
    (any::<bool>(), prop::collection::vec((0usize..12, value()), 0..4))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_rows_hold_nothing_panics_and_every_row_is_counted(
        rows in prop::collection::vec(row(), 0..40)
    ) {
        let mut history = History::new();
        for (number, (is_attempt, changes)) in rows.iter().enumerate() {
            let at = Duration::from_millis(number as u64 * 700);
            let endpoint = if number % 3 == 0 { "a/m" } else { "b/m" };
            let mut row = match is_attempt {
                true => attempt(&number.to_string(), at, endpoint, 100.0),
                false => inference(&number.to_string(), at, "chat"),
            };
            let keys: Vec<String> = row.as_object().unwrap().keys().cloned().collect();
            for (key, value) in changes {
                row[&keys[key % keys.len()]] = value.clone();
            }
            push(&mut history, if *is_attempt { "model_inference" } else { "inference" }, &row);
        }
        let counts = history.counts();
        let all = counts.inferences + counts.attempts + counts.unrouted + counts.twice
            + counts.other_kinds + counts.unreadable + counts.beyond;
        prop_assert_eq!(all, rows.len() as u64);
        if let Ok(replay) = history.scenario(None) {
            for endpoint in &replay.scenario.endpoints {
                prop_assert!(endpoint.ttft_ms.median > 0.0 && endpoint.ttft_ms.median.is_finite());
                prop_assert!((0.0..=5.0).contains(&endpoint.ttft_ms.sigma));
                prop_assert!((0.0..=1.0).contains(&endpoint.error_rate));
                prop_assert!(endpoint.tokens_per_s > 0.0 && endpoint.concurrency > 0);
            }
            for fault in &replay.scenario.faults {
                prop_assert!(fault.start < fault.end);
                prop_assert!(fault.intensity > 0.0 && fault.intensity <= 1.0);
                prop_assert!(fault.endpoint < replay.scenario.endpoints.len());
            }
            for notice in &replay.notices {
                prop_assert!(!notice.to_string().is_empty());
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        kind in "inference|model_inference|feedback",
        bytes in prop::collection::vec(any::<u8>(), 0..200)
    ) {
        let mut history = History::new();
        history.push(&kind, &bytes);
        history.read_jsonl(bytes.as_slice()).unwrap();
        prop_assert_eq!(history.counts().inferences, 0);
    }
}
