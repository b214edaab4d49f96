//! Turns of the conversation to messages on the OpenAI wire.
//!
//! One turn gives one message, and one more for each tool result in it, which come first:
//! a result must follow the call at once. Media that a result may not hold wait until all
//! results are told and follow in a message of the user.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use super::super::{MESSAGE_FIELDS, TOOL_CALL, details};
use super::content::{self, Content};
use super::options::{Options, ReasoningPlace};
use crate::chat::{Block, Message, Role};
use crate::encoded::Dropped;
use crate::error::CallError;
use crate::fields::Fields;
use crate::openai::part::{self, Part};
use crate::openai::text::joined;

/// Stands in a tool's result for media that follow.
const ATTACHED: &str = "See the attachment in the next message of the user.";
/// Stands before them.
const ATTACHMENTS: &str = "Attachments of the tool results above:";

#[derive(Serialize)]
pub(super) struct WireMessage<'a> {
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(flatten)]
    reasoning: Reasoning<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
    #[serde(flatten)]
    fields: Fields<'a>,
}

/// Reasoning under the names that it may have; each server knows one.
#[derive(Default, Serialize)]
struct Reasoning<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_details: Option<Vec<Value>>,
    #[serde(skip)]
    thinking: Option<Cow<'a, str>>,
    /// Keys that are not to be written again.
    #[serde(skip)]
    written: &'static [&'static str],
}

#[derive(Serialize)]
#[serde(untagged)]
enum WireCall<'a> {
    Function {
        id: &'a str,
        r#type: &'static str,
        function: WireCallFunction<'a>,
        #[serde(flatten)]
        fields: Fields<'a>,
    },
    Other(&'a Value),
}

#[derive(Serialize)]
struct WireCallFunction<'a> {
    name: &'a str,
    arguments: &'a str,
    #[serde(flatten)]
    fields: Fields<'a>,
}

/// The messages. Notes what is left out in `dropped`.
pub(super) fn encode_all<'a>(
    messages: &'a [Message],
    options: &'a Options,
    dropped: &mut Dropped,
) -> Result<Vec<WireMessage<'a>>, CallError> {
    let wire = Vec::with_capacity(messages.len());
    let mut writer = Writer { options, wire, attached: Vec::new() };
    for message in messages {
        for block in &message.blocks {
            content::check(message.role, block, options, dropped)?;
        }
        writer.push(message);
    }
    writer.attach(Vec::new());
    Ok(writer.wire)
}

struct Writer<'a> {
    options: &'a Options,
    wire: Vec<WireMessage<'a>>,
    /// Media of tool results, not told yet.
    attached: Vec<Part<'a>>,
}

impl<'a> Writer<'a> {
    fn push(&mut self, message: &'a Message) {
        let blocks = &message.blocks;
        let fields = blocks.iter().rev().find_map(|block| match block {
            Block::Other { dialect, value } if dialect == MESSAGE_FIELDS => Some(value),
            _ => None,
        });
        let fields = Fields::of(fields);
        let name = message.name.as_deref();
        let start = self.wire.len();
        for block in blocks {
            if let Block::ToolResult { id, blocks, .. } = block {
                let content = self.result(blocks);
                let tool_call_id = Some(id.as_str());
                self.wire.push(WireMessage {
                    tool_call_id,
                    name,
                    ..WireMessage::new("tool", content)
                });
            }
        }
        let parts = content::parts(blocks, self.options);
        let has_results = self.wire.len() > start;
        match message.role {
            Role::Assistant => {
                self.attach(Vec::new());
                self.wire.push(assistant(message, parts, fields, self.options));
            }
            _ if has_results && parts.is_empty() => {
                if let Some(last) = self.wire.last_mut() {
                    last.fields = fields;
                }
            }
            Role::User | Role::Tool if !self.attached.is_empty() => self.attach(parts),
            role => {
                self.attach(Vec::new());
                let content = Content::of(parts).or_empty();
                let role = name_of(role, self.options);
                self.wire.push(WireMessage { name, fields, ..WireMessage::new(role, content) });
            }
        }
    }

    /// What a tool's message says.
    fn result(&mut self, blocks: &'a [Block]) -> Content<'a> {
        let mut parts = content::parts(blocks, self.options);
        if self.options.tool_media {
            return Content::of(parts).or_empty();
        }
        let media: Vec<_> = parts.extract_if(.., |part| part.is_media()).collect();
        if !media.is_empty() {
            if self.attached.is_empty() {
                self.attached.push(Part::plain(ATTACHMENTS));
            }
            parts.push(Part::plain(ATTACHED));
        }
        self.attached.extend(media);
        Content::of(parts).or_empty()
    }

    /// Tells the media of the results before, and `more` with them.
    fn attach(&mut self, more: Vec<Part<'a>>) {
        let mut parts = std::mem::take(&mut self.attached);
        parts.extend(more);
        if !parts.is_empty() {
            self.wire.push(WireMessage::new("user", Content::of(parts)));
        }
    }
}

fn name_of(role: Role, options: &Options) -> &'static str {
    match role {
        Role::Developer if options.developer_role => "developer",
        Role::System | Role::Developer => "system",
        Role::Assistant => "assistant",
        // Anything but a result in a tool's turn can only be said by the user.
        Role::User | Role::Tool => "user",
    }
}

