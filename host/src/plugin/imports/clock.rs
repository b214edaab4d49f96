//! `torana:host/clock`: the time of day and a stopwatch.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::GuestState;
use crate::plugin::bindings::host::torana::host::clock::Host;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Host for GuestState {
    fn now_unix_ms(&mut self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic_ns(&mut self) -> u64 {
        u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
