//! The segment that is written to: its file, and the room that is made ahead of its records.
//!
//! A write into pages that are in the kernel's memory costs half of what one behind the end of
//! a file does, which has to find memory, set blocks aside and note a new length. So the
//! journal's own thread writes zeros ahead, in pieces that are cheap by the byte, and the
//! threads that serve calls write over them.
//!
//! Promises: what is written ahead never comes out on top of a record. Room is no condition:
//! where there is none, a record is written behind the end of the file. What is left of the
//! room is cut off when the segment is closed; after a crash it stays, and for who reads then
//! zeros up to the end of a file are nothing (see `recovery.rs`).

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::disk::DiskFile;
use super::lock;

/// One write of room: a few microseconds that a record may have to wait for.
const PIECE: usize = 64 << 10;
static ZEROS: [u8; PIECE] = [0; PIECE];

/// How much room there is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead {
    /// Room comes in multiples of it, and only to a segment that holds as much: one with little
    /// in it stays small.
    pub(super) step: u64,
    /// Enough for what is written while the thread comes to it.
    pub(super) most: u64,
}

impl Ahead {
    pub(super) const DEFAULT: Self = Self { step: 64 << 10, most: 512 << 10 };

    /// The length that a file should have, where it should be longer than `file_bytes`; never
    /// more than twice that of the records in it, nor above `limit`.
    pub(super) fn wanted(self, length: u64, file_bytes: u64, limit: u64) -> Option<u64> {
        let room = (length - length % self.step).min(self.most);
        if file_bytes.saturating_sub(length) > room / 2 {
            return None;
        }
        let end = (length + room).min(limit);
        let end = end - end % self.step;
        (end > file_bytes).then_some(end)
    }
}

/// A segment open for writing.
#[derive(Debug)]
pub(super) struct SegmentFile {
    file: Box<dyn DiskFile>,
    /// A sync failed: what the kernel does with the file's pages after that is not defined, so
    /// nothing more is written to it; room may still be cut off.
    pub(super) suspect: AtomicBool,
    /// Everything before it was written: records, then zeros.
    end: AtomicU64,
    /// Held by who writes behind `end`.
    growing: Mutex<()>,
    /// There will be no more room.
    closed: AtomicBool,
}

impl SegmentFile {
    pub(super) fn new(file: Box<dyn DiskFile>) -> Self {
        Self {
            file,
            suspect: AtomicBool::new(false),
            end: AtomicU64::new(0),
            growing: Mutex::new(()),
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Writes a record behind the one before it. On an error, any part of it may be there.
    pub(super) fn write(&self, record: &[u8], offset: u64) -> io::Result<()> {
        let end = offset + record.len() as u64;
        if end <= self.end.load(Ordering::Acquire) {
            return self.file.write_all_at(record, offset);
        }
        let _growing = lock(&self.growing);
        self.file.write_all_at(record, offset)?;
        self.end.fetch_max(end, Ordering::Release);
        Ok(())
    }

    /// Makes room up to the offset `to`, as far as the disk lets us: where it does not, the next
    /// record will find out, and tell.
    pub(super) fn grow(&self, to: u64) {
        loop {
            let _growing = lock(&self.growing);
            let end = self.end.load(Ordering::Acquire);
            // Pieces that begin where pages of their size do are cheapest.
            let piece = PIECE - end as usize % PIECE;
            let missing = usize::try_from(to.saturating_sub(end)).unwrap_or(PIECE);
            let zeros = ZEROS.get(..missing.min(piece)).unwrap_or_default();
            if zeros.is_empty() || self.is_closed() || self.suspect.load(Ordering::Acquire) {
                return;
            }
            if let Err(error) = self.file.write_all_at(zeros, end) {
                tracing::debug!(%error, "no room is made ahead in the journal's segment");
                self.closed.store(true, Ordering::Release);
                return;
            }
            self.end.store(end + zeros.len() as u64, Ordering::Release);
        }
    }

    /// Cuts off what is behind the records, which end at `length`: nothing more is written.
    /// Gives the bytes that the file takes now.
    pub(super) fn close(&self, length: u64) -> io::Result<u64> {
        let _growing = lock(&self.growing);
        self.closed.store(true, Ordering::Release);
        match self.file.set_length(length) {
            Ok(()) => Ok(length),
            Err(error) => self.file.length().map_err(|_| error),
        }
    }

    /// All written so far is on the disk after it.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}
