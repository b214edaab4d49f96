//! Arguments of a tool call, from values with their places to JSON text.
//!
//! Google streams arguments as `{jsonPath, stringValue | numberValue | boolValue |
//! nullValue, willContinue}`; the gateway streams JSON text, in which nothing can be put in
//! later. Values come in the order of the text. One that would have to stand before what is
//! written already fails the stream rather than lose it.

use std::collections::HashSet;

use serde_json::Value;
use torana_plugin_sdk::CallError;

use super::decoder::malformed;

/// How deep arguments may be nested: what serde_json reads.
const MAX_DEPTH: usize = 127;
/// Keys and elements of one call. The largest schemas have some hundreds; this bounds what
/// is held of the keys that were written.
const MAX_MEMBERS: usize = 65_536;

/// Writes the arguments of one call.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    /// Containers that are open, the outermost first.
    containers: Vec<Container>,
    /// The steps from each open container to the one inside it.
    path: Vec<Step>,
    /// The place of a string that is open.
    string: Option<Vec<Step>>,
    members: usize,
    /// They came in one piece.
    is_whole: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

#[derive(Debug)]
enum Container {
    Object { written: HashSet<String> },
    Array { length: usize },
}

impl Arguments {
    /// All of them at once; only the first counts.
    pub(super) fn push_whole(&mut self, arguments: &Value, out: &mut String) {
        if self.containers.is_empty() && !self.is_whole {
            self.is_whole = true;
            out.push_str(&arguments.to_string());
        }
    }

    /// One piece.
    pub(super) fn push(&mut self, piece: &Value, out: &mut String) -> Result<(), CallError> {
        let path = piece.get("jsonPath").and_then(Value::as_str).unwrap_or_default();
        let Some(path) = steps(path).filter(|_| !self.is_whole) else {
            return Err(malformed(format!("the place of an argument is not understood: {path:?}")));
        };
        let goes_on = piece.get("willContinue") == Some(&Value::Bool(true));
        let text = piece.get("stringValue").and_then(Value::as_str);
        if let (Some(open), Some(text)) = (&self.string, text)
            && *open == path
        {
            escape(text, out);
            if !goes_on {
                out.push('"');
                self.string = None;
            }
            return Ok(());
        }
        let Some(value) = scalar(piece) else {
            // The announcement of a value.
            return Ok(());
        };
        self.go_to(&path, out)?;
        match text {
            Some(text) => {
                out.push('"');
                escape(text, out);
                match goes_on {
                    true => self.string = Some(path),
                    false => out.push('"'),
                }
            }
            None => out.push_str(&value.to_string()),
        }
        Ok(())
    }

    /// What is owed at the end.
    pub(super) fn finish(mut self) -> String {
        let mut out = String::new();
        if self.containers.is_empty() && !self.is_whole {
            out.push_str("{}");
        }
        self.close(0, &mut out);
        out
    }

    /// Closes what does not lead to `path`, opens what does, and writes all before the value.
    fn go_to(&mut self, path: &[Step], out: &mut String) -> Result<(), CallError> {
        let parents = path.split_last().map(|(_, parents)| parents).unwrap_or_default();
        let shared = self.path.iter().zip(parents).take_while(|(ours, step)| ours == step).count();
        if self.containers.is_empty() {
            self.open(path.first(), out);
        } else {
            self.close(shared + 1, out);
        }
        for (position, step) in path.iter().enumerate().skip(shared) {
            self.enter(step, out)?;
            if let Some(inner) = path.get(position + 1) {
                self.path.push(step.clone());
                self.open(Some(inner), out);
            }
        }
        Ok(())
    }

