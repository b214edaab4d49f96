//! Images and documents, both ways.
//!
//! Anthropic takes images in four formats, PDF documents and plain text. What it does not
//! take is refused here, so that another endpoint can be asked; leaving it out would change
//! the question.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::message::{Body, Source};
use crate::DecodeError;
use crate::chat::{Block, CacheMarker, MediaKind, MediaSource, Role};
use crate::encoded::unsupported;
use crate::error::CallError;
use crate::pointer::{Path, object, take_optional_string, take_string};

const IMAGE_TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const PDF: &str = "application/pdf";

/// Types of text that do not begin with `text/`.
const TEXT_TYPES: [&str; 5] = [
    "application/json",
    "application/xml",
    "application/yaml",
    "application/x-yaml",
    "application/javascript",
];

/// The body of a media block.
///
/// # Errors
/// `Unsupported`, naming what the wire has no place for.
pub(super) fn encode(block: &Block, role: Role) -> Result<Body<'_>, CallError> {
    let Block::Media { kind, source, mime_type, filename, .. } = block else {
        return Err(unsupported("content that is no media"));
    };
    let mime_type = mime_type.as_deref();
    match (kind, role) {
        (MediaKind::Audio, _) => return Err(unsupported("audio input")),
        (MediaKind::Video, _) => return Err(unsupported("video input")),
        (_, Role::System | Role::Developer) => return Err(unsupported("media in instructions")),
        (_, Role::Assistant) => return Err(unsupported("media in an assistant's turn")),
        (MediaKind::Image | MediaKind::File, Role::User | Role::Tool) => {}
    }
    let title = filename.as_deref();
    let data = match source {
        MediaSource::Url { url } => return Ok(body(*kind, Source::Url { url }, title)),
        MediaSource::Id { id } => return Ok(body(*kind, Source::File { file_id: id }, title)),
        MediaSource::Inline { data } => data,
    };
    let media_type = mime_type.unwrap_or_else(|| guess(*kind, data));
    let is_known = match kind {
        MediaKind::Image => IMAGE_TYPES.contains(&media_type),
        _ => media_type == PDF,
    };
    if is_known {
        return Ok(body(*kind, Source::Base64 { media_type, data }, title));
    }
    let is_text = media_type.starts_with("text/") || TEXT_TYPES.contains(&media_type);
    match (is_text && *kind == MediaKind::File).then(|| text(data)).flatten() {
        Some(text) => {
            let source = Source::Text { media_type: "text/plain", data: Cow::Owned(text) };
            Ok(body(*kind, source, title))
        }
        None => Err(unsupported(&format!("input of type {media_type}"))),
    }
}

fn body<'a>(kind: MediaKind, source: Source<'a>, title: Option<&'a str>) -> Body<'a> {
    match kind {
        MediaKind::Image => Body::Image { source },
        _ => Body::Document { source, title },
    }
}

/// Anthropic takes text as text.
fn text(data: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(data.trim_end()).ok()?).ok()
}

/// From the first bytes, as they look in base64: Anthropic insists on a type.
fn guess(kind: MediaKind, data: &str) -> &'static str {
    let signatures = [
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("UklGR", "image/webp"),
        ("JVBERi0", PDF),
    ];
    let known = signatures.iter().find(|(signature, _)| data.starts_with(signature));
    match (known, kind) {
        (Some((_, mime_type)), _) => mime_type,
        (None, MediaKind::File) => PDF,
        (None, _) => "application/octet-stream",
    }
}

/// What a client's block with a `source` means.
pub(super) enum Decoded {
    Media(Block),
    /// A document that is text: the text, for the block that it becomes.
    Text(String),
    /// A source that only Anthropic knows.
    Foreign,
}

/// Takes the source and what belongs to it out of `fields`, or leaves them as they are.
pub(super) fn decode(
    kind: MediaKind,
    fields: &mut Map<String, Value>,
    cache: Option<CacheMarker>,
    path: &Path<'_>,
) -> Result<Decoded, DecodeError> {
    let path_of_source = path.key("source");
    let mut source = match fields.get("source") {
        None | Some(Value::Null) => return Err(path_of_source.missing("an object")),
        Some(value) => object(value.clone(), &path_of_source)?,
    };
    let path_of_source = &path_of_source;
    let (found, mime_type) = match take_string(&mut source, "type", path_of_source)?.as_str() {
        "base64" => {
            let data = take_string(&mut source, "data", path_of_source)?;
            let mime_type = take_string(&mut source, "media_type", path_of_source)?;
            (MediaSource::Inline { data }, Some(mime_type))
        }
        "url" => (MediaSource::Url { url: take_string(&mut source, "url", path_of_source)? }, None),
        "file" => {
            (MediaSource::Id { id: take_string(&mut source, "file_id", path_of_source)? }, None)
        }
        "text" if kind == MediaKind::File => {
            let text = take_string(&mut source, "data", path_of_source)?;
            source.shift_remove("media_type");
            if source.is_empty() && !text.is_empty() {
                fields.shift_remove("source");
                return Ok(Decoded::Text(text));
            }
            return Ok(Decoded::Foreign);
        }
        _ => return Ok(Decoded::Foreign),
    };
    if !source.is_empty() {
        return Ok(Decoded::Foreign);
    }
    fields.shift_remove("source");
    let filename = match kind {
        MediaKind::File => take_optional_string(fields, "title", path)?,
        _ => None,
    };
    let source = found;
    Ok(Decoded::Media(Block::Media { kind, source, mime_type, filename, detail: None, cache }))
}
