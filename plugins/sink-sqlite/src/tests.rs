//! The sink over a real SQLite database in memory.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use rusqlite::Connection;
use serde_json::{Value as Json, json};
use torana_plugin_sdk::host::sql::{Error, Statement, Value};
use torana_plugin_sdk::sink::{Order, RowKind};

use self::memory::Memory;
use super::*;

mod document;
mod large;
mod memory;
mod migration;
mod oracle;
mod property;
mod retention;
mod search;
mod speed;

fn settings() -> Settings {
    serde_json::from_value(json!({ "path": "x.db" })).unwrap()
}

fn store() -> Store<Memory> {
    Store::over(Memory::over(Connection::open_in_memory().unwrap()), &settings()).unwrap()
}

fn row(kind: RowKind, id: &str, inference_id: &str, time_unix_ms: u64, json: Json) -> Row {
    Row {
        id: id.into(),
        kind,
        inference_id: inference_id.into(),
        time_unix_ms,
        json: json.to_string().into_bytes(),
    }
}

fn inference(id: &str, time_unix_ms: u64, json: Json) -> Row {
    row(RowKind::Inference, id, id, time_unix_ms, json)
}

fn write(store: &mut Store<Memory>, batch: &[Row]) -> Outcome {
    write::batch(&mut store.database, batch, &mut store.complaints)
}

fn cell(store: &mut Store<Memory>, sql: &str) -> Value {
    let rows = store.database.query(&Statement::new(sql, vec![])).unwrap().rows;
    rows.into_iter().next().unwrap().into_iter().next().unwrap()
}

fn no_filter() -> RowFilter {
    RowFilter {
        key: None,
        function: None,
        variant: None,
        model: None,
        endpoint: None,
        outcome: None,
        episode_id: None,
        response_id: None,
        tags: vec![],
        metrics: vec![],
        text: None,
        since_unix_ms: None,
        until_unix_ms: None,
    }
}

/// All pages of a table, one after the other.
fn walk_rows(
    store: &mut Store<Memory>,
    table: Table,
    filter: &RowFilter,
    order: Order,
) -> Vec<Json> {
    let mut page = PageRequest { order, limit: 3, cursor: None };
    let mut found = Vec::new();
    loop {
        let got = list::rows(&mut store.database, table, filter, &page).unwrap();
        found.extend(got.items.iter().map(|it| serde_json::from_slice::<Json>(it).unwrap()));
        page.cursor = got.next;
        if page.cursor.is_none() {
            return found;
        }
    }
}

/// Ids of all inferences that pass.
fn walk(store: &mut Store<Memory>, filter: &RowFilter, order: Order) -> Vec<String> {
    let rows = walk_rows(store, Table::Inference, filter, order);
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn columns_are_taken_from_the_row_and_the_row_is_kept_as_it_came() {
    let mut store = store();
    let raw = r#"{"id":"a",  "function":"extract","outcome":"error","error":{"kind":"timeout"},
        "usage":{"input":7,"output":null},"ttft_ms":12,"attempts":2,"request":{"deep":[1.10]}}"#;
    let mut whole = inference("a", 5, Json::Null);
    whole.json = raw.as_bytes().to_vec();
    assert_eq!(write(&mut store, &[whole]), Outcome::Ack);
    let mut at = |column: &str| cell(&mut store, &format!("SELECT {column} FROM inference"));
    assert_eq!(at("json"), raw.into());
    assert_eq!(at("function"), "extract".into());
    assert_eq!(at("error_kind"), "timeout".into());
    assert_eq!(at("ttft_ms"), Value::Real(12.0));
    assert_eq!(at("input_tokens"), Value::Integer(7));
    assert_eq!(at("attempts"), Value::Integer(2));
    assert_eq!(at("output_tokens"), Value::Null);
    assert_eq!(at("endpoint"), Value::Null);
}

#[test]
fn every_kind_has_its_table() {
    let mut store = store();
    let batch = [
        inference("a", 1, json!({})),
        row(RowKind::ModelInference, "b", "a", 1, json!({ "attempt": 0 })),
        row(RowKind::Feedback, "c", "a", 1, json!({ "metric": "solved", "value": true })),
        row(RowKind::Feedback, "d", "", 1, json!({ "metric": "comment", "value": "good" })),
        row(RowKind::Decision, "e", "a", 1, json!({})),
        row(RowKind::PluginEvent, "f", "", 1, json!({})),
        row(RowKind::Snapshot, "g", "", 1, json!({})),
    ];
    assert_eq!(write(&mut store, &batch), Outcome::Ack);
    for (table, count) in [
        ("inference", 1),
        ("model_inference", 1),
        ("feedback", 2),
        ("decision", 1),
        ("plugin_event", 1),
        ("snapshot", 1),
    ] {
        let sql = format!("SELECT count(*) FROM {table}");
        assert_eq!(cell(&mut store, &sql), Value::Integer(count), "{table}");
    }
    let solved = "SELECT value FROM feedback WHERE id = 'c'";
    assert_eq!(cell(&mut store, solved), Value::Real(1.0));
    let comment = "SELECT text FROM feedback WHERE id = 'd' AND inference_id IS NULL";
    assert_eq!(cell(&mut store, comment), "good".into());
}

