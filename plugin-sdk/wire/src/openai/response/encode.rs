//! A response to the `chat.completion` body that a client gets.

use std::borrow::Cow;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::super::{Identity, MESSAGE_FIELDS, TOOL_CALL, details, finish};
use crate::chat::{Block, Response};
use crate::fields::Fields;
use crate::openai::part::{self, Part};
use crate::openai::text::joined;
use crate::openai::usage::UsageBody;

/// The body of a whole answer.
pub fn encode(response: &Response, identity: &Identity<'_>) -> Vec<u8> {
    let body = Body {
        id: identity.id,
        object: "chat.completion",
        created: identity.created,
        model: identity.model,
        choices: [Choice {
            index: 0,
            message: WireMessage::of(&response.blocks),
            logprobs: logprobs(&response.blocks),
            finish_reason: response.finish_reason.as_ref().map(finish::encode),
        }],
        usage: response.usage.as_ref().map(UsageBody::from),
        extra: Fields::new(&response.extra)
            .except(&["id", "object", "created", "model", "choices", "usage"]),
    };
    serde_json::to_vec(&body).unwrap_or_default()
}

#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageBody>,
    #[serde(flatten)]
    extra: Fields<'a>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    message: WireMessage<'a>,
    logprobs: Option<&'a Value>,
    finish_reason: Option<&'a str>,
}

#[derive(Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<Cow<'a, str>>,
    /// What a client has to send back so that the provider accepts its own reasoning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasoning_details: Vec<Value>,
    refusal: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<Part<'a>>,
    #[serde(flatten)]
    fields: MessageFields<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Call<'a> {
    Function {
        id: &'a str,
        r#type: &'static str,
        function: Function<'a>,
        #[serde(flatten)]
        fields: Fields<'a>,
    },
    Other(&'a Value),
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> WireMessage<'a> {
    fn of(blocks: &'a [Block]) -> Self {
        let content = joined(blocks, |block| match block {
            Block::Text { text, .. } => Some(text),
            _ => None,
        });
        let refusal = joined(blocks, |block| match block {
            Block::Refusal { text } => Some(text),
            _ => None,
        });
        let reasoning_content = joined(blocks, |block| match block {
            Block::Reasoning { text, .. } if !text.is_empty() => Some(text),
            _ => None,
        });
        let reasoning_details = match details::are_needed(blocks) {
            true => details::encode_all(blocks),
            false => Vec::new(),
        };
        let with_next = || blocks.iter().enumerate().map(|(at, block)| (block, blocks.get(at + 1)));
        let tool_calls: Vec<_> =
            with_next().filter_map(|(block, next)| Call::of(block, next)).collect();
        let images = with_next()
            .filter(|(block, _)| matches!(block, Block::Media { .. }))
            .filter_map(|(block, next)| Part::of(block, next))
            .collect();
        // Clients expect a string unless something else takes its place.
        let empty = tool_calls.is_empty() && refusal.is_none();
        let content = content.or_else(|| empty.then_some(Cow::Borrowed("")));
        let fields = MessageFields(blocks);
        Self {
            role: "assistant",
            content,
            reasoning_content,
            reasoning_details,
            refusal,
            tool_calls,
            images,
            fields,
        }
    }
}

impl<'a> Call<'a> {
    fn of(block: &'a Block, next: Option<&'a Block>) -> Option<Self> {
        match block {
            Block::ToolCall { id, name, arguments, .. } => Some(Self::Function {
                id,
                r#type: "function",
                function: Function { name, arguments },
                fields: part::fields_of(next).except(&["id", "type", "function"]),
            }),
            Block::Other { dialect, value } if dialect == TOOL_CALL => Some(Self::Other(value)),
            _ => None,
        }
    }
}

fn logprobs(blocks: &[Block]) -> Option<&Value> {
    blocks.iter().find_map(|block| match block {
        Block::Text { extra, .. } => extra.get("logprobs"),
        _ => None,
    })
}

/// What the message has beside its blocks: `annotations` and the like of its text, and the
/// fields kept for it. A key is written once, the first wins.
struct MessageFields<'a>(&'a [Block]);

impl<'a> MessageFields<'a> {
    fn maps(&self) -> impl Iterator<Item = &'a Map<String, Value>> {
        self.0.iter().filter_map(|block| match block {
            Block::Text { extra, .. } => Some(extra),
            Block::Other { dialect, value } if dialect == MESSAGE_FIELDS => value.as_object(),
            _ => None,
        })
    }
}

impl Serialize for MessageFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = vec![
            "role",
            "content",
            "reasoning_content",
            details::KEY,
            "refusal",
            "tool_calls",
            "images",
            "logprobs",
        ];
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.maps().flatten() {
            if !written.contains(&key.as_str()) {
                written.push(key);
                map.serialize_entry(key, value)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::chat::{FinishReason, Usage};
    use crate::openai::response::decode;
    use serde_json::json;

    const IDENTITY: Identity<'_> = Identity { id: "i", model: "shown", created: 7 };

    #[test]
    fn answer_survives_the_way_out_and_in() {
        let extra = json!({"annotations": [{"a": 1}], "logprobs": {"content": [1]}});
        let response = Response {
            id: "i".into(),
            model: "shown".into(),
            blocks: vec![
                Block::Reasoning {
                    text: "r".into(),
                    signature: Some("s".into()),
                    encrypted: None,
                    dialect: Some("gemini".into()),
                },
                Block::Reasoning {
                    text: String::new(),
                    signature: None,
                    encrypted: Some("e".into()),
                    dialect: Some("anthropic-messages".into()),
                },
                Block::Text {
                    text: "t".into(),
                    cache: None,
                    extra: extra.as_object().unwrap().clone(),
                },
                Block::ToolCall {
                    id: "c".into(),
                    name: "f".into(),
                    arguments: "{".into(),
                    cache: None,
                },
                Block::Other {
                    dialect: MESSAGE_FIELDS.into(),
                    value: json!({"audio": {"id": "a"}}),
                },
            ],
            finish_reason: Some(FinishReason::ToolCalls),
            usage: Some(Usage { input: 1, output: 2, ..Usage::default() }),
            extra: json!({"citations": ["u"]}).as_object().unwrap().clone(),
        };
        assert_eq!(decode(&encode(&response, &IDENTITY)).unwrap(), response);
    }

    #[test]
    fn empty_answer_has_empty_content_and_tool_calls_have_null() {
        let body = |blocks| {
            let response = Response { blocks, ..Response::default() };
            let bytes = encode(&response, &IDENTITY);
            serde_json::from_slice::<Value>(&bytes).unwrap()["choices"][0]["message"]["content"]
                .clone()
        };
        assert_eq!(body(vec![]), json!(""));
        let call = Block::ToolCall {
            id: "c".into(),
            name: "f".into(),
            arguments: "{}".into(),
            cache: None,
        };
        assert_eq!(body(vec![call]), Value::Null);
    }
}
