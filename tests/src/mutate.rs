//! Valid bodies made invalid, or odd: the same ones for the same seed, everywhere.
//!
//! A mutation is one of what clients and fuzzers get wrong: keys gone, doubled, of another
//! type or nested elsewhere; numbers beyond everything; bytes cut, flipped or no UTF-8.

use serde_json::{Map, Value, json};

/// xorshift64*: small, and the same on every machine.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The stream of numbers of a seed.
    pub fn new(seed: u64) -> Self {
        // The generator stands still at zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// Below `end`; 0 where there is nothing below.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap_or_default() % end.max(1)
    }

    pub fn choose<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

/// `body`, mutated twice at most, as bytes.
pub fn mutated(body: &Value, random: &mut Random) -> Vec<u8> {
    let mut body = body.clone();
    for _ in 0..random.below(2) {
        change_a_place(&mut body, random);
    }
    let text = body.to_string();
    match random.below(6) {
        0 => break_bytes(text.into_bytes(), random),
        1 => break_text(&text, random).into_bytes(),
        _ => {
            change_a_place(&mut body, random);
            body.to_string().into_bytes()
        }
    }
}

/// Changes one member or item somewhere in it.
fn change_a_place(body: &mut Value, random: &mut Random) {
    let depth = random.below(6);
    let mut place = body;
    for _ in 0..depth {
        let next = match &*place {
            Value::Object(members) if !members.is_empty() => {
                let names: Vec<String> = members.keys().cloned().collect();
                random.choose(&names).map(|name| format!("/{}", escaped(name)))
            }
            Value::Array(items) if !items.is_empty() => {
                Some(format!("/{}", random.below(items.len())))
            }
            _ => None,
        };
        let Some(next) = next else { break };
        if !place.pointer(&next).is_some_and(|it| it.is_object() || it.is_array()) {
            break;
        }
        place = place.pointer_mut(&next).expect("it was there");
    }
    match place {
        Value::Object(members) => change_member(members, random),
        Value::Array(items) => change_item(items, random),
        other => *other = odd(random),
    }
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn change_member(members: &mut Map<String, Value>, random: &mut Random) {
    let names: Vec<String> = members.keys().cloned().collect();
    let Some(name) = random.choose(&names) else {
        members.insert("x".to_owned(), odd(random));
        return;
    };
    match random.below(7) {
        0 => drop(members.shift_remove(name)),
        1 => drop(members.insert(name.clone(), Value::Null)),
        2 => {
            let value = members.shift_remove(name).unwrap_or_default();
            members.insert(format!("{name}_"), value);
        }
        3 => {
            let value = members.get(name).cloned().unwrap_or_default();
            members.insert(name.clone(), json!([value]));
        }
        4 => {
            let value = members.get(name).cloned().unwrap_or_default();
            members.insert(name.clone(), json!({ name.as_str(): value }));
        }
        5 => {
            // One member's value in another's place.
            let other = random.choose(&names).and_then(|it| members.get(it)).cloned();
            members.insert(name.clone(), other.unwrap_or_default());
        }
        _ => drop(members.insert(name.clone(), odd(random))),
    }
}

fn change_item(items: &mut Vec<Value>, random: &mut Random) {
    let at = random.below(items.len());
    match random.below(5) {
        0 if !items.is_empty() => drop(items.remove(at)),
        1 if !items.is_empty() => {
            let item = items.get(at).cloned().unwrap_or_default();
            items.insert(at, item);
        }
        2 => items.clear(),
        3 => items.push(odd(random)),
        _ => match items.get_mut(at) {
            Some(item) => *item = odd(random),
            None => items.push(odd(random)),
        },
    }
}

/// A value that hardly anybody expects.
fn odd(random: &mut Random) -> Value {
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1.5e300),
        json!(-0.0),
        json!(""),
        json!(" "),
        json!("\u{0}"),
        json!("\u{202e}\u{feff}\u{1f469}\u{200d}\u{1f680}"),
        json!("../../../etc/passwd"),
        json!("data:image/png;base64,###"),
        json!("http://[::1"),
        json!("{{ 7 * 7 }}"),
        json!("x".repeat(5_000)),
        json!([]),
        json!({}),
        json!([[[[[[]]]]]]),
        json!({ "type": "text" }),
        json!({ "type": "nonsense", "text": 7 }),
        json!({ "role": "wizard", "content": null }),
        json!({ "$ref": "#" }),
        nested(random.below(90)),
    ];
    random.choose(&odd).cloned().unwrap_or_default()
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!("deep"), |inner, level| match level % 2 {
        0 => json!([inner]),
        _ => json!({ "a": inner }),
    })
}

/// Faults of those who write JSON by hand.
fn break_text(text: &str, random: &mut Random) -> String {
    let quotes: Vec<usize> = text.match_indices('"').map(|(at, _)| at).collect();
    let at = random.choose(&quotes).copied().unwrap_or_default();
    let (before, after) = text.split_at(at);
    let rest = after.get(1..).unwrap_or_default();
    match random.below(9) {
        // A member given twice, the second time with another value.
        0 => format!("{},\"model\":7}}", text.trim_end_matches('}')),
        1 => format!("{}{}", text, text),
        // A lone surrogate, which JSON can write and Unicode does not have.
        2 => format!("{before}\"\\ud800{rest}"),
        3 => format!("{before}\"\\uzzzz{rest}"),
        4 => format!("{before}\"\n\t{rest}"),
        5 => text.replacen(':', ": 1e999999 ,", 1),
        6 => text.replacen(':', &format!(": {}", "9".repeat(400)), 1),
        7 => format!("{before}{}", "[".repeat(2_000)),
        _ => format!("\u{feff}{text}"),
    }
}

/// Faults of lines and disks.
fn break_bytes(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let at = random.below(bytes.len());
    match random.below(5) {
        0 => bytes.truncate(at),
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        // No UTF-8, in any place.
        2 => bytes.splice(at..at, [0xff, 0xc0, 0x80]).for_each(drop),
        3 => bytes.splice(at..at, [0]).for_each(drop),
        _ => {
            for _ in 0..8 {
                let at = random.below(bytes.len());
                let other = u8::try_from(random.below(256)).unwrap_or_default();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = other;
                }
            }
        }
    }
    bytes
}
