//! Nothing is lost on the way through the payload and through another dialect.
//!
//! Three properties, on generated values and on recorded traffic: a dialect's own body comes
//! out as it went in (in its normal form, see each codec); an answer told in another dialect
//! keeps text, calls, reasoning, reason and usage; and how a stream is cut changes nothing.
//! Without the recordings, which lie beside the checkout, those tests say so and pass.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod generated;

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use torana_wire::anthropic;
use torana_wire::assemble::{assemble, replay};
use torana_wire::chat::{Block, FinishReason, Response, Usage};
use torana_wire::conformance::shredded;
use torana_wire::event::StreamEvent;
use torana_wire::openai::{self, Identity};

use generated::{answer, answer_with, model, request};

const IDENTITY: Identity<'_> = Identity { id: "msg_1", model: "shown", created: 7 };

// Recorded traffic

fn recordings(suffix: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/recordings");
    if !root.is_dir() {
        eprintln!("skipped: no recordings at {}", root.display());
        return Vec::new();
    }
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            match path.is_dir() {
                true => folders.push(path),
                false if name.ends_with(suffix) && !name.contains("spliced") => {
                    found.push((name, std::fs::read_to_string(&path).unwrap()));
                }
                false => {}
            }
        }
    }
    found.sort();
    found
}

/// Whole answers, with the wire they came on.
fn recorded_answers() -> Vec<(String, Wire, String)> {
    let wire = |name: &str, text: &str| match text {
        _ if name.starts_with("anthropic/model") => Some(Wire::Anthropic),
        text if text.contains("\"chat.completion\"") => Some(Wire::OpenAi),
        _ => None,
    };
    recordings(".json")
        .into_iter()
        .filter_map(|(name, text)| wire(&name, &text).map(|wire| (name, wire, text)))
        .collect()
}

/// Streams as the data of their events.
fn recorded_streams() -> Vec<(String, Wire, Vec<String>)> {
    let wire = |name: &str, text: &str| match text {
        _ if name.starts_with("anthropic/model") => Some(Wire::Anthropic),
        text if text.contains("chat.completion.chunk") => Some(Wire::OpenAi),
        _ => None,
    };
    let lines = |text: &str| first_answer(text.lines().map(str::to_owned).collect());
    recordings(".chunks.txt")
        .into_iter()
        .filter_map(|(name, text)| wire(&name, &text).map(|wire| (name, wire, lines(&text))))
        .collect()
}

/// Some recordings hold several answers, one after the other.
fn first_answer(lines: Vec<String>) -> Vec<String> {
    let end = lines.iter().position(|line| line.contains("\"message_stop\""));
    let length = end.map_or(lines.len(), |end| end + 1);
    lines.into_iter().take(length).collect()
}

// The two wires

#[derive(Clone, Copy, Debug, PartialEq)]
enum Wire {
    Anthropic,
    OpenAi,
}

impl Wire {
    const ALL: [Self; 2] = [Self::Anthropic, Self::OpenAi];

    fn whole(self, body: &[u8]) -> Response {
        match self {
            Self::Anthropic => anthropic::response::decode(body).unwrap(),
            Self::OpenAi => openai::response::decode(body).unwrap(),
        }
    }

    fn tell(self, response: &Response) -> Vec<u8> {
        match self {
            Self::Anthropic => anthropic::response::encode(response, &IDENTITY),
            Self::OpenAi => openai::response::encode(response, &IDENTITY),
        }
    }

    fn events<'a>(self, frames: impl Iterator<Item = &'a [u8]>) -> Vec<StreamEvent> {
        let mut events = Vec::new();
        match self {
            Self::Anthropic => {
                let mut decoder = anthropic::stream::Decoder::default();
                frames.for_each(|frame| decoder.push(None, frame, &mut events));
                decoder.finish(&mut events);
            }
            Self::OpenAi => {
                let mut decoder = openai::stream::Decoder::default();
                frames.for_each(|frame| decoder.push(frame, &mut events));
                decoder.finish(&mut events);
            }
        }
        events
    }

    /// What a client that reads this wire understands of a stream.
    fn tell_stream(self, events: &[StreamEvent]) -> Response {
        let mut out = Vec::new();
        match self {
            Self::Anthropic => {
                let mut encoder = anthropic::stream::Encoder::new(&IDENTITY);
                events.iter().for_each(|event| encoder.push(event, &mut out));
                encoder.end(&mut out);
            }
            Self::OpenAi => {
                let mut encoder = openai::stream::Encoder::new(&IDENTITY, true);
                events.iter().for_each(|event| encoder.push(event, &mut out));
                encoder.end(&mut out);
            }
        }
        let text = String::from_utf8(out).unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        assemble(&self.events(data.map(str::as_bytes)))
    }
}

