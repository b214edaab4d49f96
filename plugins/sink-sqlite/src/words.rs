//! The words of a request and its response, by which an inference is found.
//!
//! A word is a run of letters and digits, in lower case. Every string in the JSON counts,
//! but for media: data URLs, base64 of more than 1 KiB, and anything beyond 64 KiB without a
//! space. Index and question are cut here by the same rule; SQLite only parts words at
//! spaces.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Base64 of more bytes is media: people write no longer run without space or punctuation.
const LONGEST_BASE64: usize = 1 << 10;
/// A string of more bytes without a space is no text, in any script.
const LONGEST_UNSPACED: usize = 64 << 10;
/// Words beyond this many bytes are left out: with the row itself they have to fit into one
/// call of the host.
const MAX_BYTES: usize = 2 << 20;

/// Each word once.
#[derive(Debug, Default)]
pub(crate) struct Words {
    words: HashSet<String>,
    bytes: usize,
}

impl Words {
    /// Of a text, as people write it.
    pub(crate) fn of(text: &str) -> Self {
        let mut words = Self::default();
        words.add(text);
        words
    }

    /// Of all strings in `json`. Stops where it is no JSON, or nested too deeply to be read.
    pub(crate) fn collect(&mut self, json: &RawValue) {
        let mut reader = serde_json::Deserializer::from_str(json.get());
        // What was found until then stays: the row itself is kept in any case.
        drop(Strings(self).deserialize(&mut reader));
    }

    /// None where there are none.
    pub(crate) fn joined(&self) -> Option<String> {
        let mut joined = String::with_capacity(self.bytes);
        for word in &self.words {
            if !joined.is_empty() {
                joined.push(' ');
            }
            joined.push_str(word);
        }
        (!joined.is_empty()).then_some(joined)
    }

    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    /// In no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    fn add(&mut self, text: &str) {
        let mut lower = String::new();
        for word in text.split(|it: char| !it.is_alphanumeric()).filter(|word| !word.is_empty()) {
            if word.is_ascii() {
                lower.clear();
                lower.push_str(word);
                lower.make_ascii_lowercase();
            } else {
                lower = word.to_lowercase();
            }
            let bytes = self.bytes + lower.len() + 1;
            if bytes <= MAX_BYTES && !self.words.contains(lower.as_str()) {
                self.words.insert(lower.clone());
                self.bytes = bytes;
            }
        }
    }
}

fn is_media(text: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
    text.starts_with("data:")
        || (text.len() > LONGEST_BASE64 && text.bytes().all(is_base64))
        || (text.len() > LONGEST_UNSPACED && !text.contains(char::is_whitespace))
}

/// Walks a JSON value without building it.
struct Strings<'a>(&'a mut Words);

impl<'de> DeserializeSeed<'de> for Strings<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strings<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if !is_media(text) {
            self.0.add(text);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Strings(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while entries.next_key::<IgnoredAny>()?.is_some() {
            entries.next_value_seed(Strings(self.0))?;
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
