//! Requests and answers as clients and models give them, for property tests.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use torana_wire::chat::{
    Block, CacheMarker, FinishReason, MediaKind, MediaSource, Message, OutputFormat, Reasoning,
    Request, Response, Role, Sampling, Tool, ToolChoice, Usage,
};

use super::IDENTITY;

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z ]{0,8}[a-z]", "\\PC{0,6}x", Just("\"\\\n\u{1}🦀".to_owned())]
}

fn object() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        any::<i32>().prop_map(Value::from),
        text().prop_map(Value::from),
        Just(json!([1, {"a": true}])),
    ];
    prop::collection::btree_map("[a-z]{1,4}", value, 0..4)
        .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>()))
}

fn id() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_-]{1,12}"
}

fn cache() -> impl Strategy<Value = Option<CacheMarker>> {
    prop::option::of(prop::option::of("5m|1h").prop_map(|ttl| CacheMarker { ttl }))
}

fn call() -> impl Strategy<Value = Block> {
    (id(), id(), object(), cache()).prop_map(|(id, name, arguments, cache)| Block::ToolCall {
        id,
        name,
        arguments: arguments.to_string(),
        cache,
    })
}

/// Proven by nobody (0), by a signature (1), encrypted (2), and that beside a summary (3).
fn reasoning(kinds: std::ops::Range<u8>) -> impl Strategy<Value = Block> {
    let signer = prop_oneof![Just("anthropic-messages"), Just("gemini"), Just("other-v1")];
    let proof = "[A-Za-z0-9+/=.]{1,12}";
    (text(), kinds, proof, signer).prop_map(|(text, kind, proof, signer)| Block::Reasoning {
        text: if kind == 2 { String::new() } else { text },
        signature: (kind == 1).then(|| proof.clone()),
        encrypted: (kind >= 2).then_some(proof),
        // OpenAI alone gives a readable summary beside what is encrypted.
        dialect: (kind > 0).then(|| if kind == 3 { "openai-responses" } else { signer }.to_owned()),
    })
}

fn prose() -> impl Strategy<Value = Block> {
    (text(), cache()).prop_map(|(text, cache)| Block::Text { text, cache, extra: Map::new() })
}

fn media() -> impl Strategy<Value = Block> {
    let pdf = Just((MediaKind::File, Some("application/pdf".to_owned())));
    let image = Just((MediaKind::Image, Some("image/png".to_owned())));
    let inline = "[A-Za-z0-9+/]{4}".prop_map(|data| MediaSource::Inline { data });
    (prop_oneof![pdf, image], inline, prop::option::of(text()), cache()).prop_map(
        |((kind, mime_type), source, filename, cache)| {
            let filename = filename.filter(|_| kind == MediaKind::File);
            Block::Media { kind, source, mime_type, filename, detail: None, cache }
        },
    )
}

fn result() -> impl Strategy<Value = Block> {
    let content = prop::collection::vec(prop_oneof![prose(), media()], 0..3);
    (id(), content, any::<bool>(), cache())
        .prop_map(|(id, blocks, is_error, cache)| Block::ToolResult { id, blocks, is_error, cache })
}

fn message() -> impl Strategy<Value = Message> {
    let of = |role, block: BoxedStrategy<Block>| {
        prop::collection::vec(block, 1..4).prop_map(move |blocks| Message {
            role,
            blocks,
            name: None,
        })
    };
    prop_oneof![
        of(Role::System, prose().boxed()),
        of(Role::User, prop_oneof![prose(), media()].boxed()),
        of(Role::Assistant, prop_oneof![prose(), call(), reasoning(0..4)].boxed()),
        of(Role::Tool, result().boxed()),
    ]
}

