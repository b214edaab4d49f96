//! The store against the oracle: random rows, random questions, equal answers.

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use torana_plugin_sdk::sink::{Comparison, Dimension, MetricFilter, UsageRow};

use super::oracle::Oracle;
use super::*;

const NAMES: [&str; 3] = ["a", "b", "B"];
const TEXTS: [&str; 6] =
    ["Hello, world", "ΟΔΟΣ und Straße", "naïve naive", "你好 x1", "a\"b OR c*", ""];

fn name() -> impl Strategy<Value = Option<String>> {
    proptest::option::weighted(0.8, proptest::sample::select(&NAMES).prop_map(str::to_owned))
}

fn text() -> impl Strategy<Value = String> {
    proptest::sample::select(&TEXTS).prop_map(str::to_owned)
}

fn figure() -> impl Strategy<Value = Option<f64>> {
    proptest::option::of((0_u32..40).prop_map(|it| f64::from(it) * 12.7))
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0_u64..20_000, 1 => 1_700_000_000_000_u64..1_700_000_003_000]
}

fn tags() -> impl Strategy<Value = Json> {
    proptest::collection::btree_map("[a-b\"']", "[xy%]", 0..3).prop_map(|tags| json!(tags))
}

prop_compose! {
    /// What inferences and attempts have in common.
    fn call()(
        names in proptest::collection::vec(name(), 5),
        outcome in proptest::sample::select(&["ok", "ok", "ok", "error", "cancelled", "lost"]),
        episode in 0_u32..4,
        (ttft_ms, total_ms, cost_usd) in (figure(), figure(), figure()),
        usage in proptest::option::of((0_u64..1_000, 0_u64..1_000, 0_u64..9)),
    ) -> Json {
        let usage = usage.map(|(input, output, other)| json!({
            "input": input, "output": output, "cached_input": other, "cache_write": other,
            "reasoning": other, "audio": 0
        }));
        json!({
            "key": names[0], "function": names[1], "variant": names[2], "model": names[3],
            "endpoint": names[4], "outcome": outcome, "episode_id": format!("e{episode}"),
            "ttft_ms": ttft_ms, "total_ms": total_ms, "cost_usd": cost_usd, "usage": usage
        })
    }
}

fn with(mut json: Json, more: Json) -> Json {
    let more = more.as_object().unwrap().clone();
    json.as_object_mut().unwrap().extend(more);
    json
}

prop_compose! {
    fn random_inference()(
        id in 0_u32..1_000, time in time(), call in call(), tags in tags(),
        dialect in name(), response in name(), said in proptest::collection::vec(text(), 3),
    ) -> Row {
        let id = format!("i{id:03}");
        let json = with(call, json!({
            "id": id, "tags": tags, "dialect": dialect, "response_id": response,
            "request": { "messages": [{ "content": said[0] }, { "content": [said[1]] }] },
            "response": if said[2].is_empty() { Json::Null } else { json!({ "text": said[2] }) }
        }));
        inference(&id, time, json)
    }
}

prop_compose! {
    fn random_attempt()(
        id in 0_u32..1_000, of in 0_u32..1_000, time in time(), call in call(),
    ) -> Row {
        let (id, of) = (format!("m{id:03}"), format!("i{of:03}"));
        let json = with(call, json!({ "id": id, "inference_id": of, "attempt": time }));
        row(RowKind::ModelInference, &id, &of, time, json)
    }
}

prop_compose! {
    fn random_feedback()(
        id in 0_u32..1_000, of in 0_u32..1_000, episode in 0_u32..4, on_episode: bool,
        time in time(), metric in "[pq]", names in proptest::collection::vec(name(), 3),
        value in prop_oneof![
            any::<bool>().prop_map(Json::from), (0..4).prop_map(Json::from),
            (0..4).prop_map(|it| json!(f64::from(it) / 3.0)), Just(json!("good")),
        ],
    ) -> Row {
        let (id, of, episode) = (format!("f{id:03}"), format!("i{of:03}"), format!("e{episode}"));
        let (target, typed) = if on_episode { ("episode", &episode) } else { ("inference", &of) };
        let inference_id = (!on_episode).then_some(&of);
        let json = json!({
            "id": id, "target": target, "inference_id": inference_id, "episode_id": episode,
            "metric": metric, "value": value, "key": names[0], "function": names[1],
            "variant": names[2], "tags": {}
        });
        row(RowKind::Feedback, &id, typed, time, json)
    }
}

