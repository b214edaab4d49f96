//! One segment file: its name, and reading its records past any damage.
//!
//! A segment has no header of its own: what a reader must know stands in the name,
//! `NUMBER-FIRSTROW-SALT.segment` (two decimals of 20 digits, 16 hexadecimal digits), where no
//! flipped bit of the content reaches it. Numbers grow by the order of writing. The salt is
//! random and goes into every record's checksum.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memchr::memmem;

use super::disk::{Disk, DiskFile};
use super::record::{HEADER_BYTES, Header, MAGIC};

/// One read from disk: large enough that the cost of the call does not show.
const READ_AHEAD: usize = 256 << 10;

/// What a segment's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) number: u64,
    /// Number of the first row written to it.
    pub(super) first_row: u64,
    pub(super) salt: u64,
}

impl Name {
    pub(super) fn parse(file_name: &str) -> Option<Self> {
        let mut parts = file_name.strip_suffix(".segment")?.split('-');
        let name = Self {
            number: parts.next()?.parse().ok()?,
            first_row: parts.next()?.parse().ok()?,
            salt: u64::from_str_radix(parts.next()?, 16).ok()?,
        };
        (name.file_name() == file_name).then_some(name)
    }

    pub(super) fn path(&self, directory: &Path) -> PathBuf {
        directory.join(self.file_name())
    }

    fn file_name(&self) -> String {
        let Self { number, first_row, salt } = self;
        format!("{number:020}-{first_row:020}-{salt:016x}.segment")
    }
}

/// What the journal keeps in memory of a segment.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) name: Name,
    /// End of the last record: nothing behind it is read.
    pub(super) length: u64,
    /// Bytes on disk; more than `length` where room or a torn record follows.
    pub(super) file_bytes: u64,
    /// Number of the row after the last one that was written to it.
    pub(super) end_row: u64,
    /// Rows lost to damage, found when the journal was opened.
    pub(super) gaps: Vec<Range<u64>>,
}

impl Segment {
    /// Readable rows from number `row` on.
    pub(super) fn rows_from(&self, row: u64) -> u64 {
        let from = row.max(self.name.first_row);
        let written = self.end_row.saturating_sub(from);
        let lost: u64 =
            self.gaps.iter().map(|gap| gap.end.saturating_sub(gap.start.max(from))).sum();
        written.saturating_sub(lost)
    }
}

/// What stands at a place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scanned<'a> {
    Record {
        header: Header,
        payload: &'a [u8],
    },
    /// Bytes that are no record, up to the next valid header.
    Damage {
        bytes: Range<u64>,
        /// The header, where only the payload is damaged or cut off.
        header: Option<Header>,
    },
    End,
}

/// Reads a segment from front to back.
#[derive(Debug)]
pub(super) struct Scanner {
    window: Window,
    salt: u64,
    offset: u64,
}

impl Scanner {
    pub(super) fn open(
        disk: &dyn Disk,
        directory: &Path,
        name: Name,
        offset: u64,
    ) -> io::Result<Self> {
        let file = disk.open(&name.path(directory))?;
        let window = Window { file, start: 0, bytes: Vec::new() };
        Ok(Self { window, salt: name.salt, offset })
    }

    /// Bytes of the file as it is now.
    pub(super) fn file_bytes(&self) -> io::Result<u64> {
        self.window.file.length()
    }

