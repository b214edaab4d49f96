//! What is asked, read from the body without unfolding it.
//!
//! The body stays as the client sent it: on the forward path it goes to the provider byte
//! for byte but for a few keys. Only what the gateway itself decides on is read here
//! (`dialect/head.rs`). Where the types are wrong, the full codec is asked for the pointer to
//! name.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bytes::Bytes;
use http::HeaderMap;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::bounds::{self, Bounds};
use super::patch::patch;
use super::tags::{self, Tags};
use super::wishes::Wishes;
use crate::config::{Content, UnsupportedParams};
use crate::dialect::{Dialect, head};
use crate::error::Cause;
use crate::plugin::provider::Header;

/// Groups inferences that belong together; minted where the client sends none.
pub const EPISODE_HEADER: &str = "x-torana-episode-id";

/// What becomes of parameters that an endpoint cannot take, for this call.
pub const UNSUPPORTED_HEADER: &str = "x-torana-unsupported-params";

/// What may be kept of this call at most: `full`, `metadata` or `none`. It makes what the
/// operator says stricter, never laxer.
pub const CONTENT_HEADER: &str = "x-torana-content";

/// Client headers that belong to a dialect and reach a provider that speaks it.
const DIALECT_HEADERS: [&str; 2] = ["anthropic-version", "anthropic-beta"];

/// How a signature begins that `torana_wire::origin` sealed: dialects as codecs and adapters
/// name them, and Anthropic's for thoughts that nobody signed.
const SEALED: [&[u8]; 6] = [
    b"\"torana.openai-",
    b"\"torana.anthropic-",
    b"\"torana.gemini",
    b"\"torana.bedrock-",
    b"\"torana.cohere-",
    b"\"torana.unsigned",
];

/// A request, as far as the gateway looks into it.
#[derive(Debug, Clone)]
pub struct Call {
    pub dialect: Dialect,
    /// As the client named it; `render` replaces it for a function.
    pub model: String,
    /// As it is recorded and as answers repeat it: the client's own.
    pub asked: Bytes,
    /// As it goes on, with what functions and earlier turns put in.
    pub body: Bytes,
    pub stream: bool,
    /// The client wants usage at the end of the stream.
    pub stream_usage: bool,
    pub max_output_tokens: Option<u64>,
    pub uses_tools: bool,
    pub uses_images: bool,
    pub uses_json_schema: bool,
    /// The answer shall be JSON, of a schema or any.
    pub uses_json: bool,
    pub episode: Uuid,
    /// Nobody named the episode: it began with this call, unless a turn before says otherwise.
    pub begins_episode: bool,
    /// Same number, same conversation; 0 where nothing tells.
    pub session: u64,
    /// What is asked about where it shall go.
    pub wishes: Wishes,
    /// The turn before, where the client leaves the conversation to whoever answered it.
    pub previous_response: Option<String>,
    /// The body has signatures that this gateway sealed on their way to the client. No
    /// provider takes them: it cannot be passed on as it is.
    pub sealed: bool,
    pub unsupported: UnsupportedParams,
    pub dialect_headers: Vec<Header>,
    /// What the client finds its calls by.
    pub tags: Tags,
}

impl Call {
    /// Two callers may name their conversations alike.
    pub fn of_key(&mut self, key: Option<&str>) {
        if self.session != 0 {
            let mut hasher = DefaultHasher::new();
            (self.session, key).hash(&mut hasher);
            // Records are JSON, whose readers keep integers exactly only up to 2^53.
            self.session = (hasher.finish() >> 11).max(1);
        }
    }
}

/// Reads a body. `unsupported` holds where the client's headers say nothing.
pub fn call(
    dialect: Dialect,
    body: Bytes,
    headers: &HeaderMap,
    bounds: &Bounds,
    unsupported: UnsupportedParams,
) -> Result<Call, Cause> {
    bounds::check(&body, bounds).map_err(Cause::JsonBound)?;
    check_text(&body)?;
    let asked = body.clone();
    let (head, body) = match head::read(dialect, &body) {
        Ok(head) => (head, body),
        Err(error) => match first_of_models(&body, &error) {
            Some(body) => {
                let head = head::read(dialect, &body);
                (head.map_err(|error| explain(dialect, &body, &error))?, body)
            }
            None => return Err(explain(dialect, &body, &error)),
        },
    };
    if let Some(place) = head.empty {
        return Err(invalid(place, &format!("{place}: expected at least one message")));
    }
    let episode = episode(headers)?;
    let wishes = Wishes::read(&head.model, &body, headers)?;
    Ok(Call {
        dialect,
        model: head.model,
        stream: head.stream,
        stream_usage: head.stream_usage,
        max_output_tokens: head.max_output_tokens,
        uses_tools: head.uses_tools,
        uses_images: head.uses_images,
        uses_json_schema: head.uses_json_schema,
        uses_json: head.uses_json,
        episode: episode.unwrap_or_else(Uuid::now_v7),
        begins_episode: episode.is_none(),
        session: wishes.session(head.session.as_deref(), head.opening),
        wishes,
        previous_response: head.previous_response,
        sealed: is_sealed(dialect, &body),
        unsupported: choice(headers, UNSUPPORTED_HEADER, &UnsupportedParams::NAMES)?
            .unwrap_or(unsupported),
        dialect_headers: dialect_headers(dialect, headers),
        tags: tags::read(head.metadata.as_deref().map(RawValue::get), headers)?,
        asked,
        body,
    })
}

