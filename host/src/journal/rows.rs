//! The rows of one call, as they stand in a record.
//!
//! Layout of a row, all numbers little-endian:
//!
//! ```text
//! id             16 bytes (UUID)
//! kind           u8; 64 more where the row is packed, 128 more where bodies follow
//! inference id   16 bytes (UUID)
//! time           u64, Unix milliseconds
//! length         u32
//! row            packed: an object in MessagePack (<https://msgpack.org>); else in JSON
//! bodies         u8: how many; then, of each,
//!   form         u8: 0 null, 1 text, 2 JSON
//!   name         u8 (length), UTF-8
//!   body         u32 (length), as it came
//! ```
//!
//! Whoever reads gets JSON. The thread that serves a call does not write it: packing costs a
//! third, since no text is searched for what must be escaped and no number made a decimal one.
//! A body is a field of the row that stands outside of it for the same reason: nothing checks
//! that it is UTF-8 or JSON before it is read.

use std::borrow::Cow;
use std::cell::Cell;

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::AppendError;
use super::record::{HEADER_BYTES, Header};

/// Bytes of a row beside its content.
const ROW_BYTES: usize = 16 + 1 + 16 + 8 + 4;
/// In the byte of the kind.
const WITH_BODIES: u8 = 128;
const PACKED: u8 = 64;

/// Of a common call; more is not worth keeping.
const SPARE_BYTES: usize = 64 << 10;

