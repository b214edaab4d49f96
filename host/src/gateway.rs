//! The composition root: owns what outlives snapshots, and swaps snapshots.
//!
//! The current snapshot lives in one `ArcSwap`. A reload builds the next one aside, which
//! may fail and then changes nothing, and swaps it in, which cannot fail. One reload at a
//! time; requests never wait for one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use torana_routing::affinity::Affinity;
use torana_routing::budget::Budgets;
use torana_routing::policy::Outcome;
use torana_routing::statistics::{Ending, InFlight, Statistics};
use torana_wire::chat::Usage;
use torana_wire::error::CallErrorKind;

use crate::config::{self, Config, Problems, watch::Watcher};
use crate::delivery::{DeadLetterOptions, Deliveries};
use crate::error::chain;
use crate::journal::{self, AppendError, Journal, JournalError, Rows};
use crate::metrics::Metrics;
use crate::operation;
use crate::plugin::Catalog;
use crate::plugin::catalog::Bundled;
use crate::plugin::engine::{EngineError, Engines};
use crate::plugin::events::Events;
use crate::shutdown::Tasks;
use crate::snapshot::build::{self, BuildError, Surroundings};
use crate::snapshot::{Model, Snapshot};
use crate::upstream::credential::{Ambient, exchange};
use crate::upstream::pool::UpstreamPool;

/// How often policies are told what happened: soon enough to learn from a brown-out, rare
/// enough to be batches.
const OBSERVE_EVERY: Duration = Duration::from_millis(200);

/// What policies learned, by router and model.
type LearnedStates = BTreeMap<(String, String), Arc<[u8]>>;

/// Everything.
pub struct Gateway {
    current: ArcSwap<Snapshot>,
    pub catalog: Catalog,
    pub upstream: Arc<UpstreamPool>,
    ambient: Ambient,
    pub journal: Arc<Journal>,
    pub deliveries: Deliveries,
    pub metrics: Metrics,
    pub tasks: Tasks,
    config_path: String,
    bundled: &'static [Bundled],
    watcher: Watcher,
    /// By endpoint name: survives swaps.
    statistics: Mutex<BTreeMap<String, Arc<Statistics>>>,
    /// What policies learned, by router and model: survives swaps.
    learned: Mutex<LearnedStates>,
    /// Retries and hedges that all requests together may make.
    pub budgets: Budgets,
    /// Whose prompt cache likely holds a conversation.
    pub affinity: Affinity,
    /// Held while a reload runs.
    reloading: tokio::sync::Mutex<()>,
    /// What became of the last reload.
    last_reload: Mutex<Result<u64, String>>,
}

/// How one attempt ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ended {
    /// Absent: it worked.
    pub error: Option<CallErrorKind>,
    pub retry_after: Option<Duration>,
    pub ttft: Option<Duration>,
    pub usage: Option<Usage>,
    /// It was asked for an answer, not for a count of tokens.
    pub generates: bool,
}

