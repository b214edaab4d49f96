//! What can be searched for: words, as `wit/sink/sink.wit` defines them.
//!
//! A word is a run of letters and digits of any script; case does not count. Every string of
//! a JSON document counts, but for media: data URLs, base64 of more than [`LONGEST_BASE64`]
//! bytes, and anything beyond [`LONGEST_UNSPACED`] bytes without a space. A store that cuts
//! rows and questions by this rule, and compares whole words byte for byte, finds what every
//! other store finds: engines' own ways of cutting text differ in what a letter is.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Words of one row beyond this many bytes are left out: a conversation of a million words has
/// fewer different ones, and with the row itself they have to fit into one call of the host.
pub const MOST_BYTES: usize = 1 << 20;
/// Base64 of more bytes is media: people write no longer run without space or punctuation.
pub const LONGEST_BASE64: usize = 1 << 10;
/// A string of more bytes without a space is no text, in any script.
pub const LONGEST_UNSPACED: usize = 64 << 10;

/// The words of texts, each once, in lower case.
#[derive(Debug, Default)]
pub struct Words {
    words: HashSet<String>,
    bytes: usize,
}

impl Words {
    /// Of a text, as people write it.
    pub fn of(text: &str) -> Self {
        let mut words = Self::default();
        words.add(text);
        words
    }

    /// Adds those of all strings in a document but names of keys. Stops where it is no JSON,
    /// or nested too deeply to be read.
    pub fn add_json(&mut self, json: &str) {
        let mut reader = serde_json::Deserializer::from_str(json);
        // What was found until then stays: the row itself is kept in any case.
        drop(Strings(self).deserialize(&mut reader));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// In no order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// In the order of their bytes.
    pub fn sorted(&self) -> Vec<&str> {
        let mut sorted: Vec<&str> = self.iter().collect();
        sorted.sort_unstable();
        sorted
    }

    /// With spaces between them, in no order.
    pub fn joined(&self) -> String {
        let mut joined = String::with_capacity(self.bytes + self.words.len());
        for word in &self.words {
            if !joined.is_empty() {
                joined.push(' ');
            }
            joined.push_str(word);
        }
        joined
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
            let bytes = self.bytes + lower.len();
            if bytes <= MOST_BYTES && !self.words.contains(lower.as_str()) {
                self.words.insert(lower.clone());
                self.bytes = bytes;
            }
        }
    }
}

/// Data URLs, base64 and other things without a space that are no text in any script.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn words(json: &str) -> Vec<String> {
        let mut words = Words::default();
        words.add_json(json);
        words.sorted().into_iter().map(str::to_owned).collect()
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
        assert!(bytes <= MOST_BYTES && bytes > MOST_BYTES / 2);
        assert_eq!(words.iter().map(str::len).sum::<usize>(), bytes);
    }
}
