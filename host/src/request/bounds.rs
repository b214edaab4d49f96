//! Limits on the JSON of a request, enforced before anything is done with it.
//!
//! One pass over the bytes, without allocation or recursion. It is no parser: what is not
//! JSON passes or fails here as it happens, and the parser says what is wrong with it. For
//! JSON the counts are exact, with strings and escapes read as the parser reads them.

use memchr::memchr2;

/// What one body may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Arrays and objects inside one another; a scalar alone has depth 0.
    pub max_depth: usize,
    /// Values in all, containers included, keys not.
    pub max_values: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            // Half of where serde_json gives up (128), so that what is accepted still parses
            // inside a few levels of our own. Schemas of tools are the deepest thing that
            // clients send; 30 levels is much.
            max_depth: 64,
            // A parsed value takes 32 bytes and more: some 50 MB at worst. A conversation of a
            // thousand messages with a hundred tools has some 30,000; a batch of embeddings
            // given as tokens some 300,000.
            max_values: 1_000_000,
        }
    }
}

/// Which bound was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounded {
    Depth,
    Values,
}

/// A body beyond its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body {} (at byte {offset})", match .what {
    Bounded::Depth => format!("nests deeper than {limit} levels"),
    Bounded::Values => format!("holds more than {limit} values"),
})]
pub struct BoundExceeded {
    pub what: Bounded,
    pub limit: usize,
    /// Of the byte that went beyond.
    pub offset: usize,
}

/// Checks a body. Takes about a nanosecond a byte of structure and next to nothing for the
/// inside of strings.
pub fn check(body: &[u8], bounds: &Bounds) -> Result<(), BoundExceeded> {
    count(body, bounds).map(drop)
}

/// What a body holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counted {
    depth: usize,
    values: usize,
}

fn count(body: &[u8], bounds: &Bounds) -> Result<Counted, BoundExceeded> {
    let mut counted = Counted::default();
    let mut depth = 0_usize;
    let mut at = 0_usize;
    while let Some(&byte) = body.get(at) {
        let offset = at;
        at += 1;
        match CLASSES.get(usize::from(byte)) {
            Some(Class::Quote) => {
                at = string_end(body, at);
                counted.values += 1;
            }
            // What stands before a colon was a key. Without one before it, it is no JSON.
            Some(Class::Colon) => counted.values = counted.values.saturating_sub(1),
            Some(Class::Open) => {
                depth += 1;
                counted.depth = counted.depth.max(depth);
                counted.values += 1;
                if depth > bounds.max_depth {
                    let (what, limit) = (Bounded::Depth, bounds.max_depth);
                    return Err(BoundExceeded { what, limit, offset });
                }
            }
            Some(Class::Close) => depth = depth.saturating_sub(1),
            Some(Class::Word) => {
                at = word_end(body, at);
                counted.values += 1;
            }
            Some(Class::Skip) | None => continue,
        }
        // A key counts until its colon comes.
        if counted.values > bounds.max_values.saturating_add(1) {
            return Err(beyond_values(bounds, offset));
        }
    }
    if counted.values > bounds.max_values {
        return Err(beyond_values(bounds, body.len()));
    }
    Ok(counted)
}

fn beyond_values(bounds: &Bounds, offset: usize) -> BoundExceeded {
    BoundExceeded { what: Bounded::Values, limit: bounds.max_values, offset }
}

/// Past the closing quote, or the end of the body.
fn string_end(body: &[u8], mut at: usize) -> usize {
    loop {
        let Some(rest) = body.get(at..) else { return body.len() };
        match memchr2(b'"', b'\\', rest) {
            None => return body.len(),
            Some(found) if rest.get(found) == Some(&b'"') => return at + found + 1,
            // The escaped byte is never the end, whatever it is.
            Some(found) => at += found + 2,
        }
    }
}

/// Past a number or a literal.
fn word_end(body: &[u8], at: usize) -> usize {
    let rest = body.get(at..).unwrap_or_default();
    let is_word = |byte: &u8| matches!(CLASSES.get(usize::from(*byte)), Some(Class::Word));
    at + rest.iter().position(|byte| !is_word(byte)).unwrap_or(rest.len())
}

