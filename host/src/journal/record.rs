//! One record: the rows of one call, as bytes.
//!
//! Layout, all numbers little-endian:
//!
//! ```text
//! header, 28 bytes                     payload, one entry a row
//!  0  magic          FF 'T' 'J' FE      id             16 bytes (UUID)
//!  4  payload length u32                kind           u8, 128 more where bodies follow
//!  8  first row      u64                inference id   16 bytes (UUID)
//! 16  rows           u32                time           u64, Unix milliseconds
//! 20  payload CRC    u32                JSON length    u32
//! 24  header CRC     u32                JSON
//!                                       bodies         u8: how many; then, of each,
//!                                       form           u8: 0 null, 1 text, 2 JSON
//!                                       name           u8 (length), UTF-8
//!                                       body           u32 (length), as it came
//! ```
//!
//! A body is a field of the row's JSON that stands outside of it, so that the thread which
//! serves a call does not have to escape a text or to check that JSON is JSON: it becomes a
//! field when it is read.
//!
//! Both checksums are CRC-32C. The header's covers the bytes before it, the salt of the segment
//! (see `segment.rs`) and the offset of the record in it. So a header is only valid at the place
//! it was written to: neither bytes of a client's prompt nor remains of an older file pass for
//! a record when a reader looks for the next one behind damage. `FF` and `FE` never occur in
//! UTF-8, so in practice a search does not even stop inside a payload.

use serde_json::value::RawValue;
use uuid::Uuid;

use super::AppendError;

pub(super) const MAGIC: [u8; 4] = [0xFF, b'T', b'J', 0xFE];
pub(super) const HEADER_BYTES: usize = 28;
/// Bytes of a row beside its JSON.
const ROW_BYTES: usize = 16 + 1 + 16 + 8 + 4;
/// In the byte of the kind.
const WITH_BODIES: u8 = 128;
/// A record is held in memory as a whole, by whoever writes and by whoever reads it.
pub(super) const MAX_RECORD_BYTES: u64 = 128 << 20;

/// One row of the record of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// UUIDv7; tells a row that is delivered twice.
    pub id: Uuid,
    pub kind: RowKind,
    /// The call that the row belongs to; its own id for an inference.
    pub inference_id: Uuid,
    pub time_unix_ms: u64,
    /// The whole row, without secrets.
    pub json: Vec<u8>,
}

/// What a row tells about. The numbers are those on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RowKind {
    /// One call by a client.
    Inference = 1,
    /// One attempt at an endpoint.
    ModelInference = 2,
    Feedback = 3,
    Decision = 4,
    PluginEvent = 5,
    Snapshot = 6,
}

impl RowKind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Inference,
            2 => Self::ModelInference,
            3 => Self::Feedback,
            4 => Self::Decision,
            5 => Self::PluginEvent,
            6 => Self::Snapshot,
            _ => return None,
        })
    }
}

/// The rows of one call, as the bytes that are written: a record that lacks its header.
#[derive(Debug)]
pub struct Rows {
    /// Room for the header, then the payload.
    bytes: Vec<u8>,
    count: u32,
}

/// A row without its JSON.
#[derive(Debug, Clone, Copy)]
pub struct RowHead {
    pub id: Uuid,
    pub kind: RowKind,
    pub inference_id: Uuid,
    pub time_unix_ms: u64,
}

