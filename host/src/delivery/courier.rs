//! The task of one sink: rows out of the journal, through its rules, into the sink.
//!
//! Nothing is acknowledged to the journal before every row of it was taken by the sink, left
//! out by a rule, or put among the dead letters on disk. In between, anything may fail, for as
//! long as it likes: the batch is offered again after a pause, which doubles.
//!
//! **A row that kills the sink** (a trap, a bound, or an answer that makes no sense) would
//! otherwise stop it for ever. It is found by halving the batch, and given up only on proof
//! that the row is to blame and not the store: twice in turn, the sink dies of it and takes
//! another row right after. That other one is a *witness*, a row it took before; delivery is
//! at least once, so it may come again. Without a witness – the sink never took anything –
//! nothing is given up, and further rows are tried until one is taken.
//!
//! **The end.** A sink that is replaced or removed finishes the batch in hand; at shutdown it
//! takes what is in the journal. Neither lasts longer than [`GRACE`], and as long again to
//! flush; neither waits for a sink that fails. What was not taken stays in the journal.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::bisection::Bisection;
use super::dead_letters::{DeadLetter, DeadLetters};
use super::health::Health;
use super::selection::Selection;
use super::target::SinkTarget;
use crate::error::chain;
use crate::journal::{self, Batch, Consumer, Journal};
use crate::plugin::CallFailure;
use crate::plugin::catalog::LoadCause;
use crate::plugin::sink::{Outcome, Rejection, Row, RowKind, SinkWriter};

/// Rows and bytes handed over at once: large enough that one transaction or request is worth
/// it, small enough for a guest's memory.
const BATCH_ROWS: usize = 500;
const BATCH_BYTES: usize = 4 << 20;

/// Under load, batches come at most this often: a transaction for every call would take more
/// of the machine than the calls. The first row after a quiet time goes at once, and a query
/// hurries whatever is waiting.
const BATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Pauses after a failure: doubled from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The longest that a sink may put the host off: stores say `retry-after` of a minute.
const LONGEST_WISH: Duration = Duration::from_secs(60);

/// How long a delivery that is to end may go on: what orchestrators leave between the drain
/// time of the requests and the kill.
const GRACE: Duration = Duration::from_secs(5);

/// Deaths, each followed by a witness that was taken, that prove a row to be the cause.
const PROOFS: u32 = 2;

/// A witness is held in memory, and sent twice for each row that is given up.
const WITNESS_BYTES: usize = 256 * 1024;

/// Suspects beyond which no further rows are tried: it is the sink, not the rows.
const MOST_SUSPECTS: usize = 64;

/// What a delivery is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Run,
    /// Finish the batch in hand.
    Leave,
    /// Finish what is in the journal.
    Drain,
}

/// The task of one sink.
pub(super) struct Courier {
    target: Arc<SinkTarget>,
    journal: Arc<Journal>,
    health: Arc<Health>,
    selection: Arc<Selection>,
    dead_letters: DeadLetters,
    order: watch::Receiver<Order>,
    /// Out of its place while a call runs: a call that is abandoned spends it.
    writer: Option<SinkWriter>,
    /// To be waited before the sink is asked again.
    pause: Option<Duration>,
    /// The pause after the next failure.
    next_pause: Duration,
    /// Halved when a batch kills the sink, doubled when one is taken.
    most_rows: usize,
    witness: Option<Row>,
    /// Rows that killed the sink by themselves.
    suspects: Vec<Row>,
}

/// What became of rows that were offered.
enum Answer {
    /// All are durable, but for these.
    Taken(Vec<Rejection>),
    /// The sink died of them, in these words.
    Killed(String),
}

/// Told to stop before it was done; everything is still in the journal.
struct Stopped;

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("the sink could not be opened: {}", chain(.0))]
    Open(LoadCause),
    #[error("the sink's plugin failed: {0}")]
    Call(#[from] CallFailure),
    #[error("the sink rejected row {row} of a batch of {rows}")]
    Nonsense { row: u32, rows: usize },
}

impl WriteError {
    /// The rows may be to blame.
    fn is_kill(&self) -> bool {
        match self {
            Self::Open(_) => false,
            Self::Call(failure) => failure.is_kill(),
            Self::Nonsense { .. } => true,
        }
    }
}

