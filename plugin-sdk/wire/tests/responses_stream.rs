//! Answers on the Responses wire as a client gets them, whole and streamed.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};
use torana_wire::assemble::{assemble, replay};
use torana_wire::chat::{Block, FinishReason, Request, Response, Usage};
use torana_wire::conformance::shredded;
use torana_wire::error::{CallError, CallErrorKind};
use torana_wire::event::{BlockKind, StreamEvent};
use torana_wire::responses::stream::{Decoder, Encoder};
use torana_wire::responses::{DIALECT, Echo, ITEM_FIELDS, Identity, request, response};

const IDENTITY: Identity<'_> = Identity { id: "resp_1", model: "shown", created: 7 };

fn echo() -> Echo {
    let body = json!({"model": "m", "input": "hi", "instructions": "Be brief.", "temperature": 0.5,
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true}],
        "reasoning": {"effort": "low"}, "metadata": {"a": "b"}, "service_tier": "auto",
        "text": {"verbosity": "low"}, "conversation": "conv_1", "store": false});
    Echo::of(&request::decode(body.to_string().as_bytes()).unwrap())
}

fn encode(events: &[StreamEvent]) -> String {
    let mut encoder = Encoder::new(&IDENTITY, echo());
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.push(event, &mut out));
    encoder.end(&mut out);
    let end = out.len();
    encoder.end(&mut out);
    encoder.fail(&CallError::new(CallErrorKind::Server, "late"), &mut out);
    let over =
        events.iter().any(|event| matches!(event, StreamEvent::Finish(_) | StreamEvent::Failed(_)));
    assert!(!over || out.len() == end, "nothing follows the end");
    out.truncate(end);
    String::from_utf8(out).unwrap()
}

/// Names with their data.
fn frames(text: &str) -> Vec<(String, String)> {
    text.split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.split_once("\ndata: ").unwrap();
            (name.strip_prefix("event: ").unwrap().to_owned(), data.to_owned())
        })
        .collect()
}

fn decode(frames: &[(String, String)]) -> Vec<StreamEvent> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for (name, data) in frames {
        decoder.push(Some(name), data.as_bytes(), &mut events);
    }
    decoder.finish(&mut events);
    events
}

fn through_the_client(events: &[StreamEvent]) -> Vec<StreamEvent> {
    decode(&frames(&encode(events)))
}

fn reasoning(text: &str, signature: Option<&str>, dialect: &str) -> Block {
    Block::Reasoning {
        text: text.into(),
        signature: signature.map(str::to_owned),
        encrypted: None,
        dialect: Some(dialect.into()),
    }
}

fn call(id: &str, name: &str, arguments: &str) -> Block {
    Block::ToolCall { id: id.into(), name: name.into(), arguments: arguments.into(), cache: None }
}

fn sample() -> Response {
    let citation = json!({"annotations": [{"type": "url_citation", "url_citation":
        {"url": "https://e.org", "title": "t", "start_index": 0, "end_index": 2}}]});
    let searched = json!({"type": "web_search_call", "id": "ws_1", "status": "completed",
        "action": {"type": "search", "query": "q"}});
    let fields = |value| Block::Other { dialect: ITEM_FIELDS.into(), value };
    Response {
        id: "r".into(),
        model: "m".into(),
        blocks: vec![
            reasoning("hm", Some("sig"), "anthropic-messages"),
            fields(json!({"id": "rs_1"})),
            reasoning("one", None, DIALECT),
            reasoning("two", Some("gAAAA"), DIALECT),
            Block::Other { dialect: DIALECT.into(), value: searched },
            fields(json!({"id": "msg_1", "phase": "commentary"})),
            Block::Text {
                text: "hi \"you\"".into(),
                cache: None,
                extra: citation.as_object().unwrap().clone(),
            },
            Block::Refusal { text: "no".into() },
            call("call_1", "f", "{}"),
        ],
        finish_reason: Some(FinishReason::ToolCalls),
        usage: Some(Usage {
            input: 9,
            output: 5,
            reasoning: 2,
            cached_input: 3,
            ..Usage::default()
        }),
        extra: json!({"service_tier": "default"}).as_object().unwrap().clone(),
    }
}

fn golden(name: &str, found: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("TORANA_BLESS").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(&path).unwrap());
}

#[test]
fn client_gets_the_golden_stream() {
    golden("responses_stream.txt", &encode(&replay(&sample())));
}

#[test]
fn client_gets_the_golden_answer() {
    let body = response::encode(&sample(), &IDENTITY, &echo());
    let value: Value = serde_json::from_slice(&body).unwrap();
    golden(
        "responses_response.json",
        &format!("{}\n", serde_json::to_string_pretty(&value).unwrap()),
    );
}

