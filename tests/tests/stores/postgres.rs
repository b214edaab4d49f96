//! What PostgreSQL does to a store: be down, refuse, forget, be of another version, hold long
//! names, and let things expire. Through the component, against the real server.

use serde_json::{Value, json};
use torana::plugin::catalog::LoadCause;
use torana::plugin::sink::{
    EVERYTHING, FeedbackRequest, Outcome, QueryError, Row, RowFilter, RowKind, SinkWriter, Table,
    UsageRequest,
};
use torana_tests::postgres::Postgres;
use torana_tests::process::Missing;

use crate::questions;
use crate::rows::{DAY, NOW, Random, id, inference, row, rows};
use crate::store::{ALL, Store, postgres, sink};

fn server() -> Option<Postgres> {
    Missing::or_skip(Postgres::start(), "PostgreSQL")
}

async fn is_put_off(writer: &mut SinkWriter, batch: &[Row]) {
    let outcome = writer.write(batch).await.unwrap();
    assert!(matches!(outcome, Outcome::Retry(_)), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_postgres_cannot_take_is_found_and_rejected_with_its_words() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::postgres(folder.path(), &server.url(), "").await;
    server.query("ALTER TABLE torana.inference ADD CONSTRAINT mine CHECK (model <> 'forbidden')");
    let forbidden = [17_u32, 100, 101, 399];
    let model = |number| if forbidden.contains(&number) { "forbidden" } else { "m" };
    let batch: Vec<Row> =
        (0..400).map(|it| inference(it.into(), NOW + u64::from(it), model(it))).collect();
    let outcome = store.writer.write(&batch).await.unwrap();
    let Outcome::Reject(rejections) = outcome else { panic!("{outcome:?}") };
    let rejected: Vec<u32> = rejections.iter().map(|it| it.row).collect();
    assert_eq!(rejected, forbidden);
    for rejection in &rejections {
        assert!(rejection.reason.contains("\"mine\""), "{}", rejection.reason);
        // The server's detail quotes the whole row.
        assert!(!rejection.reason.contains("secret"), "{}", rejection.reason);
    }
    assert_eq!(store.ids(&EVERYTHING).await.len(), 396);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_is_down_is_asked_again_and_then_has_everything() {
    let Some(mut server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    server.stop();
    // Opened while it is down: a gateway starts without its store.
    let mut store = Store::postgres(folder.path(), &server.url(), "").await;
    let batch: Vec<Row> = (0..20).map(|it| inference(it, NOW + it, "m")).collect();
    is_put_off(&mut store.writer, &batch).await;
    let asked = store.reader.list_rows(Table::Inference, &EVERYTHING, &ALL).await.unwrap();
    assert!(matches!(asked, Err(QueryError::Unavailable(_))), "{asked:?}");
    server.resume();
    store.write(&batch).await;
    assert_eq!(store.ids(&EVERYTHING).await.len(), 20);
    // Acknowledged is on disk: the process is killed, not stopped. Neither connection is any
    // good then, and nobody notices.
    server.stop();
    server.resume();
    assert_eq!(store.ids(&EVERYTHING).await.len(), 20);
    store.write(&batch).await;
    assert_eq!(store.ids(&EVERYTHING).await.len(), 20, "twice is once");
    // Nor does it show when the server ends a connection that is at rest. It waits until they
    // are gone: one that ends in the midst of a statement is another matter.
    server.query(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
         WHERE application_name = 'torana'",
    );
    store.write(&[inference(20, NOW + 20, "m")]).await;
    assert_eq!(store.ids(&EVERYTHING).await.len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_costs_time_and_not_the_plugin() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("postgres://u:p@{}/x?sslmode=disable", silent.local_addr().unwrap());
    std::fs::write(folder.path().join("database"), url).unwrap();
    let keys = "database = \"file:database\"\n[plugins.sink-postgres.limits]\nio_ms = 1000";
    let silent = sink(folder.path(), "sink-postgres", "", keys).unwrap();
    let mut writer = silent.writer().await.unwrap();
    is_put_off(&mut writer, &[inference(1, NOW, "m")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_were_dropped_or_changed_cost_no_row() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::postgres(folder.path(), &server.url(), "").await;
    store.write(&[inference(1, NOW, "m")]).await;
    server.query("DROP SCHEMA torana CASCADE");
    let batch = [inference(2, NOW, "m")];
    is_put_off(&mut store.writer, &batch).await;
    store.write(&batch).await;
    assert_eq!(store.ids(&EVERYTHING).await, [id(2)]);
    server.query("ALTER TABLE torana.inference RENAME COLUMN model TO something");
    is_put_off(&mut store.writer, &[inference(3, NOW, "m")]).await;
    server.query("ALTER TABLE torana.inference RENAME COLUMN something TO model");
    store.write(&[inference(3, NOW + 1, "m")]).await;
    assert_eq!(store.ids(&EVERYTHING).await, [id(2), id(3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_let_in_loses_no_row() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let batch = [inference(1, NOW, "m")];
    let wrong = server.url().replace("correct", "wrong");
    let mut store = Store::postgres(folder.path(), &wrong, "").await;
    is_put_off(&mut store.writer, &batch).await;
    let nowhere = server.url().replace("/torana?", "/nowhere?");
    let mut store = Store::postgres(folder.path(), &nowhere, "").await;
    is_put_off(&mut store.writer, &batch).await;
    // A user who may use what is there, and make nothing.
    drop(Store::postgres(folder.path(), &server.url(), "").await);
    server.query("CREATE ROLE guest LOGIN PASSWORD 'guest'; GRANT USAGE ON SCHEMA torana TO guest");
    let guest = server.url().replace("torana:correct%20horse", "guest:guest");
    let mut store = Store::postgres(folder.path(), &guest, "").await;
    is_put_off(&mut store.writer, &batch).await;
    server.query("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA torana TO guest");
    store.write(&batch).await;
    assert_eq!(store.ids(&EVERYTHING).await, [id(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked_and_an_authority_may_be_named() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let batch = [inference(1, NOW, "m")];
    // Nobody's in particular, as far as Mozilla knows.
    for mode in ["require", "verify-full", "prefer"] {
        let url = server.url_with(&format!("sslmode={mode}"));
        let mut store = Store::postgres(folder.path(), &url, "").await;
        is_put_off(&mut store.writer, &batch).await;
        let asked = store.reader.list_rows(Table::Inference, &EVERYTHING, &ALL).await.unwrap();
        let Err(QueryError::Unavailable(words)) = asked else { panic!("{asked:?}") };
        assert!(words.contains("UnknownIssuer") && words.contains("sslrootcert"), "{words}");
    }
    let authority = server.authority();
    let url = server.url_with(&format!("sslmode=verify-full&sslrootcert={}", authority.display()));
    let mut store = Store::postgres(folder.path(), &url, "").await;
    store.write(&batch).await;
    let encrypted = server.query(
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE application_name = 'torana'",
    );
    assert_eq!(encrypted, "t");
    // The certificate is for another name.
    let mut store =
        Store::postgres(folder.path(), &url.replace("@localhost:", "@127.0.0.1:"), "").await;
    is_put_off(&mut store.writer, &batch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_store_of_a_later_version_is_refused_untouched() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    drop(Store::postgres(folder.path(), &server.url(), "").await);
    server.query("DROP TABLE torana.snapshot");
    server.query("INSERT INTO torana.torana_migration (version) VALUES (99)");
    let refused = postgres(folder.path(), &server.url(), "").unwrap().writer().await;
    match refused.err().unwrap() {
        LoadCause::Settings { pointer, message } => {
            assert_eq!(pointer, "/schema");
            assert!(message.contains("version 99"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.query("SELECT to_regclass('torana.snapshot') IS NULL"), "t");
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_share_a_database_make_its_tables_once_and_each_row_once() {
    let Some(server) = server() else { return };
    let folders: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let rows = rows(7, 400);
    let deliveries = folders.iter().map(|folder| {
        let (url, rows, folder) = (server.url(), rows.clone(), folder.path().to_owned());
        tokio::spawn(async move {
            let mut store = Store::postgres(&folder, &url, "schema = \"shared\"").await;
            for batch in rows.chunks(100) {
                // Two that insert the same rows in one moment may be told to come again.
                let mut is_taken = false;
                for _ in 0..100 {
                    is_taken = is_taken
                        || matches!(store.writer.write(batch).await.unwrap(), Outcome::Ack);
                }
                assert!(is_taken);
            }
        })
    });
    for delivery in deliveries.collect::<Vec<_>>() {
        delivery.await.unwrap();
    }
    let counted = server.query(
        "SELECT (SELECT count(*) FROM shared.inference) + \
         (SELECT count(*) FROM shared.model_inference) + (SELECT count(*) FROM shared.feedback) + \
         (SELECT count(*) FROM shared.decision) + (SELECT count(*) FROM shared.plugin_event) + \
         (SELECT count(*) FROM shared.snapshot), \
         (SELECT count(*) FROM shared.torana_migration)",
    );
    assert_eq!(counted, format!("{}|1", rows.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_words_longer_than_an_index_takes_are_kept_and_found() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::postgres(folder.path(), &server.url(), "").await;
    // Nothing that a server could make shorter.
    let long = |seed: u64| -> String {
        let mut random = Random::new(seed);
        (0..3_000).map(|_| format!("{:04x}", random.below(1 << 16))).collect()
    };
    let (name, other) = (long(1), long(2));
    let alike = format!("{}{other}", &name[..2_000]);
    let call = |number: u64, name: &str| {
        let json = json!({ "id": id(number), "time_unix_ms": NOW + number, "model": name,
            "endpoint": format!("sim/{name}"), "tags": { "long": name }, "response_id": name,
            "request": format!("{name}, null") });
        row(RowKind::Inference, &id(number), &json.to_string())
    };
    store.write(&[call(1, &name), call(2, &alike)]).await;
    let by = |filter| RowFilter { ..filter };
    for filter in [
        by(RowFilter { model: Some(name.clone()), ..EVERYTHING }),
        by(RowFilter { endpoint: Some(format!("sim/{name}")), ..EVERYTHING }),
        by(RowFilter { tags: vec![("long".into(), name.clone())], ..EVERYTHING }),
        by(RowFilter { text: Some(format!("NULL {name}")), ..EVERYTHING }),
        by(RowFilter { response_id: Some(name.clone()), ..EVERYTHING }),
    ] {
        assert_eq!(store.ids(&filter).await, [id(1)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_figure_that_nobody_means_fails_no_report() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::postgres(folder.path(), &server.url(), "").await;
    let judged = |number: u64, value: f64| {
        let json = json!({ "id": id(number), "time_unix_ms": NOW, "target": "inference",
            "inference_id": id(100 + number), "metric": "score", "value": value });
        row(RowKind::Feedback, &id(100 + number), &json.to_string())
    };
    store.write(&[judged(1, 1e300), judged(2, -1e300), judged(3, 1e-300), judged(4, 0.5)]).await;
    let cost = json!({ "id": id(5), "time_unix_ms": NOW, "cost_usd": 1e308, "usage": {} });
    let again = json!({ "id": id(6), "time_unix_ms": NOW, "cost_usd": 1e308, "usage": {} });
    for json in [cost, again] {
        let id = json["id"].as_str().unwrap();
        store.write(&[row(RowKind::Inference, id, &json.to_string())]).await;
    }
    let request = FeedbackRequest {
        function: None,
        metric: "score".into(),
        since_unix_ms: None,
        until_unix_ms: None,
    };
    let found = store.reader.feedback_statistics(&request).await.unwrap().unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].count, 4);
    let usage = questions::usage(&mut Random::new(1));
    let usage = UsageRequest { filter: EVERYTHING, by: vec![], interval_ms: None, ..usage };
    let found = store.reader.usage(&usage).await.unwrap();
    assert!(found.is_ok(), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_and_rows_of_postgres_expire_and_settings_may_change() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = u64::try_from(now.as_millis()).unwrap();
    let mut store = Store::postgres(folder.path(), &server.url(), "").await;
    let rows = [
        inference(1, now - 40 * DAY, "m"),
        inference(2, now - 10 * DAY, "m"),
        inference(3, now, "m"),
    ];
    store.write(&rows).await;
    let settings = "inference_days = 30, content_days = 7";
    let mut store = Store::postgres(folder.path(), &server.url(), settings).await;
    store.write(&rows[2..]).await;
    let secret = RowFilter { text: Some("SECRET".to_owned()), ..EVERYTHING };
    assert_eq!(store.ids(&EVERYTHING).await, [id(2), id(3)]);
    assert_eq!(store.ids(&secret).await, [id(3)]);
    let found = store.reader.get_inference(&id(2)).await.unwrap().unwrap().unwrap();
    let found: Value = serde_json::from_slice(&found).unwrap();
    assert_eq!([&found["request"], &found["response"]], [&Value::Null, &Value::Null]);
    assert_eq!([&found["content"], &found["model"]], ["metadata", "m"]);
    for wrong in ["inference_days = 0", "schema = \"Torana\"", "schema = \"\"", "nothing = 1"] {
        let sink = postgres(folder.path(), &server.url(), wrong).unwrap();
        let refused = sink.writer().await.err();
        assert!(matches!(refused, Some(LoadCause::Settings { .. })), "{wrong}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_of_postgres_is_filled_by_some_row_and_answers_by_hand() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::postgres(folder.path(), &server.url(), "").await;
    store.write(&rows(8, 1_500)).await;
    let full = json!({ "id": id(90_000), "time_unix_ms": NOW, "finish_reason": "stop",
        "cost_source": "mixed", "overhead_us": 12, "usage": { "audio": 3 },
        "request": { "temperature": 0.5 } });
    let attempt = json!({ "id": id(90_001), "time_unix_ms": NOW, "cost_source": "catalog",
        "status": 200, "usage": { "audio": 3 }, "error": { "kind": "timeout", "code": "idle" } });
    store
        .write(&[
            row(RowKind::Inference, &id(90_000), &full.to_string()),
            row(RowKind::ModelInference, &id(90_000), &attempt.to_string()),
        ])
        .await;
    let columns = server.query(
        "SELECT table_name, column_name FROM information_schema.columns \
         WHERE table_schema = 'torana' AND table_name <> 'torana_migration'",
    );
    assert!(columns.lines().count() > 90, "{columns}");
    for (table, column) in columns.lines().filter_map(|line| line.split_once('|')) {
        let filled = format!(
            "SELECT count(*) FROM torana.{table} WHERE {column} IS NOT NULL AND \
             CAST({column} AS text) NOT IN ('', '0', '{{}}', 'f')"
        );
        assert_ne!(server.query(&filled), "0", "{table}.{column} is always empty");
    }
    // The questions by hand of docs/data-model.md.
    let by_hand = "SELECT time, json::jsonb #>> '{request,temperature}' FROM torana.inference \
                   WHERE overhead_us = 12";
    assert_eq!(server.query(by_hand), "2026-11-23 00:00:00+00|0.5");
    let plan = server.query(
        "SET enable_seqscan = off; SET enable_bitmapscan = off; EXPLAIN SELECT * FROM torana.inference \
         WHERE left(model, 256) = left('m', 256) AND model = 'm' ORDER BY time_unix_ms, id LIMIT 9",
    );
    assert!(plan.contains("inference_by_model") && !plan.contains("Sort"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, for people"]
async fn how_fast_a_backlog_goes_to_postgres() {
    let Some(server) = server() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::postgres(folder.path(), &server.url(), "").await;
    let rows = rows(9, 20_000);
    let start = std::time::Instant::now();
    store.write(&rows).await;
    let took = start.elapsed();
    println!("{} rows in {took:?}: {:.0}/s", rows.len(), rows.len() as f64 / took.as_secs_f64());
}
