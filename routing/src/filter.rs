//! Who is left out, and why: what is known of an endpoint against what a request needs.
//!
//! Owns the hard filters ([`exclude`]), the order that a client's preferences make of the rest
//! ([`arrange`]) and the words for both ([`explain`]). What is a client's condition must be
//! shown to hold: an unknown price, data policy, quantization or licence fails it. What is a
//! mere limit of an endpoint must be shown to be passed: an unknown window or modality leaves
//! nobody out. Reads no clock and keeps nothing.

mod arrange;
mod exclusion;

use std::collections::HashSet;

pub use arrange::{Arrangement, Demoted, Demotion, Item, Live, Place, arrange};
pub use exclusion::{Exclusion, LISTED_ENDPOINTS, PriceField, explain};

use crate::preferences::{DataCollection, Preferences, Quantization, name_of};
use crate::price::Price;

/// Days a provider may keep prompts and still count as not collecting them: what providers
/// that do not train commonly keep for abuse checks before they delete it. Zero retention is
/// `zdr`, another preference.
pub const TRANSIENT_DAYS: u32 = 30;

/// Parameters that are no reason to leave an endpoint out, but to try it after those that
/// honour them: without them the answer is not the one that was asked for.
const SOFT: [&str; 3] = ["tools", "response_format", "verbosity"];

/// Parameters that are written down where somebody says what an endpoint honours. Of all
/// others nothing is known, and nobody is left out for them.
pub const RECORDED: [&str; 20] = [
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "seed",
    "stop",
    "structured_outputs",
    "temperature",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "verbosity",
];

/// Two names of one parameter: an endpoint that has either honours both, for adapters
/// translate them.
const SYNONYMS: [(&str, &str); 2] =
    [("max_tokens", "max_completion_tokens"), ("reasoning", "reasoning_effort")];

/// What a prompt may hold beside text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    Text,
    Image,
    Audio,
    Video,
    /// A document, such as a PDF.
    File,
}

impl Modality {
    pub const NAMES: [(&'static str, Self); 5] = [
        ("text", Self::Text),
        ("image", Self::Image),
        ("audio", Self::Audio),
        ("video", Self::Video),
        ("file", Self::File),
    ];

    pub fn name(self) -> &'static str {
        name_of(self, &Self::NAMES)
    }
}

/// What a provider does with prompts; absent is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct DataPolicy {
    pub training: Option<bool>,
    /// 0: keeps nothing.
    pub retention_days: Option<u32>,
}

impl DataPolicy {
    /// What this says, and for the rest what `other` does.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            training: self.training.or(other.training),
            retention_days: self.retention_days.or(other.retention_days),
        }
    }
}

/// What is known of an endpoint, whatever the request: built once for a snapshot.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Profile {
    /// `provider/model`, unique.
    pub name: String,
    /// The provider as the operator calls it.
    pub provider: String,
    /// The preset it comes from, which is what `OpenRouter`'s clients call it. May be empty.
    pub preset: String,
    /// The provider's own name of the model.
    pub model: String,
    /// Regions and tiers that tell endpoints of one provider apart, for `provider/region`.
    pub variants: Vec<String>,
    pub price: Option<Price>,
    /// Tokens that fit.
    pub context_window: Option<u64>,
    /// Tokens of the longest answer.
    pub max_output: Option<u64>,
    pub quantization: Quantization,
    pub data: DataPolicy,
    /// By their names in `OpenAI`'s chat requests. Absent: the adapter says that it honours
    /// all of them, and is believed.
    pub parameters: Option<HashSet<String>>,
    /// What a prompt may hold; text always.
    pub modalities: Option<Vec<Modality>>,
    /// Others may be trained on what the model writes.
    pub distillable: Option<bool>,
    pub has_credential: bool,
}

impl Profile {
    /// Whether a client's slug means this endpoint. `provider` (or the preset's name) means
    /// all of that provider's; `provider/model`, `provider/region` and `provider/quantization`
    /// mean fewer. Capitals do not matter.
    pub fn matches(&self, slug: &str) -> bool {
        let is = |name: &str| !name.is_empty() && slug.eq_ignore_ascii_case(name);
        if is(&self.name) || self.is_provider(slug) {
            return true;
        }
        let Some((provider, rest)) = slug.split_once('/') else { return false };
        let quantization = self.quantization;
        self.is_provider(provider)
            && (rest.eq_ignore_ascii_case(&self.model)
                || self.variants.iter().any(|variant| rest.eq_ignore_ascii_case(variant))
                || (quantization != Quantization::Unknown
                    && rest.eq_ignore_ascii_case(quantization.name())))
    }

    fn is_provider(&self, slug: &str) -> bool {
        [&self.provider, &self.preset]
            .iter()
            .any(|name| !name.is_empty() && slug.eq_ignore_ascii_case(name))
    }

    fn matches_any(&self, slugs: &[String]) -> bool {
        slugs.iter().any(|slug| self.matches(slug))
    }

    /// Whether the endpoint honours a request's top-level key.
    pub fn honours(&self, parameter: &str) -> bool {
        let Some(known) = &self.parameters else { return true };
        known.contains(parameter)
            || !RECORDED.contains(&parameter)
            || SYNONYMS.iter().any(|(one, other)| {
                (*one == parameter && known.contains(*other))
                    || (*other == parameter && known.contains(*one))
            })
    }
}

