//! Which rows a sink gets, and what is in them: `sample`, `only` and `content` of `[sinks.N]`.
//!
//! - `sample` keeps a share of the calls, told by a hash of the id of the inference that a row
//!   belongs to: all rows of a call go together, now and after a restart, and a sink with a
//!   smaller share has a part of what one with a larger has. Rows of no call always go.
//! - `only` asks an inference; its attempts go with it, whatever they say of themselves. A
//!   journal record holds all of a call, and a batch whole records, so they are at hand. Other
//!   rows are asked themselves; one that lacks a key passes no filter on it.
//! - `content = "metadata"` takes out whatever a prompt, an answer or a person's words could be
//!   in; see `strip`. What cannot be read as a JSON object is left out as a whole.
//!
//! Rows are parsed only where a rule needs it. Then this takes milliseconds for a batch, and
//! belongs on a blocking thread.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::config::{Content, Only, SinkRows};
use crate::journal::{Row, RowKind};

/// The rules of one sink.
pub(super) struct Selection {
    content: Content,
    sample: f64,
    only: Only,
}

/// What filters look at.
#[derive(Deserialize)]
struct Facts<'a> {
    #[serde(borrow, default)]
    function: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    endpoint: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    outcome: Option<Cow<'a, str>>,
}

impl Selection {
    pub(super) fn new(rules: &SinkRows) -> Self {
        Self { content: rules.content, sample: rules.sample, only: rules.only.clone() }
    }

    /// Rows are parsed.
    pub(super) fn parses(&self) -> bool {
        self.content == Content::Metadata || self.asks()
    }

    /// The rows that go, as they go.
    pub(super) fn pick(&self, rows: Vec<Row>) -> Vec<Row> {
        // Of the inferences of this batch: whether they pass.
        let mut calls: HashMap<Uuid, bool> = HashMap::new();
        if self.asks() {
            for row in rows.iter().filter(|row| row.kind == RowKind::Inference) {
                calls.insert(row.id, self.passes(row));
            }
        }
        let goes = |row: &Row| {
            let call = (row.kind == RowKind::ModelInference)
                .then(|| calls.get(&row.inference_id))
                .or_else(|| (row.kind == RowKind::Inference).then(|| calls.get(&row.id)))
                .flatten();
            self.is_of_a_kind(row)
                && self.is_sampled(row)
                && (!self.asks() || call.copied().unwrap_or_else(|| self.passes(row)))
        };
        let chosen = rows.into_iter().filter(goes);
        if self.content == Content::Metadata {
            chosen.filter_map(stripped).collect()
        } else {
            chosen.collect()
        }
    }

    fn is_of_a_kind(&self, row: &Row) -> bool {
        self.only.kinds.as_ref().is_none_or(|kinds| kinds.contains(&row.kind))
    }

    fn is_sampled(&self, row: &Row) -> bool {
        let of_no_call = matches!(row.kind, RowKind::Snapshot | RowKind::PluginEvent);
        self.sample >= 1.0 || of_no_call || fraction(row.inference_id) < self.sample
    }

    /// A filter looks into rows.
    fn asks(&self) -> bool {
        let Only { kinds: _, functions, models, endpoints, keys, outcomes } = &self.only;
        [functions, models, endpoints, keys, outcomes].iter().any(|filter| filter.is_some())
    }

    fn passes(&self, row: &Row) -> bool {
        let Ok(facts) = serde_json::from_slice::<Facts<'_>>(&row.json) else { return false };
        let Only { kinds: _, functions, models, endpoints, keys, outcomes } = &self.only;
        [
            (functions, facts.function),
            (models, facts.model),
            (endpoints, facts.endpoint),
            (keys, facts.key),
            (outcomes, facts.outcome),
        ]
        .iter()
        .all(|(filter, fact)| {
            filter.as_ref().is_none_or(|allowed| {
                fact.as_ref().is_some_and(|fact| allowed.iter().any(|one| one == fact))
            })
        })
    }
}

