//! Content parts of messages and of tool results, both ways.
//!
//! Text is `input_text` or `output_text` by who speaks. Audio has a part of its own, video
//! has none; what cannot be said is refused, never left out. Web citations and log
//! probabilities have the shape of Chat Completions in the payload, so that a client of that
//! dialect can read them, and this wire's shape here. A part of another type is kept as it
//! stood.

use serde_json::{Map, Value, json};

use super::{FIELDS, PART};
use crate::DecodeError;
use crate::chat::{Block, MediaKind, MediaSource};
use crate::encoded::{Dropped, unsupported};
use crate::error::CallError;
use crate::pointer::{Path, object, take_optional_string, take_string};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Input,
    Output,
}

/// Appends the block that a client's part means, and what it has beyond that.
pub(super) fn decode(
    value: Value,
    path: &Path<'_>,
    blocks: &mut Vec<Block>,
) -> Result<(), DecodeError> {
    let mut part = object(value, path)?;
    let kind = take_string(&mut part, "type", path)?;
    match kind.as_str() {
        "input_text" | "output_text" | "text" => {
            let text = take_string(&mut part, "text", path)?;
            blocks.push(text_block(text, part));
        }
        "refusal" => blocks.push(Block::Refusal { text: take_string(&mut part, "refusal", path)? }),
        "input_image" | "input_file" => media(&kind, part, path, blocks)?,
        "input_audio" => audio(part, path, blocks)?,
        _ => {
            part.insert("type".into(), Value::String(kind));
            blocks.push(Block::Other { dialect: PART.into(), value: Value::Object(part) });
        }
    }
    Ok(())
}

/// Text with what was said about it, in the payload's shape.
pub(super) fn text_block(text: String, fields: Map<String, Value>) -> Block {
    Block::Text { text, cache: None, extra: text_extra(fields) }
}

/// Fields beside a text, in the payload's shape.
pub(super) fn text_extra(mut fields: Map<String, Value>) -> Map<String, Value> {
    fields.retain(|_, value| !is_empty(value));
    if let Some(Value::Array(annotations)) = fields.get_mut("annotations") {
        annotations.iter_mut().for_each(nest_citation);
    }
    if let Some(logprobs @ Value::Array(_)) = fields.get_mut("logprobs") {
        *logprobs = json!({"content": logprobs.take()});
    }
    fields
}

/// A `url_citation` has its fields in an object of that name in Chat Completions.
fn nest_citation(annotation: &mut Value) {
    let is_flat = |fields: &Map<String, Value>| {
        fields.get("type").is_some_and(|kind| kind == "url_citation")
            && !fields.contains_key("url_citation")
    };
    if let Some(fields) = annotation.as_object_mut().filter(|fields| is_flat(fields)) {
        fields.shift_remove("type");
        let inner = std::mem::take(fields);
        *annotation = json!({"type": "url_citation", "url_citation": inner});
    }
}

/// The other way round.
fn flat_citation(annotation: &Value) -> Value {
    let inner = annotation.get("url_citation").and_then(Value::as_object);
    match inner {
        Some(inner) => {
            let mut fields = Map::new();
            fields.insert("type".into(), "url_citation".into());
            fields.extend(inner.iter().map(|(key, value)| (key.clone(), value.clone())));
            Value::Object(fields)
        }
        None => annotation.clone(),
    }
}

/// `annotations` of a text, in this wire's shape.
pub(super) fn annotations(extra: &Map<String, Value>) -> Vec<Value> {
    let list = extra.get("annotations").and_then(Value::as_array);
    list.into_iter().flatten().map(flat_citation).collect()
}

/// `logprobs` of a text, in this wire's shape.
pub(super) fn logprobs(extra: &Map<String, Value>) -> Vec<Value> {
    let list = extra.get("logprobs").and_then(|logprobs| logprobs.get("content"));
    list.and_then(Value::as_array).cloned().unwrap_or_default()
}

/// An `output_text` part of an answer.
pub(super) fn output_text(text: &str, extra: &Map<String, Value>) -> Map<String, Value> {
    let mut part = Map::new();
    part.insert("type".into(), "output_text".into());
    part.insert("text".into(), text.into());
    part.insert("annotations".into(), annotations(extra).into());
    part.insert("logprobs".into(), logprobs(extra).into());
    part.extend(further(extra));
    part
}

