//! Reading a journal's directory beside the process that writes it, for tools.
//!
//! Takes no lock, moves no cursor and changes nothing. Sees what is on disk: rows that every
//! sink has may be gone, the last record may be half written, the room behind it may be cut
//! off meanwhile; none of it is an error. Calls that end meanwhile may be missing.

use std::io;
use std::path::Path;

use super::JournalError;
use super::directory::failed;
use super::disk::FileSystem;
use super::recovery::list_segments;
use super::rows::{Row, decode_rows};
use super::segment::{Name, Scanned, Scanner};

/// Gives every row that can be read, the oldest first.
///
/// # Errors
/// The directory or a segment in it cannot be read.
pub fn scan(directory: &Path, mut each: impl FnMut(&Row)) -> Result<(), JournalError> {
    let failed = |source| failed(directory, source);
    let names = list_segments(&FileSystem, directory).map_err(failed)?;
    for name in &names {
        let newest = names.last() == Some(name);
        match scan_segment(directory, *name, newest, &mut each) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            scanned => scanned.map_err(failed)?,
        }
    }
    Ok(())
}

fn scan_segment(
    directory: &Path,
    name: Name,
    newest: bool,
    each: &mut impl FnMut(&Row),
) -> io::Result<()> {
    let mut scanner = Scanner::open(&FileSystem, directory, name, 0)?;
    let end = scanner.file_bytes()?;
    let mut again = None;
    loop {
        match scanner.next(end)? {
            Scanned::End => return Ok(()),
            // In a file that is written to, it was room when it was looked at first.
            Scanned::Damage { bytes, header: None } if newest && again != Some(bytes.start) => {
                again = Some(bytes.start);
                scanner.seek(bytes.start);
            }
            Scanned::Damage { .. } => {}
            Scanned::Record { header, payload } => {
                decode_rows(payload, header.rows).iter().flatten().for_each(&mut *each);
            }
        }
    }
}