#[test]
fn client_gets_the_golden_failure() {
    let mut events = replay(&sample());
    events.truncate(5);
    events.push(StreamEvent::Failed(CallError::new(CallErrorKind::Overloaded, "busy")));
    golden("responses_failure.txt", &encode(&events));
}

#[test]
fn stream_ends_with_the_body_of_the_whole_answer() {
    let text = encode(&replay(&sample()));
    let (name, data) = frames(&text).pop().unwrap();
    assert_eq!(name, "response.completed");
    let last: Value = serde_json::from_str(&data).unwrap();
    let body = response::encode(&sample(), &IDENTITY, &echo());
    assert_eq!(last["response"], serde_json::from_slice::<Value>(&body).unwrap());
}

#[test]
fn items_keep_their_ids_and_parts_their_places() {
    let mut added = Vec::new();
    let mut done = Vec::new();
    for (_, data) in frames(&encode(&replay(&sample()))) {
        let value: Value = serde_json::from_str(&data).unwrap();
        match value["type"].as_str().unwrap() {
            "response.output_item.added" => added.push(value["item"]["id"].clone()),
            "response.output_item.done" => done.push(value["item"]["id"].clone()),
            _ if value["item_id"].is_null() => {}
            _ => {
                let place = usize::try_from(value["output_index"].as_u64().unwrap()).unwrap();
                assert_eq!(value["item_id"], added[place], "{data}");
            }
        }
    }
    assert_eq!(added, done);
    assert_eq!(added[1..4], [json!("rs_1"), json!("ws_1"), json!("msg_1")]);
}

#[test]
fn stream_without_finish_never_looks_complete() {
    let mut events = replay(&sample());
    events.pop();
    let text = encode(&events);
    assert!(!text.contains("response.completed") && !text.contains("\"completed_at\""), "{text}");
    let decoded = decode(&frames(&text));
    assert!(!decoded.iter().any(|event| matches!(event, StreamEvent::Finish(_))));
}

#[test]
fn failed_stream_ends_with_error_not_completed() {
    let error = CallError::new(CallErrorKind::RateLimited, "slow down");
    let finished = [StreamEvent::Finish(FinishReason::Stop), StreamEvent::Failed(error)];
    for events in [&finished[..], &finished[1..]] {
        let text = encode(events);
        assert!(!text.contains("event: response.completed"), "{text}");
        let names: Vec<String> = frames(&text).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names[names.len() - 2..], ["error", "response.failed"]);
        match decode(&frames(&text)).last() {
            Some(StreamEvent::Failed(error)) => {
                assert_eq!(
                    (error.kind, error.message.as_str()),
                    (CallErrorKind::RateLimited, "slow down")
                );
            }
            other => unreachable!("{other:?}"),
        }
    }
}

#[test]
fn answer_cut_short_is_incomplete_with_its_reason() {
    let reasons = [
        (FinishReason::Length, "max_output_tokens"),
        (FinishReason::ContentFilter, "content_filter"),
        (FinishReason::Refusal, "content_filter"),
        (FinishReason::Other("pause_turn".into()), "pause_turn"),
    ];
    for (reason, word) in reasons {
        let response = Response {
            blocks: vec![Block::text("ha")],
            finish_reason: Some(reason),
            ..Response::default()
        };
        let (name, data) = frames(&encode(&replay(&response))).pop().unwrap();
        assert_eq!(name, "response.incomplete");
        let last: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(last["response"]["status"], "incomplete");
        assert_eq!(last["response"]["incomplete_details"], json!({"reason": word}));
        assert_eq!(last["response"]["output"][0]["status"], "incomplete");
    }
}

#[test]
fn calls_that_interleave_come_out_apart() {
    let start = |index, id: &str| StreamEvent::BlockStart {
        index,
        kind: BlockKind::ToolCall { id: id.into(), name: "f".into() },
    };
    let more = |index, text: &str| StreamEvent::ToolCallDelta { index, arguments: text.into() };
    let events = [
        start(0, "a"),
        more(0, "{\"x\":"),
        start(1, "b"),
        more(1, "{}"),
        more(0, "1}"),
        StreamEvent::BlockStop { index: 0 },
        StreamEvent::BlockStop { index: 1 },
        StreamEvent::Finish(FinishReason::ToolCalls),
    ];
    let calls: Vec<Block> = assemble(&through_the_client(&events))
        .blocks
        .into_iter()
        .filter(|block| matches!(block, Block::ToolCall { .. }))
        .collect();
    assert_eq!(calls, [call("a", "f", "{\"x\":1}"), call("b", "f", "{}")]);
}

