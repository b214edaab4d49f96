//! The durable record of every call: an append-only journal on disk that sinks read from.
//!
//! # Promises
//!
//! - [`Journal::append_rows`] returns after `write(2)`: the rows survive the death of this
//!   process in any form. Calls that end together share one (`queue.rs`). With
//!   [`SyncMode::Always`] it returns after `fdatasync(2)` too: they survive the loss of power.
//!   One sync serves every append that waits (group commit), on the journal's own thread.
//! - The rows of one call are one record: readers see all of them or none.
//! - Delivery is at least once and in order of appending, to each consumer independently. A
//!   consumer goes on where it had acknowledged, after a crash a little before (cursors are
//!   saved at most every 200 ms); `Row::id` tells repeated rows. No clock has a part in it.
//! - The segments on disk never add up to more than `max_bytes`, but for those that are about
//!   to be deleted, and room that is about to be cut off. What happens at the bound is
//!   configured ([`WhenFull`]), and rows that a consumer loses by it are counted exactly
//!   (but for rows of appends that failed, once the disk failed *and* power was lost; and rows
//!   that are back after two losses of power may be counted again).
//! - Opening never fails because of what the files contain. Damage costs the records it
//!   touches, no others, and is counted ([`Recovery`]).
//!
//! # On disk
//!
//! ```text
//! lock                              held (flock) while a process uses the journal
//! NUMBER-FIRSTROW-SALT.segment      records back to back (`record.rs`, `rows.rs`), then zeros
//! cursors/CONSUMER.cursor, .kept    how far a consumer has acknowledged, see `cursor.rs`
//! ```
//!
//! Directories have mode 0700 and files 0600 when we create them: rows contain conversations.
//! Every row has a number, counted from the first one ever written; record headers and segment
//! names carry it, which is why lost rows can be counted even when they cannot be read.
//!
//! # Recovery
//!
//! A process never appends to a segment of the one before it: it opens a new segment with its
//! first append. So a torn record at the end of an older segment needs no repair, and nothing
//! on disk is rewritten. Zeros up to the end of a file are room that was made ahead of records
//! and not used (`active.rs`), not damage. Opening reads every segment that a consumer still
//! needs (all of them when there is no consumer) and checks every record. Behind a damaged
//! payload reading goes on at once, since the header tells the length; behind a damaged header it goes on at the next
//! bytes that are a valid header *for that segment and offset*, which text in a prompt cannot
//! be. A segment that cannot be read at all (`EIO`, `EACCES`) is left alone for the operator
//! and counted as damage. Damage that appears later is skipped and counted when a consumer
//! meets it.
//!
//! # What is lost when
//!
//! | event | lost |
//! |---|---|
//! | `kill -9`, panic, out of memory | nothing that `append` returned for |
//! | loss of power, `sync = "always"` | nothing that `append` returned for |
//! | loss of power, `sync = "os"` | what the kernel had not written back, typically up to 30 s |
//! | full, drop-oldest | whole oldest segments, counted |
//! | full, shed | nothing; `append` fails and admission should have refused (`is_full`) |
//! | disk full or failing | the append in question; its error says so |
//!
//! An append that fails promises nothing, in both directions: after a failed sync its rows may
//! still be delivered. The segment is closed then and the next append starts another. Every sync
//! that waits for the same segment fails too: the kernel tells of lost pages once.
//!
//! With `sync = "always"` the directory and those above it that opening made are synced as well,
//! and in both modes what the deletion of a segment rests on. All of this is tested on a disk
//! that loses power (`tests/power.rs`).
//!
//! # Consumers and deletion
//!
//! A segment is deleted once every registered consumer has acknowledged all of it and the
//! cursors that say so are saved. Registered is who has a cursor file, from the start of the
//! process on, until [`Journal::retain_consumers`] leaves it out; where the file is damaged, it
//! starts over at the oldest row. Without any consumer the journal is a ring: it keeps the
//! newest `max_bytes`, and what falls out was owed to nobody and does not count as dropped.
//!
//! # Locks
//!
//! `state` is held for bookkeeping and one `write(2)`, seldom for one write of room that must
//! come first (a segment's `growing`, taken after it) or for those that replace a failed one,
//! never across an `await`, a sync, a deletion or a read. `queue` is taken after it.
//! `cursor_files` orders writing a cursor file and retiring its consumer, and is taken before
//! `state`.

