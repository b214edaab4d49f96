//! Which parameters of a request reach Anthropic.

use serde_json::{Map, Value};

use super::model::Model;
use crate::chat::{OutputFormat, Request, Sampling};
use crate::encoded::Dropped;

/// Keys of `extra` that Anthropic knows and the payload has no field for.
const PASSED: [&str; 13] = [
    "billing_policy",
    "cache_control",
    "compaction",
    "container",
    "context_management",
    "diagnostics",
    "fallback_credit_token",
    "fallbacks",
    "inference_geo",
    "mcp_servers",
    "speed",
    "thread",
    "user_profile_id",
];
/// Keys of `extra` that are heard elsewhere: written with others, sent as a header, done by
/// the host, or another spelling of what a field says.
const HEARD: [&str; 7] = [
    "betas",
    "max_completion_tokens",
    "max_tokens",
    "output_config",
    "reasoning",
    "stream_options",
    "thinking",
];
/// The least `top_p` that Anthropic takes beside thinking.
const LEAST_THINKING_TOP_P: f64 = 0.95;

/// Sampling parameters as they can be sent.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tuned {
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u64>,
}

/// Temperature ends at 1 here; what is above becomes 1 and counts as dropped. Of temperature
/// and `top_p`, where a model takes only one, the one that differs from the default is sent.
pub(super) fn tune(
    sampling: &Sampling,
    thinks: bool,
    model: Model,
    dropped: &mut Dropped,
) -> Tuned {
    let is_hot = sampling.temperature.is_some_and(|value| value > 1.0);
    dropped.note_if(is_hot, "temperature");
    let mut tuned = Tuned {
        temperature: sampling.temperature.map(|value| value.min(1.0)),
        top_p: sampling.top_p,
        top_k: sampling.top_k,
    };
    if !model.takes_sampling() || thinks {
        let least = if model.takes_sampling() { LEAST_THINKING_TOP_P } else { 1.0 };
        let cold = tuned.temperature.take_if(|value| *value != 1.0 || !model.takes_sampling());
        dropped.note_if(cold.is_some_and(|value| value != 1.0), "temperature");
        let narrow = tuned.top_p.take_if(|value| *value < least || !model.takes_sampling());
        dropped.note_if(narrow.is_some_and(|value| value < least), "top_p");
        dropped.note_if(tuned.top_k.take().is_some(), "top_k");
    }
    if model.takes_one_of_temperature_and_top_p()
        && let (Some(temperature), Some(top_p)) = (tuned.temperature, tuned.top_p)
    {
        if temperature == 1.0 && top_p != 1.0 {
            tuned.temperature = None;
        } else {
            tuned.top_p = None;
            dropped.note_if(top_p != 1.0, "top_p");
        }
    }
    tuned
}

/// Stop sequences as they can be sent: Anthropic refuses blank ones.
pub(super) fn stop_sequences<'a>(sampling: &'a Sampling, dropped: &mut Dropped) -> Vec<&'a String> {
    let (kept, blank): (Vec<_>, Vec<_>) =
        sampling.stop.iter().partition(|text| !text.trim().is_empty());
    dropped.note_if(!blank.is_empty(), "stop");
    kept
}

/// The keys of `extra` that go into the body as they are.
pub(super) fn passed(extra: &Map<String, Value>) -> Map<String, Value> {
    extra
        .iter()
        .filter(|(key, _)| PASSED.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// OpenAI has a parameter of the same name with other words.
pub(super) fn service_tier(request: &Request) -> Option<&str> {
    let tier = request.extra.get("service_tier").and_then(Value::as_str)?;
    matches!(tier, "auto" | "standard_only").then_some(tier)
}

/// Anthropic keeps no other metadata.
pub(super) fn user_id(request: &Request) -> Option<&str> {
    let stated = request.metadata.get("user_id").and_then(Value::as_str);
    request.user.as_deref().or(stated)
}

/// Names what has no place whatever else the request says.
pub(super) fn note_homeless(request: &Request, dropped: &mut Dropped) {
    let sampling = &request.sampling;
    let is_set = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
    dropped.note_if(sampling.seed.is_some(), "seed");
    dropped.note_if(is_set(sampling.presence_penalty), "presence_penalty");
    dropped.note_if(is_set(sampling.frequency_penalty), "frequency_penalty");
    let is_json = matches!(request.output_format, Some(OutputFormat::JsonObject));
    dropped.note_if(is_json, "output_format");
    dropped.note_if(request.metadata.keys().any(|key| key != "user_id"), "metadata");
    for (key, value) in &request.extra {
        dropped.note_if(is_homeless(request, key, value), key);
    }
}

fn is_homeless(request: &Request, key: &str, value: &Value) -> bool {
    let known = PASSED.contains(&key) || HEARD.contains(&key);
    match key {
        _ if known || value.is_null() => false,
        "service_tier" => service_tier(request).is_none() && value != "default",
        // What is left of a format that was understood, and what says nothing.
        "response_format" => request.output_format.is_none(),
        "n" => value.as_u64() != Some(1),
        "logprobs" | "store" => *value != Value::Bool(false),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuned(t: Option<f64>, p: Option<f64>, thinks: bool, name: &str) -> (Tuned, Vec<String>) {
        let sampling = Sampling { temperature: t, top_p: p, top_k: Some(5), ..Sampling::default() };
        let mut dropped = Dropped::default();
        let tuned = tune(&sampling, thinks, Model::of(name), &mut dropped);
        (tuned, dropped.into_names())
    }

    #[test]
    fn sampling_passes_as_far_as_the_model_takes_it() {
        let (old, other) = ("claude-3-7-sonnet-latest", "deepseek-chat");
        for name in [old, other] {
            let expected = Tuned { temperature: Some(0.5), top_p: Some(0.5), top_k: Some(5) };
            assert_eq!(tuned(Some(0.5), Some(0.5), false, name), (expected, vec![]));
        }
        let one = "claude-sonnet-4-5";
        let (found, dropped) = tuned(Some(0.5), Some(0.5), false, one);
        assert_eq!((found.temperature, found.top_p), (Some(0.5), None));
        assert_eq!(dropped, ["top_p"]);
        let (found, dropped) = tuned(Some(1.0), Some(0.5), false, one);
        assert_eq!((found.temperature, found.top_p, dropped.len()), (None, Some(0.5), 0));
        let (found, dropped) = tuned(Some(0.5), Some(0.5), false, "claude-opus-4-8");
        assert_eq!((found, dropped), (Tuned::default(), names(&["temperature", "top_k", "top_p"])));
        let (found, dropped) = tuned(Some(1.0), Some(1.0), false, "claude-opus-4-8");
        assert_eq!((found, dropped), (Tuned::default(), names(&["top_k"])));
    }

    #[test]
    fn thinking_leaves_the_defaults_and_a_wide_top_p() {
        let (found, dropped) = tuned(Some(0.2), Some(0.96), true, "claude-3-7-sonnet-latest");
        let expected = Tuned { temperature: None, top_p: Some(0.96), top_k: None };
        assert_eq!((found, dropped), (expected, names(&["temperature", "top_k"])));
    }

    #[test]
    fn heat_above_one_is_one_and_is_named() {
        let (found, dropped) = tuned(Some(1.5), None, false, "claude-3-7-sonnet-latest");
        assert_eq!((found.temperature, dropped), (Some(1.0), names(&["temperature"])));
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }
}
