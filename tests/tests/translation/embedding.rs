//! The scripted model's embeddings, on every wire that has some; a vector for each text.

use serde_json::{Value, json};
use torana_tests::provider::Asked;
use torana_tests::script::Script;

use super::saying::INPUT;

/// Exact in single precision, so that base64 loses nothing.
pub(crate) const VECTOR: [f64; 3] = [0.5, -0.25, 0.125];

/// An answer, if embeddings were asked for.
pub(crate) fn respond(asked: &Asked, path: &str) -> Option<Script> {
    let body = asked.json();
    let count = |place: &str| body[place].as_array().map_or(1, Vec::len);
    let answer = match path {
        _ if path.ends_with("/embeddings") => openai(&body),
        _ if path.ends_with("/invocations") && !body["input"].is_null() => openai(&body),
        _ if path.ends_with(":batchEmbedContents") => {
            json!({ "embeddings": repeated(count("requests"), &json!({ "values": VECTOR })) })
        }
        _ if path.ends_with(":predict") => {
            let statistics = json!({ "token_count": INPUT, "truncated": false });
            let embedding = json!({ "values": VECTOR, "statistics": statistics });
            json!({ "predictions": repeated(count("instances"), &json!({ "embeddings": embedding })) })
        }
        _ if path.ends_with("/v2/embed") => {
            let meta = json!({ "billed_units": { "input_tokens": INPUT } });
            json!({ "id": "scripted", "meta": meta,
                    "embeddings": { "float": repeated(count("texts"), &json!(VECTOR)) } })
        }
        _ if path.ends_with("/invoke") && body["texts"].is_array() => {
            json!({ "id": "scripted", "response_type": "embeddings_by_type",
                    "embeddings": { "float": repeated(count("texts"), &json!(VECTOR)) } })
        }
        _ if path.ends_with("/invoke") => json!({ "embedding": VECTOR }),
        _ => return None,
    };
    // Bedrock counts in a header.
    Some(Script::json(200, &answer).header("x-amzn-bedrock-input-token-count", "31"))
}

/// OpenAI's own can be asked for base64.
fn openai(body: &Value) -> Value {
    let vector = match body["encoding_format"].as_str() {
        Some("base64") => json!(base64()),
        _ => json!(VECTOR),
    };
    let inputs = body["input"].as_array().map_or(1, Vec::len);
    let item = |index: usize| json!({ "object": "embedding", "index": index, "embedding": vector });
    json!({ "object": "list", "data": (0..inputs).map(item).collect::<Vec<_>>(),
            "model": body["model"],
            "usage": { "prompt_tokens": INPUT, "total_tokens": INPUT } })
}

/// The vector as OpenAI's clients ask for it: single precision, little-endian.
pub(crate) fn base64() -> &'static str {
    "AAAAPwAAgL4AAAA+"
}

fn repeated(count: usize, value: &Value) -> Vec<Value> {
    vec![value.clone(); count]
}
