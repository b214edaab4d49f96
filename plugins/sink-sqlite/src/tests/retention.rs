//! What is too old goes, in bounded steps, and nothing else does.

use super::*;

const DAY: u64 = 86_400_000;

fn keeping(inference_days: Option<i64>, content_days: Option<i64>) -> Store<Memory> {
    let memory = Memory::over(Connection::open_in_memory().unwrap());
    Store::over(memory, &Settings { inference_days, content_days, ..settings() }).unwrap()
}

/// The database's clock is the machine's.
fn today() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn call(id: &str, time_unix_ms: u64) -> Row {
    let json = json!({
        "id": id, "tags": { "team": "x" }, "content": "full", "usage": { "input": 1 },
        "request": { "messages": [{ "content": "secret plan", "temperature": 1.10 }] },
        "response": { "text": "it is" }
    });
    inference(id, time_unix_ms, json)
}

fn count(store: &mut Store<Memory>, table: &str) -> i64 {
    match cell(store, &format!("SELECT count(*) FROM {table}")) {
        Value::Integer(count) => count,
        other => panic!("{other:?}"),
    }
}

#[test]
fn rows_of_every_kind_go_with_their_tags_and_words() {
    let mut store = keeping(Some(30), None);
    let old = today() - 31 * DAY;
    let kinds = [
        RowKind::ModelInference,
        RowKind::Feedback,
        RowKind::Decision,
        RowKind::PluginEvent,
        RowKind::Snapshot,
    ];
    let mut batch = vec![call("old", old), call("young", today() - 29 * DAY), call("new", today())];
    batch.extend(kinds.iter().map(|kind| row(*kind, kind.as_str(), "old", old, json!({}))));
    assert_eq!(store.take(&batch), Outcome::Ack);
    for table in ["model_inference", "feedback", "decision", "plugin_event"] {
        assert_eq!(count(&mut store, table), 0, "{table}");
    }
    assert_eq!(count(&mut store, "snapshot"), 1, "it may be in use");
    assert_eq!(walk(&mut store, &no_filter(), Order::NewestFirst), ["new", "young"]);
    assert_eq!(count(&mut store, "inference_tag"), 2);
    assert_eq!(count(&mut store, "inference_text"), 2);
    let text = RowFilter { text: Some("secret".into()), ..no_filter() };
    assert_eq!(walk(&mut store, &text, Order::NewestFirst), ["new", "young"]);
}

#[test]
fn a_store_without_inferences_forgets_too() {
    let mut store = keeping(Some(30), None);
    let old = today() - 31 * DAY;
    let batch = [
        row(RowKind::Feedback, "old", "i", old, json!({})),
        row(RowKind::Feedback, "new", "i", today(), json!({})),
    ];
    assert_eq!(store.take(&batch), Outcome::Ack);
    assert_eq!(count(&mut store, "feedback"), 1);
}

#[test]
fn content_goes_and_the_rest_of_the_row_stays() {
    let mut store = keeping(None, Some(7));
    let old = today() - 8 * DAY;
    let attempt = json!({ "raw_request": "secret", "raw_response": null, "attempt": 1 });
    let batch = [
        call("old", old),
        row(RowKind::ModelInference, "m", "old", old, attempt),
        call("new", today()),
    ];
    assert_eq!(store.take(&batch), Outcome::Ack);
    let whole = list::inference(&mut store.database, "old").unwrap().unwrap();
    let whole: Json = serde_json::from_slice(&whole).unwrap();
    assert_eq!(
        whole,
        json!({
            "id": "old", "tags": { "team": "x" }, "content": "metadata",
            "usage": { "input": 1 }, "request": null, "response": null, "feedback": [],
            "model_inferences": [{ "raw_request": null, "raw_response": null, "attempt": 1 }]
        })
    );
    assert_eq!(
        cell(&mut store, "SELECT content FROM inference WHERE id = 'old'"),
        "metadata".into()
    );
    let text = RowFilter { text: Some("secret".into()), ..no_filter() };
    assert_eq!(walk(&mut store, &text, Order::NewestFirst), ["new"]);
    let tags = RowFilter { tags: vec![("team".into(), "x".into())], ..no_filter() };
    assert_eq!(walk(&mut store, &tags, Order::NewestFirst), ["new", "old"]);
}

