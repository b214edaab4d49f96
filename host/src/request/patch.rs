//! Changes top-level keys of a JSON body and leaves everything else byte for byte.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Sets or removes top-level keys of a JSON object. Everything else stays byte for byte:
/// white space, the order of keys, the spelling of numbers.
pub fn patch(body: &[u8], patches: &[(&str, Option<&[u8]>)]) -> Result<Vec<u8>, serde_json::Error> {
    let entries: Entries<'_> = serde_json::from_slice(body)?;
    let added: usize =
        patches.iter().map(|(key, value)| key.len() + 8 + value.map_or(0, <[u8]>::len)).sum();
    let open = body.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
    let mut out = Vec::with_capacity(body.len() + added);
    out.extend_from_slice(body.get(..open).unwrap_or_default());
    let mut done = open;
    let mut first = true;
    for (key, value) in &entries.0 {
        let start = offset(body, value);
        let end = start + value.get().len();
        // What stands between the value before and this one: comma, white space, the key.
        let lead = body.get(done..start).unwrap_or_default();
        done = end;
        let replacement = match patches.iter().find(|(patched, _)| *patched == key) {
            None => value.get().as_bytes(),
            Some((_, Some(replacement))) => replacement,
            Some((_, None)) => continue,
        };
        out.extend_from_slice(if first { after_comma(lead) } else { lead });
        out.extend_from_slice(replacement);
        first = false;
    }
    for (key, value) in patches {
        if let Some(value) = value
            && !entries.0.iter().any(|(present, _)| present == key)
        {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            serde_json::to_writer(&mut out, key)?;
            out.push(b':');
            out.extend_from_slice(value);
        }
    }
    out.extend_from_slice(body.get(done..).unwrap_or_default());
    Ok(out)
}

/// Where a value that was borrowed from `body` begins in it.
fn offset(body: &[u8], value: &RawValue) -> usize {
    (value.get().as_ptr() as usize).saturating_sub(body.as_ptr() as usize)
}

/// The first entry has no comma before it, wherever it stood.
fn after_comma(lead: &[u8]) -> &[u8] {
    let comma = lead.iter().position(|byte| !byte.is_ascii_whitespace());
    match comma {
        Some(at) if lead.get(at) == Some(&b',') => lead.get(at + 1..).unwrap_or_default(),
        _ => lead,
    }
}

/// Top-level keys in order, values unread.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    entries.push((key.0, value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// `Cow<str>` that borrows where it can; as a bare map key serde would always copy.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn patched(body: &str, patches: &[(&str, Option<&[u8]>)]) -> String {
        String::from_utf8(patch(body.as_bytes(), patches).unwrap()).unwrap()
    }

    #[test]
    fn a_patch_leaves_everything_else_byte_for_byte() {
        let body =
            r#"{"temperature":1.0e-00,"model":"a","x":{"model":"inner", "n":1E400},"é":[ ]}"#;
        assert_eq!(
            patched(body, &[("model", Some(b"\"b\""))]),
            r#"{"temperature":1.0e-00,"model":"b","x":{"model":"inner", "n":1E400},"é":[ ]}"#
        );
        assert_eq!(patched(r#"{"a":1,"b":2}"#, &[("a", None)]), r#"{"b":2}"#);
        assert_eq!(patched("{}", &[("a", Some(b"1")), ("b", None)]), r#"{"a":1}"#);
        assert_eq!(
            patched(" { \"a\" : 1 , \"b\" :\n2 } ", &[("b", Some(b"3")), ("c", Some(b"4"))]),
            " { \"a\" : 1 , \"b\" :\n3,\"c\":4 } "
        );
        let removed = [("a", None), ("b", None)];
        assert_eq!(patched(r#"{"a":1, "b":2, "c":3}"#, &removed), r#"{ "c":3}"#);
        assert_eq!(patched(r#"{"a":1, "b":2}"#, &removed), "{}");
    }
}
