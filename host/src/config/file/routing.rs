//! `[routing]`: what all requests together may try, and how much is remembered of them.

use super::super::Routing;
use super::super::reader::Table;
use torana_routing::budget;

/// An endpoint that hangs costs its time-out: after four a client has better things to do.
const MAX_ATTEMPTS: u64 = 4;

/// Conversations whose endpoint is remembered: some megabytes.
const AFFINITY_SESSIONS: u64 = 50_000;
const MOST_SESSIONS: u64 = 10_000_000;

/// Providers keep a prompt for five minutes after its last use, at the least.
const AFFINITY_TTL_MS: u64 = 300_000;

/// Providers that keep prompts longest do so for a day.
const LONGEST_TTL_MS: u64 = 86_400_000;

pub(super) fn read_routing(table: &Table<'_>) -> Routing {
    let default = budget::Settings::default();
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let percent = |key, default| table.number_or(key, 0.0..=100.0, default);
    Routing {
        max_attempts: count(table.integer_or("max_attempts", 1..=20, MAX_ATTEMPTS)),
        budgets: budget::Settings {
            retry_percent: percent("retry_percent", default.retry_percent),
            retries_per_second: table.number_or(
                "retries_per_second",
                0.0..=100_000.0,
                default.retries_per_second,
            ),
            hedge_percent: percent("hedge_percent", default.hedge_percent),
            hedge_burst: table.number_or("hedge_burst", 0.0..=10_000.0, default.hedge_burst),
        },
        affinity_sessions: count(table.integer_or(
            "affinity_sessions",
            0..=MOST_SESSIONS,
            AFFINITY_SESSIONS,
        )),
        affinity_ttl: table.milliseconds("affinity_ttl_ms", 0..=LONGEST_TTL_MS, AFFINITY_TTL_MS),
    }
}
