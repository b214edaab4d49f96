//! Images, video, audio and documents.
//!
//! Bytes travel as base64 or lie in S3; Bedrock fetches nothing else. A format must be named:
//! it is read from the MIME type, from the first bytes, or from the ending of a file's name.
//! Documents have names that the model reads: other characters than AWS allows are replaced,
//! and no two are the same.

use std::collections::HashSet;

use serde::Serialize;
use torana_plugin_sdk::CallError;
use torana_plugin_sdk::chat::{MediaKind, MediaSource};
use torana_plugin_sdk::wire::encoded::unsupported;

use super::message::Content;

/// Longest name of a document.
const MAX_NAME: usize = 200;

/// A media block of the payload.
pub(super) struct File<'a> {
    pub(super) kind: MediaKind,
    pub(super) source: &'a MediaSource,
    pub(super) mime_type: &'a Option<String>,
    pub(super) filename: &'a Option<String>,
}

#[derive(Serialize)]
pub(super) struct Media<'a> {
    format: &'static str,
    source: Source<'a>,
}

#[derive(Serialize)]
pub(super) struct Document<'a> {
    format: &'static str,
    name: String,
    source: Source<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Source<'a> {
    Bytes(&'a str),
    S3Location { uri: &'a str },
}

/// What a format is a format of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Image,
    Video,
    Audio,
    Document,
}

/// Classes with their formats, and for each the MIME types and endings that mean it. Where
/// several classes share an ending, the first counts unless the block says otherwise.
const FORMATS: [(Class, &str, &[&str], &[&str]); 32] = [
    (Class::Image, "png", &["image/png"], &["png"]),
    (Class::Image, "jpeg", &["image/jpeg", "image/jpg"], &["jpeg", "jpg"]),
    (Class::Image, "gif", &["image/gif"], &["gif"]),
    (Class::Image, "webp", &["image/webp"], &["webp"]),
    (Class::Video, "mp4", &["video/mp4"], &["mp4"]),
    (Class::Video, "mov", &["video/quicktime"], &["mov"]),
    (Class::Video, "mkv", &["video/x-matroska"], &["mkv"]),
    (Class::Video, "webm", &["video/webm"], &["webm"]),
    (Class::Video, "flv", &["video/x-flv"], &["flv"]),
    (Class::Video, "mpeg", &["video/mpeg"], &["mpeg"]),
    (Class::Video, "mpg", &["video/mpg"], &["mpg"]),
    (Class::Video, "wmv", &["video/x-ms-wmv"], &["wmv"]),
    (Class::Video, "three_gp", &["video/3gpp"], &["3gp"]),
    (Class::Audio, "mp3", &["audio/mpeg", "audio/mp3"], &["mp3"]),
    (Class::Audio, "wav", &["audio/wav", "audio/x-wav", "audio/wave"], &["wav"]),
    (Class::Audio, "flac", &["audio/flac", "audio/x-flac"], &["flac"]),
    (Class::Audio, "ogg", &["audio/ogg"], &["ogg"]),
    (Class::Audio, "opus", &["audio/opus"], &["opus"]),
    (Class::Audio, "aac", &["audio/aac"], &["aac"]),
    (Class::Audio, "m4a", &["audio/m4a", "audio/x-m4a"], &["m4a"]),
    (Class::Audio, "mp4", &["audio/mp4"], &[]),
    (Class::Audio, "webm", &["audio/webm"], &[]),
    (Class::Audio, "pcm", &["audio/pcm", "audio/l16"], &["pcm"]),
    (Class::Document, "pdf", &["application/pdf"], &["pdf"]),
    (Class::Document, "csv", &["text/csv"], &["csv"]),
    (Class::Document, "doc", &["application/msword"], &["doc"]),
    (Class::Document, "docx", &[WORD], &["docx"]),
    (Class::Document, "xls", &["application/vnd.ms-excel"], &["xls"]),
    (Class::Document, "xlsx", &[EXCEL], &["xlsx"]),
    (Class::Document, "html", &["text/html"], &["html", "htm"]),
    (Class::Document, "md", &["text/markdown"], &["md"]),
    (Class::Document, "txt", &["text/plain"], &["txt"]),
];
const WORD: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const EXCEL: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// Formats by their first bytes, as those look in base64.
const SIGNATURES: [(&str, &str); 5] = [
    ("iVBORw0KGgo", "png"),
    ("/9j/", "jpeg"),
    ("R0lGOD", "gif"),
    ("UklGR", "webp"),
    ("JVBERi0", "pdf"),
];