// What must not be lost

/// What an answer says, whatever blocks it says it in. A refusal is text to Anthropic and comes
/// after the text at OpenAI; both have one word for a refusal and a filter.
#[derive(Debug, PartialEq)]
struct Essence {
    text: String,
    reasoning: String,
    calls: Vec<(String, String, Value)>,
    reason: Option<FinishReason>,
    usage: Option<Usage>,
}

impl Essence {
    fn of(response: &Response) -> Self {
        let mut essence = Self {
            text: String::new(),
            reasoning: String::new(),
            calls: Vec::new(),
            reason: response.finish_reason.clone(),
            usage: response.usage,
        };
        let mut refusal = String::new();
        for block in &response.blocks {
            match block {
                Block::Text { text, .. } => essence.text.push_str(text),
                Block::Refusal { text } => refusal.push_str(text),
                Block::Reasoning { text, .. } => essence.reasoning.push_str(text),
                Block::ToolCall { id, name, arguments, .. } => {
                    let arguments = arguments_of(arguments);
                    essence.calls.push((id.clone(), name.clone(), arguments));
                }
                _ => {}
            }
        }
        essence.text.push_str(&refusal);
        if essence.reason == Some(FinishReason::ContentFilter) {
            essence.reason = Some(FinishReason::Refusal);
        }
        essence
    }
}

/// Anthropic's arguments are an object, always.
fn arguments_of(arguments: &str) -> Value {
    match serde_json::from_str(arguments) {
        Ok(Value::Object(fields)) => Value::Object(fields),
        _ if arguments.trim().is_empty() => json!({}),
        _ => json!({"arguments": arguments}),
    }
}

#[test]
fn recorded_answers_survive_every_other_dialect() {
    for (name, wire, text) in recorded_answers() {
        let response = wire.whole(text.as_bytes());
        let usage = response.usage.is_some();
        for other in Wire::ALL {
            let told = other.whole(&other.tell(&response));
            let (mut told, original) = (Essence::of(&told), Essence::of(&response));
            told.usage = told.usage.filter(|_| usage);
            assert_eq!(told, original, "{name} through {other:?}");
        }
    }
}

#[test]
fn recorded_streams_survive_every_other_dialect() {
    for (name, wire, frames) in recorded_streams() {
        let events = wire.events(frames.iter().map(String::as_bytes));
        let response = assemble(&events);
        for other in Wire::ALL {
            let told = other.tell_stream(&events);
            assert_eq!(Essence::of(&told), Essence::of(&response), "{name} through {other:?}");
        }
    }
}

