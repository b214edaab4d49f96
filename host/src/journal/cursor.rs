//! Cursor files: how far each consumer has acknowledged.
//!
//! `cursors/NAME.cursor`, 32 bytes: magic `TJC1`, then little-endian segment number u64, offset
//! u64, row u64, and the CRC-32C (u32) of all before it and of the consumer's name. Replaced by
//! rename, so a killed process leaves the old or the new one. Not synced: after a loss of power
//! an older one costs repeated rows, and so does one that cannot be read, which counts as none.
//! In a file name every byte of the consumer's name but `A-Z a-z 0-9 _ -` is written `%XX`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::record::Fields;
use super::state::Position;

const FOLDER: &str = "cursors";
const MAGIC: [u8; 4] = *b"TJC1";
const CURSOR_BYTES: usize = 32;
/// File systems take names of 255 bytes; the rest is for suffixes.
const MAX_NAME_BYTES: usize = 240;

/// Whether a consumer can be called so.
pub(super) fn is_valid_name(name: &str) -> bool {
    !name.is_empty() && encode_name(name).len() <= MAX_NAME_BYTES
}

/// Every cursor that can be read, by consumer. Others are logged and left out.
pub(super) fn load_all(journal: &Path) -> io::Result<BTreeMap<String, Position>> {
    let mut cursors = BTreeMap::new();
    for entry in fs::read_dir(folder(journal))? {
        let path = entry?.path();
        let file_name = path.file_name().and_then(|name| name.to_str());
        let Some(name) =
            file_name.and_then(|name| name.strip_suffix(".cursor")).and_then(decode_name)
        else {
            continue;
        };
        match fs::read(&path).map(|bytes| decode(&bytes, &name)) {
            Ok(Some(position)) => {
                cursors.insert(name, position);
            }
            Ok(None) => {
                tracing::warn!(path = %path.display(), "journal cursor is damaged; its consumer starts over");
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read a journal cursor; its consumer starts over");
            }
        }
    }
    Ok(cursors)
}

pub(super) fn save(journal: &Path, name: &str, position: Position) -> io::Result<()> {
    let path = path(journal, name);
    let new = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&encode(position, name))?;
    fs::rename(&new, &path)
}

pub(super) fn remove(journal: &Path, name: &str) -> io::Result<()> {
    fs::remove_file(path(journal, name))
}

pub(super) fn folder(journal: &Path) -> PathBuf {
    journal.join(FOLDER)
}

fn path(journal: &Path, name: &str) -> PathBuf {
    folder(journal).join(format!("{}.cursor", encode_name(name)))
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
        fs::create_dir(folder(directory.path())).unwrap();
        for name in ["main", "../up", "ä b"] {
            save(directory.path(), name, POSITION).unwrap();
        }
        let names: Vec<_> = load_all(directory.path()).unwrap().into_keys().collect();
        assert_eq!(names, ["../up", "main", "ä b"]);
        remove(directory.path(), "../up").unwrap();
        assert_eq!(load_all(directory.path()).unwrap().len(), 2);
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