    /// Where the next call goes on.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn seek(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// What stands at the offset, reading no byte at or behind `end`; moves on behind it.
    pub(super) fn next(&mut self, end: u64) -> io::Result<Scanned<'_>> {
        let start = self.offset;
        if start >= end {
            return Ok(Scanned::End);
        }
        let Some(header) = self.header_at(start, end)? else {
            self.offset = self.next_header(start + 1, end)?;
            let bytes = start..self.offset;
            return Ok(Scanned::Damage { bytes, header: None });
        };
        let record_end = start.saturating_add(header.record_bytes());
        self.offset = record_end.min(end);
        if record_end > end {
            return Ok(Scanned::Damage { bytes: start..end, header: Some(header) });
        }
        let payload_start = start + HEADER_BYTES as u64;
        let length = header.payload_length as usize;
        let payload = self.window.read(payload_start, length, end)?;
        Ok(if header.matches(payload) {
            Scanned::Record { header, payload }
        } else {
            Scanned::Damage { bytes: start..record_end, header: Some(header) }
        })
    }

    /// Where the zeros begin that a stretch of the file ends with.
    pub(super) fn written_end(&mut self, bytes: Range<u64>) -> io::Result<u64> {
        let mut written = bytes.start;
        let mut at = bytes.start;
        while at < bytes.end {
            let left = bytes.end - at;
            let length = usize::try_from(left).map_or(READ_AHEAD, |n| n.min(READ_AHEAD));
            let window = self.window.read(at, length, bytes.end)?;
            if let Some(last) = window.iter().rposition(|byte| *byte != 0) {
                written = at + last as u64 + 1;
            }
            at += length as u64;
        }
        Ok(written)
    }

    fn header_at(&mut self, offset: u64, end: u64) -> io::Result<Option<Header>> {
        if end.saturating_sub(offset) < HEADER_BYTES as u64 {
            return Ok(None);
        }
        let bytes = self.window.read(offset, HEADER_BYTES, end)?;
        Ok(Header::decode(bytes, self.salt, offset))
    }

    /// The first valid header from `offset` on, else `end`.
    fn next_header(&mut self, mut offset: u64, end: u64) -> io::Result<u64> {
        while offset < end {
            let length = usize::try_from(end - offset).map_or(READ_AHEAD, |n| n.min(READ_AHEAD));
            let bytes = self.window.read(offset, length, end)?;
            match memmem::find(bytes, &MAGIC) {
                Some(at) => {
                    offset += at as u64;
                    if self.header_at(offset, end)?.is_some() {
                        return Ok(offset);
                    }
                    offset += 1;
                }
                // A magic may begin in this window and end in the next.
                None if length > MAGIC.len() => offset += (length - MAGIC.len() + 1) as u64,
                None => return Ok(end),
            }
        }
        Ok(end)
    }
}

/// A stretch of the file in memory.
#[derive(Debug)]
struct Window {
    file: Box<dyn DiskFile>,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// Exactly `length` bytes from `offset`. Holds nothing from `end` on: there a writer may be
    /// at work. A file that is shorter than it was found to be is an error.
    fn read(&mut self, offset: u64, length: usize, end: u64) -> io::Result<&[u8]> {
        if self.slice(offset, length).is_none() {
            let available = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
            self.fill(offset, length.max(READ_AHEAD).min(available))?;
        }
        self.slice(offset, length).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn slice(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..from.checked_add(length)?)
    }

    fn fill(&mut self, offset: u64, length: usize) -> io::Result<()> {
        // One huge record must not make every later window huge.
        if self.bytes.capacity() > length.max(READ_AHEAD).saturating_mul(2) {
            self.bytes = Vec::new();
        }
        self.start = offset;
        self.bytes.resize(length, 0);
        let mut filled = 0;
        while let Some(rest) = self.bytes.get_mut(filled..).filter(|r| !r.is_empty()) {
            match self.file.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.bytes.clear();
                    return Err(error);
                }
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test should say where")]

    use super::super::disk::FileSystem;
    use super::super::record::Record;
    use super::super::rows::{Row, RowKind, Rows};
    use super::*;

    #[test]
    fn name_survives_its_text_and_other_files_have_none() {
        let name = Name { number: 7, first_row: 1_000, salt: 0xAB };
        assert_eq!(Name::parse(&name.file_name()), Some(name));
        for other in ["lock", "7-1000-ab.segment", "x-y-z.segment", ".segment"] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }

    #[test]
    fn bytes_behind_the_end_are_not_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let name = Name { number: 0, first_row: 0, salt: 9 };
        let row = Row {
            id: uuid::Uuid::nil(),
            kind: RowKind::Feedback,
            inference_id: uuid::Uuid::nil(),
            time_unix_ms: 0,
            json: b"{}".to_vec(),
        };
        let rows = Rows::of(&[row]);
        let mut record = Record { header: rows.header(1000).unwrap(), rows };
        let end = record.len();
        let first = record.placed(9, 0, 0).to_vec();
        let second = record.placed(9, end, 1).to_vec();
        let path = name.path(directory.path());
        // The writer is halfway through the second record.
        std::fs::write(&path, [&first[..], &second[..40], &[0; 35]].concat()).unwrap();
        let mut scanner = Scanner::open(&FileSystem, directory.path(), name, 0).unwrap();
        assert!(matches!(scanner.next(end), Ok(Scanned::Record { .. })));
        assert!(matches!(scanner.next(end), Ok(Scanned::End)));
        std::fs::write(&path, [first, second].concat()).unwrap();
        assert!(matches!(scanner.next(2 * end), Ok(Scanned::Record { .. })));
    }

    #[test]
    fn gaps_are_not_rows() {
        let name = Name { number: 1, first_row: 10, salt: 0 };
        let segment =
            Segment { name, length: 1, file_bytes: 1, end_row: 30, gaps: vec![12..15, 20..22] };
        assert_eq!(segment.rows_from(0), 15);
        assert_eq!(segment.rows_from(13), 13);
        assert_eq!(segment.rows_from(21), 8);
        assert_eq!(segment.rows_from(40), 0);
    }
}
