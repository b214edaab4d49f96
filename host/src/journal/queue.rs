//! Records that wait for others, to be written with them.
//!
//! A write costs more by the call than by the byte, and under load calls end together. So a
//! short record waits until what else is ready now had its turn, and who comes back first writes
//! all that wait by then. One turn of the runtime is dear where nothing else is ready: whether it
//! brings company is tried with a record now and then, and is done as long as it does.
//!
//! Promises: a record that waits is written when the future that brought it goes on or is
//! dropped, at the latest. One that could not be written with the others is given back, to be
//! written alone, and fail for its own reasons.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::record::Record;
use super::state::Position;
use super::{Journal, lock};

/// Records written at once, at most: as many as tasks have a turn while one waits, or nearly.
pub(super) const MOST: usize = 16;
/// Beyond it a record is dear by its bytes, and would only keep others waiting.
pub(super) const LONGEST: u64 = 16 << 10;

/// Every so many records, one waits to see whether others come: rare enough to cost nothing where
/// none do, and soon under load.
const TRIED: u32 = 256;
/// Times that waiting may bring nobody, after it has brought many.
const PATIENCE: u32 = 32;

/// What waits. Its lock is taken after that of the state.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    records: Vec<Record>,
    /// Ticket of the first of them; the others follow.
    first: u64,
    given_back: BTreeMap<u64, Record>,
    /// How much company came lately.
    company: u32,
    /// Records that did not wait since one did.
    alone: u32,
}

/// What was taken out to be written.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) records: Vec<Record>,
    first: u64,
}

impl Queue {
    /// The number of its ticket; or the record, which is better written now.
    fn join(&self, record: Record) -> Result<u64, Record> {
        let mut waiting = lock(&self.0);
        waiting.alone += 1;
        let worth = waiting.company > 0 || !waiting.records.is_empty() || waiting.alone >= TRIED;
        if !worth || waiting.records.len() >= MOST {
            return Err(record);
        }
        waiting.alone = 0;
        waiting.records.push(record);
        Ok(waiting.first + waiting.records.len() as u64 - 1)
    }

    /// All that wait; absent if the one with this ticket does not any more.
    pub(super) fn take(&self, ticket: u64) -> Option<Taken> {
        let mut waiting = lock(&self.0);
        if ticket < waiting.first {
            return None;
        }
        let first = waiting.first;
        let records = std::mem::take(&mut waiting.records);
        waiting.first += records.len() as u64;
        waiting.company = match records.len() as u32 {
            0 | 1 => waiting.company.saturating_sub(1),
            some => PATIENCE.min(waiting.company + some - 1),
        };
        Some(Taken { records, first })
    }

    /// They could not be written together.
    pub(super) fn give_back(&self, taken: Taken) {
        lock(&self.0).given_back.extend((taken.first..).zip(taken.records));
    }

    /// The record, if it was given back.
    pub(super) fn given_back(&self, ticket: u64) -> Option<Record> {
        lock(&self.0).given_back.remove(&ticket)
    }
}

/// The hold that a future has on its waiting record. Dropped, the record is written all the same.
#[derive(Debug)]
pub(super) struct Ticket<'a> {
    journal: &'a Journal,
    number: u64,
    used: bool,
}

impl<'a> Ticket<'a> {
    /// Or the record, which is better written now.
    pub(super) fn take(journal: &'a Journal, record: Record) -> Result<Self, Record> {
        let number = journal.queue.join(record)?;
        Ok(Self { journal, number, used: false })
    }

    /// A position behind the record, which is written; or the record, to be written alone.
    pub(super) fn redeem(mut self) -> Result<Position, Record> {
        self.used = true;
        self.journal.write_waiting(self.number)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.used
            && let Err(record) = self.journal.write_waiting(self.number)
            && let Err(error) = self.journal.write(&mut [record])
        {
            tracing::error!(%error, "rows that nobody waits for could not be written");
        }
    }
}
