//! Where the schemas inside a JSON Schema are.
//!
//! What stands under a keyword nobody knows may be the target of a `$ref`, so it is visited as
//! if it were a schema; only what is known to be plain data is not. Recursion goes as deep as the JSON does, which the parser bounds.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// Keywords whose value is plain data, whatever it looks like.
const DATA: [&str; 5] = ["enum", "const", "default", "examples", "example"];

/// Keywords whose value names schemas: its keys are names, not keywords.
const NAMED: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];

/// Shows every schema object in `schema` to `visitor`, innermost first.
pub(super) fn visit(schema: &mut Value, visitor: &mut dyn FnMut(&mut Map<String, Value>)) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| visit(item, visitor)),
        Value::Object(object) => {
            for (keyword, value) in object.iter_mut() {
                match value {
                    Value::Object(named) if NAMED.contains(&keyword.as_str()) => {
                        named.values_mut().for_each(|schema| visit(schema, visitor));
                    }
                    _ if DATA.contains(&keyword.as_str()) => {}
                    _ => visit(value, visitor),
                }
            }
            visitor(object);
        }
        _ => {}
    }
}

/// Where a reference such as `#/$defs/a` leads: the schema, and the tokens on the way, as
/// they stand in the reference. `None` if nothing is there that [`visit`] would show.
pub(super) fn follow<'a, 'r>(
    root: &'a Value,
    fragment: &'r str,
) -> Option<(&'a Value, Vec<Token<'r>>)> {
    let mut at = root;
    let mut in_schema = true;
    let mut tokens = Vec::new();
    for text in fragment.split('/').skip(1) {
        let decoded = percent_decode_str(text).decode_utf8().ok()?;
        let key = decoded.replace("~1", "/").replace("~0", "~");
        let of_schema = in_schema && at.is_object();
        if of_schema && DATA.contains(&key.as_str()) {
            return None;
        }
        tokens.push(Token { text, of_schema });
        at = match at {
            Value::Object(entries) => entries.get(&key)?,
            Value::Array(items) => items.get(key.parse::<usize>().ok()?)?,
            _ => return None,
        };
        in_schema = !(of_schema && at.is_object() && NAMED.contains(&key.as_str()));
    }
    let is_schema = at.is_boolean() || (at.is_object() && in_schema);
    is_schema.then_some((at, tokens))
}

/// A step of a reference.
pub(super) struct Token<'r> {
    /// As it stands in the reference.
    pub(super) text: &'r str,
    /// It is a keyword of a schema object; else a name or a position.
    pub(super) of_schema: bool,
}
