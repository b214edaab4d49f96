//! What one instance may use: memory, tables, and CPU of one call.
//!
//! CPU is counted, not wall clock: on a busy machine the thread of an innocent guest may
//! stand still for longer than its whole budget. The epoch thread only wakes the check; the
//! check reads the thread's own CPU clock.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};

use super::engine::MAX_TABLE_ELEMENTS;
use super::imports::GuestState;
use crate::config::Limits;

/// Resource handles alive in one instance. A stream parser needs one; wit-bindgen guests a
/// handful.
const MAX_HANDLES: usize = 1_000;

/// A guest used the CPU for longer than one call may.
#[derive(Debug, thiserror::Error)]
#[error("the call used more CPU than its budget of {} ms", .0.as_millis())]
pub(super) struct CpuExhausted(pub(super) Duration);

/// The bounds on one store and what was used of them.
#[derive(Debug)]
pub(super) struct Budget {
    memory_limit: usize,
    memory_used: usize,
    /// The last refusal to grow: tells an out-of-memory trap from any other.
    pub(super) memory_refused: bool,
    cpu_limit: Duration,
    /// The thread's CPU clock at the first tick of the running call.
    cpu_since: Option<Duration>,
}

impl Budget {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            memory_limit: limits.memory_bytes,
            memory_used: 0,
            memory_refused: false,
            cpu_limit: limits.cpu,
            cpu_since: None,
        }
    }

    pub(super) fn memory_used(&self) -> usize {
        self.memory_used
    }
}

impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory_used.saturating_sub(current).saturating_add(desired);
        self.memory_refused = total > self.memory_limit;
        if !self.memory_refused {
            self.memory_used = total;
        }
        Ok(!self.memory_refused)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE_ELEMENTS)
    }
}

/// Puts a new store under its bounds. `yields`: the store belongs to the I/O engine, whose
/// calls are bounded by wall clock instead and only give way at each tick.
pub(super) fn install(store: &mut Store<GuestState>, limits: &Limits, yields: bool) {
    store.limiter(|state| &mut state.budget);
    store.set_hostcall_fuel(limits.result_bytes);
    store.set_max_component_handles(MAX_HANDLES);
    store.set_epoch_deadline(1);
    if yields {
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
    } else {
        store.epoch_deadline_callback(|mut context| {
            let budget = &mut context.data_mut().budget;
            let now = thread_cpu();
            let since = *budget.cpu_since.get_or_insert(now);
            if now.saturating_sub(since) >= budget.cpu_limit {
                return Err(CpuExhausted(budget.cpu_limit).into());
            }
            Ok(UpdateDeadline::Continue(1))
        });
    }
}

/// Starts the budget of one call.
pub(super) fn start_call(store: &mut Store<GuestState>) {
    let budget = &mut store.data_mut().budget;
    budget.cpu_since = None;
    budget.memory_refused = false;
    store.set_epoch_deadline(1);
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
