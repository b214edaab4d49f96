//! Answers of the embeddings route.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

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

/// OpenAI's shape of what a provider gave in another: `vectors` in the order of the inputs,
/// and the tokens they took, where they were counted.
pub fn of_vectors<'a>(
    model: &str,
    vectors: impl IntoIterator<Item = &'a Value>,
    tokens: Option<u64>,
) -> Value {
    let data: Vec<Value> = vectors
        .into_iter()
        .enumerate()
        .map(|(index, vector)| json!({"object": "embedding", "index": index, "embedding": vector}))
        .collect();
    let mut answer = json!({"object": "list", "data": data, "model": model});
    if let (Some(tokens), Some(fields)) = (tokens, answer.as_object_mut()) {
        let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
        fields.insert("usage".into(), usage);
    }
    answer
}

/// It is an array of nothing but numbers.
pub fn is_vector(value: &Value) -> bool {
    value.as_array().is_some_and(|numbers| numbers.iter().all(Value::is_number))
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
    fn vectors_take_openai_s_shape() {
        let mut expected = answer();
        expected["data"].as_array_mut().unwrap().truncate(1);
        let vectors = [json!([1.0, -0.5, 0])];
        assert_eq!(of_vectors("m", &vectors, Some(5)), expected);
        assert!(is_vector(&vectors[0]) && !is_vector(&json!(["a"])) && !is_vector(&json!("a")));
        assert_eq!(of_vectors("m", &[], None).get("usage"), None);
    }

    #[test]
    fn usage_is_found_and_absent_usage_is_none() {
        let found = usage(answer().to_string().as_bytes()).unwrap();
        assert_eq!((found.input, found.output), (5, 0));
        assert_eq!(usage(b"{}"), None);
        assert_eq!(usage(b"<html>"), None);
    }
}
