//! What a client on the Anthropic wire gets of an answer, whole and streamed.
#![expect(clippy::unwrap_used, reason = "tests")]

mod anthropic_golden;

use serde_json::{Value, json};
use torana_wire::anthropic::stream::{Decoder, Encoder};
use torana_wire::anthropic::{self, FIELDS, Identity};
use torana_wire::assemble::{assemble, replay};
use torana_wire::chat::{Block, FinishReason, MediaKind, MediaSource, Response, Usage};
use torana_wire::error::{CallError, CallErrorKind};
use torana_wire::event::{BlockKind, StreamEvent};

const IDENTITY: Identity<'_> = Identity { id: "msg_1", model: "shown", created: 7 };

fn reasoning(text: &str, signature: &str, dialect: Option<&str>) -> Block {
    Block::Reasoning {
        text: text.into(),
        signature: Some(signature.into()),
        encrypted: None,
        dialect: dialect.map(Into::into),
    }
}

fn call(id: &str, arguments: &str) -> Block {
    Block::ToolCall { id: id.into(), name: "f".into(), arguments: arguments.into(), cache: None }
}

/// One of everything that an answer can have.
fn rich() -> Response {
    let citation = json!({"type": "char_location", "cited_text": "w", "document_index": 0,
        "document_title": "d", "start_char_index": 0, "end_char_index": 1});
    let cited = json!({"citations": [citation], "annotations": [1], "logprobs": {}});
    let own = |value: Value| Block::Other { dialect: anthropic::DIALECT.into(), value };
    Response {
        id: "upstream".into(),
        model: "real".into(),
        blocks: vec![
            reasoning("own", "c2ln", Some(anthropic::DIALECT)),
            reasoning("foreign", "Zm9v", Some("gemini")),
            Block::reasoning("unsigned"),
            Block::Reasoning {
                text: String::new(),
                signature: None,
                encrypted: Some("ZW5j".into()),
                dialect: Some("openai-responses".into()),
            },
            own(json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})),
            Block::Text {
                text: "hi \"you\"\n".into(),
                cache: None,
                extra: cited.as_object().unwrap().clone(),
            },
            Block::Refusal { text: "not that".into() },
            Block::Media {
                kind: MediaKind::Image,
                source: MediaSource::Inline { data: "AA==".into() },
                mime_type: Some("image/png".into()),
                filename: None,
                detail: None,
                cache: None,
            },
            Block::Other { dialect: "openai-chat".into(), value: json!({"type": "x"}) },
            Block::Other { dialect: FIELDS.into(), value: json!({"caller": {"type": "direct"}}) },
            call("call_1", "{\"a\": 1}"),
            call("call_2", ""),
        ],
        finish_reason: Some(FinishReason::ToolCalls),
        usage: Some(Usage {
            input: 30,
            output: 9,
            cached_input: 20,
            cache_write: 4,
            reasoning: 3,
            estimated: true,
            ..Usage::default()
        }),
        extra: json!({"container": {"id": "c", "expires_at": "2026-11-22T10:00:00Z"}, "context_management": {"applied_edits": []},
            "usage": {"service_tier": "standard"}})
        .as_object()
        .unwrap()
        .clone(),
    }
}

fn encode(events: &[StreamEvent]) -> String {
    let mut encoder = Encoder::new(&IDENTITY);
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    encoder.end(&mut out);
    encoder.end(&mut out);
    String::from_utf8(out).unwrap()
}

/// Each event's name and data.
fn parsed(stream: &str) -> Vec<(String, Value)> {
    stream
        .split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.split_once('\n').unwrap();
            let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            (name.strip_prefix("event: ").unwrap().to_owned(), data)
        })
        .collect()
}

