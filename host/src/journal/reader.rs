//! Consumers: reading rows in order, acknowledging them, waiting for more.
//!
//! Reading files happens on tokio's blocking threads, since a consumer that lags reads from the
//! disk. A record is never split over two batches. What cannot be read because the disk fails
//! is tried again each second, without end: an error of the disk is not damage, and giving up
//! would lose rows. Bytes that are damaged or gone are skipped and counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::consumers::{ConsumerKey, OpenedConsumer};
use super::record::Header;
use super::rows::{Row, decode_rows};
use super::segment::{Name, Scanned, Scanner};
use super::state::Position;
use super::{Journal, cursor, lock};

/// Least time between two saves of one cursor: what may be delivered again after a crash.
const SAVE_INTERVAL: Duration = Duration::from_millis(200);
/// Pause after a failed read.
const READ_RETRY: Duration = Duration::from_secs(1);

/// Rows in order, whole calls only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// At least one.
    pub rows: Vec<Row>,
    /// Acknowledges this batch and everything before it.
    pub position: Position,
}

/// Why there is no such consumer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerError {
    #[error("journal consumer {name:?} is open already")]
    AlreadyOpen { name: String },
    #[error("journal consumer name {name:?} is empty or too long")]
    InvalidName { name: String },
}

/// One reader of the journal, with a cursor that survives restarts. Dropping it saves the
/// cursor; the consumer stays registered.
#[derive(Debug)]
pub struct Consumer {
    pub(super) journal: Arc<Journal>,
    pub(super) key: ConsumerKey,
    tail: watch::Receiver<u64>,
    /// Absent while a read is under way, and after one was cancelled.
    reader: Option<Reader>,
    /// Where the next batch starts.
    pub(super) position: Position,
    /// End of the last batch handed out.
    delivered: Position,
    acked: Position,
    saved: Position,
    saved_at: Instant,
}

impl Consumer {
    pub(super) fn open(journal: Arc<Journal>, name: &str) -> Result<Self, ConsumerError> {
        let name = name.to_owned();
        if !cursor::is_valid_name(&name) {
            return Err(ConsumerError::InvalidName { name });
        }
        let opened = journal.with_state(|state| state.open_consumer(&name));
        let Some(OpenedConsumer { key, acked, new }) = opened else {
            return Err(ConsumerError::AlreadyOpen { name });
        };
        let mut consumer = Self {
            tail: journal.tail.subscribe(),
            journal,
            key,
            reader: None,
            position: acked,
            delivered: acked,
            acked,
            saved: acked,
            saved_at: Instant::now(),
        };
        if new && let Err(error) = consumer.save_for_good() {
            tracing::warn!(consumer = consumer.key.name, %error, "cannot save a cursor of the journal");
        }
        Ok(consumer)
    }

    /// The next rows, waiting until there are some. A batch ends before the record that would
    /// exceed `max_rows` or `max_bytes` (of JSON); its first record is taken in any case. The
    /// one after it starts behind it, acknowledged or not. `None`: the consumer was retired.
    ///
    /// Cancel safe: a batch that was not handed out comes again.
    pub async fn next_batch(&mut self, max_rows: usize, max_bytes: usize) -> Option<Batch> {
        loop {
            // Before looking: what comes after the look is a change.
            self.tail.borrow_and_update();
            if !self.is_registered() {
                return None;
            }
            match self.read(max_rows, max_bytes).await {
                Ok(Some(batch)) => {
                    self.delivered = batch.position;
                    return Some(batch);
                }
                Ok(None) => self.wait().await?,
                Err(ReadError::Stopped) => return None,
                Err(ReadError::Disk(error)) => {
                    self.journal.read_errors.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(consumer = self.key.name, %error, "cannot read the journal; trying again");
                    tokio::time::sleep(READ_RETRY).await;
                }
            }
        }
    }

    /// Everything up to `position` (from a batch of this consumer) is done with. Saved at most
    /// every 200 ms: with the next acknowledgement, while waiting, by `flush` or when dropped.
    pub fn ack(&mut self, position: Position) {
        self.acked = self.acked.max(position.min(self.position));
        let acked = self.acked;
        self.journal.with_state(|state| state.consumers.acknowledge(&self.key, acked));
        if self.saved_at.elapsed() >= SAVE_INTERVAL {
            self.save_or_warn();
        }
    }

    /// Saves the cursor now. Does nothing for a consumer that was retired.
    pub fn flush(&mut self) -> io::Result<()> {
        self.saved_at = Instant::now();
        let acked = self.acked;
        let mut files = lock(&self.journal.cursor_files);
        if self.is_registered() {
            files.save(&self.key.name, acked)?;
            self.journal.with_state(|state| state.consumers.saved(&self.key, acked));
        }
        drop(files);
        self.saved = acked;
        self.journal.reclaim();
        Ok(())
    }

    /// That this consumer is there: from now on rows are kept for it.
    fn save_for_good(&mut self) -> io::Result<()> {
        self.flush()?;
        lock(&self.journal.cursor_files).keep([(self.key.name.as_str(), self.acked)])
    }