    /// Writes what stands before a member of the innermost container.
    fn enter(&mut self, step: &Step, out: &mut String) -> Result<(), CallError> {
        let gap = match (self.containers.last(), step) {
            (Some(Container::Array { length }), Step::Index(index)) => {
                index.saturating_sub(*length)
            }
            _ => 0,
        };
        self.members = self.members.saturating_add(gap).saturating_add(1);
        if self.members > MAX_MEMBERS {
            return Err(malformed(format!("a tool call has more than {MAX_MEMBERS} arguments")));
        }
        match (self.containers.last_mut(), step) {
            (Some(Container::Object { written }), Step::Key(key)) if !written.contains(key) => {
                if !written.is_empty() {
                    out.push(',');
                }
                out.push('"');
                escape(key, out);
                out.push_str("\":");
                written.insert(key.clone());
                Ok(())
            }
            // An element that cannot be expressed, such as an empty object, leaves a gap.
            (Some(Container::Array { length }), Step::Index(index)) if index >= length => {
                while *length < *index {
                    out.push_str(if *length > 0 { ",null" } else { "null" });
                    *length += 1;
                }
                if *length > 0 {
                    out.push(',');
                }
                *length += 1;
                Ok(())
            }
            _ => Err(malformed(format!("an argument came out of order: {step:?}"))),
        }
    }

    /// Opens the container that has `inner` in it.
    fn open(&mut self, inner: Option<&Step>, out: &mut String) {
        match inner {
            Some(Step::Index(_)) => {
                out.push('[');
                self.containers.push(Container::Array { length: 0 });
            }
            Some(Step::Key(_)) | None => {
                out.push('{');
                self.containers.push(Container::Object { written: HashSet::new() });
            }
        }
    }

    /// Closes the open string, and containers until `keep` are left.
    fn close(&mut self, keep: usize, out: &mut String) {
        if self.string.take().is_some() {
            out.push('"');
        }
        while self.containers.len() > keep {
            out.push(match self.containers.pop() {
                Some(Container::Array { .. }) => ']',
                _ => '}',
            });
        }
        self.path.truncate(keep.saturating_sub(1));
    }
}

/// The value of a piece. A number that JSON lacks becomes null, as Google writes it as text.
fn scalar(piece: &Value) -> Option<Value> {
    let keys = ["stringValue", "numberValue", "boolValue"];
    let value = keys.iter().find_map(|key| piece.get(key).map(|value| (*key, value)));
    match value {
        Some(("numberValue", value)) if !value.is_number() => Some(Value::Null),
        Some((_, value)) => Some(value.clone()),
        None => piece.get("nullValue").map(|_| Value::Null),
    }
}

fn escape(text: &str, out: &mut String) {
    let quoted = Value::from(text).to_string();
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    out.push_str(inner.unwrap_or_default());
}

/// The steps of a JSONPath (RFC 9535) to a single place below an object, such as
/// `$.foo.bar[0]['a b']`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() >= MAX_DEPTH {
            return None;
        }
        let step;
        (step, rest) = match rest.strip_prefix('.') {
            Some(name) => {
                let end = name.find(['.', '[']).unwrap_or(name.len());
                let (name, rest) = name.split_at_checked(end)?;
                (Step::Key((!name.is_empty()).then(|| name.to_owned())?), rest)
            }
            None => bracket(rest.strip_prefix('[')?)?,
        };
        steps.push(step);
    }
    matches!(steps.first(), Some(Step::Key(_))).then_some(steps)
}

/// After the `[`: an index, or a name in quotes.
fn bracket(rest: &str) -> Option<(Step, &str)> {
    let Some(quote) = rest.chars().next().filter(|first| matches!(first, '\'' | '"')) else {
        let (index, rest) = rest.split_once(']')?;
        return Some((Step::Index(index.parse().ok()?), rest));
    };
    let mut name = String::new();
    let mut characters = rest.get(1..)?.chars();
    loop {
        match characters.next()? {
            '\\' => name.push(unescape(&mut characters)?),
            character if character == quote => break,
            character => name.push(character),
        }
    }
    Some((Step::Key(name), characters.as_str().strip_prefix(']')?))
}

fn unescape(characters: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match characters.next()? {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'u' => {
            let first = unit(characters)?;
            let units = match first {
                0xD800..=0xDBFF => {
                    let rest = characters.as_str().strip_prefix("\\u")?;
                    *characters = rest.chars();
                    vec![first, unit(characters)?]
                }
                first => vec![first],
            };
            char::decode_utf16(units).next()?.ok()?
        }
        character => character,
    })
}

