//! Takes the journal's rows to the sinks, and asks sinks for what they stored.
//!
//! Each sink has its own consumer of the journal, its own task and its own pace: a slow or
//! dead one costs disk up to the journal's bound, never memory and never latency. A batch is
//! repeated until it is acknowledged; rows that a sink can never take go to a dead-letter
//! file with the reason. A reload that leaves a sink as it is does not touch its task.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::error::chain;
use crate::journal::{self, Consumer, Journal, Position};
use crate::plugin::catalog::LoadCause;
use crate::plugin::sink::{
    Answer, FeedbackRequest, FeedbackRow, Outcome, Page, PageRequest, QueryError, Rejection, Row,
    RowFilter, RowKind, Sink, SinkReader, SinkWriter, Table, UsageReport, UsageRequest,
};
use crate::shutdown::{Task, Tasks};
use crate::snapshot::SinkIdentity;

/// Rows and bytes handed over at once: large enough that one transaction or request is worth
/// it, small enough for a guest's memory.
const BATCH_ROWS: usize = 500;
const BATCH_BYTES: usize = 4 << 20;

/// Under load, batches come at most this often: a transaction for every call would take more
/// of the machine than the calls. The first row after a quiet time goes at once, and a query
/// hurries whatever is waiting.
const BATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Pauses after a failed write: doubled from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long a query waits for rows that are still on their way to the sink.
const CATCH_UP: Duration = Duration::from_millis(500);

/// A sink of the configuration, opened once.
pub struct SinkTarget {
    pub identity: SinkIdentity,
    sink: Sink,
    /// One query at a time; made on first use, and again after a failure.
    reader: tokio::sync::Mutex<Option<SinkReader>>,
    /// How far rows are durable in the store.
    acknowledged: watch::Sender<Option<Position>>,
    /// Somebody waits for rows that are held for the next batch.
    hurry: Notify,
    pub rejected_rows: AtomicU64,
}

impl std::fmt::Debug for SinkTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SinkTarget").field("name", &self.identity.name).finish_non_exhaustive()
    }
}

/// Why a store could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the cursor is not one of this store's")]
    InvalidCursor,
    #[error("{0}")]
    Unavailable(String),
    /// The store cannot answer such a question; says why.
    #[error("{0}")]
    Unsupported(String),
}

impl SinkTarget {
    pub fn new(identity: SinkIdentity, sink: Sink) -> Self {
        Self {
            identity,
            sink,
            reader: tokio::sync::Mutex::new(None),
            acknowledged: watch::Sender::new(None),
            hurry: Notify::new(),
            rejected_rows: AtomicU64::new(0),
        }
    }

    pub fn is_queryable(&self) -> bool {
        self.sink.plugin().queryable
    }

    pub async fn list_rows(
        &self,
        journal: &Journal,
        table: Table,
        filter: &RowFilter,
        page: &PageRequest,
    ) -> Result<Page, ReadError> {
        self.ask(journal, async |reader| reader.list_rows(table, filter, page).await).await
    }

    /// JSON of one inference with its attempts and feedback.
    pub async fn get_inference(
        &self,
        journal: &Journal,
        id: &str,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        self.ask(journal, async |reader| reader.get_inference(id).await).await
    }

    pub async fn usage(
        &self,
        journal: &Journal,
        request: &UsageRequest,
    ) -> Result<UsageReport, ReadError> {
        self.ask(journal, async |reader| reader.usage(request).await).await
    }

    pub async fn feedback_statistics(
        &self,
        journal: &Journal,
        request: &FeedbackRequest,
    ) -> Result<Vec<FeedbackRow>, ReadError> {
        self.ask(journal, async |reader| reader.feedback_statistics(request).await).await
    }

    async fn ask<R>(
        &self,
        journal: &Journal,
        question: impl AsyncFnOnce(&mut SinkReader) -> Answer<R>,
    ) -> Result<R, ReadError> {
        self.catch_up(journal).await;
        let mut slot = self.reader.lock().await;
        let mut reader = self.take_reader(&mut slot).await?;
        let answer = question(&mut reader).await.map_err(unavailable)?;
        *slot = Some(reader);
        answer.map_err(refused)
    }

    /// Out of its slot while a query runs: a query that fails or is abandoned spends it.
    async fn take_reader(&self, slot: &mut Option<SinkReader>) -> Result<SinkReader, ReadError> {
        if let Some(reader) = slot.take() {
            return Ok(reader);
        }
        let reader = self.sink.reader().await.map_err(|error| unavailable(&error))?;
        reader.ok_or_else(|| ReadError::Unavailable("this sink cannot be read back".into()))
    }

