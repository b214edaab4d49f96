//! What an answer must be, and what to do when it is not.

use serde_json::Value;
use torana_wire::chat::{Block, FinishReason, Message, OutputFormat, Request, Response, Role};

use super::repair::repair;
use super::schema::{MAX_TEXT_BYTES, Mismatch, Schema, SchemaError, Validity};
use super::wording;

/// What the client asked the answer to be. Holds for every endpoint, whatever it promises.
#[derive(Debug)]
pub enum Expected {
    /// Any JSON object.
    Object,
    Schema(Box<Schema>),
}

impl Expected {
    /// `None` when the answer is free text.
    pub fn of(request: &Request) -> Result<Option<Self>, SchemaError> {
        match &request.output_format {
            None | Some(OutputFormat::Text) => Ok(None),
            Some(OutputFormat::JsonObject) => Ok(Some(Self::Object)),
            Some(OutputFormat::JsonSchema { schema, .. }) => {
                Ok(Some(Self::Schema(Box::new(Schema::compile(schema)?))))
            }
        }
    }

    /// Checks an answer's text. Takes microseconds to milliseconds; half a second at worst.
    pub fn validate(&self, text: &str) -> Validity {
        match self {
            Self::Schema(schema) => schema.validate(text),
            Self::Object if text.len() > MAX_TEXT_BYTES => Validity::Unchecked,
            Self::Object => match serde_json::from_str::<Value>(text) {
                Ok(Value::Object(_)) => Validity::Valid,
                Ok(_) => invalid("it is no JSON object".into()),
                Err(error) => invalid(format!("not valid JSON: {error}")),
            },
        }
    }

    /// The JSON that was meant, if one of the usual faults explains the text and the result
    /// is valid. A text that was cut off is not completed.
    pub fn repair(&self, text: &str) -> Option<String> {
        if text.len() > MAX_TEXT_BYTES {
            return None;
        }
        repair(text, |value| match self {
            Self::Object => value.is_object(),
            Self::Schema(schema) => schema.check(value) == Validity::Valid,
        })
    }
}

fn invalid(message: String) -> Validity {
    Validity::Invalid { errors: vec![Mismatch::of_the_whole(message)] }
}

/// The text that is to be checked; `None` when there is no answer in this format: the model
/// called a tool, refused, or was stopped.
pub fn answer_text(response: &Response) -> Option<String> {
    let stopped = matches!(
        response.finish_reason,
        Some(
            FinishReason::Length
                | FinishReason::ContentFilter
                | FinishReason::Refusal
                | FinishReason::ToolCalls
        )
    );
    let is_other = |block: &Block| matches!(block, Block::ToolCall { .. } | Block::Refusal { .. });
    if stopped || response.blocks.iter().any(is_other) {
        return None;
    }
    let texts = response.blocks.iter().filter_map(|block| match block {
        Block::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    Some(texts.collect())
}

/// Puts a repaired text in the place of the answer's. Everything else stays.
pub fn replace_text(response: &mut Response, text: String) {
    let mut replacement = Some(text);
    response.blocks.retain_mut(|block| match block {
        Block::Text { text, .. } => replacement.take().map(|new| *text = new).is_some(),
        _ => true,
    });
    // An answer without any text cannot have been repaired into one.
    response.blocks.extend(replacement.filter(|text| !text.is_empty()).map(Block::text));
}

/// The client's request with the answer and its errors added: to be put to the endpoint like
/// any other, through a [`super::Plan`] of its own.
pub fn reask(request: &Request, answer: &str, errors: &[Mismatch]) -> Request {
    let mut request = request.clone();
    let say = |role, text: String| Message { role, blocks: vec![Block::text(text)], name: None };
    // Providers refuse a turn without text.
    if !answer.trim().is_empty() {
        request.messages.push(say(Role::Assistant, answer.to_owned()));
    }
    request.messages.push(say(Role::User, wording::correction(errors)));
    request
}