/// Fields of a text that have no shape of their own here, without those of other dialects.
fn further(extra: &Map<String, Value>) -> impl Iterator<Item = (String, Value)> {
    const PLACED: [&str; 6] =
        ["type", "text", "annotations", "logprobs", "citations", "cache_control"];
    let free = extra.iter().filter(|(key, _)| !PLACED.contains(&key.as_str()));
    free.map(|(key, value)| (key.clone(), value.clone()))
}

/// The part that a block is, if it is one. `next` is the block after it.
///
/// # Errors
/// `Unsupported` for content that the wire has no part for.
pub(super) fn encode(
    block: &Block,
    next: Option<&Block>,
    side: Side,
    dropped: &mut Dropped,
) -> Result<Option<Value>, CallError> {
    let part = match block {
        Block::Text { text, cache, extra } => {
            dropped.note_if(cache.is_some(), "cache_control");
            let mut part = Map::new();
            if side == Side::Output {
                part = output_text(text, extra);
                if part.get("logprobs").is_some_and(is_empty) {
                    part.shift_remove("logprobs");
                }
            } else {
                part.insert("type".into(), "input_text".into());
                part.insert("text".into(), text.as_str().into());
                part.extend(further(extra));
            }
            part
        }
        Block::Refusal { text } if side == Side::Output => Map::from_iter([
            ("type".into(), "refusal".into()),
            ("refusal".into(), text.as_str().into()),
        ]),
        Block::Refusal { text } => Map::from_iter([
            ("type".into(), "input_text".into()),
            ("text".into(), text.as_str().into()),
        ]),
        Block::Media { .. } if side == Side::Output => {
            return Err(unsupported("an image or a file in an assistant's turn"));
        }
        Block::Media { cache, .. } => {
            dropped.note_if(cache.is_some(), "cache_control");
            let mut part = encode_media(block)?;
            if let Some(Block::Other { dialect, value: Value::Object(fields) }) = next
                && dialect == FIELDS
            {
                for (key, value) in fields {
                    part.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
            part
        }
        Block::Other { dialect, value } if dialect == PART => return Ok(Some(value.clone())),
        _ => return Ok(None),
    };
    Ok(Some(Value::Object(part)))
}

fn media(
    kind: &str,
    mut part: Map<String, Value>,
    path: &Path<'_>,
    blocks: &mut Vec<Block>,
) -> Result<(), DecodeError> {
    let is_image = kind == "input_image";
    let (data, link) =
        if is_image { ("image_url", "image_url") } else { ("file_data", "file_url") };
    let inline = take_optional_string(&mut part, data, path)?;
    let linked = take_optional_string(&mut part, link, path)?;
    let id = take_optional_string(&mut part, "file_id", path)?;
    let (source, mime_type) = match (inline, linked, id) {
        (Some(text), _, _) => inline_or_url(text, is_image),
        (None, Some(url), _) => (MediaSource::Url { url }, None),
        (None, None, Some(id)) => (MediaSource::Id { id }, None),
        (None, None, None) => {
            let expected = format!("expected {data}, {link} or file_id, found none of them");
            return Err(path.error(expected.replace("image_url, image_url", "image_url")));
        }
    };
    let media = Block::Media {
        kind: if is_image { MediaKind::Image } else { MediaKind::File },
        source,
        mime_type,
        filename: take_optional_string(&mut part, "filename", path)?,
        detail: take_optional_string(&mut part, "detail", path)?,
        cache: None,
    };
    push_with_fields(media, part, blocks);
    Ok(())
}

fn audio(
    mut part: Map<String, Value>,
    path: &Path<'_>,
    blocks: &mut Vec<Block>,
) -> Result<(), DecodeError> {
    let inner_path = path.key("input_audio");
    let mut inner = match part.shift_remove("input_audio") {
        None | Some(Value::Null) => return Err(inner_path.missing("an object")),
        Some(value) => object(value, &inner_path)?,
    };
    let data = take_string(&mut inner, "data", &inner_path)?;
    let format = take_optional_string(&mut inner, "format", &inner_path)?;
    let media = Block::Media {
        kind: MediaKind::Audio,
        source: MediaSource::Inline { data },
        mime_type: format.map(|format| match format.as_str() {
            "mp3" => "audio/mpeg".into(),
            format => format!("audio/{format}"),
        }),
        filename: None,
        detail: None,
        cache: None,
    };
    if !inner.is_empty() {
        part.insert("input_audio".into(), Value::Object(inner));
    }
    push_with_fields(media, part, blocks);
    Ok(())
}

fn push_with_fields(block: Block, mut fields: Map<String, Value>, blocks: &mut Vec<Block>) {
    blocks.push(block);
    fields.retain(|_, value| !value.is_null());
    if !fields.is_empty() {
        blocks.push(Block::Other { dialect: FIELDS.into(), value: Value::Object(fields) });
    }
}

/// An image is a URL unless it is a `data:` URL, a file is base64 unless it is a URL.
fn inline_or_url(text: String, is_image: bool) -> (MediaSource, Option<String>) {
    let inline = text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match inline {
        Some((mime_type, data)) => {
            let mime_type = (!mime_type.is_empty()).then(|| mime_type.to_owned());
            (MediaSource::Inline { data: data.to_owned() }, mime_type)
        }
        None if is_image => (MediaSource::Url { url: text }, None),
        None => (MediaSource::Inline { data: text }, None),
    }
}

fn encode_media(block: &Block) -> Result<Map<String, Value>, CallError> {
    let Block::Media { kind, source, mime_type, filename, detail, .. } = block else {
        return Ok(Map::new());
    };
    let mime_type = mime_type.as_deref();
    let mut part = Map::new();
    let mut put = |key: &str, value: Value| {
        part.insert(key.into(), value);
    };
    match (kind, source) {
        (MediaKind::Video, _) => return Err(unsupported("video input")),
        (MediaKind::Audio, MediaSource::Inline { data }) => {
            let format = audio_format(mime_type.unwrap_or("audio/wav"));
            put("type", "input_audio".into());
            put("input_audio", json!({"data": data, "format": format}));
        }
        (MediaKind::Audio, _) => return Err(unsupported("audio input by URL or id")),
        (MediaKind::Image, source) => {
            put("type", "input_image".into());
            match source {
                MediaSource::Id { id } => put("file_id", id.as_str().into()),
                MediaSource::Url { url } => put("image_url", url.as_str().into()),
                MediaSource::Inline { data } => {
                    let mime_type = mime_type.unwrap_or_else(|| image_type(data));
                    put("image_url", format!("data:{mime_type};base64,{data}").into());
                }
            }
        }
        (MediaKind::File, source) => {
            put("type", "input_file".into());
            match source {
                MediaSource::Id { id } => put("file_id", id.as_str().into()),
                MediaSource::Url { url } => put("file_url", url.as_str().into()),
                MediaSource::Inline { data } => {
                    // OpenAI tells the kind of a file by its name and refuses one without.
                    if filename.is_none() && mime_type == Some("application/pdf") {
                        put("filename", "file.pdf".into());
                    }
                    put(
                        "file_data",
                        match mime_type {
                            Some(mime_type) => format!("data:{mime_type};base64,{data}").into(),
                            None => data.as_str().into(),
                        },
                    );
                }
            }
        }
    }
    if let Some(filename) = filename {
        part.insert("filename".into(), filename.as_str().into());
    }
    if let Some(detail) = detail {
        part.insert("detail".into(), detail.as_str().into());
    }
    Ok(part)
}

fn audio_format(mime_type: &str) -> &str {
    match mime_type {
        "audio/mpeg" => "mp3",
        "audio/x-wav" | "audio/wave" => "wav",
        mime_type => mime_type.strip_prefix("audio/").unwrap_or(mime_type),
    }
}

/// From the first bytes, as they look in base64: a `data:` URL needs a type.
fn image_type(data: &str) -> &'static str {
    let signatures = [("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("UklGR", "image/webp")];
    let known = signatures.iter().find(|(signature, _)| data.starts_with(signature));
    known.map_or("image/png", |(_, mime_type)| mime_type)
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}
