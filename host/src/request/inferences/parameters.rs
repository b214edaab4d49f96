//! Query strings of the routes that read, and what is wrong with them.
//!
//! Every parameter is known or refused, and given once or refused: a filter that is silently
//! ignored shows records that nobody asked for. Messages say what was found and what is
//! expected.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use crate::error::Cause;

/// Characters of a value that are repeated to whoever sent it.
const SHOWN: usize = 80;

/// A parameter that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadParameter {
    #[error("{name}: found {found:?}; expected {expected}")]
    Value { name: String, found: String, expected: Cow<'static, str> },
    #[error("{name}: there is already one; expected it once")]
    Repeated { name: String },
    #[error("{name}: there is none; expected {expected}")]
    Missing { name: &'static str, expected: &'static str },
    #[error("{name}: unknown parameter; there are {known}")]
    Unknown { name: String, known: String },
    #[error("{name}: rows of this kind have none; expected one of {known}")]
    Misplaced { name: &'static str, known: String },
}

impl BadParameter {
    pub fn value(name: &str, found: &str, expected: impl Into<Cow<'static, str>>) -> Self {
        let mut shown: String = found.chars().take(SHOWN).collect();
        if shown.len() < found.len() {
            shown.push('…');
        }
        Self::Value { name: name.to_owned(), found: shown, expected: expected.into() }
    }

    pub fn unknown(name: &str, known: &[&[&str]]) -> Self {
        let name = name.chars().take(SHOWN).collect();
        Self::Unknown { name, known: known.concat().join(", ") }
    }

    fn name(&self) -> &str {
        match self {
            Self::Value { name, .. } | Self::Repeated { name } | Self::Unknown { name, .. } => name,
            Self::Missing { name, .. } | Self::Misplaced { name, .. } => name,
        }
    }
}

impl From<BadParameter> for Cause {
    fn from(bad: BadParameter) -> Self {
        Self::InvalidRequest { param: Some(bad.name().to_owned()), message: bad.to_string() }
    }
}

/// Names and values in their order.
///
/// # Errors
/// Bytes that are no UTF-8.
pub fn pairs(query: &str) -> impl Iterator<Item = Result<(String, String), BadParameter>> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let bad = || BadParameter::value(name, value, "percent-encoded UTF-8");
        Ok((decode(name).ok_or_else(bad)?, decode(value).ok_or_else(bad)?))
    })
}

/// Sets what may be given once.
pub fn once<T>(slot: &mut Option<T>, name: &str, value: T) -> Result<(), BadParameter> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(BadParameter::Repeated { name: name.to_owned() }),
    }
}

/// A number within bounds.
pub fn bounded(name: &str, value: &str, bounds: RangeInclusive<u32>) -> Result<u32, BadParameter> {
    value.parse().ok().filter(|number| bounds.contains(number)).ok_or_else(|| {
        let expected = format!("an integer from {} to {}", bounds.start(), bounds.end());
        BadParameter::value(name, value, expected)
    })
}

/// One of several words.
pub fn choice<T: Copy>(
    name: &str,
    value: &str,
    choices: &[(&'static str, T)],
) -> Result<T, BadParameter> {
    let found = choices.iter().find(|(word, _)| *word == value).map(|(_, choice)| *choice);
    found.ok_or_else(|| {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        BadParameter::value(name, value, format!("one of {}", words.join(", ")))
    })
}

fn decode(value: &str) -> Option<String> {
    percent_encoding::percent_decode_str(&value.replace('+', " "))
        .decode_utf8()
        .ok()
        .map(Cow::into_owned)
}
