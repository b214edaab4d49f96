//! The journal's bookkeeping: segments and counts. Pure; does no I/O.
//!
//! Decides what may be deleted, what must be when the bound is reached, and what a consumer
//! reads next. Segments are ordered by number, and only ever leave at the front.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::active::{Ahead, SegmentFile};
use super::age::Ages;
use super::consumers::{Consumers, OpenedConsumer};
use super::keeper::Errand;
use super::segment::{Name, Segment};
use super::{Options, WhenFull};

/// A place between two records. Ordered as the rows are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub(super) segment: u64,
    pub(super) offset: u64,
    /// Number of the next row.
    pub(super) row: u64,
}

impl Position {
    fn covers(&self, segment: &Segment) -> bool {
        // A segment without records has nothing to wait for.
        segment.length == 0
            || self.segment > segment.name.number
            || (self.segment == segment.name.number && self.offset >= segment.length)
    }
}

/// Counts since the journal was opened, and sizes as they are now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// On disk, segments only; room that is made ahead of the records among them.
    pub bytes: u64,
    pub segments: u64,
    pub appended_rows: u64,
    /// Rows deleted at the bound that at least one consumer had not acknowledged.
    pub dropped_rows: u64,
    /// Rows that could not be written, and are lost.
    pub unwritten_rows: u64,
    /// Writes and syncs that the disk failed; calls that end together share them.
    pub write_errors: u64,
    /// Damaged stretches that consumers were taken past, those in `Recovery` among them.
    pub damaged_reads: u64,
    /// Failed attempts to read a segment; each is tried again.
    pub read_errors: u64,
    /// Times that the system's clock was set back while rows were appended.
    pub clock_steps_back: u64,
    pub consumers: Vec<ConsumerStats>,
}

/// How a consumer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerStats {
    pub name: String,
    /// Rows it has not acknowledged. Rows that damage destroyed count until it is past them.
    pub lag_rows: u64,
    pub lag_bytes: u64,
    /// Age of the oldest row it has not acknowledged; zero when there is none. Rows that were
    /// there before this process count from its opening the journal.
    pub oldest_row_age: Duration,
    /// Rows it never got since the journal was opened: dropped before it came to them, or
    /// damaged.
    pub lost_rows: u64,
}

/// The segment that is written to: the last of the list.
#[derive(Debug, Clone)]
pub(super) struct Active {
    pub(super) file: Arc<SegmentFile>,
    pub(super) name: Name,
    pub(super) length: u64,
}

/// What `make_room` could do.
#[derive(Debug)]
pub(super) struct Room {
    /// No longer part of the journal: to be deleted, whether or not there is room now.
    pub(super) removed: Vec<Name>,
    pub(super) fits: bool,
}

#[derive(Debug)]
pub(super) struct State {
    max_bytes: u64,
    when_full: WhenFull,
    segments: VecDeque<Segment>,
    active: Option<Arc<SegmentFile>>,
    ahead: Ahead,
    /// What the journal's thread is to do to segment files.
    errands: Vec<Errand>,
    bytes: u64,
    next_row: u64,
    next_number: u64,
    /// A segment was created since the directory was synced last.
    pub(super) directory_unsynced: bool,
    pub(super) consumers: Consumers,
    appended_rows: u64,
    dropped_rows: u64,
    write_errors: u64,
    ages: Ages,
}

impl State {
    /// `next_row` and `next_number` must be above all that was ever used.
    pub(super) fn new(
        options: &Options,
        ahead: Ahead,
        segments: VecDeque<Segment>,
        cursors: BTreeMap<String, Position>,
        next_row: u64,
        next_number: u64,
    ) -> Self {
        Self {
            max_bytes: options.max_bytes,
            when_full: options.when_full,
            bytes: segments.iter().map(|segment| segment.file_bytes).sum(),
            segments,
            active: None,
            ahead,
            errands: Vec::new(),
            next_row,
            next_number,
            directory_unsynced: false,
            consumers: Consumers::new(cursors),
            appended_rows: 0,
            dropped_rows: 0,
            write_errors: 0,
            ages: Ages::new(Instant::now(), SystemTime::now()),
        }
    }

    pub(super) fn next_row(&self) -> u64 {
        self.next_row
    }

    pub(super) fn is_full(&self) -> bool {
        !self.may_drop() && self.bytes > self.max_bytes - self.reserve()
    }

