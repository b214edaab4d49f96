//! Reasoning with signatures and encrypted parts, through clients and servers of the OpenAI
//! wire and back: `reasoning_details`.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};
use torana_wire::assemble::{assemble, replay};
use torana_wire::chat::{Block, FinishReason, Message, Request, Response, Role};
use torana_wire::event::StreamEvent;
use torana_wire::openai::Identity;
use torana_wire::openai::request::{Options, ReasoningPlace, encode_with};
use torana_wire::openai::stream::{Decoder, Encoder};
use torana_wire::openai::{request, response};

const IDENTITY: Identity<'_> = Identity { id: "i", model: "m", created: 1 };

fn signed(text: &str, signature: &str, dialect: &str) -> Block {
    Block::Reasoning {
        text: text.into(),
        signature: Some(signature.into()),
        encrypted: None,
        dialect: Some(dialect.into()),
    }
}

fn encrypted(text: &str, blob: &str, dialect: &str) -> Block {
    Block::Reasoning {
        text: text.into(),
        signature: None,
        encrypted: Some(blob.into()),
        dialect: Some(dialect.into()),
    }
}

/// Begins an item of OpenAI's Responses.
fn item(id: &str) -> Block {
    Block::Other { dialect: torana_wire::responses::ITEM_FIELDS.into(), value: json!({"id": id}) }
}

fn answer(mut blocks: Vec<Block>) -> Response {
    blocks.push(Block::text("said"));
    let finish_reason = Some(FinishReason::Stop);
    Response { id: "i".into(), model: "m".into(), blocks, finish_reason, ..Response::default() }
}

/// What a client sends back of a whole answer.
fn sent_back(message: &Value) -> Vec<Block> {
    let body = json!({"model": "m", "messages": [message]});
    let request = request::decode(body.to_string().as_bytes()).unwrap();
    let is_content = |block: &Block| !matches!(block, Block::Other { dialect, .. } if dialect.starts_with("openai-chat"));
    request.messages[0].blocks.iter().filter(|block| is_content(block)).cloned().collect()
}

fn whole_message(response: &Response) -> Value {
    let body: Value = serde_json::from_slice(&response::encode(response, &IDENTITY)).unwrap();
    body["choices"][0]["message"].clone()
}

fn frames(events: &[StreamEvent]) -> Vec<String> {
    let mut encoder = Encoder::new(&IDENTITY, false);
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    encoder.end(&mut out);
    let text = String::from_utf8(out).unwrap();
    text.split_terminator("\n\n").map(|frame| frame["data: ".len()..].to_owned()).collect()
}

/// What a client puts together of the chunks: texts add up, lists too.
fn streamed_message(frames: &[String]) -> Value {
    let mut message = json!({"role": "assistant", "content": ""});
    for frame in frames.iter().filter(|frame| *frame != "[DONE]") {
        let chunk: Value = serde_json::from_str(frame).unwrap();
        for (key, value) in chunk["choices"][0]["delta"].as_object().unwrap() {
            match (key.as_str(), message.get_mut(key), value) {
                ("role", _, _) => {}
                (_, Some(Value::String(text)), Value::String(more)) => text.push_str(more),
                (_, Some(Value::Array(list)), Value::Array(more)) => list.extend(more.clone()),
                (_, _, value) => message[key] = value.clone(),
            }
        }
    }
    message
}

fn decoded(frames: &[String]) -> Response {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    frames.iter().for_each(|frame| decoder.push(frame.as_bytes(), &mut events));
    decoder.finish(&mut events);
    assemble(&events)
}

fn conversations() -> Vec<Vec<Block>> {
    vec![
        vec![signed("hm", "sig", "anthropic-messages")],
        vec![
            signed("a", "s1", "anthropic-messages"),
            encrypted("", "redacted", "anthropic-messages"),
            signed("b", "s2", "anthropic-messages"),
        ],
        vec![signed("summary", "blob", "openai-responses")],
        vec![
            item("rs_1"),
            Block::reasoning("one"),
            signed("two", "blob", "openai-responses"),
            item("rs_2"),
            encrypted("", "blob", "openai-responses"),
        ],
        vec![encrypted("", "blob", "openai-responses")],
        vec![signed("thought", "g", "gemini")],
        vec![signed("x", "b", "bedrock-converse")],
    ]
}

#[test]
fn reasoning_comes_back_from_a_client_as_it_went() {
    for reasoning in conversations() {
        let response = answer(reasoning);
        assert_eq!(sent_back(&whole_message(&response)), response.blocks);
        let frames = frames(&replay(&response));
        assert_eq!(sent_back(&streamed_message(&frames)), response.blocks, "{frames:?}");
    }
}