impl Courier {
    pub(super) fn new(
        target: Arc<SinkTarget>,
        journal: Arc<Journal>,
        health: Arc<Health>,
        selection: Selection,
        dead_letters: DeadLetters,
        order: watch::Receiver<Order>,
    ) -> Self {
        Self {
            target,
            journal,
            health,
            selection: Arc::new(selection),
            dead_letters,
            order,
            writer: None,
            pause: None,
            next_pause: FIRST_PAUSE,
            most_rows: BATCH_ROWS,
            witness: None,
            suspects: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let name = self.target.identity.name.clone();
        let mut consumer = match self.journal.consumer(&name) {
            Ok(consumer) => consumer,
            Err(error) => {
                self.health.failing(&error.to_string());
                tracing::error!(sink = name, %error, "the journal has no room for this sink");
                return;
            }
        };
        let letters = self.dead_letters.clone();
        let bytes = tokio::task::spawn_blocking(move || letters.bytes()).await.unwrap_or_default();
        self.health.figures.dead_letter_bytes.set(signed(bytes));
        let ordered = self.order.clone();
        tokio::select! {
            biased;
            () = self.work(&mut consumer) => {}
            () = grace(ordered) => {
                tracing::warn!(sink = name, "the sink was cut off; what it did not take stays in the journal");
            }
        }
        self.end(&mut consumer).await;
    }

    async fn work(&mut self, consumer: &mut Consumer) {
        while let Some(batch) = self.next_batch(consumer).await {
            let mut position = batch.position;
            let is_full =
                batch.rows.len() >= self.most_rows || size(&batch.rows) >= BATCH_BYTES / 2;
            let Ok(mut skipped) = self.deliver(batch).await else { return };
            while !self.suspects.is_empty() {
                let judged = match &self.witness {
                    Some(witness) => {
                        let witness = witness.clone();
                        self.judge(&witness).await.map(|()| None)
                    }
                    None => self.look_further(consumer).await,
                };
                match judged {
                    Ok(Some((further, left_out))) => {
                        position = further;
                        skipped += left_out;
                    }
                    Ok(None) => {}
                    Err(Stopped) => return,
                }
            }
            consumer.ack(position);
            self.target.acknowledged.send_replace(Some(position));
            self.health.figures.skipped.inc_by(skipped);
            // Behind a full one there is another.
            if !is_full {
                self.gather().await;
            }
        }
    }

    /// Absent: the end.
    async fn next_batch(&mut self, consumer: &mut Consumer) -> Option<Batch> {
        let order = *self.order.borrow();
        let next = consumer.next_batch(self.most_rows, BATCH_BYTES);
        match order {
            Order::Leave => return None,
            Order::Drain if self.is_even() => return None,
            Order::Drain => return next.await,
            Order::Run => {}
        }
        tokio::select! {
            biased;
            batch = next => return batch,
            () = told(&mut self.order) => {}
        }
        // A second look, now that there is an order.
        Box::pin(self.next_batch(consumer)).await
    }

    /// The journal has nothing that was not acknowledged.
    fn is_even(&self) -> bool {
        let stats = self.journal.stats();
        let name = &self.target.identity.name;
        !stats.consumers.iter().any(|other| other.name == *name && other.lag_rows > 0)
    }

    /// Lets rows come together for the next batch.
    async fn gather(&mut self) {
        tokio::select! {
            () = tokio::time::sleep(BATCH_INTERVAL) => {}
            () = self.target.hurry.notified() => {}
            () = told(&mut self.order) => {}
        }
    }

    /// Until every row was taken, buried, left out or put among the suspects. Gives the number
    /// of those that were left out.
    async fn deliver(&mut self, batch: Batch) -> Result<u64, Stopped> {
        let all = batch.rows.len();
        let rows: Vec<Row> = self.pick(batch.rows).await?.into_iter().map(to_wit).collect();
        let mut bisection = Bisection::new(rows.len());
        while let Some(slice) = bisection.next() {
            let part = rows.get(slice).unwrap_or_default();
            match self.ask(part).await? {
                Answer::Taken(rejections) => {
                    self.bury(part, &rejections).await?;
                    self.remember(part, &rejections);
                    self.most_rows = self.most_rows.saturating_mul(2).min(BATCH_ROWS);
                    bisection.taken();
                }
                Answer::Killed(_) => {
                    self.most_rows = (part.len() / 2).max(1);
                    bisection.killed();
                }
            }
        }
        let suspects = bisection.into_suspects();
        let skipped = all - rows.len();
        let is_suspect = |(place, row)| suspects.contains(&place).then_some(row);
        self.suspects.extend(rows.into_iter().enumerate().filter_map(is_suspect));
        Ok(skipped as u64)
    }

    async fn pick(&self, rows: Vec<journal::Row>) -> Result<Vec<journal::Row>, Stopped> {
        if !self.selection.parses() {
            return Ok(self.selection.pick(rows));
        }
        let selection = self.selection.clone();
        // It fails only when the runtime is shutting down.
        tokio::task::spawn_blocking(move || selection.pick(rows)).await.map_err(|_| Stopped)
    }

    /// Decides one suspect: taken after all, or given up on proof.
    async fn judge(&mut self, witness: &Row) -> Result<(), Stopped> {
        let Some(suspect) = self.suspects.pop() else { return Ok(()) };
        let mut proofs = 0;
        loop {
            let words = match self.ask(std::slice::from_ref(&suspect)).await? {
                Answer::Taken(rejections) => {
                    return self.bury(std::slice::from_ref(&suspect), &rejections).await;
                }
                Answer::Killed(words) => words,
            };
            match self.ask(std::slice::from_ref(witness)).await? {
                // It has been taken once: a rejection now is no news.
                Answer::Taken(_) => proofs += 1,
                Answer::Killed(_) => proofs = 0,
            }
            if proofs >= PROOFS {
                let rejection =
                    Rejection { row: 0, reason: format!("{words}, and of no other row") };
                return self.bury(std::slice::from_ref(&suspect), &[rejection]).await;
            }
        }
    }

    /// Without a witness: whether a suspect is taken now, or else a further batch. Gives how
    /// far that goes and what it left out.
    async fn look_further(
        &mut self,
        consumer: &mut Consumer,
    ) -> Result<Option<(journal::Position, u64)>, Stopped> {
        let Some(suspect) = self.suspects.pop() else { return Ok(None) };
        match self.ask(std::slice::from_ref(&suspect)).await? {
            Answer::Taken(rejections) => {
                self.bury(std::slice::from_ref(&suspect), &rejections).await?;
                self.remember(std::slice::from_ref(&suspect), &rejections);
                return Ok(None);
            }
            // The others have their turn.
            Answer::Killed(_) => self.suspects.insert(0, suspect),
        }
        if self.suspects.len() > MOST_SUSPECTS {
            return Ok(None);
        }
        let further = tokio::select! {
            biased;
            batch = consumer.next_batch(self.most_rows, BATCH_BYTES) => batch,
            () = tokio::time::sleep(self.pause.unwrap_or(FIRST_PAUSE)) => return Ok(None),
            () = told(&mut self.order) => return Err(Stopped),
        };
        let batch = further.ok_or(Stopped)?;
        let position = batch.position;
        let skipped = self.deliver(batch).await?;
        Ok(Some((position, skipped)))
    }

    /// Offers rows until the sink answers for them, one way or the other.
    async fn ask(&mut self, rows: &[Row]) -> Result<Answer, Stopped> {
        loop {
            self.wait().await?;
            let started = Instant::now();
            let written = self.write(rows).await;
            let figures = &self.health.figures;
            figures.duration.observe(started.elapsed().as_secs_f64());
            match written {
                Ok(Outcome::Ack) => {
                    figures.acknowledged.inc();
                    self.succeeded(rows.len());
                    return Ok(Answer::Taken(Vec::new()));
                }
                Ok(Outcome::Reject(rejections)) => {
                    figures.partly_rejected.inc();
                    self.succeeded(rows.len() - rejections.len());
                    return Ok(Answer::Taken(rejections));
                }
                Ok(Outcome::Retry(wish_ms)) => {
                    figures.put_off.inc();
                    let wish = Duration::from_millis(wish_ms.into());
                    self.failed("the sink asked to come again later");
                    self.pause = self.pause.map(|pause| pause.max(wish.min(LONGEST_WISH)));
                }
                Err(error) => {
                    figures.failed.inc();
                    let words = self.target.sink.redact(&error.to_string());
                    self.failed(&words);
                    if error.is_kill() {
                        return Ok(Answer::Killed(words));
                    }
                }
            }
        }
    }

    /// The pause that a failure left.
    async fn wait(&mut self) -> Result<(), Stopped> {
        let Some(pause) = self.pause.take() else { return Ok(()) };
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = told(&mut self.order) => Err(Stopped),
        }
    }

