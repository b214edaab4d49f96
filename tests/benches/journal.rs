//! What the journal costs: gateways of one binary that differ in `[journal]` alone, asked side
//! by side in one run.
//!
//! `cargo bench -p torana-tests --bench journal` prints a table with the target beside it;
//! nothing is asserted about time. `TORANA_BENCH_ROUNDS` (default 20) sets how often the
//! gateways take turns.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::time::Duration;

use torana_tests::gateway::{Config, Gateway};
use torana_tests::openai;
use torana_tests::provider::Provider;
use torana_tests::turns::{self, Series};

const CONNECTIONS: [usize; 2] = [1, 32];

const STORE: &str = "[sinks.store]\nplugin = \"sink-sqlite\"\nsettings = { path = \"torana.db\" }";

/// What it may cost: this share of the throughput, and this much of the median.
const TARGET_SHARE: f64 = 0.1;
const TARGET_ADDED: Duration = Duration::from_micros(50);

/// A way to keep records.
struct Kept {
    name: &'static str,
    /// Keys of `[journal]`.
    journal: &'static str,
    sinks: &'static str,
}

/// The first is what the others are compared to.
const KEPT: [Kept; 4] = [
    Kept { name: "metadata", journal: "content = \"metadata\"", sinks: "" },
    Kept { name: "full", journal: "content = \"full\"", sinks: "" },
    Kept { name: "full, with a store", journal: "content = \"full\"", sinks: STORE },
    Kept { name: "full, sync = always", journal: "sync = \"always\"", sinks: "" },
];

fn main() {
    // `cargo test --all-targets` starts benches too, without this argument.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let provider = Provider::start(openai::respond);
    provider.stop_recording();
    let gateways: Vec<Gateway> =
        KEPT.iter().map(|kept| Gateway::start(&config(kept, &provider))).collect();
    println!(
        "target: at most {:.0} % of the throughput and {} µs of the median, against {}\n",
        TARGET_SHARE * 100.0,
        TARGET_ADDED.as_micros(),
        KEPT[0].name
    );
    println!("| request | connections | kept | median | added | requests/s | less | target |");
    println!("|---|---|---|---|---|---|---|---|");
    for streams in [false, true] {
        for connections in CONNECTIONS {
            measure(&gateways, streams, connections);
        }
    }
}

fn config(kept: &Kept, provider: &Provider) -> Config {
    let Kept { journal, sinks, .. } = kept;
    let url = provider.url();
    Config::new(format!(
        "[journal]\n{journal}\n\
         [providers.scripted]\npreset = \"openai-compatible\"\nbase_url = \"{url}\"\n\
         [models.m]\nendpoints = [\"scripted/m\"]\n{sinks}\n"
    ))
}

fn measure(gateways: &[Gateway], streams: bool, connections: usize) {
    let body = if streams { openai::streaming_chat("m") } else { openai::chat("m") };
    let request = openai::completion(&body);
    let mut series: Vec<Series> = gateways.iter().map(|_| Series::default()).collect();
    // The first round warms connections, pools and caches, and is thrown away.
    for round in 0..=turns::rounds() {
        for (gateway, series) in gateways.iter().zip(&mut series) {
            let turn = turns::take(gateway.address(), &request, connections);
            if round > 0 {
                series.add(turn);
            }
        }
    }
    let (base, base_rate) = (series[0].quantile(0.5), series[0].requests_per_second());
    for (kept, series) in KEPT.iter().zip(&mut series) {
        let (median, rate) = (series.quantile(0.5), series.requests_per_second());
        let added = median.saturating_sub(base);
        let less = 1.0 - rate / base_rate;
        let met = added <= TARGET_ADDED && less <= TARGET_SHARE;
        println!(
            "| {} | {connections} | {} | {} µs | {} µs | {rate:.0} | {:.1} % | {} |",
            if streams { "stream" } else { "whole" },
            kept.name,
            median.as_micros(),
            added.as_micros(),
            less * 100.0,
            if met { "met" } else { "missed" },
        );
    }
}
