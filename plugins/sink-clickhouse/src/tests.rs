//! The sink over a scripted server: what it asks, and what it makes of errors. Everything that
//! needs SQL is tried against the real engine, in `tests/tests/stores`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use percent_encoding::percent_decode_str;
use torana_plugin_sdk::Header;
use torana_plugin_sdk::host::http::{Error, Request, Response};
use torana_plugin_sdk::sink::{RowKind, Table};

use super::*;

/// What the server says to an insert, by the ids in it.
type Rule = Box<dyn Fn(&str, &[String]) -> Result<Response, Error>>;

/// A server that knows the tables of this version and takes what its rule lets through.
struct Fake {
    rule: Rule,
    /// Decoded URL and body of every insert, oldest first.
    inserts: Rc<RefCell<Vec<(String, String)>>>,
    /// Answers to everything else; then those of an empty store that is up to date.
    answers: VecDeque<Result<Response, Error>>,
    now_ns: Rc<RefCell<u64>>,
    /// How long every request takes.
    takes_ns: u64,
}

impl Transport for Fake {
    fn send(&mut self, request: &Request) -> Result<Response, Error> {
        *self.now_ns.borrow_mut() += self.takes_ns;
        let url = percent_decode_str(&request.url).decode_utf8().unwrap().into_owned();
        let body = String::from_utf8(request.body.clone()).unwrap();
        if url.contains("INSERT INTO") {
            let line = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
            let ids: Vec<String> =
                body.lines().map(|it| line(it)["id"].as_str().unwrap().to_owned()).collect();
            self.inserts.borrow_mut().push((url.clone(), body));
            return (self.rule)(&url, &ids);
        }
        if let Some(answer) = self.answers.pop_front() {
            return answer;
        }
        Ok(answer(200, if body.contains("comment") { "[\"\"]\n" } else { "[1]\n" }))
    }

    fn now_ns(&self) -> u64 {
        *self.now_ns.borrow()
    }
}

fn fake(rule: impl Fn(&str, &[String]) -> Result<Response, Error> + 'static) -> Fake {
    Fake {
        rule: Box::new(rule),
        inserts: Rc::default(),
        answers: VecDeque::new(),
        now_ns: Rc::default(),
        takes_ns: 0,
    }
}

fn answer(status: u16, body: &str) -> Response {
    Response { status, headers: vec![], body: body.as_bytes().to_vec() }
}

fn exception(status: u16, code: u32, words: &str) -> Response {
    let header = Header { name: "x-clickhouse-exception-code".into(), value: code.to_string() };
    let body = format!("Code: {code}. DB::Exception: {words}");
    Response { headers: vec![header], ..answer(status, &body) }
}

