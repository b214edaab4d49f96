//! A response to the `message` body that a client gets.

use serde_json::{Map, Value};

use super::content;
use crate::anthropic::{Identity, finish, usage};
use crate::chat::Response;

/// Keys that are written from the response's own fields.
const WRITTEN: [&str; 9] =
    ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage", "created"];

/// The body of a whole answer.
pub fn encode(response: &Response, identity: &Identity<'_>) -> Vec<u8> {
    serde_json::to_vec(&message(response, identity)).unwrap_or_default()
}

fn message(response: &Response, identity: &Identity<'_>) -> Map<String, Value> {
    let extra = &response.extra;
    let kept = extra.get("stop_reason").and_then(Value::as_str);
    let reason = response.finish_reason.as_ref().map(|reason| finish::word(reason, kept));
    let mut message = Map::new();
    let mut set = |key: &str, value: Value| message.insert(key.to_owned(), value);
    set("id", identity.id.into());
    set("type", "message".into());
    set("role", "assistant".into());
    set("model", identity.model.into());
    set("content", content::encode_all(&response.blocks).into());
    set("stop_reason", reason.into());
    set("stop_sequence", extra.get("stop_sequence").cloned().unwrap_or_default());
    // Clients' types demand the counts, also where the provider gave none.
    let rest = extra.get("usage").and_then(Value::as_object);
    set("usage", usage::encode(&response.usage.unwrap_or_default(), rest).into());
    for (key, value) in extra.iter().filter(|(key, _)| !WRITTEN.contains(&key.as_str())) {
        set(key, value.clone());
    }
    message
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::anthropic::response::decode;
    use crate::chat::{Block, FinishReason, Usage};
    use serde_json::json;

    const IDENTITY: Identity<'_> = Identity { id: "msg_1", model: "shown", created: 7 };

    fn body(response: &Response) -> Value {
        serde_json::from_slice(&encode(response, &IDENTITY)).unwrap()
    }

    #[test]
    fn empty_answer_has_all_that_a_client_demands() {
        let expected = json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "shown",
            "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": {"input_tokens": 0, "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0, "output_tokens": 0}});
        assert_eq!(body(&Response::default()), expected);
    }

    #[test]
    fn stop_sequence_is_named_as_the_reason() {
        let extra = json!({"stop_sequence": "END", "stop_reason": "stop_sequence"});
        let response = Response {
            finish_reason: Some(FinishReason::Stop),
            extra: extra.as_object().unwrap().clone(),
            ..Response::default()
        };
        let body = body(&response);
        assert_eq!(
            (&body["stop_reason"], &body["stop_sequence"]),
            (&json!("stop_sequence"), &json!("END"))
        );
    }

    #[test]
    fn estimated_usage_says_so() {
        let usage = Usage { input: 3, output: 4, estimated: true, ..Usage::default() };
        let response = Response { usage: Some(usage), ..Response::default() };
        assert_eq!(body(&response)["usage"]["estimated"], true);
        assert_eq!(decode(&encode(&response, &IDENTITY)).unwrap().usage, Some(usage));
    }

    #[test]
    fn refusal_of_another_provider_becomes_text_and_keeps_the_reason() {
        let response = Response {
            blocks: vec![Block::Refusal { text: "no".into() }],
            finish_reason: Some(FinishReason::ContentFilter),
            ..Response::default()
        };
        let body = body(&response);
        assert_eq!(body["content"], json!([{"type": "text", "text": "no"}]));
        assert_eq!(body["stop_reason"], "refusal");
    }
}
