//! `GET /status`: what runs, since which snapshot, and how it does.

use std::time::Instant;

use serde_json::{Value, json};
use torana_routing::statistics::{Percentiles, Window};

use crate::gateway::Gateway;
use crate::snapshot::{Endpoint, Model, Snapshot};

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
        "sinks": gateway.deliveries.status(),
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
    let now = Instant::now();
    let endpoints: Vec<Value> = model
        .endpoints
        .iter()
        .map(|endpoint| {
            let reading = endpoint.statistics.read(now);
            json!({
                "name": &*endpoint.name,
                "breaker": reading.breaker,
                "samples": reading.samples,
                "in_flight": reading.in_flight,
                "learned_cap": reading.learned_cap,
                "back_off_ms": reading.back_off.as_millis(),
                "oldest_outstanding_ms": reading.oldest_outstanding.as_millis(),
                "ttft_fast_ms": reading.ttft_fast_ms,
                "ttft_slow_ms": reading.ttft_slow_ms,
                "total_fast_ms": reading.total_fast_ms,
                "total_slow_ms": reading.total_slow_ms,
                "output_tokens": reading.output_tokens,
                "tokens_per_second": reading.throughput,
                "error_rate_fast": reading.error_rate_fast,
                "error_rate": reading.error_rate,
                "rate_limited_rate": reading.rate_limited_rate,
                "timeout_rate": reading.timeout_rate,
                "tool_calls": reading.tool_calls,
                "tool_call_error_rate": reading.tool_call_error_rate,
                "last_5m": window(endpoint, Window::FiveMinutes, now),
                "last_30m": window(endpoint, Window::ThirtyMinutes, now),
            })
        })
        .collect();
    json!({
        "router": model.policy.as_ref().map(|policy| policy.router.as_str()),
        "endpoints": endpoints,
    })
}

fn window(endpoint: &Endpoint, window: Window, now: Instant) -> Value {
    let summary = endpoint.statistics.summary(window, now);
    let percentiles = |of: &Percentiles| json!({ "p50": of.p50, "p75": of.p75, "p90": of.p90, "p95": of.p95, "p99": of.p99 });
    json!({
        "ttft_ms": percentiles(&summary.ttft_ms),
        "total_ms": percentiles(&summary.total_ms),
        "tokens_per_second": percentiles(&summary.throughput),
        "succeeded": summary.succeeded,
        "failed": summary.failed,
        "rate_limited": summary.rate_limited,
        "cost_usd": summary.cost_usd,
        "uptime": endpoint.statistics.uptime(window, now),
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
    let recovery = gateway.journal.recovery();
    let consumers: Vec<Value> = stats
        .consumers
        .iter()
        .map(|consumer| {
            json!({
                "sink": consumer.name,
                "lag_rows": consumer.lag_rows,
                "lag_bytes": consumer.lag_bytes,
                "oldest_row_ms": consumer.oldest_row_age.as_millis(),
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
        "read_errors": stats.read_errors,
        "damaged_reads": stats.damaged_reads,
        "clock_steps_back": stats.clock_steps_back,
        "recovery": {
            "records": recovery.records,
            "rows": recovery.rows,
            "damaged_records": recovery.damaged,
            "damaged_bytes": recovery.bytes_lost,
            "damaged_rows": recovery.rows_lost,
        },
        "sinks": consumers,
    })
}
