//! Values that rows do not show: the paths of `journal.redact`, and putting `"[redacted]"` in
//! their place.
//!
//! A path is a JSON Pointer (RFC 6901) in which `*` stands for every element of an array and
//! every key of an object. It is applied to what it fits and says nothing about the rest: a
//! path of one dialect is harmless in another. Refuses the empty pointer, which is all of a
//! body: that is what `content = "metadata"` is for.

use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;

/// What stands in place of a value.
pub const REDACTED: &str = "[redacted]";

/// A body has at most 100 levels (`server.json_max_depth`).
const MOST_TOKENS: usize = 100;

/// The longest path there is a use for is a fraction of it.
const LONGEST_POINTER: usize = 1_024;

/// A path to values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Any,
    Named(String),
}

/// Why a text is no pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    #[error(
        "found {0:?}; expected a JSON pointer that begins with '/', such as \"/messages/*/content\""
    )]
    Start(String),
    #[error(
        "found {0:?}; in a JSON pointer ~0 stands for '~' and ~1 for '/', and nothing else follows a '~'"
    )]
    Escape(String),
    #[error(
        "found {0} bytes and {1} levels; expected at most {LONGEST_POINTER} bytes and {MOST_TOKENS} levels"
    )]
    Long(usize, usize),
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        let Some(path) = text.strip_prefix('/') else {
            return Err(PointerError::Start(text.to_owned()));
        };
        let levels = path.split('/').count();
        if text.len() > LONGEST_POINTER || levels > MOST_TOKENS {
            return Err(PointerError::Long(text.len(), levels));
        }
        let token = |part: &str| match part {
            "*" => Some(Token::Any),
            part => unescaped(part).map(Token::Named),
        };
        let tokens: Option<Vec<Token>> = path.split('/').map(token).collect();
        tokens.map(Self).ok_or_else(|| PointerError::Escape(text.to_owned()))
    }
}

fn unescaped(part: &str) -> Option<String> {
    let mut name = String::with_capacity(part.len());
    let mut characters = part.chars();
    while let Some(character) = characters.next() {
        name.push(match character {
            '~' => match characters.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(name)
}

/// All paths of a configuration; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redaction(Arc<[Pointer]>);

impl Redaction {
    pub fn of(pointers: Vec<Pointer>) -> Self {
        Self(pointers.into())
    }

    /// Nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces every value that a path leads to. Gives how many there were.
    pub fn apply(&self, value: &mut Value) -> usize {
        self.0.iter().map(|pointer| replace(value, &pointer.0)).sum()
    }
}

fn replace(value: &mut Value, path: &[Token]) -> usize {
    let Some((token, rest)) = path.split_first() else {
        let hidden = value.as_str() == Some(REDACTED);
        *value = Value::from(REDACTED);
        return usize::from(!hidden);
    };
    match (token, value) {
        (Token::Any, Value::Array(items)) => items.iter_mut().map(|it| replace(it, rest)).sum(),
        (Token::Any, Value::Object(fields)) => {
            fields.values_mut().map(|it| replace(it, rest)).sum()
        }
        (Token::Named(name), Value::Array(items)) => {
            let index = name.parse::<usize>().ok();
            index.and_then(|index| items.get_mut(index)).map_or(0, |it| replace(it, rest))
        }
        (Token::Named(name), Value::Object(fields)) => {
            fields.get_mut(name).map_or(0, |it| replace(it, rest))
        }
        _ => 0,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn redaction(pointers: &[&str]) -> Redaction {
        Redaction::of(pointers.iter().map(|pointer| pointer.parse().unwrap()).collect())
    }

    #[test]
    fn a_star_is_every_element_and_every_key() {
        let mut body = json!({
            "messages": [{"role": "user", "content": "a"}, {"role": "user", "content": [1]}],
            "metadata": {"user": "b", "a/b~c": "d"}, "n": 1,
        });
        let redaction =
            redaction(&["/messages/*/content", "/metadata/a~1b~0c", "/absent/*", "/n/*"]);
        assert_eq!(redaction.apply(&mut body), 3);
        assert_eq!(
            body,
            json!({
                "messages": [
                    {"role": "user", "content": "[redacted]"},
                    {"role": "user", "content": "[redacted]"},
                ],
                "metadata": {"user": "b", "a/b~c": "[redacted]"}, "n": 1,
            })
        );
        assert_eq!(redaction.apply(&mut body), 0, "nothing is left to hide");
    }

    #[test]
    fn a_number_is_an_index_of_an_array_and_a_key_of_an_object() {
        let redaction = redaction(&["/0", "/*/1"]);
        let mut list = json!(["a", ["b", "c"]]);
        assert_eq!(redaction.apply(&mut list), 2);
        assert_eq!(list, json!(["[redacted]", ["b", "[redacted]"]]));
        let mut object = json!({"0": "a", "x": {"1": "b"}});
        assert_eq!(redaction.apply(&mut object), 2);
    }

    #[test]
    fn what_is_no_pointer_is_refused_with_the_reason() {
        for (text, word) in [
            ("", "begins with '/'"),
            ("messages", "begins with '/'"),
            ("/a~2", "~0 stands for"),
            ("/a~", "~0 stands for"),
            (&"/a".repeat(101), "levels"),
            (&format!("/{}", "a".repeat(1_024)), "bytes"),
        ] {
            let error = text.parse::<Pointer>().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_pointer_leads_to_is_gone(
            keys in prop::collection::vec("[a-z~/*0-9]{0,6}", 1..6), secret in "[A-Z]{20}",
        ) {
            let escape = |key: &String| key.replace('~', "~0").replace('/', "~1");
            let path: String = keys.iter().map(|key| format!("/{}", escape(key))).collect();
            let wrap = |inner: Value, key: &String| json!({ key.as_str(): inner });
            let mut value = keys.iter().rev().fold(json!({"deep": [secret.clone()]}), wrap);
            let count = redaction(&[&path]).apply(&mut value);
            prop_assert_eq!(count, 1);
            prop_assert!(!value.to_string().contains(&secret));
        }
    }
}
