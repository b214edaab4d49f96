//! Conversations there and back: what an answer held goes back as it came.
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};
use torana_plugin_sdk::CallErrorKind;
use torana_plugin_sdk::chat::{Block, MediaKind, MediaSource, Message, Request, Role};
use torana_plugin_sdk::wire::assemble::replay;

use super::{assemble, decode, endpoint, sent};
use crate::answer;
use crate::settings::Platform;

fn message(role: Role, blocks: Vec<Block>) -> Message {
    Message { role, blocks, name: None }
}

fn result(id: &str, text: &str) -> Block {
    let blocks = vec![Block::text(text)];
    Block::ToolResult { id: id.into(), blocks, is_error: false, cache: None }
}

fn call(id: &str) -> Block {
    let (name, arguments) = ("f".into(), "{}".into());
    Block::ToolCall { id: id.into(), name, arguments, cache: None }
}

fn contents(messages: Vec<Message>, model: &str) -> Value {
    let request = Request { messages, ..Request::default() };
    let sent = sent(&endpoint(model, Platform::AiStudio), request).unwrap();
    serde_json::from_slice::<Value>(&sent.body).unwrap()["contents"].take()
}

fn error(message: Message) -> CallErrorKind {
    let request = Request { messages: vec![message], ..Request::default() };
    sent(&endpoint("gemini-3.8-flash", Platform::AiStudio), request).unwrap_err().kind
}

/// Everything that carries a signature, and what does not.
fn parts() -> Value {
    json!([
        {"text": "let me see", "thought": true},
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": [1, 2.5, null]}},
            "thoughtSignature": "S1=="},
        {"functionCall": {"id": "c2", "name": "g", "args": {}}},
        {"text": "here", "thoughtSignature": "S2"},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="},
            "thoughtSignature": "S3"},
        {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "S4"},
        {"text": "", "thoughtSignature": "S5"},
    ])
}

