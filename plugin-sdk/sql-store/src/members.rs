//! A row's JSON with some of its members changed, and every other byte as it came.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object in their order, not decoded.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// `object` with null in the place of the members `nulled`, where it has them, and with the
/// members `set`, whether it has them or not.
///
/// # Errors
///
/// It is no JSON object.
pub(crate) fn changed(
    object: &str,
    nulled: &[&str],
    set: &[(&str, &str)],
) -> Result<String, serde_json::Error> {
    let Members(members) = serde_json::from_str(object)?;
    let mut changed = String::with_capacity(object.len());
    let mut rest = 0;
    for (name, value) in &members {
        let is_nulled = nulled.contains(&&**name);
        let new = set.iter().find(|(set, _)| set == name).map(|(_, value)| *value);
        let Some(new) = new.or(is_nulled.then_some("null")) else { continue };
        // A part of the text that it was decoded from.
        let start = value.get().as_ptr().addr() - object.as_ptr().addr();
        changed.push_str(object.get(rest..start).unwrap_or_default());
        changed.push_str(new);
        rest = start + value.get().len();
    }
    let tail = object.get(rest..).unwrap_or_default().trim_end();
    changed.push_str(tail.strip_suffix('}').unwrap_or(tail));
    let mut is_first = members.is_empty();
    for (name, value) in set {
        if !members.iter().any(|(member, _)| member == name) {
            changed.push_str(if is_first { "\"" } else { ",\"" });
            changed.push_str(name);
            changed.push_str("\":");
            changed.push_str(value);
            is_first = false;
        }
    }
    changed.push('}');
    Ok(changed)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn members_are_changed_in_place_and_all_else_stays_as_it_was() {
        let set = [("content", "\"metadata\"")];
        let change = |object: &str| changed(object, &["request", "response"], &set).unwrap();
        assert_eq!(
            change(r#" {"n":1.10, "request" : {"a":[1]} ,"content":"full","é\u0000":"}" } "#),
            r#" {"n":1.10, "request" : null ,"content":"metadata","é\u0000":"}" }"#
        );
        assert_eq!(change("{}"), r#"{"content":"metadata"}"#);
        assert_eq!(change(r#"{"a":1}"#), r#"{"a":1,"content":"metadata"}"#);
        // A name that comes twice, and one that is written in another way.
        assert_eq!(
            change(r#"{"request":1,"re\u0071uest":2,"content":null}"#),
            r#"{"request":null,"re\u0071uest":null,"content":"metadata"}"#
        );
        assert!(changed("[]", &[], &[]).is_err());
    }
}
