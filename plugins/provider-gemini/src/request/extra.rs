//! Parameters that the payload has no field for, in Gemini's words or in a client's.
//!
//! Gemini's own may be spelt either way (`safety_settings`, `safetySettings`) and may stand
//! at the top or where Google's OpenAI-compatible endpoint wants them, under `google` or
//! `extra_body.google`. What is there but has no place is named as left out.

use serde_json::{Map, Value};
use torana_plugin_sdk::chat::Request;
use torana_plugin_sdk::wire::encoded::Dropped;

use crate::settings::Platform;

/// Keys of the body.
const TOP: [&str; 2] = ["safetySettings", "cachedContent"];
const TOP_OF_VERTEX: [&str; 2] = ["labels", "modelArmorConfig"];
/// Keys of `generationConfig`.
const GENERATION: [&str; 9] = [
    "responseModalities",
    "responseLogprobs",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "mediaResolution",
    "speechConfig",
    "imageConfig",
    "thinkingConfig",
];
const GENERATION_OF_VERTEX: [&str; 3] = ["audioTimestamp", "routingConfig", "modelConfig"];
const GENERATION_OF_STUDIO: [&str; 1] = ["enableEnhancedCivicAnswers"];

/// Parameters by their places.
#[derive(Default)]
pub(super) struct Extra {
    pub(super) top: Map<String, Value>,
    pub(super) generation: Map<String, Value>,
    tool_config: Map<String, Value>,
}

impl Extra {
    pub(super) fn of(request: &Request, platform: Platform, dropped: &mut Dropped) -> Self {
        let mut extra = Self::default();
        for (key, value) in &request.extra {
            let is_placed = is_said_elsewhere(key, value, request)
                || extra.place(key, value, platform)
                || extra.place_nested(key, value, platform, dropped);
            dropped.note_if(!is_placed, key);
        }
        extra
    }

    /// `config` with what the client wrote over it.
    pub(super) fn merge_tool_config(&mut self, config: Map<String, Value>) -> Map<String, Value> {
        let mut config = config;
        for (key, value) in std::mem::take(&mut self.tool_config) {
            match (config.get_mut(&key), value) {
                (Some(Value::Object(fields)), Value::Object(more)) => fields.extend(more),
                (_, value) => {
                    config.insert(key, value);
                }
            }
        }
        config
    }

    fn place(&mut self, key: &str, value: &Value, platform: Platform) -> bool {
        let key = camel(key);
        let is = |keys: &[&str]| keys.contains(&key.as_str());
        let (is_top, is_generation) = match platform {
            Platform::AiStudio => (is(&TOP), is(&GENERATION) || is(&GENERATION_OF_STUDIO)),
            Platform::Vertex => {
                (is(&TOP) || is(&TOP_OF_VERTEX), is(&GENERATION) || is(&GENERATION_OF_VERTEX))
            }
        };
        match (key.as_str(), value) {
            _ if is_top => self.set_top(key, value.clone()),
            _ if is_generation => self.set_generation(key, value.clone()),
            ("serviceTier", Value::String(tier)) => match tier.as_str() {
                "auto" => {}
                "default" => self.set_top(key, "standard".into()),
                "standard" | "flex" | "priority" => self.set_top(key, value.clone()),
                _ => return false,
            },
            // OpenAI's `logprobs` is a flag, Gemini's a number.
            ("logprobs", Value::Number(_)) => self.set_generation(key, value.clone()),
            ("modalities", Value::Array(items)) => {
                let upper = |item: &Value| Some(Value::from(item.as_str()?.to_ascii_uppercase()));
                match items.iter().map(upper).collect::<Option<Vec<_>>>() {
                    Some(upper) => {
                        self.set_generation("responseModalities".into(), upper.into());
                    }
                    None => return false,
                }
            }
            ("toolConfig", Value::Object(fields)) => self.tool_config.extend(fields.clone()),
            _ => return false,
        }
        true
    }

    fn place_nested(
        &mut self,
        key: &str,
        value: &Value,
        platform: Platform,
        dropped: &mut Dropped,
    ) -> bool {
        let Some(fields) = value.as_object() else {
            return false;
        };
        match key {
            "extra_body" | "google" | "gemini" => {
                for (inner, value) in fields {
                    let is_placed = self.place(inner, value, platform)
                        || (key == "extra_body"
                            && self.place_nested(inner, value, platform, dropped));
                    dropped.note_if(!is_placed, inner);
                }
                true
            }
            "generationConfig" | "generation_config" => {
                for (inner, value) in fields {
                    match (camel(inner).as_str(), value.as_u64()) {
                        ("candidateCount", count) => {
                            dropped.note_if(count != Some(1), "candidateCount");
                        }
                        (inner, _) => self.set_generation(inner.to_owned(), value.clone()),
                    }
                }
                true
            }
            _ => false,
        }
    }

    fn set_top(&mut self, key: String, value: Value) {
        self.top.insert(key, value);
    }

    fn set_generation(&mut self, key: String, value: Value) {
        self.generation.insert(key, value);
    }
}

/// The value asks for what happens anyway, or a field of the payload says it already.
fn is_said_elsewhere(key: &str, value: &Value, request: &Request) -> bool {
    let thinks = request.reasoning.is_some();
    match key {
        "stream_options" | "betas" => true,
        "max_tokens" | "max_completion_tokens" => request.sampling.max_output_tokens.is_some(),
        "response_format" => request.output_format.is_some(),
        "reasoning" | "thinking" => thinks,
        "output_config" => thinks || request.output_format.is_some(),
        "n" | "candidateCount" | "candidate_count" => value == 1,
        "store" | "logprobs" => value == false,
        _ => value.is_null(),
    }
}

/// `safety_settings` to `safetySettings`.
pub(super) fn camel(key: &str) -> String {
    let mut pieces = key.split('_');
    let mut camel = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let mut characters = piece.chars();
        camel.extend(characters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(characters.as_str());
    }
    camel
}
