//! Parts of the answer to blocks.

use serde_json::{Map, Value, json};
use torana_plugin_sdk::{BlockKind, CallError, StreamEvent};

use super::arguments::Arguments;
use super::decoder::{Decoder, Open, malformed, take_text};
use crate::DIALECT;

impl Decoder {
    pub(super) fn part(
        &mut self,
        mut part: Map<String, Value>,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        let signature = take_text(&mut part, "thoughtSignature");
        let is_thought = part.get("thought") == Some(&Value::Bool(true));
        if let Some(Value::Object(call)) = part.shift_remove("functionCall") {
            return self.call(call, signature, events);
        }
        if let Some(Value::String(text)) = part.get_mut("text").map(Value::take) {
            match is_thought {
                true => self.thought(text, signature, events),
                false => self.text(text, signature, events),
            }
            return Ok(());
        }
        if !signature.is_empty() {
            self.sign(signature, events);
        }
        // Images that the model only thinks of are not its answer.
        let block = match (part.shift_remove("inlineData"), part.shift_remove("fileData")) {
            (Some(Value::Object(data)), _) if !is_thought => media(data, "data"),
            (_, Some(Value::Object(file))) if !is_thought => media(file, "fileUri"),
            (data, file) => {
                part.extend(data.map(|data| ("inlineData".to_owned(), data)));
                part.extend(file.map(|file| ("fileData".to_owned(), file)));
                part.retain(|_, value| !value.is_null());
                if part.is_empty() {
                    return Ok(());
                }
                json!({"type": "other", "dialect": DIALECT, "value": part})
            }
        };
        self.whole(BlockKind::Other(block), events);
        Ok(())
    }

    fn text(&mut self, text: String, signature: String, events: &mut Vec<StreamEvent>) {
        if !signature.is_empty() {
            self.sign(signature, events);
        }
        if text.is_empty() {
            return;
        }
        let index = match self.open {
            Open::Text(index) => index,
            _ => {
                self.end_block(false, events);
                let index = self.start(BlockKind::Text, events);
                self.open = Open::Text(index);
                index
            }
        };
        events.push(StreamEvent::TextDelta { index, text });
    }

    fn thought(&mut self, text: String, signature: String, events: &mut Vec<StreamEvent>) {
        if text.is_empty() && signature.is_empty() {
            return;
        }
        let index = match self.open {
            Open::Reasoning(index) => index,
            _ => {
                self.end_block(false, events);
                let index = self.start(BlockKind::Reasoning, events);
                self.open = Open::Reasoning(index);
                index
            }
        };
        if !text.is_empty() {
            events.push(StreamEvent::ReasoningDelta { index, text });
        }
        if !signature.is_empty() {
            let dialect = DIALECT.into();
            events.push(StreamEvent::ReasoningSignature { index, signature, dialect });
            self.end_block(false, events);
        }
    }

    /// A call that comes whole has its arguments in `args`. One that comes in pieces begins
    /// with its name; what follows without a name belongs to it, until a piece no longer
    /// says `willContinue`.
    fn call(
        &mut self,
        mut call: Map<String, Value>,
        signature: String,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), CallError> {
        let pieces = match call.shift_remove("partialArgs") {
            Some(Value::Array(pieces)) => pieces,
            _ => Vec::new(),
        };
        let whole = call.shift_remove("args").filter(|args| !args.is_null());
        let name = take_text(&mut call, "name");
        if !name.is_empty() {
            self.start_call(name, take_text(&mut call, "id"), signature, events);
        }
        let Open::Call { index, arguments } = &mut self.open else {
            // The end of a call that ended before.
            return match pieces.is_empty() && whole.is_none() {
                true => Ok(()),
                false => Err(malformed("arguments came for no tool call".into())),
            };
        };
        let mut text = String::new();
        if let Some(whole) = whole {
            arguments.push_whole(&whole, &mut text);
        }
        for piece in &pieces {
            arguments.push(piece, &mut text)?;
        }
        if !text.is_empty() {
            events.push(StreamEvent::ToolCallDelta { index: *index, arguments: text });
        }
        if call.get("willContinue") != Some(&Value::Bool(true)) {
            self.end_block(false, events);
        }
        Ok(())
    }

    /// Older models give calls no id: one is made of the response's and the call's position,
    /// so that it is the same each time and no other in the conversation.
    fn start_call(
        &mut self,
        name: String,
        id: String,
        signature: String,
        events: &mut Vec<StreamEvent>,
    ) {
        if !signature.is_empty() {
            self.sign(signature, events);
        }
        self.end_block(false, events);
        let id = match id.is_empty() {
            true => format!("call_{}_{}", self.id, self.calls),
            false => id,
        };
        self.calls += 1;
        let index = self.start(BlockKind::ToolCall { id, name }, events);
        self.open = Open::Call { index, arguments: Box::<Arguments>::default() };
    }
}

/// The canonical JSON of a media block. `place` is where the bytes or their address stand.
fn media(mut fields: Map<String, Value>, place: &str) -> Value {
    let mime_type = take_text(&mut fields, "mimeType");
    let value = take_text(&mut fields, place);
    let kind = match mime_type.split('/').next().unwrap_or_default() {
        kind @ ("image" | "audio" | "video") => kind,
        _ => "file",
    };
    let source = match place {
        "data" => json!({"from": "inline", "data": value}),
        _ => json!({"from": "url", "url": value}),
    };
    let mut block = json!({"type": "media", "kind": kind, "source": source});
    if let Some(block) = block.as_object_mut().filter(|_| !mime_type.is_empty()) {
        block.insert("mime_type".into(), mime_type.into());
    }
    block
}