#[test]
fn repeated_delivery_changes_nothing() {
    let mut store = store();
    let first = inference("a", 1, json!({ "id": "a", "model": "one" }));
    assert_eq!(write(&mut store, std::slice::from_ref(&first)), Outcome::Ack);
    let again = [first, inference("b", 2, json!({ "id": "b" }))];
    assert_eq!(write(&mut store, &again), Outcome::Ack);
    assert_eq!(cell(&mut store, "SELECT count(*) FROM inference"), Value::Integer(2));
}

#[test]
fn rows_that_can_never_be_taken_are_rejected_and_the_others_kept() {
    let mut store = store();
    let sql = "CREATE TRIGGER refuse BEFORE INSERT ON inference WHEN NEW.id = 'bad'
               BEGIN SELECT RAISE(ABORT, 'refused'); END";
    store.database.database.connection.execute_batch(sql).unwrap();
    let batch = [
        inference("a", 1, json!({})),
        inference("bad", 2, json!({})),
        inference("text", 3, json!("no object")),
        inference("list", 3, json!([])),
        inference("z", 4, json!({})),
    ];
    let Outcome::Reject(rejected) = write(&mut store, &batch) else {
        panic!("not rejected");
    };
    let mut rows: Vec<u32> = rejected.iter().map(|it| it.row).collect();
    rows.sort_unstable();
    assert_eq!(rows, [1, 2, 3]);
    assert!(rejected.iter().any(|it| it.reason.contains("refused")));
    assert_eq!(cell(&mut store, "SELECT count(*) FROM inference"), Value::Integer(2));
}

#[test]
fn held_or_full_database_asks_for_a_retry_also_half_way() {
    let mut store = store();
    let batch = [inference("a", 1, json!({})), inference("b", 2, json!({}))];
    for failures in [
        vec![Error::Busy],
        vec![Error::Storage("disk full".into())],
        vec![Error::Busy, Error::TooLarge],
    ] {
        store.database.database.failures = failures;
        assert!(matches!(write(&mut store, &batch), Outcome::Retry(1_000)));
        assert_eq!(cell(&mut store, "SELECT count(*) FROM inference"), Value::Integer(0));
    }
    store.database.database.failures = vec![Error::TooLarge];
    assert_eq!(write(&mut store, &batch), Outcome::Ack, "one at a time they fit");
    assert_eq!(cell(&mut store, "SELECT count(*) FROM inference"), Value::Integer(2));
}

#[test]
fn pages_hold_every_row_once_in_either_order_also_within_one_millisecond() {
    let mut store = store();
    let names: Vec<String> = (0..20).map(|it| format!("{it:02}")).collect();
    let batch: Vec<Row> =
        (0..20).zip(&names).map(|(it, id)| inference(id, it / 7, json!({ "id": id }))).collect();
    assert_eq!(write(&mut store, &batch), Outcome::Ack);
    assert_eq!(walk(&mut store, &no_filter(), Order::OldestFirst), names);
    let newest_first: Vec<String> = names.iter().rev().cloned().collect();
    assert_eq!(walk(&mut store, &no_filter(), Order::NewestFirst), newest_first);
}

#[test]
fn every_filter_holds_and_all_hold_together() {
    let mut store = store();
    let facts = |id: &str, value: &str| {
        json!({ "id": id, "function": value, "variant": value, "model": value,
                "endpoint": value, "outcome": value, "episode_id": value, "key": value,
                "response_id": value, "tags": { "team": value } })
    };
    let batch = [inference("a", 10, facts("a", "x")), inference("b", 20, facts("b", "y"))];
    assert_eq!(write(&mut store, &batch), Outcome::Ack);
    let y = || Some("y".to_owned());
    for filter in [
        RowFilter { key: y(), ..no_filter() },
        RowFilter { response_id: y(), ..no_filter() },
        RowFilter { tags: vec![("team".into(), "y".into())], ..no_filter() },
        RowFilter { function: y(), ..no_filter() },
        RowFilter { variant: y(), ..no_filter() },
        RowFilter { model: y(), ..no_filter() },
        RowFilter { endpoint: y(), ..no_filter() },
        RowFilter { outcome: y(), ..no_filter() },
        RowFilter { episode_id: y(), ..no_filter() },
        RowFilter { since_unix_ms: Some(20), ..no_filter() },
        RowFilter { function: y(), model: y(), until_unix_ms: Some(21), ..no_filter() },
    ] {
        assert_eq!(walk(&mut store, &filter, Order::NewestFirst), ["b"], "{filter:?}");
    }
    let before = RowFilter { until_unix_ms: Some(20), ..no_filter() };
    assert_eq!(walk(&mut store, &before, Order::NewestFirst), ["a"]);
    let neither = RowFilter { model: y(), until_unix_ms: Some(20), ..no_filter() };
    assert_eq!(walk(&mut store, &neither, Order::NewestFirst), [""; 0]);
}

