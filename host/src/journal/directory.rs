//! The journal's directory before anything in it is read: made, locked, found to be writable.
//!
//! What is wrong here is the operator's to mend, so every error names the path in question, what
//! the system said and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskLock};
use super::{JournalError, SyncMode, cursor};

/// Makes the directory and its parents, as far as they are not there.
pub(super) fn create(disk: &dyn Disk, path: &Path, sync: SyncMode) -> Result<(), JournalError> {
    for directory in [path.to_owned(), cursor::folder(path)] {
        create_all(disk, &directory, sync)?;
    }
    Ok(())
}

fn create_all(disk: &dyn Disk, path: &Path, sync: SyncMode) -> Result<(), JournalError> {
    let not_there = |it: &&Path| !it.as_os_str().is_empty() && !disk.is_directory(it);
    let missing: Vec<&Path> = path.ancestors().take_while(not_there).collect();
    for directory in missing.iter().rev() {
        create_one(disk, directory).map_err(|source| failed(directory, source))?;
    }
    if sync == SyncMode::Os {
        return Ok(());
    }
    for directory in &missing {
        let parent = parent_of(directory);
        disk.sync_directory(&parent).map_err(|source| failed(&parent, source))?;
    }
    // The one that was there may have been made by a process that was killed before this line.
    let there = missing.last().map_or(Some(path), |it| it.parent());
    let Some(parent) = there.filter(|it| it.parent().is_some()).map(parent_of) else {
        return Ok(());
    };
    match disk.sync_directory(&parent) {
        // Who may not read the parent has not made this directory.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        outcome => outcome.map_err(|source| failed(&parent, source)),
    }
}

fn create_one(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    match disk.create_directory(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let by_another = disk.is_directory(directory);
            if by_another { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
        }
        outcome => outcome,
    }
}

fn parent_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Keeps other processes out.
pub(super) fn lock(disk: &dyn Disk, path: &Path) -> Result<Box<dyn DiskLock>, JournalError> {
    let file = path.join("lock");
    let lock = disk.lock(&file).map_err(|source| failed(&file, source))?;
    lock.ok_or_else(|| JournalError::InUse { path: path.to_owned() })
}

/// Finds out that a file can be written here, before the first call is answered without a
/// record. A full disk is no reason not to serve: it is the same as one that fills up later.
pub(super) fn probe(disk: &dyn Disk, path: &Path) -> Result<(), JournalError> {
    let file = path.join("probe");
    let written = disk.create_or_truncate(&file).and_then(|probe| probe.write_all_at(b"?", 0));
    match written {
        Err(error) if is_full(&error) => {
            tracing::error!(path = %path.display(), %error, "no space for the journal: rows will be lost until there is");
        }
        outcome => outcome.map_err(|source| failed(&file, source))?,
    }
    match disk.remove(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&file, error)),
        _ => Ok(()),
    }
}

pub(super) fn failed(path: &Path, source: io::Error) -> JournalError {
    JournalError::Directory { path: path.to_owned(), advice: advice(&source), source }
}

/// What to do about it.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "let this user write there",
        io::ErrorKind::ReadOnlyFilesystem => "mount it for writing",
        io::ErrorKind::NotADirectory => "move away the file that is there",
        _ if is_full(error) => "make room there",
        _ => "see to its disk",
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