prop_compose! {
    fn random_event()(
        id in 0_u32..1_000, time in time(),
        kind in proptest::sample::select(&[
            RowKind::Decision, RowKind::PluginEvent, RowKind::Snapshot
        ]),
    ) -> Row {
        let id = format!("{}{id:03}", kind.as_str());
        row(kind, &id, &id, time, json!({ "id": id }))
    }
}

/// Attempts and feedback mostly of inferences that are there.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let many = (
        proptest::collection::vec(random_inference(), 0..40),
        proptest::collection::vec(random_attempt(), 0..25),
        proptest::collection::vec(random_feedback(), 0..25),
        proptest::collection::vec(random_event(), 0..6),
    );
    many.prop_map(|(calls, mut attempts, mut feedback, events)| {
        for row in attempts.iter_mut().chain(&mut feedback) {
            let mut json: Json = serde_json::from_slice(&row.json).unwrap();
            let place = json["inference_id"].as_str().map_or(0, |id| id[1..].parse().unwrap());
            if let Some(call) = calls.get(place % (calls.len() + 2))
                && json["inference_id"].is_string()
            {
                json["inference_id"] = call.id.as_str().into();
                row.inference_id.clone_from(&call.id);
                row.json = json.to_string().into_bytes();
            }
        }
        [calls, attempts, feedback, events].concat()
    })
}

prop_compose! {
    fn filter()(
        names in proptest::collection::vec(
            proptest::option::weighted(0.1, proptest::sample::select(&NAMES)), 6),
        outcome in proptest::option::weighted(0.1, Just("ok")),
        episode in proptest::option::weighted(0.1, 0_u32..4),
        tags in proptest::collection::vec(("[a-b\"']", "[xy%]"), 0..2),
        metrics in proptest::collection::vec(metric(), 0..2),
        text in proptest::option::weighted(0.3, proptest::sample::select(&[
            "HELLO", "world hello", "οδος", "STRASSE", "straße", "naive", "你好", "x1", "x",
            "or", "a OR b", "c*", "\"a b\"", "words:a", "NEAR(a b)", "-a", "?!", "^hello",
        ])),
        since in proptest::option::weighted(0.2, time()),
        until in proptest::option::weighted(0.2, time()),
    ) -> RowFilter {
        let name = |place: usize| names[place].map(str::to_owned);
        RowFilter {
            key: name(0), function: name(1), variant: name(2), model: name(3),
            endpoint: name(4), response_id: name(5), outcome: outcome.map(str::to_owned),
            episode_id: episode.map(|it| format!("e{it}")), tags, metrics,
            text: text.map(str::to_owned), since_unix_ms: since, until_unix_ms: until,
        }
    }
}

prop_compose! {
    fn metric()(
        metric in "[pq]",
        comparison in proptest::sample::select(&[
            Comparison::Equal, Comparison::Less, Comparison::AtMost, Comparison::Greater,
            Comparison::AtLeast,
        ]),
        value in (0..4).prop_map(|it| f64::from(it) / 3.0),
    ) -> MetricFilter {
        MetricFilter { metric, comparison, value }
    }
}

fn tables() -> impl Strategy<Value = Table> {
    proptest::sample::select(&[
        Table::Inference,
        Table::Inference,
        Table::Inference,
        Table::ModelInference,
        Table::Feedback,
        Table::Decision,
        Table::PluginEvent,
        Table::Snapshot,
    ])
}

fn of_table(table: Table, filter: RowFilter) -> RowFilter {
    let text = filter.text.filter(|_| table == Table::Inference);
    RowFilter { text, ..filter }
}