/// A body without `model` whose `models` say it, with the first of them put in.
fn first_of_models(body: &Bytes, error: &serde_json::Error) -> Option<Bytes> {
    if !error.to_string().starts_with("missing field `model`") {
        return None;
    }
    let fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let first = fields.get("models")?.get(0).filter(|first| first.is_string())?.to_string();
    patch(body, &[("model", Some(first.as_bytes()))]).ok().map(Bytes::from)
}

/// Whether a conversation has signatures that were sealed here.
pub fn is_sealed(dialect: Dialect, body: &[u8]) -> bool {
    dialect.is_chat() && SEALED.iter().any(|start| memchr::memmem::find(body, start).is_some())
}

fn episode(headers: &HeaderMap) -> Result<Option<Uuid>, Cause> {
    match headers.get(EPISODE_HEADER) {
        None => Ok(None),
        Some(value) => value
            .to_str()
            .ok()
            .and_then(|text| Uuid::parse_str(text).ok())
            .map(Some)
            .ok_or_else(|| invalid(EPISODE_HEADER, "x-torana-episode-id: expected a UUID")),
    }
}

/// What the client says may be kept at most.
///
/// # Errors
/// The header says something else.
pub fn content(headers: &HeaderMap) -> Result<Option<Content>, Cause> {
    choice(headers, CONTENT_HEADER, &Content::NAMES)
}

/// A header that says one of some words.
fn choice<T: Copy>(
    headers: &HeaderMap,
    header: &'static str,
    names: &[(&str, T); 3],
) -> Result<Option<T>, Cause> {
    let Some(value) = headers.get(header) else { return Ok(None) };
    let known = names.iter().find(|(name, _)| value.as_bytes() == name.as_bytes());
    match known {
        Some((_, choice)) => Ok(Some(*choice)),
        None => {
            let [(one, _), (other, _), (third, _)] = names;
            let message = format!("{header}: expected {one}, {other} or {third}, found {value:?}");
            Err(invalid(header, &message))
        }
    }
}

fn dialect_headers(dialect: Dialect, headers: &HeaderMap) -> Vec<Header> {
    if !dialect.is_anthropic() {
        return Vec::new();
    }
    DIALECT_HEADERS
        .iter()
        .filter_map(|name| {
            let value = headers.get(*name)?.to_str().ok()?;
            Some(Header { name: (*name).to_owned(), value: value.to_owned() })
        })
        .collect()
}

fn invalid(param: &str, message: &str) -> Cause {
    Cause::InvalidRequest { param: Some(param.to_owned()), message: message.to_owned() }
}

/// Refuses what a pass that skips values does not see: bytes that are no UTF-8 and escapes
/// that stand for half a character. Providers refuse them too, or take them for something
/// else.
fn check_text(body: &[u8]) -> Result<(), Cause> {
    let surrogates = [&b"\\ud"[..], b"\\uD"];
    let suspicious = std::str::from_utf8(body).is_err()
        || surrogates.iter().any(|start| memchr::memmem::find(body, start).is_some());
    if suspicious {
        serde_json::from_slice::<Value>(body).map_err(Cause::InvalidJson)?;
    }
    Ok(())
}

/// Broken JSON, or JSON of the wrong shape: then with the place that is wrong.
fn explain(dialect: Dialect, body: &[u8], error: &serde_json::Error) -> Cause {
    if let Err(broken) = serde_json::from_slice::<IgnoredAny>(body) {
        return Cause::InvalidJson(broken);
    }
    let missing = ["model", "input", "prompt"]
        .into_iter()
        .find(|key| error.to_string().starts_with(&format!("missing field `{key}`")));
    if let Some(key) = missing {
        return invalid(key, &format!("{key}: expected a value, found none"));
    }
    let read = match dialect {
        Dialect::OpenaiEmbeddings => torana_wire::embeddings::request::decode(body).map(drop),
        _ => dialect.decode(body).map(drop),
    };
    match read {
        Err(wrong) => wrong_type(dialect, &wrong),
        Ok(_) => mistyped(body),
    }
}

