//! One call into a guest: admitted, bounded, timed, counted, and its failure understood.

use std::time::{Duration, Instant};

use wasmtime::{PoolConcurrencyLimitError, Trap};

use super::budget::{self, CpuExhausted};
use super::events::Happening;
use super::instance::Instance;
use super::{Kind, LoadedPlugin};

/// Why a guest call gave no answer. The plugin is named by whoever reports it.
#[derive(Debug, thiserror::Error)]
pub enum CallFailure {
    #[error("it used more CPU than one call may ({} ms)", .0.as_millis())]
    Cpu(Duration),
    #[error("it did not answer within {} ms; its limits.io_ms bounds it", .0.as_millis())]
    Timeout(Duration),
    #[error("it wanted more memory than it may have ({} MiB)", .0 >> 20)]
    Memory(usize),
    #[error("it recursed too deeply")]
    Stack,
    #[error("it handed over more bytes than one call may ({} KiB)", .0 >> 10)]
    ResultSize(usize),
    /// Told without the backtrace: it says where in the guest, which is for its author.
    #[error("it trapped: {}", .0.root_cause())]
    Trap(wasmtime::Error),
    #[error("all plugin instances are in use; raise plugin_host.instances")]
    NoInstance,
    #[error("it is in quarantine after repeated failures")]
    Quarantined,
    #[error("its instance was lost by a failure before this call")]
    Spent,
    #[error("it refused settings that it had taken before")]
    Fickle,
}

impl CallFailure {
    /// A word for rows and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Cpu(_) => "cpu",
            Self::Timeout(_) => "timeout",
            Self::Memory(_) => "memory",
            Self::Stack => "stack",
            Self::ResultSize(_) => "result_size",
            Self::Trap(_) => "trap",
            Self::NoInstance => "no_instance",
            Self::Quarantined => "quarantined",
            Self::Spent => "spent",
            Self::Fickle => "fickle",
        }
    }

    /// A call that was ended, as opposed to one that never began.
    pub fn is_kill(&self) -> bool {
        !matches!(self, Self::NoInstance | Self::Quarantined | Self::Spent | Self::Fickle)
    }
}

/// What a call is for. Only work that succeeds ends a quarantine: a plugin that traps in
/// `route` still answers `prepare`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// `describe`, `prepare`, `open`, and the making and dropping of resources.
    SetUp,
    Work,
}

impl LoadedPlugin {
    /// Whether the plugin takes calls now.
    pub(super) fn admit(&self) -> Result<(), CallFailure> {
        if self.quarantine.admits(Instant::now()) { Ok(()) } else { Err(CallFailure::Quarantined) }
    }

    /// Runs `call` inside the instance. After a failure the instance is spent.
    pub(super) fn call<B, R>(
        &self,
        purpose: Purpose,
        instance: &mut Instance<B>,
        call: impl FnOnce(&mut Instance<B>) -> wasmtime::Result<R>,
    ) -> Result<R, CallFailure> {
        self.begin(purpose, instance);
        let started = Instant::now();
        let result = call(instance);
        self.settle(purpose, instance, started.elapsed(), result)
    }

    /// The same for the I/O engine, bounded by wall clock. Dropping the future spends the
    /// instance.
    pub(super) async fn call_async<B, R>(
        &self,
        purpose: Purpose,
        instance: &mut Instance<B>,
        call: impl AsyncFnOnce(&mut Instance<B>) -> wasmtime::Result<R>,
    ) -> Result<R, CallFailure> {
        self.begin(purpose, instance);
        instance.spent = true;
        instance.store.data_mut().call_ends = Instant::now() + self.limits.io;
        let mut busy = Duration::ZERO;
        let called = tokio::time::timeout(self.limits.io, timed(&mut busy, call(instance))).await;
        match called {
            Ok(result) => {
                instance.spent = false;
                self.settle(purpose, instance, busy, result)
            }
            Err(_) => {
                self.accounting.call(busy, instance.memory_used());
                Err(self.killed(CallFailure::Timeout(self.limits.io)))
            }
        }
    }

    fn begin<B>(&self, purpose: Purpose, instance: &mut Instance<B>) {
        budget::start_call(&mut instance.store);
        let sees_calls = matches!(self.kind, Kind::Provider | Kind::Sink);
        if sees_calls && purpose == Purpose::Work {
            instance.store.data_mut().holds_content();
        }
    }

    fn settle<B, R>(
        &self,
        purpose: Purpose,
        instance: &mut Instance<B>,
        busy: Duration,
        result: wasmtime::Result<R>,
    ) -> Result<R, CallFailure> {
        instance.calls += 1;
        self.accounting.call(busy, instance.memory_used());
        match result {
            Ok(value) => {
                if purpose == Purpose::Work && self.quarantine.succeeded() {
                    tracing::info!(plugin = %self.name, "plugin left quarantine");
                    self.events.tell(Happening::Released("probe"), Instant::now());
                }
                Ok(value)
            }
            Err(error) => {
                instance.spent = true;
                let refused = instance.store.data().budget.memory_refused;
                Err(self.killed(self.understand(error, refused)))
            }
        }
    }

    /// A reload ends quarantine.
    pub fn release(&self) {
        if self.quarantine.reset() {
            self.events.tell(Happening::Released("reload"), Instant::now());
        }
    }

    /// Turns wasmtime's error into a cause, counts it, and closes the door if it is due.
    pub(super) fn failed(&self, error: wasmtime::Error) -> CallFailure {
        self.killed(self.understand(error, false))
    }

    pub(super) fn killed(&self, failure: CallFailure) -> CallFailure {
        if failure.is_kill() {
            self.accounting.kill(failure.as_str());
            tracing::warn!(plugin = %self.name, cause = failure.as_str(), "plugin call killed: {failure}");
            if let CallFailure::Trap(error) = &failure {
                tracing::debug!(plugin = %self.name, "{error:?}");
            }
            let now = Instant::now();
            self.events.tell(Happening::Killed(failure.as_str()), now);
            if self.quarantine.killed(now) {
                self.events.tell(Happening::Quarantined(failure.as_str()), now);
                tracing::error!(plugin = %self.name, "plugin is in quarantine; a reload or a successful probe ends it");
            }
        }
        failure
    }

    fn understand(&self, error: wasmtime::Error, memory_refused: bool) -> CallFailure {
        if error.downcast_ref::<CpuExhausted>().is_some() {
            return CallFailure::Cpu(self.limits.cpu);
        }
        if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
            return CallFailure::NoInstance;
        }
        if memory_refused {
            return CallFailure::Memory(self.limits.memory_bytes);
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => CallFailure::Stack,
            Some(_) => CallFailure::Trap(error),
            // wasmtime has no type for a spent host call budget; nothing else speaks of it.
            None if format!("{error:#}").contains("fuel allocated for hostcalls") => {
                CallFailure::ResultSize(self.limits.result_bytes)
            }
            None => CallFailure::Trap(error),
        }
    }
}

/// Adds up what the polls of a future take: its time without what it waits for.
async fn timed<F: Future>(busy: &mut Duration, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        let started = Instant::now();
        let polled = future.as_mut().poll(context);
        *busy += started.elapsed();
        polled
    })
    .await
}