/// A number from 0 to 1 for an id, the same in every process.
fn fraction(id: Uuid) -> f64 {
    let hash = Sha256::digest(id.as_bytes());
    let first = hash.iter().take(4).fold(0u32, |number, byte| number << 8 | u32::from(*byte));
    f64::from(first) / 2f64.powi(32)
}

/// Keys in the order they came; what is not looked at stays text, to the byte.
type Object<'a> = Vec<(Cow<'a, str>, Cow<'a, RawValue>)>;

/// The row without content; absent when it is no object.
fn stripped(row: Row) -> Option<Row> {
    let json = strip(&row.json, row.kind);
    if json.is_none() {
        tracing::error!(id = %row.id, "a row that is no JSON object cannot be freed of content; this sink does not get it");
    }
    Some(Row { json: json?, ..row })
}

/// Takes out, of any row: `request`, `response`, `raw_request`, `raw_response`, the message in
/// `error` and in each of `invalid_tool_calls` (providers and checkers quote), `invalid_output`,
/// and the client's words in `decision`. Of feedback, a `value` that is neither a number nor a
/// boolean. What every row of a kind has becomes `null`, what is there only sometimes goes.
fn strip(json: &[u8], kind: RowKind) -> Option<Vec<u8>> {
    let mut object = parse(json)?;
    object.retain(|(key, _)| !matches!(&**key, "raw_truncated" | "invalid_output"));
    for (key, value) in &mut object {
        let replaced = match &**key {
            "request" | "response" | "raw_request" | "raw_response" => "null".to_owned(),
            "content" => "\"metadata\"".to_owned(),
            "error" => without(value.get(), "message")?,
            "decision" => without(value.get(), "preferences")?,
            "invalid_tool_calls" => {
                let calls: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
                let calls: Option<Vec<String>> =
                    calls.iter().map(|call| without(call.get(), "message")).collect();
                format!("[{}]", calls?.join(","))
            }
            "value" if kind == RowKind::Feedback && !is_figure(value.get()) => "null".to_owned(),
            "preferences" if kind == RowKind::Decision => "null".to_owned(),
            _ => continue,
        };
        *value = Cow::Owned(RawValue::from_string(replaced).ok()?);
    }
    if kind == RowKind::Inference && !object.iter().any(|(key, _)| key == "content") {
        let metadata = RawValue::from_string("\"metadata\"".to_owned()).ok()?;
        object.push((Cow::Borrowed("content"), Cow::Owned(metadata)));
    }
    Some(written(&object)?.into_bytes())
}

/// An object with `key` null, if it is there; anything but an object as it is, since text in
/// its place would be content, gone.
fn without(json: &str, key: &str) -> Option<String> {
    let Some(mut object) = parse(json.as_bytes()) else { return Some("null".to_owned()) };
    for (_, value) in object.iter_mut().filter(|(name, _)| name == key) {
        *value = Cow::Owned(RawValue::from_string("null".to_owned()).ok()?);
    }
    written(&object)
}

fn is_figure(json: &str) -> bool {
    matches!(json.bytes().next(), Some(b't' | b'f' | b'n' | b'-' | b'0'..=b'9'))
}

fn parse(json: &[u8]) -> Option<Object<'_>> {
    struct Entries;

    impl<'de> serde::de::Visitor<'de> for Entries {
        type Value = Object<'de>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A>(self, mut map: A) -> Result<Self::Value, A::Error>
        where
            A: serde::de::MapAccess<'de>,
        {
            let mut entries = Vec::new();
            while let Some((key, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                entries.push((key.0, Cow::Borrowed(value)));
            }
            Ok(entries)
        }
    }

    #[derive(Deserialize)]
    struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

    let mut reader = serde_json::Deserializer::from_slice(json);
    let object = serde::Deserializer::deserialize_map(&mut reader, Entries).ok()?;
    reader.end().ok()?;
    Some(object)
}

fn written(object: &Object<'_>) -> Option<String> {
    let mut text = String::from("{");
    for (key, value) in object {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(key).ok()?);
        text.push(':');
        text.push_str(value.get());
    }
    text.push('}');
    Some(text)
}

#[cfg(test)]
mod tests;
