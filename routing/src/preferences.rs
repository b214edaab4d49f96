//! What a client asks of endpoints: `OpenRouter`'s `provider` object, in types.
//!
//! Owns the meaning of each key and its unit; `decode` reads them, `filter` obeys them.
//! Promises that a decoded preference makes sense on its own: lists are bounded, numbers are
//! finite and not negative, names are known. Refuses unknown keys and nonsense with the dotted
//! name of the field, what was found and what is expected; `null` is the same as absent.
//!
//! Source: <https://openrouter.ai/docs/guides/routing/provider-selection>. Latency is in
//! seconds to the first token, prices in US dollars for a million tokens.

mod asked;
mod decode;

use serde::{Deserialize, Serialize};

pub use asked::{Asked, Fields, MAX_MODELS, MAX_SESSION_BYTES, Named, Suffix};
pub use decode::{MAX_ITEMS, MAX_SLUG_BYTES};

/// The `provider` object. Serialized, it reads as the client wrote it, less what it left out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// Tried first, in this order; then the rest, unless fallbacks are off. An empty list is
    /// the same as none, for this and the other lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<String>,
    /// Nothing else is used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// Absent: true. False: only what is listed in `order` or `only`, or else the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_fallbacks: Option<bool>,
    /// Only endpoints that honour every parameter of the request.
    #[serde(skip_serializing_if = "is_false")]
    pub require_parameters: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_collection: Option<DataCollection>,
    /// Only endpoints that keep nothing.
    #[serde(skip_serializing_if = "is_false")]
    pub zdr: bool,
    /// Only models whose author lets others be trained on what they write.
    #[serde(skip_serializing_if = "is_false")]
    pub enforce_distillable_text: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quantizations: Vec<Quantization>,
    #[serde(skip_serializing_if = "Sort::is_none")]
    pub sort: Sort,
    #[serde(skip_serializing_if = "MaxPrice::is_none")]
    pub max_price: MaxPrice,
    /// Output tokens a second: of the last five minutes' answers, this share was at least so
    /// fast (`p90 = 50`: nine in ten had 50 or more).
    #[serde(skip_serializing_if = "Cutoffs::is_none")]
    pub preferred_min_throughput: Cutoffs,
    /// Seconds to the first token: of the last five minutes' answers, this share was at most
    /// so slow.
    #[serde(skip_serializing_if = "Cutoffs::is_none")]
    pub preferred_max_latency: Cutoffs,
}

impl Preferences {
    /// Reads the `provider` object of a request.
    ///
    /// # Errors
    /// Not an object, an unknown key, or a value that makes no sense: all of them at once.
    pub fn decode(provider: &serde_json::Value) -> Result<Self, InvalidPreference> {
        decode::provider(provider)
    }

    pub fn allows_fallbacks(&self) -> bool {
        self.allow_fallbacks.unwrap_or(true)
    }
}

/// A preference that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidPreference {
    /// The dotted name of the first bad field, such as `provider.max_price.prompt`.
    pub param: String,
    /// Every bad field with what was found there and what is expected.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataCollection {
    Allow,
    /// Only endpoints that neither train on prompts nor keep them for long.
    Deny,
}

/// How many bits a weight has; `unknown` is a value one can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantization {
    Int4,
    Int8,
    Fp4,
    Mxfp4,
    Nvfp4,
    Fp6,
    Fp8,
    Mxfp8,
    Fp16,
    Bf16,
    Fp32,
    #[default]
    Unknown,
}

impl Quantization {
    pub const NAMES: [(&'static str, Self); 12] = [
        ("int4", Self::Int4),
        ("int8", Self::Int8),
        ("fp4", Self::Fp4),
        ("mxfp4", Self::Mxfp4),
        ("nvfp4", Self::Nvfp4),
        ("fp6", Self::Fp6),
        ("fp8", Self::Fp8),
        ("mxfp8", Self::Mxfp8),
        ("fp16", Self::Fp16),
        ("bf16", Self::Bf16),
        ("fp32", Self::Fp32),
        ("unknown", Self::Unknown),
    ];

    pub fn name(self) -> &'static str {
        name_of(self, &Self::NAMES)
    }
}

/// What endpoints are sorted by, in place of the policy's order, and within what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sort {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<SortBy>,
    /// Absent: `model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
}

impl Sort {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SortBy {
    /// Cheapest for this request first.
    Price,
    /// Most output tokens a second first.
    Throughput,
    /// First token soonest first.
    Latency,
    /// Best tool calls first.
    Exacto,
}

impl SortBy {
    pub const NAMES: [(&'static str, Self); 4] = [
        ("price", Self::Price),
        ("throughput", Self::Throughput),
        ("latency", Self::Latency),
        ("exacto", Self::Exacto),
    ];

    pub fn name(self) -> &'static str {
        name_of(self, &Self::NAMES)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partition {
    /// All endpoints of a model come before those of the next.
    Model,
    /// Endpoints of all models stand in one list.
    None,
}

/// The most a client pays. An endpoint that cannot be shown to cost no more is left out.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MaxPrice {
    /// US dollars for a million tokens of input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<f64>,
    /// US dollars for a million tokens of output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion: Option<f64>,
    /// US dollars for a request, whatever its tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<f64>,
    /// US dollars for an image, whatever its tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<f64>,
    /// US dollars for a piece of audio, whatever its tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<f64>,
}

impl MaxPrice {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Bounds on percentiles; all that are given must hold.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cutoffs {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p75: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
}

impl Cutoffs {
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The name of a value that its table holds.
pub(crate) fn name_of<T: Copy + PartialEq>(value: T, names: &[(&'static str, T)]) -> &'static str {
    names.iter().find(|(_, named)| *named == value).map_or("unknown", |(name, _)| name)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests;
