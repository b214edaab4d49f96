//! Properties of any input.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{assemble, assert_well_formed, decode};
use crate::stream::Decoder;
use crate::{answer, embeddings, error};

/// Parts as they come and as they should not.
fn parts() -> impl Strategy<Value = Value> {
    let signature = prop::option::of("[A-Z]{3}");
    let part = prop_oneof![
        ".{0,6}".prop_map(|text| json!({"text": text})),
        ".{0,6}".prop_map(|text| json!({"text": text, "thought": true})),
        Just(json!({"functionCall": {"name": "f", "args": {"a": 1}}})),
        Just(json!({"functionCall": {"name": "g", "willContinue": true}})),
        Just(json!({"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "x",
            "willContinue": true}], "willContinue": true}})),
        Just(json!({"functionCall": {"partialArgs": [{"jsonPath": "$.b[0]", "numberValue": 1}],
            "willContinue": true}})),
        Just(json!({"functionCall": {}})),
        Just(json!({"inlineData": {"mimeType": "image/png", "data": "AA=="}})),
        Just(json!({"inlineData": {"mimeType": 7}, "thought": true})),
        Just(json!({"executableCode": {"code": "1"}})),
        Just(json!({"text": null})),
        Just(json!({"functionCall": "f", "fileData": {"fileUri": "u"}})),
        Just(json!(3)),
    ];
    (part, signature).prop_map(|(mut part, signature)| {
        if let (Some(fields), Some(signature)) = (part.as_object_mut(), signature) {
            fields.insert("thoughtSignature".into(), signature.into());
        }
        part
    })
}

fn chunks() -> impl Strategy<Value = Vec<Value>> {
    let reason = prop::option::weighted(
        0.2,
        prop_oneof![
            Just("STOP"),
            Just("MAX_TOKENS"),
            Just("SAFETY"),
            Just("MALFORMED_FUNCTION_CALL"),
        ],
    );
    let chunk = (prop::collection::vec(parts(), 0..3), reason).prop_map(|(parts, reason)| {
        json!({"candidates": [{"content": {"parts": parts}, "finishReason": reason}],
            "usageMetadata": {"promptTokenCount": 1}})
    });
    prop::collection::vec(chunk, 0..8)
}

fn json_values() -> impl Strategy<Value = Value> {
    let keys = prop_oneof![
        Just("candidates".to_owned()),
        Just("content".to_owned()),
        Just("parts".to_owned()),
        Just("error".to_owned()),
        Just("details".to_owned()),
        Just("retryDelay".to_owned()),
        Just("embeddings".to_owned()),
        Just("values".to_owned()),
        Just("status".to_owned()),
        Just("usageMetadata".to_owned()),
        Just("promptFeedback".to_owned()),
        ".{0,4}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((keys.clone(), inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn events_are_well_formed_and_independent_of_batches(chunks in chunks(), size in 1_usize..5) {
        let events = decode(&chunks);
        assert_well_formed("any", &events);
        let batches: Vec<Value> = chunks.chunks(size).map(|batch| json!(batch)).collect();
        prop_assert_eq!(decode(&batches), events);
    }

    #[test]
    fn whole_answer_says_what_the_stream_of_its_parts_says(chunks in chunks()) {
        let parts: Vec<Value> = chunks
            .iter()
            .flat_map(|chunk| chunk["candidates"][0]["content"]["parts"].as_array().unwrap())
            .cloned()
            .collect();
        let one = |parts: &[Value], reason: Value| {
            json!({"candidates": [{"content": {"parts": parts}, "finishReason": reason}]})
        };
        let mut stream: Vec<Value> =
            parts.iter().map(|part| one(std::slice::from_ref(part), Value::Null)).collect();
        stream.push(one(&[], "STOP".into()));
        let whole = answer::decode(one(&parts, "STOP".into()).to_string().as_bytes());
        match whole {
            Ok(whole) => prop_assert_eq!(whole, assemble(&decode(&stream))),
            Err(error) => {
                let events = decode(&stream);
                let failed = torana_plugin_sdk::StreamEvent::Failed(error);
                prop_assert!(events.contains(&failed), "{:?}", events);
            }
        }
    }

    #[test]
    fn no_json_makes_it_panic(value in json_values(), status in any::<u16>()) {
        let body = value.to_string();
        let _ = answer::decode(body.as_bytes());
        let _ = error::decode(status, None, body.as_bytes());
        let _ = embeddings::parse("m", body.as_bytes());
        assert_well_formed("any", &decode(&[value.clone(), value]));
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut events = Vec::new();
        let mut decoder = Decoder::default();
        decoder.push(&body, &mut events);
        decoder.finish(&mut events);
        let _ = answer::decode(&body);
        let _ = error::decode(500, Some(1), &body);
    }
}
