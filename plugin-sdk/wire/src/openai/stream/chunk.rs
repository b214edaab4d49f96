//! One `chat.completion.chunk`, borrowed from the bytes it stands in.
//!
//! Only what becomes an event is read. A field of an unexpected type counts as absent
//! rather than breaking the stream, as long as nothing of the answer is lost by that.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::lenient::{FromJson, Text, lenient};
use crate::openai::usage::WireUsage;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) model: Text<'a>,
    #[serde(borrow)]
    pub(super) object: Text<'a>,
    #[serde(borrow)]
    pub(super) choices: FirstChoice<'a>,
    pub(super) usage: Option<WireUsage>,
    pub(super) x_groq: Option<Groq>,
    pub(super) error: Option<Value>,
    #[serde(borrow)]
    pub(super) citations: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) search_results: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) related_questions: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) images: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) provider: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) service_tier: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) system_fingerprint: Option<&'a RawValue>,
}

impl<'a> Chunk<'a> {
    /// What is said of the answer as a whole, by some in every chunk.
    pub(super) fn about(&self) -> [(&'static str, Option<&'a RawValue>); 7] {
        [
            ("citations", self.citations),
            ("search_results", self.search_results),
            ("related_questions", self.related_questions),
            ("images", self.images),
            ("provider", self.provider),
            ("service_tier", self.service_tier),
            ("system_fingerprint", self.system_fingerprint),
        ]
    }
}

/// Groq's own corner, where older versions put the usage.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Groq {
    pub(super) usage: Option<WireUsage>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Choice<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    pub(super) delta: Option<Delta<'a>>,
    #[serde(borrow)]
    pub(super) finish_reason: Text<'a>,
    pub(super) logprobs: Option<Value>,
    pub(super) error: Option<Value>,
    /// Instead of a delta, in the older completions.
    #[serde(borrow)]
    pub(super) text: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Delta<'a> {
    #[serde(borrow)]
    pub(super) content: Content<'a>,
    #[serde(borrow)]
    pub(super) reasoning_content: Text<'a>,
    #[serde(borrow)]
    pub(super) reasoning: Text<'a>,
    pub(super) reasoning_details: Option<Vec<Value>>,
    #[serde(borrow)]
    pub(super) refusal: Text<'a>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<Vec<Call<'a>>>,
    pub(super) annotations: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Call<'a> {
    pub(super) index: Option<u64>,
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) function: Option<Function<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) arguments: JsonText<'a>,
}

/// JSON text in a string, or (Ollama and its kin) the object itself as text.
#[derive(Default)]
pub(super) struct JsonText<'a>(pub(super) Cow<'a, str>);

/// The choice with index 0, if it is there.
#[derive(Default)]
pub(super) struct FirstChoice<'a>(pub(super) Option<Choice<'a>>);

/// `content`: a string nearly always, an array of parts at Mistral's reasoning models.
#[derive(Default)]
pub(super) enum Content<'a> {
    #[default]
    None,
    Text(Cow<'a, str>),
    Parts(Vec<Value>),
}

impl<'a> FromJson<'a> for JsonText<'a> {
    fn from_text(text: Cow<'a, str>) -> Self {
        Self(text)
    }

    fn from_entries<A: MapAccess<'a>>(entries: A) -> Result<Self, A::Error> {
        let value = Value::deserialize(MapAccessDeserializer::new(entries))?;
        Ok(Self(Cow::Owned(value.to_string())))
    }
}

impl<'a> FromJson<'a> for Content<'a> {
    fn from_text(text: Cow<'a, str>) -> Self {
        Self::Text(text)
    }

    fn from_items<A: SeqAccess<'a>>(mut items: A) -> Result<Self, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = items.next_element()? {
            parts.push(part);
        }
        Ok(Self::Parts(parts))
    }
}

impl<'a> FromJson<'a> for FirstChoice<'a> {
    fn from_text(_: Cow<'a, str>) -> Self {
        Self(None)
    }

    fn from_items<A: SeqAccess<'a>>(mut items: A) -> Result<Self, A::Error> {
        let mut first = None;
        while let Some(choice) = items.next_element::<Choice<'a>>()? {
            if first.is_none() && choice.index.unwrap_or_default() == 0 {
                first = Some(choice);
            }
        }
        Ok(Self(first))
    }
}

lenient!(JsonText Content FirstChoice);