#[test]
fn a_step_is_bounded_and_the_next_write_takes_the_next() {
    let mut store = keeping(Some(1), None);
    let old = today() - 2 * DAY;
    let batch: Vec<Row> = (0..2_300).map(|it| call(&format!("{it}"), old)).collect();
    assert_eq!(write(&mut store, &batch), Outcome::Ack);
    for left in [1_300, 300, 0, 0] {
        assert_eq!(store.take(&[call(&format!("new{left}"), today())]), Outcome::Ack);
        let sql = format!("SELECT count(*) FROM inference WHERE time_unix_ms <= {old}");
        assert_eq!(cell(&mut store, &sql), Value::Integer(left));
    }
    assert_eq!(count(&mut store, "inference_text"), count(&mut store, "inference"));
}

#[test]
fn once_nothing_is_left_a_minute_passes() {
    let mut store = keeping(Some(1), None);
    let now = today();
    assert_eq!(store.take(&[call("a", now)]), Outcome::Ack);
    let late = call("late", now - 2 * DAY);
    assert_eq!(store.take(&[late, call("b", now + 59_000)]), Outcome::Ack);
    assert_eq!(count(&mut store, "inference"), 3);
    assert_eq!(store.take(&[call("c", now + 60_000)]), Outcome::Ack);
    assert_eq!(walk(&mut store, &no_filter(), Order::OldestFirst), ["a", "b", "c"]);
}

#[test]
fn a_row_of_the_far_future_deletes_nothing() {
    let mut store = keeping(Some(30), Some(30));
    let batch = [call("now", today()), call("future", today() + 100_000 * DAY)];
    assert_eq!(store.take(&batch), Outcome::Ack);
    assert_eq!(store.take(&[call("after", today())]), Outcome::Ack);
    assert_eq!(count(&mut store, "inference"), 3);
    assert_eq!(count(&mut store, "inference_text"), 3);
}

#[test]
fn a_clock_that_runs_ahead_of_the_rows_deletes_nothing() {
    let mut store = keeping(Some(30), None);
    let past = today() - 1_000 * DAY;
    let batch = [call("older", past - 31 * DAY), call("old", past - 29 * DAY), call("last", past)];
    assert_eq!(store.take(&batch), Outcome::Ack);
    assert_eq!(walk(&mut store, &no_filter(), Order::OldestFirst), ["old", "last"]);
}

#[test]
fn without_days_everything_stays_and_days_of_nonsense_are_refused() {
    let mut store = keeping(None, None);
    assert_eq!(store.take(&[call("first", 1), call("now", today())]), Outcome::Ack);
    assert_eq!(count(&mut store, "inference_text"), 2);
    for (days, pointer) in
        [((Some(0), None), "/inference_days"), ((None, Some(-1)), "/content_days")]
    {
        let memory = Memory::over(Connection::open_in_memory().unwrap());
        let (inference_days, content_days) = days;
        let settings = Settings { inference_days, content_days, ..settings() };
        let error = Store::over(memory, &settings).err().unwrap();
        assert_eq!(error.pointer, pointer);
    }
}

#[test]
fn retention_that_fails_does_not_fail_the_write() {
    let mut store = keeping(Some(1), None);
    let sql = "CREATE TRIGGER keep BEFORE DELETE ON inference
               BEGIN SELECT RAISE(ABORT, 'not today'); END";
    store.database.database.connection.execute_batch(sql).unwrap();
    let batch = [call("old", today() - 9 * DAY), call("new", today())];
    assert_eq!(store.take(&batch), Outcome::Ack);
    assert_eq!(count(&mut store, "inference"), 2);
}
