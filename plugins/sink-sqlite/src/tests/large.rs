//! Rows, pages and reports that come near what the host takes in one call: 8 MiB and 100,000
//! values.

use super::*;

const HOST_BYTES: usize = 8 << 20;

fn text(bytes: usize) -> String {
    "word ".repeat(bytes / 5)
}

#[test]
fn a_page_holds_what_may_be_handed_over_at_once() {
    let mut store = store();
    let names: Vec<String> = (0..9).map(|it| it.to_string()).collect();
    let call = |id: &String| inference(id, 1, json!({ "id": id, "request": text(2 << 20) }));
    assert_eq!(write(&mut store, &names.iter().map(call).collect::<Vec<_>>()), Outcome::Ack);
    let mut page = PageRequest { order: Order::OldestFirst, limit: 1_000, cursor: None };
    let mut found = 0;
    loop {
        let table = Table::Inference;
        let got = list::rows(&mut store.database, table, &no_filter(), &page).unwrap();
        let bytes: usize = got.items.iter().map(Vec::len).sum();
        assert!((1..HOST_BYTES).contains(&bytes), "{bytes}");
        found += got.items.len();
        page.cursor = got.next;
        if page.cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, 9);
}

#[test]
fn a_row_that_is_too_large_is_kept_without_its_content() {
    let mut store = store();
    let call = |id: &str, more: &str| {
        let request = json!({ "content": text(6 << 20) });
        let json = json!({ "id": id, "model": "m", "content": "full", "more": more,
                           "usage": { "input": 7 }, "request": request, "response": "r" });
        inference(id, 1, json)
    };
    let batch = [call("a", ""), inference("b", 1, json!({})), call("c", &text(6 << 20))];
    let Outcome::Reject(rejected) = write(&mut store, &batch) else {
        panic!("the last row is too large even so");
    };
    assert_eq!(rejected.iter().map(|it| it.row).collect::<Vec<_>>(), [2]);
    assert!(rejected[0].reason.contains("without its content"), "{}", rejected[0].reason);
    let whole = list::inference(&mut store.database, "a").unwrap().unwrap();
    let whole: Json = serde_json::from_slice(&whole).unwrap();
    assert_eq!(whole["request"], Json::Null);
    assert_eq!((&whole["content"], &whole["model"]), (&json!("metadata"), &json!("m")));
    assert_eq!(
        cell(&mut store, "SELECT input_tokens FROM inference WHERE id = 'a'"),
        Value::Integer(7)
    );
    assert_eq!(cell(&mut store, "SELECT content FROM inference WHERE id = 'a'"), "metadata".into());
}

#[test]
fn an_inference_with_large_attempts_comes_without_their_raw_bodies() {
    let mut store = store();
    let attempt = |id: &str, number: u32| {
        let json = json!({ "attempt": number, "raw_request": text(3 << 20), "raw_response": "r" });
        row(RowKind::ModelInference, id, "a", 1, json)
    };
    let batch = [
        inference("a", 1, json!({ "id": "a" })),
        attempt("x", 1),
        attempt("y", 2),
        attempt("z", 3),
    ];
    assert_eq!(write(&mut store, &batch), Outcome::Ack);
    let whole = list::inference(&mut store.database, "a").unwrap().unwrap();
    assert!(whole.len() < HOST_BYTES);
    let whole: Json = serde_json::from_slice(&whole).unwrap();
    for (attempt, number) in whole["model_inferences"].as_array().unwrap().iter().zip(1..) {
        let bare = json!({ "attempt": number, "raw_request": null, "raw_response": null,
                           "raw_truncated": true });
        assert_eq!(attempt, &bare);
    }
}

#[test]
fn the_largest_report_may_be_handed_over_at_once() {
    let mut store = store();
    let call = |it: u32| {
        let json =
            json!({ "key": format!("{it:05}"), "outcome": "ok", "ttft_ms": 1, "total_ms": 2 });
        inference(&it.to_string(), it.into(), json)
    };
    let batch: Vec<Row> = (0..10_001).map(call).collect();
    assert_eq!(write(&mut store, &batch), Outcome::Ack);
    use torana_plugin_sdk::sink::Dimension;
    let request = UsageRequest {
        of: Table::Inference,
        filter: no_filter(),
        by: vec![
            Dimension::Function,
            Dimension::Key,
            Dimension::Variant,
            Dimension::Model,
            Dimension::Endpoint,
            Dimension::Outcome,
            Dimension::Dialect,
        ],
        interval_ms: Some(1_000),
        limit: 10_000,
    };
    let report = usage::report(&mut store.database, &request).unwrap();
    assert!(report.truncated);
    assert_eq!(report.rows.len(), 10_000);
    assert!(report.rows.iter().all(|row| row.rows == 1 && row.ttft.is_some()));
}

#[test]
fn counts_beyond_all_reason_do_not_break_the_report() {
    let mut store = store();
    let usage = json!({ "input": u64::MAX, "output": 5 });
    let batch = [
        inference("a", 1, json!({ "usage": usage })),
        inference("b", 1, json!({ "usage": usage })),
    ];
    assert_eq!(write(&mut store, &batch), Outcome::Ack);
    let request = UsageRequest {
        of: Table::Inference,
        filter: no_filter(),
        by: vec![],
        interval_ms: None,
        limit: 1,
    };
    let report = usage::report(&mut store.database, &request).unwrap();
    assert_eq!(report.rows[0].output_tokens, 10);
    assert_eq!(report.rows[0].input_tokens, i64::MAX as u64);
    assert_eq!(report.rows[0].unpriced, 2);
}
