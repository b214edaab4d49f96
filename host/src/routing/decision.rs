//! The record of a routing decision: everything it rests on, so that it can be read, and made
//! again.
//!
//! It is part of the inference's row (`decision` in `docs/data-model.md`). A policy is pure but
//! for what it has learned, so its plan is a function of what stands here: `replay` makes it
//! again and compares.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use torana_routing::execution::GiveUp;
use torana_routing::filter::{Demotion, Exclusion};
use torana_routing::policy::{Candidate, Endpoint, Facts, Plan};

/// What a policy has learned is kept in the record up to so many bytes: a policy of a few
/// figures for each endpoint fits, a record stays a record. Beyond it the decision cannot be
/// replayed.
pub const MAX_LEARNED_BYTES: usize = 16 << 10;

/// Why a plan is as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Endpoint names in the order to be tried.
    pub plan: Vec<String>,
    /// What put them in this order: `policy`, or the preference of the client that did.
    pub order: String,
    /// The client's `provider` object, as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferences: Option<Value>,
    /// What the client named in `order`, `only` or `ignore` and no endpoint of these models is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmatched: Vec<String>,
    /// The model asked for, then those to fall back to.
    pub models: Vec<Considered>,
    /// Why no further endpoint was tried; absent where one answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gave_up: Option<GiveUp>,
}

/// What was considered for one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Considered {
    pub model: String,
    /// The policy asked by its name in the configuration; `endpoint` where the client named
    /// one itself.
    pub router: String,
    /// Absent without a policy, and where the journal keeps plans alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Asked>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub demoted: Vec<Demoted>,
    /// By endpoint name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<Scored>,
    /// The policy failed, and the endpoints were taken in the order they are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
}

/// All that a policy was told, and what it said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    pub plugin: String,
    /// SHA-256 of the component.
    pub digest: String,
    pub settings: Map<String, Value>,
    pub endpoints: Arc<[Endpoint]>,
    #[serde(default, skip_serializing_if = "Learned::is_empty")]
    pub learned: Learned,
    pub facts: Facts,
    pub candidates: Vec<Candidate>,
    /// Absent where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Plan>,
}

/// What a policy had learned, in base64.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Learned {
    #[default]
    Nothing,
    Bytes(String),
    /// More than a record keeps.
    TooLong {
        bytes: usize,
    },
}

impl Learned {
    pub fn of(state: &[u8]) -> Self {
        match state.len() {
            0 => Self::Nothing,
            bytes if bytes > MAX_LEARNED_BYTES => Self::TooLong { bytes },
            _ => Self::Bytes(STANDARD.encode(state)),
        }
    }

    /// `None`: it was not kept, or is no base64.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        match self {
            Self::Nothing => Some(Vec::new()),
            Self::Bytes(text) => STANDARD.decode(text).ok(),
            Self::TooLong { .. } => None,
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::Nothing
    }
}

/// An endpoint that was left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    pub endpoint: String,
    #[serde(flatten)]
    pub exclusion: Exclusion,
}

/// An endpoint that is tried later than it would be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Demoted {
    pub endpoint: String,
    pub reason: Demotion,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    pub endpoint: String,
    pub score: f64,
}

impl Decision {
    /// What is left when the journal keeps plans alone: enough to read, not to replay.
    pub fn strip(&mut self) {
        for considered in &mut self.models {
            considered.policy = None;
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::journal::read_packed;

    /// Rows are not packed as JSON, and enums, absent fields and flattened ones have more than
    /// one form.
    #[test]
    fn a_decision_is_read_from_the_journal_as_the_json_that_it_is() {
        let exclusions = [
            json!({ "reason": "no_credential" }),
            json!({ "reason": "context_window", "window": 8, "input_tokens": 9 }),
            json!({ "reason": "require_parameters", "missing": ["tools"] }),
            json!({ "reason": "zdr", "retention_days": null }),
            json!({ "reason": "max_price", "field": "prompt", "price": 0.1, "limit": 0.05 }),
        ];
        let left_out = exclusions.map(|mut exclusion| {
            exclusion["endpoint"] = json!("p/m");
            exclusion
        });
        let policy = json!({
            "plugin": "router-adaptive", "digest": "sha256:00",
            "settings": { "b": 1, "a": [null] },
            "endpoints": [{ "name": "p/m", "provider": "p", "model": "m", "weight": 1.0 }],
            "facts": { "now_unix_ms": 1_796_071_668_117_u64, "seed": u64::MAX, "stream": true },
            "candidates": [
                { "endpoint": 0, "eligible": true, "ttft_fast_ms": 2.478_972_445_900_682_3 },
            ],
            "said": {
                "steps": [{ "endpoint": 0 }], "scores": [{ "endpoint": 0, "score": 7.4e-7 }],
            },
        });
        let mut models = Vec::new();
        for learned in [json!(""), json!("AAEC"), json!({ "bytes": 70_000 })] {
            let mut policy = policy.clone();
            policy["learned"] = learned;
            models.push(json!({
                "model": "m", "router": "adaptive", "policy": policy, "left_out": left_out,
                "scores": [{ "endpoint": "p/m", "score": 7.4e-7 }], "fallback": "trapped",
            }));
        }
        let decision = json!({
            "plan": ["p/m"], "order": "policy", "preferences": { "order": ["p"] },
            "models": models,
        });
        let decision: Decision = serde_json::from_value(decision).unwrap();
        assert_eq!(read_packed(&decision), serde_json::to_string(&decision).unwrap());
    }
}