impl<'a> File<'a> {
    /// # Errors
    ///
    /// `Unsupported` for a source or a format that Bedrock does not take.
    pub(super) fn encode(&self, titles: &mut HashSet<String>) -> Result<Content<'a>, CallError> {
        let source = self.source()?;
        let (class, format) = self.format().ok_or_else(|| self.unknown_format())?;
        let media = |source| Media { format, source };
        Ok(match class {
            Class::Image => Content::Image(media(source)),
            Class::Video => Content::Video(media(source)),
            Class::Audio => Content::Audio(media(source)),
            Class::Document => {
                let name = title(self.filename.as_deref(), titles);
                Content::Document(Document { format, name, source })
            }
        })
    }

    fn noun(&self) -> &'static str {
        match self.kind {
            MediaKind::Image => "image",
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
            MediaKind::File => "document",
        }
    }

    fn source(&self) -> Result<Source<'a>, CallError> {
        match self.source {
            MediaSource::Inline { data } => Ok(Source::Bytes(data)),
            MediaSource::Url { url } if url.starts_with("s3://") => {
                Ok(Source::S3Location { uri: url })
            }
            MediaSource::Url { .. } => {
                Err(unsupported(&format!("{} input by a URL other than s3://", self.noun())))
            }
            MediaSource::Id { .. } => {
                Err(unsupported(&format!("{} input by the id of an uploaded file", self.noun())))
            }
        }
    }

    fn unknown_format(&self) -> CallError {
        match self.mime_type.as_deref() {
            Some(mime_type) => unsupported(&format!("{} input of type {mime_type}", self.noun())),
            None => unsupported(&format!("{} input of unknown type", self.noun())),
        }
    }

    fn format(&self) -> Option<(Class, &'static str)> {
        let mime_type = self.mime_type.as_deref().map(essence);
        let by_type = mime_type
            .as_deref()
            .and_then(|mime_type| find(|(_, _, mime_types, _)| mime_types.contains(&mime_type)));
        by_type.or_else(|| self.format_by_bytes()).or_else(|| self.format_by_ending())
    }

    /// A wave file begins like a WebP picture.
    fn format_by_bytes(&self) -> Option<(Class, &'static str)> {
        let MediaSource::Inline { data } = self.source else {
            return None;
        };
        if !matches!(self.kind, MediaKind::Image | MediaKind::File) {
            return None;
        }
        let (_, format) = SIGNATURES.iter().find(|(start, _)| data.starts_with(start))?;
        find(|(_, name, _, _)| name == format)
    }

    fn format_by_ending(&self) -> Option<(Class, &'static str)> {
        let name = match (self.filename, self.source) {
            (Some(name), _) => name.as_str(),
            (None, MediaSource::Url { url }) => url.as_str(),
            _ => return None,
        };
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase())?;
        let class = match self.kind {
            MediaKind::Image => Class::Image,
            MediaKind::Video => Class::Video,
            MediaKind::Audio => Class::Audio,
            MediaKind::File => Class::Document,
        };
        let has_ending = |endings: &[&str]| endings.contains(&ending.as_str());
        find(|(of, _, _, endings)| *of == class && has_ending(endings))
            .or_else(|| find(|(_, _, _, endings)| has_ending(endings)))
    }
}

