//! A value that fits a JSON Schema, as far as its shape goes.
//!
//! Follows `const`, `default`, `enum`, `examples`, `type`, `properties` with `required`,
//! `items` with `minItems`, `minLength`, bounds of numbers, the first of `anyOf` and
//! `oneOf`, all of `allOf`, and `$ref` inside the document. Patterns and formats are not
//! met. Depth and size are bounded: a schema may refer to itself.

use serde_json::{Map, Value, json};

/// Nesting after which only empty values are made.
const MAX_DEPTH: usize = 16;
/// Values made for one schema, more or less: as much as any answer would be.
const MAX_VALUES: usize = 4_096;
/// Items of an array, and characters of a string that must be long.
const MAX_LENGTH: u64 = 64;

/// A value of the shape that `schema` describes.
pub(crate) fn instance(schema: &Value) -> Value {
    let mut maker = Maker { document: schema, values_left: MAX_VALUES };
    maker.make(schema, 0)
}

struct Maker<'a> {
    document: &'a Value,
    values_left: usize,
}

impl<'a> Maker<'a> {
    fn make(&mut self, schema: &'a Value, depth: usize) -> Value {
        self.values_left = self.values_left.saturating_sub(1);
        if depth > MAX_DEPTH || self.values_left == 0 {
            return Value::Null;
        }
        if let Some(value) = given(schema) {
            return value.clone();
        }
        if let Some(target) = self.target(schema) {
            return self.make(target, depth + 1);
        }
        let choices = ["anyOf", "oneOf"].into_iter().find_map(|key| schema.get(key));
        if let Some(first) = choices.and_then(|choices| choices.get(0)) {
            return self.make(first, depth + 1);
        }
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "string" => string(schema),
            "integer" => json!(number(schema).ceil() as i64),
            "number" => json!(number(schema)),
            "boolean" => json!(true),
            _ => Value::Null,
        }
    }

    fn object(&mut self, schema: &'a Value, depth: usize) -> Value {
        let mut object = Map::new();
        let parts = schema.get("allOf").and_then(Value::as_array);
        for part in parts.into_iter().flatten() {
            if let Value::Object(part) = self.make(part, depth + 1) {
                object.extend(part);
            }
        }
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            let property = schema.get("properties").and_then(|it| it.get(name));
            let value = match property {
                Some(property) => self.make(property, depth + 1),
                None => json!("text"),
            };
            object.insert(name.to_owned(), value);
        }
        Value::Object(object)
    }

    fn array(&mut self, schema: &'a Value, depth: usize) -> Value {
        let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
        let most = bound("maxItems").unwrap_or(u64::MAX).min(MAX_LENGTH);
        let count = bound("minItems").unwrap_or(1).min(most);
        let mut array = Vec::new();
        if let Some(items) = schema.get("items") {
            for _ in 0..count {
                if self.values_left == 0 {
                    break;
                }
                array.push(self.make(items, depth + 1));
            }
        } else if bound("minItems").is_some() {
            array.extend((0..count).map(|_| json!("text")));
        }
        Value::Array(array)
    }

    /// What a `$ref` inside the document, such as `#/$defs/Point`, points to.
    fn target(&self, schema: &Value) -> Option<&'a Value> {
        let reference = schema.get("$ref")?.as_str()?;
        self.document.pointer(reference.strip_prefix('#')?)
    }
}

/// A value that the schema itself names.
fn given(schema: &Value) -> Option<&Value> {
    let first = |key: &str| schema.get(key)?.get(0);
    schema
        .get("const")
        .or_else(|| schema.get("default"))
        .or_else(|| first("enum"))
        .or_else(|| first("examples"))
}

/// The `type`, the first that is not `null` of several, or what the other keys tell.
fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            let mut kinds = kinds.iter().filter_map(Value::as_str);
            kinds.find(|kind| *kind != "null").unwrap_or("null")
        }
        _ if schema.get("items").is_some() => "array",
        _ if ["properties", "required", "allOf"].iter().any(|key| schema.get(*key).is_some()) => {
            "object"
        }
        _ => "string",
    }
}