/// What the codec takes in any form and the gateway does not: the one of its keys that is not
/// what it has to be.
fn mistyped(body: &[u8]) -> Cause {
    const OBJECTS: [&str; 5] =
        ["stream_options", "response_format", "text", "output_config", "metadata"];
    const TEXTS: [&str; 3] = ["user", "prompt_cache_key", "previous_response_id"];
    let fields: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let wrong = |(key, value): (&String, &Value)| {
        let expected = match key.as_str() {
            key if OBJECTS.contains(&key) && !value.is_object() => "an object",
            key if TEXTS.contains(&key) && !value.is_string() => "a string",
            "tools" if !value.is_array() => "an array",
            "stream" if !value.is_boolean() => "true or false",
            key if OBJECTS.contains(&key) => "other fields than it has",
            _ => return None,
        };
        let message = format!("{key}: expected {expected}");
        let exact = expected != "other fields than it has";
        (!value.is_null()).then(|| (exact, invalid(key, &message)))
    };
    // A key of the wrong type before one whose fields may be wrong.
    let mut found: Vec<(bool, Cause)> = fields.iter().filter_map(wrong).collect();
    found.sort_by_key(|(exact, _)| !exact);
    let none = || Cause::InvalidRequest {
        param: None,
        message: "a field has another type than the route takes".into(),
    };
    found.into_iter().next().map_or_else(none, |(_, cause)| cause)
}

/// A body of the wrong shape, with the place named as the dialect names it: dotted.
pub fn wrong_type(dialect: Dialect, wrong: &torana_wire::DecodeError) -> Cause {
    Cause::InvalidRequest { param: Some(dialect.place(&wrong.pointer)), message: wrong.to_string() }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn read(dialect: Dialect, body: &str) -> Result<Call, Cause> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let bounds = Bounds::default();
        call(dialect, body, &HeaderMap::new(), &bounds, UnsupportedParams::DropAndReport)
    }

    #[test]
    fn reads_what_the_gateway_decides_on() {
        let call = read(
            Dialect::OpenaiChat,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_tokens":7,
               "tools":[{}],"response_format":{"type":"json_schema"},"unknown":[1,{}],
               "messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#,
        )
        .unwrap();
        assert!(call.stream && call.stream_usage && call.uses_tools && call.uses_images);
        assert!(call.uses_json_schema);
        assert_eq!(call.max_output_tokens, Some(7));
        let call = read(
            Dialect::AnthropicMessages,
            r#"{"model":"m","max_tokens":7,"metadata":{"user_id":"u"},"tools":[{}],
               "output_config":{"format":{"type":"json_schema"}},
               "messages":[{"role":"user","content":[{"type":"image"}]}]}"#,
        )
        .unwrap();
        assert!(call.uses_tools && call.uses_images && call.uses_json_schema && !call.stream);
        assert_ne!(call.session, 0);
        let call = read(
            Dialect::OpenaiResponses,
            r#"{"model":"m","max_output_tokens":7,"previous_response_id":"resp_1",
               "text":{"format":{"type":"json_schema"}},"input":[{"type":"input_image"}]}"#,
        )
        .unwrap();
        assert!(call.uses_images && call.uses_json_schema);
        assert_eq!(call.previous_response.as_deref(), Some("resp_1"));
    }

    #[test]
    fn bad_bodies_say_what_is_wrong() {
        for dialect in [
            Dialect::OpenaiChat,
            Dialect::OpenaiCompletions,
            Dialect::OpenaiResponses,
            Dialect::OpenaiEmbeddings,
            Dialect::AnthropicMessages,
        ] {
            assert!(matches!(read(dialect, "{"), Err(Cause::InvalidJson(_))));
            assert!(matches!(read(dialect, ""), Err(Cause::InvalidJson(_))));
        }
        for (dialect, body, param) in [
            (Dialect::OpenaiChat, r#"{"messages":[]}"#, "model"),
            (Dialect::OpenaiChat, r#"{"model":3,"messages":[]}"#, "model"),
            (Dialect::OpenaiChat, r#"{"model":"m"}"#, "messages"),
            (Dialect::OpenaiChat, r#"{"model":"m","messages":[]}"#, "messages"),
            (Dialect::OpenaiChat, r#"{"model":"m","messages":{}}"#, "messages"),
            (
                Dialect::OpenaiChat,
                r#"{"model":"m","stream":"yes","messages":[{"role":"user","content":"x"}]}"#,
                "stream",
            ),
            (Dialect::AnthropicMessages, r#"{"model":"m","max_tokens":1}"#, "messages"),
            (Dialect::OpenaiEmbeddings, r#"{"model":"m"}"#, "input"),
            (Dialect::OpenaiCompletions, r#"{"model":"m"}"#, "prompt"),
        ] {
            match read(dialect, body) {
                Err(Cause::InvalidRequest { param: Some(found), .. }) => {
                    assert_eq!(found, param, "{body}");
                }
                other => unreachable!("{body}: {other:?}"),
            }
        }
    }
}
