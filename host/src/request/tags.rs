//! Names and values that a client puts on a call, to find calls and sum them up by.
//!
//! OpenAI's dialects have their place for them, the object `metadata`; it goes to the provider
//! as it did before. Any client may send `x-torana-tags: name=value,name2=value2`,
//! percent-encoded, which counts before the body and goes no further. The bounds are OpenAI's
//! own for `metadata`. A header beyond them is refused: nobody else would say so. A body is the
//! provider's to judge: what is no text or beyond the bounds is no tag, and nothing is refused.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::Utf8Error;

use http::HeaderMap;
use percent_encoding::percent_decode_str;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::Value;

use crate::error::Cause;

pub const TAGS_HEADER: &str = "x-torana-tags";

/// On one call.
pub const MOST_TAGS: usize = 16;

/// Characters.
pub const LONGEST_NAME: usize = 64;

/// Characters.
pub const LONGEST_VALUE: usize = 512;

/// By name.
pub type Tags = BTreeMap<String, String>;

/// The tags of a call. `metadata` is the body's, where its dialect has one.
///
/// # Errors
/// The header makes no sense or says too much.
pub fn read(metadata: Option<&str>, headers: &HeaderMap) -> Result<Tags, Cause> {
    let mut tags = of_header(headers)?;
    for (name, value) in metadata.map(of_metadata).unwrap_or_default() {
        if tags.len() < MOST_TAGS {
            tags.entry(name).or_insert(value);
        }
    }
    Ok(tags)
}

fn of_header(headers: &HeaderMap) -> Result<Tags, Cause> {
    let mut tags = Tags::new();
    for header in headers.get_all(TAGS_HEADER) {
        let text = header.to_str().map_err(|_| invalid("visible ASCII characters"))?;
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').ok_or_else(|| {
                invalid("name=value pairs with commas between them, percent-encoded")
            })?;
            let decoded = decode(name).and_then(|name| Ok((name, decode(value)?)));
            let (name, value) = decoded.map_err(|_| invalid("percent-encoded UTF-8"))?;
            if !fits(&name, &value) {
                return Err(invalid(&format!(
                    "names of 1 to {LONGEST_NAME} characters and values of at most {LONGEST_VALUE}"
                )));
            }
            tags.insert(name.into_owned(), value.into_owned());
        }
    }
    if tags.len() > MOST_TAGS {
        return Err(invalid(&format!("at most {MOST_TAGS} names")));
    }
    Ok(tags)
}

fn decode(text: &str) -> Result<Cow<'_, str>, Utf8Error> {
    percent_decode_str(text.trim()).decode_utf8()
}

/// In the order of the body.
fn of_metadata(metadata: &str) -> Vec<(String, String)> {
    serde_json::Deserializer::from_str(metadata).deserialize_map(Texts).unwrap_or_default()
}

/// Neither is too long.
pub fn fits(name: &str, value: &str) -> bool {
    !name.is_empty()
        && name.chars().count() <= LONGEST_NAME
        && value.chars().count() <= LONGEST_VALUE
}

fn invalid(expected: &str) -> Cause {
    let message = format!("{TAGS_HEADER}: expected {expected}");
    Cause::InvalidRequest { param: Some(TAGS_HEADER.to_owned()), message }
}

/// The entries of an object that can be tags.
struct Texts;

impl<'de> Visitor<'de> for Texts {
    type Value = Vec<(String, String)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if let Value::String(value) = value
                && texts.len() < MOST_TAGS
                && fits(&name, &value)
            {
                texts.push((name, value));
            }
        }
        Ok(texts)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use http::HeaderValue;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    fn tagged(metadata: Option<&str>, header: &str) -> Result<Tags, String> {
        let mut headers = HeaderMap::new();
        headers.insert(TAGS_HEADER, HeaderValue::from_str(header).unwrap());
        read(metadata, &headers).map_err(|cause| cause.to_string())
    }

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_header_counts_before_the_body() {
        let metadata = r#"{"team": "body", "user": "ü", "n": 1, "none": null, "deep": {"a": "b"}}"#;
        let found = tagged(Some(metadata), "team=header, run=a%2Cb%3D%C3%BC,").unwrap();
        assert_eq!(found, tags(&[("team", "header"), ("run", "a,b=ü"), ("user", "ü")]));
        assert_eq!(tagged(Some("[1]"), "").unwrap(), tags(&[]));
        assert_eq!(tagged(None, "a=,a=b").unwrap(), tags(&[("a", "b")]));
    }

    #[test]
    fn a_header_beyond_the_bounds_is_refused_and_says_which() {
        let many = (0..17).map(|it| format!("t{it}=x")).collect::<Vec<_>>().join(",");
        for (header, expected) in [
            ("name", "name=value pairs"),
            ("=x", "names of 1 to 64"),
            (&format!("{}=x", "n".repeat(65)), "names of 1 to 64"),
            (&format!("n={}", "x".repeat(513)), "at most 512"),
            (&many, "at most 16"),
            ("n=%ff", "percent-encoded UTF-8"),
        ] {
            let error = tagged(None, header).unwrap_err();
            assert!(error.contains(expected) && error.contains(TAGS_HEADER), "{header}: {error}");
        }
    }

    #[test]
    fn of_a_body_beyond_the_bounds_what_fits_is_taken() {
        let long = "x".repeat(513);
        let many: Vec<String> = (0..20).map(|it| format!(r#""t{it:02}":"x""#)).collect();
        let metadata = format!(r#"{{"long":"{long}","":"x",{}}}"#, many.join(","));
        let found = tagged(Some(&metadata), "h=1").unwrap();
        assert_eq!(found.len(), MOST_TAGS);
        assert!(found.contains_key("h") && found.contains_key("t14") && !found.contains_key("t15"));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_back(
            pairs in prop::collection::btree_map(".{1,64}", ".{0,512}", 0..16),
        ) {
            let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let header: Vec<String> =
                pairs.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
            prop_assert_eq!(tagged(None, &header.join(",")).unwrap(), pairs);
        }
    }
}