fn string(schema: &Value) -> Value {
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
    let most = bound("maxLength").unwrap_or(u64::MAX);
    let length = bound("minLength").unwrap_or(0).clamp(4, MAX_LENGTH).min(most);
    "text".chars().cycle().take(usize::try_from(length).unwrap_or(0)).collect::<String>().into()
}

fn number(schema: &Value) -> f64 {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let least = bound("minimum").or_else(|| Some(bound("exclusiveMinimum")? + 1.0));
    let most = bound("maximum").or_else(|| Some(bound("exclusiveMaximum")? - 1.0));
    // One more than 0 where nothing speaks against it: tells a made value from an absent one.
    let value = least.map_or(1.0, |least| least.max(1.0));
    most.map_or(value, |most| value.min(most.max(least.unwrap_or(f64::MIN))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn object_has_its_required_properties_and_no_others() {
        let schema = json!({
            "type": "object",
            "properties": {
                "city": { "type": "string" },
                "unit": { "enum": ["celsius", "fahrenheit"] },
                "days": { "type": ["null", "integer"], "minimum": 3 },
                "flags": { "type": "array", "items": { "type": "boolean" }, "minItems": 2 },
                "note": { "type": "string" }
            },
            "required": ["city", "unit", "days", "flags", "undescribed"]
        });
        assert_eq!(
            instance(&schema),
            json!({ "city": "text", "unit": "celsius", "days": 3, "flags": [true, true],
                    "undescribed": "text" })
        );
    }

    #[test]
    fn references_and_combinations_are_followed() {
        let schema = json!({
            "allOf": [
                { "$ref": "#/$defs/point" },
                { "properties": { "z": { "anyOf": [{ "const": 9 }, { "type": "null" }] } },
                  "required": ["z"] }
            ],
            "$defs": { "point": { "properties": { "x": { "type": "number" } }, "required": ["x"] } }
        });
        assert_eq!(instance(&schema), json!({ "x": 1.0, "z": 9 }));
    }

    #[test]
    fn bounds_of_numbers_and_strings_are_met() {
        let at = |schema: Value| instance(&schema);
        assert_eq!(at(json!({ "type": "integer", "maximum": 0 })), json!(0));
        assert_eq!(at(json!({ "type": "integer", "minimum": 2.5 })), json!(3));
        assert_eq!(at(json!({ "type": "string", "minLength": 6 })), json!("textte"));
        assert_eq!(at(json!({ "type": "string", "maxLength": 1 })), json!("t"));
        assert_eq!(at(json!({ "type": "array", "maxItems": 0, "items": {} })), json!([]));
    }

    #[test]
    fn schema_that_refers_to_itself_ends() {
        let list = json!({
            "properties": { "next": { "$ref": "#" } },
            "required": ["next"]
        });
        assert!(instance(&list).is_object());
        let tree = json!({
            "properties": { "next": { "type": "array", "items": { "$ref": "#" }, "minItems": 60 } },
            "required": ["next"]
        });
        let written = instance(&tree).to_string();
        assert!(written.len() < 64 * MAX_VALUES, "{}", written.len());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let keys = "type|items|properties|required|allOf|anyOf|\\$ref|minItems|minLength|maximum|a";
        let words = "object|array|string|integer|#|#/items|#/properties/a|a";
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            words.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((keys, inner), 0..5)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_schema_gives_a_value_of_bounded_size(schema in any_json()) {
            let written = instance(&schema).to_string();
            // The schema itself may be in there once for each value, as a `const` may.
            prop_assert!(written.len() < MAX_VALUES * (64 + schema.to_string().len()));
        }
    }

    #[test]
    fn what_is_no_schema_gives_some_value() {
        for schema in [json!(true), json!(null), json!([]), json!({}), json!({ "$ref": "x" })] {
            assert_eq!(instance(&schema), json!("text"), "{schema}");
        }
    }
}
