//! What the gateway adds: the same scripted provider asked directly and through it, side by
//! side in one run, so that a noisy machine is noisy for all.
//!
//! `cargo bench -p torana-tests` prints a table; nothing is asserted about time.
//! `TORANA_BENCH_ROUNDS` (default 20) sets how often the targets take turns.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::time::Instant;

use serde_json::Value;
use torana_tests::gateway::{Config, Gateway};
use torana_tests::openai;
use torana_tests::provider::Provider;
use torana_tests::turns::{self, Series};

const CONNECTIONS: [usize; 2] = [1, 32];

/// Whom the client asks, under which model.
const TARGETS: [&str; 3] = ["direct", "forwarded", "translated"];

fn main() {
    // `cargo test --all-targets` starts benches too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let rounds = turns::rounds();
    let provider = Provider::start(openai::respond);
    provider.stop_recording();
    drop(Gateway::start(&config(&provider)));
    let started = Instant::now();
    let gateway = Gateway::start(&config(&provider));
    println!("start with compiled plugins: {:?}", started.elapsed());
    println!("memory at rest: {} MiB\n", gateway.resident_bytes() >> 20);

    let before = gateway.status();
    println!("| request | connections | target | median | p99 | ratio | added | requests/s |");
    println!("|---|---|---|---|---|---|---|---|");
    for streams in [false, true] {
        for connections in CONNECTIONS {
            measure(&gateway, &provider, streams, connections, rounds);
        }
    }
    println!("\nmemory afterwards: {} MiB\n", gateway.resident_bytes() >> 20);
    print_guest_costs(&before, &gateway.status());
}

fn config(provider: &Provider) -> Config {
    let url = provider.url();
    Config::new(format!(
        "[providers.forwarded]\npreset = \"openai-compatible\"\nbase_url = \"{url}\"\n\
         [providers.translated]\npreset = \"openai-compatible\"\nbase_url = \"{url}\"\n\
         forward = false\n\
         [models.forwarded]\nendpoints = [\"forwarded/scripted\"]\n\
         [models.translated]\nendpoints = [\"translated/scripted\"]\n\
         [sinks.store]\nplugin = \"sink-sqlite\"\nsettings = {{ path = \"torana.db\" }}\n"
    ))
}

fn measure(
    gateway: &Gateway,
    provider: &Provider,
    streams: bool,
    connections: usize,
    rounds: usize,
) {
    let mut series: [Series; TARGETS.len()] = Default::default();
    // The first round warms connections, pools and caches, and is thrown away.
    for round in 0..=rounds {
        for (target, series) in TARGETS.iter().zip(&mut series) {
            let to = if *target == "direct" { provider.address() } else { gateway.address() };
            let body = if streams { openai::streaming_chat(target) } else { openai::chat(target) };
            let turn = turns::take(to, &openai::completion(&body), connections);
            if round > 0 {
                series.add(turn);
            }
        }
    }
    let base = series[0].quantile(0.5);
    for (target, series) in TARGETS.iter().zip(&series) {
        let (median, p99) = (series.quantile(0.5), series.quantile(0.99));
        println!(
            "| {} | {connections} | {target} | {} µs | {} µs | {:.2} | {} µs | {:.0} |",
            if streams { "stream" } else { "whole" },
            median.as_micros(),
            p99.as_micros(),
            median.as_secs_f64() / base.as_secs_f64(),
            median.saturating_sub(base).as_micros(),
            series.requests_per_second(),
        );
    }
}

fn print_guest_costs(before: &Value, after: &Value) {
    println!("| plugin | calls | time in a call |");
    println!("|---|---|---|");
    for plugin in after["plugins"].as_array().into_iter().flatten() {
        let count = |status: &Value, counter: &str| {
            let plugins = status["plugins"].as_array().into_iter().flatten();
            let found = plugins.into_iter().find(|it| it["name"] == plugin["name"]);
            found.and_then(|it| it["account"][counter].as_u64()).unwrap_or_default()
        };
        let calls = count(after, "calls") - count(before, "calls");
        let busy = count(after, "busy_us") - count(before, "busy_us");
        if calls > 0 {
            let name = plugin["name"].as_str().unwrap_or_default();
            println!("| {name} | {calls} | {:.2} µs |", busy as f64 / calls as f64);
        }
    }
}
