//! Rules against rows: what goes, and that nothing of a conversation goes with it.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn rules() -> SinkRows {
    SinkRows { content: Content::Full, sample: 1.0, only: Only::default() }
}

fn row(kind: RowKind, inference_id: Uuid, json: &Value) -> Row {
    let id = if kind == RowKind::Inference { inference_id } else { Uuid::now_v7() };
    Row { id, kind, inference_id, time_unix_ms: 1, json: json.to_string().into_bytes() }
}

/// An inference with these keys, an attempt that says otherwise, and feedback on it.
fn call(outcome: &str, model: &str) -> [Row; 3] {
    let id = Uuid::now_v7();
    [
        row(RowKind::Inference, id, &json!({ "outcome": outcome, "model": model, "key": "a" })),
        row(RowKind::ModelInference, id, &json!({ "outcome": "lost", "endpoint": "p/m" })),
        row(RowKind::Feedback, id, &json!({ "metric": "good", "value": true, "key": "b" })),
    ]
}

fn kinds(rows: &[Row]) -> Vec<RowKind> {
    rows.iter().map(|row| row.kind).collect()
}

fn words(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|&word| word.to_owned()).collect())
}

#[test]
fn attempts_go_with_their_inference_and_other_rows_by_themselves() {
    let only = Only { outcomes: words(&["error"]), ..Only::default() };
    let selection = Selection::new(&SinkRows { only, ..rules() });
    let (good, bad) = (call("ok", "m"), call("error", "m"));
    let picked = selection.pick([good, bad.clone()].concat());
    assert_eq!(picked, bad[..2], "feedback has no outcome");
    let only = Only { keys: words(&["b"]), ..Only::default() };
    let picked = Selection::new(&SinkRows { only, ..rules() }).pick(call("ok", "m").to_vec());
    assert_eq!(kinds(&picked), [RowKind::Feedback]);
}

#[test]
fn all_filters_must_let_a_row_pass() {
    let only = Only {
        kinds: Some(vec![RowKind::ModelInference, RowKind::Feedback]),
        outcomes: words(&["ok"]),
        models: words(&["m", "n"]),
        ..Only::default()
    };
    let selection = Selection::new(&SinkRows { only, ..rules() });
    let rows = [call("ok", "m"), call("ok", "other"), call("error", "m")].concat();
    assert_eq!(kinds(&selection.pick(rows)), [RowKind::ModelInference], "the inference's own kind");
}

#[test]
fn null_and_absent_pass_no_filter() {
    let only = Only { functions: words(&["f"]), ..Only::default() };
    let selection = Selection::new(&SinkRows { only, ..rules() });
    let of = |json: Value| row(RowKind::Feedback, Uuid::now_v7(), &json);
    let rows = vec![
        of(json!({ "function": null })),
        of(json!({})),
        of(json!({ "function": 1 })),
        of(json!([])),
        of(json!({ "function": "f" })),
    ];
    assert_eq!(selection.pick(rows.clone()), rows[4..]);
}

#[test]
fn without_rules_nothing_is_parsed_or_changed() {
    let selection = Selection::new(&rules());
    assert!(!selection.parses());
    let broken = Row { json: b"not JSON".to_vec(), ..call("ok", "m")[0].clone() };
    assert_eq!(selection.pick(vec![broken.clone()]), [broken]);
}

#[test]
fn what_belongs_to_no_call_is_not_sampled() {
    let selection = Selection::new(&SinkRows { sample: 0.0, ..rules() });
    let of = |kind| row(kind, Uuid::now_v7(), &json!({}));
    let rows: Vec<Row> = [RowKind::Snapshot, RowKind::PluginEvent].into_iter().map(of).collect();
    let picked = selection.pick([rows.clone(), call("ok", "m").to_vec()].concat());
    assert_eq!(picked, rows);
}

#[test]
fn a_row_that_is_no_object_does_not_go_where_content_may_not() {
    let selection = Selection::new(&SinkRows { content: Content::Metadata, ..rules() });
    let broken = |json: &[u8]| Row { json: json.to_vec(), ..call("ok", "m")[0].clone() };
    for json in [&b"\"secret\""[..], b"{\"request\":\"secret\"", b"{}{\"request\":1}", b""] {
        assert_eq!(selection.pick(vec![broken(json)]), []);
    }
}

