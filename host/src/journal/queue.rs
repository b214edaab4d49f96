//! Records that wait for others, to be written with them.
//!
//! A write costs more by the call than by the byte, and under load calls end together. So a
//! short record waits until what else is ready now had its turn, and who comes back first writes
//! all that wait by then. One turn of the runtime is dear where nothing else is ready: whether it
//! brings company is tried with a record now and then, and is done as long as it does.
//!
//! Promises: a record that waits is written when the future that brought it goes on or is
//! dropped, at the latest, and before any that comes later. Where they cannot be written
//! together, each is written alone, and fails for its own reasons.

use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::sync::Mutex;

use super::record::Record;
use super::state::Position;
use super::{AppendError, Journal, lock};

/// Bytes written at once, at most: those that come then do not wait.
pub(super) const MOST: u64 = 64 << 10;
/// Beyond it a record is dear by its bytes, and would only keep others waiting.
const LONGEST: u64 = 16 << 10;

/// Every so many records, one waits to see whether others come: rare enough to cost nothing where
/// none do, and soon under load.
pub(super) const TRIED: u32 = 256;
/// Times that waiting may bring nobody, after it has brought many.
const PATIENCE: u32 = 32;

/// What waits. Its lock is taken after that of the state.
#[derive(Debug)]
pub(super) struct Queue {
    tried: u32,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    records: Vec<Record>,
    bytes: u64,
    /// Ticket of the first of them; the others follow.
    first: u64,
    /// By their tickets, which are redeemed soon.
    failed: BTreeMap<u64, Failed>,
    /// How much company came lately.
    company: u32,
    /// Records that did not wait since one did.
    alone: u32,
}

/// A record that could not be written, and why.
pub(super) type Failed = (Record, AppendError);

impl Queue {
    pub(super) fn new(tried: u32) -> Self {
        Self { tried, waiting: Mutex::default() }
    }

    /// The number of its ticket; or the record, which is better written now. `most`: bytes that
    /// may wait.
    fn join(&self, record: Record, most: u64) -> Result<u64, Record> {
        let mut waiting = lock(&self.waiting);
        waiting.alone = waiting.alone.saturating_add(1);
        let bytes = waiting.bytes + record.len();
        let is_worth_it =
            waiting.company > 0 || !waiting.records.is_empty() || waiting.alone >= self.tried;
        if !is_worth_it || record.len() > LONGEST || bytes > most {
            return Err(record);
        }
        waiting.alone = 0;
        waiting.bytes = bytes;
        waiting.records.push(record);
        Ok(waiting.first + waiting.records.len() as u64 - 1)
    }

    /// All that wait, with the ticket of the first.
    pub(super) fn take(&self) -> (u64, Vec<Record>) {
        let mut waiting = lock(&self.waiting);
        let first = waiting.first;
        let records = std::mem::take(&mut waiting.records);
        waiting.first += records.len() as u64;
        waiting.bytes = 0;
        waiting.company = match records.len() as u32 {
            0 => waiting.company,
            1 => waiting.company - u32::from(waiting.company > 0),
            some => PATIENCE.min(waiting.company + some - 1),
        };
        (first, records)
    }

    fn waits(&self, ticket: u64) -> bool {
        lock(&self.waiting).first <= ticket
    }

    /// What became of one that was taken out, if it failed.
    pub(super) fn fail(&self, ticket: u64, failed: Option<Failed>) {
        lock(&self.waiting).failed.extend(failed.map(|failed| (ticket, failed)));
    }

    fn failed(&self, ticket: u64) -> Option<Failed> {
        lock(&self.waiting).failed.remove(&ticket)
    }
}

/// The hold that a future has on its waiting record. Dropped, the record is written all the same.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    journal: &'a Journal,
    number: u64,
}

impl<'a> Ticket<'a> {
    /// Or the record, which is better written now.
    pub(super) fn take(journal: &'a Journal, record: Record, most: u64) -> Result<Self, Record> {
        let number = journal.queue.join(record, most)?;
        Ok(Self { journal, number })
    }

    /// A position behind the record, which is written.
    pub(super) fn redeem(self) -> Result<Position, Failed> {
        ManuallyDrop::new(self).settle()
    }

    fn settle(&self) -> Result<Position, Failed> {
        let Self { journal, number, .. } = self;
        journal.with_state(|state| {
            if journal.queue.waits(*number) {
                journal.write_waiting(state);
            }
            journal.queue.failed(*number).map_or(Ok(state.tail()), Err)
        })
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if let Err((record, error)) = self.settle()
            && let Err(error) = self.journal.write_abandoned(record, error)
        {
            let error = crate::error::chain(&error);
            tracing::error!(error, "rows that nobody waits for could not be written");
        }
    }
}
