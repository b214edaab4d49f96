//! The same rows to every store, the same questions, and the answers of the contract.

use std::path::Path;

use serde_json::{Value, json};
use torana::plugin::sink::{
    EVERYTHING, FeedbackRow, Order, Outcome, PageRequest, QueryError, Row, RowFilter, RowKind,
    Spread, Table, UsageReport, UsageRow,
};
use torana_tests::clickhouse::ClickHouse;
use torana_tests::postgres::Postgres;
use torana_tests::process::Missing;

use crate::oracle::Oracle;
use crate::questions::{self, Listing, TABLES};
use crate::rows::{Random, id, row, rows};
use crate::store::{BATCH, Store};

/// Rows that every store is asked about.
const ROWS: usize = 5_000;

/// The engines of stores that are servers.
struct Servers {
    clickhouse: ClickHouse,
    postgres: Postgres,
}

/// Absent where one is missing; that is said.
fn servers(test: &str) -> Option<Servers> {
    let clickhouse = Missing::or_skip(ClickHouse::start(), test)?;
    let postgres = Missing::or_skip(Postgres::start(), test)?;
    Some(Servers { clickhouse, postgres })
}

/// Every store, empty.
async fn stores(folder: &Path, servers: &Servers) -> [Store; 3] {
    [
        Store::sqlite(folder).await,
        Store::clickhouse(folder, &servers.clickhouse.url(), "").await,
        Store::postgres(folder, &servers.postgres.url(), "").await,
    ]
}

/// Delivers as a gateway does that crashes now and then: batches twice, rows twice in one
/// batch, the last batches again at the end.
async fn deliver(store: &mut Store, rows: &[Row]) {
    for (number, batch) in rows.chunks(BATCH).enumerate() {
        store.write(batch).await;
        if number % 3 == 0 {
            store.write(batch).await;
        }
        let twice: Vec<Row> =
            batch.iter().take(20).flat_map(|it| [it.clone(), it.clone()]).collect();
        store.write(&twice).await;
    }
    store.write(&rows[rows.len() - BATCH..]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_store_answers_every_question_as_the_contract_says() {
    let Some(servers) = servers("conformance of stores") else { return };
    let folder = tempfile::tempdir().unwrap();
    let rows = rows(1, ROWS);
    let oracle = Oracle::of(&rows);
    for mut store in stores(folder.path(), &servers).await {
        deliver(&mut store, &rows).await;
        lists(&mut store, &oracle).await;
        texts(&mut store, &oracle).await;
        inferences(&mut store, &oracle).await;
        usage(&mut store, &oracle).await;
        statistics(&mut store, &oracle).await;
    }
}

async fn lists(store: &mut Store, oracle: &Oracle) {
    for table in TABLES {
        for filter in questions::single_filters() {
            let order = Order::OldestFirst;
            check_list(store, oracle, &Listing { table, filter, order, limit: 1_000 }).await;
        }
    }
    let mut random = Random::new(2);
    let mut answered = 0;
    for _ in 0..150 {
        answered += usize::from(check_list(store, oracle, &questions::listing(&mut random)).await);
    }
    assert!(answered > 50, "{answered} questions had an answer");
}

async fn texts(store: &mut Store, oracle: &Oracle) {
    for text in questions::texts() {
        let filter = RowFilter { text: Some(text), ..EVERYTHING };
        let order = Order::NewestFirst;
        check_list(
            store,
            oracle,
            &Listing { table: Table::Inference, filter, order, limit: 1_000 },
        )
        .await;
    }
}

/// All pages, one after the other, each within its bounds. Whether there was anything.
async fn check_list(store: &mut Store, oracle: &Oracle, question: &Listing) -> bool {
    let Listing { table, filter, order, limit } = question;
    let mut request = PageRequest { order: *order, limit: *limit, cursor: None };
    let mut found = Vec::new();
    loop {
        let page = store.reader.list_rows(*table, filter, &request).await.unwrap();
        let page = page.unwrap_or_else(|error| panic!("{}: {question:?}: {error:?}", store.name));
        assert!(page.items.len() <= *limit as usize, "{}: {question:?}", store.name);
        assert!(!page.items.is_empty() || page.next.is_none(), "{}: {question:?}", store.name);
        found.extend(page.items.into_iter().map(|item| String::from_utf8(item).unwrap()));
        request.cursor = page.next;
        if request.cursor.is_none() {
            break;
        }
    }
    let expected = oracle.list(*table, filter, *order);
    assert_eq!(found.len(), expected.len(), "{}: {question:?}", store.name);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected, "{}: {question:?}", store.name);
    }
    !expected.is_empty()
}

