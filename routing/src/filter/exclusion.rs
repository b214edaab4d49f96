//! Reasons to leave an endpoint out, for decision records and for people.
//!
//! The `reason` tags are a contract: they stand in records that are replayed. Each clause
//! names the preference and the figure, so that a client knows what to change.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use super::{Modality, TRANSIENT_DAYS};
use crate::preferences::Quantization;

/// Endpoints an explanation lists: more than a screenful advises nobody.
pub const LISTED_ENDPOINTS: usize = 30;

/// Parameters listed of one endpoint.
pub(super) const LISTED_PARAMETERS: usize = 10;

/// Why an endpoint is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Exclusion {
    /// The provider's credential is not there.
    NoCredential,
    /// The prompt is far too long.
    ContextWindow {
        window: u64,
        input_tokens: u64,
    },
    /// The client allows a longer answer than the endpoint can give.
    MaxOutput {
        limit: u64,
        asked: u64,
    },
    /// The prompt holds what the model does not take.
    Modality {
        missing: Modality,
    },
    /// Not in `provider.only`.
    Only,
    /// In `provider.ignore`.
    Ignore,
    /// Not in `provider.order`, and fallbacks are off.
    Order,
    /// Neither `order` nor `only` is there, fallbacks are off, and another one is the first.
    AllowFallbacks,
    RequireParameters {
        missing: Vec<String>,
    },
    DataCollection {
        training: Option<bool>,
        retention_days: Option<u32>,
    },
    Zdr {
        retention_days: Option<u32>,
    },
    Quantization {
        quantization: Quantization,
    },
    /// `price` is absent where it is not known.
    MaxPrice {
        field: PriceField,
        price: Option<f64>,
        limit: f64,
    },
    /// `known`: the author forbids it; or else nothing is known.
    Distillable {
        known: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceField {
    Prompt,
    Completion,
    Request,
    Image,
    Audio,
}

impl PriceField {
    /// Its name in `provider.max_price`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Completion => "completion",
            Self::Request => "request",
            Self::Image => "image",
            Self::Audio => "audio",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Prompt => "input price",
            Self::Completion => "output price",
            Self::Request => "price of a request",
            Self::Image => "price of an image",
            Self::Audio => "price of audio",
        }
    }
}

/// One clause that follows the endpoint's name.
impl Display for Exclusion {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredential => to.write_str("its provider's credential is not set"),
            Self::ContextWindow { window, input_tokens } => write!(
                to,
                "its context window of {window} tokens is far below the prompt's {input_tokens} \
                 or so"
            ),
            Self::MaxOutput { limit, asked } => {
                write!(to, "its answers end at {limit} tokens, and max_tokens is {asked}")
            }
            Self::Modality { missing } => write!(to, "it takes no {}", media(*missing)),
            Self::Only => to.write_str("it is not in provider.only"),
            Self::Ignore => to.write_str("it is in provider.ignore"),
            Self::Order => {
                to.write_str("it is not in provider.order and provider.allow_fallbacks is false")
            }
            Self::AllowFallbacks => {
                to.write_str("it is not the first and provider.allow_fallbacks is false")
            }
            Self::RequireParameters { missing } => write!(
                to,
                "it does not honour {}, and provider.require_parameters is true",
                missing.join(", ")
            ),
            Self::DataCollection { training, retention_days } => {
                collection(to, *training, *retention_days)
            }
            Self::Zdr { retention_days } => {
                retention(to, *retention_days)?;
                to.write_str(", and provider.zdr is true")
            }
            Self::Quantization { quantization } => write!(
                to,
                "its quantization is {}, which is not in provider.quantizations",
                quantization.name()
            ),
            Self::MaxPrice { field, price: Some(price), limit } => write!(
                to,
                "its {} {price} USD is above provider.max_price.{} = {limit}",
                field.what(),
                field.name()
            ),
            Self::MaxPrice { field, price: None, limit } => write!(
                to,
                "its {} is unknown, and provider.max_price.{} = {limit}",
                field.what(),
                field.name()
            ),
            Self::Distillable { known } => {
                to.write_str(if *known {
                    "its author does not let others be trained on what it writes"
                } else {
                    "whether its author lets others be trained on what it writes is unknown"
                })?;
                to.write_str(", and provider.enforce_distillable_text is true")
            }
        }
    }
}

/// The text for a client whose request nobody may serve.
pub fn explain<'a>(
    model: &str,
    exclusions: impl ExactSizeIterator<Item = (&'a str, &'a Exclusion)>,
) -> String {
    let count = exclusions.len();
    if count == 0 {
        return format!("no endpoint of `{model}` is left: it has none");
    }
    let mut text = format!("no endpoint of `{model}` is left: ");
    for (position, (endpoint, exclusion)) in exclusions.take(LISTED_ENDPOINTS).enumerate() {
        let separator = if position == 0 { "" } else { "; " };
        text.push_str(&format!("{separator}{endpoint} – {exclusion}"));
    }
    if count > LISTED_ENDPOINTS {
        text.push_str(&format!("; and {} more", count - LISTED_ENDPOINTS));
    }
    text
}

fn media(modality: Modality) -> &'static str {
    match modality {
        Modality::Text => "text",
        Modality::Image => "images",
        Modality::Audio => "audio",
        Modality::Video => "video",
        Modality::File => "files",
    }
}

fn collection(
    to: &mut Formatter<'_>,
    training: Option<bool>,
    retention_days: Option<u32>,
) -> fmt::Result {
    match training {
        Some(true) => to.write_str("its provider trains on prompts")?,
        None => to.write_str("whether its provider trains on prompts is unknown")?,
        Some(false) => {
            retention(to, retention_days)?;
            if retention_days.is_some() {
                write!(to, " (more than {TRANSIENT_DAYS})")?;
            }
        }
    }
    to.write_str(", and provider.data_collection is \"deny\"")
}

fn retention(to: &mut Formatter<'_>, days: Option<u32>) -> fmt::Result {
    match days {
        Some(1) => to.write_str("its provider keeps prompts for 1 day"),
        Some(days) => write!(to, "its provider keeps prompts for {days} days"),
        None => to.write_str("how long its provider keeps prompts is unknown"),
    }
}