/// A field whose value becomes JSON when the row is read.
#[derive(Debug, Clone, Copy)]
pub enum Body<'a> {
    Null,
    Text(&'a str),
    /// Bytes that are JSON; `null` where they turn out not to be.
    Json(&'a [u8]),
}

impl Rows {
    /// None yet; memory for so many bytes of JSON at first.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut room = Vec::with_capacity(HEADER_BYTES.saturating_add(bytes));
        room.extend_from_slice(&[0; HEADER_BYTES]);
        Self { bytes: room, count: 0 }
    }

    pub fn of(rows: &[Row]) -> Self {
        let mut all = Self::with_capacity(rows.iter().map(|row| ROW_BYTES + row.json.len()).sum());
        for Row { id, kind, inference_id, time_unix_ms, json } in rows {
            let (id, kind, inference_id) = (*id, *kind, *inference_id);
            let head = RowHead { id, kind, inference_id, time_unix_ms: *time_unix_ms };
            all.push(head, &[], |bytes| bytes.extend_from_slice(json));
        }
        all
    }

    /// Adds a row: `json` appends an object, which has these bodies as further fields. Names
    /// are short, and need no escape.
    pub fn push(
        &mut self,
        head: RowHead,
        bodies: &[(&'static str, Body<'_>)],
        json: impl FnOnce(&mut Vec<u8>),
    ) {
        let bytes = &mut self.bytes;
        bytes.extend_from_slice(head.id.as_bytes());
        bytes.push(head.kind as u8 | if bodies.is_empty() { 0 } else { WITH_BODIES });
        bytes.extend_from_slice(head.inference_id.as_bytes());
        bytes.extend_from_slice(&head.time_unix_ms.to_le_bytes());
        let length_at = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        let start = bytes.len();
        json(bytes);
        let length = length(bytes.len() - start);
        if let Some(place) = bytes.get_mut(length_at..start) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        if !bodies.is_empty() {
            bytes.push(bodies.len() as u8);
        }
        for (name, body) in bodies {
            let (form, body) = match body {
                Body::Null => (0, &[][..]),
                Body::Text(text) => (1, text.as_bytes()),
                Body::Json(json) => (2, *json),
            };
            bytes.extend_from_slice(&[form, name.len() as u8]);
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&self::length(body.len()).to_le_bytes());
            bytes.extend_from_slice(body);
        }
        self.count += 1;
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// `limit`: bytes of the longest record that the journal takes.
    pub(super) fn record(&mut self, limit: u64) -> Result<Record<'_>, AppendError> {
        let bytes = self.bytes.len() as u64;
        let payload = self.bytes.get(HEADER_BYTES..).unwrap_or_default();
        let (Ok(payload_length), true) = (u32::try_from(payload.len()), bytes <= limit) else {
            return Err(AppendError::TooLong { bytes, limit });
        };
        let payload_checksum = crc32c::crc32c(payload);
        Ok(Record { bytes: &mut self.bytes, rows: self.count, payload_length, payload_checksum })
    }
}

/// What does not fit is over the limit of every journal.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A record that only lacks its place: the part of the work that needs no lock.
pub(super) struct Record<'a> {
    bytes: &'a mut [u8],
    rows: u32,
    payload_length: u32,
    payload_checksum: u32,
}