/// Why the gateway could not start, or a reload was refused.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{0}")]
    Config(#[from] Problems),
    #[error("{0}")]
    Build(#[from] BuildError),
    #[error("plugins cannot be run")]
    Engine(#[from] EngineError),
    #[error("the journal cannot be opened")]
    Journal(#[from] JournalError),
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    #[error("the task that built the snapshot died")]
    Died(#[from] tokio::task::JoinError),
}

/// Reads the configuration from where the operator said, with the process environment.
pub fn load_config(path: &str, bundled: &[Bundled]) -> Result<Config, Problems> {
    let names: Vec<&str> = bundled.iter().map(|plugin| plugin.name).collect();
    config::load(path, &|name| std::env::var(name).ok(), &names, crate::bundled::CATALOG)
}

/// The identities that the process environment and the machine give.
pub fn ambient(upstream: &Arc<UpstreamPool>) -> Ambient {
    let exchange = exchange::over_pool(upstream.clone());
    Ambient::new(exchange::Surroundings::new(exchange, |name| std::env::var(name).ok()))
}

impl Gateway {
    /// Builds the first snapshot and everything around it. Opens no listener.
    pub async fn start(
        config_path: String,
        bundled: &'static [Bundled],
    ) -> Result<Arc<Self>, SetupError> {
        let watcher = Watcher::new(vec![config_path.clone().into()]);
        let config = load_config(&config_path, bundled)?;
        watcher.set_paths(config.watched.clone());
        report_notices(&config);
        let engines = Engines::new(&config.plugin_host.cache, config.plugin_host.instances)?;
        let journal = open_journal(&config.journal)?;
        let tasks = Tasks::default();
        let dead_letters = DeadLetterOptions {
            folder: config.journal.path.join("dead-letters"),
            bytes: config.journal.dead_letter_bytes,
        };
        let metrics = Metrics::new();
        let routing = &config.routing;
        let budgets = Budgets::new(&routing.budgets, Instant::now());
        let affinity = Affinity::new(routing.affinity_sessions, routing.affinity_ttl);
        let (events, told) = Events::channel();
        let catalog = Catalog::new(engines, bundled).telling(events);
        let deliveries =
            Deliveries::new(journal.clone(), tasks.clone(), dead_letters, metrics.sinks.clone());
        let statistics = Mutex::default();
        let runtime = tokio::runtime::Handle::current();
        let upstream = Arc::new(UpstreamPool::new()?);
        let ambient = ambient(&upstream);
        let for_first = ambient.clone();
        let (first, catalog, statistics) = tokio::task::spawn_blocking(move || {
            let surroundings = Surroundings {
                catalog: &catalog,
                statistics: &|name| statistics_of(&statistics, name),
                learned: &|_, _| Arc::default(),
                running_sink: &|_| None,
                runtime: &runtime,
                ambient: &for_first,
            };
            let first = build::build(config, 1, &surroundings);
            (first, catalog, statistics)
        })
        .await?;
        let first = Arc::new(first?);
        deliveries.apply(&first.sinks);
        let gateway = Arc::new(Self {
            current: ArcSwap::new(first),
            catalog,
            upstream,
            ambient,
            journal,
            deliveries,
            metrics,
            tasks,
            config_path,
            bundled,
            watcher,
            statistics,
            learned: Mutex::default(),
            budgets,
            affinity,
            reloading: tokio::sync::Mutex::default(),
            last_reload: Mutex::new(Ok(1)),
        });
        gateway.tasks.spawn("observe", observe_policies(gateway.clone()));
        let events = operation::write_plugin_events(gateway.clone(), told);
        gateway.tasks.spawn("plugin events", events);
        gateway.write(Rows::of(&[operation::snapshot_row(&gateway.snapshot())])).await;
        Ok(gateway)
    }

    /// The snapshot of now; a request asks once.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Builds a new snapshot from the files and swaps it in. On an error the running one
    /// stays, and the error says everything that is wrong.
    pub async fn reload(self: &Arc<Self>) -> Result<u64, SetupError> {
        let _one_at_a_time = self.reloading.lock().await;
        let result = self.build_next().await.map(|next| self.swap(next));
        if result.is_ok() {
            self.write(Rows::of(&[operation::snapshot_row(&self.snapshot())])).await;
        }
        self.metrics.reloaded(result.is_ok());
        let outcome = match &result {
            Ok(generation) => {
                tracing::info!(generation, "configuration reloaded");
                Ok(*generation)
            }
            Err(error) => {
                let error = chain(error);
                tracing::error!("reload refused, the running configuration stays:\n{error}");
                Err(error)
            }
        };
        *self.last_reload.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
        result
    }

    /// What became of the last reload: its generation, or why it was refused.
    pub fn last_reload(&self) -> Result<u64, String> {
        self.last_reload.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn build_next(self: &Arc<Self>) -> Result<Snapshot, SetupError> {
        let gateway = self.clone();
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            let config = load_config(&gateway.config_path, gateway.bundled)?;
            // Before they are read, and also when the reload will be refused: it may take a
            // change of one of them to make it good.
            gateway.watcher.set_paths(config.watched.clone());
            report_notices(&config);
            let current = gateway.snapshot();
            warn_of_fixed(&current.config, &config);
            let surroundings = Surroundings {
                catalog: &gateway.catalog,
                statistics: &|name| gateway.statistics(name),
                learned: &|router, model| gateway.learned(router, model),
                running_sink: &|identity| gateway.deliveries.running(identity),
                runtime: &runtime,
                ambient: &gateway.ambient,
            };
            Ok(build::build(config, current.generation + 1, &surroundings)?)
        })
        .await?
    }

    /// Cannot fail.
    fn swap(&self, next: Snapshot) -> u64 {
        let next = Arc::new(next);
        self.deliveries.apply(&next.sinks);
        self.forget_absent(&next);
        self.current.store(next.clone());
        next.generation
    }

    /// Appends rows to the journal. Those that a failing disk refuses are tried once more, in
    /// the new segment that the journal then starts: a single fault costs nothing. A second one
    /// is not a moment's, and a client waits. Where the first try was written but not synced,
    /// its rows are there twice, by one id.
    ///
    /// # Errors
    /// The journal is full, or its disk fails.
    pub async fn append(&self, rows: Rows) -> Result<(), AppendError> {
        let appended = match self.journal.append_rows(rows).await {
            Err((rows, error)) if error.is_of_the_disk() => {
                tracing::warn!(error = chain(&error), "the journal's disk failed; trying again");
                self.journal.append_rows(rows).await
            }
            appended => appended,
        };
        appended.map(drop).map_err(|(_, error)| error)
    }

    /// Appends rows; returns once they are in the journal. What cannot be written is counted.
    pub async fn write(&self, rows: Rows) {
        let count = rows.count();
        if let Err(error) = self.append(rows).await {
            self.journal.count_unwritten(count);
            let error = chain(&error);
            tracing::error!(error, rows = count, "rows could not be written to the journal");
        }
    }

    /// The figures of an endpoint, by its name.
    pub fn statistics(&self, endpoint: &str) -> Arc<Statistics> {
        statistics_of(&self.statistics, endpoint)
    }

    fn learned(&self, router: &str, model: &str) -> Arc<[u8]> {
        // What the running policy knows is newer than what was put aside.
        let current = self.snapshot();
        let running = current.models.get(model).and_then(|model| model.policy.as_ref());
        match running.filter(|policy| policy.router == router) {
            Some(policy) => policy.policy.learned(),
            None => {
                let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
                let key = (router.to_owned(), model.to_owned());
                learned.get(&key).cloned().unwrap_or_default()
            }
        }
    }

    /// Figures of endpoints that no model names any more would otherwise pile up.
    fn forget_absent(&self, next: &Snapshot) {
        let named: std::collections::BTreeSet<&str> = next
            .models
            .values()
            .flat_map(|model| model.endpoints.iter().map(|endpoint| &*endpoint.name))
            .collect();
        let mut statistics = self.statistics.lock().unwrap_or_else(PoisonError::into_inner);
        statistics.retain(|name, _| {
            named.contains(name.as_str())
                || name.strip_suffix("/*").is_some_and(|name| next.providers.contains_key(name))
        });
        drop(statistics);
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        learned.retain(|(_, model), _| next.models.contains_key(model));
    }

    /// What became of one attempt: for statistics, metrics, and the policy that planned it.
    pub fn attempt_ended(&self, model: &Model, position: usize, running: InFlight, ended: &Ended) {
        let Some(endpoint) = model.endpoints.get(position) else { return };
        let now = Instant::now();
        let total = now.duration_since(running.started());
        let usage = ended.usage.unwrap_or_default();
        let cost_usd = ended.usage.and_then(|usage| endpoint.cost(&usage));
        if ended.generates || ended.error.is_some() {
            running.finished(
                &Ending {
                    error: ended.error,
                    retry_after: ended.retry_after,
                    output_tokens: usage.output,
                    cost_usd: cost_usd.unwrap_or(0.0),
                },
                now,
            );
        } else {
            // How fast tokens are counted says nothing of how fast they are made.
            drop(running);
        }
        self.metrics.attempt_finished(&endpoint.label, total, ended, cost_usd);
        let Some(policy) = &model.policy else { return };
        let unix = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        policy.outcomes.push(Outcome {
            endpoint: u32::try_from(position).unwrap_or(u32::MAX),
            now_unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
            error: ended.error,
            ttft_ms: ended.ttft.map_or(0.0, |ttft| ttft.as_secs_f64() * 1e3),
            total_ms: total.as_secs_f64() * 1e3,
            usage,
        });
    }

    /// Bytes of an answer, whole or of one frame of a stream, that are held at once.
    pub fn answer_limit_bytes(&self) -> usize {
        self.current.load().config.server.answer_limit_bytes
    }

    /// Reloads when a file changes, until the process ends.
    pub async fn watch(self: Arc<Self>) {
        let mut changes = self.watcher.changes();
        let stopping = self.tasks.stopping().clone();
        loop {
            let changed = tokio::select! {
                changed = changes.changed() => changed,
                () = stopping.cancelled() => return,
            };
            if changed.is_err() {
                return;
            }
            // Logged, counted and kept for `/status` by `reload` itself.
            drop(self.reload().await);
        }
    }
}

fn statistics_of(
    all: &Mutex<BTreeMap<String, Arc<Statistics>>>,
    endpoint: &str,
) -> Arc<Statistics> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(statistics) = all.get(endpoint) {
        return statistics.clone();
    }
    let now = Instant::now();
    // Shared by all models that clients make up: one of them must not open the breaker of all.
    let shared = endpoint.ends_with("/*");
    let statistics = if shared { Statistics::of_any_model(now) } else { Statistics::new(now) };
    let statistics = Arc::new(statistics);
    all.insert(endpoint.to_owned(), statistics.clone());
    statistics
}

fn open_journal(settings: &config::Journal) -> Result<Arc<Journal>, JournalError> {
    let journal = Journal::open(journal::Options {
        path: settings.path.clone(),
        segment_bytes: settings.segment_bytes,
        max_bytes: settings.max_bytes,
        when_full: settings.when_full,
        sync: settings.sync,
    })?;
    report_recovery(&journal);
    Ok(journal)
}

fn report_recovery(journal: &Journal) {
    let journal::Recovery { records, rows, damaged, rows_lost, bytes_lost } = *journal.recovery();
    tracing::info!(records, rows, damaged, rows_lost, bytes_lost, "journal opened");
    if damaged > 0 || rows_lost > 0 {
        tracing::warn!(
            damaged,
            rows_lost,
            bytes_lost,
            "the journal is damaged: what could not be read is skipped"
        );
    }
    for sink in journal.stats().consumers {
        tracing::info!(
            sink = sink.name,
            rows = sink.lag_rows,
            bytes = sink.lag_bytes,
            "rows are left for a sink"
        );
    }
}

fn report_notices(config: &Config) {
    for notice in &config.notices {
        tracing::info!("{notice}");
    }
}

/// Says which changes need a restart, instead of ignoring them silently.
fn warn_of_fixed(running: &Config, next: &Config) {
    let fixed = [
        ("server.listen", running.server.listen != next.server.listen),
        ("server.max_connections", running.server.max_connections != next.server.max_connections),
        ("server.header_timeout_ms", running.server.header_timeout != next.server.header_timeout),
        ("server.drain_timeout_ms", running.server.drain_timeout != next.server.drain_timeout),
        ("admin.listen", running.admin.listen != next.admin.listen),
        (
            "journal",
            config::Journal {
                content: next.journal.content,
                redaction: next.journal.redaction.clone(),
                raw_bytes: next.journal.raw_bytes,
                decisions: next.journal.decisions,
                ..running.journal.clone()
            } != next.journal,
        ),
        ("plugin_host", running.plugin_host != next.plugin_host),
        (
            "routing",
            config::Routing { max_attempts: next.routing.max_attempts, ..running.routing }
                != next.routing,
        ),
    ];
    for (key, _) in fixed.iter().filter(|(_, changed)| *changed) {
        tracing::warn!(
            key,
            "changed in the configuration, but read at start only: restart to apply"
        );
    }
}

/// Tells policies what happened, a batch at a time.
async fn observe_policies(gateway: Arc<Gateway>) {
    let stopping = gateway.tasks.stopping().clone();
    loop {
        tokio::select! {
            () = tokio::time::sleep(OBSERVE_EVERY) => {}
            () = stopping.cancelled() => return,
        }
        let gateway = gateway.clone();
        // A policy that takes its time over what it learns must not hold up a worker.
        let told = tokio::task::spawn_blocking(move || tell_policies(&gateway)).await;
        if let Err(error) = told {
            tracing::error!(%error, "policies could not be told what happened");
        }
    }
}

fn tell_policies(gateway: &Gateway) {
    for model in gateway.snapshot().models.values() {
        let Some(policy) = &model.policy else { continue };
        let outcomes = policy.outcomes.take();
        if outcomes.is_empty() {
            continue;
        }
        // A failure was logged and counted; the policy goes on with what it knew.
        if policy.policy.observe(&outcomes).is_ok() {
            let key = (policy.router.clone(), model.name.clone());
            let learned = policy.policy.learned();
            gateway.learned.lock().unwrap_or_else(PoisonError::into_inner).insert(key, learned);
        }
    }
}