/// What a client's own library makes of a stream, as Anthropic's Python package does it: one
/// block open at a time, the signature replaces, usage replaces.
fn read_as_a_client(stream: &str) -> Value {
    let (mut message, mut open, mut json_text) = (Value::Null, None, String::new());
    for (name, data) in parsed(stream) {
        assert_eq!(data["type"], name.as_str());
        match name.as_str() {
            "message_start" => {
                assert_eq!(message, Value::Null);
                message = data["message"].clone();
            }
            "content_block_start" => {
                assert_eq!(open, None, "one block at a time");
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!(data["index"], content.len());
                content.push(data["content_block"].clone());
                (open, json_text) = (data["index"].as_u64(), String::new());
            }
            "content_block_delta" => {
                assert_eq!(data["index"].as_u64(), open);
                let block = message["content"].as_array_mut().unwrap().last_mut().unwrap();
                let delta = &data["delta"];
                let append = |target: &mut Value, more: &Value| {
                    *target =
                        json!(format!("{}{}", target.as_str().unwrap(), more.as_str().unwrap()));
                };
                match delta["type"].as_str().unwrap() {
                    "text_delta" => append(&mut block["text"], &delta["text"]),
                    "thinking_delta" => append(&mut block["thinking"], &delta["thinking"]),
                    "signature_delta" => block["signature"] = delta["signature"].clone(),
                    "input_json_delta" => {
                        json_text.push_str(delta["partial_json"].as_str().unwrap());
                        block["input"] = serde_json::from_str(&json_text).unwrap_or_default();
                    }
                    "citations_delta" => match block.get_mut("citations") {
                        Some(list) => list.as_array_mut().unwrap().push(delta["citation"].clone()),
                        None => block["citations"] = json!([delta["citation"]]),
                    },
                    other => unreachable!("{other}"),
                }
            }
            "content_block_stop" => assert_eq!(data["index"].as_u64(), open.take()),
            "message_delta" => {
                for fields in [&data["delta"], &data] {
                    for (key, value) in fields.as_object().unwrap() {
                        if key != "delta" && key != "type" {
                            message[key] = value.clone();
                        }
                    }
                }
            }
            "message_stop" => assert_eq!(open, None),
            other => unreachable!("{other}"),
        }
    }
    message
}

fn whole(response: &Response) -> Value {
    serde_json::from_slice(&anthropic::response::encode(response, &IDENTITY)).unwrap()
}

#[test]
fn golden_answer() {
    let found = format!("{}\n", serde_json::to_string_pretty(&whole(&rich())).unwrap());
    anthropic_golden::holds("anthropic_response.json", &found);
}

#[test]
fn golden_stream() {
    anthropic_golden::holds("anthropic_stream.txt", &encode(&replay(&rich())));
}

#[test]
fn golden_error() {
    let body = anthropic::error::encode_with_id(404, "no such model", "model_not_found", "req_1");
    anthropic_golden::holds("anthropic_error.json", &String::from_utf8(body).unwrap());
}

#[test]
fn stream_says_what_the_whole_answer_says() {
    assert_eq!(read_as_a_client(&encode(&replay(&rich()))), whole(&rich()));
}

#[test]
fn stream_without_finish_never_looks_complete() {
    let events = replay(&rich());
    for length in 0..events.len() {
        let text = encode(&events[..length]);
        assert!(!text.contains("message_stop") && !text.contains("message_delta"), "{length}");
    }
}

#[test]
fn failed_stream_ends_with_error_not_stop() {
    let error = CallError::new(CallErrorKind::Overloaded, "busy");
    let begun = StreamEvent::Started { id: "r".into(), model: "m".into() };
    for events in [
        vec![begun.clone(), StreamEvent::Failed(error.clone())],
        vec![begun, StreamEvent::Finish(FinishReason::Stop), StreamEvent::Failed(error.clone())],
    ] {
        let stream = encode(&events);
        assert!(!stream.contains("message_stop"), "{stream}");
        let (name, data) = parsed(&stream).pop().unwrap();
        assert_eq!((name.as_str(), &data["type"]), ("error", &json!("error")));
        assert_eq!(data["error"]["type"], "overloaded_error");
    }
    let mut encoder = Encoder::new(&IDENTITY);
    let mut out = Vec::new();
    encoder.end(&mut out);
    encoder.fail(&error, &mut out);
    assert_eq!(parsed(&String::from_utf8(out.clone()).unwrap()).len(), 1, "an error, no end");
    encoder.fail(&error, &mut out);
    encoder.push(&StreamEvent::Finish(FinishReason::Stop), &mut out);
    assert_eq!(parsed(&String::from_utf8(out).unwrap()).len(), 1, "nothing follows");
}

#[test]
fn input_tokens_are_in_the_first_event_where_they_come_early() {
    let stream = encode(&[
        StreamEvent::Started { id: "r".into(), model: "m".into() },
        StreamEvent::Usage(Usage { input: 12, cached_input: 2, ..Usage::default() }),
        StreamEvent::Finish(FinishReason::Stop),
        StreamEvent::Usage(Usage { input: 12, cached_input: 2, output: 5, ..Usage::default() }),
    ]);
    let events = parsed(&stream);
    assert_eq!(events[0].1["message"]["usage"]["input_tokens"], 10);
    assert_eq!(events[1].1["usage"]["output_tokens"], 5, "usage after the finish counts");
}

fn start(index: u32, kind: BlockKind) -> StreamEvent {
    StreamEvent::BlockStart { index, kind }
}

fn start_call(index: u32) -> StreamEvent {
    start(index, BlockKind::ToolCall { id: format!("c{index}"), name: "f".into() })
}