async fn inferences(store: &mut Store, oracle: &Oracle) {
    let ids = oracle.inference_ids();
    for id in ids.iter().step_by(ids.len() / 60) {
        let found = store.reader.get_inference(id).await.unwrap().unwrap().unwrap();
        let found: Value = serde_json::from_slice(&found).unwrap();
        assert_eq!(Some(found), oracle.inference(id), "{}", store.name);
    }
    for nobody in ["", "x' OR true --", "01990000-ffff-7000-8000-ffffffffffff"] {
        let found = store.reader.get_inference(nobody).await.unwrap().unwrap();
        assert_eq!(found, None, "{}: {nobody}", store.name);
    }
}

async fn usage(store: &mut Store, oracle: &Oracle) {
    let mut random = Random::new(3);
    for _ in 0..120 {
        let request = questions::usage(&mut random);
        let found = store.reader.usage(&request).await.unwrap();
        let found = found.unwrap_or_else(|error| panic!("{}: {request:?}: {error:?}", store.name));
        let what = format!("{}: {request:?}", store.name);
        check_usage(&what, &found, &oracle.usage(&request));
    }
}

fn check_usage(what: &str, found: &UsageReport, expected: &UsageReport) {
    assert_eq!(found.truncated, expected.truncated, "{what}");
    assert_eq!(found.rows.len(), expected.rows.len(), "{what}");
    for (found, expected) in found.rows.iter().zip(&expected.rows) {
        // Every figure that is summed in floating point aside.
        let exact = |row: &UsageRow| {
            (
                (row.start_unix_ms, row.group.clone(), row.rows, row.ok, row.errors, row.cancelled),
                (row.input_tokens, row.cached_input_tokens, row.cache_write_tokens),
                (row.output_tokens, row.reasoning_tokens, row.unpriced),
                [row.ttft, row.total].map(|it| it.map(|it| (it.p50_ms, it.p95_ms))),
            )
        };
        assert_eq!(exact(found), exact(expected), "{what}");
        check_close(what, found.cost_usd, expected.cost_usd);
        let mean = |spread: Option<Spread>| spread.map_or(0.0, |spread| spread.mean_ms);
        check_close(what, mean(found.ttft), mean(expected.ttft));
        check_close(what, mean(found.total), mean(expected.total));
    }
}

async fn statistics(store: &mut Store, oracle: &Oracle) {
    let mut random = Random::new(4);
    for _ in 0..60 {
        let request = questions::statistics(&mut random);
        let found = store.reader.feedback_statistics(&request).await.unwrap().unwrap();
        let expected = oracle.feedback_statistics(&request);
        let what = format!("{}: {request:?}", store.name);
        let exact = |rows: &[FeedbackRow]| -> Vec<_> {
            rows.iter().map(|it| (it.function.clone(), it.variant.clone(), it.count)).collect()
        };
        assert_eq!(exact(&found), exact(&expected), "{what}");
        for (found, expected) in found.iter().zip(&expected) {
            check_close(&what, found.mean, expected.mean);
            check_close(&what, found.variance, expected.variance);
        }
    }
}

