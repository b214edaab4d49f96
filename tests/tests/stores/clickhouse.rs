//! What only a server can do to a store: be down, refuse, forget, be of another version, and
//! let things expire. Through the component, against the real engine.

use serde_json::{Value, json};
use torana::plugin::catalog::LoadCause;
use torana::plugin::sink::{EVERYTHING, Outcome, QueryError, Row, RowFilter, RowKind, Table};
use torana_tests::clickhouse::ClickHouse;
use torana_tests::process::Missing;

use crate::rows::{DAY, NOW, Random, id, inference, row, rows};
use crate::store::{ALL, Store, clickhouse};

fn server() -> Option<ClickHouse> {
    Missing::or_skip(ClickHouse::start(), "ClickHouse")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_server_cannot_take_is_found_and_rejected_with_its_words() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::clickhouse(folder.path(), &server.url(), "").await;
    server.query("ALTER TABLE torana.inference ADD CONSTRAINT mine CHECK model != 'forbidden'");
    let forbidden = [17_u32, 100, 101, 399];
    let model = |number| if forbidden.contains(&number) { "forbidden" } else { "m" };
    let batch: Vec<Row> =
        (0..400).map(|it| inference(it.into(), NOW + u64::from(it), model(it))).collect();
    let outcome = store.writer.write(&batch).await.unwrap();
    let Outcome::Reject(rejections) = outcome else { panic!("{outcome:?}") };
    let rejected: Vec<u32> = rejections.iter().map(|it| it.row).collect();
    assert_eq!(rejected, forbidden);
    assert!(
        rejections.iter().all(|it| it.reason.contains("VIOLATED_CONSTRAINT")),
        "{rejections:?}"
    );
    assert_eq!(store.ids(&EVERYTHING).await.len(), 396);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_asked_again_and_then_has_everything() {
    let Some(mut server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    server.stop();
    // Opened while it is down: a gateway starts without its store.
    let mut store = Store::clickhouse(folder.path(), &server.url(), "").await;
    let batch: Vec<Row> = (0..20).map(|it| inference(it, NOW + it, "m")).collect();
    let mut pauses = Vec::new();
    for _ in 0..7 {
        match store.writer.write(&batch).await.unwrap() {
            Outcome::Retry(pause) => pauses.push(pause),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000]);
    let asked = store.reader.list_rows(Table::Inference, &EVERYTHING, &ALL).await.unwrap();
    assert!(matches!(asked, Err(QueryError::Unavailable(_))), "{asked:?}");
    server.resume();
    store.write(&batch).await;
    assert_eq!(store.ids(&EVERYTHING).await.len(), 20);
    // Acknowledged is on disk: the process is killed, not stopped.
    server.stop();
    server.resume();
    assert_eq!(store.ids(&EVERYTHING).await.len(), 20);
    for status in [500, 503, 429] {
        server.refuse(status);
        let outcome = store.writer.write(&batch).await.unwrap();
        assert!(matches!(outcome, Outcome::Retry(250 | 500 | 1_000)), "{status}: {outcome:?}");
    }
    server.refuse(0);
    store.write(&batch).await;
    assert_eq!(store.ids(&EVERYTHING).await.len(), 20, "twice is once");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, for people"]
async fn how_fast_a_backlog_goes_to_the_server() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::clickhouse(folder.path(), &server.url(), "").await;
    let rows = rows(9, 20_000);
    let start = std::time::Instant::now();
    store.write(&rows).await;
    let took = start.elapsed();
    println!("{} rows in {took:?}: {:.0}/s", rows.len(), rows.len() as f64 / took.as_secs_f64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_dropped_is_made_again() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::clickhouse(folder.path(), &server.url(), "").await;
    store.write(&[inference(1, NOW, "m")]).await;
    server.query("DROP DATABASE torana");
    let batch = [inference(2, NOW, "m")];
    let outcome = store.writer.write(&batch).await.unwrap();
    assert!(matches!(outcome, Outcome::Retry(_)), "{outcome:?}");
    store.write(&batch).await;
    assert_eq!(store.ids(&EVERYTHING).await, [id(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_not_let_in_costs_no_row() {
    let Some(server) =
        Missing::or_skip(ClickHouse::start_with(Some("right")), "ClickHouse with a password")
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::clickhouse(folder.path(), &server.url(), "").await;
    let outcome = store.writer.write(&[inference(1, NOW, "m")]).await.unwrap();
    assert!(matches!(outcome, Outcome::Retry(_)), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_a_later_version_is_refused_untouched() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    drop(Store::clickhouse(folder.path(), &server.url(), "").await);
    server.query("DROP TABLE torana.snapshot");
    server.query("INSERT INTO torana.torana_migration (version) VALUES (99)");
    let sink = clickhouse(folder.path(), &server.url(), "");
    match sink.writer().await.err().unwrap() {
        LoadCause::Settings { pointer, message } => {
            assert_eq!(pointer, "/database");
            assert!(message.contains("version 99"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.query("EXISTS TABLE torana.snapshot"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_and_rows_expire_and_settings_may_change() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = u64::try_from(now.as_millis()).unwrap();
    let days = |inference: u32, content: u32| {
        format!(", inference_days = {inference}, content_days = {content}")
    };
    let mut store = Store::clickhouse(folder.path(), &server.url(), "").await;
    let rows = [
        inference(1, now - 40 * DAY, "m"),
        inference(2, now - 10 * DAY, "m"),
        inference(3, now, "m"),
    ];
    store.write(&rows).await;
    let mut store = Store::clickhouse(folder.path(), &server.url(), &days(30, 7)).await;
    let secret = RowFilter { text: Some("SECRET".to_owned()), ..EVERYTHING };
    server.query("OPTIMIZE TABLE torana.inference FINAL SETTINGS mutations_sync = 2");
    assert_eq!(store.ids(&EVERYTHING).await, [id(2), id(3)]);
    assert_eq!(store.ids(&secret).await, [id(3)]);
    let found = store.reader.get_inference(&id(2)).await.unwrap().unwrap().unwrap();
    let found: Value = serde_json::from_slice(&found).unwrap();
    assert_eq!([&found["request"], &found["response"]], [&Value::Null, &Value::Null]);
    assert_eq!([&found["content"], &found["model"]], ["metadata", "m"]);
    // The longest there is ends behind what a date can hold.
    let mut store = Store::clickhouse(folder.path(), &server.url(), &days(36_525, 36_525)).await;
    store.write(&[inference(5, now - 60 * DAY, "m")]).await;
    server.query("OPTIMIZE TABLE torana.inference FINAL SETTINGS mutations_sync = 2");
    assert_eq!(store.ids(&secret).await, [id(5), id(3)]);
    // Without retention, what comes now stays.
    let mut store = Store::clickhouse(folder.path(), &server.url(), "").await;
    store.write(&[inference(4, now - 50 * DAY, "m")]).await;
    server.query("OPTIMIZE TABLE torana.inference FINAL SETTINGS mutations_sync = 2");
    assert_eq!(store.ids(&secret).await, [id(5), id(4), id(3)]);
    let comment = "SELECT DISTINCT comment FROM system.tables WHERE database = 'torana' \
                   AND comment != ''";
    assert_eq!(server.query(comment), "inference_days = unlimited, content_days = unlimited");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_of_a_table_is_filled_by_some_row() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::clickhouse(folder.path(), &server.url(), "").await;
    store.write(&rows(8, 1_500)).await;
    let full = json!({ "id": id(90_000), "time_unix_ms": NOW, "finish_reason": "stop",
        "cost_source": "mixed", "snapshot": "ab", "span_id": "cd", "parent_span_id": "ef",
        "overhead_us": 12, "usage": { "audio": 3, "estimated": true } });
    let attempt = json!({ "id": id(90_001), "time_unix_ms": NOW, "cost_source": "catalog",
        "span_id": "cd", "status": 200, "usage": { "audio": 3, "estimated": true },
        "error": { "kind": "timeout", "code": "idle" } });
    store
        .write(&[
            row(RowKind::Inference, &id(90_000), &full.to_string()),
            row(RowKind::ModelInference, &id(90_000), &attempt.to_string()),
        ])
        .await;
    for table in
        ["inference", "model_inference", "feedback", "decision", "plugin_event", "snapshot"]
    {
        let columns = server.query(&format!(
            "SELECT name FROM system.columns WHERE database = 'torana' AND table = '{table}'"
        ));
        for column in columns.lines() {
            let filled = format!(
                "SELECT count() FROM torana.{table} WHERE isNotNull({column}) AND \
                 toString({column}) NOT IN ('', '0', '[]', '{{}}', 'false')"
            );
            assert_ne!(server.query(&filled), "0", "{table}.{column} is always empty");
        }
    }
    // The same figures by hand, as docs/data-model.md shows it.
    let random_model = Random::new(1).one_of(&["gpt-5"]);
    let by_hand = server.query(&format!(
        "SELECT count() FROM torana.inference FINAL WHERE model = '{random_model}'"
    ));
    let filter = RowFilter { model: Some(random_model.to_owned()), ..EVERYTHING };
    assert_eq!(by_hand, store.ids(&filter).await.len().to_string());
}
