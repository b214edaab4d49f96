//! Appending: one record a call, written by the thread of a caller.
//!
//! A record is written at its place under the state lock with one `write(2)`, which it may share
//! with others (`queue.rs`): a few microseconds for a few KiB, less than handing it to another
//! thread. When that fails, the half-written bytes are cut off and the segment is closed, so a
//! reader never comes to them and the next append starts from a clean file.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::active::SegmentFile;
use super::keeper::Synced;
use super::queue::{self, Failed, Ticket};
use super::record::{MAX_RECORD_BYTES, Record};
use super::rows::Rows;
use super::segment::Name;
use super::state::{Active, Position, State};
use super::{Journal, SyncMode};

/// Why rows are not in the journal, or not certain to be.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("journal is full: consumers must catch up first")]
    Full,
    #[error("record of {bytes} bytes is longer than the journal takes, {limit}")]
    TooLong { bytes: u64, limit: u64 },
    #[error("cannot create journal segment {}", path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("cannot write to the journal")]
    Write {
        source: Arc<io::Error>,
        /// It could not be cut off again: the rows may be found after a restart.
        remains: bool,
    },
    /// The rows are written, will likely be delivered, but may not survive a loss of power.
    #[error("cannot sync the journal")]
    Sync { source: Arc<io::Error> },
    /// As `Sync`: the thread that syncs is gone.
    #[error("journal cannot sync any more")]
    Stopped,
}

impl AppendError {
    /// The disk failed: the next append goes to a new segment, and may fare better.
    pub fn is_of_the_disk(&self) -> bool {
        match self {
            Self::Create { .. } | Self::Write { .. } | Self::Sync { .. } => true,
            Self::Full | Self::TooLong { .. } | Self::Stopped => false,
        }
    }
}

/// What a synced append still has to wait for.
type Receipt = (Arc<SegmentFile>, oneshot::Receiver<Synced>);

impl Journal {
    /// Appends the rows of one call as one record; gives a position behind it. No rows are no
    /// record. With an error they come back, and may be appended again.
    ///
    /// Cancel safe: a future dropped before it was polled has done nothing; after that the
    /// record is written as a whole, and is synced with the others even if nobody waits.
    pub async fn append_rows(&self, rows: Rows) -> Result<Position, (Rows, AppendError)> {
        if rows.count() == 0 {
            return Ok(self.end());
        }
        let header = match rows.header(self.record_limit()) {
            Ok(header) => header,
            Err(error) => return Err((rows, error)),
        };
        let appended = match self.queue_up(Record { header, rows }) {
            Ok(ticket) => {
                tokio::task::yield_now().await;
                ticket.redeem()
            }
            Err(record) => self.write_and_sync(record).await,
        };
        appended.map_err(|(record, error)| (record.rows, error))
    }

