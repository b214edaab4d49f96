//! Opening what an earlier process left: the cursors and the segments.
//!
//! Fails only where the directory itself cannot be used. See the parent module for the rules.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::active::Ahead;
use super::cursor::CursorFiles;
use super::disk::{Disk, DiskLock};
use super::segment::{Name, Scanned, Scanner, Segment};
use super::state::{Position, State};
use super::{JournalError, Options, directory};

/// What opening found in the segments that are still needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records that can be read, and the rows in them.
    pub records: u64,
    pub rows: u64,
    /// Damaged stretches: one or more records each, or a whole segment that cannot be read.
    pub damaged: u64,
    /// Rows known to have been written that cannot be read, and that not every consumer has
    /// acknowledged. Of a damaged end only the records whose header is whole are known.
    pub rows_lost: u64,
    pub bytes_lost: u64,
}

pub(super) struct Opened {
    pub(super) state: State,
    pub(super) cursor_files: CursorFiles,
    pub(super) recovery: Recovery,
    pub(super) lock: Box<dyn DiskLock>,
}

pub(super) fn open(
    disk: &Arc<dyn Disk>,
    options: &Options,
    ahead: Ahead,
) -> Result<Opened, JournalError> {
    let path = &options.path;
    let failed = |source| directory::failed(path, source);
    directory::create(&**disk, path, options.sync)?;
    let lock = directory::lock(&**disk, path)?;
    directory::probe(&**disk, path)?;
    let mut cursor_files = CursorFiles::load(Arc::clone(disk), path).map_err(failed)?;
    let names = list_segments(&**disk, path).map_err(failed)?;

    let cursors = place_cursors(&mut cursor_files, &names);
    let last_number = names.iter().map(|name| name.number).max();
    let cursor_number = cursor_files.positions().map(|(_, cursor)| cursor.segment).max();
    let next_number = last_number.max(cursor_number).map_or(0, |it| it + 1).max(never_used());

    let needed = delete_unneeded(&**disk, path, names, &cursors, &mut cursor_files);
    let least_row = cursors.values().map(|cursor| cursor.row).min().unwrap_or(0);
    let mut scan = Scan { disk: &**disk, path, least_row, recovery: Recovery::default() };
    let mut segments = scan.all(&needed);
    let end_row = segments.iter().map(|segment| segment.end_row).max();
    let cursor_row = cursors.values().map(|cursor| cursor.row).max();
    let next_row = end_row.max(cursor_row).unwrap_or(0);
    // A cursor can tell of rows that are gone from the end.
    match segments.back_mut() {
        Some(last) => scan.lose_rows(last, next_row),
        None => scan.recovery.rows_lost += next_row.saturating_sub(least_row),
    }
    let recovery = scan.recovery;
    let state = State::new(options, ahead, segments, cursors, next_row, next_number);
    Ok(Opened { state, cursor_files, recovery, lock })
}

/// A number above those of all segments that there ever were, as far as the clock was right: a
/// loss of power can bring back a file that was deleted, and an old cursor, after everything
/// that told of their numbers was lost. Nanoseconds since 1970, which a process that numbers its
/// segments from there does not catch up with.
fn never_used() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(0)
}

/// Where every consumer goes on: those whose cursor is damaged, at the oldest row there is.
fn place_cursors(files: &mut CursorFiles, names: &[Name]) -> BTreeMap<String, Position> {
    let mut cursors: BTreeMap<String, Position> =
        files.positions().map(|(name, position)| (name.to_owned(), position)).collect();
    let last = cursors.values().copied().max();
    let oldest = match names.first() {
        Some(first) => Position { segment: first.number, offset: 0, row: first.first_row },
        None => last.unwrap_or_default(),
    };
    let damaged: Vec<(String, Position)> = files
        .damaged()
        .map(|(name, position)| (name.to_owned(), position.unwrap_or(oldest)))
        .collect();
    let kept = files.keep(damaged.iter().map(|(name, position)| (name.as_str(), *position)));
    if let Err(error) = kept {
        tracing::warn!(%error, "cannot replace a damaged cursor of the journal");
    }
    cursors.extend(damaged);
    cursors
}

/// By number, oldest first.
pub(super) fn list_segments(disk: &dyn Disk, path: &Path) -> io::Result<Vec<Name>> {
    let file_names = disk.list(path)?;
    let mut names: Vec<Name> =
        file_names.iter().filter_map(|name| name.to_str().and_then(Name::parse)).collect();
    names.sort_unstable();
    Ok(names)
}

