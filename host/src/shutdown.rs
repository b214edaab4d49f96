//! Every task of the process, and the way they end.
//!
//! SIGTERM or SIGINT: stop accepting, let running requests finish within the drain time,
//! flush the sinks, exit 0. A second signal exits at once with 130.

use std::future::Future;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where tasks are started, so that none is forgotten at the end. The only place in the host
/// that may spawn (see `clippy.toml`).
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    /// Calls that go on without their connection.
    detached: TaskTracker,
    stopping: CancellationToken,
    abandoned: CancellationToken,
}

/// A started task.
#[derive(Debug)]
pub struct Task {
    ended: watch::Receiver<()>,
}

impl Task {
    pub fn is_over(&self) -> bool {
        self.ended.has_changed().is_err()
    }

    /// Returns when the task is over, however it ended.
    pub async fn ended(mut self) {
        while self.ended.changed().await.is_ok() {}
    }
}

impl Tasks {
    /// Runs `future` beside everything else. `name` is for the log of its failure.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> Task
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (ending, ended) = watch::channel(());
        self.tracker.spawn(async move {
            // Dropped at the end, also when the future panics.
            let _ending = ending;
            future.await;
            tracing::trace!(task = name, "task ended");
        });
        Task { ended }
    }

    /// Runs a call that goes on when its client goes away; it gets the drain time too.
    pub fn spawn_detached<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let detached = self.detached.token();
        self.spawn(name, async move {
            let _detached = detached;
            future.await;
        });
    }

    /// Waits until no detached call is left.
    pub async fn detached_ended(&self) {
        self.detached.close();
        self.detached.wait().await;
    }

    /// Set once the process is to end.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Set once the drain time is over: connections end with whatever they are at, so that
    /// their records are still written.
    pub fn abandoned(&self) -> &CancellationToken {
        &self.abandoned
    }

    /// Waits until every task is over.
    pub async fn all_ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// The signals the process listens to.
pub struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Stop,
    Reload,
}

impl Signals {
    #[cfg(unix)]
    pub fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    #[cfg(not(unix))]
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {})
    }

    /// The next signal. Cancel safe.
    #[cfg(unix)]
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }

    #[cfg(not(unix))]
    pub async fn next(&mut self) -> Signal {
        drop(tokio::signal::ctrl_c().await);
        Signal::Stop
    }
}