#[test]
fn answer_goes_back_part_by_part_as_it_came() {
    let candidate = json!({"content": {"role": "model", "parts": parts()},
        "finishReason": "STOP"});
    let body = json!({"candidates": [candidate], "responseId": "r", "modelVersion": "m"});
    let response = answer::decode(body.to_string().as_bytes()).unwrap();
    // Through the events that a client is given, too.
    let again = assemble(&replay(&response));
    assert_eq!(again.blocks, response.blocks);
    let messages = vec![
        message(Role::User, vec![Block::text("hi")]),
        message(Role::Assistant, again.blocks),
        message(Role::Tool, vec![result("c1", "1"), result("c2", r#"{"b":2}"#)]),
    ];
    let contents = contents(messages, "gemini-3.8-flash");
    assert_eq!(contents[1], json!({"role": "model", "parts": parts()}));
    let results = json!([
        {"functionResponse": {"id": "c1", "name": "f", "response": {"output": "1"}}},
        {"functionResponse": {"id": "c2", "name": "g", "response": {"b": 2}}},
    ]);
    assert_eq!(contents[2], json!({"role": "user", "parts": results}));
}

#[test]
fn streamed_signature_at_the_end_goes_back_at_the_end() {
    let chunk = |part: Value| json!({"candidates": [{"content": {"parts": [part]}}]});
    let chunks = [
        chunk(json!({"text": "4"})),
        chunk(json!({"text": "2"})),
        json!({"candidates": [{"content": {"parts": [{"text": "", "thoughtSignature": "S"}]},
            "finishReason": "STOP"}]}),
    ];
    let blocks = assemble(&decode(&chunks)).blocks;
    let contents = contents(vec![message(Role::Assistant, blocks)], "gemini-3.8-flash");
    let parts = json!([{"text": "42"}, {"text": "", "thoughtSignature": "S"}]);
    assert_eq!(contents[0]["parts"], parts);
}

#[test]
fn thought_and_signature_that_a_client_made_one_part_again() {
    let reasoning = Block::Reasoning {
        text: "hm".into(),
        signature: Some("S".into()),
        encrypted: None,
        dialect: Some("gemini".into()),
    };
    let blocks = vec![reasoning.clone(), call("c")];
    let before_call = contents(vec![message(Role::Assistant, blocks)], "gemini-3.8-flash");
    assert_eq!(before_call[0]["parts"][0], json!({"text": "hm", "thought": true}));
    assert_eq!(before_call[0]["parts"][1]["thoughtSignature"], "S");
    let blocks = vec![reasoning, Block::text("so")];
    let before_text = contents(vec![message(Role::Assistant, blocks)], "gemini-3.8-flash");
    assert_eq!(before_text[0]["parts"][0]["thoughtSignature"], "S");
    assert_eq!(before_text[0]["parts"][1], json!({"text": "so"}));
}

#[test]
fn unsigned_calls_of_the_current_turn_are_excused_and_no_others() {
    let foreign = Block::Reasoning {
        text: String::new(),
        signature: Some("of another".into()),
        encrypted: None,
        dialect: Some("anthropic-messages".into()),
    };
    let messages = || {
        vec![
            message(Role::User, vec![Block::text("first")]),
            message(Role::Assistant, vec![call("old")]),
            message(Role::Tool, vec![result("old", "x")]),
            message(Role::User, vec![Block::text("second")]),
            message(Role::Assistant, vec![foreign.clone(), call("a"), call("b")]),
            message(Role::Tool, vec![result("a", "x")]),
            message(Role::Tool, vec![result("b", "x")]),
            message(Role::Assistant, vec![call("c")]),
        ]
    };
    let newer = contents(messages(), "gemini-3-pro-preview");
    let signature = |content: usize, part: usize| {
        newer[content]["parts"][part].get("thoughtSignature").and_then(Value::as_str)
    };
    assert_eq!(signature(1, 0), None, "a turn that is over");
    assert_eq!(signature(4, 0), Some("skip_thought_signature_validator"));
    assert_eq!(signature(4, 1), None, "only the first of parallel calls is signed");
    assert_eq!(newer[5]["parts"].as_array().unwrap().len(), 2, "results come together");
    assert_eq!(signature(6, 0), Some("skip_thought_signature_validator"), "the next step");
    assert!(!newer.to_string().contains("of another"));
    let older = contents(messages(), "gemini-2.5-pro").to_string();
    assert!(!older.contains("thoughtSignature") && !older.contains("\"id\""), "{older}");
}

#[test]
fn results_stand_in_a_turn_of_their_own_before_what_the_user_says() {
    let messages = vec![
        message(Role::Assistant, vec![call("a"), call("b")]),
        message(Role::User, vec![Block::text("and?"), result("b", "2")]),
        message(Role::User, vec![result("a", "1"), Block::text("well?")]),
    ];
    let contents = contents(messages, "gemini-2.5-flash");
    let said = json!({"role": "user", "parts": [{"text": "and?"}, {"text": "well?"}]});
    assert_eq!(contents[2], said);
    let names = |content: &Value| content["parts"].as_array().unwrap().len();
    assert_eq!((names(&contents[1]), contents.as_array().unwrap().len()), (2, 3));
}

#[test]
fn media_of_a_result_is_inside_or_beside_as_the_model_takes_it() {
    let image = Block::Media {
        kind: MediaKind::Image,
        source: MediaSource::Inline { data: "iVBORw0KGgoA".into() },
        mime_type: None,
        filename: None,
        detail: None,
        cache: None,
    };
    let blocks = vec![Block::text("a chart"), image];
    let messages = || {
        let id = "a".into();
        let result = Block::ToolResult { id, blocks: blocks.clone(), is_error: true, cache: None };
        vec![message(Role::Assistant, vec![call("a")]), message(Role::Tool, vec![result])]
    };
    let data = json!({"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgoA"}});
    let newer = contents(messages(), "gemini-3.8-flash");
    let response = &newer[1]["parts"][0]["functionResponse"];
    assert_eq!(response["response"], json!({"error": "a chart"}));
    assert_eq!(response["parts"], json!([data]));
    let older = contents(messages(), "gemini-2.5-pro");
    assert!(older[1]["parts"][0]["functionResponse"].get("parts").is_none());
    assert_eq!(older[2]["parts"], json!([data]));
}

#[test]
fn content_without_a_place_is_refused_and_not_left_out() {
    let other = |dialect: &str| {
        let value = json!({"type": "search_result"});
        Block::Other { dialect: dialect.into(), value }
    };
    let user = |block| message(Role::User, vec![block]);
    assert_eq!(error(user(other("anthropic-messages"))), CallErrorKind::Unsupported);
    let foreign_file = Block::Media {
        kind: MediaKind::File,
        source: MediaSource::Id { id: "file-abc".into() },
        mime_type: None,
        filename: None,
        detail: None,
        cache: None,
    };
    assert_eq!(error(user(foreign_file.clone())), CallErrorKind::Unsupported);
    assert_eq!(error(message(Role::System, vec![foreign_file])), CallErrorKind::Unsupported);
    assert_eq!(error(user(result("lost", "x"))), CallErrorKind::InvalidRequest);
    let fields = vec![Block::text("a"), other("openai-chat-fields")];
    assert_eq!(
        contents(vec![message(Role::User, fields)], "m")[0]["parts"],
        json!([{"text": "a"}])
    );
    let answer = vec![Block::text("a"), other("anthropic-messages")];
    let kept = contents(vec![message(Role::Assistant, answer)], "m");
    assert_eq!(kept[0]["parts"], json!([{"text": "a"}]));
}

#[test]
fn instruction_alone_is_said_by_the_user() {
    let alone = contents(vec![message(Role::System, vec![Block::text("be")])], "m");
    assert_eq!(alone, json!([{"role": "user", "parts": [{"text": "be"}]}]));
}