fn assistant<'a>(
    message: &'a Message,
    mut parts: Vec<Part<'a>>,
    fields: Fields<'a>,
    options: &Options,
) -> WireMessage<'a> {
    let blocks = &message.blocks;
    let mut reasoning = Reasoning::of(blocks, fields, options.reasoning);
    if let Some(thinking) = reasoning.thinking.take() {
        parts.insert(0, Part::Thinking(thinking));
    }
    let refusal = joined(blocks, |block| match block {
        Block::Refusal { text } => Some(text),
        _ => None,
    });
    let tool_calls: Vec<WireCall<'a>> = blocks
        .iter()
        .enumerate()
        .filter_map(|(position, block)| WireCall::of(block, blocks.get(position + 1)))
        .collect();
    let content = match tool_calls.is_empty() && refusal.is_none() {
        true => Content::of(parts).or_empty(),
        false => Content::of(parts),
    };
    WireMessage {
        name: message.name.as_deref(),
        refusal,
        tool_calls,
        fields: fields.except(reasoning.written),
        reasoning,
        ..WireMessage::new("assistant", content)
    }
}

const ALL_NAMES: &[&str] = &["reasoning", "reasoning_content", details::KEY];

impl<'a> Reasoning<'a> {
    fn of(blocks: &'a [Block], fields: Fields<'a>, place: ReasoningPlace) -> Self {
        let text = joined(blocks, |block| match block {
            // Reasoning that cannot be read is told as a detail or not at all.
            Block::Reasoning { text, signature: None, encrypted: None, .. } => Some(text),
            Block::Reasoning { text, .. } if !text.is_empty() => Some(text),
            _ => None,
        });
        let told = text.clone().filter(|text| !text.is_empty());
        let written = Self { written: ALL_NAMES, ..Self::default() };
        match place {
            ReasoningPlace::AsWritten => Self::as_written(blocks, text, fields),
            ReasoningPlace::Nowhere => written,
            ReasoningPlace::ReasoningContent => Self { reasoning_content: told, ..written },
            ReasoningPlace::Reasoning => Self { reasoning: told, ..written },
            ReasoningPlace::Thinking => Self { thinking: told, ..written },
            ReasoningPlace::ReasoningDetails => match details::are_needed(blocks) {
                true => Self { reasoning_details: Some(routable(blocks)), ..written },
                false => Self { reasoning: told, ..written },
            },
        }
    }

    /// Under the names that the client used: see `message_decode`.
    fn as_written(blocks: &'a [Block], text: Option<Cow<'a, str>>, fields: Fields<'a>) -> Self {
        let kept = |key| fields.get(key).is_some_and(|value| !value.is_null());
        let marked = |key| fields.get(key) == Some(&Value::Null);
        let details = (details::are_needed(blocks) && !kept(details::KEY))
            .then(|| details::encode_all(blocks));
        let mut wire = Self { reasoning_details: details, ..Self::default() };
        if marked("reasoning") {
            wire.reasoning = text;
            wire.written = &["reasoning"];
        } else if marked(details::KEY) {
            wire.written = &[details::KEY];
        } else if !kept("reasoning_content") {
            wire.reasoning_content = text;
        }
        wire
    }
}

/// Without signatures that OpenRouter could not bring back to whoever gave them.
fn routable(blocks: &[Block]) -> Vec<Value> {
    let mut entries = details::encode_all(blocks);
    entries.retain_mut(|entry| {
        let format = entry.get("format").and_then(Value::as_str);
        if format.is_none_or(details::is_routable) {
            return true;
        }
        let text = entry.get("text").and_then(Value::as_str).filter(|text| !text.is_empty());
        let Some(text) = text else { return false };
        *entry = serde_json::json!({"type": "reasoning.text", "text": text});
        true
    });
    entries
}

impl<'a> WireMessage<'a> {
    fn new(role: &'static str, content: Content<'a>) -> Self {
        Self {
            role,
            tool_call_id: None,
            content,
            name: None,
            reasoning: Reasoning::default(),
            refusal: None,
            tool_calls: Vec::new(),
            fields: Fields::default(),
        }
    }
}

impl<'a> WireCall<'a> {
    fn of(block: &'a Block, next: Option<&'a Block>) -> Option<Self> {
        match block {
            Block::ToolCall { id, name, arguments, .. } => {
                let fields = part::fields_of(next);
                let function =
                    WireCallFunction { name, arguments, fields: fields.nested("function") };
                let fields = fields.except(&["function"]);
                Some(Self::Function { id, r#type: "function", function, fields })
            }
            Block::Other { dialect, value } if dialect == TOOL_CALL => Some(Self::Other(value)),
            _ => None,
        }
    }
}
