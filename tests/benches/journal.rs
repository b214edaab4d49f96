//! What the journal costs: gateways of one binary that differ in `[journal]` alone, asked side
//! by side in one run.
//!
//! `cargo bench -p torana-tests --bench journal` prints a table with the target beside it;
//! nothing is asserted about time. Added latency and lost throughput are taken within each
//! round; the table has their medians. With many connections on few cores a call waits for
//! the others, and its latency says no more than the throughput: the target for the median
//! holds for one connection, that for the throughput for all. `TORANA_BENCH_ROUNDS` (default
//! 20) sets how often the gateways take turns.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use torana_tests::eventually::eventually;
use torana_tests::gateway::{Config, Gateway};
use torana_tests::openai;
use torana_tests::provider::Provider;
use torana_tests::turns::{self, Series};

const CONNECTIONS: [usize; 2] = [1, 32];

const STORE: &str = "[sinks.store]\nplugin = \"sink-sqlite\"\nsettings = { path = \"torana.db\" }";

/// What it may cost: this share of the throughput, and this much of the median.
const TARGET_SHARE: f64 = 0.1;
const TARGET_ADDED_US: f64 = 50.0;

/// A way to keep records.
struct Kept {
    name: &'static str,
    /// Keys of `[journal]`.
    journal: &'static str,
    sinks: &'static str,
}

/// The first is what the others are compared to.
const KEPT: [Kept; 5] = [
    Kept { name: "nothing", journal: "content = \"none\"", sinks: "" },
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
        "target: at most {:.0} % of the throughput and {TARGET_ADDED_US} µs of the median, \
         against {}\n",
        TARGET_SHARE * 100.0,
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

/// Every one once a round, for a number that is prime; over the rounds each follows each other
/// as often, since a turn may leave work behind.
fn order(count: usize, round: usize) -> impl Iterator<Item = usize> {
    let stride = 1 + round % (count - 1);
    (0..count).map(move |place| (round / (count - 1) + place * stride) % count)
}

/// What a store still does belongs to no turn.
fn wait_for_store(gateway: &Gateway) {
    let lag = "torana_sink_lag_rows{sink=\"store\"}";
    eventually("the store has all rows", || (gateway.metric(lag) == Some(0)).then_some(()));
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
        for place in order(gateways.len(), round) {
            let turn = turns::take(gateways[place].address(), &request, connections);
            if !KEPT[place].sinks.is_empty() {
                wait_for_store(&gateways[place]);
            }
            if round > 0 {
                series[place].add(turn);
            }
        }
    }
    for (kept, one) in KEPT.iter().zip(&series) {
        let added = one.added_seconds(&series[0]) * 1e6;
        let less = one.missing_share(&series[0]);
        let met = less <= TARGET_SHARE && (connections > 1 || added <= TARGET_ADDED_US);
        println!(
            "| {} | {connections} | {} | {} µs | {added:.0} µs | {:.0} | {:.1} % | {} |",
            if streams { "stream" } else { "whole" },
            kept.name,
            one.quantile(0.5).as_micros(),
            one.requests_per_second(),
            less * 100.0,
            if met { "met" } else { "missed" },
        );
    }
}