#[test]
fn inference_comes_with_its_attempts_in_order() {
    let mut store = store();
    let attempt = |id: &str, attempt: u32| {
        row(RowKind::ModelInference, id, "a", 1, json!({ "id": id, "attempt": attempt }))
    };
    let batch = [
        inference("a", 1, json!({ "id": "a", "model": "m" })),
        inference("empty", 1, json!({})),
        attempt("z", 0),
        attempt("y", 1),
        row(RowKind::ModelInference, "other", "b", 1, json!({})),
    ];
    assert_eq!(write(&mut store, &batch), Outcome::Ack);
    let mut get = |id: &str| {
        let json = list::inference(&mut store.database, id).unwrap();
        json.map(|it| serde_json::from_slice::<Json>(&it).unwrap())
    };
    let whole = get("a").unwrap();
    assert_eq!(whole["model"], "m");
    assert_eq!(
        whole["model_inferences"],
        json!([{ "id": "z", "attempt": 0 }, { "id": "y", "attempt": 1 }])
    );
    assert_eq!(get("empty"), Some(json!({ "model_inferences": [], "feedback": [] })));
    assert_eq!(get("nobody"), None);
}

#[test]
fn opening_again_keeps_the_rows_and_a_newer_store_is_refused() {
    let mut first = store();
    assert_eq!(write(&mut first, &[inference("a", 1, json!({}))]), Outcome::Ack);
    let mut again = Store::over(first.database.database, &settings()).unwrap();
    assert_eq!(cell(&mut again, "SELECT count(*) FROM inference"), Value::Integer(1));
    assert_eq!(cell(&mut again, "SELECT count(*) FROM torana_migration"), Value::Integer(2));
    let newer = "INSERT INTO torana_migration VALUES (99, 0)";
    again.database.database.connection.execute(newer, []).unwrap();
    let error = Store::over(again.database.database, &settings()).err().unwrap();
    assert_eq!(error.pointer, "/path");
    assert!(error.message.contains("version 99"), "{error}");
}

#[test]
fn listing_walks_an_index_instead_of_sorting() {
    let mut store = store();
    let text = Some("words".to_owned());
    let tags = vec![("team".to_owned(), "x".to_owned())];
    for (condition, filter) in [
        ("by_time", no_filter()),
        ("by_time", RowFilter { text, ..no_filter() }),
        ("by_time", RowFilter { tags, ..no_filter() }),
        ("by_key", RowFilter { key: Some("k".into()), ..no_filter() }),
        ("by_function", RowFilter { function: Some("f".into()), ..no_filter() }),
        ("by_episode", RowFilter { episode_id: Some("e".into()), ..no_filter() }),
    ] {
        let (table, order) = (Table::Inference, Order::NewestFirst);
        let mut listing = list::keys_of(&store.database, table, &filter, order, None, 5).unwrap();
        listing.sql.insert_str(0, "EXPLAIN QUERY PLAN ");
        let plan = store.database.query(&listing).unwrap().rows;
        let plan = format!("{plan:?}");
        assert!(plan.contains(condition) && !plan.contains("TEMP B-TREE"), "{plan}");
    }
}

#[test]
fn a_table_that_is_gone_costs_no_row() {
    let mut store = store();
    store.database.database.connection.execute_batch("ALTER TABLE feedback RENAME TO x").unwrap();
    let batch = [
        inference("a", 1, json!({})),
        row(RowKind::Feedback, "b", "a", 1, json!({ "metric": "solved", "value": true })),
    ];
    assert!(matches!(write(&mut store, &batch), Outcome::Retry(_)));
    store.database.database.connection.execute_batch("ALTER TABLE x RENAME TO feedback").unwrap();
    assert_eq!(write(&mut store, &batch), Outcome::Ack);
    assert_eq!(cell(&mut store, "SELECT count(*) FROM feedback"), Value::Integer(1));
}