/// Deletes, unread, what every consumer has left behind; gives the rest.
fn delete_unneeded(
    disk: &dyn Disk,
    path: &Path,
    mut names: Vec<Name>,
    cursors: &BTreeMap<String, Position>,
    files: &mut CursorFiles,
) -> Vec<Name> {
    let Some(oldest) = cursors.values().map(|cursor| cursor.segment).min() else {
        return names;
    };
    let needed = names.split_off(names.partition_point(|name| name.number < oldest));
    if names.is_empty() {
        return needed;
    }
    if let Err(error) = files.keep(cursors.iter().map(|(name, at)| (name.as_str(), *at))) {
        tracing::warn!(%error, "cannot delete journal segments: a cursor cannot be synced");
        return needed;
    }
    for name in names {
        if let Err(error) = disk.remove(&name.path(path)) {
            tracing::warn!(segment = name.number, %error, "cannot delete a journal segment");
            // Without it, a later one would be a hole in the rows.
            break;
        }
    }
    needed
}

/// Reading all that is needed, and counting what was found.
struct Scan<'a> {
    disk: &'a dyn Disk,
    path: &'a Path,
    /// The rows before it are owed to nobody, so they are not lost when they are gone.
    least_row: u64,
    recovery: Recovery,
}

impl Scan<'_> {
    fn all(&mut self, names: &[Name]) -> VecDeque<Segment> {
        let mut segments: VecDeque<Segment> = VecDeque::with_capacity(names.len());
        for name in names {
            if let Some(last) = segments.back_mut() {
                // The rows of an append that failed: their numbers were given again.
                self.find_rows(last, name.first_row);
                // Rows that the segment before ended with, so damaged that nothing tells of them.
                self.lose_rows(last, name.first_row);
            }
            match self.one(*name) {
                Ok(segment) => segments.push_back(segment),
                Err(error) => {
                    tracing::error!(segment = name.number, %error, "cannot read a journal segment; it is left alone");
                    self.recovery.damaged += 1;
                    let file = self.disk.open(&name.path(self.path));
                    let file_bytes = file.and_then(|file| file.length());
                    self.recovery.bytes_lost += file_bytes.unwrap_or(0);
                }
            }
        }
        segments
    }

    fn one(&mut self, name: Name) -> io::Result<Segment> {
        let before = self.recovery;
        self.read(name).inspect_err(|_| self.recovery = before)
    }

    fn read(&mut self, name: Name) -> io::Result<Segment> {
        let mut scanner = Scanner::open(self.disk, self.path, name, 0)?;
        let file_bytes = scanner.file_bytes()?;
        let mut segment =
            Segment { name, length: 0, file_bytes, end_row: name.first_row, gaps: Vec::new() };
        let mut known_end = name.first_row;
        loop {
            match scanner.next(file_bytes)? {
                Scanned::End => break,
                Scanned::Record { header, .. } => {
                    self.recovery.records += 1;
                    self.recovery.rows += u64::from(header.rows);
                    self.lose_rows(&mut segment, header.first_row);
                    segment.end_row = header.end_row();
                    known_end = known_end.max(segment.end_row);
                    segment.length = scanner.offset();
                }
                Scanned::Damage { bytes, header } => {
                    let end = match header {
                        // Behind the last record there may be room for others.
                        None if bytes.end == file_bytes => scanner.written_end(bytes.clone())?,
                        _ => bytes.end,
                    };
                    if end == bytes.start {
                        break;
                    }
                    self.recovery.damaged += 1;
                    self.recovery.bytes_lost += end - bytes.start;
                    known_end = known_end.max(header.map_or(0, |header| header.end_row()));
                }
            }
        }
        self.lose_rows(&mut segment, known_end);
        Ok(segment)
    }

    /// The next row that can be read behind `segment`'s last one is `next`.
    fn lose_rows(&mut self, segment: &mut Segment, next: u64) {
        if next > segment.end_row {
            self.recovery.rows_lost += next.saturating_sub(segment.end_row.max(self.least_row));
            segment.gaps.push(segment.end_row..next);
            segment.end_row = next;
        }
    }

    /// The rows of `segment` end at `next`: what seemed to be lost behind that never was.
    fn find_rows(&mut self, segment: &mut Segment, next: u64) {
        let last = segment.gaps.last_mut().filter(|gap| gap.end == segment.end_row);
        let Some(gap) = last.filter(|gap| gap.end > next) else {
            return;
        };
        let end = next.max(gap.start);
        self.recovery.rows_lost -= gap.end.saturating_sub(end.max(self.least_row));
        gap.end = end;
        segment.end_row = end;
    }
}