    /// Waits, for a moment, until what was written before the query is in the store.
    async fn catch_up(&self, journal: &Journal) {
        let name = &self.identity.name;
        let is_behind =
            |consumer: &journal::ConsumerStats| consumer.name == *name && consumer.lag_rows > 0;
        if !journal.stats().consumers.iter().any(is_behind) {
            return;
        }
        let Ok(end) = journal.append(&[]).await else { return };
        self.hurry.notify_one();
        let mut acknowledged = self.acknowledged.subscribe();
        let there = acknowledged.wait_for(|position| position.is_some_and(|at| at >= end));
        drop(tokio::time::timeout(CATCH_UP, there).await);
    }
}

fn unavailable(error: impl std::error::Error) -> ReadError {
    ReadError::Unavailable(chain(&error))
}

fn refused(error: QueryError) -> ReadError {
    match error {
        QueryError::InvalidCursor => ReadError::InvalidCursor,
        QueryError::Unavailable(reason) => ReadError::Unavailable(reason),
        QueryError::Unsupported(reason) => ReadError::Unsupported(reason),
    }
}

/// The running deliveries, by sink name.
pub struct Deliveries {
    journal: Arc<Journal>,
    tasks: Tasks,
    /// Where rows go that a sink can never take, one file a sink.
    dead_letters: PathBuf,
    running: Mutex<BTreeMap<String, Running>>,
}

struct Running {
    target: Arc<SinkTarget>,
    stop: CancellationToken,
    task: Task,
}

impl Deliveries {
    pub fn new(journal: Arc<Journal>, tasks: Tasks, dead_letters: PathBuf) -> Self {
        Self { journal, tasks, dead_letters, running: Mutex::default() }
    }

    /// A running sink that is the same in everything that matters.
    pub fn running(&self, identity: &SinkIdentity) -> Option<Arc<SinkTarget>> {
        let running = self.lock();
        let found = running.get(&identity.name).filter(|found| found.target.identity == *identity);
        found.map(|found| found.target.clone())
    }

    /// Makes the running deliveries those of a new snapshot. A replaced sink finishes its
    /// batch before its successor starts from where it stopped.
    pub fn apply(&self, targets: &[Arc<SinkTarget>]) {
        let names: Vec<&str> = targets.iter().map(|target| target.identity.name.as_str()).collect();
        let mut running = self.lock();
        let mut before = std::mem::take(&mut *running);
        for target in targets {
            let name = &target.identity.name;
            let old = before.remove(name);
            let kept = old.as_ref().is_some_and(|old| Arc::ptr_eq(&old.target, target));
            let next = match old {
                Some(old) if kept => old,
                old => self.start(target.clone(), old),
            };
            running.insert(name.clone(), next);
        }
        for gone in before.into_values() {
            gone.stop.cancel();
        }
        drop(running);
        self.journal.retain_consumers(&names);
    }

    /// Ends all deliveries: each finishes and flushes what it has in hand.
    pub async fn stop(&self) {
        let running = std::mem::take(&mut *self.lock());
        for delivery in running.values() {
            delivery.stop.cancel();
        }
        for delivery in running.into_values() {
            delivery.task.ended().await;
        }
    }

    /// Rows rejected so far, by sink.
    pub fn rejected(&self) -> Vec<(String, u64)> {
        let running = self.lock();
        let rejected = |delivery: &Running| delivery.target.rejected_rows.load(Relaxed);
        running.iter().map(|(name, delivery)| (name.clone(), rejected(delivery))).collect()
    }

