//! Reading a journal's directory beside the process that writes it, for tools.
//!
//! Takes no lock, moves no cursor and changes nothing. Sees what is on disk: rows that every
//! sink has may be gone, and the last record may be half written; both are no error.

use std::path::Path;

use super::JournalError;
use super::directory::failed;
use super::disk::FileSystem;
use super::record::{Row, decode_rows};
use super::recovery::list_segments;
use super::segment::{Name, Scanned, Scanner};

/// Gives every row that can be read, the oldest first.
///
/// # Errors
/// The directory or a segment in it cannot be read.
pub fn scan(directory: &Path, mut each: impl FnMut(&Row)) -> Result<(), JournalError> {
    let failed = |source| failed(directory, source);
    for name in list_segments(&FileSystem, directory).map_err(failed)? {
        scan_segment(directory, name, &mut each).map_err(failed)?;
    }
    Ok(())
}

fn scan_segment(
    directory: &Path,
    name: Name,
    each: &mut impl FnMut(&Row),
) -> Result<(), std::io::Error> {
    let mut scanner = Scanner::open(&FileSystem, directory, name, 0)?;
    let end = scanner.file_bytes()?;
    loop {
        match scanner.next(end)? {
            Scanned::End => return Ok(()),
            Scanned::Damage { .. } => {}
            Scanned::Record { header, payload } => {
                decode_rows(payload, header.rows).iter().flatten().for_each(&mut *each);
            }
        }
    }
}
