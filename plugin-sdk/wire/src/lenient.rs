//! Values that borrow from the bytes they stand in and take any JSON.
//!
//! Providers put null, numbers or objects where a string is documented. What a type here
//! has no use for counts as absent, so that a stream does not break over it. (serde borrows
//! a `Cow` only as a field of its own and fails on null; these do neither.)

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::{CallError, CallErrorKind};

/// One object of a stream. A plain `from_slice` would also read an array, by position.
pub(crate) fn event<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Result<T, CallError> {
    let reason = match data.first() {
        Some(b'{') => match serde_json::from_slice(data) {
            Ok(event) => return Ok(event),
            Err(error) => error.to_string(),
        },
        _ => "it is not a JSON object".into(),
    };
    let message = format!("an event of the stream is not understood: {reason}");
    Err(CallError::new(CallErrorKind::MalformedResponse, message))
}

/// A string; empty for anything else.
#[derive(Default)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

/// The values a [`Lenient`] visitor can give.
pub(crate) trait FromJson<'a>: Default {
    fn from_text(text: Cow<'a, str>) -> Self;

    fn from_items<A: SeqAccess<'a>>(mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }

    fn from_entries<A: MapAccess<'a>>(mut entries: A) -> Result<Self, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

impl<'a> FromJson<'a> for Text<'a> {
    fn from_text(text: Cow<'a, str>) -> Self {
        Self(text)
    }
}

/// Takes any JSON value; what the type has no use for counts as absent.
pub(crate) struct Lenient<T>(pub(crate) std::marker::PhantomData<T>);

impl<'de, T: FromJson<'de>> Visitor<'de> for Lenient<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<T, E> {
        Ok(T::from_text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::from_text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<T, A::Error> {
        T::from_items(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<T, A::Error> {
        T::from_entries(entries)
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }
}

macro_rules! lenient {
    ($($name:ident)*) => {$(
        impl<'de: 'a, 'a> serde::Deserialize<'de> for $name<'a> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let lenient = $crate::lenient::Lenient::<$name<'de>>(std::marker::PhantomData);
                deserializer.deserialize_any(lenient)
            }
        }
    )*};
}

pub(crate) use lenient;

lenient!(Text);
