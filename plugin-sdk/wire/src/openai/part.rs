//! Content parts of the OpenAI wire, both ways.
//!
//! Besides OpenAI's own parts (text, image_url, input_audio, file) those that compatible
//! servers added: `video_url` and `audio_url`. A part of another type is kept as it stood.

use std::borrow::Cow;
use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::{DIALECT, FIELDS};
use crate::DecodeError;
use crate::cache::CacheControl;
use crate::chat::{Block, CacheMarker, MediaKind, MediaSource};
use crate::fields::Fields;
use crate::pointer::{Path, object, take_optional_string, take_string};

/// Appends the block that a content part means, and what it has beyond that.
pub(super) fn decode(
    value: Value,
    path: &Path<'_>,
    blocks: &mut Vec<Block>,
) -> Result<(), DecodeError> {
    let mut part = object(value, path)?;
    let kind = take_string(&mut part, "type", path)?;
    match kind.as_str() {
        "text" => {
            let text = take_string(&mut part, "text", path)?;
            let cache = take_cache(&mut part);
            blocks.push(Block::Text { text, cache, extra: part });
        }
        "refusal" => blocks.push(Block::Refusal { text: take_string(&mut part, "refusal", path)? }),
        "image_url" | "video_url" | "audio_url" | "input_audio" | "file" => {
            media(&kind, part, path, blocks)?;
        }
        _ => {
            part.insert("type".into(), Value::String(kind));
            blocks.push(Block::Other { dialect: DIALECT.into(), value: Value::Object(part) });
        }
    }
    Ok(())
}

fn media(
    kind: &str,
    mut part: Map<String, Value>,
    path: &Path<'_>,
    blocks: &mut Vec<Block>,
) -> Result<(), DecodeError> {
    let path = path.key(kind);
    let mut body = match part.shift_remove(kind) {
        None | Some(Value::Null) => return Err(path.missing("an object")),
        // Mistral and others take the URL bare.
        Some(Value::String(url)) if kind.ends_with("_url") => {
            Map::from_iter([("url".to_owned(), Value::String(url))])
        }
        Some(value) => object(value, &path)?,
    };
    let (source, mime_type) = match kind {
        "input_audio" => {
            let format = take_optional_string(&mut body, "format", &path)?;
            let data = take_string(&mut body, "data", &path)?;
            (MediaSource::Inline { data }, format.map(|format| audio_mime_type(&format)))
        }
        "file" => match take_optional_string(&mut body, "file_data", &path)? {
            Some(data) => file_data(data),
            None => match take_optional_string(&mut body, "file_id", &path)? {
                Some(id) => (MediaSource::Id { id }, None),
                None => {
                    return Err(path.error("expected file_data or file_id, found neither".into()));
                }
            },
        },
        _ => url(take_string(&mut body, "url", &path)?),
    };
    let media = Block::Media {
        kind: match kind {
            "image_url" => MediaKind::Image,
            "video_url" => MediaKind::Video,
            "file" => MediaKind::File,
            _ => MediaKind::Audio,
        },
        source,
        mime_type,
        filename: take_optional_string(&mut body, "filename", &path)?,
        detail: take_optional_string(&mut body, "detail", &path)?,
        cache: take_cache(&mut part),
    };
    blocks.push(media);
    if !body.is_empty() {
        part.insert(kind.to_owned(), Value::Object(body));
    }
    if !part.is_empty() {
        blocks.push(Block::Other { dialect: FIELDS.into(), value: Value::Object(part) });
    }
    Ok(())
}

/// A `data:` URL becomes inline data; any other stays a URL.
fn url(url: String) -> (MediaSource, Option<String>) {
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match inline {
        Some((mime_type, data)) => (
            MediaSource::Inline { data: data.to_owned() },
            (!mime_type.is_empty()).then(|| mime_type.to_owned()),
        ),
        None => (MediaSource::Url { url }, None),
    }
}

