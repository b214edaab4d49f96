//! What can be searched for: words, as `wit/sink/sink.wit` defines them.
//!
//! A word is a run of letters and digits of any script; case does not count. The server gets
//! the words of a row as a list, each once, and compares whole words byte for byte: its own
//! ways of cutting text into words know ASCII alone.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Of one row, in bytes: more than a conversation of a million words has different ones.
const MOST: usize = 1 << 20;
/// Base64 of more bytes is media: people write no longer run without space or punctuation.
const LONGEST_BASE64: usize = 1 << 10;
/// A text of more bytes without a space is none, in any script.
const LONGEST_UNSPACED: usize = 64 << 10;

/// The words of texts, each once, in lower case.
#[derive(Debug, Default)]
pub(crate) struct Words {
    words: BTreeSet<String>,
    bytes: usize,
}

impl Words {
    /// Adds what any text in a JSON document says; names of keys, numbers and media are
    /// none. What follows a mistake in the document is left out.
    pub(crate) fn add_json(&mut self, json: &str) {
        let texts = Texts(self);
        drop(serde_json::Deserializer::from_str(json).deserialize_any(texts));
    }

    pub(crate) fn add(&mut self, text: &str) {
        for word in text.split(|it: char| !it.is_alphanumeric()).filter(|it| !it.is_empty()) {
            let word = word.to_lowercase();
            let bytes = self.bytes + word.len();
            if bytes <= MOST && self.words.insert(word) {
                self.bytes = bytes;
            }
        }
    }

    pub(crate) fn into_vec(self) -> Vec<String> {
        self.words.into_iter().collect()
    }
}

/// Data URLs, base64 and other things without a space that are no text in any script.
fn is_media(text: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte);
    text.starts_with("data:")
        || (text.len() > LONGEST_BASE64 && text.bytes().all(is_base64))
        || (text.len() > LONGEST_UNSPACED && !text.contains(char::is_whitespace))
}

/// Walks a document without keeping it.
struct Texts<'a>(&'a mut Words);

impl<'de> Visitor<'de> for Texts<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if !is_media(text) {
            self.0.add(text);
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

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Nested(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while members.next_key::<IgnoredAny>()?.is_some() {
            members.next_value_seed(Nested(self.0))?;
        }
        Ok(())
    }
}

struct Nested<'a>(&'a mut Words);

impl<'de> serde::de::DeserializeSeed<'de> for Nested<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(Texts(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(json: &str) -> Vec<String> {
        let mut words = Words::default();
        words.add_json(json);
        words.into_vec()
    }

    #[test]
    fn letters_and_digits_of_any_script_make_words_and_all_else_separates() {
        let json =
            r#"{"key":["Don't über-STRASSE_42", {"x":"日本語。東京 Привет"}, 7, true, null]}"#;
        let expected =
            ["42", "don", "strasse", "t", "über", "привет", "日本語", "東京"].map(str::to_owned);
        assert_eq!(words(json), expected);
        assert_eq!(words(r#""a\nb""#), ["a", "b"]);
    }

    #[test]
    fn case_never_counts() {
        for same in ["\"ΟΔΟΣ οδος Οδος\"", "\"K k \u{212a}\"", "\"ПРИВЕТ привет\""]
        {
            assert_eq!(words(same).len(), 1, "{same}");
        }
        assert_eq!(words("\"ß ss SS\"").len(), 2);
    }

    #[test]
    fn media_is_no_text() {
        let base64 = "QUJD".repeat(300);
        let unspaced = "a,".repeat(40_000);
        for media in ["data:image/png;base64,abc", &base64, &unspaced] {
            assert_eq!(words(&format!("\"{media}\"")), [""; 0]);
        }
        assert_eq!(words("\"the word data: is one\"").len(), 5);
    }

    #[test]
    fn a_document_that_breaks_off_keeps_what_it_said_before() {
        assert_eq!(words(r#"["one", "two", tru"#), ["one", "two"]);
    }

    #[test]
    fn words_without_end_are_bounded() {
        let many: Vec<String> = (0..400_000).map(|it| it.to_string()).collect();
        let mut words = Words::default();
        words.add(&many.join(" "));
        let bytes = words.bytes;
        assert!(bytes <= MOST && bytes > MOST / 2);
        assert_eq!(words.into_vec().iter().map(String::len).sum::<usize>(), bytes);
    }
}