fn tool() -> impl Strategy<Value = Tool> {
    (id(), prop::option::of(text()), object(), any::<bool>(), cache()).prop_map(
        |(name, description, parameters, strict, cache)| Tool::Function {
            name,
            description,
            parameters: Some(parameters),
            strict: strict.then_some(true),
            cache,
        },
    )
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    let choice = prop_oneof![
        Just(ToolChoice::Auto),
        Just(ToolChoice::None),
        Just(ToolChoice::Required),
        id().prop_map(|name| ToolChoice::Tool { name }),
    ];
    let format = object().prop_map(|schema| OutputFormat::JsonSchema {
        name: "n".into(),
        description: None,
        schema,
        strict: None,
    });
    let effort = prop::option::of("low|medium|high|max|none");
    let thinking = (effort, prop::option::of(0..20_000u64))
        .prop_map(|(effort, budget_tokens)| Reasoning { effort, budget_tokens });
    let sampling = (
        prop::option::of(0..20u8),
        prop::option::of(0..10u8),
        prop::option::of(any::<u16>()),
        1..30_000u64,
        prop::collection::vec("[A-Z]{1,3}", 0..3),
    )
        .prop_map(|(temperature, top_p, top_k, limit, stop)| Sampling {
            temperature: temperature.map(|tenths| f64::from(tenths) / 10.0),
            top_p: top_p.map(|tenths| f64::from(tenths) / 10.0),
            top_k: top_k.map(u64::from),
            max_output_tokens: Some(limit),
            stop,
            ..Sampling::default()
        });
    (
        prop::collection::vec(message(), 1..5),
        prop::collection::vec(tool(), 0..3),
        prop::option::of(choice),
        prop::option::of(any::<bool>()),
        prop::option::of(format),
        prop::option::of(thinking),
        (sampling, any::<bool>(), prop::option::of(text())),
    )
        .prop_map(
            |(
                messages,
                tools,
                tool_choice,
                parallel_tool_calls,
                output_format,
                reasoning,
                rest,
            )| {
                let (sampling, stream, user) = rest;
                Request {
                    model: "m".into(),
                    messages,
                    tools,
                    tool_choice,
                    parallel_tool_calls,
                    output_format,
                    sampling,
                    reasoning,
                    stream,
                    user,
                    ..Request::default()
                }
            },
        )
}

pub(crate) fn model() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "claude-3-5-haiku-latest",
        "claude-3-7-sonnet-latest",
        "claude-sonnet-4-5",
        "claude-opus-4-6",
        "claude-opus-5",
        "other-model",
    ])
}

/// A model proves all of its reasoning or none. No two proven blocks of it stand in a row: a
/// stream on OpenAI's wire has plain words beside the proofs and does not say where one block
/// ends and the next begins.
pub(crate) fn answer() -> impl Strategy<Value = Response> {
    let is_reasoning = |block: &Block| matches!(block, Block::Reasoning { .. });
    let apart = answer_with(1..4).prop_map(move |mut answer| {
        answer.blocks.dedup_by(|block, before| is_reasoning(block) && is_reasoning(before));
        answer
    });
    prop_oneof![answer_with(0..1), apart]
}

pub(crate) fn answer_with(proofs: std::ops::Range<u8>) -> impl Strategy<Value = Response> {
    let block = prop_oneof![
        text().prop_map(Block::text),
        reasoning(proofs),
        (id(), id(), prop_oneof![object().prop_map(|it| it.to_string()), text()])
            .prop_map(|(id, name, arguments)| Block::ToolCall { id, name, arguments, cache: None }),
    ];
    let reason = prop_oneof![
        Just(FinishReason::Stop),
        Just(FinishReason::Length),
        Just(FinishReason::ToolCalls),
        Just(FinishReason::ContentFilter),
        Just(FinishReason::Refusal),
        "x_[a-z]{1,5}".prop_map(FinishReason::Other),
    ];
    let usage = (any::<u32>(), any::<u32>(), any::<u8>(), any::<u8>(), prop::option::of(0..9u8))
        .prop_map(|(input, output, part, reasoning, cost)| Usage {
            input: u64::from(input) + 600,
            output: u64::from(output) + 600,
            cached_input: part.into(),
            cache_write: part.into(),
            reasoning: reasoning.into(),
            audio: part.into(),
            cost_usd: cost.map(|cost| f64::from(cost) / 8.0),
            estimated: false,
        });
    let refusal = prop::option::of(text().prop_map(|text| Block::Refusal { text }));
    let blocks = (prop::collection::vec(block, 0..5), refusal)
        .prop_map(|(blocks, refusal)| blocks.into_iter().chain(refusal).collect());
    (blocks, reason, usage).prop_map(|(blocks, reason, usage)| Response {
        id: IDENTITY.id.into(),
        model: IDENTITY.model.into(),
        blocks,
        finish_reason: Some(reason),
        usage: Some(usage),
        extra: Map::new(),
    })
}
