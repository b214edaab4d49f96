//! What of a call's content its rows show.
//!
//! Journal, key, function and client each say how much may be kept, and the strictest counts:
//! `none` leaves no rows, `metadata` rows without prompts and answers, `full` all but what
//! `journal.redact` names. What might repeat content is content too: messages of providers,
//! and what the gateway says about an answer that is not as it should be.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use torana_wire::chat::Response;

use super::super::redact::{REDACTED, Redaction};
use super::super::tags::Tags;
use super::super::tape::{Received, Taped};

/// A value as a row shows it, and how many of its values are not shown.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) json: Option<Box<RawValue>>,
    pub(super) hidden: usize,
}

/// The client's body. None if it is no JSON.
pub(super) fn request(body: Option<&Bytes>, redaction: &Redaction) -> Shown {
    let Some(body) = body else { return Shown::default() };
    if redaction.is_empty() {
        let json = serde_json::from_slice::<&RawValue>(body).ok();
        return Shown { json: json.map(RawValue::to_owned), hidden: 0 };
    }
    serde_json::from_slice(body).map_or_else(|_| Shown::default(), |it| redacted(it, redaction))
}

/// The answer as a response of the chat payload.
pub(super) fn response(response: Option<&Response>, redaction: &Redaction) -> Shown {
    let Some(response) = response else { return Shown::default() };
    if redaction.is_empty() {
        return Shown { json: to_raw_value(response).ok(), hidden: 0 };
    }
    serde_json::to_value(response).map_or_else(|_| Shown::default(), |it| redacted(it, redaction))
}

fn redacted(mut value: Value, redaction: &Redaction) -> Shown {
    let hidden = redaction.apply(&mut value);
    Shown { json: to_raw_value(&value).ok(), hidden }
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
pub(super) struct Raw {
    pub(super) request: Option<String>,
    pub(super) response: Option<String>,
    pub(super) is_cut: bool,
}

/// Bodies as they went to the provider and came from there, each cut at `limit` bytes.
///
/// Paths are written for the client's dialect and for the chat payload. A body in which they
/// hide fewer values than in `request` and `response` has what they are to hide somewhere
/// else: it is not kept, nor is what is no JSON. `answered` tells whose answer `response` is.
pub(super) fn raw(
    taped: &Taped,
    limit: usize,
    redaction: &Redaction,
    hidden: (usize, usize),
    answered: bool,
) -> Raw {
    let mut raw = Raw::default();
    let (in_request, in_response) = hidden;
    let request = taped.request.as_ref().and_then(|body| fit(body, redaction, in_request));
    raw.request = request.map(|body| cut(&body, limit, &mut raw.is_cut));
    raw.response = match &taped.response {
        Some(Received::Whole(body)) if answered || redaction.is_empty() => {
            fit(body, redaction, in_response).map(|body| cut(&body, limit, &mut raw.is_cut))
        }
        Some(Received::Stream { text, is_cut }) if redaction.is_empty() => {
            raw.is_cut |= is_cut;
            Some(cut(text, limit, &mut raw.is_cut))
        }
        _ => None,
    };
    raw
}

/// The body with nothing in it that is to be hidden.
fn fit(body: &Bytes, redaction: &Redaction, hidden: usize) -> Option<Bytes> {
    if redaction.is_empty() {
        return Some(body.clone());
    }
    let mut value: Value = serde_json::from_slice(body).ok()?;
    let found = redaction.apply(&mut value);
    (found >= hidden).then(|| value.to_string().into())
}

/// As text of at most so many bytes.
fn cut(body: &[u8], limit: usize, is_cut: &mut bool) -> String {
    let text = String::from_utf8_lossy(body.get(..limit).unwrap_or(body));
    let mut text = text.into_owned();
    if body.len() > limit {
        *is_cut = true;
        // A character that the bound went through.
        let whole = text.trim_end_matches(char::REPLACEMENT_CHARACTER).len();
        text.truncate(whole);
    }
    text
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    fn redaction(pointers: &[&str]) -> Redaction {
        Redaction::of(pointers.iter().map(|pointer| pointer.parse().unwrap()).collect())
    }

    fn taped(request: &Value, response: &Value) -> Taped {
        Taped {
            request: Some(request.to_string().into()),
            response: Some(Received::Whole(response.to_string().into())),
            spent: None,
        }
    }

    #[test]
    fn a_body_is_cut_between_characters_and_says_so() {
        let taped = Taped { request: Some("aéé".into()), ..Taped::default() };
        for (limit, text, is_cut) in [(5, "aéé", false), (4, "aé", true), (3, "aé", true)] {
            let raw = raw(&taped, limit, &Redaction::default(), (0, 0), true);
            assert_eq!((raw.request.as_deref(), raw.is_cut), (Some(text), is_cut), "{limit}");
        }
    }

    #[test]
    fn a_body_that_hides_it_elsewhere_is_not_kept() {
        let paths = redaction(&["/messages/*/content"]);
        let own = json!({"messages": [{"content": "secret"}]});
        let other = json!({"contents": [{"parts": [{"text": "secret"}]}]});
        let answer = json!({"choices": []});
        let client = request(Some(&own.to_string().into()), &paths);
        assert_eq!(client.hidden, 1);
        let kept = raw(&taped(&own, &answer), 1_000, &paths, (client.hidden, 0), true);
        assert_eq!(kept.request.unwrap(), r#"{"messages":[{"content":"[redacted]"}]}"#);
        assert!(kept.response.is_some());
        let translated = raw(&taped(&other, &answer), 1_000, &paths, (client.hidden, 0), true);
        assert_eq!(translated.request, None);
    }

    #[test]
    fn an_answer_that_is_hidden_in_its_payload_is_not_kept_raw() {
        let paths = redaction(&["/blocks/*/text"]);
        let answer = json!({"choices": [{"message": {"content": "secret"}}]});
        let of = |paths: &Redaction, answered| {
            raw(&taped(&json!({}), &answer), 1_000, paths, (0, 1), answered).response
        };
        assert_eq!(of(&paths, true), None);
        // A failed attempt's: there is no payload to compare it with.
        assert_eq!(of(&paths, false), None);
        let both = redaction(&["/blocks/*/text", "/choices/*/message/content"]);
        assert!(!of(&both, true).unwrap().contains("secret"));
    }

    #[test]
    fn a_stream_is_not_kept_where_something_is_to_be_hidden() {
        let stream = Received::Stream { text: b"data: {}\n\n".to_vec(), is_cut: false };
        let taped = Taped { response: Some(stream), ..Taped::default() };
        let kept = raw(&taped, 100, &Redaction::default(), (0, 0), true);
        assert_eq!(kept.response.as_deref(), Some("data: {}\n\n"));
        assert_eq!(raw(&taped, 100, &redaction(&["/a"]), (0, 0), true).response, None);
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