/// What one request needs.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'a> {
    /// Estimated, good to a third or so.
    pub input_tokens: u64,
    /// The client's limit.
    pub max_output_tokens: Option<u64>,
    /// What an answer will likely have: for comparing prices.
    pub expected_output_tokens: u64,
    /// Top-level keys of the request in terms of `OpenAI`'s chat requests. Those that are no
    /// parameters are passed over.
    pub parameters: &'a [String],
    /// What the prompt holds.
    pub modalities: &'a [Modality],
    pub preferences: &'a Preferences,
    /// Embeddings and counts of tokens do not: their input is many texts, or need not fit.
    pub generates: bool,
}

/// Why the endpoint cannot serve the request, if so: the first reason in the order of what a
/// client can do least about.
pub fn exclude(profile: &Profile, demand: &Demand<'_>) -> Option<Exclusion> {
    if !profile.has_credential {
        return Some(Exclusion::NoCredential);
    }
    limits(profile, demand)
        .or_else(|| names(profile, demand.preferences))
        .or_else(|| parameters(profile, demand))
        .or_else(|| data(profile, demand.preferences))
        .or_else(|| kind(profile, demand.preferences))
        .or_else(|| price(profile, demand))
}

/// What the endpoint cannot take.
fn limits(profile: &Profile, demand: &Demand<'_>) -> Option<Exclusion> {
    if !demand.generates {
        return None;
    }
    // The estimate is rough: only what is far too long is kept away.
    if let Some(window) = profile.context_window
        && demand.input_tokens / 2 > window
    {
        return Some(Exclusion::ContextWindow { window, input_tokens: demand.input_tokens });
    }
    if let (Some(limit), Some(asked)) = (profile.max_output, demand.max_output_tokens)
        && asked > limit
    {
        return Some(Exclusion::MaxOutput { limit, asked });
    }
    let modalities = profile.modalities.as_ref()?;
    demand
        .modalities
        .iter()
        .find(|used| **used != Modality::Text && !modalities.contains(used))
        .map(|missing| Exclusion::Modality { missing: *missing })
}

/// Whom the client named.
fn names(profile: &Profile, preferences: &Preferences) -> Option<Exclusion> {
    if profile.matches_any(&preferences.ignore) {
        return Some(Exclusion::Ignore);
    }
    if !preferences.only.is_empty() && !profile.matches_any(&preferences.only) {
        return Some(Exclusion::Only);
    }
    let bound_to_order = !preferences.order.is_empty() && !preferences.allows_fallbacks();
    (bound_to_order && !profile.matches_any(&preferences.order)).then_some(Exclusion::Order)
}

fn parameters(profile: &Profile, demand: &Demand<'_>) -> Option<Exclusion> {
    if !demand.preferences.require_parameters {
        return None;
    }
    let missing: Vec<String> = demand
        .parameters
        .iter()
        .filter(|parameter| !profile.honours(parameter))
        .take(exclusion::LISTED_PARAMETERS)
        .cloned()
        .collect();
    (!missing.is_empty()).then_some(Exclusion::RequireParameters { missing })
}

/// What becomes of prompts.
fn data(profile: &Profile, preferences: &Preferences) -> Option<Exclusion> {
    let DataPolicy { training, retention_days } = profile.data;
    if preferences.zdr && retention_days != Some(0) {
        return Some(Exclusion::Zdr { retention_days });
    }
    let denied = preferences.data_collection == Some(DataCollection::Deny);
    let transient = retention_days.is_some_and(|days| days <= TRANSIENT_DAYS);
    (denied && (training != Some(false) || !transient))
        .then_some(Exclusion::DataCollection { training, retention_days })
}

/// What kind of model it is.
fn kind(profile: &Profile, preferences: &Preferences) -> Option<Exclusion> {
    if preferences.enforce_distillable_text && profile.distillable != Some(true) {
        return Some(Exclusion::Distillable { known: profile.distillable.is_some() });
    }
    let quantization = profile.quantization;
    let wanted = &preferences.quantizations;
    (!wanted.is_empty() && !wanted.contains(&quantization))
        .then_some(Exclusion::Quantization { quantization })
}

/// A price that is known without a fee by the request, image or piece of audio has none: such
/// media cost their tokens. Fees for media count only where the prompt holds such media.
fn price(profile: &Profile, demand: &Demand<'_>) -> Option<Exclusion> {
    let limits = &demand.preferences.max_price;
    if limits.is_none() {
        return None;
    }
    let price = profile.price;
    let uses = |modality| demand.modalities.contains(&modality);
    [
        (PriceField::Prompt, limits.prompt, price.map(|price| price.input)),
        (PriceField::Completion, limits.completion, price.map(|price| price.output)),
        (PriceField::Request, limits.request, price.map(|price| price.request.unwrap_or_default())),
        (PriceField::Image, limits.image.filter(|_| uses(Modality::Image)), price.map(|_| 0.0)),
        (PriceField::Audio, limits.audio.filter(|_| uses(Modality::Audio)), price.map(|_| 0.0)),
    ]
    .into_iter()
    .find_map(|(field, limit, price)| {
        let limit = limit?;
        // Also where the price is no number.
        let holds = price.is_some_and(|price| price <= limit);
        (!holds).then_some(Exclusion::MaxPrice { field, price, limit })
    })
}

#[cfg(test)]
mod tests;
