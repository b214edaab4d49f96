//! `GET /v1/models/{model}/endpoints`: what can answer for a name, with facts and live figures,
//! in the shape of OpenRouter's route of this name.
//!
//! Takes whatever a request may name: a model, a function (the endpoints of all its variants),
//! `provider/model` where the provider takes any model, a bare name, a suffix behind it. Asks no provider. What is
//! not known is `null`, never a guess; a price that there is none of is absent. Refuses names
//! that a request could not use.
//!
//! Shape: <https://openrouter.ai/docs/api/api-reference/endpoints/list-endpoints>.

use std::sync::Arc;
use std::time::Instant;

use http::{Response, StatusCode};
use serde_json::{Map, Value, json};
use torana_routing::policy::Breaker;
use torana_routing::preferences::Named;
use torana_routing::price::Price;
use torana_routing::statistics::{Percentiles, Reading, Window};

use super::assign::FUNCTION_PREFIX;
use super::reply::{self, ReplyBody};
use super::route;
use crate::config::{Modality, Offer};
use crate::error::Cause;
use crate::gateway::Gateway;
use crate::snapshot::{Endpoint, Model, Snapshot};

/// What a model that answers with vectors gives, in OpenRouter's words.
const VECTORS: &str = "embeddings";

/// The endpoints of what a client may name.
///
/// # Errors
/// Nothing has this name.
pub fn of(
    gateway: &Gateway,
    snapshot: &Snapshot,
    name: &str,
) -> Result<Response<ReplyBody>, Cause> {
    let models = models(gateway, snapshot, name)?;
    let now = Instant::now();
    let pairs =
        || models.iter().flat_map(|model| model.endpoints.iter().map(move |it| (model, it)));
    let endpoints: Vec<Value> =
        pairs().map(|(model, endpoint)| described(&model.name, endpoint, now)).collect();
    let offers: Vec<&Offer> = pairs().map(|(_, endpoint)| &endpoint.offer).collect();
    let body = json!({
        "data": {
            "id": name,
            "name": name,
            // As in the list of models: a configured model has no time of creation.
            "created": 0,
            "description": "",
            "architecture": architecture(&offers),
            "endpoints": endpoints,
        }
    });
    Ok(reply::json(StatusCode::OK, body.to_string()))
}

/// The one model of this name, or those that a function's variants ask.
fn models(gateway: &Gateway, snapshot: &Snapshot, name: &str) -> Result<Vec<Arc<Model>>, Cause> {
    let function = name.strip_prefix(FUNCTION_PREFIX).and_then(|it| snapshot.functions.get(it));
    let Some(function) = function else {
        let named = Named::read(name);
        // A model may be called `fast:nitro`.
        let name = if snapshot.models.contains_key(name) { name } else { &named.model };
        return Ok(vec![route::model(gateway, snapshot, name)?]);
    };
    let mut models: Vec<Arc<Model>> = Vec::new();
    for variant in function.variants.values() {
        if !models.iter().any(|known| known.name == variant.model) {
            models.push(route::model(gateway, snapshot, &variant.model)?);
        }
    }
    Ok(models)
}

/// What goes in and what comes out of at least one of the endpoints.
fn architecture(offers: &[&Offer]) -> Value {
    let inputs = modalities(offers.iter().map(|offer| offer.inputs.as_deref()));
    let outputs = modalities(offers.iter().map(|offer| offer.outputs.as_deref()));
    let modality = inputs.as_ref().zip(outputs.as_ref());
    json!({
        "modality": modality.map(|(from, to)| format!("{}->{}", from.join("+"), to.join("+"))),
        "input_modalities": inputs,
        "output_modalities": outputs,
        "tokenizer": null,
        "instruct_type": null,
    })
}

/// `None` where no endpoint's are known.
fn modalities<'a>(
    lists: impl Iterator<Item = Option<&'a [Modality]>>,
) -> Option<Vec<&'static str>> {
    let known: Vec<&[Modality]> = lists.flatten().collect();
    let named = Modality::NAMES.iter().filter(|(_, it)| known.iter().any(|list| list.contains(it)));
    let mut names: Vec<&str> = named.map(|(name, _)| *name).collect();
    names.extend(known.iter().any(|list| list.is_empty()).then_some(VECTORS));
    (!known.is_empty()).then_some(names)
}

