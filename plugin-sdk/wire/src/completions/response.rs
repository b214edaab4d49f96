//! Whole answers: `text_completion`.
//!
//! Of several choices the payload holds the first; usage is that of all.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::chat::{Block, FinishReason, Response, Usage};
use crate::error::{CallError, CallErrorKind};
use crate::fields::Fields;
use crate::lenient::Text;
use crate::openai::usage::{UsageBody, WireUsage};
use crate::openai::{Identity, error, finish};

/// The response that a provider's body means: text, why it ended, usage.
///
/// # Errors
/// `MalformedResponse` for a body that is no completion; the reported failure for a body with
/// an `error` in it.
pub fn decode(body: &[u8]) -> Result<Response, CallError> {
    let wire: Wire<'_> = serde_json::from_slice(body)
        .map_err(|error| malformed(format!("the body is not a completion: {error}")))?;
    if let Some(inner) = wire.error.filter(|error| !error.is_null()) {
        return Err(error::decode_inner(inner));
    }
    let first = |choice: &Choice<'_>| choice.index.unwrap_or_default();
    let Some(choice) = wire.choices.into_iter().flatten().min_by_key(first) else {
        return Err(malformed("the body has no choice".into()));
    };
    if let Some(error) = finish::failure(&choice.finish_reason.0) {
        return Err(error);
    }
    let logprobs = choice.logprobs.filter(|logprobs| !logprobs.is_null());
    let extra = logprobs.map(|logprobs| Map::from_iter([("logprobs".to_owned(), logprobs)]));
    let text = choice.text.0.into_owned();
    Ok(Response {
        id: wire.id.0.into_owned(),
        model: wire.model.0.into_owned(),
        blocks: vec![Block::Text { text, cache: None, extra: extra.unwrap_or_default() }],
        finish_reason: finish::decode(&choice.finish_reason.0),
        usage: wire.usage.map(Usage::from),
        extra: Map::new(),
    })
}

/// The body of a whole answer.
pub fn encode(response: &Response, identity: &Identity<'_>) -> Vec<u8> {
    let mut text = String::new();
    for block in &response.blocks {
        if let Block::Text { text: more, .. } | Block::Refusal { text: more } = block {
            text.push_str(more);
        }
    }
    let body = Body {
        id: identity.id,
        object: super::stream::OBJECT,
        created: identity.created,
        model: identity.model,
        choices: [BodyChoice {
            text: &text,
            index: 0,
            logprobs: None,
            finish_reason: response.finish_reason.as_ref().map(reason),
        }],
        usage: response.usage.as_ref().map(UsageBody::from),
        extra: Fields::new(&response.extra)
            .except(&["id", "object", "created", "model", "choices", "usage"]),
    };
    serde_json::to_vec(&body).unwrap_or_default()
}

/// The dialect has no word for tool calls.
pub(super) fn reason(reason: &FinishReason) -> &str {
    match reason {
        FinishReason::ToolCalls => "stop",
        reason => finish::encode(reason),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wire<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice<'a> {
    index: Option<u64>,
    #[serde(borrow)]
    text: Text<'a>,
    #[serde(borrow)]
    finish_reason: Text<'a>,
    logprobs: Option<Value>,
}

#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [BodyChoice<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<UsageBody>,
    #[serde(flatten)]
    extra: Fields<'a>,
}

#[derive(Serialize)]
struct BodyChoice<'a> {
    text: &'a str,
    index: u32,
    logprobs: Option<()>,
    finish_reason: Option<&'a str>,
}

fn malformed(message: String) -> CallError {
    CallError::new(CallErrorKind::MalformedResponse, message)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    const IDENTITY: Identity<'_> = Identity { id: "cmpl-1", model: "shown", created: 7 };

    #[test]
    fn answer_survives_the_way_out_and_in() {
        let response = Response {
            id: "cmpl-1".into(),
            model: "shown".into(),
            blocks: vec![Block::text("hi")],
            finish_reason: Some(FinishReason::Length),
            usage: Some(Usage { input: 3, output: 1, ..Usage::default() }),
            extra: Map::new(),
        };
        assert_eq!(decode(&encode(&response, &IDENTITY)).unwrap(), response);
    }

    #[test]
    fn golden_answer_has_text_and_refusal_but_no_reasoning() {
        let blocks =
            vec![Block::reasoning("hm"), Block::text("a"), Block::Refusal { text: "b".into() }];
        let finish_reason = Some(FinishReason::ToolCalls);
        let response = Response { blocks, finish_reason, ..Response::default() };
        let found: Value = serde_json::from_slice(&encode(&response, &IDENTITY)).unwrap();
        let expected = json!({
            "id": "cmpl-1", "object": "text_completion", "created": 7, "model": "shown",
            "choices": [{"text": "ab", "index": 0, "logprobs": null, "finish_reason": "stop"}]});
        assert_eq!(found, expected);
    }

    #[test]
    fn first_of_several_choices_counts_and_failures_are_failures() {
        let body = json!({"choices": [{"index": 1, "text": "b"}, {"index": 0, "text": "a"}]});
        let response = decode(body.to_string().as_bytes()).unwrap();
        assert_eq!(response.blocks, vec![Block::text("a")]);
        let failed = json!({"error": {"message": "busy", "code": 503}});
        let error = decode(failed.to_string().as_bytes()).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (CallErrorKind::Overloaded, "busy"));
        for body in ["", "{}", "[]", r#"{"choices":[]}"#] {
            assert_eq!(decode(body.as_bytes()).unwrap_err().kind, CallErrorKind::MalformedResponse);
        }
    }
}
