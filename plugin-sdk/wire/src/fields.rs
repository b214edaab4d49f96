//! Fields that a type has no place for, written back where they came from.
//!
//! A codec takes the keys it knows out of an object and keeps the rest; [`Fields`] flattens
//! that rest into the object again, leaving out the keys that were written already.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

/// What is left of an object. Meant for `#[serde(flatten)]`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fields<'a> {
    map: Option<&'a Map<String, Value>>,
    except: &'static [&'static str],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(map: &'a Map<String, Value>) -> Self {
        Self { map: Some(map), except: &[] }
    }

    /// Of a value that is meant to be an object; nothing otherwise.
    pub(crate) fn of(value: Option<&'a Value>) -> Self {
        Self { map: value.and_then(Value::as_object), except: &[] }
    }

    /// Without these keys.
    pub(crate) fn except(self, except: &'static [&'static str]) -> Self {
        Self { except, ..self }
    }

    /// What is left of the object under `key`.
    pub(crate) fn nested(self, key: &str) -> Self {
        Self::of(self.get(key))
    }

    pub(crate) fn get(self, key: &str) -> Option<&'a Value> {
        self.map.and_then(|map| map.get(key))
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        let except = self.except;
        self.map.into_iter().flatten().filter(move |(key, _)| !except.contains(&key.as_str()))
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Adds `more` to `target`: objects by key, arrays by appending, anything else by replacing.
/// This is how deltas of a value add up to the value.
pub(crate) fn accumulate(target: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        match (target.get_mut(&key), value) {
            (Some(Value::Array(old)), Value::Array(new)) => old.extend(new),
            (Some(Value::Object(old)), Value::Object(new)) => accumulate(old, new),
            (_, value) => {
                target.insert(key, value);
            }
        }
    }
}
