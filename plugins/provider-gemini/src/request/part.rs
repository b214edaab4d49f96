//! Blocks to parts: text, media, calls, and parts that stood there as they are.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use torana_plugin_sdk::CallError;
use torana_plugin_sdk::chat::{Block, MediaKind, MediaSource, is_carrier};
use torana_plugin_sdk::wire::encoded::unsupported;

use super::result::FunctionResponse;
use crate::DIALECT;
use crate::model::Model;
use crate::settings::Platform;

/// Where files that were uploaded to AI Studio are named.
const FILES: &str = "https://generativelanguage.googleapis.com/v1beta/";

/// For whom a part is written.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) platform: Platform,
    pub(super) model: Model<'a>,
}

/// A part of a content.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(flatten)]
    body: Whole<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    thought: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Whole<'a> {
    Known(Body<'a>),
    Given(&'a Map<String, Value>),
}

/// What a part holds.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Body<'a> {
    Text(&'a str),
    InlineData(Blob<'a>),
    FileData(File<'a>),
    FunctionCall(FunctionCall<'a>),
    FunctionResponse(FunctionResponse<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blob<'a> {
    mime_type: &'a str,
    data: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'a str>,
    file_uri: Cow<'a, str>,
}

#[derive(Serialize)]
pub(super) struct FunctionCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    args: Arguments<'a>,
}

/// Arguments of a call, which must be an object here.
#[derive(Serialize)]
#[serde(untagged)]
enum Arguments<'a> {
    Json(&'a RawValue),
    Empty {},
    /// What the model wrote instead of an object.
    Text {
        arguments: &'a str,
    },
}

impl<'a> Part<'a> {
    pub(super) fn of(body: Body<'a>) -> Self {
        Self { body: Whole::Known(body), thought: false, thought_signature: None }
    }

    pub(super) fn text(text: &'a str) -> Self {
        Self::of(Body::Text(text))
    }

    pub(super) fn thought(text: &'a str) -> Self {
        Self { thought: true, ..Self::text(text) }
    }

    pub(super) fn media(block: &'a Block, target: Target<'_>) -> Result<Self, CallError> {
        media(block, target).map(Self::of)
    }

    /// Only models that give calls an id take one: older ones refuse the field.
    pub(super) fn call(id: &'a str, name: &'a str, arguments: &'a str, target: Target<'_>) -> Self {
        let id = Some(id).filter(|_| target.model.is_third_generation());
        let args = arguments_of(arguments);
        Self::of(Body::FunctionCall(FunctionCall { id, name, args }))
    }

    /// A part that stands as it was given may have its signature already.
    pub(super) fn signed(self, signature: &'a str) -> Self {
        match &self.body {
            Whole::Given(fields) if fields.contains_key("thoughtSignature") => self,
            _ => Self { thought_signature: Some(signature), ..self },
        }
    }

    pub(super) fn sign_if_unsigned(&mut self, signature: &'a str) {
        self.thought_signature.get_or_insert(signature);
    }

    pub(super) fn is_call(&self) -> bool {
        matches!(self.body, Whole::Known(Body::FunctionCall(_)))
    }

    pub(super) fn is_result(&self) -> bool {
        matches!(self.body, Whole::Known(Body::FunctionResponse(_)))
    }
}

/// A block of our own dialect: a part as it stood.
pub(super) fn own<'a>(dialect: &str, value: &'a Value) -> Option<Part<'a>> {
    let fields = value.as_object().filter(|_| dialect == DIALECT)?;
    Some(Part { body: Whole::Given(fields), thought: false, thought_signature: None })
}

/// Content that cannot be left out. What another dialect says of the block before is no
/// content.
pub(super) fn refuse(block: &Block) -> Result<(), CallError> {
    Err(match block {
        block if is_fields(block) => return Ok(()),
        Block::Other { dialect, value } => {
            let kind = value.get("type").and_then(Value::as_str).unwrap_or("block");
            unsupported(&format!("content of type {kind:?} of the dialect {dialect}"))
        }
        Block::ToolCall { .. } => unsupported("a tool call that the assistant did not make"),
        Block::ToolResult { .. } => unsupported("a tool result in this place"),
        _ => unsupported("a content block in this place"),
    })
}

/// Fields of another dialect that its codec keeps beside a block, such as
/// `openai-chat-fields`.
pub(super) fn is_fields(block: &Block) -> bool {
    matches!(block, Block::Other { dialect, .. } if is_carrier(dialect))
}

pub(super) fn media<'a>(block: &'a Block, target: Target<'_>) -> Result<Body<'a>, CallError> {
    let Block::Media { kind, source, mime_type, filename, .. } = block else {
        return Err(unsupported("a content block in this place"));
    };
    let stated = mime_type.as_deref().filter(|mime_type| !mime_type.is_empty());
    Ok(match source {
        MediaSource::Inline { data } => {
            let named = filename.as_deref().and_then(by_extension);
            let mime_type = stated.or(named).unwrap_or_else(|| by_first_bytes(*kind, data));
            Body::InlineData(Blob { mime_type, data })
        }
        MediaSource::Url { url } => {
            Body::FileData(File { mime_type: stated.or(by_extension(url)), file_uri: url.into() })
        }
        MediaSource::Id { id } => {
            let file_uri = match target.platform {
                _ if id.starts_with("https://") || id.starts_with("gs://") => id.into(),
                Platform::AiStudio if id.starts_with("files/") => format!("{FILES}{id}").into(),
                _ => return Err(unsupported("a file uploaded to another provider")),
            };
            Body::FileData(File { mime_type: stated, file_uri })
        }
    })
}

/// Gemini insists on a type for inline data, and Vertex for files too.
const EXTENSIONS: [(&str, &str); 21] = [
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("webp", "image/webp"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("gif", "image/gif"),
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("md", "text/markdown"),
    ("csv", "text/csv"),
    ("html", "text/html"),
    ("mp3", "audio/mpeg"),
    ("wav", "audio/wav"),
    ("ogg", "audio/ogg"),
    ("flac", "audio/flac"),
    ("m4a", "audio/mp4"),
    ("mp4", "video/mp4"),
    ("mpeg", "video/mpeg"),
    ("mov", "video/quicktime"),
    ("webm", "video/webm"),
];

/// Of a file's name or the path of a URL.
fn by_extension(name: &str) -> Option<&'static str> {
    let path = name.split(['?', '#']).next().unwrap_or(name);
    let extension = path.rsplit('/').next()?.rsplit_once('.')?.1;
    let known = EXTENSIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension));
    known.map(|(_, mime_type)| *mime_type)
}