thread_local! {
    /// The memory of the last rows that were let go of: some KiB a call are not cheap to
    /// allocate, and have no place in the caches then.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

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

impl Row {
    fn head(&self) -> RowHead {
        let Self { id, kind, inference_id, time_unix_ms, .. } = *self;
        RowHead { id, kind, inference_id, time_unix_ms }
    }
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

impl Drop for Rows {
    fn drop(&mut self) {
        if (1..=SPARE_BYTES).contains(&self.bytes.capacity()) {
            let bytes = std::mem::take(&mut self.bytes);
            // A thread that ends needs none.
            let _ = SPARE.try_with(|spare| spare.set(bytes));
        }
    }
}

/// A row without its content.
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
    /// A text; what is no UTF-8 in it is replaced.
    Text(&'a [u8]),
    /// Bytes that are JSON; `null` where they turn out not to be.
    Json(&'a [u8]),
}

impl Rows {
    /// None yet; memory for so many bytes of content at first.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut room = SPARE.try_with(Cell::take).unwrap_or_default();
        room.clear();
        room.reserve(HEADER_BYTES.saturating_add(bytes));
        room.extend_from_slice(&[0; HEADER_BYTES]);
        Self { bytes: room, count: 0 }
    }

    /// Rows that are JSON already.
    pub fn of(rows: &[Row]) -> Self {
        let mut all = Self::with_capacity(rows.iter().map(|row| ROW_BYTES + row.json.len()).sum());
        for row in rows {
            all.push_head(row.head(), 0);
            all.push_counted(&row.json);
        }
        all
    }

    /// Adds a row: an object, which has these bodies as further fields. Names are short, and
    /// need no escape.
    ///
    /// # Errors
    ///
    /// It has no form in MessagePack. It is not added then.
    pub fn push(
        &mut self,
        head: RowHead,
        fields: &impl Serialize,
        bodies: &[(&'static str, Body<'_>)],
    ) -> Result<(), rmp_serde::encode::Error> {
        let before = self.bytes.len();
        self.push_head(head, PACKED | if bodies.is_empty() { 0 } else { WITH_BODIES });
        let packed = self.push_packed(fields);
        if packed.is_err() {
            self.bytes.truncate(before);
            self.count -= 1;
            return packed;
        }
        if !bodies.is_empty() {
            self.bytes.push(bodies.len() as u8);
        }
        for (name, body) in bodies {
            let (form, body) = match body {
                Body::Null => (0, &[][..]),
                Body::Text(text) => (1, *text),
                Body::Json(json) => (2, *json),
            };
            self.bytes.extend_from_slice(&[form, name.len() as u8]);
            self.bytes.extend_from_slice(name.as_bytes());
            self.push_counted(body);
        }
        Ok(())
    }

    fn push_head(&mut self, head: RowHead, flags: u8) {
        let bytes = &mut self.bytes;
        bytes.extend_from_slice(head.id.as_bytes());
        bytes.push(head.kind as u8 | flags);
        bytes.extend_from_slice(head.inference_id.as_bytes());
        bytes.extend_from_slice(&head.time_unix_ms.to_le_bytes());
        self.count += 1;
    }

    fn push_packed(&mut self, fields: &impl Serialize) -> Result<(), rmp_serde::encode::Error> {
        let bytes = &mut self.bytes;
        let length_at = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        let start = bytes.len();
        // With names, and ids as text: as it will be in JSON.
        let mut packer =
            rmp_serde::Serializer::new(&mut *bytes).with_struct_map().with_human_readable();
        fields.serialize(&mut packer)?;
        let length = length(bytes.len() - start);
        if let Some(place) = bytes.get_mut(length_at..start) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        Ok(())
    }

    fn push_counted(&mut self, content: &[u8]) {
        self.bytes.extend_from_slice(&length(content.len()).to_le_bytes());
        self.bytes.extend_from_slice(content);
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    /// `limit`: bytes of the longest record that the journal takes.
    pub(super) fn header(&self, limit: u64) -> Result<Header, AppendError> {
        Header::of(&self.bytes, self.count, limit)
    }

    /// Room for the header, then the payload.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

/// What does not fit is over the limit of every journal.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
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
        let unpacked =
            |row: &[u8]| if kind & PACKED == 0 { Some(row.to_vec()) } else { unpack(row) };
        let mut row = Row {
            id,
            kind: RowKind::from_byte(kind & !(WITH_BODIES | PACKED))?,
            inference_id: Uuid::from_bytes(fields.array()?),
            time_unix_ms: fields.u64()?,
            json: unpacked(fields.bytes()?)?,
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

/// A packed row as JSON, its fields in the same order; absent if it is no MessagePack.
fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut unpacker = rmp_serde::Deserializer::from_read_ref(packed);
    let mut json = Vec::with_capacity(packed.len() * 3 / 2);
    let mut writer = serde_json::Serializer::new(&mut json);
    serde_transcode::transcode(&mut unpacker, &mut writer).ok()?;
    Some(json)
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
            1 => serde_json::to_writer(&mut *json, &text(body)).ok()?,
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

fn text(body: &[u8]) -> Cow<'_, str> {
    // Many times as fast as looking for what has to be replaced.
    str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed)
}

/// How a packed row is read, for tests of those who pack it.
#[cfg(test)]
pub(crate) fn read_packed(fields: &impl Serialize) -> String {
    let head = RowHead {
        id: Uuid::nil(),
        kind: RowKind::Inference,
        inference_id: Uuid::nil(),
        time_unix_ms: 0,
    };
    let mut rows = Rows::with_capacity(0);
    let packed = rows.push(head, fields, &[]).ok();
    let read = packed.and_then(|()| decode_rows(rows.bytes.get(HEADER_BYTES..)?, 1)?.pop());
    read.and_then(|row| String::from_utf8(row.json).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test should say where")]

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::record::Record;
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

    fn read(rows: &mut Rows) -> Vec<Row> {
        let count = rows.count();
        decode_rows(&rows.bytes()[HEADER_BYTES..], count).unwrap()
    }

    #[test]
    fn body_is_a_field_when_it_is_read() {
        let mut rows = Rows::with_capacity(0);
        let head = row(Vec::new()).head();
        let bodies = [
            ("text", Body::Text("a \"b\"\n\u{1}é".as_bytes())),
            ("bytes", Body::Text(b"a\xFFb")),
            ("none", Body::Null),
            ("json", Body::Json(b" {\"a\": [1]}\n")),
            ("broken", Body::Json(b"{\"a\": ")),
        ];
        rows.push(head, &json!({ "id": 1 }), &bodies).unwrap();
        rows.push(head, &json!({}), &bodies[2..3]).unwrap();
        rows.push(head, &json!({}), &[]).unwrap();
        let read = read(&mut rows);
        assert_eq!(
            str::from_utf8(&read[0].json).unwrap(),
            r#"{"id":1,"text":"a \"b\"\n\u0001é","bytes":"a�b","none":null,"json":{"a": [1]},"broken":null}"#
        );
        assert_eq!((&*read[1].json, &*read[2].json), (&b"{\"none\":null}"[..], &b"{}"[..]));
        assert!(read.iter().all(|row| row.kind == head.kind && row.id == head.id));
    }

    #[test]
    fn row_that_cannot_be_packed_leaves_no_trace() {
        #[derive(Serialize)]
        struct Broken {
            first: u64,
            #[serde(serialize_with = "fail")]
            second: (),
        }
        fn fail<S: serde::Serializer>(_: &(), _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
        let head = row(Vec::new()).head();
        let mut rows = Rows::with_capacity(0);
        rows.push(head, &json!({ "first": 1 }), &[]).unwrap();
        assert!(
            rows.push(head, &Broken { first: 1, second: () }, &[("none", Body::Null)]).is_err()
        );
        assert_eq!(read(&mut rows).len(), 1);
    }

    /// Any JSON but for numbers that are too large for it.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..20)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn packed_row_is_read_as_the_json_it_would_have_been(
            fields in prop::collection::vec((any::<String>(), value()), 0..20),
        ) {
            let fields = Value::Object(fields.into_iter().collect());
            prop_assert_eq!(read_packed(&fields), fields.to_string());
        }

        #[test]
        fn rows_survive_encoding(bodies in prop::collection::vec(
            prop::collection::vec(any::<u8>(), 0..50), 1..5,
        )) {
            let rows: Vec<Row> = bodies.into_iter().map(row).collect();
            let encoded = Rows::of(&rows);
            let count = encoded.count();
            let mut record = Record { header: encoded.header(1 << 20).unwrap(), rows: encoded };
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
