//! Whether something is somewhere in a body.
//!
//! A place is a path of keys; `*` is every element of a list, `**` any depth. Several places
//! separated by `|` are alternatives.

use serde_json::Value;

/// Something that has to be somewhere.
pub(crate) struct Need {
    pub(crate) places: &'static str,
    pub(crate) what: What,
}

pub(crate) enum What {
    /// This number, or a text that has this text in it.
    Value(Value),
    /// JSON, as text or not, that has this in it.
    Json(Value),
    Anything,
}

impl Need {
    /// What is needed is there.
    pub(crate) fn is_met(&self, body: &Value) -> bool {
        self.places.split('|').filter(|place| !place.is_empty()).any(|place| {
            let mut found = Vec::new();
            let keys: Vec<&str> = place.split('.').collect();
            find(body, &keys, &mut found);
            found.into_iter().any(|value| self.what.is(value))
        })
    }
}

impl What {
    fn is(&self, value: &Value) -> bool {
        match self {
            Self::Anything => !value.is_null(),
            Self::Value(Value::String(text)) => {
                value.as_str().is_some_and(|found| found.contains(text))
            }
            Self::Value(number) => value.as_f64().is_some() && value.as_f64() == number.as_f64(),
            Self::Json(Value::String(text)) => value.to_string().contains(text),
            Self::Json(json) => {
                let parsed = value.as_str().and_then(|text| serde_json::from_str(text).ok());
                parsed.as_ref().unwrap_or(value) == json
            }
        }
    }
}

/// Every value at a place.
fn find<'a>(value: &'a Value, keys: &[&str], found: &mut Vec<&'a Value>) {
    let Some((key, rest)) = keys.split_first() else {
        found.push(value);
        return;
    };
    let items = value.as_array().into_iter().flatten();
    match *key {
        "*" => items.for_each(|item| find(item, rest, found)),
        "**" => {
            find(value, rest, found);
            let members = value.as_object().into_iter().flat_map(|object| object.values());
            items.chain(members).for_each(|item| find(item, keys, found));
        }
        key => {
            let member = match key.parse::<usize>() {
                Ok(index) => value.get(index),
                Err(_) => value.get(key),
            };
            if let Some(member) = member {
                find(member, rest, found);
            }
        }
    }
}