#[test]
fn sealed_signature_comes_back_to_the_dialect_it_is_of() {
    let body = response::encode(&sample(), &IDENTITY, &Echo::of(&Request::default()));
    let output: Value = serde_json::from_slice::<Value>(&body).unwrap()["output"].clone();
    let next = json!({"model": "m", "input": output});
    let request = request::decode(next.to_string().as_bytes()).unwrap();
    let blocks: Vec<&Block> = request.messages.iter().flat_map(|it| &it.blocks).collect();
    assert!(blocks.contains(&&reasoning("hm", Some("sig"), "anthropic-messages")), "{blocks:?}");
    assert!(blocks.contains(&&reasoning("two", Some("gAAAA"), DIALECT)), "{blocks:?}");
}

#[test]
fn servers_that_leave_out_events_are_understood() {
    let item = json!({"type": "message", "id": "m1", "role": "assistant", "content": [
        {"type": "output_text", "text": "hello", "annotations": []}]});
    let frame = |value: Value| (String::new(), value.to_string());
    let completed = json!({"type": "response.completed", "response": {"id": "r", "model": "m",
        "status": "completed", "output": [item], "usage": {"input_tokens": 1, "output_tokens": 2}}});
    let delta = json!({"type": "response.output_text.delta", "output_index": 0, "delta": "hel"});
    let added = json!({"type": "response.output_item.added", "output_index": 0, "item":
        {"type": "message", "id": "m1", "role": "assistant", "content": []}});
    let done = json!({"type": "response.output_item.done", "output_index": 0, "item": item});
    let streams = [
        vec![completed.clone()],
        vec![done.clone(), completed.clone()],
        vec![added, delta, done, completed],
    ];
    for stream in streams {
        let frames: Vec<_> = stream.into_iter().map(frame).collect();
        let response = assemble(&decode(&frames));
        let text = response.blocks.last();
        assert_eq!(text, Some(&Block::text("hello")), "{frames:?}");
        assert_eq!(response.finish_reason, Some(FinishReason::Stop));
    }
}

#[test]
fn failed_and_cancelled_answers_are_failures() {
    let failed = json!({"id": "r", "object": "response", "status": "failed", "output": [],
        "error": {"code": "rate_limit_exceeded", "message": "later"}});
    let error = response::decode(failed.to_string().as_bytes()).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (CallErrorKind::RateLimited, "later"));
    for status in ["failed", "cancelled"] {
        let body = json!({"status": status, "output": []});
        let error = response::decode(body.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.kind, CallErrorKind::Server);
    }
    for body in ["", "[]", "{}", r#"{"output":1}"#, "<html>"] {
        let error = response::decode(body.as_bytes()).unwrap_err();
        assert_eq!(error.kind, CallErrorKind::MalformedResponse, "{body}");
    }
}

#[test]
fn estimated_usage_says_so() {
    let usage = Usage { input: 3, output: 4, estimated: true, ..Usage::default() };
    let response = Response { usage: Some(usage), ..sample() };
    let body = response::encode(&response, &IDENTITY, &echo());
    let value: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(value["usage"]["estimated"], true);
    assert_eq!(response::decode(&body).unwrap().usage, Some(usage));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z ]{1,12}", "\\PC{1,8}", Just("\"\\\n\u{1}🦀".to_owned())]
}

/// The blocks of one item as this wire tells it.
fn item(id: usize) -> impl Strategy<Value = Vec<Block>> {
    let marker = move |kind: &str, more: Value| {
        let mut value = json!({"id": format!("{kind}_{id}")});
        for (key, more) in more.as_object().into_iter().flatten() {
            value[key] = more.clone();
        }
        Block::Other { dialect: ITEM_FIELDS.into(), value }
    };
    let thought = |(text, blob): (String, Option<String>)| {
        let dialect = blob.is_some().then(|| DIALECT.to_owned());
        Block::Reasoning { text, signature: blob, encrypted: None, dialect }
    };
    let blob = || prop::option::of("g[A-Z]{1,6}");
    let summary = (prop::collection::vec(text(), 0..3), text(), blob()).prop_map(
        move |(parts, last, blob)| {
            let mut blocks = vec![marker("rs", json!({}))];
            blocks.extend(parts.into_iter().map(|part| thought((part, None))));
            blocks.push(thought((last, blob)));
            blocks
        },
    );
    let raw = (text(), blob())
        .prop_map(move |it| vec![marker("rs", json!({"reasoning_text": true})), thought(it)]);
    let both = (text(), text(), blob()).prop_map(move |(short, long, blob)| {
        vec![
            marker("rs", json!({})),
            thought((short, None)),
            marker("rs", json!({"reasoning_text": true})),
            thought((long, blob)),
        ]
    });
    let encrypted = "g[A-Z]{1,6}".prop_map(move |blob| {
        let dialect = Some(DIALECT.to_owned());
        let block = Block::Reasoning {
            text: String::new(),
            signature: None,
            encrypted: Some(blob),
            dialect,
        };
        vec![marker("rs", json!({})), block]
    });
    let said = prop_oneof![
        text().prop_map(Block::text),
        text().prop_map(|text| Block::Refusal { text }),
        text().prop_map(|text| {
            let extra = json!({"annotations": [{"type": "file_citation", "file_id": "f", "index": 1}],
                "logprobs": {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]}});
            Block::Text { text, cache: None, extra: extra.as_object().unwrap().clone() }
        }),
    ];
    let message =
        (prop::collection::vec(said, 1..4), any::<bool>()).prop_map(move |(said, phase)| {
            let more = if phase { json!({"phase": "final_answer"}) } else { json!({}) };
            std::iter::once(marker("msg", more)).chain(said).collect()
        });
    let calls = (text(), text(), text()).prop_map(move |(call_id, name, arguments)| {
        vec![marker("fc", json!({})), call(&call_id, &name, &arguments)]
    });
    let whole = text().prop_map(move |query| {
        let value = json!({"type": "web_search_call", "id": format!("ws_{id}"), "status": "completed",
            "action": {"type": "search", "query": query}});
        vec![Block::Other { dialect: DIALECT.into(), value }]
    });
    prop_oneof![summary, raw, both, encrypted, message, calls, whole]
}