#[derive(Clone, Copy)]
enum Class {
    Skip,
    Quote,
    Colon,
    Open,
    Close,
    /// Of a number or a literal, or of nothing at all.
    Word,
}

/// By byte: a table, because a chain of comparisons costs more than the rest.
static CLASSES: [Class; 256] = classes();

#[expect(clippy::indexing_slicing, reason = "the compiler runs it: out of bounds does not build")]
const fn classes() -> [Class; 256] {
    let mut classes = [Class::Word; 256];
    let mut byte = 0;
    while byte < classes.len() {
        classes[byte] = class(byte);
        byte += 1;
    }
    classes
}

const fn class(byte: usize) -> Class {
    match byte {
        0x09 | 0x0a | 0x0d | 0x20 | 0x2c => Class::Skip,
        0x22 => Class::Quote,
        0x3a => Class::Colon,
        0x5b | 0x7b => Class::Open,
        0x5d | 0x7d => Class::Close,
        _ => Class::Word,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const ENDLESS: Bounds = Bounds { max_depth: usize::MAX, max_values: usize::MAX };

    fn measured(value: &Value) -> Counted {
        let inner: Vec<Counted> = match value {
            Value::Array(items) => items.iter().map(measured).collect(),
            Value::Object(entries) => entries.values().map(measured).collect(),
            _ => return Counted { depth: 0, values: 1 },
        };
        Counted {
            depth: 1 + inner.iter().map(|part| part.depth).max().unwrap_or(0),
            values: 1 + inner.iter().map(|part| part.values).sum::<usize>(),
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![any::<String>(), r#"[\\\\"{}\\[\\]:,a\\n\u{7}é]{0,8}"#];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((text.clone(), inner), 0..6)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn counts_are_those_of_the_parsed_value(value in json(), pretty: bool) {
            let text = if pretty {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                value.to_string()
            };
            let truth = measured(&value);
            prop_assert_eq!(count(text.as_bytes(), &ENDLESS), Ok(truth));
            let exact = Bounds { max_depth: truth.depth, max_values: truth.values };
            prop_assert_eq!(check(text.as_bytes(), &exact), Ok(()));
            let fewer = Bounds { max_values: truth.values - 1, ..exact };
            prop_assert_eq!(check(text.as_bytes(), &fewer).unwrap_err().what, Bounded::Values);
            if truth.depth > 0 {
                let flatter = Bounds { max_depth: truth.depth - 1, ..exact };
                let refused = check(text.as_bytes(), &flatter).unwrap_err();
                prop_assert!(refused.what == Bounded::Depth && refused.limit == truth.depth - 1);
                let byte = text.as_bytes().get(refused.offset);
                prop_assert!(matches!(byte, Some(b'[' | b'{')), "{:?}", byte);
            }
        }

        #[test]
        fn any_bytes_end_without_panic(bytes: Vec<u8>, text in r#"[\\\\"{}\\[\\]:,0-9a ]{0,64}"#) {
            let tight = Bounds { max_depth: 3, max_values: 5 };
            for body in [bytes.as_slice(), text.as_bytes()] {
                let _ = check(body, &tight);
                let counted = count(body, &ENDLESS).unwrap();
                // What serde_json takes is counted as it takes it. (A key given twice counts
                // twice here: both were parsed.)
                if let Ok(value) = serde_json::from_slice::<Value>(body) {
                                        let truth = measured(&value);
                    prop_assert!(counted.values >= truth.values && counted.depth >= truth.depth);
                }
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_at_its_first_byte_too_many() {
        let bomb = "[".repeat(1_000_000);
        let refused = check(bomb.as_bytes(), &Bounds::default()).unwrap_err();
        assert_eq!(refused, BoundExceeded { what: Bounded::Depth, limit: 64, offset: 64 });
        assert_eq!(refused.to_string(), "the body nests deeper than 64 levels (at byte 64)");
        let wide = format!("[{}0]", "0,".repeat(1_000_000));
        let refused = check(wide.as_bytes(), &Bounds::default()).unwrap_err();
        assert_eq!(refused.what, Bounded::Values);
        assert_eq!(
            refused.to_string().split(" (").next(),
            Some("the body holds more than 1000000 values")
        );
    }
}
