//! Nothing that a client was told is lost: under `kill -9`, on disks that fail at any write,
//! with sinks that are down, over damaged files.
//!
//! The rule, everywhere: a call whose last byte its client had is in the store with all its
//! attempts, each row once, after whatever happened and a restart.

mod backlog;
mod bad_stores;
mod damage;
mod faults;
mod kills;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use torana_tests::eventually::{DEADLINE, within};
use torana_tests::gateway::{Config, Folder, Gateway};
use torana_tests::openai;
use torana_tests::provider::{Asked, Provider};
use torana_tests::script::Script;
use torana_tests::store::{Store, line_ids};
use torana_tests::witness::Answered;

use crate::setup::compatible;

/// A second sink beside [`crate::setup::SINK`], of another kind and at its own pace.
const LINES: &str = r#"
[sinks.lines]
plugin = "sink-jsonl"
settings = { path = "rows.jsonl" }
"#;

/// Gateways at a time: each spends half of its time waiting for the disk and for pauses.
const SIDE_BY_SIDE: usize = 4;

/// Of the calls for the model `unsteady`, every so many fail.
const UNSTEADY: usize = 5;

/// A provider that sometimes fails for the model `unsteady`.
fn provider() -> Provider {
    let turns = AtomicUsize::new(0);
    let provider = Provider::start(move |asked: &Asked| {
        let is_unsteady = asked.json()["model"] == "unsteady";
        if is_unsteady && turns.fetch_add(1, Ordering::Relaxed).is_multiple_of(UNSTEADY) {
            return Script::json(500, &openai::error("no luck", "server_error", "scripted"));
        }
        openai::respond(asked)
    });
    provider.stop_recording();
    provider
}

/// The model `calls`, without a sink. Some of its calls take two attempts.
fn without_sinks(provider: &Provider) -> Config {
    let tables = compatible("scripted", &provider.url(), "")
        + "[models.calls]\nendpoints = [\"scripted/unsteady\", \"scripted/steady\"]\n";
    Config::new(tables).top("default_router = \"priority\"")
}

/// Until every sink has every row of the journal.
fn settle(gateway: &Gateway) {
    within(3 * DEADLINE, "the sinks have every row", || has_every_row(gateway).then_some(()));
}

/// False as well where nobody answers.
fn has_every_row(gateway: &Gateway) -> bool {
    // A sink that the configuration does not have is not behind.
    lag(gateway, "store") == Some(0) && lag(gateway, "lines").is_none_or(|rows| rows == 0)
}

/// Rows of the journal that a sink has not acknowledged.
fn lag(gateway: &Gateway, sink: &str) -> Option<u64> {
    gateway.metric(&format!("torana_sink_lag_rows{{sink=\"{sink}\"}}"))
}

/// The rule, once the sinks have everything. Gives how often a line is there again.
#[track_caller]
fn expect_nothing_lost(folder: &Folder, answered: &[Answered], what: &str) -> usize {
    let store = Store::open(&folder.path("torana.db"));
    let missing = store.missing(answered);
    let some = missing.iter().take(5).collect::<Vec<_>>();
    let counts = format!("{} of {}", missing.len(), answered.len());
    assert!(missing.is_empty(), "{what}: {counts} calls are lost: {some:#?}");
    let lines = folder.path("rows.jsonl");
    if !lines.exists() {
        return 0;
    }
    let lines = line_ids(&lines);
    let distinct: BTreeSet<String> = lines.iter().cloned().collect();
    assert!(distinct == store.ids(), "{what}: the sinks have the same rows");
    lines.len() - distinct.len()
}

/// Does work of many numbers, some at a time.
fn side_by_side(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
                numbers.take_while(|number| *number < count).for_each(&work);
            });
        }
    });
}
