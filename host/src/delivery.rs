//! Takes the journal's rows to the sinks, and asks sinks for what they stored.
//!
//! Each sink has its own consumer of the journal, its own task and its own pace: a slow or
//! dead one costs disk up to the journal's bound, never memory and never latency. A batch is
//! repeated until it is acknowledged; rows that a sink can never take go to a dead-letter
//! file with the reason. A reload that leaves a sink as it is does not touch its task.
//!
//! `target.rs` is a sink as others know it, `courier.rs` the task of one, `selection.rs` the
//! rules by which rows go, `offers.rs` what is done until a sink takes them, `bisection.rs`
//! finds the row that a sink dies of, `dead_letters.rs` keeps what no try can deliver,
//! `health.rs` tells how it goes.

mod bisection;
mod courier;
mod dead_letters;
mod health;
mod offers;
mod selection;
mod target;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::journal::Journal;
use crate::metrics::SinkMetrics;
use crate::shutdown::{Task, Tasks};
use crate::snapshot::SinkIdentity;
use courier::{Courier, Order};
use dead_letters::DeadLetters;
use health::Health;
use selection::Selection;

pub use health::{LastError, SinkStatus};
pub use target::{ReadError, SinkTarget};

/// Where rows go that a sink can never take.
#[derive(Debug, Clone)]
pub struct DeadLetterOptions {
    pub folder: PathBuf,
    /// Of each sink.
    pub bytes: u64,
}

/// The running deliveries, by sink name.
pub struct Deliveries {
    journal: Arc<Journal>,
    tasks: Tasks,
    dead_letters: DeadLetterOptions,
    metrics: SinkMetrics,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: BTreeMap<String, Running>,
    /// No longer configured, with a batch in hand: whoever comes under the name waits for it.
    leaving: BTreeMap<String, Running>,
}

struct Running {
    target: Arc<SinkTarget>,
    health: Arc<Health>,
    orders: watch::Sender<Order>,
    task: Task,
}

impl Deliveries {
    pub fn new(
        journal: Arc<Journal>,
        tasks: Tasks,
        dead_letters: DeadLetterOptions,
        metrics: SinkMetrics,
    ) -> Self {
        Self { journal, tasks, dead_letters, metrics, state: Mutex::default() }
    }

    /// A running sink that is the same in everything that matters.
    pub fn running(&self, identity: &SinkIdentity) -> Option<Arc<SinkTarget>> {
        let state = self.lock();
        let found = state.running.get(&identity.name);
        let found = found.filter(|found| found.target.identity == *identity);
        found.map(|found| found.target.clone())
    }

    /// Makes the running deliveries those of a new snapshot. A replaced sink finishes its
    /// batch before its successor starts from where it stopped.
    pub fn apply(&self, targets: &[Arc<SinkTarget>]) {
        let names: Vec<&str> = targets.iter().map(|target| target.identity.name.as_str()).collect();
        let mut state = self.lock();
        let mut before = std::mem::take(&mut state.running);
        for target in targets {
            let name = &target.identity.name;
            let old = before.remove(name);
            let kept = old.as_ref().is_some_and(|old| Arc::ptr_eq(&old.target, target));
            let next = match old {
                Some(old) if kept => old,
                old => self.start(target.clone(), old.or_else(|| state.leaving.remove(name))),
            };
            state.running.insert(name.clone(), next);
        }
        for (name, gone) in before {
            gone.orders.send_replace(Order::Leave);
            self.metrics.forget(&name);
            state.leaving.insert(name, gone);
        }
        state.leaving.retain(|_, gone| !gone.task.is_over());
        drop(state);
        self.journal.retain_consumers(&names);
    }

    /// Ends all deliveries. Those that get on take what is in the journal, within a bound;
    /// what is left is delivered after the next start.
    pub async fn stop(&self) {
        let state = std::mem::take(&mut *self.lock());
        for delivery in state.running.values() {
            delivery.orders.send_replace(Order::Drain);
        }
        for delivery in state.running.into_values().chain(state.leaving.into_values()) {
            delivery.task.ended().await;
        }
    }

    /// How the sinks are doing.
    pub fn status(&self) -> Vec<SinkStatus> {
        let consumers = self.journal.stats().consumers;
        let state = self.lock();
        let status = |(name, delivery): (&String, &Running)| {
            let plugin = &delivery.target.sink.plugin().name;
            let mut status = delivery.health.status(plugin);
            if let Some(consumer) = consumers.iter().find(|consumer| consumer.name == *name) {
                status.lag_rows = consumer.lag_rows;
                status.lag_bytes = consumer.lag_bytes;
                status.lost_rows = consumer.lost_rows;
            }
            status
        };
        state.running.iter().map(status).collect()
    }

    fn start(&self, target: Arc<SinkTarget>, old: Option<Running>) -> Running {
        let name = &target.identity.name;
        let (orders, order) = watch::channel(Order::Run);
        let health = Arc::new(Health::new(name, self.metrics.of(name)));
        let DeadLetterOptions { folder, bytes } = &self.dead_letters;
        let courier = Courier::new(
            target.clone(),
            self.journal.clone(),
            health.clone(),
            Selection::new(&target.identity.rows),
            DeadLetters::new(folder, name, *bytes),
            order,
        );
        let task = self.tasks.spawn("delivery", async move {
            if let Some(old) = old {
                old.orders.send_replace(Order::Leave);
                old.task.ended().await;
            }
            courier.run().await;
        });
        Running { target, health, orders, task }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