    fn start(&self, target: Arc<SinkTarget>, old: Option<Running>) -> Running {
        let stop = CancellationToken::new();
        let delivery = Delivery {
            target: target.clone(),
            journal: self.journal.clone(),
            stop: stop.clone(),
            dead_letters: self.dead_letters.join(format!("{}.jsonl", target.identity.name)),
        };
        let task = self.tasks.spawn("delivery", async move {
            if let Some(old) = old {
                old.stop.cancel();
                old.task.ended().await;
            }
            delivery.run().await;
        });
        Running { target, stop, task }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One sink's task.
struct Delivery {
    target: Arc<SinkTarget>,
    journal: Arc<Journal>,
    stop: CancellationToken,
    dead_letters: PathBuf,
}

impl Delivery {
    async fn run(self) {
        let name = &self.target.identity.name;
        let mut consumer = match self.journal.consumer(name) {
            Ok(consumer) => consumer,
            Err(error) => {
                tracing::error!(sink = %name, %error, "the journal has no room for this sink");
                return;
            }
        };
        let mut writer: Option<SinkWriter> = None;
        loop {
            let batch = tokio::select! {
                biased;
                batch = consumer.next_batch(BATCH_ROWS, BATCH_BYTES) => batch,
                () = self.stop.cancelled() => None,
            };
            let Some(batch) = batch else { break };
            let rows: Vec<Row> = batch.rows.into_iter().map(to_wit).collect();
            if !self.deliver(&mut writer, &rows).await {
                // Stopped with the batch undelivered: it stays in the journal.
                break;
            }
            consumer.ack(batch.position);
            self.target.acknowledged.send_replace(Some(batch.position));
            if rows.len() < BATCH_ROWS {
                self.gather().await;
            }
        }
        self.end(writer, &mut consumer).await;
    }

    /// Lets rows come together for the next batch.
    async fn gather(&self) {
        tokio::select! {
            () = tokio::time::sleep(BATCH_INTERVAL) => {}
            () = self.target.hurry.notified() => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Until the sink has it. False: stopped before that.
    async fn deliver(&self, writer: &mut Option<SinkWriter>, rows: &[Row]) -> bool {
        let mut pause = FIRST_PAUSE;
        loop {
            let wait = match self.write(writer, rows).await {
                Ok(Outcome::Ack) => return true,
                Ok(Outcome::Reject(rejections)) => {
                    self.bury(rows, &rejections);
                    return true;
                }
                Ok(Outcome::Retry(after_ms)) => {
                    Duration::from_millis(after_ms.into()).clamp(FIRST_PAUSE, LONGEST_PAUSE)
                }
                Err(error) => {
                    tracing::warn!(sink = %self.target.identity.name, %error, "a batch was not delivered; it will be repeated");
                    *writer = None;
                    pause
                }
            };
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return false,
            }
        }
    }

    async fn write(
        &self,
        slot: &mut Option<SinkWriter>,
        rows: &[Row],
    ) -> Result<Outcome, WriteError> {
        let writer = match slot {
            Some(writer) => writer,
            None => slot.insert(self.target.sink.writer().await.map_err(WriteError::Open)?),
        };
        writer.write(rows).await.map_err(WriteError::Call)
    }

    /// Rows that can never be stored are kept beside, for people.
    fn bury(&self, rows: &[Row], rejections: &[Rejection]) {
        let name = &self.target.identity.name;
        self.target.rejected_rows.fetch_add(rejections.len() as u64, Relaxed);
        tracing::error!(sink = %name, rows = rejections.len(), file = %self.dead_letters.display(), "rows were rejected by the sink and kept in the dead-letter file");
        let mut lines = Vec::new();
        for rejection in rejections {
            let Some(row) = rows.get(rejection.row as usize) else { continue };
            let line = serde_json::json!({
                "id": row.id,
                "reason": rejection.reason,
                "row": String::from_utf8_lossy(&row.json),
            });
            lines.extend(line.to_string().into_bytes());
            lines.push(b'\n');
        }
        let kept =
            self.dead_letters.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
                crate::plugin::imports::private()
                    .append(true)
                    .open(&self.dead_letters)?
                    .write_all(&lines)
            });
        if let Err(error) = kept {
            tracing::error!(sink = %name, %error, "the dead-letter file cannot be written");
        }
    }

    async fn end(&self, writer: Option<SinkWriter>, consumer: &mut Consumer) {
        let name = &self.target.identity.name;
        if let Some(mut writer) = writer
            && let Err(error) = writer.flush().await
        {
            tracing::warn!(sink = %name, %error, "the sink could not be flushed");
        }
        if let Err(error) = consumer.flush() {
            tracing::warn!(sink = %name, %error, "the sink's position could not be saved; its last rows will be delivered again");
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("the sink could not be opened: {}", chain(.0))]
    Open(LoadCause),
    #[error("the sink's plugin failed: {0}")]
    Call(crate::plugin::CallFailure),
}

fn to_wit(row: journal::Row) -> Row {
    Row {
        id: row.id.to_string(),
        kind: match row.kind {
            journal::RowKind::Inference => RowKind::Inference,
            journal::RowKind::ModelInference => RowKind::ModelInference,
            journal::RowKind::Feedback => RowKind::Feedback,
            journal::RowKind::Decision => RowKind::Decision,
            journal::RowKind::PluginEvent => RowKind::PluginEvent,
            journal::RowKind::Snapshot => RowKind::Snapshot,
        },
        inference_id: row.inference_id.to_string(),
        time_unix_ms: row.time_unix_ms,
        json: row.json,
    }
}
