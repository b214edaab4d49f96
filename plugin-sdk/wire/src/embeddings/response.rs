//! Answers of the embeddings route.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::request::Encoding;
use crate::chat::Usage;
use crate::openai::usage::WireUsage;

/// The usage that a body in OpenAI's shape reports. The vectors are not kept.
pub fn usage(body: &[u8]) -> Option<Usage> {
    let wire: Wire = serde_json::from_slice(body).ok()?;
    wire.usage.map(Usage::from)
}

/// The body that a client gets, given OpenAI's shape with floats. A vector that is a string
/// already, or holds something else than numbers, stays as it is.
pub fn encode(mut answer: Value, encoding: Encoding) -> Vec<u8> {
    if encoding == Encoding::Base64
        && let Some(data) = answer.get_mut("data").and_then(Value::as_array_mut)
    {
        for item in data {
            if let Some(vector) = item.get_mut("embedding")
                && let Some(text) = vector.as_array().and_then(|numbers| base64(numbers))
            {
                *vector = Value::String(text);
            }
        }
    }
    serde_json::to_vec(&answer).unwrap_or_default()
}

fn base64(numbers: &[Value]) -> Option<String> {
    let mut bytes = Vec::with_capacity(numbers.len().saturating_mul(4));
    for number in numbers {
        #[expect(clippy::cast_possible_truncation, reason = "the form has 32-bit floats")]
        let number = number.as_f64()? as f32;
        bytes.extend(number.to_le_bytes());
    }
    Some(STANDARD.encode(bytes))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wire {
    usage: Option<WireUsage>,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn answer() -> Value {
        json!({"object": "list", "model": "m",
            "data": [{"object": "embedding", "index": 0, "embedding": [1.0, -0.5, 0]},
                {"object": "embedding", "index": 1, "embedding": "AACAPw=="},
                {"object": "embedding", "index": 2, "embedding": [null]}],
            "usage": {"prompt_tokens": 5, "total_tokens": 5}})
    }

    #[test]
    fn floats_become_the_base64_that_openai_gives() {
        let found: Value = serde_json::from_slice(&encode(answer(), Encoding::Base64)).unwrap();
        let mut expected = answer();
        // 0x3f800000, 0xbf000000 and 0, each with the least significant byte first.
        expected["data"][0]["embedding"] = json!("AACAPwAAAL8AAAAA");
        assert_eq!(found, expected);
    }

    #[test]
    fn floats_stay_floats_when_asked_for() {
        let found: Value = serde_json::from_slice(&encode(answer(), Encoding::Float)).unwrap();
        assert_eq!(found, answer());
    }

    #[test]
    fn usage_is_found_and_absent_usage_is_none() {
        let found = usage(answer().to_string().as_bytes()).unwrap();
        assert_eq!((found.input, found.output), (5, 0));
        assert_eq!(usage(b"{}"), None);
        assert_eq!(usage(b"<html>"), None);
    }
}