    /// Kept free for calls that were admitted already.
    fn reserve(&self) -> u64 {
        self.max_bytes / 16
    }

    /// Where the next record will end up or has ended: behind everything.
    pub(super) fn tail(&self) -> Position {
        let (segment, offset) = match self.segments.back() {
            Some(last) => (last.name.number, last.length),
            None => (self.next_number, 0),
        };
        Position { segment, offset, row: self.next_row }
    }

    /// Takes segments out of the journal until `need` more bytes fit, as far as that may be.
    pub(super) fn make_room(&mut self, need: u64) -> Room {
        let limit = self.max_bytes.saturating_sub(need);
        let mut removed = if self.used() > limit { self.reclaim() } else { Vec::new() };
        while self.used() > limit && self.may_drop() {
            if self.segments.len() == 1 {
                self.seal();
            }
            let Some(segment) = self.pop_front() else {
                break;
            };
            if let Some(row) = self.consumers.least_acked_row() {
                self.dropped_rows += segment.rows_from(row);
            }
            removed.push(segment.name);
        }
        Room { removed, fits: self.used() <= limit }
    }

    /// Without the room ahead of the records: the next one takes that, or it is given back.
    fn used(&self) -> u64 {
        let active = self.segments.back().filter(|_| self.active.is_some());
        self.bytes - active.map_or(0, |segment| segment.file_bytes - segment.length)
    }

    /// Names of the segments that every consumer is done with, now no longer part of the
    /// journal. None when there is no consumer.
    pub(super) fn reclaim(&mut self) -> Vec<Name> {
        let mut removed = Vec::new();
        let Some(saved) = self.consumers.least_saved() else {
            return removed;
        };
        let sealed = self.segments.len() - usize::from(self.active.is_some());
        for _ in 0..sealed {
            if !self.segments.front().is_some_and(|one| saved.covers(one)) {
                break;
            }
            removed.extend(self.pop_front().map(|segment| segment.name));
        }
        removed
    }

    /// The segment to append to, while one is open.
    pub(super) fn active(&self) -> Option<Active> {
        let last = self.segments.back()?;
        self.active.as_ref().map(|file| Active {
            file: Arc::clone(file),
            name: last.name,
            length: last.length,
        })
    }

    /// The name for a new segment.
    pub(super) fn next_name(&self, salt: u64) -> Name {
        Name { number: self.next_number, first_row: self.next_row, salt }
    }

    /// A segment was created by its `next_name`.
    pub(super) fn activate(&mut self, name: Name, file: Arc<SegmentFile>) {
        self.segments.push_back(Segment {
            name,
            length: 0,
            file_bytes: 0,
            end_row: name.first_row,
            gaps: Vec::new(),
        });
        self.active = Some(file);
        self.next_number = name.number + 1;
        self.directory_unsynced = true;
    }

    /// Nothing more is appended to the active segment. The room in it counts as given back, as
    /// a segment counts as gone that is to be deleted.
    pub(super) fn seal(&mut self) {
        let Some(file) = self.active.take() else { return };
        let Some(segment) = self.segments.back_mut() else { return };
        let room = segment.file_bytes - segment.length;
        if room > 0 {
            segment.file_bytes -= room;
            self.bytes -= room;
            self.errands.push(Errand::Close { file, length: segment.length });
        }
    }

    /// As `seal`, if that file is still the active one.
    pub(super) fn seal_file(&mut self, file: &Arc<SegmentFile>) {
        if self.active.as_ref().is_some_and(|it| Arc::ptr_eq(it, file)) {
            self.seal();
        }
    }

    /// The active segment got a record.
    pub(super) fn appended(&mut self, bytes: u64, rows: u32) {
        self.ages.appended(self.next_row, Instant::now(), SystemTime::now);
        self.next_row += u64::from(rows);
        self.appended_rows += u64::from(rows);
        if let Some(segment) = self.segments.back_mut() {
            segment.length += bytes;
            segment.end_row = self.next_row;
            let more = segment.length.saturating_sub(segment.file_bytes);
            segment.file_bytes += more;
            self.bytes += more;
        }
    }