/// From the first bytes, as they look in base64.
fn by_first_bytes(kind: MediaKind, data: &str) -> &'static str {
    let signatures = [
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("JVBERi0", "application/pdf"),
        ("SUQz", "audio/mpeg"),
        ("T2dnUw", "audio/ogg"),
        ("ZkxhQ", "audio/flac"),
    ];
    let known = signatures.iter().find(|(signature, _)| data.starts_with(signature));
    match (known, kind) {
        (Some((_, mime_type)), _) => mime_type,
        // RIFF is the beginning of both.
        (None, MediaKind::Audio) => "audio/wav",
        (None, MediaKind::Image) if data.starts_with("UklGR") => "image/webp",
        (None, MediaKind::Image) => "image/jpeg",
        (None, MediaKind::Video) => "video/mp4",
        (None, MediaKind::File) => "application/pdf",
    }
}

fn arguments_of(arguments: &str) -> Arguments<'_> {
    let trimmed = arguments.trim();
    if trimmed.is_empty() {
        return Arguments::Empty {};
    }
    match object(trimmed) {
        Some(json) => Arguments::Json(json),
        None => Arguments::Text { arguments },
    }
}

/// A text that is a JSON object.
pub(super) fn object(text: &str) -> Option<&RawValue> {
    let text = text.trim();
    text.starts_with('{').then(|| serde_json::from_str(text).ok())?
}
