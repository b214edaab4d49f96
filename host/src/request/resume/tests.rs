//! The request that goes on.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;

fn request(value: &Value) -> Request {
    torana_wire::openai::request::decode(value.to_string().as_bytes()).unwrap()
}

fn chat(more: &Value) -> Request {
    let mut body = json!({"model": "m", "stream": true,
        "messages": [{"role": "user", "content": "hello"}]});
    let fields = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(fields);
    request(&body)
}

fn parameters() -> Map<String, Value> {
    let parameters = json!({"continue_final_message": true});
    parameters.as_object().unwrap().clone()
}

#[test]
fn the_conversation_ends_with_the_words_so_far() {
    let asked = chat(&json!({"max_tokens": 10}));
    let continued = continued(asked.clone(), "Bon", 4, &parameters());
    let mut expected = asked;
    let blocks = vec![Block::text("Bon")];
    expected.messages.push(Message { role: Role::Assistant, blocks, name: None });
    expected.extra = parameters();
    expected.sampling.max_output_tokens = Some(6);
    assert_eq!(continued, expected);
}

#[test]
fn the_clients_own_prefill_goes_on_in_one_message() {
    let messages = json!({"messages": [{"role": "user", "content": "hello"},
        {"role": "assistant", "content": "Bon"}]});
    let continued = continued(chat(&messages), "jour", 1, &Map::new());
    assert_eq!(continued.messages.len(), 2);
    assert_eq!(continued.messages[1].blocks, [Block::text("Bonjour")]);
}

#[test]
fn where_nothing_was_said_the_same_is_asked_again() {
    let asked = chat(&json!({"max_tokens": 10}));
    assert_eq!(continued(asked.clone(), "", 0, &parameters()), asked);
    let spent = continued(asked, "a", 99, &Map::new());
    assert_eq!(spent.sampling.max_output_tokens, Some(1));
}

#[test]
fn json_reasoning_and_several_answers_are_not_gone_on_with() {
    for good in [json!({}), json!({"n": 1}), json!({"reasoning_effort": "none"})] {
        assert!(suits(&chat(&good)), "{good}");
    }
    for bad in [
        json!({"n": 2}),
        json!({"reasoning_effort": "low"}),
        json!({"response_format": {"type": "json_object"}}),
    ] {
        assert!(!suits(&chat(&bad)), "{bad}");
    }
}