prop_compose! {
    fn usage_request()(
        attempts: bool, filter in filter(), interval_ms in proptest::option::of(
            proptest::sample::select(&[1_000_u64, 7_001, 86_400_000, u64::MAX])),
        by in proptest::sample::subsequence(vec![
            Dimension::Key, Dimension::Function, Dimension::Variant, Dimension::Model,
            Dimension::Endpoint, Dimension::Outcome, Dimension::Dialect,
        ], 0..4),
        limit in prop_oneof![Just(10_000_u32), 1_u32..6],
    ) -> UsageRequest {
        let of = if attempts { Table::ModelInference } else { Table::Inference };
        UsageRequest { of, filter: of_table(of, filter), by, interval_ms, limit }
    }
}

fn store_and_oracle(rows: &[Row]) -> (Store<Memory>, Oracle) {
    let (mut store, mut oracle) = (store(), Oracle::default());
    for batch in rows.chunks(13) {
        assert_eq!(write(&mut store, batch), Outcome::Ack);
        oracle.write(batch);
    }
    (store, oracle)
}

fn is_close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1.0)
}

/// Sums of fractions come in any order; all else is exact.
fn assert_same(mut found: UsageRow, expected: UsageRow) {
    assert!(is_close(found.cost_usd, expected.cost_usd), "{found:?} {expected:?}");
    found.cost_usd = expected.cost_usd;
    for (found, expected) in [(&mut found.ttft, expected.ttft), (&mut found.total, expected.total)]
    {
        if let (Some(found), Some(expected)) = (found.as_mut(), expected) {
            assert!(is_close(found.mean_ms, expected.mean_ms), "{found:?} {expected:?}");
            found.mean_ms = expected.mean_ms;
        }
    }
    assert_eq!(found, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pages_of_every_table_are_what_the_oracle_lists(
        rows in rows(),
        questions in proptest::collection::vec((tables(), filter(), any::<bool>()), 12),
    ) {
        let (mut store, oracle) = store_and_oracle(&rows);
        for (table, filter, newest_first) in questions {
            let order = if newest_first { Order::NewestFirst } else { Order::OldestFirst };
            let filter = of_table(table, filter);
            let found = walk_rows(&mut store, table, &filter, order);
            prop_assert_eq!(found, oracle.list(table, &filter, order), "{:?} {:?}", table, filter);
        }
    }

    #[test]
    fn usage_is_what_the_oracle_sums(
        rows in rows(), requests in proptest::collection::vec(usage_request(), 8),
    ) {
        let (mut store, oracle) = store_and_oracle(&rows);
        for request in requests {
            let found = usage::report(&mut store.database, &request).unwrap();
            let expected = oracle.usage(&request);
            prop_assert_eq!(found.truncated, expected.truncated);
            prop_assert_eq!(found.rows.len(), expected.rows.len(), "{:?}", request);
            for (found, expected) in found.rows.into_iter().zip(expected.rows) {
                assert_same(found, expected);
            }
        }
    }

    #[test]
    fn feedback_and_whole_inferences_are_the_oracles(
        rows in rows(), metric in "[pq]", function in name(),
        since in proptest::option::of(time()), until in proptest::option::of(time()),
    ) {
        let (mut store, oracle) = store_and_oracle(&rows);
        let request =
            FeedbackRequest { function, metric, since_unix_ms: since, until_unix_ms: until };
        let found = feedback::statistics(&mut store.database, &request).unwrap();
        let expected = oracle.feedback_statistics(&request);
        prop_assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert_eq!(
                (&found.function, &found.variant, found.count),
                (&expected.function, &expected.variant, expected.count)
            );
            prop_assert!(is_close(found.mean, expected.mean));
            prop_assert!(is_close(found.variance, expected.variance));
        }
        for row in rows.iter().filter(|row| row.kind == RowKind::Inference) {
            let whole = list::inference(&mut store.database, &row.id).unwrap().unwrap();
            let whole: Json = serde_json::from_slice(&whole).unwrap();
            prop_assert_eq!(Some(whole), oracle.inference(&row.id));
        }
    }
}
