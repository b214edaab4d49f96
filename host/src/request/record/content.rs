//! What of a call's content its rows show.
//!
//! Journal, key, function and client each say how much may be kept, and the strictest counts:
//! `none` leaves no rows, `metadata` rows without prompts and answers, `full` all but what
//! `journal.redact` names. What might repeat content is content too: messages of providers,
//! and what the gateway says about an answer that is not as it should be.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use torana_wire::chat::Response;

use super::super::redact::{REDACTED, Redaction};
use super::super::tags::Tags;
use super::super::tape::{Received, Taped};

/// A value as a row shows it: nothing copied but where something of it is hidden.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Shown<'a> {
    Nothing,
    Answer(&'a Response),
    InPart(InPart),
}

/// A value some of whose values are not shown.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct InPart {
    value: Value,
    #[serde(skip)]
    hidden: usize,
}

impl Shown<'_> {
    pub(super) fn hides_something(&self) -> bool {
        matches!(self, Self::InPart(InPart { hidden, .. }) if *hidden > 0)
    }
}

/// The client's body, where something of it is hidden. Nothing if it is no JSON. Absent: it is
/// shown as it came.
pub(super) fn request(body: Option<&Bytes>, redaction: &Redaction) -> Option<Shown<'static>> {
    if redaction.is_empty() {
        return None;
    }
    let value = body.and_then(|body| serde_json::from_slice(body).ok());
    Some(value.map_or(Shown::Nothing, |value| in_part(value, redaction)))
}

/// The answer as a response of the chat payload.
pub(super) fn response<'a>(response: Option<&'a Response>, redaction: &Redaction) -> Shown<'a> {
    let Some(response) = response else { return Shown::Nothing };
    if redaction.is_empty() {
        return Shown::Answer(response);
    }
    serde_json::to_value(response).map_or(Shown::Nothing, |value| in_part(value, redaction))
}

fn in_part(mut value: Value, redaction: &Redaction) -> Shown<'static> {
    let hidden = redaction.apply(&mut value);
    Shown::InPart(InPart { value, hidden })
}

/// A path that hides something of a body's `metadata` hides it as a tag, too.
pub(super) fn tags(tags: &Tags, redaction: &Redaction) -> Tags {
    if redaction.is_empty() || tags.is_empty() {
        return tags.clone();
    }
    #[derive(Serialize)]
    struct Body<'a> {
        metadata: &'a Tags,
    }
    let mut body = serde_json::to_value(Body { metadata: tags }).unwrap_or_default();
    redaction.apply(&mut body);
    let metadata = body.get_mut("metadata").map(Value::take).unwrap_or_default();
    // A path that hides `metadata` as a whole leaves no object.
    serde_json::from_value(metadata).unwrap_or_default()
}

/// What the gateway says about an answer: it quotes it.
pub(super) fn remark(text: String, with_content: bool) -> String {
    if with_content { text } else { REDACTED.to_owned() }
}

/// Bodies of an attempt.
#[derive(Default)]
pub(super) struct Raw<'a> {
    pub(super) request: Option<&'a [u8]>,
    pub(super) response: Option<&'a [u8]>,
    pub(super) is_cut: bool,
}

/// Bodies as they went to the provider and came from there, each cut at `limit` bytes.
///
/// None where anything is to be hidden: paths are written for the client's dialect and for the
/// chat payload, and what they name stands elsewhere in a body that was translated, asked again
/// or gone on with.
pub(super) fn raw<'a>(taped: &'a Taped, limit: usize, redaction: &Redaction) -> Raw<'a> {
    let mut raw = Raw::default();
    if !redaction.is_empty() {
        return raw;
    }
    let mut kept = |body, mut is_cut| {
        let kept = cut(body, limit, &mut is_cut);
        raw.is_cut |= is_cut;
        kept
    };
    raw.request = taped.request.as_ref().map(|body| kept(body, false));
    raw.response = taped.response.as_ref().map(|received| match received {
        Received::Whole(body) => kept(body, false),
        Received::Stream { text, is_cut } => kept(text, *is_cut),
    });
    raw
}

/// At most so many bytes.
fn cut<'a>(body: &'a [u8], limit: usize, is_cut: &mut bool) -> &'a [u8] {
    let kept = body.get(..limit).unwrap_or(body);
    *is_cut |= kept.len() < body.len();
    if *is_cut { whole_characters(kept) } else { kept }
}

/// Without the character at the end that a bound went through.
fn whole_characters(text: &[u8]) -> &[u8] {
    let last = text.iter().rposition(|byte| byte & 0xC0 != 0x80).unwrap_or_default();
    let (before, character) = text.split_at_checked(last).unwrap_or((text, &[]));
    let is_half = str::from_utf8(character).is_err_and(|error| error.error_len().is_none());
    if is_half { before } else { text }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    fn redaction(pointers: &[&str]) -> Redaction {
        Redaction::of(pointers.iter().map(|pointer| pointer.parse().unwrap()).collect())
    }

    #[test]
    fn a_body_is_cut_between_characters_and_says_so() {
        let taped = Taped { request: Some("aéé".into()), ..Taped::default() };
        for (limit, text, is_cut) in [(5, "aéé", false), (4, "aé", true), (3, "aé", true)] {
            let raw = raw(&taped, limit, &Redaction::default());
            assert_eq!((raw.request, raw.is_cut), (Some(text.as_bytes()), is_cut), "{limit}");
        }
    }

    #[test]
    fn a_stream_that_was_cut_ends_with_a_whole_character() {
        let text = "aé".as_bytes()[..2].to_vec();
        let response = Some(Received::Stream { text, is_cut: true });
        let taped = Taped { response, ..Taped::default() };
        let raw = raw(&taped, 2, &Redaction::default());
        assert_eq!((raw.response, raw.is_cut), (Some(&b"a"[..]), true));
    }

    #[test]
    fn no_raw_body_is_kept_where_something_is_to_be_hidden() {
        let whole = Some(Received::Whole(json!({ "choices": [] }).to_string().into()));
        let stream = Some(Received::Stream { text: b"data: {}\n\n".to_vec(), is_cut: false });
        for response in [whole, stream] {
            let taped = Taped { request: Some("{}".into()), response, ..Taped::default() };
            let kept = raw(&taped, 100, &Redaction::default());
            assert!(kept.request.is_some() && kept.response.is_some());
            let kept = raw(&taped, 100, &redaction(&["/messages/*/content"]));
            assert_eq!((kept.request, kept.response), (None, None));
        }
    }

    #[test]
    fn a_tag_of_hidden_metadata_is_hidden() {
        let own: Tags = [("user".into(), "u".into()), ("run".into(), "r".into())].into();
        let one = tags(&own, &redaction(&["/metadata/user"]));
        assert_eq!((one["user"].as_str(), one["run"].as_str()), (REDACTED, "r"));
        assert!(tags(&own, &redaction(&["/metadata"])).is_empty());
        assert_eq!(tags(&own, &redaction(&["/messages"])), own);
    }
}
