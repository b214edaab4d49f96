//! Cursor files: how far each consumer has acknowledged.
//!
//! `cursors/NAME.cursor`, 32 bytes: magic `TJC1`, then little-endian segment number u64, offset
//! u64, row u64, and the CRC-32C (u32) of all before it and of the consumer's name. Replaced by
//! rename, so a killed process leaves the old or the new one. In a file name every byte of the
//! consumer's name but `A-Z a-z 0-9 _ -` is written `%XX`.
//!
//! Saving does not sync: after a loss of power an older cursor costs repeated rows, and so does
//! a damaged one. Two things must not be forgotten, though: that a consumer is there (rows are
//! kept for it), and a position that the deletion of a segment rests on (an older one would
//! count rows as lost that its consumer had). These are written to `cursors/NAME.kept`, of the
//! same layout, and synced. The higher one of the two counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile};
use super::rows::Fields;
use super::state::Position;

const FOLDER: &str = "cursors";
/// What is read first, and written often.
const SAVED: &str = "cursor";
/// What is on the disk for certain, and written where something rests on it.
const KEPT: &str = "kept";
const MAGIC: [u8; 4] = *b"TJC1";
const CURSOR_BYTES: usize = 32;
/// File systems take names of 255 bytes; the rest is for suffixes.
const MAX_NAME_BYTES: usize = 240;

/// Whether a consumer can be called so.
pub(super) fn is_valid_name(name: &str) -> bool {
    !name.is_empty() && encode_name(name).len() <= MAX_NAME_BYTES
}

pub(super) fn folder(journal: &Path) -> PathBuf {
    journal.join(FOLDER)
}

/// Every consumer's cursor file, and what is known to be in it.
#[derive(Debug)]
pub(super) struct CursorFiles {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    written: BTreeMap<String, Written>,
}

#[derive(Debug, Default)]
struct Written {
    /// Absent: damaged, or not there.
    saved: Option<Position>,
    kept: Option<Position>,
    /// There is a cursor file that cannot be read.
    damaged: bool,
}

impl Written {
    fn position(&self) -> Option<Position> {
        self.saved.max(self.kept)
    }
}

impl CursorFiles {
    /// Reads what is there. What cannot be read is logged, and its consumer is known by name
    /// alone.
    pub(super) fn load(disk: Arc<dyn Disk>, journal: &Path) -> io::Result<Self> {
        let folder = folder(journal);
        let mut written: BTreeMap<String, Written> = BTreeMap::new();
        for file_name in disk.list(&folder)? {
            let parts = file_name.to_str().and_then(|name| name.rsplit_once('.'));
            let Some((name, kind @ (SAVED | KEPT))) = parts else {
                continue;
            };
            let Some(name) = decode_name(name) else {
                continue;
            };
            let position = read_or_warn(&*disk, &folder.join(&file_name), &name);
            let entry = written.entry(name).or_default();
            entry.damaged |= position.is_none();
            match kind {
                KEPT => entry.kept = position,
                _ => entry.saved = position,
            }
        }
        Ok(Self { disk, folder, written })
    }

    /// The positions of all that could be read.
    pub(super) fn positions(&self) -> impl Iterator<Item = (&str, Position)> {
        self.written.iter().filter_map(|(name, it)| Some((name.as_str(), it.position()?)))
    }

    /// The consumers with a cursor file that could not be read, and where they are without it.
    pub(super) fn damaged(&self) -> impl Iterator<Item = (&str, Option<Position>)> {
        let damaged = self.written.iter().filter(|(_, it)| it.damaged);
        damaged.map(|(name, it)| (name.as_str(), it.position()))
    }

    /// A killed process leaves the old or the new position; a loss of power any since the one
    /// that was kept.
    pub(super) fn save(&mut self, name: &str, position: Position) -> io::Result<()> {
        self.replace(name, SAVED, position)?;
        self.written.entry(name.to_owned()).or_default().saved = Some(position);
        Ok(())
    }

    /// After it, these consumers' cursors are at these positions or ahead of them, whatever
    /// happens. One that has no cursor file is left out: it was retired, or never saved.
    pub(super) fn keep<'a>(
        &mut self,
        cursors: impl IntoIterator<Item = (&'a str, Position)>,
    ) -> io::Result<()> {
        let mut kept = Vec::new();
        for (name, position) in cursors {
            let Some(written) = self.written.get(name) else {
                continue;
            };
            if !written.damaged && written.kept.is_some_and(|it| it >= position) {
                continue;
            }
            let position = written.position().map_or(position, |it| it.max(position));
            if written.damaged {
                // It may be readable the next time, and then point ahead of what is written now.
                self.replace(name, SAVED, position)?.sync()?;
            }
            // Under a name of its own, so that a later one that is not synced, and may turn out
            // damaged, does not take its place.
            self.replace(name, KEPT, position)?;
            kept.push((name, position));
        }
        if kept.is_empty() {
            return Ok(());
        }
        self.disk.sync_directory(&self.folder)?;
        for (name, position) in kept {
            if let Some(written) = self.written.get_mut(name) {
                written.kept = Some(position);
                written.damaged = false;
            }
        }
        Ok(())
    }