#[test]
fn metadata_has_the_shape_of_the_row_and_none_of_its_content() {
    let selection = Selection::new(&SinkRows { content: Content::Metadata, ..rules() });
    let id = Uuid::now_v7();
    let full = json!({
        "id": id, "cost_usd": 0.1, "total_ms": 0.300_000_000_000_000_04, "tags": { "team": "x" },
        "error": { "kind": "server", "code": "c", "message": "SECRET" },
        "invalid_tool_calls": [{ "id": "1", "name": "f", "reason": "schema", "message": "SECRET" }],
        "invalid_output": ["SECRET"],
        "request": { "messages": ["SECRET"] }, "response": { "request": "SECRET" },
        "decision": { "plan": ["a/b"], "preferences": { "order": ["SECRET"] } },
        "content": "full",
    });
    let attempt = json!({
        "raw_request": "SECRET", "raw_response": "SECRET", "raw_truncated": true, "error": null,
    });
    let comment = json!({ "metric": "comment", "value": "SECRET", "tags": {} });
    let demonstration = json!({ "metric": "demonstration", "value": { "text": "SECRET" } });
    let figure = json!({ "metric": "stars", "value": -4.5 });
    let picked = selection.pick(vec![
        row(RowKind::Inference, id, &full),
        row(RowKind::ModelInference, id, &attempt),
        row(RowKind::Feedback, id, &comment),
        row(RowKind::Feedback, id, &demonstration),
        row(RowKind::Feedback, id, &figure),
    ]);
    let json: Vec<Value> =
        picked.iter().map(|row| serde_json::from_slice(&row.json).unwrap()).collect();
    assert_eq!(
        json[0],
        json!({
            "id": id, "cost_usd": 0.1, "total_ms": 0.300_000_000_000_000_04, "tags": { "team": "x" },
            "error": { "kind": "server", "code": "c", "message": null },
            "invalid_tool_calls": [{ "id": "1", "name": "f", "reason": "schema", "message": null }],
            "request": null, "response": null,
            "decision": { "plan": ["a/b"], "preferences": null },
            "content": "metadata",
        })
    );
    assert_eq!(json[1], json!({ "raw_request": null, "raw_response": null, "error": null }));
    assert_eq!(json[2], json!({ "metric": "comment", "value": null, "tags": {} }));
    assert_eq!(json[3]["value"], Value::Null);
    assert_eq!(json[4], figure);
}

proptest! {
    #[test]
    fn rows_of_a_call_go_together_and_smaller_shares_are_parts_of_larger(
        id in any::<u128>(),
        small in 0.0..1.0f64,
        more in 0.0..1.0f64,
    ) {
        let id = Uuid::from_u128(id);
        let rows = vec![
            row(RowKind::Inference, id, &json!({})),
            row(RowKind::ModelInference, id, &json!({})),
            row(RowKind::Feedback, id, &json!({})),
        ];
        let picked = |sample| Selection::new(&SinkRows { sample, ..rules() }).pick(rows.clone());
        let (smaller, larger) = (picked(small), picked((small + more).min(1.0)));
        prop_assert!(smaller.is_empty() || smaller == rows);
        prop_assert!(smaller.is_empty() || larger == rows);
    }

    #[test]
    fn content_under_any_name_is_gone(
        key in "(request|response|raw_request|raw_response)",
        escaped in any::<bool>(),
        value in "[a-z]{0,20}",
    ) {
        let selection = Selection::new(&SinkRows { content: Content::Metadata, ..rules() });
        // The name may be written with escapes, and twice.
        let key = if escaped { format!("\\u00{:02x}{}", key.as_bytes()[0], &key[1..]) } else { key };
        let text = format!("{{\"a\":1,\"{key}\":\"SECRET{value}\",\"{key}\":[\"SECRET\"]}}");
        let row = Row { json: text.into_bytes(), ..call("ok", "m")[0].clone() };
        let picked = selection.pick(vec![row]);
        let text = String::from_utf8(picked[0].json.clone()).unwrap();
        prop_assert!(!text.contains("SECRET"), "{text}");
    }
}

#[test]
fn a_share_is_about_that_share() {
    let selection = Selection::new(&SinkRows { sample: 0.25, ..rules() });
    let rows = (0..4_000u128).map(|n| row(RowKind::Inference, Uuid::from_u128(n), &json!({})));
    let picked = selection.pick(rows.collect()).len();
    // Seven standard deviations of 27; the ids are fixed.
    assert!((800..1_200).contains(&picked), "{picked}");
}