    async fn read(
        &mut self,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<Option<Batch>, ReadError> {
        let mut position = self.position;
        let more = self.journal.with_state(|state| state.locate(&mut position));
        if more.is_none() {
            return Ok(None);
        }
        let mut reader = self.reader.take().unwrap_or_else(|| Reader {
            journal: Arc::clone(&self.journal),
            scanner: None,
            position: self.position,
            lost_rows: 0,
            damaged: 0,
        });
        let filled = tokio::task::spawn_blocking(move || {
            let rows = reader.fill(max_rows, max_bytes);
            (reader, rows)
        });
        let (mut reader, rows) = filled.await.map_err(|_| ReadError::Stopped)?;
        self.position = reader.position;
        reader.report(&self.key);
        self.reader = Some(reader);
        let rows = rows.map_err(ReadError::Disk)?;
        Ok((!rows.is_empty()).then_some(Batch { rows, position: self.position }))
    }

    /// Until something was appended or the consumer was retired. Saves the cursor meanwhile:
    /// segments are deleted by what is saved, and nobody else may come to do it.
    async fn wait(&mut self) -> Option<()> {
        if self.acked == self.delivered && self.position > self.acked {
            // Nothing but damage lies between.
            self.delivered = self.position;
            self.ack(self.position);
        }
        while self.acked > self.saved {
            tokio::select! {
                changed = self.tail.changed() => return changed.ok(),
                () = tokio::time::sleep_until(self.saved_at + SAVE_INTERVAL) => {
                    self.save_or_warn();
                }
            }
        }
        self.tail.changed().await.ok()
    }

    fn is_registered(&self) -> bool {
        self.journal.with_state(|state| state.consumers.is_registered(&self.key))
    }

    fn save_or_warn(&mut self) {
        if let Err(error) = self.flush() {
            tracing::warn!(consumer = self.key.name, %error, "cannot save a journal cursor; trying again");
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if self.acked > self.saved {
            self.save_or_warn();
        }
        self.journal.with_state(|state| state.consumers.close(&self.key));
    }
}

enum ReadError {
    Disk(io::Error),
    /// The runtime is shutting down.
    Stopped,
}

/// The part of a consumer that reads files, and travels to the blocking threads.
#[derive(Debug)]
struct Reader {
    journal: Arc<Journal>,
    scanner: Option<(Name, Scanner)>,
    position: Position,
    /// Not reported yet.
    lost_rows: u64,
    damaged: u64,
}

impl Reader {
    /// The rows from the position on, none when there are no more.
    fn fill(&mut self, max_rows: usize, max_bytes: usize) -> io::Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut bytes: usize = 0;
        loop {
            let place = self.journal.with_state(|state| state.locate(&mut self.position));
            let Some((name, end)) = place else {
                return Ok(rows);
            };
            match self.fill_from(name, end, max_rows, max_bytes, &mut rows, &mut bytes) {
                Ok(Filled::Enough) => return Ok(rows),
                Ok(Filled::SegmentRead) => {}
                Err(error) if is_gone(&error) => self.skip_to(end),
                // The next call meets the error again, after these rows.
                Err(_) if !rows.is_empty() => return Ok(rows),
                Err(error) => return Err(error),
            }
        }
    }

    fn fill_from(
        &mut self,
        name: Name,
        end: u64,
        max_rows: usize,
        max_bytes: usize,
        rows: &mut Vec<Row>,
        bytes: &mut usize,
    ) -> io::Result<Filled> {
        let mut scanner = match self.scanner.take() {
            Some((open, scanner)) if open == name => scanner,
            _ => Scanner::open(
                &*self.journal.disk,
                &self.journal.options.path,
                name,
                self.position.offset,
            )?,
        };
        scanner.seek(self.position.offset);
        let filled = loop {
            let record = match scanner.next(end)? {
                Scanned::End => break Filled::SegmentRead,
                Scanned::Record { header, payload } => {
                    decode_rows(payload, header.rows).map(|rows| (header, rows))
                }
                Scanned::Damage { .. } => None,
            };
            let Some((header, record)) = record else {
                self.damaged += 1;
                self.position.offset = scanner.offset();
                continue;
            };
            let size: usize = record.iter().map(|row| row.json.len()).sum();
            let fits =
                rows.len() + record.len() <= max_rows && bytes.saturating_add(size) <= max_bytes;
            if !fits && !rows.is_empty() {
                break Filled::Enough;
            }
            *bytes = bytes.saturating_add(size);
            rows.extend(record);
            self.advance(&header, scanner.offset());
            if rows.len() >= max_rows || *bytes >= max_bytes {
                break Filled::Enough;
            }
        };
        self.scanner = Some((name, scanner));
        Ok(filled)
    }

    fn advance(&mut self, header: &Header, offset: u64) {
        self.lost_rows += header.first_row.saturating_sub(self.position.row);
        self.position.row = header.end_row();
        self.position.offset = offset;
    }

    /// The rest of the segment is no longer there.
    fn skip_to(&mut self, end: u64) {
        self.scanner = None;
        self.damaged += 1;
        self.position.offset = end;
    }

    fn report(&mut self, key: &ConsumerKey) {
        let lost = std::mem::take(&mut self.lost_rows);
        let damaged = std::mem::take(&mut self.damaged);
        if lost > 0 || damaged > 0 {
            tracing::warn!(consumer = key.name, rows = lost, damaged, "journal rows were lost");
            self.journal.damaged_reads.fetch_add(damaged, Ordering::Relaxed);
            self.journal.with_state(|state| state.consumers.count_lost(key, lost));
        }
    }
}

enum Filled {
    /// The batch is as large as it may be.
    Enough,
    SegmentRead,
}

/// The file was deleted, by us (dropped at the bound) or by somebody else, or cut short.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof)
}