fn settings() -> Settings {
    serde_json::from_str(r#"{"url":"http://localhost:8123/"}"#).unwrap()
}

fn store(fake: Fake) -> Store<Fake> {
    Store::over(fake, &settings()).unwrap()
}

fn row(kind: RowKind, id: &str) -> Row {
    let json = format!("{{\"id\":\"{id}\",\"time_unix_ms\":1,\"request\":\"q\"}}").into_bytes();
    Row { id: id.into(), kind, inference_id: "i".into(), time_unix_ms: 1, json }
}

fn batch(count: usize) -> Vec<Row> {
    (0..count).map(|it| row(RowKind::Inference, &it.to_string())).collect()
}

#[test]
fn a_batch_is_one_insert_a_table_and_the_inferences_come_last() {
    let fake = fake(|_, _| Ok(answer(200, "")));
    let inserts = fake.inserts.clone();
    let mut store = store(fake);
    let batch: Vec<Row> = ["a", "b"]
        .iter()
        .flat_map(|id| {
            [RowKind::Inference, RowKind::ModelInference, RowKind::Feedback].map(|it| row(it, id))
        })
        .collect();
    assert_eq!(store.take(&batch), Outcome::Ack);
    let inserts = inserts.borrow();
    let tables: Vec<&str> = inserts
        .iter()
        .map(|(url, _)| url.split("INSERT INTO ").nth(1).unwrap().split(' ').next().unwrap())
        .collect();
    assert_eq!(tables, ["model_inference", "feedback", "inference"]);
    for (url, body) in inserts.iter() {
        assert!(url.starts_with("http://localhost:8123/?database=torana&async_insert=1"), "{url}");
        assert!(url.contains("wait_for_async_insert=1"), "{url}");
        assert_eq!(body.lines().count(), 2);
    }
}

#[test]
fn columns_of_the_schema_and_of_records_are_the_same() {
    let kinds = [
        RowKind::Inference,
        RowKind::ModelInference,
        RowKind::Feedback,
        RowKind::Decision,
        RowKind::PluginEvent,
        RowKind::Snapshot,
    ];
    for kind in kinds {
        let opening = format!("CREATE TABLE IF NOT EXISTS {} (\n", kind.as_str());
        let (_, rest) = include_str!("schema.sql").split_once(&opening).unwrap();
        let (body, _) = rest.split_once("\n)\n").unwrap();
        let mut declared: Vec<&str> = body
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .filter(|line| !line.starts_with([' ', '-']) && !line.starts_with("INDEX"))
            .filter(|line| !line.contains(" ALIAS ") && !line.starts_with("time DateTime64"))
            .filter_map(|line| line.split(' ').next())
            .filter(|name| name.chars().all(|it| it.is_ascii_lowercase() || it == '_'))
            .collect();
        let record = record::record(&row(kind, "a"), record::Content::Kept).unwrap();
        let mut written: Vec<&str> = record.columns.split(',').collect();
        declared.sort_unstable();
        written.sort_unstable();
        assert_eq!(written, declared, "{kind:?}");
    }
}

#[test]
fn rows_that_can_never_be_taken_are_found_by_halves_each_insert_alone() {
    let bad = |ids: &[String]| ids.iter().any(|id| id == "3" || id == "97");
    let fake = fake(move |url, ids| {
        assert!(url.contains("async_insert=0") || ids.len() == 100, "{url}");
        let refused = exception(400, 27, &format!("row of {ids:?}"));
        Ok(if bad(ids) { refused } else { answer(200, "") })
    });
    let inserts = fake.inserts.clone();
    let mut store = store(fake);
    let Outcome::Reject(rejections) = store.take(&batch(100)) else { panic!("not rejected") };
    let rows: Vec<u32> = rejections.iter().map(|it| it.row).collect();
    assert_eq!(rows, [3, 97]);
    assert!(rejections[0].reason.contains("DB::Exception: row of [\"3\"]"), "{rejections:?}");
    assert!(inserts.borrow().len() < 40, "{}", inserts.borrow().len());
    let taken = |id: &str| {
        let inserts = inserts.borrow();
        inserts.iter().any(|(_, body)| {
            let ids: Vec<String> = body
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
                .map(|line| line["id"].as_str().unwrap().to_owned())
                .collect();
            !bad(&ids) && ids.iter().any(|it| it == id)
        })
    };
    assert!(
        (0..100).map(|it| it.to_string()).filter(|it| it != "3" && it != "97").all(|it| taken(&it))
    );
}

#[test]
fn a_search_that_takes_longer_than_a_call_goes_on_in_the_next() {
    // Every row is bad, and a call has time for 16 requests.
    let mut fake = fake(|_, _| Ok(exception(400, 469, "constraint")));
    fake.takes_ns = 500_000_000;
    let mut store = store(fake);
    let batch = batch(60);
    let mut calls = 0;
    let rejections = loop {
        calls += 1;
        match store.take(&batch) {
            Outcome::Reject(rejections) => break rejections,
            Outcome::Retry(_) => assert!(calls < 60, "it never ends"),
            Outcome::Ack => panic!("nothing was taken"),
        }
    };
    assert!(calls > 1);
    assert_eq!(rejections.iter().map(|it| it.row).collect::<Vec<_>>(), (0..60).collect::<Vec<_>>());
    assert!(store.writer.is_idle());
}

#[test]
fn what_time_or_the_operator_may_mend_costs_no_row() {
    for failure in [
        Ok(exception(500, 241, "memory limit exceeded")),
        Ok(exception(500, 252, "too many parts")),
        Ok(exception(403, 516, "authentication failed")),
        Ok(exception(500, 497, "not enough privileges")),
        Ok(exception(404, 81, "no database")),
        Ok(exception(404, 60, "no table")),
        Ok(exception(200, 159, "timeout, told too late for the status")),
        Ok(answer(502, "bad gateway")),
        Ok(answer(401, "a proxy")),
        Err(Error::Timeout),
        Err(Error::Connection("refused".into())),
        Err(Error::NotGranted("http://localhost:8123".into())),
        Err(Error::BlockedAddress("10.0.0.1".into())),
    ] {
        let shown = format!("{failure:?}");
        let mut store = store(fake(move |_, _| failure.clone()));
        assert_eq!(store.take(&batch(3)), Outcome::Retry(250), "{shown}");
        assert_eq!(store.take(&batch(3)), Outcome::Retry(500), "{shown}");
        store.writer = Writer::new(MIB);
        assert!(matches!(store.take(&batch(1)), Outcome::Retry(250)), "{shown}");
    }
}

#[test]
fn pauses_grow_to_a_bound_and_are_forgotten() {
    let up = Rc::new(RefCell::new(false));
    let is_up = up.clone();
    let mut store =
        store(fake(
            move |_, _| {
                if *is_up.borrow() { Ok(answer(200, "")) } else { Err(Error::Timeout) }
            },
        ));
    let pauses: Vec<Outcome> = (0..8).map(|_| store.take(&batch(1))).collect();
    let expected = [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000].map(Outcome::Retry);
    assert_eq!(pauses, expected);
    *up.borrow_mut() = true;
    assert_eq!(store.take(&batch(1)), Outcome::Ack);
    *up.borrow_mut() = false;
    assert_eq!(store.take(&batch(1)), Outcome::Retry(250));
}

#[test]
fn a_proxy_that_takes_no_large_body_gets_smaller_ones() {
    let mut store = store(fake(|_, ids| {
        Ok(if ids.len() > 10 { answer(413, "too large") } else { answer(200, "") })
    }));
    assert_eq!(store.take(&batch(100)), Outcome::Ack);
}

#[test]
fn a_server_that_is_down_is_no_reason_to_refuse_and_a_newer_store_is() {
    let mut down = fake(|_, _| Ok(answer(200, "")));
    down.answers = VecDeque::from([Err(Error::Connection("refused".into()))]);
    let mut store = Store::over(down, &settings()).unwrap();
    assert!(!store.prepared);
    assert_eq!(store.take(&batch(1)), Outcome::Ack);
    let mut newer = fake(|_, _| Ok(answer(200, "")));
    newer.answers = VecDeque::from([Ok(answer(200, "[1]\n")), Ok(answer(200, "[9]\n"))]);
    let error = Store::over(newer, &settings()).err().unwrap();
    assert_eq!(error.pointer, "/database");
    assert!(error.message.contains("version 9, but this plugin knows versions up to 1"), "{error}");
}

#[test]
fn settings_are_refused_with_what_is_expected() {
    for (json, pointer) in [
        (r#"{"url":"localhost:8123"}"#, "/url"),
        (r#"{"url":"http://h/?user=x"}"#, "/url"),
        (r#"{"url":"http://h","inference_days":0}"#, "/inference_days"),
        (r#"{"url":"http://h","content_days":40000}"#, "/content_days"),
        (r#"{"url":"http://h","request_mib":0}"#, "/request_mib"),
    ] {
        let settings: Settings = serde_json::from_str(json).unwrap();
        let error = Store::over(fake(|_, _| Ok(answer(200, ""))), &settings).err().unwrap();
        assert_eq!(error.pointer, pointer, "{error}");
    }
}

#[test]
fn an_error_about_a_row_is_not_quoted_in_the_log() {
    let failure = failure::Failure::of(&exception(400, 27, "before: 'my prompt'"));
    assert!(!failure.summary().contains("prompt"));
    assert!(failure.to_string().contains("prompt"));
}

#[test]
fn values_of_callers_never_become_part_of_a_statement() {
    let mut statement = statement::Statement::default();
    let evil = "x'; DROP TABLE inference; --\\\n\t\0\r";
    let filter = RowFilter {
        key: Some(evil.into()),
        function: Some(evil.into()),
        variant: None,
        model: Some(evil.into()),
        endpoint: None,
        outcome: None,
        episode_id: None,
        response_id: None,
        tags: vec![(evil.into(), evil.into())],
        metrics: vec![],
        text: Some(evil.into()),
        since_unix_ms: None,
        until_unix_ms: None,
    };
    let condition = condition::condition(&mut statement, Table::Inference, &filter).unwrap();
    assert!(!condition.contains("DROP") && !condition.contains("drop"), "{condition}");
    assert_eq!(statement.parameters[0], "x'; DROP TABLE inference; --\\\\\\n\\t\\0\\r");
    assert!(statement.parameters.contains(&"['drop','inference','table','x']".to_owned()));
}