    /// Asks for room in the active segment, no further than `limit`, where there is little left.
    /// Names what is no longer part of the journal for it: nothing that is owed to a consumer.
    pub(super) fn make_room_ahead(&mut self, limit: u64) -> Vec<Name> {
        let Some((file, segment)) = self.active.clone().zip(self.segments.back()) else {
            return Vec::new();
        };
        let (length, file_bytes) = (segment.length, segment.file_bytes);
        let Some(to) = self.ahead.wanted(length, file_bytes, limit) else { return Vec::new() };
        let need = to - length;
        let owed = !self.consumers.is_empty();
        if file.is_closed() || owed && self.used() + need > self.max_bytes - self.reserve() {
            return Vec::new();
        }
        let removed = self.make_room(need).removed;
        if let Some(segment) = self.segments.back_mut() {
            segment.file_bytes = to;
            self.bytes += to - file_bytes;
        }
        self.errands.push(Errand::Grow { file, to });
        removed
    }

    pub(super) fn errands(&mut self) -> std::vec::Drain<'_, Errand> {
        self.errands.drain(..)
    }

    /// Writing to the active segment failed, which is closed by that; `file_bytes` is what it
    /// takes on disk now. Gives its name if it has no record and must be deleted.
    pub(super) fn append_failed(&mut self, file_bytes: u64) -> Option<Name> {
        self.write_errors += 1;
        self.active = None;
        let segment = self.segments.back_mut()?;
        if segment.length == 0 {
            let name = segment.name;
            self.segments.pop_back();
            return Some(name);
        }
        self.bytes = self.bytes - segment.file_bytes + file_bytes;
        segment.file_bytes = file_bytes;
        None
    }

    pub(super) fn count_write_error(&mut self) {
        self.write_errors += 1;
    }

    /// The segment that holds the records from `position` on and the end of its records.
    /// Moves the position to that segment; absent: everything was read.
    pub(super) fn locate(&self, position: &mut Position) -> Option<(Name, u64)> {
        let index = self.segments.partition_point(|segment| segment.name.number < position.segment);
        let found = self.segments.range(index..).find(|segment| !position.covers(segment))?;
        if found.name.number != position.segment {
            position.segment = found.name.number;
            position.offset = 0;
        }
        Some((found.name, found.length))
    }

    /// Absent: a consumer of this name is open already.
    pub(super) fn open_consumer(&mut self, name: &str) -> Option<OpenedConsumer> {
        let tail = self.tail();
        let oldest = self.segments.front().map_or(tail, |first| Position {
            segment: first.name.number,
            offset: 0,
            row: first.name.first_row,
        });
        self.consumers.open(name, oldest)
    }

    pub(super) fn stats(&self) -> Stats {
        let consumers = self
            .consumers
            .iter()
            .map(|(name, consumer)| ConsumerStats {
                name: name.to_owned(),
                lag_rows: self.lag_rows(&consumer.acked),
                lag_bytes: self.lag_bytes(&consumer.acked),
                oldest_row_age: self.oldest_row_age(&consumer.acked),
                lost_rows: consumer.lost_rows,
            })
            .collect();
        Stats {
            bytes: self.bytes,
            segments: self.segments.len() as u64,
            appended_rows: self.appended_rows,
            dropped_rows: self.dropped_rows,
            unwritten_rows: 0,
            write_errors: self.write_errors,
            damaged_reads: 0,
            read_errors: 0,
            clock_steps_back: self.ages.steps_back(),
            consumers,
        }
    }

    fn lag_rows(&self, acked: &Position) -> u64 {
        let oldest = self
            .segments
            .front()
            .map_or(self.next_row, |first| first.name.first_row.max(acked.row));
        self.next_row.saturating_sub(oldest)
    }

    fn oldest_row_age(&self, acked: &Position) -> Duration {
        if self.lag_rows(acked) == 0 {
            return Duration::ZERO;
        }
        let oldest = self.segments.front().map_or(0, |first| first.name.first_row);
        self.ages.of(oldest.max(acked.row), Instant::now())
    }

    fn lag_bytes(&self, acked: &Position) -> u64 {
        self.segments
            .iter()
            .filter(|segment| !acked.covers(segment))
            .map(|segment| {
                let own = segment.name.number == acked.segment;
                segment.length - if own { acked.offset } else { 0 }
            })
            .sum()
    }

    /// Rows may be deleted unread: so it is configured, or nobody is to read them.
    fn may_drop(&self) -> bool {
        self.when_full == WhenFull::DropOldest || self.consumers.is_empty()
    }

    fn pop_front(&mut self) -> Option<Segment> {
        let segment = self.segments.pop_front()?;
        self.bytes -= segment.file_bytes;
        Some(segment)
    }
}
