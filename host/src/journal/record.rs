//! One record: the rows of one call under one header.
//!
//! Layout, all numbers little-endian:
//!
//! ```text
//! header, 28 bytes
//!  0  magic          FF 'T' 'J' FE
//!  4  payload length u32
//!  8  first row      u64
//! 16  rows           u32
//! 20  payload CRC    u32
//! 24  header CRC     u32
//! payload             the rows, see `rows.rs`
//! ```
//!
//! Both checksums are CRC-32C. The header's covers the bytes before it, the salt of the segment
//! (see `segment.rs`) and the offset of the record in it. So a header is only valid at the place
//! it was written to: neither bytes of a client's prompt nor remains of an older file pass for
//! a record when a reader looks for the next one behind damage.

use super::AppendError;
use super::rows::{Fields, Rows};

pub(super) const MAGIC: [u8; 4] = [0xFF, b'T', b'J', 0xFE];
pub(super) const HEADER_BYTES: usize = 28;
/// A record is held in memory as a whole, by whoever writes and by whoever reads it.
pub(super) const MAX_RECORD_BYTES: u64 = 128 << 20;

/// The rows of one call under a header that only lacks its place: what needs no lock is done.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) rows: Rows,
    pub(super) header: Header,
}

impl Record {
    /// Bytes of the whole record.
    pub(super) fn len(&self) -> u64 {
        self.header.record_bytes()
    }

    /// The finished record for this place.
    pub(super) fn placed(&mut self, salt: u64, offset: u64, first_row: u64) -> &mut Vec<u8> {
        self.header.first_row = first_row;
        let encoded = self.header.encode(salt, offset);
        let bytes = self.rows.bytes();
        for (place, byte) in bytes.iter_mut().zip(encoded) {
            *place = byte;
        }
        bytes
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) payload_length: u32,
    pub(super) first_row: u64,
    pub(super) rows: u32,
    payload_checksum: u32,
}

impl Header {
    /// Of a record that has no place yet. `bytes`: room for the header, then the payload;
    /// `limit`: of them, in the longest record that the journal takes.
    pub(super) fn of(bytes: &[u8], rows: u32, limit: u64) -> Result<Self, AppendError> {
        let length = bytes.len() as u64;
        let payload = bytes.get(HEADER_BYTES..).unwrap_or_default();
        let (Ok(payload_length), true) = (u32::try_from(payload.len()), length <= limit) else {
            return Err(AppendError::TooLong { bytes: length, limit });
        };
        Ok(Self { payload_length, first_row: 0, rows, payload_checksum: crc32c::crc32c(payload) })
    }

    fn encode(self, salt: u64, offset: u64) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.payload_length.to_le_bytes());
        bytes.extend_from_slice(&self.first_row.to_le_bytes());
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        bytes.extend_from_slice(&self.payload_checksum.to_le_bytes());
        let checksum = header_checksum(&bytes, salt, offset);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let mut header = [0; HEADER_BYTES];
        for (place, byte) in header.iter_mut().zip(bytes) {
            *place = byte;
        }
        header
    }

    /// The header at the front of `bytes`, if it was written for this place.
    pub(super) fn decode(bytes: &[u8], salt: u64, offset: u64) -> Option<Self> {
        let covered = bytes.get(..HEADER_BYTES - 4)?;
        let mut fields = Fields(bytes);
        if fields.array()? != MAGIC {
            return None;
        }
        let header = Self {
            payload_length: fields.u32()?,
            first_row: fields.u64()?,
            rows: fields.u32()?,
            payload_checksum: fields.u32()?,
        };
        (fields.u32()? == header_checksum(covered, salt, offset)).then_some(header)
    }

    /// Number of the row after the record's last.
    pub(super) fn end_row(&self) -> u64 {
        self.first_row.saturating_add(u64::from(self.rows))
    }

    /// Bytes of the whole record.
    pub(super) fn record_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.payload_length)
    }

    pub(super) fn matches(&self, payload: &[u8]) -> bool {
        crc32c::crc32c(payload) == self.payload_checksum
    }
}

fn header_checksum(covered: &[u8], salt: u64, offset: u64) -> u32 {
    let checksum = crc32c::crc32c(covered);
    let checksum = crc32c::crc32c_append(checksum, &salt.to_le_bytes());
    crc32c::crc32c_append(checksum, &offset.to_le_bytes())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test should say where")]

    use super::*;

    #[test]
    fn record_is_valid_only_at_its_own_place() {
        let rows = Rows::of(&[]);
        let header = rows.header(1000).unwrap();
        let bytes = Record { rows, header }.placed(7, 100, 3).clone();
        assert_eq!(Header::decode(&bytes, 7, 100).unwrap().first_row, 3);
        assert_eq!(Header::decode(&bytes, 8, 100), None);
        assert_eq!(Header::decode(&bytes, 7, 101), None);
    }

    #[test]
    fn record_over_the_limit_is_refused() {
        assert!(matches!(
            Header::of(&[0; 1001], 1, 1000),
            Err(AppendError::TooLong { bytes: 1001, limit: 1000 })
        ));
    }
}
