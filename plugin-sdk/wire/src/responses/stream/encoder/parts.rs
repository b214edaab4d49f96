//! Events about one part of an item: begun, whole, done.
//!
//! A part under `summary` and one under `content` have events of different names and places;
//! a call has no parts, and only its arguments are done.

use serde_json::{Map, Value, json};

use super::super::super::item::{Content, Part};
use super::super::super::{PART, part};
use super::{Encoder, Kind, Open};
use crate::chat::Block;

impl Encoder {
    /// A part of a message that this wire alone knows.
    pub(super) fn part_whole(&mut self, block: &Block, out: &mut Vec<u8>) {
        let Block::Other { dialect, value } = block else {
            return;
        };
        let place = self.items.current().filter(|_| dialect == PART);
        let Some((place, item)) = place.and_then(|place| Some((place, self.items.get(place)?)))
        else {
            return;
        };
        let Content::Message(parts) = &item.content else {
            return;
        };
        let part = parts.len().saturating_sub(1);
        for name in ["response.content_part.added", "response.content_part.done"] {
            let fields = json!({"item_id": item.id, "output_index": place, "content_index": part,
                "part": value});
            self.sse.event(name, fields, out);
        }
    }

    pub(super) fn part_added(&mut self, open: Open, out: &mut Vec<u8>) {
        match open.kind {
            Kind::Text => {
                let part = Value::Object(part::output_text("", &Map::new()));
                self.of_part("response.content_part.added", open, "part", part, out);
            }
            Kind::Refusal => {
                let part = json!({"type": "refusal", "refusal": ""});
                self.of_part("response.content_part.added", open, "part", part, out);
            }
            Kind::Reasoning => {
                let part = json!({"type": "reasoning_text", "text": ""});
                self.of_part("response.content_part.added", open, "part", part, out);
            }
            Kind::Summary => {
                let part = json!({"type": "summary_text", "text": ""});
                self.of_part("response.reasoning_summary_part.added", open, "part", part, out);
            }
            Kind::Call => {}
        }
    }

    pub(super) fn part_done(&mut self, open: Open, out: &mut Vec<u8>) {
        let Some(item) = self.items.get(open.item) else {
            return;
        };
        let (name, key, value, part) = match (&item.content, open.kind) {
            (Content::Message(parts), Kind::Text | Kind::Refusal) => match parts.get(open.part) {
                Some(part @ Part::Text { text, .. }) => {
                    ("response.output_text.done", "text", text.as_str().into(), part.value())
                }
                Some(part @ Part::Refusal(text)) => {
                    ("response.refusal.done", "refusal", text.as_str().into(), part.value())
                }
                _ => return,
            },
            (Content::Reasoning { summary, .. }, Kind::Summary) => {
                let text = summary.get(open.part).map(String::as_str).unwrap_or_default();
                let part = json!({"type": "summary_text", "text": text});
                ("response.reasoning_summary_text.done", "text", text.into(), part)
            }
            (Content::Reasoning { text, .. }, Kind::Reasoning) => {
                let text = text.get(open.part).map(String::as_str).unwrap_or_default();
                let part = json!({"type": "reasoning_text", "text": text});
                ("response.reasoning_text.done", "text", text.into(), part)
            }
            (Content::Call { arguments, name, .. }, Kind::Call) => {
                let fields = json!({"item_id": item.id, "output_index": open.item, "name": name,
                    "arguments": arguments});
                self.sse.event("response.function_call_arguments.done", fields, out);
                return;
            }
            _ => return,
        };
        let done = match open.kind {
            Kind::Summary => "response.reasoning_summary_part.done",
            _ => "response.content_part.done",
        };
        self.of_part(name, open, key, value, out);
        self.of_part(done, open, "part", part, out);
    }

    /// An event about one part, with one field of its own.
    fn of_part(&mut self, name: &str, open: Open, key: &str, value: Value, out: &mut Vec<u8>) {
        let Some(item) = self.items.get(open.item) else {
            return;
        };
        let mut fields = Map::new();
        fields.insert("item_id".into(), item.id.as_str().into());
        fields.insert("output_index".into(), open.item.into());
        if let Some(place) = place_key(open.kind) {
            fields.insert(place.into(), open.part.into());
        }
        if name == "response.output_text.done"
            && let Content::Message(parts) = &item.content
            && let Some(Part::Text { extra, .. }) = parts.get(open.part)
        {
            fields.insert("logprobs".into(), part::logprobs(extra).into());
        }
        fields.insert(key.into(), value);
        self.sse.event(name, Value::Object(fields), out);
    }
}

pub(super) fn place_key(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Text | Kind::Refusal | Kind::Reasoning => Some("content_index"),
        Kind::Summary => Some("summary_index"),
        Kind::Call => None,
    }
}
