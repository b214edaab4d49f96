//! Offers rows to one sink, until it answers for them.
//!
//! Anything may fail, for as long as it likes: rows are offered again after a pause, which
//! doubles. Only a death comes back to the caller, since the rows may be to blame for it. What
//! the sink rejects is on disk among the dead letters before that is called done; a disk that
//! cannot take them is a failure like others.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::courier::{Order, told};
use super::dead_letters::{DeadLetter, DeadLetters};
use super::health::Health;
use super::target::SinkTarget;
use crate::error::chain;
use crate::plugin::CallFailure;
use crate::plugin::catalog::LoadCause;
use crate::plugin::sink::{Outcome, Rejection, Row, RowKind, SinkWriter};

/// Pauses after a failure: doubled from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The longest that a sink may put the host off: stores say `retry-after` of a minute.
const LONGEST_WISH: Duration = Duration::from_secs(60);

/// One sink as rows are offered to it.
pub(super) struct Offers {
    target: Arc<SinkTarget>,
    health: Arc<Health>,
    dead_letters: DeadLetters,
    order: watch::Receiver<Order>,
    /// Out of its place while a call runs: a call that is abandoned spends it.
    writer: Option<SinkWriter>,
    /// To be waited before the sink is asked again.
    pause: Option<Duration>,
    /// The pause after the next failure.
    next_pause: Duration,
}

/// What became of rows that were offered.
pub(super) enum Answer {
    /// All are durable, but for these.
    Taken(Vec<Rejection>),
    /// The sink died of them, in these words.
    Killed(String),
}

/// Told to stop before it was done; everything is still in the journal.
pub(super) struct Stopped;

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

impl Offers {
    pub(super) fn new(
        target: Arc<SinkTarget>,
        health: Arc<Health>,
        dead_letters: DeadLetters,
        order: watch::Receiver<Order>,
    ) -> Self {
        let next_pause = FIRST_PAUSE;
        Self { target, health, dead_letters, order, writer: None, pause: None, next_pause }
    }

    /// How long the sink is left alone now.
    pub(super) fn pause(&self) -> Duration {
        self.pause.unwrap_or(FIRST_PAUSE)
    }

    /// Those of before this process count too.
    pub(super) async fn measure_dead_letters(&self) {
        let letters = self.dead_letters.clone();
        let bytes = tokio::task::spawn_blocking(move || letters.bytes()).await;
        self.health.figures.dead_letter_bytes.set(signed(bytes.unwrap_or_default()));
    }

    pub(super) async fn flush(&mut self, within: Duration) {
        let Some(mut writer) = self.writer.take() else { return };
        let sink = &self.target.identity.name;
        match tokio::time::timeout(within, writer.flush()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(sink, %error, "the sink could not be flushed"),
            Err(_) => tracing::warn!(sink, "the sink took too long to flush"),
        }
    }

    /// Offers rows until the sink answers for them, one way or the other.
    pub(super) async fn ask(&mut self, rows: &[Row]) -> Result<Answer, Stopped> {
        loop {
            self.wait().await?;
            let started = Instant::now();
            let written = self.write(rows).await;
            let figures = &self.health.figures;
            if !matches!(written, Err(WriteError::Call(CallFailure::Quarantined))) {
                figures.duration.observe(started.elapsed().as_secs_f64());
            }
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
                Err(WriteError::Call(CallFailure::Quarantined)) => self.shut_out(),
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

    /// Nothing was tried: the door of the plugin is closed for some seconds, which is a pause
    /// of its own. What closed it is better known than that it is closed.
    fn shut_out(&mut self) {
        if !self.target.is_failing.swap(true, Relaxed) {
            self.health.failing(&CallFailure::Quarantined.to_string());
        }
        self.pause = Some(FIRST_PAUSE);
    }

    fn failed(&mut self, words: &str) {
        self.health.failing(words);
        self.target.is_failing.store(true, Relaxed);
        self.pause = Some(self.next_pause);
        self.next_pause = self.next_pause.saturating_mul(2).min(LONGEST_PAUSE);
    }

    /// Rows that can never be stored are kept beside, for people. Returns once they are.
    pub(super) async fn bury(
        &mut self,
        rows: &[Row],
        rejections: &[Rejection],
    ) -> Result<(), Stopped> {
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
