//! `GET /status`: what runs, since which snapshot, and how it does.

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::routing::breaker;
use crate::snapshot::{Model, Snapshot};

/// Version, snapshot, plugins, models, sinks and journal as one JSON object.
pub(super) fn status(gateway: &Gateway) -> Value {
    let snapshot = gateway.snapshot();
    let last_reload = match gateway.last_reload() {
        Ok(generation) => json!({ "accepted": true, "generation": generation }),
        Err(problems) => {
            json!({ "accepted": false, "problems": problems.lines().collect::<Vec<_>>() })
        }
    };
    let models: serde_json::Map<String, Value> =
        snapshot.models.iter().map(|(name, settings)| (name.clone(), model(settings))).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "generation": snapshot.generation,
        "snapshot": snapshot.hash,
        "last_reload": last_reload,
        "plugins": plugins(gateway, &snapshot),
        "providers": providers(&snapshot),
        "models": models,
        "functions": functions(&snapshot),
        "journal": journal(gateway),
        "notices": snapshot.config.notices.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn plugins(gateway: &Gateway, snapshot: &Snapshot) -> Vec<Value> {
    let accounts: std::collections::BTreeMap<_, _> =
        gateway.catalog.accounts().into_iter().collect();
    snapshot
        .plugins
        .iter()
        .map(|plugin| {
            let state = if plugin.quarantine.is_closed() { "quarantined" } else { "running" };
            json!({
                "name": &*plugin.name,
                "kind": plugin.kind.as_str(),
                "digest": plugin.digest.to_string(),
                "bytes": plugin.size,
                "state": state,
                "account": accounts.get(&*plugin.name),
            })
        })
        .collect()
}

fn providers(snapshot: &Snapshot) -> serde_json::Map<String, Value> {
    let provider = |provider: &crate::snapshot::Provider| {
        json!({
            "plugin": provider.config.plugin,
            "base_url": provider.config.base_url.as_ref().map(ToString::to_string),
            "credential": if provider.is_unlit() { "missing" } else { "ok" },
        })
    };
    snapshot.providers.iter().map(|(name, settings)| (name.clone(), provider(settings))).collect()
}

fn model(model: &Model) -> Value {
    let endpoints: Vec<Value> = model
        .endpoints
        .iter()
        .map(|endpoint| {
            let reading = endpoint.statistics.read();
            json!({
                "name": &*endpoint.name,
                "breaker": match reading.breaker {
                    breaker::State::Closed => "closed",
                    breaker::State::HalfOpen => "half_open",
                    breaker::State::Open => "open",
                },
                "samples": reading.samples,
                "in_flight": reading.in_flight,
                "ttft_p50_ms": reading.ttft_p50_ms,
                "ttft_p95_ms": reading.ttft_p95_ms,
                "tokens_per_second": reading.throughput,
                "error_rate": reading.error_rate,
            })
        })
        .collect();
    json!({
        "router": model.policy.as_ref().map(|policy| policy.router.as_str()),
        "endpoints": endpoints,
    })
}

fn functions(snapshot: &Snapshot) -> serde_json::Map<String, Value> {
    let entry = |function: &crate::snapshot::Function| {
        let mut before = 0.0;
        let shares: serde_json::Map<String, Value> = function
            .shares
            .iter()
            .map(|(variant, end)| {
                let share = end - before;
                before = *end;
                (variant.clone(), json!(share))
            })
            .collect();
        json!({ "shares": shares, "reason": function.reason })
    };
    snapshot.functions.iter().map(|(name, function)| (name.clone(), entry(function))).collect()
}

fn journal(gateway: &Gateway) -> Value {
    let stats = gateway.journal.stats();
    let consumers: Vec<Value> = stats
        .consumers
        .iter()
        .map(|consumer| {
            json!({
                "sink": consumer.name,
                "lag_rows": consumer.lag_rows,
                "lag_bytes": consumer.lag_bytes,
                "lost_rows": consumer.lost_rows,
            })
        })
        .collect();
    json!({
        "bytes": stats.bytes,
        "segments": stats.segments,
        "rows": stats.appended_rows,
        "dropped_rows": stats.dropped_rows,
        "write_errors": stats.write_errors,
        "sinks": consumers,
    })
}