mod active;
mod age;
mod consumers;
mod cursor;
mod directory;
mod disk;
mod keeper;
mod queue;
mod reader;
mod record;
mod recovery;
mod rows;
mod scan;
mod segment;
mod state;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use active::Ahead;
use cursor::CursorFiles;
use disk::{Disk, DiskLock, FileSystem};
use keeper::{Keeper, Place, Removal};
use queue::Queue;
use state::State;

pub use reader::{Batch, Consumer, ConsumerError};
pub use recovery::Recovery;
#[cfg(test)]
pub(crate) use rows::read_packed;
pub use rows::{Body, Row, RowHead, RowKind, Rows};
pub use scan::scan;
pub use state::{ConsumerStats, Position, Stats};
pub use writer::AppendError;

/// How a journal is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A directory of our own; created if it is not there, its parents too.
    pub path: PathBuf,
    /// Size at which a new segment starts. Never more than a quarter of `max_bytes` is used.
    pub segment_bytes: u64,
    /// Bound on all segments together, at least [`SMALLEST_MAX_BYTES`].
    pub max_bytes: u64,
    pub when_full: WhenFull,
    pub sync: SyncMode,
}

/// Below this the bookkeeping would be larger than the content.
pub const SMALLEST_MAX_BYTES: u64 = 4096;

/// What happens when the journal has reached its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    DropOldest,
    /// Refuse to append until the consumers catch up.
    Shed,
}

/// When a row is forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// The operating system decides.
    Os,
    /// Before `append` returns.
    Always,
}

/// What tests of small journals need otherwise.
#[derive(Debug, Clone, Copy)]
struct Tuning {
    ahead: Ahead,
    /// Of so many records, one waits for company.
    tried: u32,
}

impl Tuning {
    const DEFAULT: Self = Self { ahead: Ahead::DEFAULT, tried: queue::TRIED };
}

/// Why a journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("journal bound of {max_bytes} bytes is below the smallest, {SMALLEST_MAX_BYTES}")]
    Bounds { max_bytes: u64 },
    /// A process that is about to end may still hold it; trying again can help.
    #[error(
        "journal {} is in use by another process; stop that, or name another directory in \
         `journal.path`",
        path.display()
    )]
    InUse { path: PathBuf },
    #[error(
        "cannot use {} for the journal; {advice}, or name another directory in `journal.path`",
        path.display()
    )]
    Directory { path: PathBuf, advice: &'static str, source: io::Error },
    #[error("cannot start the journal's thread")]
    Thread { source: io::Error },
}

/// An open journal. Shared by everybody who appends, and kept by its consumers.
///
/// Dropping the last handle waits for syncs and deletions under way: milliseconds, at shutdown.
#[derive(Debug)]
pub struct Journal {
    options: Options,
    state: Mutex<State>,
    queue: Queue,
    cursor_files: Arc<Mutex<CursorFiles>>,
    disk: Arc<dyn Disk>,
    /// Number of the next row; changes wake the consumers.
    tail: watch::Sender<u64>,
    full: AtomicBool,
    unwritten_rows: AtomicU64,
    damaged_reads: AtomicU64,
    read_errors: AtomicU64,
    recovery: Recovery,
    keeper: Keeper,
    /// Released after the keeper has ended, hence the last field.
    _lock: Box<dyn DiskLock>,
}

impl Journal {
    /// Opens or creates the journal. Blocks while it reads what is there.
    pub fn open(options: Options) -> Result<Arc<Self>, JournalError> {
        Self::open_on(Arc::new(FileSystem), options, Tuning::DEFAULT)
    }