    /// Gives the record back where it is better written now. One that is synced has company at
    /// the sync anyway.
    fn queue_up(&self, record: Record) -> Result<Ticket<'_>, Record> {
        match self.options.sync {
            SyncMode::Os => Ticket::take(self, record, queue::MOST.min(self.segment_limit())),
            SyncMode::Always => Err(record),
        }
    }

    async fn write_and_sync(&self, record: Record) -> Result<Position, Failed> {
        let mut records = [record];
        let written = self.with_state(|state| {
            self.write_waiting(state);
            self.write_records(state, &mut records)
        });
        let appended = match written {
            Ok((position, None)) => Ok(position),
            Ok((position, Some((file, synced)))) => match synced.await {
                Ok(Ok(())) => Ok(position),
                Ok(Err(source)) => {
                    self.with_state(|state| {
                        state.count_write_error();
                        state.seal_file(&file);
                    });
                    Err(AppendError::Sync { source })
                }
                Err(_) => Err(AppendError::Stopped),
            },
            Err(error) => Err(error),
        };
        let [record] = records;
        appended.map_err(|error| (record, error))
    }

    /// Four segments fit into the bound, so dropping the oldest never empties the journal.
    fn segment_limit(&self) -> u64 {
        self.options.segment_bytes.min(self.options.max_bytes / 4)
    }

    fn record_limit(&self) -> u64 {
        MAX_RECORD_BYTES.min(self.options.max_bytes / 4)
    }

    /// Writes all records that wait: together, or else each alone.
    pub(super) fn write_waiting(&self, state: &mut State) {
        let (first, mut records) = self.queue.take();
        if records.is_empty() {
            return;
        }
        let Err(error) = self.write_records(state, &mut records) else { return };
        if records.len() == 1 {
            self.queue.fail(first, records.pop().map(|record| (record, error)));
            return;
        }
        for (ticket, record) in (first..).zip(records) {
            let mut alone = [record];
            let failed = match &error {
                // Written again, it would be there twice.
                AppendError::Write { source, remains: true } => {
                    Some(AppendError::Write { source: Arc::clone(source), remains: true })
                }
                _ => self.write_records(state, &mut alone).err(),
            };
            let [record] = alone;
            self.queue.fail(ticket, failed.map(|error| (record, error)));
        }
    }

    /// A record that failed and whose call is gone, which cannot try again: as it would have
    /// done, once more where the disk failed.
    pub(super) fn write_abandoned(
        &self,
        record: Record,
        error: AppendError,
    ) -> Result<(), AppendError> {
        let rows = record.header.rows;
        let written = if error.is_of_the_disk() {
            self.with_state(|state| self.write_records(state, &mut [record]).map(drop))
        } else {
            Err(error)
        };
        written.inspect_err(|_| self.count_unwritten(rows))
    }

    /// One behind the other, with one write. An error: none of them was.
    fn write_records(
        &self,
        state: &mut State,
        records: &mut [Record],
    ) -> Result<(Position, Option<Receipt>), AppendError> {
        let need = records.iter().map(Record::len).sum();
        let room = state.make_room(need);
        self.delete(state, &room.removed);
        if !room.fits {
            return Err(AppendError::Full);
        }
        let active = self.writable_segment(state, need)?;
        let rows = records.iter().map(|record| record.header.rows).sum();
        if let Err(source) = write_at(&active, state.next_row(), records) {
            let remains = self.undo(state, &active);
            return Err(AppendError::Write { source: Arc::new(source), remains });
        }
        state.appended(need, rows);
        let removed = state.make_room_ahead(self.segment_limit());
        self.delete(state, &removed);
        let position = state.tail();
        self.tail.send_replace(state.next_row());
        let receipt = match self.options.sync {
            SyncMode::Os => None,
            // Queued under the state lock: the sync cannot come before the write it is for,
            // nor the first sync of a file before that of its directory entry.
            SyncMode::Always => {
                let directory = std::mem::take(&mut state.directory_unsynced);
                let synced = self.keeper.sync(Arc::clone(&active.file), directory);
                Some((active.file, synced))
            }
        };
        Ok((position, receipt))
    }

    /// The segment for a record of `need` bytes: the open one if it takes it, else a new one.
    fn writable_segment(&self, state: &mut State, need: u64) -> Result<Active, AppendError> {
        if let Some(active) = state.active() {
            let fits = active.length.saturating_add(need) <= self.segment_limit();
            let sound = !active.file.suspect.load(Ordering::Acquire);
            if sound && (fits || active.length == 0) {
                return Ok(active);
            }
            state.seal();
        }
        let (_, salt) = Uuid::now_v7().as_u64_pair();
        let name = state.next_name(salt);
        match self.create(name) {
            Ok(file) => {
                state.activate(name, Arc::clone(&file));
                Ok(Active { file, name, length: 0 })
            }
            Err(source) => {
                state.count_write_error();
                let path = name.path(&self.options.path);
                Err(AppendError::Create { path, source })
            }
        }
    }

    fn create(&self, name: Name) -> io::Result<Arc<SegmentFile>> {
        let file = self.disk.create(&name.path(&self.options.path))?;
        Ok(Arc::new(SegmentFile::new(file)))
    }

    /// Cuts off what a failed write left behind, as far as the disk still lets us; gives whether
    /// it does not.
    fn undo(&self, state: &mut State, active: &Active) -> bool {
        let closed = active.file.close(active.length);
        let remains = closed.as_ref().map_or(true, |bytes| *bytes > active.length);
        let file_bytes = closed.unwrap_or(active.length);
        if let Some(empty) = state.append_failed(file_bytes) {
            self.delete(state, &[empty]);
        }
        remains
    }
}

fn write_at(active: &Active, first_row: u64, records: &mut [Record]) -> io::Result<()> {
    let Some((first, others)) = records.split_first_mut() else { return Ok(()) };
    let mut offset = active.length + first.len();
    let mut row = first_row + u64::from(first.header.rows);
    let length = first.len() as usize;
    let bytes = first.placed(active.name.salt, active.length, first_row);
    for other in others {
        bytes.extend_from_slice(other.placed(active.name.salt, offset, row));
        offset += other.len();
        row += u64::from(other.header.rows);
    }
    let written = active.file.write(bytes, active.length);
    bytes.truncate(length);
    written
}