#[test]
fn client_that_keeps_only_the_details_loses_nothing() {
    for reasoning in conversations() {
        let response = answer(reasoning);
        let mut message = whole_message(&response);
        message.as_object_mut().unwrap().remove("reasoning_content");
        assert_eq!(sent_back(&message), response.blocks);
    }
}

#[test]
fn another_gateway_reads_our_own_answers() {
    for reasoning in conversations() {
        let response = answer(reasoning);
        let body = response::encode(&response, &IDENTITY);
        assert_eq!(response::decode(&body).unwrap().blocks, response.blocks);
    }
    let streamed = answer(vec![
        signed("a", "s1", "anthropic-messages"),
        encrypted("", "redacted", "anthropic-messages"),
    ]);
    assert_eq!(decoded(&frames(&replay(&streamed))), streamed);
}

#[test]
fn signature_without_its_words_takes_them_from_beside() {
    let details = json!([{"type": "reasoning.text", "signature": "s", "format": "anthropic-claude-v1", "index": 0}]);
    let message = json!({"role": "assistant", "content": "said", "reasoning_content": "hm",
        "reasoning_details": details});
    assert_eq!(sent_back(&message)[0], signed("hm", "s", "anthropic-messages"));
}

/// OpenRouter: words and signature of Claude in pieces, each beside the same plain words.
fn openrouter_stream() -> (Vec<String>, Value) {
    let delta = |delta: Value| {
        json!({"id": "gen-1", "provider": "Anthropic", "model": "anthropic/claude-sonnet-4.5", "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta, "finish_reason": null, "native_finish_reason": null}]})
        .to_string()
    };
    let piece = |text: &str| {
        json!({"role": "assistant", "content": "", "reasoning": text, "reasoning_details": [
            {"type": "reasoning.text", "text": text, "format": "anthropic-claude-v1", "index": 0}]})
    };
    let signature = json!({"role": "assistant", "content": "", "reasoning": null, "reasoning_details": [
        {"type": "reasoning.text", "signature": "sig", "format": "anthropic-claude-v1", "index": 0}]});
    let blob = json!({"content": "", "reasoning": null, "reasoning_details": [
        {"type": "reasoning.summary", "summary": "So.", "id": "rs_1", "format": "openai-responses-v1", "index": 1},
        {"type": "reasoning.encrypted", "data": "blob", "id": "rs_1", "format": "openai-responses-v1", "index": 1},
        {"type": "reasoning.encrypted", "data": "g", "id": "tool_1", "format": "google-gemini-v1", "index": 7}]});
    let chunks = vec![
        delta(piece("Let me ")),
        delta(piece("think.")),
        delta(signature),
        delta(blob),
        delta(json!({"content": "Hi"})),
        delta(json!({"content": "!"})),
        json!({"id": "gen-1", "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]}).to_string(),
        "[DONE]".to_owned(),
    ];
    let whole = json!({"id": "gen-1", "provider": "Anthropic", "model": "anthropic/claude-sonnet-4.5", "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi!",
            "reasoning": "Let me think.So.", "reasoning_details": [
                {"type": "reasoning.text", "text": "Let me think.", "signature": "sig", "format": "anthropic-claude-v1", "index": 0},
                {"type": "reasoning.summary", "summary": "So.", "id": "rs_1", "format": "openai-responses-v1", "index": 1},
                {"type": "reasoning.encrypted", "data": "blob", "id": "rs_1", "format": "openai-responses-v1", "index": 1},
                {"type": "reasoning.encrypted", "data": "g", "id": "tool_1", "format": "google-gemini-v1", "index": 7}]}}]});
    (chunks, whole)
}

#[test]
fn openrouter_s_stream_and_whole_answer_mean_the_same() {
    let (chunks, whole) = openrouter_stream();
    let response = response::decode(whole.to_string().as_bytes()).unwrap();
    assert_eq!(decoded(&chunks), response);
    assert_eq!(response.blocks[0], signed("Let me think.", "sig", "anthropic-messages"));
    assert_eq!(response.extra, *json!({"provider": "Anthropic"}).as_object().unwrap());
    // Through a client of ours and back to OpenRouter: its own entries.
    for message in [whole_message(&response), streamed_message(&frames(&replay(&response)))] {
        let body = json!({"model": "m", "messages": [message]});
        let request = request::decode(body.to_string().as_bytes()).unwrap();
        let found = asked(&request, ReasoningPlace::ReasoningDetails);
        assert_eq!(found["reasoning_details"], whole["choices"][0]["message"]["reasoning_details"]);
        assert_eq!(found.get("reasoning_content"), None);
    }
}

fn asked(request: &Request, reasoning: ReasoningPlace) -> Value {
    let options = Options { reasoning, ..Options::default() };
    let encoded = encode_with(request, "m", &options).unwrap();
    let body: Value = serde_json::from_slice(&encoded.body).unwrap();
    body["messages"][0].clone()
}

fn conversation(blocks: Vec<Block>) -> Request {
    let message = Message { role: Role::Assistant, blocks: answer(blocks).blocks, name: None };
    Request { messages: vec![message], ..Request::default() }
}

#[test]
fn server_gets_reasoning_where_it_wants_it() {
    let request = conversation(vec![
        signed("a", "s", "anthropic-messages"),
        signed("b", "t", "bedrock-converse"),
        encrypted("", "e", "bedrock-converse"),
    ]);
    let plain = json!({"role": "assistant", "content": "said"});
    let with = |key: &str, value: Value| {
        let mut message = plain.clone();
        message[key] = value;
        message
    };
    let details = json!([
        {"type": "reasoning.text", "text": "a", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.text", "text": "b"}]);
    let thinking = json!([{"type": "thinking", "thinking": [{"type": "text", "text": "ab"}]},
        {"type": "text", "text": "said"}]);
    let cases = [
        (ReasoningPlace::Nowhere, plain.clone()),
        (ReasoningPlace::ReasoningContent, with("reasoning_content", "ab".into())),
        (ReasoningPlace::Reasoning, with("reasoning", "ab".into())),
        (ReasoningPlace::ReasoningDetails, with("reasoning_details", details)),
        (ReasoningPlace::Thinking, with("content", thinking)),
    ];
    for (place, expected) in cases {
        assert_eq!(asked(&request, place), expected, "{place:?}");
    }
    let unsigned = conversation(vec![Block::reasoning("a")]);
    let found = asked(&unsigned, ReasoningPlace::ReasoningDetails);
    assert_eq!(found, with("reasoning", "a".into()));
}

#[test]
fn details_of_any_form_keep_every_field() {
    let entries = [
        json!([{"type": "reasoning.text", "text": "a", "signature": "s", "format": "anthropic-claude-v1", "index": 0}]),
        json!([{"type": "reasoning.summary", "summary": "a", "id": "rs", "format": "openai-responses-v1", "index": 0},
            {"type": "reasoning.encrypted", "data": "d", "id": "rs", "format": "openai-responses-v1", "index": 0}]),
        json!([{"type": "reasoning.new", "x": 1}, {"type": "reasoning.text", "text": "a"}]),
        json!(["not an object"]),
        json!({"not": "a list"}),
    ];
    for details in entries {
        for (key, text) in [("reasoning", "a"), ("reasoning_content", "other"), ("x", "a")] {
            let mut message =
                json!({"role": "assistant", "content": "said", "reasoning_details": details});
            message[key] = text.into();
            let body = json!({"model": "m", "messages": [message]});
            let request = request::decode(body.to_string().as_bytes()).unwrap();
            let canonical = serde_json::to_vec(&request).unwrap();
            let request: Request = serde_json::from_slice(&canonical).unwrap();
            let encoded = request::encode(&request, "m").unwrap();
            let found: Value = serde_json::from_slice(&encoded.body).unwrap();
            assert_eq!(found, body);
        }
    }
}

fn reasoning() -> impl Strategy<Value = Block> {
    let dialect = prop_oneof![
        Just("anthropic-messages"),
        Just("openai-responses"),
        Just("gemini"),
        Just("x-v1"),
        Just("mine"),
    ];
    ("[a-z]{0,5}", "[A-Za-z0-9+/]{1,8}", any::<bool>(), dialect).prop_map(
        |(text, proof, is_signature, dialect)| match (dialect, is_signature) {
            // A summary is signed with the blob, a blob alone is encrypted reasoning.
            ("openai-responses", _) if text.is_empty() => encrypted("", &proof, dialect),
            ("openai-responses", _) | (_, true) => signed(&text, &proof, dialect),
            (_, false) => encrypted(&text, &proof, dialect),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_reasoning_survives_a_client(blocks in prop::collection::vec(reasoning(), 1..4)) {
        let response = answer(blocks);
        prop_assert_eq!(sent_back(&whole_message(&response)), response.blocks.clone());
        let frames = frames(&replay(&response));
        prop_assert_eq!(sent_back(&streamed_message(&frames)), response.blocks);
    }
}