/// An answer as a provider on this wire gives it.
fn answer() -> impl Strategy<Value = Response> {
    let items = (0..6usize).prop_flat_map(|count| (0..count).map(item).collect::<Vec<_>>());
    let usage = (any::<u32>(), any::<u32>(), any::<u16>(), any::<bool>()).prop_map(
        |(input, output, part, estimated)| Usage {
            input: input.into(),
            output: output.into(),
            cached_input: part.into(),
            reasoning: part.into(),
            estimated,
            ..Usage::default()
        },
    );
    let reason = prop::option::of(prop_oneof![
        Just(FinishReason::Length),
        Just(FinishReason::ContentFilter),
        "x_[a-z]{1,5}".prop_map(FinishReason::Other),
    ]);
    (items, usage, reason).prop_map(|(items, usage, reason)| {
        let blocks: Vec<Block> = items.into_iter().flatten().collect();
        let has_calls = blocks.iter().any(|block| matches!(block, Block::ToolCall { .. }));
        let whole = if has_calls { FinishReason::ToolCalls } else { FinishReason::Stop };
        Response {
            id: IDENTITY.id.into(),
            model: IDENTITY.model.into(),
            blocks,
            finish_reason: Some(reason.unwrap_or(whole)),
            usage: Some(usage),
            // The tier that was asked for is repeated where no other is known.
            extra: json!({"service_tier": "default", "conversation": {"id": "conv_1"}})
                .as_object()
                .unwrap()
                .clone(),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn streamed_answer_reaches_the_client_unchanged(answer in answer(), size in 1usize..5) {
        let events = shredded(&replay(&answer), size);
        prop_assert_eq!(assemble(&through_the_client(&events)), answer);
    }

    #[test]
    fn whole_answer_reaches_the_client_unchanged(answer in answer()) {
        let body = response::encode(&answer, &IDENTITY, &echo());
        prop_assert_eq!(response::decode(&body).unwrap(), answer);
    }

    #[test]
    fn answer_goes_back_to_the_provider_as_it_came(answer in answer()) {
        let body = response::encode(&answer, &IDENTITY, &echo());
        let output = serde_json::from_slice::<Value>(&body).unwrap()["output"].clone();
        let input = json!({"model": "m", "input": output, "store": true});
        let request = request::decode(input.to_string().as_bytes()).unwrap();
        let encoded = request::encode(&request, "m").unwrap();
        let mut sent = serde_json::from_slice::<Value>(&encoded.body).unwrap()["input"].take();
        let mut output = output;
        // Normal form of input: an empty list of log probabilities is none.
        for items in [&mut sent, &mut output] {
            for item in items.as_array_mut().unwrap() {
                for part in item["content"].as_array_mut().into_iter().flatten() {
                    let part = part.as_object_mut().unwrap();
                    part.retain(|key, value| key != "logprobs" || *value != json!([]));
                }
                item.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            }
        }
        prop_assert_eq!(sent, output);
    }

    #[test]
    fn mangled_streams_never_panic_and_are_well_formed(
        answer in answer(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut all = frames(&encode(&replay(&answer)));
        for (from, to) in cuts {
            let (from, to) = (from.index(all.len()), to.index(all.len()));
            all.swap(from, to);
            all.remove(to);
            if all.is_empty() {
                break;
            }
        }
        let mut events = decode(&all);
        let finished = events.iter().filter(|event| {
            matches!(event, StreamEvent::Finish(_) | StreamEvent::Failed(_))
        });
        prop_assert!(finished.count() <= 1);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        all.push((text.clone(), text));
        events.extend(decode(&all));
        // Whatever came, the client's encoder takes it.
        encode(&events);
        let _ = response::decode(&bytes);
    }
}