/// Anthropic's own answer in normal form: no nulls, the cache counts always there.
fn normal(mut message: Value) -> Value {
    let blocks = message["content"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let known = ["text", "thinking", "redacted_thinking", "tool_use"];
    let without_nulls = |mut block: Value| {
        if known.iter().any(|kind| block["type"] == *kind) {
            block.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        block
    };
    let fields = message.as_object_mut().unwrap();
    fields.insert("content".into(), blocks.into_iter().map(without_nulls).collect());
    fields.retain(|_, value| !value.is_null());
    let usage = fields.get_mut("usage").unwrap().as_object_mut().unwrap();
    usage.retain(|_, value| !value.is_null() && *value != json!({"thinking_tokens": 0}));
    for key in ["cache_creation_input_tokens", "cache_read_input_tokens"] {
        usage.entry(key).or_insert(json!(0));
    }
    message
}

#[test]
fn recorded_anthropic_answers_come_out_as_they_went_in() {
    for (name, _, text) in recorded_answers().iter().filter(|it| it.1 == Wire::Anthropic) {
        let original: Value = serde_json::from_str(text).unwrap();
        let response = anthropic::response::decode(text.as_bytes()).unwrap();
        let identity = Identity { id: &response.id, model: &response.model, created: 0 };
        let told = anthropic::response::encode(&response, &identity);
        let told: Value = serde_json::from_slice(&told).unwrap();
        assert_eq!(normal(told), normal(original), "{name}");
    }
}

#[test]
fn recorded_anthropic_streams_come_out_as_they_went_in() {
    for (name, wire, frames) in recorded_streams() {
        if wire != Wire::Anthropic {
            continue;
        }
        let events = wire.events(frames.iter().map(String::as_bytes));
        let mut response = assemble(&events);
        response.id = IDENTITY.id.into();
        response.model = IDENTITY.model.into();
        assert_eq!(wire.tell_stream(&events), response, "{name}");
    }
}

#[test]
fn recorded_streams_mean_the_same_however_they_are_batched() {
    for (name, wire, frames) in recorded_streams() {
        let whole = wire.events(frames.iter().map(String::as_bytes));
        for size in [1, 3, 7] {
            let batched = frames.chunks(size).flatten();
            assert_eq!(wire.events(batched.map(String::as_bytes)), whole, "{name} by {size}");
        }
        for wire in Wire::ALL {
            let shredded = shredded(&whole, 3);
            assert_eq!(wire.tell_stream(&shredded), wire.tell_stream(&whole), "{name} in shreds");
        }
    }
}

// Generated values

/// The content of an answer as a client on the Anthropic wire sends it back.
fn sent_back(message: &Value) -> Vec<Block> {
    let body = json!({"model": "m", "max_tokens": 1,
        "messages": [{"role": "assistant", "content": message["content"]}]});
    let request = anthropic::request::decode(body.to_string().as_bytes()).unwrap();
    request.messages.into_iter().next().unwrap().blocks
}

fn only_reasoning(blocks: &[Block]) -> Vec<&Block> {
    blocks.iter().filter(|block| matches!(block, Block::Reasoning { .. })).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// What Anthropic is asked is what a client of its dialect would have asked: understood
    /// again and asked again, it is the same body.
    #[test]
    fn anthropic_body_comes_out_as_it_went_in(request in request(), model in model()) {
        let body = anthropic::request::encode(&request, model).unwrap().body;
        prop_assume!(serde_json::from_slice::<Value>(&body).unwrap()["messages"] != json!([]));
        let again = anthropic::request::decode(&body).unwrap();
        let canonical = serde_json::to_vec(&again).unwrap();
        let again = anthropic::request::encode(&serde_json::from_slice(&canonical).unwrap(), model).unwrap();
        prop_assert_eq!(again.dropped, Vec::<String>::new());
        let json = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
        prop_assert_eq!(json(&again.body), json(&body));
    }

    #[test]
    fn openai_body_comes_out_as_it_went_in(request in request()) {
        let body = openai::request::encode(&request, "m").unwrap().body;
        let again = openai::request::decode(&body).unwrap();
        let again = openai::request::encode(&again, "m").unwrap();
        let json = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
        prop_assert_eq!(json(&again.body), json(&body));
    }

    #[test]
    fn answer_survives_every_dialect_whole_and_streamed(answer in answer(), size in 1usize..4) {
        let events = shredded(&replay(&answer), size);
        for wire in Wire::ALL {
            let told = wire.whole(&wire.tell(&answer));
            prop_assert_eq!(Essence::of(&told), Essence::of(&answer), "{:?}", wire);
            let told = wire.tell_stream(&events);
            prop_assert_eq!(Essence::of(&told), Essence::of(&answer), "streamed, {:?}", wire);
        }
    }

    /// Whoever signed it gets its signature back.
    #[test]
    fn proofs_of_reasoning_survive_a_client_of_anthropics_dialect(answer in answer_with(0..4)) {
        let message: Value = serde_json::from_slice(&Wire::Anthropic.tell(&answer)).unwrap();
        let back = sent_back(&message);
        prop_assert_eq!(only_reasoning(&back), only_reasoning(&answer.blocks));
    }

    #[test]
    fn decoder_never_panics_on_what_a_client_sends(body in "\\PC{0,64}", request in request(), at in any::<prop::sample::Index>()) {
        let _ = anthropic::request::decode(body.as_bytes());
        let mut good = anthropic::request::encode(&request, "claude-opus-5").unwrap().body;
        let at = at.index(good.len());
        good[at] = good[at].wrapping_add(1);
        let _ = anthropic::request::decode(&good);
    }
}