type Row = (Class, &'static str, &'static [&'static str], &'static [&'static str]);

fn find(matches: impl Fn(&Row) -> bool) -> Option<(Class, &'static str)> {
    FORMATS.iter().find(|row| matches(row)).map(|(class, format, _, _)| (*class, *format))
}

/// A MIME type without its parameters.
fn essence(mime_type: &str) -> String {
    let essence = mime_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// Letters, digits, single spaces, hyphens, parentheses and square brackets; not given before.
fn title(filename: Option<&str>, titles: &mut HashSet<String>) -> String {
    let stem = filename.map(|name| name.rsplit_once('.').map_or(name, |(stem, _)| stem));
    let allowed = |character: char| match character {
        character if character.is_ascii_alphanumeric() || "-()[]".contains(character) => character,
        _ => ' ',
    };
    let replaced: String =
        stem.unwrap_or_default().chars().take(MAX_NAME - 16).map(allowed).collect();
    let words: Vec<&str> = replaced.split_ascii_whitespace().collect();
    let base = if words.is_empty() { "document".to_owned() } else { words.join(" ") };
    let mut name = base.clone();
    let mut number = 2_u32;
    while !titles.insert(name.clone()) {
        name = format!("{base} {number}");
        number = number.saturating_add(1);
    }
    name
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_neutral_and_differ() {
        let mut titles = HashSet::new();
        assert_eq!(title(Some("Q3_report  (final).v2.pdf"), &mut titles), "Q3 report (final) v2");
        assert_eq!(title(Some("Q3 report (final).v2.docx"), &mut titles), "Q3 report (final) v2 2");
        assert_eq!(title(None, &mut titles), "document");
        assert_eq!(title(Some("?!.txt"), &mut titles), "document 2");
    }

    fn format(
        kind: MediaKind,
        source: MediaSource,
        mime: Option<&str>,
        name: Option<&str>,
    ) -> String {
        let (mime_type, filename) = (mime.map(str::to_owned), name.map(str::to_owned));
        let file = File { kind, source: &source, mime_type: &mime_type, filename: &filename };
        let content = file.encode(&mut HashSet::new());
        content.map_or_else(
            |error| error.message,
            |content| serde_json::to_value(content).unwrap().to_string(),
        )
    }

    #[test]
    fn format_is_found_by_type_by_bytes_and_by_ending() {
        let inline = |data: &str| MediaSource::Inline { data: data.into() };
        let s3 = |url: &str| MediaSource::Url { url: url.into() };
        let image = format(MediaKind::Image, inline("x"), Some("image/JPEG; q=1"), None);
        assert_eq!(image, r#"{"image":{"format":"jpeg","source":{"bytes":"x"}}}"#);
        let sniffed = format(MediaKind::Image, inline("iVBORw0KGgoAAA"), None, None);
        assert_eq!(sniffed, r#"{"image":{"format":"png","source":{"bytes":"iVBORw0KGgoAAA"}}}"#);
        let video = format(MediaKind::Video, s3("s3://b/clip.mp4"), None, None);
        assert_eq!(
            video,
            r#"{"video":{"format":"mp4","source":{"s3Location":{"uri":"s3://b/clip.mp4"}}}}"#
        );
        let named = format(MediaKind::File, inline("x"), None, Some("a b.PDF"));
        assert_eq!(named, r#"{"document":{"format":"pdf","name":"a b","source":{"bytes":"x"}}}"#);
    }

    #[test]
    fn other_sources_and_formats_are_refused_by_name() {
        let url = MediaSource::Url { url: "https://x/y.png".into() };
        assert_eq!(
            format(MediaKind::Image, url, None, None),
            "image input by a URL other than s3:// is not supported"
        );
        let id = MediaSource::Id { id: "f".into() };
        assert_eq!(
            format(MediaKind::File, id, None, None),
            "document input by the id of an uploaded file is not supported"
        );
        let data = || MediaSource::Inline { data: "x".into() };
        assert_eq!(
            format(MediaKind::Image, data(), Some("image/tiff"), None),
            "image input of type image/tiff is not supported"
        );
    }

    proptest! {
        #[test]
        fn any_name_becomes_an_allowed_one(name in ".{0,300}") {
            let title = title(Some(&name), &mut HashSet::new());
            prop_assert!((1..=MAX_NAME).contains(&title.len()));
            prop_assert!(!title.contains("  ") && title.trim() == title);
            let allowed = |c: char| c.is_ascii_alphanumeric() || " -()[]".contains(c);
            prop_assert!(title.chars().all(allowed));
        }
    }
}
