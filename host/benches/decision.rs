//! What a routing decision costs: reading the figures of the endpoints, and the call of the
//! policy's component, conversions and lock included.
//!
//! `cargo bench -p torana --bench decision` prints a table; nothing is asserted about time.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints its figures")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use torana::bundled::PLUGINS;
use torana::config::{Plugin, PluginSource};
use torana::plugin::engine::Engines;
use torana::plugin::policy::Policy;
use torana::plugin::{Catalog, Kind};
use torana_routing::candidate;
use torana_routing::plan;
use torana_routing::policy::{Candidate, Endpoint, Facts};
use torana_routing::price::Price;
use torana_routing::statistics::{Ending, Reading, Statistics};

const DECISIONS: u64 = 20_000;

fn main() {
    // `cargo test --all-targets` starts benches too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let cache = tempfile::tempdir().unwrap();
    let catalog = Catalog::new(Engines::new(cache.path(), 8).unwrap(), PLUGINS);
    println!("| policy | endpoints | figures, median | policy, median | both, median | p99 |");
    println!("|---|---|---|---|---|---|");
    for name in ["priority", "weighted", "balanced", "latency", "adaptive"] {
        for endpoints in [5, 20] {
            measure(&catalog, name, endpoints);
        }
    }
}

fn measure(catalog: &Catalog, name: &str, count: u32) {
    let bundled = format!("router-{name}");
    let plugin = Plugin::ungranted(PluginSource::Bundled(bundled.clone()));
    let plugin = catalog.load(&bundled, &plugin, Kind::Router).unwrap();
    let endpoints = (0..count).map(endpoint).collect();
    let settings = serde_json::Map::new();
    let policy = Policy::prepare(plugin, &settings, endpoints, Arc::default()).unwrap();

    let start = Instant::now();
    let statistics: Vec<Arc<Statistics>> = (0..count).map(|it| busy(it, start)).collect();
    let price = Price { input: 1.0, output: 4.0, cached_input: Some(0.1), ..Price::default() };
    let (mut figures, mut calls, mut both) = (Vec::new(), Vec::new(), Vec::new());
    for seed in 0..DECISIONS {
        let facts = Facts {
            now_unix_ms: 1_767_225_600_000 + seed,
            seed,
            stream: true,
            input_tokens: 1_200,
            expected_output_tokens: 300,
            ..Facts::default()
        };
        let began = Instant::now();
        let readings: Vec<Reading> = statistics.iter().map(|it| it.read(began)).collect();
        let rows: Vec<Candidate> = (0..)
            .zip(&readings)
            .map(|(position, reading)| {
                candidate::row(position, true, reading, Some(&price), 0, &facts)
            })
            .collect();
        let read = Instant::now();
        let routed = policy.route(&facts, &rows).unwrap();
        black_box(plan::steps(&routed.plan, &rows, 0));
        let done = Instant::now();
        figures.push(read - began);
        calls.push(done - read);
        both.push(done - began);
    }
    println!(
        "| {name} | {count} | {:?} | {:?} | {:?} | {:?} |",
        percentile(&mut figures, 50),
        percentile(&mut calls, 50),
        percentile(&mut both, 50),
        percentile(&mut both, 99),
    );
}

fn endpoint(position: u32) -> Endpoint {
    Endpoint {
        name: format!("provider-{position}/model"),
        provider: format!("provider-{position}"),
        model: "model".to_owned(),
        weight: 1.0,
        price_input: Some(1.0 + f64::from(position)),
        price_output: Some(4.0 + f64::from(position)),
        price_cached_input: None,
        context_window: Some(128_000),
    }
}

/// An endpoint that has served, with three requests running.
fn busy(position: u32, start: Instant) -> Arc<Statistics> {
    let statistics = Arc::new(Statistics::new(start));
    for request in 0..200u64 {
        let at = start + Duration::from_millis(request * 10);
        let mut running = statistics.start(at);
        running.first_token(at + Duration::from_millis(300 + u64::from(position) * 20));
        let ending = Ending { output_tokens: 200, cost_usd: 1e-3, ..Ending::default() };
        running.finished(&ending, at + Duration::from_secs(3));
    }
    for _ in 0..3 {
        // They run for as long as the bench does.
        std::mem::forget(statistics.start(start + Duration::from_secs(2)));
    }
    statistics
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times.get(times.len() * percent / 100).copied().unwrap_or_default()
}