impl Record<'_> {
    /// Bytes of the whole record.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn rows(&self) -> u32 {
        self.rows
    }

    /// The finished record for this place.
    pub(super) fn placed(&mut self, salt: u64, offset: u64, first_row: u64) -> &[u8] {
        let header = Header {
            payload_length: self.payload_length,
            first_row,
            rows: self.rows,
            payload_checksum: self.payload_checksum,
        };
        let encoded = header.encode(salt, offset);
        for (place, byte) in self.bytes.iter_mut().zip(encoded) {
            *place = byte;
        }
        self.bytes
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

/// The rows of a payload whose checksum was right; absent if it is no payload of this version.
pub(super) fn decode_rows(payload: &[u8], count: u32) -> Option<Vec<Row>> {
    // The shortest row bounds what the count may make us reserve.
    let possible = payload.len() / ROW_BYTES;
    let mut rows = Vec::with_capacity(possible.min(count as usize));
    let mut fields = Fields(payload);
    for _ in 0..count {
        let id = Uuid::from_bytes(fields.array()?);
        let [kind] = fields.array()?;
        let mut row = Row {
            id,
            kind: RowKind::from_byte(kind & !WITH_BODIES)?,
            inference_id: Uuid::from_bytes(fields.array()?),
            time_unix_ms: fields.u64()?,
            json: fields.bytes()?.to_vec(),
        };
        if kind & WITH_BODIES != 0 {
            let [bodies] = fields.array()?;
            for _ in 0..bodies {
                fields.body(&mut row.json)?;
            }
        }
        rows.push(row);
    }
    fields.0.is_empty().then_some(rows)
}

/// Takes values from the front of a slice.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*front)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// As many as a number before them says.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Makes a body a field of the object `json`.
    fn body(&mut self, json: &mut Vec<u8>) -> Option<()> {
        let [form, name] = self.array()?;
        let name = self.take(name.into())?;
        let body = self.bytes()?;
        if json.pop() != Some(b'}') {
            return None;
        }
        if json.last() != Some(&b'{') {
            json.push(b',');
        }
        json.push(b'"');
        json.extend_from_slice(name);
        json.extend_from_slice(b"\":");
        match form {
            1 => serde_json::to_writer(&mut *json, std::str::from_utf8(body).ok()?).ok()?,
            2 => {
                // Whoever wrote it knew that it is JSON; a row must never be broken by a mistake.
                let value = serde_json::from_slice::<&RawValue>(body).map_or("null", RawValue::get);
                json.extend_from_slice(value.as_bytes());
            }
            0 => json.extend_from_slice(b"null"),
            _ => return None,
        }
        json.push(b'}');
        Some(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test should say where")]

    use proptest::prelude::*;

    use super::*;

    pub(crate) fn row(json: Vec<u8>) -> Row {
        Row {
            id: Uuid::now_v7(),
            kind: RowKind::Decision,
            inference_id: Uuid::now_v7(),
            time_unix_ms: 1_700_000_000_000,
            json,
        }
    }

    #[test]
    fn record_is_valid_only_at_its_own_place() {
        let mut rows = Rows::of(&[row(b"{}".to_vec())]);
        let mut record = rows.record(1000).unwrap();
        let bytes = record.placed(7, 100, 3).to_vec();
        assert_eq!(Header::decode(&bytes, 7, 100).unwrap().first_row, 3);
        assert_eq!(Header::decode(&bytes, 8, 100), None);
        assert_eq!(Header::decode(&bytes, 7, 101), None);
    }

    #[test]
    fn record_over_the_limit_is_refused() {
        let mut rows = Rows::of(&[row(vec![b' '; 1000])]);
        assert!(matches!(
            rows.record(1000),
            Err(AppendError::TooLong { bytes: 1073, limit: 1000 })
        ));
    }

    fn read(rows: &mut Rows) -> Vec<Row> {
        let mut record = rows.record(1 << 20).unwrap();
        let count = record.rows();
        decode_rows(&record.placed(1, 0, 0)[HEADER_BYTES..], count).unwrap()
    }

    #[test]
    fn body_is_a_field_when_it_is_read() {
        let mut rows = Rows::with_capacity(0);
        let Row { id, kind, inference_id, time_unix_ms, .. } = row(Vec::new());
        let head = RowHead { id, kind, inference_id, time_unix_ms };
        let bodies = [
            ("text", Body::Text("a \"b\"\n\u{1}é")),
            ("none", Body::Null),
            ("json", Body::Json(b" {\"a\": [1]}\n")),
            ("broken", Body::Json(b"{\"a\": ")),
        ];
        rows.push(head, &bodies, |json| json.extend_from_slice(b"{\"id\":1}"));
        rows.push(head, &bodies[1..2], |json| json.extend_from_slice(b"{}"));
        rows.push(head, &[], |json| json.extend_from_slice(b"{}"));
        let read = read(&mut rows);
        assert_eq!(
            str::from_utf8(&read[0].json).unwrap(),
            r#"{"id":1,"text":"a \"b\"\n\u0001é","none":null,"json":{"a": [1]},"broken":null}"#
        );
        assert_eq!((&*read[1].json, &*read[2].json), (&b"{\"none\":null}"[..], &b"{}"[..]));
        assert!(read.iter().all(|row| row.kind == RowKind::Decision && row.id == id));
    }

    proptest! {
        #[test]
        fn rows_survive_encoding(bodies in prop::collection::vec(
            prop::collection::vec(any::<u8>(), 0..50), 1..5,
        )) {
            let rows: Vec<Row> = bodies.into_iter().map(row).collect();
            let mut encoded = Rows::of(&rows);
            let mut record = encoded.record(1 << 20).unwrap();
            let count = record.rows();
            let bytes = record.placed(1, 0, 0);
            let header = Header::decode(bytes, 1, 0).unwrap();
            prop_assert_eq!(header.record_bytes(), bytes.len() as u64);
            prop_assert!(header.matches(&bytes[HEADER_BYTES..]));
            prop_assert_eq!(decode_rows(&bytes[HEADER_BYTES..], count), Some(rows));
        }

        #[test]
        fn arbitrary_payload_never_panics(
            payload in prop::collection::vec(any::<u8>(), 0..200),
            count in any::<u32>(),
        ) {
            if let Some(rows) = decode_rows(&payload, count) {
                prop_assert_eq!(rows.len(), count as usize);
            }
        }
    }
}
