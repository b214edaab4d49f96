//! Events as they go over the wire, numbered.

use serde::Serialize;
use serde_json::Value;

/// Writes events with rising `sequence_number`.
#[derive(Debug, Default)]
pub(super) struct Sse {
    next: u64,
}

impl Sse {
    /// An event with these fields, which are an object.
    pub(super) fn event(&mut self, name: &str, fields: Value, out: &mut Vec<u8>) {
        self.head(name, out);
        if let Value::Object(fields) = &fields {
            for (key, value) in fields {
                key_value(key, value, out);
            }
        }
        out.extend(b"}\n\n");
    }

    /// A piece of text: the one event that comes by the thousand. `part` is the name and the
    /// number of the part's place, if the item has parts.
    #[expect(clippy::too_many_arguments, reason = "the fields of one event")]
    pub(super) fn delta(
        &mut self,
        name: &str,
        item_id: &str,
        output_index: usize,
        part: Option<(&str, usize)>,
        delta: &str,
        with_logprobs: bool,
        out: &mut Vec<u8>,
    ) {
        self.head(name, out);
        key_value("item_id", &item_id, out);
        key_value("output_index", &output_index, out);
        if let Some((key, place)) = part {
            key_value(key, &place, out);
        }
        key_value("delta", &delta, out);
        if with_logprobs {
            // Demanded by OpenAI's packages; they stand in the events that end the part.
            out.extend(b",\"logprobs\":[]");
        }
        out.extend(b"}\n\n");
    }

    fn head(&mut self, name: &str, out: &mut Vec<u8>) {
        out.extend(b"event: ");
        out.extend(name.as_bytes());
        out.extend(b"\ndata: {\"type\":");
        write_json(&name, out);
        out.extend(b",\"sequence_number\":");
        write_json(&self.next, out);
        self.next = self.next.saturating_add(1);
    }
}

fn key_value(key: &str, value: &impl Serialize, out: &mut Vec<u8>) {
    out.push(b',');
    write_json(&key, out);
    out.push(b':');
    write_json(value, out);
}

/// Into memory, and of types that always have a JSON form: there is nothing that can fail.
fn write_json(value: &impl Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend(b"null");
    }
}
