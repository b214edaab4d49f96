//! Schemas whose root a provider cannot be asked for.
//!
//! Tools take objects, JSON mode gives objects, and providers refuse a choice at the root of a
//! tool's parameters. Such a schema is asked for as `{"value": …}`.

use serde_json::{Map, Value, json};

use super::filter::WRAPPER_KEY;
use super::subschemas::visit;

/// Where shared definitions stand. They stay at the root: providers look for them there.
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];

/// The root is an object and nothing but an object.
pub(super) fn is_plain_object(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object")
        && ["anyOf", "oneOf", "allOf", "not", "$ref", "enum", "const"]
            .iter()
            .all(|keyword| schema.get(keyword).is_none())
}

/// The schema of `{"value": …}`.
pub(super) fn wrap(schema: &Value) -> Value {
    let mut inner = schema.clone();
    visit(&mut inner, &mut |object| {
        if let Some(Value::String(reference)) = object.get_mut("$ref") {
            *reference = moved(reference);
        }
    });
    let mut outer = Map::new();
    if let Some(inner) = inner.as_object_mut() {
        for keyword in ["$schema", "$id"].iter().chain(&DEFINITIONS) {
            if let Some(hoisted) = inner.shift_remove(*keyword) {
                outer.insert((*keyword).to_owned(), hoisted);
            }
        }
    }
    outer.insert("type".into(), "object".into());
    outer.insert("properties".into(), json!({WRAPPER_KEY: inner}));
    outer.insert("required".into(), json!([WRAPPER_KEY]));
    outer.insert("additionalProperties".into(), Value::Bool(false));
    Value::Object(outer)
}

/// A reference from within the wrapper.
fn moved(reference: &str) -> String {
    let is_shared = |fragment: &str| {
        let first = fragment.split('/').nth(1);
        first.is_some_and(|first| DEFINITIONS.contains(&first))
    };
    match reference.strip_prefix('#') {
        Some(fragment)
            if (fragment.is_empty() || fragment.starts_with('/')) && !is_shared(fragment) =>
        {
            format!("#/properties/{WRAPPER_KEY}{fragment}")
        }
        _ => reference.to_owned(),
    }
}