fn arguments(index: u32, arguments: &str) -> StreamEvent {
    StreamEvent::ToolCallDelta { index, arguments: arguments.into() }
}

fn text(index: u32, text: &str) -> StreamEvent {
    StreamEvent::TextDelta { index, text: text.into() }
}

fn stop(index: u32) -> StreamEvent {
    StreamEvent::BlockStop { index }
}

fn finish() -> StreamEvent {
    StreamEvent::Finish(FinishReason::ToolCalls)
}

#[test]
fn interleaved_calls_come_one_after_the_other() {
    let message = read_as_a_client(&encode(&[
        start_call(0),
        start_call(1),
        arguments(1, "{\"b\":"),
        arguments(0, "{\"a\":"),
        start(2, BlockKind::Text),
        text(2, "later"),
        arguments(1, "2}"),
        arguments(0, "1}"),
        stop(1),
        stop(0),
        text(2, "!"),
        finish(),
    ]));
    let expected = json!([
        {"type": "tool_use", "id": "c0", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"b": 2}},
        {"type": "text", "text": "later!"}]);
    assert_eq!(message["content"], expected);
}

#[test]
fn call_whose_json_is_whole_makes_room_at_once() {
    let mut encoder = Encoder::new(&IDENTITY);
    let mut out = Vec::new();
    for event in [start_call(0), arguments(0, "{\"a\":\"}\"}"), start_call(1), arguments(1, "{")] {
        encoder.push(&event, &mut out);
    }
    let stream = String::from_utf8(out).unwrap();
    assert!(stream.contains("\"index\":1,\"delta\""), "nothing waits: {stream}");
    let mut out = Vec::new();
    encoder.push(&arguments(0, " \n"), &mut out);
    assert_eq!(out, b"");
    encoder.push(&arguments(0, "x"), &mut out);
    assert!(String::from_utf8(out).unwrap().starts_with("event: error"));
}

#[test]
fn text_gives_way_and_goes_on_in_a_block_of_its_own() {
    let message = read_as_a_client(&encode(&[
        start(0, BlockKind::Text),
        text(0, "a"),
        start(1, BlockKind::Text),
        text(1, "b"),
        text(0, "c"),
        stop(0),
        stop(1),
        finish(),
    ]));
    let texts: Vec<_> =
        message["content"].as_array().unwrap().iter().map(|block| block["text"].clone()).collect();
    assert_eq!(texts, ["a", "b", "c"]);
}

#[test]
fn signature_comes_in_one_piece_and_sealed() {
    let piece = |signature: &str| StreamEvent::ReasoningSignature {
        index: 0,
        signature: signature.into(),
        dialect: "gemini".into(),
    };
    let stream =
        encode(&[start(0, BlockKind::Reasoning), piece("Zm"), piece("9v"), stop(0), finish()]);
    assert_eq!(stream.matches("signature_delta").count(), 1);
    let message = read_as_a_client(&stream);
    assert_eq!(message["content"][0]["signature"], torana_wire::origin::seal("gemini", "Zm9v"));
}

#[test]
fn what_waits_is_bounded() {
    let mut encoder = Encoder::new(&IDENTITY);
    let mut out = Vec::new();
    encoder.push(&start_call(0), &mut out);
    encoder.push(&start_call(1), &mut out);
    let piece = "x".repeat(1024 * 1024);
    for _ in 0..17 {
        encoder.push(&arguments(1, &piece), &mut out);
    }
    assert!(String::from_utf8(out).unwrap().contains("event: error"));
}

#[test]
fn finish_reason_and_stop_sequence_reach_the_client_of_a_translated_stream() {
    let wire = [
        json!({"type": "message_start", "message": {"id": "m", "model": "c", "content": [], "usage": {"input_tokens": 1, "service_tier": "standard"}}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"}, "usage": {"output_tokens": 2, "server_tool_use": {"web_search_requests": 1}}, "context_management": {"applied_edits": []}}),
        json!({"type": "message_stop"}),
    ];
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    wire.iter().for_each(|event| decoder.push(None, event.to_string().as_bytes(), &mut events));
    assert_eq!(assemble(&events).finish_reason, Some(FinishReason::Stop));
    let message = read_as_a_client(&encode(&events));
    assert_eq!(
        (&message["stop_reason"], &message["stop_sequence"]),
        (&json!("stop_sequence"), &json!("END"))
    );
    assert_eq!(message["usage"]["server_tool_use"], json!({"web_search_requests": 1}));
    assert_eq!(message["usage"]["service_tier"], "standard");
    assert_eq!(message["context_management"], json!({"applied_edits": []}));
}