    fn replace(&self, name: &str, kind: &str, position: Position) -> io::Result<Box<dyn DiskFile>> {
        let path = self.path(name, kind);
        let new = self.path(name, &format!("{kind}-new"));
        let file = self.disk.create_or_truncate(&new)?;
        file.write_all_at(&encode(position, name), 0)?;
        if kind == KEPT {
            file.sync()?;
        }
        self.disk.rename(&new, &path)?;
        Ok(file)
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.written.remove(name);
        for kind in [SAVED, KEPT] {
            match self.disk.remove(&self.path(name, kind)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                outcome => outcome?,
            }
        }
        Ok(())
    }

    fn path(&self, name: &str, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", encode_name(name)))
    }
}

fn read_or_warn(disk: &dyn Disk, path: &Path, name: &str) -> Option<Position> {
    match read(disk, path) {
        Ok(bytes) => {
            let position = decode(&bytes, name);
            if position.is_none() {
                tracing::warn!(path = %path.display(), "journal cursor is damaged; its consumer repeats rows");
            }
            position
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot read a journal cursor; its consumer repeats rows");
            None
        }
    }
}

/// At most one byte more than a cursor has.
fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let mut bytes = vec![0; CURSOR_BYTES + 1];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn encode(position: Position, name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CURSOR_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&position.segment.to_le_bytes());
    bytes.extend_from_slice(&position.offset.to_le_bytes());
    bytes.extend_from_slice(&position.row.to_le_bytes());
    let checksum = checksum(&bytes, name);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8], name: &str) -> Option<Position> {
    let covered = bytes.get(..CURSOR_BYTES - 4)?;
    let mut fields = Fields(bytes);
    if bytes.len() != CURSOR_BYTES || fields.array()? != MAGIC {
        return None;
    }
    let position = Position { segment: fields.u64()?, offset: fields.u64()?, row: fields.u64()? };
    (fields.u32()? == checksum(covered, name)).then_some(position)
}

fn checksum(covered: &[u8], name: &str) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(covered), name.as_bytes())
}

fn encode_name(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _infallible = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn decode_name(encoded: &str) -> Option<String> {
    let mut name = Vec::with_capacity(encoded.len());
    let mut bytes = encoded.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            name.push(byte);
            continue;
        }
        let digits = [bytes.next()?, bytes.next()?];
        let digits = std::str::from_utf8(&digits).ok()?;
        name.push(u8::from_str_radix(digits, 16).ok()?);
    }
    let name = String::from_utf8(name).ok()?;
    (encode_name(&name) == encoded).then_some(name)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test should say where")]

    use proptest::prelude::*;

    use super::super::disk::FileSystem;
    use super::*;

    const POSITION: Position = Position { segment: 3, offset: 4096, row: 17 };

    #[test]
    fn damaged_cursor_counts_as_none() {
        let good = encode(POSITION, "main");
        assert_eq!(decode(&good, "main"), Some(POSITION));
        assert_eq!(decode(&good, "other"), None);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bad, "main"), None, "bit {bit}");
        }
        assert_eq!(decode(&good[..31], "main"), None);
    }

    #[test]
    fn saved_cursors_are_loaded_by_name() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder(directory.path())).unwrap();
        let load = || CursorFiles::load(Arc::new(FileSystem), directory.path()).unwrap();
        let mut files = load();
        for name in ["main", "../up", "ä b"] {
            files.save(name, POSITION).unwrap();
        }
        let loaded = load();
        let all: Vec<_> = loaded.positions().collect();
        assert_eq!(all, [("../up", POSITION), ("main", POSITION), ("ä b", POSITION)]);
        files.remove("../up").unwrap();
        assert_eq!(load().positions().count(), 2);
    }

    proptest! {
        #[test]
        fn names_survive_and_are_plain_file_names(name in any::<String>()) {
            let encoded = encode_name(&name);
            prop_assert!(encoded.is_ascii() && !encoded.contains(['/', '.', '\0']));
            prop_assert_eq!(decode_name(&encoded), Some(name));
        }
    }
}
