//! A client's completions body to a chat request.

use serde_json::{Map, Value};

use crate::DecodeError;
use crate::chat::{Block, Message, Request, Role};
use crate::parameters;
use crate::pointer::{self, Path, boolean, string, take_string};

/// The chat request that a client's body means.
///
/// # Errors
/// A wrong type, and a field that a chat has nothing like; the pointer names it.
pub fn decode(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = pointer::body(body)?;
    let model = take_string(&mut fields, "model", &Path::Root)?;
    let prompt = prompt(fields.shift_remove("prompt"), &Path::Root.key("prompt"))?;
    refuse(&mut fields)?;
    let message = Message { role: Role::User, blocks: vec![Block::text(prompt)], name: None };
    let mut request = Request { model, messages: vec![message], ..Request::default() };
    parameters::take_all(&mut request, fields, known)?;
    Ok(request)
}

/// Takes a key that has a field; gives back what is to be kept in `extra`.
fn known(
    request: &mut Request,
    key: &str,
    value: Value,
    path: &Path<'_>,
) -> Result<Option<Value>, DecodeError> {
    match key {
        "stream" => request.stream = boolean(&value, path)?,
        "user" => request.user = Some(string(value, path)?),
        _ => return parameters::sampling_of_openai(&mut request.sampling, key, value, path),
    }
    Ok(None)
}

fn prompt(value: Option<Value>, path: &Path<'_>) -> Result<String, DecodeError> {
    match value {
        None | Some(Value::Null) => Err(path.missing("a string or an array")),
        Some(Value::String(prompt)) => Ok(prompt),
        Some(Value::Array(mut prompts)) => match (prompts.pop(), prompts.is_empty()) {
            (None, _) => Err(path.error("expected a prompt, found an empty array".into())),
            (Some(Value::String(prompt)), true) => Ok(prompt),
            (Some(Value::String(_)), false) => {
                let found = prompts.len() + 1;
                Err(path.error(untranslatable(&format!("an array of {found} prompts"))))
            }
            (Some(Value::Array(_) | Value::Number(_)), _) => {
                Err(path.error(untranslatable("a prompt in tokens")))
            }
            (Some(other), _) => Err(path.index(prompts.len()).mismatch("a string", &other)),
        },
        Some(other) => Err(path.mismatch("a string or an array", &other)),
    }
}

/// Removes the fields that a chat has nothing like, if they ask for nothing.
fn refuse(fields: &mut Map<String, Value>) -> Result<(), DecodeError> {
    for key in ["echo", "suffix", "logprobs", "best_of"] {
        let Some(value) = fields.shift_remove(key) else {
            continue;
        };
        let path = Path::Root.key(key);
        let asks_for_nothing = match (key, &value) {
            (_, Value::Null) => true,
            ("echo", Value::Bool(echo)) => !echo,
            ("suffix", Value::String(suffix)) => suffix.is_empty(),
            ("best_of", Value::Number(number)) => number.as_u64() == Some(1),
            ("logprobs", Value::Number(_)) => false,
            ("echo", other) => return Err(path.mismatch("true or false", other)),
            ("suffix", other) => return Err(path.mismatch("a string", other)),
            (_, other) => return Err(path.mismatch("a whole number", other)),
        };
        if !asks_for_nothing {
            return Err(path.error(untranslatable(&format!("`{key}`"))));
        }
    }
    Ok(())
}

fn untranslatable(what: &str) -> String {
    format!("{what} is not supported by this model: it has no completions route, only chat")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn decoded(body: &Value) -> Result<Request, DecodeError> {
        decode(body.to_string().as_bytes())
    }

    #[test]
    fn prompt_becomes_what_the_user_says() {
        for prompt in [json!("Say hi"), json!(["Say hi"])] {
            let request = decoded(&json!({
                "model": "m", "prompt": prompt, "max_tokens": 5, "temperature": 0.5, "top_p": 0.9,
                "stop": "END", "seed": -1, "presence_penalty": 0.1, "frequency_penalty": 0.2,
                "stream": true, "user": "u", "n": 2, "logit_bias": {"1": 2}, "echo": false,
                "suffix": null, "best_of": 1, "logprobs": null}))
            .unwrap();
            let said =
                Message { role: Role::User, blocks: vec![Block::text("Say hi")], name: None };
            assert_eq!(request.messages, vec![said]);
            assert_eq!(request.sampling.max_output_tokens, Some(5));
            assert_eq!(request.sampling.stop, ["END"]);
            assert_eq!((request.sampling.seed, request.user.as_deref()), (Some(-1), Some("u")));
            assert!(request.stream);
            let extra = json!({"n": 2, "logit_bias": {"1": 2}});
            assert_eq!(Value::Object(request.extra), extra);
        }
    }

    #[test]
    fn what_a_chat_has_nothing_like_is_refused_by_name() {
        let cases = [
            ("/prompt", json!({"prompt": ["a", "b"]}), "an array of 2 prompts is not supported"),
            ("/prompt", json!({"prompt": [1, 2]}), "a prompt in tokens is not supported"),
            ("/prompt", json!({"prompt": [[1], [2]]}), "a prompt in tokens is not supported"),
            ("/echo", json!({"prompt": "a", "echo": true}), "`echo` is not supported"),
            ("/suffix", json!({"prompt": "a", "suffix": "z"}), "`suffix` is not supported"),
            ("/logprobs", json!({"prompt": "a", "logprobs": 0}), "`logprobs` is not supported"),
            ("/best_of", json!({"prompt": "a", "best_of": 3}), "`best_of` is not supported"),
            ("/prompt", json!({}), "expected a string or an array, found nothing"),
            ("/prompt", json!({"prompt": []}), "expected a prompt, found an empty array"),
            ("/prompt/0", json!({"prompt": [true]}), "expected a string, found true"),
            ("/echo", json!({"prompt": "a", "echo": 1}), "expected true or false"),
            ("/max_tokens", json!({"prompt": "a", "max_tokens": -1}), "expected a whole number"),
        ];
        for (pointer, mut body, message) in cases {
            body.as_object_mut().unwrap().insert("model".into(), "m".into());
            let error = decoded(&body).unwrap_err();
            assert_eq!(error.pointer, pointer, "{body}");
            assert!(error.message.starts_with(message), "{error}");
        }
        assert_eq!(decoded(&json!({"prompt": "a"})).unwrap_err().pointer, "/model");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
