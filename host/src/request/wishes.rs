//! What a client asks about where its request shall go: `OpenRouter`'s `provider`, `models`,
//! `route` and `session_id`, and the suffixes of a model's name.
//!
//! They are the gateway's own: no provider gets them. Any dialect may have them, for none has
//! another meaning for these keys. What they mean is in `torana_routing::preferences`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value};
use torana_routing::preferences::{Asked, Fields, InvalidPreference, Named};

use crate::error::Cause;

/// Says the conversation where the body cannot.
const SESSION_HEADER: &str = "x-session-id";

/// The reply says why it came from where it came from.
const EXPLAIN_HEADER: &str = "x-torana-explain";

/// How escapes of the characters of [`KEYS`] begin: a key may be spelled with them. Encoders
/// hardly ever do.
const ESCAPES: [&[u8]; 3] = [b"\\u005", b"\\u006", b"\\u007"];

const KEYS: [&str; 4] = ["provider", "models", "route", "session_id"];

/// What a client asks of routing.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    pub asked: Asked,
    /// The `provider` object as it came, for the record.
    pub provider: Option<Value>,
    /// Keys of the body that no provider is to see.
    pub keys: Vec<&'static str>,
    /// The request's own parameters; read only where a preference asks for them.
    pub parameters: Vec<String>,
    pub explain: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    #[serde(deserialize_with = "present")]
    provider: Option<Value>,
    #[serde(deserialize_with = "present")]
    models: Option<Value>,
    #[serde(deserialize_with = "present")]
    route: Option<Value>,
    #[serde(deserialize_with = "present")]
    session_id: Option<Value>,
}

/// `null` is there too: no provider is to see it.
fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

impl Wishes {
    /// `model` is the body's own.
    ///
    /// # Errors
    /// A value that makes no sense, by the name of its field.
    pub fn read(model: &str, body: &[u8], headers: &HeaderMap) -> Result<Self, Cause> {
        let is_there = |key: &&str| {
            let quoted = format!("\"{key}\"");
            memchr::memmem::find(body, quoted.as_bytes()).is_some()
        };
        let is_spelled = |start: &&[u8]| memchr::memmem::find(body, start).is_some();
        // A second pass over the body, for the few that ask for anything.
        let fields: Body = if KEYS.iter().any(is_there) || ESCAPES.iter().any(is_spelled) {
            serde_json::from_slice(body).map_err(Cause::InvalidJson)?
        } else {
            Body::default()
        };
        let header = headers
            .get(SESSION_HEADER)
            .map(|value| Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned()));
        let present = [&fields.provider, &fields.models, &fields.route, &fields.session_id];
        let keys = KEYS.into_iter().zip(present).filter(|(_, value)| value.is_some());
        let keys: Vec<&'static str> = keys.map(|(key, _)| key).collect();
        let asked = Asked::decode(&Fields {
            model: Some(model),
            models: fields.models.as_ref(),
            route: fields.route.as_ref(),
            provider: fields.provider.as_ref(),
            session_id: fields.session_id.as_ref().or(header.as_ref()),
        })?;
        let parameters = if asked.preferences.require_parameters {
            let all: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
            all.into_iter().map(|(key, _)| key).collect()
        } else {
            Vec::new()
        };
        let explain = headers
            .get(EXPLAIN_HEADER)
            .is_some_and(|value| matches!(value.as_bytes(), b"1" | b"true"));
        Ok(Self { asked, provider: fields.provider, keys, parameters, explain })
    }

    /// Models to fall back to with their place in `models`, in order; what the body's `model`
    /// became comes before them.
    pub fn fallbacks(&self) -> impl Iterator<Item = (usize, &Named)> {
        self.asked.models.iter().skip(1).enumerate()
    }

    /// The conversation's number: as the client names it, else by the words it begins with.
    pub fn session(&self, cache_key: Option<&str>, opening: u64) -> u64 {
        match self.asked.session_id.as_deref().or(cache_key) {
            None => opening,
            Some(key) => {
                let mut hasher = DefaultHasher::new();
                key.hash(&mut hasher);
                hasher.finish().max(1)
            }
        }
    }
}

impl From<InvalidPreference> for Cause {
    fn from(invalid: InvalidPreference) -> Self {
        Self::InvalidRequest { message: invalid.to_string(), param: Some(invalid.param) }
    }
}