/// OpenAI takes a `data:` URL, others also bare base64 or a URL.
fn file_data(data: String) -> (MediaSource, Option<String>) {
    let is_url = ["data:", "http://", "https://"].iter().any(|scheme| data.starts_with(scheme));
    if is_url { url(data) } else { (MediaSource::Inline { data }, None) }
}

fn audio_mime_type(format: &str) -> String {
    match format {
        "mp3" => "audio/mpeg".into(),
        format => format!("audio/{format}"),
    }
}

fn audio_format(mime_type: &str) -> &str {
    match mime_type {
        "audio/mpeg" => "mp3",
        "audio/x-wav" | "audio/wave" => "wav",
        mime_type => mime_type.strip_prefix("audio/").unwrap_or(mime_type),
    }
}

/// `cache_control` as Anthropic spells it and OpenRouter takes it. Left where it is if it
/// says anything but `ephemeral`.
pub(super) fn take_cache(fields: &mut Map<String, Value>) -> Option<CacheMarker> {
    let control = fields.get("cache_control")?.as_object()?;
    let ttl = control.get("ttl").filter(|ttl| !ttl.is_null());
    let known = control.keys().all(|key| key == "type" || key == "ttl")
        && control.get("type")? == "ephemeral"
        && ttl.is_none_or(Value::is_string);
    let marker = CacheMarker { ttl: ttl.and_then(Value::as_str).map(str::to_owned) };
    if !known {
        return None;
    }
    fields.shift_remove("cache_control");
    Some(marker)
}

/// A content part to be written.
pub(super) enum Part<'a> {
    Text {
        text: &'a str,
        cache: Option<&'a CacheMarker>,
        extra: Fields<'a>,
    },
    Media {
        key: &'static str,
        body: MediaBody<'a>,
        cache: Option<&'a CacheMarker>,
        fields: Fields<'a>,
    },
    /// Mistral's part for reasoning.
    Thinking(Cow<'a, str>),
    Other(&'a Value),
}

/// What answers say about their text. In a request it would be refused.
const SAID_OF_ANSWERS: &[&str] = &["annotations", "citations", "logprobs"];

impl<'a> Part<'a> {
    /// Of a block that is a content part here. `next` is the block after it.
    pub(super) fn of(block: &'a Block, next: Option<&'a Block>) -> Option<Self> {
        match block {
            Block::Text { text, cache, extra } => {
                Some(Self::Text { text, cache: cache.as_ref(), extra: Fields::new(extra) })
            }
            Block::Media { cache, .. } => {
                let fields = fields_of(next);
                let (key, body) = MediaBody::of(block)?;
                let body = MediaBody { fields: fields.nested(key), ..body };
                let fields = fields.except(MEDIA_KEYS);
                Some(Self::Media { key, body, cache: cache.as_ref(), fields })
            }
            Block::Other { dialect, value } if dialect == DIALECT => Some(Self::Other(value)),
            _ => None,
        }
    }

    /// Text that no block holds.
    pub(super) fn plain(text: &'a str) -> Self {
        Self::Text { text, cache: None, extra: Fields::default() }
    }

    /// As part of a request.
    pub(super) fn asked(mut self, with_cache: bool) -> Self {
        if let Self::Text { extra, .. } = &mut self {
            *extra = extra.except(SAID_OF_ANSWERS);
        }
        match &mut self {
            Self::Text { cache, .. } | Self::Media { cache, .. } if !with_cache => *cache = None,
            _ => {}
        }
        self
    }

    pub(super) fn is_media(&self) -> bool {
        matches!(self, Self::Media { .. })
    }

    /// Nothing but text.
    pub(super) fn plain_text(&self) -> Option<&'a str> {
        match self {
            Self::Text { text, cache: None, extra } if extra.iter().next().is_none() => Some(text),
            _ => None,
        }
    }
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let (cache, fields) = match self {
            Self::Text { text, cache, extra } => {
                map.serialize_entry("type", "text")?;
                map.serialize_entry("text", text)?;
                (cache, extra)
            }
            Self::Media { key, body, cache, fields } => {
                map.serialize_entry("type", key)?;
                map.serialize_entry(key, body)?;
                (cache, fields)
            }
            Self::Thinking(text) => {
                map.serialize_entry("type", "thinking")?;
                map.serialize_entry("thinking", &[Part::plain(text)])?;
                return map.end();
            }
            Self::Other(value) => {
                for (key, value) in Fields::of(Some(value)).iter() {
                    map.serialize_entry(key, value)?;
                }
                return map.end();
            }
        };
        if let Some(marker) = cache {
            map.serialize_entry("cache_control", &CacheControl::from(*marker))?;
        }
        for (key, value) in fields.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// What the block before `next` has beyond its own fields.
pub(super) fn fields_of(next: Option<&Block>) -> Fields<'_> {
    match next {
        Some(Block::Other { dialect, value }) if dialect == FIELDS => Fields::of(Some(value)),
        _ => Fields::default(),
    }
}

