//! Opening what an earlier process left: the lock, the cursors, the segments.
//!
//! Fails only where the directory itself cannot be used. See the parent module for the rules.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::segment::{Name, Scanned, Scanner, Segment};
use super::state::{Position, State};
use super::{JournalError, Options, cursor};

/// What opening found in the segments that are still needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records that can be read, and the rows in them.
    pub records: u64,
    pub rows: u64,
    /// Damaged stretches: one or more records each, or a whole segment that cannot be read.
    pub damaged: u64,
    /// Rows known to have been written that cannot be read. Of a damaged end only the records
    /// whose header is whole are known.
    pub rows_lost: u64,
    pub bytes_lost: u64,
}

pub(super) struct Opened {
    pub(super) state: State,
    pub(super) recovery: Recovery,
    pub(super) lock: DirectoryLock,
}

/// Keeps other processes out of the directory.
#[derive(Debug)]
pub(super) struct DirectoryLock(File);

impl Drop for DirectoryLock {
    /// Closing would do, but for a child process that was forked and has not called exec yet:
    /// it shares the lock. Unlocking ends it for both.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "cannot unlock the journal");
        }
    }
}

pub(super) fn open(options: &Options) -> Result<Opened, JournalError> {
    let directory = |source| JournalError::Directory { path: options.path.clone(), source };
    create_directories(&options.path).map_err(directory)?;
    let lock = take_lock(&options.path)?;
    let cursors = cursor::load_all(&options.path).map_err(directory)?;
    let names = list_segments(&options.path).map_err(directory)?;

    let last_number = names.iter().map(|name| name.number).max();
    let cursor_number = cursors.values().map(|cursor| cursor.segment).max();
    let next_number = last_number.max(cursor_number).map_or(0, |it| it + 1);

    let needed = delete_unneeded(&options.path, names, &cursors);
    let (segments, recovery) = scan_all(&options.path, &needed);
    let end_row = segments.back().map_or(0, |segment| segment.end_row);
    let cursor_row = cursors.values().map(|cursor| cursor.row).max();
    let next_row = end_row.max(cursor_row.unwrap_or(0));
    if recovery.damaged > 0 {
        tracing::warn!(?recovery, "journal has damaged records");
    }
    let state = State::new(options, segments, cursors, next_row, next_number);
    Ok(Opened { state, recovery, lock })
}

fn create_directories(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path)?;
    builder.create(cursor::folder(path))
}

fn take_lock(path: &Path) -> Result<DirectoryLock, JournalError> {
    let directory = |source| JournalError::Directory { path: path.to_owned(), source };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.join("lock"))
        .map_err(directory)?;
    match file.try_lock() {
        Ok(()) => Ok(DirectoryLock(file)),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(directory(source)),
    }
}

/// By number, oldest first.
pub(super) fn list_segments(path: &Path) -> io::Result<Vec<Name>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let file_name = entry?.file_name();
        names.extend(file_name.to_str().and_then(Name::parse));
    }
    names.sort_unstable();
    Ok(names)
}

/// Deletes, unread, what every consumer has left behind; gives the rest.
fn delete_unneeded(
    path: &Path,
    mut names: Vec<Name>,
    cursors: &BTreeMap<String, Position>,
) -> Vec<Name> {
    let Some(oldest) = cursors.values().map(|cursor| cursor.segment).min() else {
        return names;
    };
    let needed = names.split_off(names.partition_point(|name| name.number < oldest));
    for name in names {
        if let Err(error) = fs::remove_file(name.path(path)) {
            tracing::warn!(segment = name.number, %error, "cannot delete a journal segment");
        }
    }
    needed
}

fn scan_all(path: &Path, names: &[Name]) -> (VecDeque<Segment>, Recovery) {
    let mut segments: VecDeque<Segment> = VecDeque::with_capacity(names.len());
    let mut recovery = Recovery::default();
    for name in names {
        // Rows that the segment before ended with, so damaged that nothing tells of them.
        if let Some(last) = segments.back_mut() {
            lose_rows(last, name.first_row, &mut recovery);
        }
        let file_bytes = fs::metadata(name.path(path)).map_or(0, |metadata| metadata.len());
        match scan(path, *name, file_bytes, &mut recovery) {
            Ok(segment) => segments.push_back(segment),
            Err(error) => {
                tracing::error!(segment = name.number, %error, "cannot read a journal segment; it is left alone");
                recovery.damaged += 1;
                recovery.bytes_lost += file_bytes;
            }
        }
    }
    (segments, recovery)
}

fn scan(path: &Path, name: Name, file_bytes: u64, recovery: &mut Recovery) -> io::Result<Segment> {
    let mut found = *recovery;
    let mut segment =
        Segment { name, length: 0, file_bytes, end_row: name.first_row, gaps: Vec::new() };
    let mut known_end = name.first_row;
    let mut scanner = Scanner::open(path, name, 0)?;
    loop {
        match scanner.next(file_bytes)? {
            Scanned::End => break,
            Scanned::Record { header, .. } => {
                found.records += 1;
                found.rows += u64::from(header.rows);
                lose_rows(&mut segment, header.first_row, &mut found);
                segment.end_row = header.end_row();
                known_end = known_end.max(segment.end_row);
                segment.length = scanner.offset();
            }
            Scanned::Damage { bytes, header } => {
                found.damaged += 1;
                found.bytes_lost += bytes.end - bytes.start;
                known_end = known_end.max(header.map_or(0, |header| header.end_row()));
            }
        }
    }
    lose_rows(&mut segment, known_end, &mut found);
    *recovery = found;
    Ok(segment)
}

/// The next row that can be read behind `segment`'s last one is `next`.
fn lose_rows(segment: &mut Segment, next: u64, recovery: &mut Recovery) {
    if next > segment.end_row {
        recovery.rows_lost += next - segment.end_row;
        segment.gaps.push(segment.end_row..next);
        segment.end_row = next;
    }
}
