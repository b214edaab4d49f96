//! What is asked, read from the body without unfolding it.
//!
//! The body stays as the client sent it: on the forward path it goes to the provider byte
//! for byte but for a few keys. Only what the gateway itself decides on is read here. Where
//! the types are wrong, the full codec is asked for the pointer to name.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::Cause;

/// Groups inferences that belong together; minted where the client sends none.
pub const EPISODE_HEADER: &str = "x-torana-episode-id";

/// A chat request, as far as the gateway looks into it.
#[derive(Debug, Clone)]
pub struct ChatCall {
    /// As the client named it; `render` replaces it for a function.
    pub model: String,
    pub body: Bytes,
    pub stream: bool,
    /// The client wants usage at the end of the stream.
    pub stream_usage: bool,
    pub max_output_tokens: Option<u64>,
    pub uses_tools: bool,
    pub uses_images: bool,
    pub uses_json_schema: bool,
    pub episode: Uuid,
    /// Same number, same conversation; 0 where nothing tells.
    pub session: u64,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    tools: Option<Vec<IgnoredAny>>,
    response_format: Option<ResponseFormat<'a>>,
    #[serde(borrow)]
    user: Option<Cow<'a, str>>,
    #[serde(borrow)]
    prompt_cache_key: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct ResponseFormat<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

/// Reads an OpenAI chat body.
pub fn chat(body: Bytes, headers: &HeaderMap) -> Result<ChatCall, Cause> {
    let head: Head<'_> = serde_json::from_slice(&body).map_err(|error| explain(&body, error))?;
    if head.messages.is_empty() {
        return Err(invalid("messages", "messages: expected at least one message"));
    }
    let call = ChatCall {
        model: head.model.clone().into_owned(),
        stream: head.stream.unwrap_or(false),
        stream_usage: head.stream_options.and_then(|o| o.include_usage).unwrap_or(false),
        max_output_tokens: head.max_completion_tokens.or(head.max_tokens),
        uses_tools: head.tools.is_some_and(|tools| !tools.is_empty()),
        uses_images: head.messages.iter().any(|message| message.get().contains("\"image_url\"")),
        uses_json_schema: head
            .response_format
            .and_then(|format| format.kind)
            .is_some_and(|kind| kind == "json_schema"),
        episode: episode(headers)?,
        session: session(head.prompt_cache_key.as_deref().or(head.user.as_deref())),
        body: body.clone(),
    };
    Ok(call)
}

fn episode(headers: &HeaderMap) -> Result<Uuid, Cause> {
    match headers.get(EPISODE_HEADER) {
        None => Ok(Uuid::now_v7()),
        Some(value) => value
            .to_str()
            .ok()
            .and_then(|text| Uuid::parse_str(text).ok())
            .ok_or_else(|| invalid(EPISODE_HEADER, "x-torana-episode-id: expected a UUID")),
    }
}

fn session(key: Option<&str>) -> u64 {
    key.map_or(0, |key| {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish()
    })
}

fn invalid(param: &str, message: &str) -> Cause {
    Cause::InvalidRequest { param: Some(param.to_owned()), message: message.to_owned() }
}

/// Broken JSON, or JSON of the wrong shape: then with the place that is wrong.
fn explain(body: &[u8], error: serde_json::Error) -> Cause {
    if !error.is_data() || serde_json::from_slice::<IgnoredAny>(body).is_err() {
        return Cause::InvalidJson(error);
    }
    match torana_wire::openai::request::decode(body) {
        Err(wrong) => wrong_type(&wrong),
        Ok(_) => Cause::InvalidRequest { param: None, message: error.to_string() },
    }
}

/// A body of the wrong shape, with the place named as OpenAI names it: dotted.
pub fn wrong_type(wrong: &torana_wire::DecodeError) -> Cause {
    Cause::InvalidRequest {
        param: Some(wrong.pointer.trim_start_matches('/').replace('/', ".")),
        message: wrong.to_string(),
    }
}

/// Sets or removes top-level keys of a JSON object. Everything else stays byte for byte:
/// white space, the order of keys, the spelling of numbers.
pub fn patch(body: &[u8], patches: &[(&str, Option<&[u8]>)]) -> Result<Vec<u8>, serde_json::Error> {
    let entries: Entries<'_> = serde_json::from_slice(body)?;
    let added: usize =
        patches.iter().map(|(key, value)| key.len() + 8 + value.map_or(0, <[u8]>::len)).sum();
    let open = body.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
    let mut out = Vec::with_capacity(body.len() + added);
    out.extend_from_slice(body.get(..open).unwrap_or_default());
    let mut done = open;
    let mut first = true;
    for (key, value) in &entries.0 {
        let start = offset(body, value);
        let end = start + value.get().len();
        // What stands between the value before and this one: comma, white space, the key.
        let lead = body.get(done..start).unwrap_or_default();
        done = end;
        let replacement = match patches.iter().find(|(patched, _)| *patched == key) {
            None => value.get().as_bytes(),
            Some((_, Some(replacement))) => replacement,
            Some((_, None)) => continue,
        };
        out.extend_from_slice(if first { after_comma(lead) } else { lead });
        out.extend_from_slice(replacement);
        first = false;
    }
    for (key, value) in patches {
        if let Some(value) = value
            && !entries.0.iter().any(|(present, _)| present == key)
        {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            serde_json::to_writer(&mut out, key)?;
            out.push(b':');
            out.extend_from_slice(value);
        }
    }
    out.extend_from_slice(body.get(done..).unwrap_or_default());
    Ok(out)
}

/// Where a value that was borrowed from `body` begins in it.
fn offset(body: &[u8], value: &RawValue) -> usize {
    (value.get().as_ptr() as usize).saturating_sub(body.as_ptr() as usize)
}

/// The first entry has no comma before it, wherever it stood.
fn after_comma(lead: &[u8]) -> &[u8] {
    let comma = lead.iter().position(|byte| !byte.is_ascii_whitespace());
    match comma {
        Some(at) if lead.get(at) == Some(&b',') => lead.get(at + 1..).unwrap_or_default(),
        _ => lead,
    }
}

/// Top-level keys in order, values unread.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    entries.push((key.0, value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// `Cow<str>` that borrows where it can; as a bare map key serde would always copy.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn patched(body: &str, patches: &[(&str, Option<&[u8]>)]) -> String {
        String::from_utf8(patch(body.as_bytes(), patches).unwrap()).unwrap()
    }

    #[test]
    fn a_patch_leaves_everything_else_byte_for_byte() {
        let body =
            r#"{"temperature":1.0e-00,"model":"a","x":{"model":"inner", "n":1E400},"é":[ ]}"#;
        assert_eq!(
            patched(body, &[("model", Some(b"\"b\""))]),
            r#"{"temperature":1.0e-00,"model":"b","x":{"model":"inner", "n":1E400},"é":[ ]}"#
        );
        assert_eq!(patched(r#"{"a":1,"b":2}"#, &[("a", None)]), r#"{"b":2}"#);
        assert_eq!(patched("{}", &[("a", Some(b"1")), ("b", None)]), r#"{"a":1}"#);
        assert_eq!(
            patched(" { \"a\" : 1 , \"b\" :\n2 } ", &[("b", Some(b"3")), ("c", Some(b"4"))]),
            " { \"a\" : 1 , \"b\" :\n3,\"c\":4 } "
        );
        let removed = [("a", None), ("b", None)];
        assert_eq!(patched(r#"{"a":1, "b":2, "c":3}"#, &removed), r#"{ "c":3}"#);
        assert_eq!(patched(r#"{"a":1, "b":2}"#, &removed), "{}");
    }

    fn decode(body: &str) -> Result<ChatCall, Cause> {
        chat(Bytes::copy_from_slice(body.as_bytes()), &HeaderMap::new())
    }

    #[test]
    fn reads_what_the_gateway_decides_on() {
        let call = decode(
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_tokens":7,
               "tools":[{}],"response_format":{"type":"json_schema"},"unknown":[1,{}],
               "messages":[{"role":"user","content":[{"type":"image_url"}]}]}"#,
        )
        .unwrap();
        assert!(call.stream && call.stream_usage && call.uses_tools && call.uses_images);
        assert!(call.uses_json_schema);
        assert_eq!(call.max_output_tokens, Some(7));
    }

    #[test]
    fn bad_bodies_say_what_is_wrong() {
        assert!(matches!(decode("{"), Err(Cause::InvalidJson(_))));
        assert!(matches!(decode(""), Err(Cause::InvalidJson(_))));
        for (body, param) in [
            (r#"{"messages":[]}"#, "model"),
            (r#"{"model":3,"messages":[]}"#, "model"),
            (r#"{"model":"m"}"#, "messages"),
            (r#"{"model":"m","messages":[]}"#, "messages"),
            (r#"{"model":"m","messages":{}}"#, "messages"),
            (
                r#"{"model":"m","stream":"yes","messages":[{"role":"user","content":"x"}]}"#,
                "stream",
            ),
        ] {
            match decode(body) {
                Err(Cause::InvalidRequest { param: Some(found), .. }) => {
                    assert_eq!(found, param, "{body}");
                }
                other => unreachable!("{body}: {other:?}"),
            }
        }
    }
}