    async fn write(&mut self, rows: &[Row]) -> Result<Outcome, WriteError> {
        // Before an instance is made, which in quarantine would be for nothing.
        self.target.sink.admit()?;
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.target.sink.writer().await.map_err(WriteError::Open)?,
        };
        let outcome = match writer.write(rows).await? {
            Outcome::Reject(rejections) => Outcome::Reject(checked(rejections, rows.len())?),
            other => other,
        };
        self.writer = Some(writer);
        Ok(outcome)
    }

    fn succeeded(&mut self, rows: usize) {
        self.health.figures.delivered.inc_by(rows as u64);
        self.recovered();
    }

    fn recovered(&mut self) {
        self.health.well();
        self.target.is_failing.store(false, Relaxed);
        self.next_pause = FIRST_PAUSE;
    }

    fn failed(&mut self, words: &str) {
        self.health.failing(words);
        self.target.is_failing.store(true, Relaxed);
        self.pause = Some(self.next_pause);
        self.next_pause = self.next_pause.saturating_mul(2).min(LONGEST_PAUSE);
    }

    /// Rows that can never be stored are kept beside, for people. Returns once they are.
    async fn bury(&mut self, rows: &[Row], rejections: &[Rejection]) -> Result<(), Stopped> {
        if rejections.is_empty() {
            return Ok(());
        }
        let letter = |rejection: &Rejection| {
            let row = rows.get(rejection.row as usize)?;
            Some(DeadLetter {
                id: row.id.clone(),
                kind: word(row.kind),
                reason: self.target.sink.redact(&rejection.reason),
                row: row.json.clone(),
            })
        };
        let letters: Arc<[DeadLetter]> = rejections.iter().filter_map(letter).collect();
        loop {
            self.wait().await?;
            let (files, kept) = (self.dead_letters.clone(), letters.clone());
            let kept = tokio::task::spawn_blocking(move || {
                files.keep(&kept).map(|dropped| (dropped, files.bytes()))
            });
            match kept.await.map_err(|_| Stopped)? {
                Ok((dropped, bytes)) => {
                    let figures = &self.health.figures;
                    figures.rejected.inc_by(letters.len() as u64);
                    figures.dead_letters_dropped.inc_by(dropped);
                    figures.dead_letter_bytes.set(signed(bytes));
                    self.recovered();
                    tracing::error!(sink = self.target.identity.name, rows = letters.len(), dropped, file = %self.dead_letters.path().display(), "rows that the sink can never take are in the dead-letter file");
                    return Ok(());
                }
                Err(error) => {
                    self.health.figures.dead_letter_errors.inc();
                    self.failed(&format!("the dead-letter file cannot be written: {error}"));
                }
            }
        }
    }

    /// The smallest row that was taken may have to bear witness.
    fn remember(&mut self, rows: &[Row], rejections: &[Rejection]) {
        let was_taken =
            |place: &usize| !rejections.iter().any(|rejection| rejection.row as usize == *place);
        let taken = rows.iter().enumerate().filter(|(place, _)| was_taken(place));
        let smallest = taken.map(|(_, row)| row).min_by_key(|row| row.json.len());
        if let Some(row) = smallest.filter(|row| row.json.len() <= WITNESS_BYTES) {
            self.witness = Some(row.clone());
        }
    }

    async fn end(mut self, consumer: &mut Consumer) {
        let name = &self.target.identity.name;
        if let Some(writer) = &mut self.writer {
            match tokio::time::timeout(GRACE, writer.flush()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(sink = name, %error, "the sink could not be flushed");
                }
                Err(_) => tracing::warn!(sink = name, "the sink took too long to flush"),
            }
        }
        if let Err(error) = consumer.flush() {
            tracing::warn!(sink = name, %error, "the sink's position could not be saved; its last rows will be delivered again");
        }
    }
}

/// Returns once there is an order to end, or nobody left to give one.
async fn told(order: &mut watch::Receiver<Order>) {
    drop(order.wait_for(|order| *order != Order::Run).await);
}

async fn grace(mut order: watch::Receiver<Order>) {
    told(&mut order).await;
    tokio::time::sleep(GRACE).await;
}

/// In order, each row once.
fn checked(mut rejections: Vec<Rejection>, rows: usize) -> Result<Vec<Rejection>, WriteError> {
    rejections.sort_by_key(|rejection| rejection.row);
    rejections.dedup_by_key(|rejection| rejection.row);
    match rejections.last() {
        Some(last) if last.row as usize >= rows => {
            Err(WriteError::Nonsense { row: last.row, rows })
        }
        _ => Ok(rejections),
    }
}

fn size(rows: &[journal::Row]) -> usize {
    rows.iter().map(|row| row.json.len()).sum()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn word(kind: RowKind) -> &'static str {
    match kind {
        RowKind::Inference => "inference",
        RowKind::ModelInference => "model_inference",
        RowKind::Feedback => "feedback",
        RowKind::Decision => "decision",
        RowKind::PluginEvent => "plugin_event",
        RowKind::Snapshot => "snapshot",
    }
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
