//! The task of one sink: rows out of the journal, through its rules, into the sink.
//!
//! Nothing is acknowledged to the journal before every row of it was taken by the sink, left
//! out by a rule, or put among the dead letters on disk (`offers.rs`).
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
use std::time::Duration;

use tokio::sync::watch;

use super::bisection::{Appetite, Bisection};
use super::dead_letters::DeadLetters;
use super::health::Health;
use super::offers::{Answer, Offers, Stopped};
use super::selection::Selection;
use super::target::SinkTarget;
use crate::journal::{self, Batch, Consumer, Journal};
use crate::plugin::sink::{Rejection, Row, RowKind};

/// Rows and bytes handed over at once: large enough that one transaction or request is worth
/// it, small enough for a guest's memory.
const BATCH_ROWS: usize = 500;
const BATCH_BYTES: usize = 4 << 20;

/// Under load, batches come at most this often: a transaction for every call would take more
/// of the machine than the calls. The first row after a quiet time goes at once, and a query
/// hurries whatever is waiting.
const BATCH_INTERVAL: Duration = Duration::from_millis(100);

/// How long a delivery that is to end may go on: what orchestrators leave between the drain
/// time of the requests and the kill.
const GRACE: Duration = Duration::from_secs(5);

/// Deaths, each followed by a witness that was taken, that prove a row to be the cause.
const PROOFS: u32 = 2;

/// A witness is held in memory, and sent twice for each row that is given up.
const WITNESS_BYTES: usize = 256 * 1024;

/// Suspects beyond which no further rows are tried: it is the sink, not the rows.
const MOST_SUSPECTS: usize = 64;

/// The same for what they hold in memory: some of the largest rows there are.
const SUSPECT_BYTES: usize = 128 << 20;

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
    offers: Offers,
    order: watch::Receiver<Order>,
    appetite: Appetite,
    witness: Option<Row>,
    /// Rows that killed the sink by themselves.
    suspects: Vec<Row>,
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
            offers: Offers::new(target.clone(), health.clone(), dead_letters, order.clone()),
            target,
            journal,
            health,
            selection: Arc::new(selection),
            order,
            appetite: Appetite::new(BATCH_ROWS),
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
        self.offers.measure_dead_letters().await;
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
                batch.rows.len() >= self.appetite.rows() || size(&batch.rows) >= BATCH_BYTES / 2;
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
        let next = consumer.next_batch(self.appetite.rows(), BATCH_BYTES);
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
        while let Some(slice) = bisection.next(&self.appetite) {
            let part = rows.get(slice.clone()).unwrap_or_default();
            match self.offers.ask(part).await? {
                Answer::Taken(rejections) => {
                    self.offers.bury(part, &rejections).await?;
                    self.remember(part, &rejections);
                    bisection.taken(&slice, &mut self.appetite);
                }
                Answer::Killed(_) => bisection.killed(&slice, &mut self.appetite),
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
            let words = match self.offers.ask(std::slice::from_ref(&suspect)).await? {
                Answer::Taken(rejections) => {
                    return self.offers.bury(std::slice::from_ref(&suspect), &rejections).await;
                }
                Answer::Killed(words) => words,
            };
            match self.offers.ask(std::slice::from_ref(witness)).await? {
                // It has been taken once: a rejection now is no news.
                Answer::Taken(_) => proofs += 1,
                Answer::Killed(_) => proofs = 0,
            }
            if proofs >= PROOFS {
                let rejection =
                    Rejection { row: 0, reason: format!("{words}, and of no other row") };
                return self.offers.bury(std::slice::from_ref(&suspect), &[rejection]).await;
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
        match self.offers.ask(std::slice::from_ref(&suspect)).await? {
            Answer::Taken(rejections) => {
                self.offers.bury(std::slice::from_ref(&suspect), &rejections).await?;
                self.remember(std::slice::from_ref(&suspect), &rejections);
                return Ok(None);
            }
            // The others have their turn.
            Answer::Killed(_) => self.suspects.insert(0, suspect),
        }
        let held: usize = self.suspects.iter().map(|row| row.json.len()).sum();
        if self.suspects.len() > MOST_SUSPECTS || held > SUSPECT_BYTES {
            return Ok(None);
        }
        let pause = tokio::time::sleep(self.offers.pause());
        tokio::pin!(pause);
        let mut found = None;
        let mut left_out = 0;
        loop {
            let further = tokio::select! {
                biased;
                batch = consumer.next_batch(self.appetite.rows(), BATCH_BYTES) => batch,
                () = &mut pause => return Ok(found),
                () = told(&mut self.order) => return Err(Stopped),
            };
            let batch = further.ok_or(Stopped)?;
            let (position, all) = (batch.position, batch.rows.len() as u64);
            let skipped = self.deliver(batch).await?;
            left_out += skipped;
            found = Some((position, left_out));
            // Rows that its rules leave out say nothing of the sink, and each death adds one:
            // the event of its plugin.
            if skipped < all {
                return Ok(found);
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
        self.offers.flush(GRACE).await;
        if let Err(error) = consumer.flush() {
            tracing::warn!(sink = name, %error, "the sink's position could not be saved; its last rows will be delivered again");
        }
    }
}

/// Returns once there is an order to end, or nobody left to give one.
pub(super) async fn told(order: &mut watch::Receiver<Order>) {
    drop(order.wait_for(|order| *order != Order::Run).await);
}

async fn grace(mut order: watch::Receiver<Order>) {
    told(&mut order).await;
    tokio::time::sleep(GRACE).await;
}

fn size(rows: &[journal::Row]) -> usize {
    rows.iter().map(|row| row.json.len()).sum()
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