const MEDIA_KEYS: &[&str] = &["image_url", "video_url", "audio_url", "input_audio", "file"];

/// The inner object of a media part: the keys of all kinds, of which each has a few.
#[derive(Default, serde::Serialize)]
pub(super) struct MediaBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<Url<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_data: Option<Url<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(flatten)]
    fields: Fields<'a>,
}

impl<'a> MediaBody<'a> {
    /// The part's type with its body. Only the `file` part can name an uploaded file, of
    /// whatever kind it is.
    fn of(block: &'a Block) -> Option<(&'static str, Self)> {
        let Block::Media { kind, source, mime_type, filename, detail, .. } = block else {
            return None;
        };
        let mime_type = mime_type.as_deref();
        let mut body =
            Self { filename: filename.as_deref(), detail: detail.as_deref(), ..Self::default() };
        let key = match (kind, source) {
            (_, MediaSource::Id { id }) => {
                body.file_id = Some(id);
                "file"
            }
            (MediaKind::File, MediaSource::Inline { data }) => {
                body.file_data = Some(match mime_type {
                    Some(mime_type) => Url::Data { mime_type, data },
                    None => Url::Plain(data),
                });
                "file"
            }
            (MediaKind::File, MediaSource::Url { url }) => {
                body.file_data = Some(Url::Plain(url));
                "file"
            }
            (MediaKind::Audio, MediaSource::Inline { data }) => {
                body.data = Some(data);
                body.format = mime_type.map(audio_format);
                "input_audio"
            }
            (kind, source) => {
                body.url = Some(match source {
                    MediaSource::Inline { data } => Url::Data {
                        mime_type: mime_type.unwrap_or_else(|| media_type(*kind, data)),
                        data,
                    },
                    MediaSource::Url { url } | MediaSource::Id { id: url } => Url::Plain(url),
                });
                match kind {
                    MediaKind::Video => "video_url",
                    MediaKind::Audio => "audio_url",
                    _ => "image_url",
                }
            }
        };
        Some((key, body))
    }
}

/// The type of media whose sender did not name it. Images are known by their first bytes.
fn media_type(kind: MediaKind, base64: &str) -> &'static str {
    if kind != MediaKind::Image {
        return "";
    }
    let known = [("/9j/", "image/jpeg"), ("R0lG", "image/gif"), ("UklG", "image/webp")];
    let found = known.iter().find(|(start, _)| base64.starts_with(start));
    // A type is required, and most of the rest is PNG.
    found.map_or("image/png", |(_, mime_type)| mime_type)
}

/// A URL, written without being put together first: inline data can be megabytes.
enum Url<'a> {
    Plain(&'a str),
    Data { mime_type: &'a str, data: &'a str },
}

impl fmt::Display for Url<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(url) => formatter.write_str(url),
            Self::Data { mime_type, data } => write!(formatter, "data:{mime_type};base64,{data}"),
        }
    }
}

impl Serialize for Url<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
