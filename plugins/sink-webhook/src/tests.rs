//! The sink over a receiver in memory.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use torana_plugin_sdk::sink::RowKind;

use super::*;

type Asked = Rc<RefCell<Vec<Request>>>;

/// A sink whose receiver answers so.
fn sink(
    settings: Value,
    answer: impl Fn(&Request) -> Result<Response, Error>,
) -> (Webhook<impl FnMut(&Request) -> Result<Response, Error>>, Asked) {
    let asked = Asked::default();
    let asking = asked.clone();
    let mut all = json!({ "url": "http://127.0.0.1:9/rows" });
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let exchange = move |request: &Request| {
        asking.borrow_mut().push(request.clone());
        answer(request)
    };
    (Webhook::over(exchange, serde_json::from_value(all).unwrap()).unwrap(), asked)
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of an exchange")]
fn answer(status: u16, words: &str) -> Result<Response, Error> {
    Ok(Response { status, headers: vec![], body: words.as_bytes().to_vec() })
}

fn row(id: &str, json: &str) -> Row {
    Row {
        id: id.into(),
        kind: RowKind::ModelInference,
        inference_id: "i".into(),
        time_unix_ms: 5,
        json: json.as_bytes().to_vec(),
    }
}

fn header<'a>(request: &'a Request, name: &str) -> &'a str {
    &request.headers.iter().find(|it| it.name == name).unwrap().value
}

#[test]
fn rows_are_posted_as_they_came() {
    let (mut sink, asked) = sink(json!({}), |_| answer(204, ""));
    let batch = [row("a", "{\"n\": 1.10}"), row("b", "{\n}")];
    assert_eq!(sink.take(&batch), Outcome::Ack);
    let request = asked.borrow()[0].clone();
    assert_eq!((&*request.method, &*request.url), ("POST", "http://127.0.0.1:9/rows"));
    assert_eq!(header(&request, "content-type"), "application/json");
    assert_eq!(
        String::from_utf8(request.body.clone()).unwrap(),
        "{\"rows\":[{\"id\":\"a\",\"kind\":\"model_inference\",\"inference_id\":\"i\",\
         \"time_unix_ms\":5,\"row\":{\"n\": 1.10}},{\"id\":\"b\",\"kind\":\"model_inference\",\
         \"inference_id\":\"i\",\"time_unix_ms\":5,\"row\":{\n}}]}"
    );
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["rows"].as_array().unwrap().len(), 2);
}

#[test]
fn lines_are_a_row_each() {
    let (mut sink, asked) = sink(json!({ "format": "ndjson" }), |_| answer(200, ""));
    assert_eq!(sink.take(&[row("a", "{\n\"s\":\"x\\ny\"}"), row("b", "{}")]), Outcome::Ack);
    let request = asked.borrow()[0].clone();
    assert_eq!(header(&request, "content-type"), "application/x-ndjson");
    let text = String::from_utf8(request.body).unwrap();
    let ids: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids, ["a", "b"]);
    assert!(text.ends_with('\n'));
}

#[test]
fn delivery_is_the_same_when_it_is_repeated_and_another_for_other_rows() {
    let (mut sink, asked) = sink(json!({}), |_| Err(Error::Timeout));
    let batch = [row("a", "{}"), row("b", "{}")];
    for _ in 0..2 {
        assert!(matches!(sink.take(&batch), Outcome::Retry(_)));
    }
    assert!(matches!(sink.take(&batch[1..]), Outcome::Retry(_)));
    let ids: Vec<String> =
        asked.borrow().iter().map(|it| header(it, "x-torana-delivery").to_owned()).collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
    assert_eq!(ids[0].len(), 16);
}

#[test]
fn wrong_address_or_credentials_cost_no_row() {
    for status in [301, 401, 403, 404, 410, 429, 500, 503] {
        let (mut sink, _) = sink(json!({}), move |_| answer(status, ""));
        assert!(matches!(sink.take(&[row("a", "{}")]), Outcome::Retry(_)), "{status}");
    }
}

#[test]
fn row_that_is_refused_is_rejected_with_the_receivers_words() {
    let (mut sink, _) = sink(json!({}), |request| {
        let is_bad = String::from_utf8_lossy(&request.body).contains("poison");
        if is_bad { answer(422, "no\nthanks") } else { answer(200, "") }
    });
    let batch = [row("a", "{}"), row("b", "\"poison\""), row("c", "{"), row("d", "{}")];
    let Outcome::Reject(rejected) = sink.take(&batch) else { panic!("all were taken") };
    let rows: Vec<u32> = rejected.iter().map(|it| it.row).collect();
    assert_eq!(rows, [1, 2]);
    assert_eq!(rejected[0].reason, "the receiver refused it: HTTP 422: no thanks");
    assert!(rejected[1].reason.starts_with("not a JSON document"));
}

#[test]
fn receiver_that_finds_it_too_large_gets_less() {
    let (mut sink, asked) =
        sink(json!({}), |request| answer(if request.body.len() > 300 { 413 } else { 200 }, ""));
    let batch: Vec<Row> = (0..8).map(|number| row(&number.to_string(), "{}")).collect();
    assert_eq!(sink.take(&batch), Outcome::Ack);
    assert!(asked.borrow().len() > 2);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let refused = |settings| {
        let settings = serde_json::from_value(settings).unwrap();
        Webhook::over(http::send, settings).err().unwrap().pointer
    };
    assert_eq!(refused(json!({ "url": "example.com" })), "/url");
    assert_eq!(refused(json!({ "url": "http://a", "timeout_ms": 60_001 })), "/timeout_ms");
    for wrong in [json!({}), json!({ "url": "http://a", "format": "xml" })] {
        assert!(serde_json::from_value::<Settings>(wrong).is_err());
    }
}
