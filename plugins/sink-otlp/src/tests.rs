//! The sink over a receiver in memory. That the bytes are OTLP is held by the end-to-end test,
//! with the official classes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::Read as _;
use std::rc::Rc;

use proptest::prelude::*;
use serde_json::json;
use torana_plugin_sdk::sink::RowKind;

use super::*;
use crate::protocol::{PartialSuccess, SpanKind, StatusCode, Value as Any};

const INFERENCE: &str = "01930000-0000-7000-8000-000000000001";
const ATTEMPT: &str = "01930000-0000-7000-9000-000000000002";

/// What was sent, and the answers to come; 200 where none is left.
#[derive(Default)]
struct Receiver {
    asked: Vec<Request>,
    answers: VecDeque<Result<Response, Error>>,
}

type Shared = Rc<RefCell<Receiver>>;

fn sink(
    settings: Value,
    answers: Vec<Result<Response, Error>>,
) -> (Otlp<impl FnMut(&Request) -> Result<Response, Error>>, Shared) {
    let receiver = Rc::new(RefCell::new(Receiver { asked: vec![], answers: answers.into() }));
    let shared = receiver.clone();
    let exchange = move |request: &Request| {
        let mut receiver = receiver.borrow_mut();
        receiver.asked.push(request.clone());
        receiver.answers.pop_front().unwrap_or_else(|| answer(200, Vec::new()))
    };
    let mut all = json!({ "url": "http://collector:4318" });
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    (Otlp::over(exchange, &serde_json::from_value(all).unwrap()).unwrap(), shared)
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of an exchange")]
fn answer(status: u16, body: Vec<u8>) -> Result<Response, Error> {
    Ok(Response { status, headers: vec![], body })
}

fn partial(rejected_spans: i64, message: &str) -> Result<Response, Error> {
    let partial = PartialSuccess { rejected_spans, error_message: message.into() };
    answer(200, ExportResponse { partial_success: Some(partial) }.encode_to_vec())
}

fn row(kind: RowKind, id: &str, json: &Value) -> Row {
    Row {
        id: id.into(),
        kind,
        inference_id: if kind == RowKind::Feedback { id.into() } else { INFERENCE.into() },
        time_unix_ms: 1_700_000_000_123,
        json: json.to_string().into_bytes(),
    }
}

/// As this version's journal writes it, without a trace.
fn inference() -> Value {
    json!({
        "dialect": "openai-chat", "key": "app", "function": null, "variant": null,
        "model": "smart", "endpoint": "bedrock/claude", "outcome": "ok", "stream": true,
        "episode_id": "e", "generation": 3, "snapshot": "abc", "status": 200,
        "usage": { "input": 11, "output": 7, "cached_input": 4, "cache_write": 0, "reasoning": 2 },
        "finish_reason": "tool_calls", "ttft_ms": 12.5, "total_ms": 250.25, "overhead_us": 90,
        "attempts": 1, "error": null, "tags": { "team": "a" }, "cost_usd": 0.5,
        "request": {
            "model": "smart", "max_tokens": 50, "temperature": 0.5,
            "messages": [
                { "role": "system", "content": "be brief" },
                { "role": "user", "content": [
                    { "type": "text", "text": "what is this?" },
                    { "type": "image_url",
                      "image_url": { "url": "data:image/png;base64,QUJD" } },
                ] },
            ],
        },
        "response": {
            "id": "resp-1", "model": "claude-1", "finish_reason": "tool_calls",
            "blocks": [
                { "type": "text", "text": "let me look" },
                { "type": "tool_call", "id": "t1", "name": "look", "arguments": "{\"at\":1}" },
            ],
        },
    })
}

fn attempt() -> Value {
    json!({
        "id": ATTEMPT, "inference_id": INFERENCE, "endpoint": "bedrock/claude", "attempt": 1,
        "reason": "first", "outcome": "error", "status": 503, "ttft_ms": null, "total_ms": 20.0,
        "usage": null, "cost_usd": null,
        "error": { "kind": "overloaded", "code": "overloaded", "message": "come back later" },
    })
}

fn spans(row: &Row, with_content: bool) -> Vec<Span> {
    span::of_row(row, with_content).unwrap()
}

fn get(attributes: &[KeyValue], name: &str) -> Option<Any> {
    let mut found = attributes.iter().filter(|it| it.key == name);
    let value = found.next()?.value.clone()?.value;
    assert!(found.next().is_none(), "{name} is there twice");
    value
}

fn text(span: &Span, name: &str) -> Option<String> {
    match get(&span.attributes, name) {
        Some(Any::Text(text)) => Some(text),
        None => None,
        other => panic!("{name}: {other:?}"),
    }
}

fn integer(span: &Span, name: &str) -> Option<i64> {
    match get(&span.attributes, name) {
        Some(Any::Integer(number)) => Some(number),
        None => None,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn call_is_a_request_over_a_model_inference_over_its_attempts() {
    let call = spans(&row(RowKind::Inference, INFERENCE, &inference()), false);
    let tried = spans(&row(RowKind::ModelInference, ATTEMPT, &attempt()), false);
    let ([server, model], [upstream]) = (&*call, &*tried) else { panic!("{call:?} {tried:?}") };
    assert_eq!(server.name, "POST /v1/chat/completions");
    assert_eq!(model.name, "chat smart");
    assert_eq!(upstream.name, "upstream bedrock/claude");
    let kinds = [server, model, upstream].map(|span| span.kind());
    assert_eq!(kinds, [SpanKind::Server, SpanKind::Client, SpanKind::Client]);
    assert_eq!(server.parent_span_id, b"");
    assert_eq!(model.parent_span_id, server.span_id);
    assert_eq!(upstream.parent_span_id, model.span_id);
    for span in [server, model, upstream] {
        assert_eq!(span.trace_id.len(), 16);
        assert_eq!(span.trace_id, server.trace_id);
        assert_eq!(span.span_id.len(), 8);
        assert_eq!(span.flags, FLAGS_LOCAL);
        assert_eq!(span.start_time_unix_nano, 1_700_000_000_123_000_000);
    }
    assert_eq!(server.end_time_unix_nano - server.start_time_unix_nano, 250_250_000);
    assert_eq!(upstream.end_time_unix_nano - upstream.start_time_unix_nano, 20_000_000);
}

const FLAGS_LOCAL: u32 = 0x101;

#[test]
fn trace_of_the_row_is_kept_and_its_parent_is_remote() {
    let mut json = inference();
    json["trace_id"] = "0af7651916cd43dd8448eb211c80319c".into();
    json["span_id"] = "b7ad6b7169203331".into();
    json["parent_span_id"] = "00f067aa0ba902b7".into();
    let call = spans(&row(RowKind::Inference, INFERENCE, &json), false);
    assert_eq!(call[0].trace_id[..4], [0x0a, 0xf7, 0x65, 0x19]);
    assert_eq!(call[0].span_id, [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31]);
    assert_eq!(call[0].parent_span_id, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
    assert_eq!(call[0].flags, 0x301);
    assert_eq!(call[1].trace_id, call[0].trace_id);
    assert_eq!(call[1].flags, FLAGS_LOCAL);
    let mut json = attempt();
    json["trace_id"] = "0af7651916cd43dd8448eb211c80319c".into();
    json["span_id"] = "1111111111111111".into();
    let tried = spans(&row(RowKind::ModelInference, ATTEMPT, &json), false);
    assert_eq!(tried[0].trace_id, call[0].trace_id);
    assert_eq!(tried[0].span_id, [0x11; 8], "the one that the provider was told");
    assert_eq!(tried[0].parent_span_id, call[1].span_id);
}

#[test]
fn generation_follows_the_conventions() {
    let call = spans(&row(RowKind::Inference, INFERENCE, &inference()), false);
    let (server, model) = (&call[0], &call[1]);
    let expected = [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "aws.bedrock"),
        ("gen_ai.request.model", "smart"),
        ("gen_ai.response.model", "claude-1"),
        ("gen_ai.response.id", "resp-1"),
    ];
    for (name, value) in expected {
        assert_eq!(text(model, name).as_deref(), Some(value), "{name}");
    }
    let reasons = get(&model.attributes, "gen_ai.response.finish_reasons").unwrap();
    assert_eq!(reasons, Any::from(vec!["tool_calls"]));
    assert_eq!(integer(model, "gen_ai.usage.input_tokens"), Some(11));
    assert_eq!(integer(model, "gen_ai.usage.output_tokens"), Some(7));
    assert_eq!(integer(model, "gen_ai.usage.cache_read.input_tokens"), Some(4));
    assert_eq!(integer(model, "gen_ai.usage.cache_write.input_tokens"), None);
    assert_eq!(integer(model, "gen_ai.usage.reasoning.output_tokens"), Some(2));
    assert_eq!(integer(model, "gen_ai.request.max_tokens"), Some(50));
    assert_eq!(get(&model.attributes, "gen_ai.request.stream"), Some(Any::Bool(true)));
    let first = get(&model.attributes, "gen_ai.response.time_to_first_chunk");
    assert_eq!(first, Some(Any::Number(0.0125)));
    assert_eq!(integer(server, "http.response.status_code"), Some(200));
    assert_eq!(text(server, "torana.key").as_deref(), Some("app"));
    assert_eq!(text(server, "torana.tags.team").as_deref(), Some("a"));
    assert_eq!(get(&server.attributes, "torana.cost_usd"), Some(Any::Number(0.5)));
    assert!(server.attributes.iter().all(|it| !it.key.starts_with("gen_ai.")));
    assert_eq!(server.status, None);
}

#[test]
fn attempts_carry_no_generation_so_that_tokens_are_counted_once() {
    let mut json = attempt();
    json["usage"] = json!({ "input": 5, "output": 1 });
    let tried = spans(&row(RowKind::ModelInference, ATTEMPT, &json), true);
    assert!(tried[0].attributes.iter().all(|it| !it.key.starts_with("gen_ai.")));
    assert_eq!(integer(&tried[0], "torana.usage.input"), Some(5));
    assert_eq!(integer(&tried[0], "http.response.status_code"), Some(503));
}

#[test]
fn error_is_the_status_and_its_code_the_type() {
    let row = row(RowKind::ModelInference, ATTEMPT, &attempt());
    for (with_content, message) in [(false, "overloaded"), (true, "come back later")] {
        let tried = spans(&row, with_content);
        let status = tried[0].status.clone().unwrap();
        assert_eq!((status.code(), &*status.message), (StatusCode::Error, message));
        assert_eq!(text(&tried[0], "error.type").as_deref(), Some("overloaded"));
    }
}

#[test]
fn row_whose_every_value_is_null_is_a_row() {
    for (kind, mut json) in
        [(RowKind::Inference, inference()), (RowKind::ModelInference, attempt())]
    {
        json["error"] = json!({ "kind": "server", "code": "server", "message": null });
        assert!(span::of_row(&row(kind, INFERENCE, &json), true).is_ok());
        for value in json.as_object_mut().unwrap().values_mut() {
            *value = Value::Null;
        }
        assert!(span::of_row(&row(kind, INFERENCE, &json), true).is_ok());
    }
}

#[test]
fn call_that_asked_no_model_has_no_generation_and_one_that_was_left_no_status() {
    let mut json = inference();
    json["attempts"] = 0.into();
    assert_eq!(spans(&row(RowKind::Inference, INFERENCE, &json), true).len(), 1);
    let mut json = inference();
    (json["outcome"], json["status"]) = ("cancelled".into(), 499.into());
    let call = spans(&row(RowKind::Inference, INFERENCE, &json), false);
    assert_eq!(integer(&call[0], "http.response.status_code"), None);
    assert_eq!(text(&call[0], "torana.outcome").as_deref(), Some("cancelled"));
    assert_eq!(call[0].status, None);
}

#[test]
fn what_a_client_did_wrong_is_no_error_of_the_server() {
    let error = serde_json::json!({ "kind": "rate_limited", "code": "limited", "message": "slow" });
    for (status, is_error) in [(400, false), (429, false), (502, true), (200, true)] {
        let mut json = inference();
        (json["outcome"], json["status"]) = ("error".into(), status.into());
        json["error"] = error.clone();
        let call = spans(&row(RowKind::Inference, INFERENCE, &json), false);
        assert_eq!(call[0].status.is_some(), is_error, "{status}");
        assert_eq!(text(&call[0], "error.type").is_some(), is_error, "{status}");
        assert!(call[1].status.is_some(), "the model's call failed: {status}");
    }
}

#[test]
fn words_of_the_conversation_are_sent_only_when_asked_for() {
    let row = row(RowKind::Inference, INFERENCE, &inference());
    let (mut silent, receiver) = sink(json!({}), vec![]);
    assert_eq!(silent.take(std::slice::from_ref(&row)), Outcome::Ack);
    let sent = String::from_utf8_lossy(&receiver.borrow().asked[0].body).into_owned();
    for word in ["be brief", "what is this", "let me look", "gen_ai.input", "gen_ai.output"] {
        assert!(!sent.contains(word), "{word}");
    }
    let call = spans(&row, true);
    let json = |name| serde_json::from_str::<Value>(&text(&call[1], name).unwrap()).unwrap();
    assert_eq!(
        json("gen_ai.input.messages"),
        json!([
            { "role": "system", "parts": [{ "type": "text", "content": "be brief" }] },
            { "role": "user", "parts": [
                { "type": "text", "content": "what is this?" },
                { "type": "inline_media", "modality": "image", "mime_type": "image/png",
                  "base64_length": 4 },
            ] },
        ])
    );
    assert_eq!(
        json("gen_ai.output.messages"),
        json!([{ "role": "assistant", "finish_reason": "tool_call", "parts": [
            { "type": "text", "content": "let me look" },
            { "type": "tool_call", "id": "t1", "name": "look", "arguments": { "at": 1 } },
        ] }])
    );
}

#[test]
fn instructions_that_stand_apart_are_kept_apart() {
    let mut json = inference();
    json["dialect"] = "anthropic-messages".into();
    json["request"] = json!({
        "model": "smart", "max_tokens": 5, "system": "be kind",
        "messages": [{ "role": "user", "content": "hello" }],
    });
    let call = spans(&row(RowKind::Inference, INFERENCE, &json), true);
    let part = r#"[{"type":"text","content":"be kind"}]"#;
    assert_eq!(text(&call[1], "gen_ai.system_instructions").as_deref(), Some(part));
    let input = text(&call[1], "gen_ai.input.messages").unwrap();
    assert!(input.contains("hello") && !input.contains("be kind"), "{input}");
}

#[test]
fn conversation_that_is_too_long_is_left_out_and_counted() {
    let mut json = inference();
    json["request"]["messages"][0]["content"] = "x".repeat(300 << 10).into();
    let call = spans(&row(RowKind::Inference, INFERENCE, &json), true);
    assert_eq!(text(&call[1], "gen_ai.input.messages"), None);
    assert!(text(&call[1], "gen_ai.output.messages").is_some());
    assert_eq!(call[1].dropped_attributes_count, 1);
}

#[test]
fn feedback_is_an_evaluation_of_the_model_inference() {
    let json = json!({
        "target": "inference", "inference_id": INFERENCE, "episode_id": null, "metric": "good",
        "value": true, "tags": {}, "key": "app", "function": "f", "variant": null,
    });
    let id = "01930000-0000-7000-a000-000000000003";
    let given = spans(&row(RowKind::Feedback, id, &json), false);
    let call = spans(&row(RowKind::Inference, INFERENCE, &inference()), false);
    assert_eq!(given[0].name, "gen_ai.evaluation.result");
    assert_eq!(given[0].trace_id, call[0].trace_id);
    assert_eq!(given[0].parent_span_id, call[1].span_id);
    assert_eq!(given[0].start_time_unix_nano, given[0].end_time_unix_nano);
    assert_eq!(text(&given[0], "gen_ai.evaluation.name").as_deref(), Some("good"));
    let score = get(&given[0].attributes, "gen_ai.evaluation.score.value");
    assert_eq!(score, Some(Any::Number(1.0)));
    let mut comment = json;
    (comment["metric"], comment["value"]) = ("comment".into(), "too long".into());
    let row = row(RowKind::Feedback, id, &comment);
    assert_eq!(text(&spans(&row, false)[0], "gen_ai.evaluation.explanation"), None);
    assert_eq!(
        text(&spans(&row, true)[0], "gen_ai.evaluation.explanation").as_deref(),
        Some("too long")
    );
}

#[test]
fn rows_that_are_no_calls_ask_nobody() {
    let (mut sink, receiver) = sink(json!({}), vec![]);
    let kinds = [RowKind::Decision, RowKind::PluginEvent, RowKind::Snapshot];
    let batch = kinds.map(|kind| row(kind, INFERENCE, &json!({})));
    assert_eq!(sink.take(&batch), Outcome::Ack);
    assert!(receiver.borrow().asked.is_empty());
}

#[test]
fn row_that_gives_no_span_is_rejected_beside_those_that_do() {
    let (mut sink, receiver) = sink(json!({}), vec![]);
    let batch = [
        row(RowKind::Inference, INFERENCE, &inference()),
        row(RowKind::ModelInference, ATTEMPT, &json!("nonsense")),
        row(RowKind::Inference, "no-uuid", &inference()),
    ];
    let Outcome::Reject(rejected) = sink.take(&batch) else { panic!("all were taken") };
    assert_eq!(rejected.iter().map(|it| it.row).collect::<Vec<_>>(), [1, 2]);
    let request = ExportRequest::decode(&*receiver.borrow().asked[0].body).unwrap();
    assert_eq!(request.resource_spans[0].scope_spans[0].spans.len(), 2);
    assert_eq!(sink.take(&batch[..1]), Outcome::Ack, "and are forgotten");
}

#[test]
fn request_is_otlp_with_the_resource_that_is_written_and_may_be_compressed() {
    let resource = json!({ "service.name": "edge", "replica": 2, "list": [1] });
    let settings = json!({ "resource": resource, "compression": "gzip", "timeout_ms": 700 });
    let (mut sink, receiver) = sink(settings, vec![]);
    assert_eq!(sink.take(&[row(RowKind::Inference, INFERENCE, &inference())]), Outcome::Ack);
    let request = receiver.borrow().asked[0].clone();
    assert_eq!((&*request.method, &*request.url), ("POST", "http://collector:4318/v1/traces"));
    assert_eq!(request.timeout_ms, 700);
    let header = |name: &str| request.headers.iter().find(|it| it.name == name).unwrap();
    assert_eq!(header("content-type").value, "application/x-protobuf");
    assert_eq!(header("content-encoding").value, "gzip");
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&*request.body).read_to_end(&mut plain).unwrap();
    let request = ExportRequest::decode(&*plain).unwrap();
    let attributes = request.resource_spans[0].resource.clone().unwrap().attributes;
    assert_eq!(get(&attributes, "service.name"), Some(Any::from("edge")));
    assert_eq!(get(&attributes, "replica"), Some(Any::Integer(2)));
    assert_eq!(get(&attributes, "list"), Some(Any::from("[1]")));
}

#[test]
fn outage_and_wrong_credentials_keep_the_rows_and_a_bad_one_is_cut_out() {
    let batch: Vec<Row> = (1..=4)
        .map(|number| {
            let id = format!("01930000-0000-7000-8000-00000000000{number}");
            row(RowKind::Inference, &id, &inference())
        })
        .collect();
    let words = Failure { message: "bad span".into() }.encode_to_vec();
    let (mut sink, receiver) = sink(
        json!({}),
        vec![
            Err(Error::Connection("refused".into())),
            answer(401, vec![]),
            answer(500, vec![]),
            answer(400, words.clone()),
            answer(400, words.clone()),
            answer(400, words),
        ],
    );
    for _ in 0..3 {
        assert!(matches!(sink.take(&batch), Outcome::Retry(_)));
    }
    let outcome = sink.take(&batch);
    let reason = "the receiver refused it: HTTP 400: bad span".to_owned();
    assert_eq!(outcome, Outcome::Reject(vec![Rejection { row: 0, reason }]));
    assert_eq!(receiver.borrow().asked.len(), 8, "3 lost, 4, 2 and 1 refused, 2 and 1 taken");
}

#[test]
fn what_is_taken_in_part_is_not_sent_again_but_kept() {
    let batch = [row(RowKind::Inference, INFERENCE, &inference())];
    let (mut sink, receiver) = sink(json!({}), vec![partial(1, "quota"), partial(0, "old")]);
    let Outcome::Reject(rejected) = sink.take(&batch) else { panic!("it was acknowledged") };
    assert!(rejected[0].reason.contains("1 of the 2 spans"), "{rejected:?}");
    assert!(rejected[0].reason.contains("quota"));
    assert_eq!(receiver.borrow().asked.len(), 1);
    assert_eq!(sink.take(&batch), Outcome::Ack, "a warning is not a refusal");
}

#[test]
fn urls_without_a_path_get_the_usual_one_and_wrong_ones_are_refused() {
    for (url, expected) in [
        ("http://a:4318", "http://a:4318/v1/traces"),
        ("https://a/", "https://a/v1/traces"),
        ("https://a/otlp/v1/traces", "https://a/otlp/v1/traces"),
        ("https://a/otlp/", "https://a/otlp/"),
    ] {
        assert_eq!(traces_url(url).unwrap(), expected);
    }
    for url in ["a:4318", "grpc://a", "http://", "http:///x", "http://a?x=1", "http://a/x#y"] {
        assert_eq!(traces_url(url).unwrap_err().pointer, "/url", "{url}");
    }
    let zero = serde_json::from_value(json!({ "url": "http://a", "timeout_ms": 0 })).unwrap();
    let refused = Otlp::over(http::send, &zero).err().unwrap();
    assert_eq!(refused.pointer, "/timeout_ms");
    for wrong in [json!({}), json!({ "url": "x", "compression": "br" })] {
        assert!(serde_json::from_value::<Settings>(wrong).is_err());
    }
}

proptest! {
    /// Ids are of the length that OTLP asks for, never zero, and those of a retry are the same.
    #[test]
    fn ids_are_valid_and_follow_from_the_row(
        first in any::<u128>(), second in any::<u64>(), trace in "[0-9a-f]{0,40}",
    ) {
        let id = |number: u128| {
            let digits = format!("{number:032x}");
            format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16],
                &digits[16..20], &digits[20..])
        };
        let own = id(u128::from(second));
        let of = || (id::trace(Some(&trace), &id(first)), id::span(None, &own));
        let (trace_id, span_id) = of();
        if let Some(trace_id) = &trace_id {
            prop_assert_eq!(trace_id.len(), 16);
            prop_assert!(trace_id.iter().any(|byte| *byte != 0));
        }
        prop_assert_eq!(span_id.is_some(), second != 0);
        prop_assert_eq!(of(), (trace_id, span_id));
        prop_assert_eq!(id::model_inference(&own).len(), 8);
    }

    /// Whatever stands in a row, it is spans or a reason, and never the end of the sink.
    #[test]
    fn any_json_is_spans_or_a_reason(text in ".{0,80}", total in any::<f64>(), time in any::<u64>()) {
        for kind in [RowKind::Inference, RowKind::ModelInference, RowKind::Feedback] {
            let mut any = row(kind, INFERENCE, &inference());
            any.json = text.clone().into_bytes();
            let _ = span::of_row(&any, true);
            any.json = json!({ "total_ms": total, "dialect": text }).to_string().into_bytes();
            any.time_unix_ms = time;
            for span in span::of_row(&any, true).unwrap_or_default() {
                prop_assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
            }
        }
    }
}