/// The order of summing is the store's.
fn check_close(what: &str, found: f64, expected: f64) {
    let most = 1e-9_f64.max(expected.abs() * 1e-9);
    assert!((found - expected).abs() <= most, "{what}: {found} is not {expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_of_others_and_questions_that_make_no_sense_are_refused() {
    let Some(servers) = servers("refusals of stores") else { return };
    let folder = tempfile::tempdir().unwrap();
    let rows = rows(5, 60);
    for mut store in stores(folder.path(), &servers).await {
        store.write(&rows).await;
        let newest = PageRequest { order: Order::NewestFirst, limit: 1, cursor: None };
        let page = store.reader.list_rows(Table::Inference, &EVERYTHING, &newest).await.unwrap();
        let cursor = page.unwrap().next;
        assert!(cursor.is_some());
        let oldest = PageRequest { order: Order::OldestFirst, limit: 1, cursor: cursor.clone() };
        let other = PageRequest { cursor, ..newest.clone() };
        let nobodys = PageRequest { cursor: Some("nobody's".to_owned()), ..newest };
        for (table, request) in
            [(Table::Inference, &oldest), (Table::Feedback, &other), (Table::Inference, &nobodys)]
        {
            let found = store.reader.list_rows(table, &EVERYTHING, request).await.unwrap();
            assert!(matches!(found, Err(QueryError::InvalidCursor)), "{}: {found:?}", store.name);
        }
        let usage = questions::usage(&mut Random::new(6));
        let usage = torana::plugin::sink::UsageRequest { of: Table::Feedback, ..usage };
        let found = store.reader.usage(&usage).await.unwrap();
        assert!(matches!(found, Err(QueryError::Unsupported(_))), "{}: {found:?}", store.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_megabytes_come_back_whole_a_few_at_a_time() {
    let Some(servers) = servers("large rows in stores") else { return };
    let folder = tempfile::tempdir().unwrap();
    let line = |number: u64| {
        let text = format!("{} line\n\"{number}\"", "word ".repeat(300_000));
        let json = json!({ "id": id(number), "time_unix_ms": number, "request": { "text": text },
            "response": null, "content": "full" });
        row(RowKind::Inference, &id(number), &json.to_string())
    };
    let rows: Vec<Row> = (1..=9).map(line).collect();
    let oracle = Oracle::of(&rows);
    for mut store in stores(folder.path(), &servers).await {
        for pair in rows.chunks(2) {
            store.write(pair).await;
        }
        let order = Order::NewestFirst;
        let question = Listing { table: Table::Inference, filter: EVERYTHING, order, limit: 1_000 };
        check_list(&mut store, &oracle, &question).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_too_large_is_kept_without_its_content_and_no_object_is_rejected() {
    let Some(servers) = servers("rows beyond the bounds of stores") else { return };
    let folder = tempfile::tempdir().unwrap();
    let json = json!({ "id": id(1), "time_unix_ms": 1, "model": "m", "content": "full",
        "request": { "text": "long ".repeat(2_000_000) }, "response": "r" });
    let huge = row(RowKind::Inference, &id(1), &json.to_string());
    let small =
        row(RowKind::Inference, &id(2), &json!({ "id": id(2), "time_unix_ms": 2 }).to_string());
    let mut array = small.clone();
    array.json = b"[1]".to_vec();
    let mut text = small.clone();
    text.json = b"{\"id\":".to_vec();
    for mut store in stores(folder.path(), &servers).await {
        let batch = [array.clone(), huge.clone(), small.clone(), text.clone()];
        let outcome = store.writer.write(&batch).await.unwrap();
        let Outcome::Reject(rejected) = outcome else { panic!("{}: {outcome:?}", store.name) };
        let rejected: Vec<u32> = rejected.iter().map(|it| it.row).collect();
        assert_eq!(rejected, [0, 3], "{}", store.name);
        let page = PageRequest { order: Order::OldestFirst, limit: 10, cursor: None };
        let page = store.reader.list_rows(Table::Inference, &EVERYTHING, &page).await.unwrap();
        let items = page.unwrap().items;
        let kept: Value = serde_json::from_slice(&items[0]).unwrap();
        let expected = json!({ "id": id(1), "time_unix_ms": 1, "model": "m",
            "content": "metadata", "request": null, "response": null });
        assert_eq!(kept, expected, "{}", store.name);
        assert_eq!(items[1], small.json, "{}", store.name);
    }
}
