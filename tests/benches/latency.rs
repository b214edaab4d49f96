//! What the gateway adds: the same scripted provider asked directly and through it, side by
//! side in one run, so that a noisy machine is noisy for all.
//!
//! `cargo bench -p torana-tests` prints a table; nothing is asserted about time.
//! `TORANA_BENCH_ROUNDS` (default 20) sets how often the targets take turns.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints its figures")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use torana_tests::client::{Connection, Request};
use torana_tests::gateway::{Config, Gateway};
use torana_tests::openai;
use torana_tests::provider::Provider;

/// Requests of one target's turn, over all connections: short, so that turns are close.
const REQUESTS_A_TURN: usize = 192;

const CONNECTIONS: [usize; 2] = [1, 32];

/// Whom the client asks, under which model.
const TARGETS: [&str; 3] = ["direct", "forwarded", "translated"];

/// Latencies of one target, and how long all its turns took.
#[derive(Default)]
struct Series {
    latencies: Vec<Duration>,
    busy: Duration,
}

fn main() {
    // `cargo test --all-targets` starts benches too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let rounds = std::env::var("TORANA_BENCH_ROUNDS").ok().and_then(|it| it.parse().ok());
    let rounds: usize = rounds.unwrap_or(20);
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
            let started = Instant::now();
            let latencies = turn(to, &openai::completion(&body), connections);
            if round > 0 {
                series.busy += started.elapsed();
                series.latencies.extend(latencies);
            }
        }
    }
    for series in &mut series {
        series.latencies.sort_unstable();
    }
    let base = quantile(&series[0].latencies, 0.5);
    for (target, series) in TARGETS.iter().zip(&series) {
        let (median, p99) = (quantile(&series.latencies, 0.5), quantile(&series.latencies, 0.99));
        println!(
            "| {} | {connections} | {target} | {} µs | {} µs | {:.2} | {} µs | {:.0} |",
            if streams { "stream" } else { "whole" },
            median.as_micros(),
            p99.as_micros(),
            median.as_secs_f64() / base.as_secs_f64(),
            median.saturating_sub(base).as_micros(),
            series.latencies.len() as f64 / series.busy.as_secs_f64(),
        );
    }
}

/// One turn: every connection asks its share of requests, one after the other.
fn turn(to: SocketAddr, request: &Request, connections: usize) -> Vec<Duration> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|_| scope.spawn(|| worker(to, request, REQUESTS_A_TURN / connections)))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

fn worker(to: SocketAddr, request: &Request, requests: usize) -> Vec<Duration> {
    let mut connection = Connection::open(to).unwrap();
    let ask = |_| {
        let started = Instant::now();
        let reply = connection.send(request).unwrap();
        let latency = started.elapsed();
        drop(reply.expect(200));
        latency
    };
    (0..requests).map(ask).collect()
}

fn quantile(sorted: &[Duration], quantile: f64) -> Duration {
    let position = (sorted.len().saturating_sub(1)) as f64 * quantile;
    sorted.get(position as usize).copied().unwrap_or_default()
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