fn described(model: &str, endpoint: &Endpoint, now: Instant) -> Value {
    let offer = &endpoint.offer;
    let quarantined = endpoint.provider.adapter.plugin().quarantine.is_closed();
    let reading = endpoint.statistics.read(now);
    let mut described = json!({
        "name": &*endpoint.name,
        "model_id": model,
        "model_name": model,
        "provider_name": &*endpoint.provider.name,
        // What `provider.order`, `only` and `ignore` take.
        "tag": &*endpoint.name,
        // What a prompt may have is what is known; the context holds at least as much.
        "context_length": offer.context_window,
        "max_prompt_tokens": offer.context_window,
        "max_completion_tokens": offer.max_output,
        "pricing": pricing(offer.price),
        "quantization": offer.quantization.map(|it| it.name()),
        "supported_parameters": parameters(endpoint),
        "status": status(endpoint.profile.has_credential, quarantined, &reading),
        // Nobody says. A client that marks what is to be cached loses nothing by it.
        "supports_implicit_caching": null,
    });
    if let Some(fields) = described.as_object_mut() {
        fields.extend(figures(endpoint, now));
    }
    described
}

/// In alphabetical order; `None` for an endpoint that is believed to honour all there are.
fn parameters(endpoint: &Endpoint) -> Option<Vec<&str>> {
    let known = endpoint.profile.parameters.as_ref()?;
    let mut names: Vec<&str> = known.iter().map(String::as_str).collect();
    names.sort_unstable();
    Some(names)
}

/// OpenRouter's numbers, whose meaning it does not publish: 0 is well, and less is worse.
fn status(has_credential: bool, quarantined: bool, reading: &Reading) -> i32 {
    match reading.breaker {
        // Not before the operator acts.
        _ if !has_credential => -10,
        // Its adapter is out of service.
        _ if quarantined => -5,
        Breaker::Open => -3,
        // It asked to be left alone for a while.
        _ if !reading.back_off.is_zero() => -2,
        Breaker::HalfOpen => -1,
        Breaker::Closed => 0,
    }
}

/// Figures of all the models that clients name at a provider say nothing about one of them.
fn figures(endpoint: &Endpoint, now: Instant) -> Map<String, Value> {
    let own = (endpoint.label == endpoint.name).then_some(&endpoint.statistics);
    let summary = own.map(|it| it.summary(Window::ThirtyMinutes, now));
    let uptime = |window| percent(own.and_then(|it| it.uptime(window, now)));
    let mut figures = Map::new();
    let mut put = |key: &str, value: Value| figures.insert(key.to_owned(), value);
    put("uptime_last_5m", uptime(Window::FiveMinutes));
    put("uptime_last_30m", uptime(Window::ThirtyMinutes));
    put("uptime_last_1d", percent(own.and_then(|it| it.uptime_of_a_day(now))));
    put("latency_last_30m", percentiles(summary.map(|it| it.ttft_ms)));
    put("throughput_last_30m", percentiles(summary.map(|it| it.throughput)));
    figures
}

/// `null` where nothing was observed.
fn percentiles(of: Option<Percentiles>) -> Value {
    of.filter(|it| it.count > 0).map_or(Value::Null, |it| {
        json!({
            "p50": rounded(it.p50),
            "p75": rounded(it.p75),
            "p90": rounded(it.p90),
            "p99": rounded(it.p99),
        })
    })
}

/// Of a share of 1.
fn percent(share: Option<f64>) -> Value {
    share.map(|share| rounded(share * 100.0)).into()
}

/// To thousandths: what is behind them is noise.
fn rounded(figure: f64) -> f64 {
    (figure * 1_000.0).round() / 1_000.0
}

/// US dollars for a token or a request.
fn pricing(price: Option<Price>) -> Map<String, Value> {
    let mut pricing = Map::new();
    let mut put = |key: &str, value: Value| pricing.insert(key.to_owned(), value);
    put("prompt", price.map(|price| per_token(price.input)).into());
    put("completion", price.map(|price| per_token(price.output)).into());
    let of_its_own = [
        ("input_cache_read", price.and_then(|price| price.cached_input).map(per_token)),
        ("input_cache_write", price.and_then(|price| price.cache_write).map(per_token)),
        ("request", price.and_then(|price| price.request).map(|dollars| dollars.to_string())),
    ];
    for (key, dollars) in of_its_own {
        if let Some(dollars) = dollars {
            put(key, dollars.into());
        }
    }
    pricing
}

/// A millionth, by moving the point: a division would give digits that nobody wrote.
fn per_token(per_million: f64) -> String {
    /// As many as a million has.
    const ZEROS: usize = 6;
    // The shortest that reads as the same number, and never with an exponent.
    let written = per_million.to_string();
    let (whole, fraction) = written.split_once('.').unwrap_or((&written, ""));
    let whole = format!("{whole:0>width$}", width = ZEROS + 1);
    let moved = whole.split_at_checked(whole.len() - ZEROS);
    let (dollars, millionths) = moved.unwrap_or((&whole, ""));
    let text = format!("{dollars}.{millionths}{fraction}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