fn unit(characters: &mut std::str::Chars<'_>) -> Option<u16> {
    let digits = characters.as_str().get(..4)?;
    let unit = u16::from_str_radix(digits, 16).ok()?;
    *characters = characters.as_str().get(4..)?.chars();
    Some(unit)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn written(pieces: &[Value]) -> Result<String, CallError> {
        let mut arguments = Arguments::default();
        let mut out = String::new();
        for piece in pieces {
            arguments.push(piece, &mut out)?;
        }
        out.push_str(&arguments.finish());
        Ok(out)
    }

    #[test]
    fn nested_values_become_one_text() {
        let text = written(&[
            json!({"jsonPath": "$.a", "stringValue": "x\"", "willContinue": true}),
            json!({"jsonPath": "$.a", "stringValue": "y\n"}),
            json!({"jsonPath": "$.b.list[0].n", "numberValue": 0.5}),
            json!({"jsonPath": "$.b.list[0].t", "boolValue": true}),
            json!({"jsonPath": "$.b.list[2]", "nullValue": "NULL_VALUE"}),
            json!({"jsonPath": "$['b']['o d.d\\u00e9']", "stringValue": "", "willContinue": true}),
            json!({"jsonPath": "$.c[0][1]", "numberValue": 7}),
        ])
        .unwrap();
        let expected = json!({"a": "x\"y\n", "b": {"list": [{"n": 0.5, "t": true}, null, null],
            "o d.d\u{e9}": ""}, "c": [[null, 7]]});
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected, "{text}");
    }

    #[test]
    fn call_without_pieces_has_no_arguments() {
        assert_eq!(written(&[]).unwrap(), "{}");
    }

    #[test]
    fn pieces_that_cannot_be_placed_fail() {
        let at = |path: &str| json!({"jsonPath": path, "numberValue": 1});
        for pieces in [
            vec![at("$.a"), at("$.a")],
            vec![at("$.a.b"), at("$.c"), at("$.a.d")],
            vec![at("$.a[1]"), at("$.a[0]")],
            vec![at("$.a[0]"), at("$.b"), at("$.a[1]")],
            vec![at("$.a[99999999]")],
            vec![at("$.a[40000]"), at("$.b[40000]")],
            vec![at("$")],
            vec![at("$[0]")],
            vec![at("a.b")],
            vec![at("$.a['b")],
            vec![at("$..a")],
            vec![at("$.a[*]")],
            vec![at(&"$.a".repeat(200).replace("a$", "a"))],
        ] {
            assert!(written(&pieces).is_err(), "{pieces:?}");
        }
    }

    fn scalars() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ]
    }

    fn objects() -> impl Strategy<Value = Value> {
        let values = scalars().prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(Value::from),
                prop::collection::hash_map(".{1,5}", inner, 1..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::hash_map(".{1,5}", values, 0..5)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    fn pieces(path: &str, value: &Value, cut: bool, out: &mut Vec<Value>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    let quoted = key.replace('\\', "\\\\").replace('\'', "\\'");
                    pieces(&format!("{path}['{quoted}']"), value, cut, out);
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    pieces(&format!("{path}[{index}]"), value, cut, out);
                }
            }
            Value::String(text) if cut => {
                for character in text.chars() {
                    let text = character.to_string();
                    out.push(json!({"jsonPath": path, "stringValue": text, "willContinue": true}));
                }
                out.push(json!({"jsonPath": path, "stringValue": ""}));
            }
            Value::String(text) => out.push(json!({"jsonPath": path, "stringValue": text})),
            Value::Number(number) => out.push(json!({"jsonPath": path, "numberValue": number})),
            Value::Bool(value) => out.push(json!({"jsonPath": path, "boolValue": value})),
            Value::Null => out.push(json!({"jsonPath": path, "nullValue": "NULL_VALUE"})),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn whatever_is_cut_in_order_comes_together_again(value in objects(), cut in any::<bool>()) {
            let mut cuts = Vec::new();
            pieces("$", &value, cut, &mut cuts);
            let text = written(&cuts).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }

        #[test]
        fn no_place_makes_it_panic(path in ".{0,20}", other in "\\$[.a\\[\\]'\\\\u0-9]{0,20}") {
            for path in [path, other] {
                let _ = written(&[json!({"jsonPath": path, "stringValue": "x"})]);
            }
        }
    }
}