    fn open_on(
        disk: Arc<dyn Disk>,
        options: Options,
        tuning: Tuning,
    ) -> Result<Arc<Self>, JournalError> {
        if options.max_bytes < SMALLEST_MAX_BYTES {
            return Err(JournalError::Bounds { max_bytes: options.max_bytes });
        }
        let opened = recovery::open(&disk, &options, tuning.ahead)?;
        let cursor_files = Arc::new(Mutex::new(opened.cursor_files));
        let keeper = Keeper::start(Place {
            disk: Arc::clone(&disk),
            directory: options.path.clone(),
            cursors: Arc::clone(&cursor_files),
        })
        .map_err(|source| JournalError::Thread { source })?;
        let journal = Self {
            tail: watch::Sender::new(opened.state.next_row()),
            full: AtomicBool::new(opened.state.is_full()),
            state: Mutex::new(opened.state),
            queue: Queue::new(tuning.tried),
            cursor_files,
            disk,
            unwritten_rows: AtomicU64::new(0),
            damaged_reads: AtomicU64::new(0),
            read_errors: AtomicU64::new(0),
            recovery: opened.recovery,
            keeper,
            _lock: opened.lock,
            options,
        };
        journal.reclaim();
        Ok(Arc::new(journal))
    }

    /// What opening found.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// New calls should be refused: with [`WhenFull::Shed`], less than a sixteenth of the bound
    /// is free. That sixteenth is for calls which were admitted already. Costs one atomic load.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Counts since the journal was opened, and sizes as they are now.
    pub fn stats(&self) -> Stats {
        let mut stats = self.with_state(|state| state.stats());
        stats.unwritten_rows = self.unwritten_rows.load(Ordering::Relaxed);
        stats.damaged_reads = self.damaged_reads.load(Ordering::Relaxed);
        stats.read_errors = self.read_errors.load(Ordering::Relaxed);
        stats
    }

    /// Counts rows that whoever had them gave up.
    pub fn count_unwritten(&self, rows: u32) {
        self.unwritten_rows.fetch_add(u64::from(rows), Ordering::Relaxed);
    }

    /// The place behind everything that was appended so far.
    pub fn end(&self) -> Position {
        self.with_state(|state| state.tail())
    }

    /// A consumer by its name. A new name starts at the oldest row there is; a known one where
    /// it had acknowledged. One consumer a name at a time.
    pub fn consumer(self: &Arc<Self>, name: &str) -> Result<Consumer, ConsumerError> {
        Consumer::open(Arc::clone(self), name)
    }

    /// Forgets every consumer that is not named here: its cursor, and the rows kept for it
    /// alone. Where one is still open, its `next_batch` gives `None`.
    pub fn retain_consumers<S: AsRef<str>>(&self, names: &[S]) {
        let mut files = lock(&self.cursor_files);
        let retired = self.with_state(|state| state.consumers.retain(names));
        for name in retired {
            if let Err(error) = files.remove(&name) {
                tracing::warn!(consumer = name, %error, "cannot delete a cursor of the journal");
            }
        }
        drop(files);
        self.reclaim();
        self.tail.send_modify(|_| {});
    }

    /// Deletes what no consumer needs any more.
    fn reclaim(&self) {
        self.with_state(|state| {
            let unneeded = state.reclaim();
            self.delete(state, &unneeded);
        });
    }

    /// Only asks for it. These are no longer part of the state.
    fn delete(&self, state: &State, segments: &[segment::Name]) {
        if segments.is_empty() {
            return;
        }
        let cursors = state.consumers.acked();
        for name in segments {
            let segment = name.path(&self.options.path);
            self.keeper.remove(Removal { segment, cursors: Arc::clone(&cursors) });
        }
    }

    fn with_state<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let mut state = lock(&self.state);
        let result = work(&mut state);
        self.full.store(state.is_full(), Ordering::Relaxed);
        for errand in state.errands() {
            self.keeper.send(errand);
        }
        result
    }
}

impl Drop for Journal {
    /// The keeper, which ends after this, leaves no room behind.
    fn drop(&mut self) {
        self.with_state(State::seal);
    }
}

/// No code panics while it holds one of these locks; if it did, the values are still whole,
/// because each is changed after the fallible part of the work.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
