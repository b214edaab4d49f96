//! The events of a stream as they stand in JSON. What is not of the documented type counts as
//! absent where it may be null.

use serde::Deserialize;
use serde_json::Value;
use torana_plugin_sdk::{CallError, CallErrorKind};

use crate::usage::WireUsage;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    pub(super) r#type: Option<String>,
    pub(super) id: Option<String>,
    pub(super) index: u64,
    #[serde(deserialize_with = "or_default")]
    pub(super) delta: Delta,
    pub(super) logprobs: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Delta {
    #[serde(deserialize_with = "or_default")]
    pub(super) message: Message,
    pub(super) finish_reason: Option<String>,
    pub(super) error: Option<String>,
    pub(super) usage: Option<WireUsage>,
}

/// `message-start` has empty lists where later events have one thing each.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Message {
    #[serde(deserialize_with = "one")]
    pub(super) content: Option<Part>,
    pub(super) tool_plan: Option<String>,
    #[serde(deserialize_with = "one")]
    pub(super) tool_calls: Option<Call>,
    pub(super) citations: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Part {
    pub(super) r#type: Option<String>,
    pub(super) text: Option<String>,
    pub(super) thinking: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Call {
    pub(super) id: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(super) function: Function,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Function {
    pub(super) name: Option<String>,
    pub(super) arguments: Option<String>,
}

/// A plain `from_slice` would also read an array, by position.
pub(super) fn read(data: &[u8]) -> Result<Event, CallError> {
    let reason = match data.first() {
        Some(b'{') => match serde_json::from_slice(data) {
            Ok(event) => return Ok(event),
            Err(error) => error.to_string(),
        },
        _ => "it is not a JSON object".into(),
    };
    let message = format!("an event of the stream is not understood: {reason}");
    Err(CallError::new(CallErrorKind::MalformedResponse, message))
}

/// Null counts as absent.
fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
    None,
}

fn one<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => Some(one),
        OneOrMany::Many(many) => many.into_iter().next(),
        OneOrMany::None => None,
    })
}
