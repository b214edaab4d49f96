//! What is known of a client's embeddings request before it is passed on.
//!
//! [`decode`] is for the host, [`texts`] for an adapter whose provider has a wire of its own.
//! Strict about the fields it reads; all others pass unread with the body.

use serde_json::Value;

use crate::DecodeError;
use crate::encoded::unsupported;
use crate::error::{CallError, CallErrorKind};
use crate::pointer::{self, Path, count, string, take_optional_string, take_string};

/// The head of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub model: String,
    /// Texts, or arrays of tokens, to embed.
    pub inputs: usize,
    /// The inputs are tokens of OpenAI's models, which no other provider understands.
    pub is_tokens: bool,
    pub dimensions: Option<u64>,
    pub encoding: Encoding,
    pub user: Option<String>,
}

/// How a client wants its numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encoding {
    #[default]
    Float,
    /// Base64 of 32-bit floats, the least significant byte first.
    Base64,
}

/// The head of the request that a client's body is.
pub fn decode(body: &[u8]) -> Result<Head, DecodeError> {
    let mut fields = pointer::body(body)?;
    let model = take_string(&mut fields, "model", &Path::Root)?;
    let (inputs, is_tokens) = inputs(fields.get("input"), &Path::Root.key("input"))?;
    let dimensions = match fields.get("dimensions").filter(|value| !value.is_null()) {
        Some(value) => Some(at_least_one(value, &Path::Root.key("dimensions"))?),
        None => None,
    };
    let encoding = match fields.shift_remove("encoding_format").filter(|value| !value.is_null()) {
        Some(value) => encoding(value, &Path::Root.key("encoding_format"))?,
        None => Encoding::Float,
    };
    let user = take_optional_string(&mut fields, "user", &Path::Root)?;
    Ok(Head { model, inputs, is_tokens, dimensions, encoding, user })
}

/// The texts to embed, of which there is at least one.
///
/// # Errors
///
/// `Unsupported` for tokens, which nobody but their maker can read; `InvalidRequest` for an
/// `input` of another form than OpenAI's.
pub fn texts(body: &Value) -> Result<Vec<&str>, CallError> {
    let input = body.get("input");
    let (_, is_tokens) = inputs(input, &Path::Root.key("input"))
        .map_err(|error| CallError::new(CallErrorKind::InvalidRequest, error.to_string()))?;
    match input {
        _ if is_tokens => Err(unsupported("embedding tokens")),
        Some(Value::Array(items)) => Ok(items.iter().filter_map(Value::as_str).collect()),
        input => Ok(input.and_then(Value::as_str).into_iter().collect()),
    }
}

fn encoding(value: Value, path: &Path<'_>) -> Result<Encoding, DecodeError> {
    match string(value, path)?.as_str() {
        "float" => Ok(Encoding::Float),
        "base64" => Ok(Encoding::Base64),
        other => Err(path.mismatch("float or base64", &other.into())),
    }
}

fn at_least_one(value: &Value, path: &Path<'_>) -> Result<u64, DecodeError> {
    match count(value, path)? {
        0 => Err(path.mismatch("a whole number of 1 or more", value)),
        number => Ok(number),
    }
}

/// How many inputs, and whether they are tokens.
fn inputs(value: Option<&Value>, path: &Path<'_>) -> Result<(usize, bool), DecodeError> {
    const EXPECTED: &str = "a string, an array of strings, tokens or an array of tokens";
    match value {
        None | Some(Value::Null) => Err(path.missing(EXPECTED)),
        Some(Value::String(_)) => Ok((1, false)),
        Some(Value::Array(items)) => match items.first() {
            None => Err(path.error("expected at least one input, found an empty array".into())),
            Some(Value::String(_)) => {
                all(items, path, "a string", Value::is_string)?;
                Ok((items.len(), false))
            }
            Some(Value::Number(_)) => {
                all(items, path, "a token", Value::is_u64)?;
                Ok((1, true))
            }
            Some(Value::Array(_)) => {
                for (at, item) in items.iter().enumerate() {
                    let path = path.index(at);
                    let tokens = item.as_array().filter(|tokens| !tokens.is_empty());
                    let Some(tokens) = tokens else {
                        return Err(path.mismatch("an array of tokens", item));
                    };
                    all(tokens, &path, "a token", Value::is_u64)?;
                }
                Ok((items.len(), true))
            }
            Some(other) => Err(path.index(0).mismatch("a string or tokens", other)),
        },
        Some(other) => Err(path.mismatch(EXPECTED, other)),
    }
}

fn all(
    items: &[Value],
    path: &Path<'_>,
    expected: &str,
    is_right: impl Fn(&Value) -> bool,
) -> Result<(), DecodeError> {
    match items.iter().enumerate().find(|(_, item)| !is_right(item)) {
        Some((at, wrong)) => Err(path.index(at).mismatch(expected, wrong)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn head(mut body: Value) -> Result<Head, DecodeError> {
        body.as_object_mut().unwrap().insert("model".into(), "m".into());
        decode(body.to_string().as_bytes())
    }

    #[test]
    fn inputs_are_counted_in_all_four_forms() {
        let cases = [
            (json!("a"), (1, false)),
            (json!(["a", "b"]), (2, false)),
            (json!([1, 2, 3]), (1, true)),
            (json!([[1], [2, 3]]), (2, true)),
        ];
        for (input, expected) in cases {
            let head = head(json!({"input": input})).unwrap();
            assert_eq!((head.inputs, head.is_tokens), expected);
            assert_eq!((head.encoding, head.dimensions), (Encoding::Float, None));
        }
        let head =
            head(json!({"input": "a", "encoding_format": "base64", "dimensions": 8, "user": "u"}));
        let head = head.unwrap();
        assert_eq!((head.encoding, head.dimensions), (Encoding::Base64, Some(8)));
        assert_eq!(head.user.as_deref(), Some("u"));
    }

    #[test]
    fn wrong_fields_are_refused_with_their_place() {
        let cases = [
            (json!({}), "/input"),
            (json!({"input": []}), "/input"),
            (json!({"input": 1}), "/input"),
            (json!({"input": ["a", 1]}), "/input/1"),
            (json!({"input": [1, "a"]}), "/input/1"),
            (json!({"input": [1, -1]}), "/input/1"),
            (json!({"input": [[1], []]}), "/input/1"),
            (json!({"input": [[1, "a"]]}), "/input/0/1"),
            (json!({"input": [{}]}), "/input/0"),
            (json!({"input": "a", "encoding_format": "hex"}), "/encoding_format"),
            (json!({"input": "a", "dimensions": 0}), "/dimensions"),
            (json!({"input": "a", "user": 1}), "/user"),
        ];
        for (body, pointer) in cases {
            assert_eq!(head(body.clone()).unwrap_err().pointer, pointer, "{body}");
        }
        assert_eq!(decode(br#"{"input":"a"}"#).unwrap_err().pointer, "/model");
    }

    #[test]
    fn texts_are_given_and_tokens_refused() {
        let kind = |input: Value| texts(&json!({ "input": input })).unwrap_err().kind;
        assert_eq!(texts(&json!({"input": "a"})), Ok(vec!["a"]));
        assert_eq!(texts(&json!({"input": ["a", ""]})), Ok(vec!["a", ""]));
        for tokens in [json!([1, 2]), json!([[1], [2]])] {
            assert_eq!(kind(tokens), CallErrorKind::Unsupported);
        }
        for wrong in [json!([]), json!(null), json!({}), json!([null]), json!(["a", 1])] {
            assert_eq!(kind(wrong), CallErrorKind::InvalidRequest);
        }
        assert!(texts(&json!([])).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
