//! A reader for each kind of value: what it takes, what a message says it expects, and what
//! the reference calls it are one text.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Number};

use super::super::document::Value;
use super::super::problem::{Located, Spot};
use super::{Table, mismatch};

/// Bytes in a mebibyte.
const MEBIBYTE: u64 = 1024 * 1024;

impl Table<'_> {
    pub(in super::super) fn boolean(&self, key: &'static str, default: bool) -> bool {
        self.value(key, "true or false", Some(&default), |value| match value {
            Value::Boolean(truth) => Some(*truth),
            _ => None,
        })
        .map_or(default, |found| found.value)
    }

    /// True or false where absence means something else than either.
    pub(in super::super) fn optional_boolean(&self, key: &'static str) -> Option<bool> {
        let found = self.value(key, "true or false", None, |value| match value {
            Value::Boolean(truth) => Some(*truth),
            _ => None,
        });
        found.map(|found| found.value)
    }

    /// A string that is not empty.
    pub(in super::super) fn string(
        &self,
        key: &'static str,
        expected: &str,
    ) -> Option<Located<String>> {
        self.string_or_absent(key, expected, None)
    }

    /// A string that has to be there.
    pub(in super::super) fn required_string(
        &self,
        key: &'static str,
        expected: &str,
    ) -> Option<Located<String>> {
        self.require(key, expected);
        self.string(key, expected)
    }

    /// A string with a default.
    pub(in super::super) fn string_or(
        &self,
        key: &'static str,
        expected: &str,
        default: &str,
    ) -> Located<String> {
        self.string_or_absent(key, expected, Some(&default))
            .unwrap_or_else(|| Located { value: default.to_owned(), spot: self.spot_of(key) })
    }

    pub(in super::super) fn integer(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        self.integer_or_absent(key, "", range, None)
    }

    /// An integer that has to be there.
    pub(in super::super) fn required_integer(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        self.require(key, &expected_integer(&range, ""));
        self.integer(key, range)
    }

    pub(in super::super) fn integer_or(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        self.integer_or_absent(key, "", range, Some(&default)).unwrap_or(default)
    }

    /// A time in milliseconds. The key's name ends in `_ms`.
    pub(in super::super) fn milliseconds(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Duration {
        let found = self.integer_or_absent(key, " milliseconds", range, Some(&default));
        Duration::from_millis(found.unwrap_or(default))
    }

    /// A size in mebibytes, given in bytes. The key's name ends in `_mib`.
    pub(in super::super) fn mebibytes(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        self.integer_or_absent(key, " MiB", range, Some(&default))
            .unwrap_or(default)
            .saturating_mul(MEBIBYTE)
    }

    /// A number that is finite and in the range.
    pub(in super::super) fn number(
        &self,
        key: &'static str,
        range: RangeInclusive<f64>,
    ) -> Option<f64> {
        self.number_or_absent(key, range, None)
    }

    pub(in super::super) fn number_or(
        &self,
        key: &'static str,
        range: RangeInclusive<f64>,
        default: f64,
    ) -> f64 {
        self.number_or_absent(key, range, Some(&default)).unwrap_or(default)
    }

    pub(in super::super) fn required_number(
        &self,
        key: &'static str,
        range: RangeInclusive<f64>,
    ) -> Option<f64> {
        self.require(key, &expected_number(&range));
        self.number(key, range)
    }

    /// One of some words.
    pub(in super::super) fn choice<T: Copy>(
        &self,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<Located<T>> {
        self.choice_or_absent(key, choices, None)
    }

    /// One of some words; the first is the default.
    pub(in super::super) fn choice_or<T: Copy>(
        &self,
        key: &'static str,
        default: (&'static str, T),
        others: &[(&'static str, T)],
    ) -> T {
        let mut choices = vec![default];
        choices.extend_from_slice(others);
        self.choice_or_absent(key, &choices, Some(&default.0))
            .map_or(default.1, |found| found.value)
    }

    /// A list of some of some words; None when it is absent.
    pub(in super::super) fn choices<T: Copy>(
        &self,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<Vec<T>> {
        let words = or_list(choices);
        let list = self.list(key, &format!("a list of {words}"), |item| {
            let Some(text) = item.string() else {
                return item.table(&words, |_| None);
            };
            let found = choices.iter().find(|(word, _)| *word == text);
            if found.is_none() {
                item.report(item.spot().error(format!("found {text:?}; expected {words}")));
            }
            found.map(|(_, choice)| *choice)
        });
        list.map(|list| list.value)
    }

    /// An address and port to listen on.
    pub(in super::super) fn socket_address(
        &self,
        key: &'static str,
        default: SocketAddr,
    ) -> Located<SocketAddr> {
        let expected = "an IP address and port, such as \"127.0.0.1:3000\"";
        self.value(key, expected, Some(&default), |value| match value {
            Value::String(text) => text.parse().ok(),
            _ => None,
        })
        .unwrap_or_else(|| Located { value: default, spot: self.spot_of(key) })
    }

    /// A path, resolved against the file it stands in.
    pub(in super::super) fn path(&self, key: &'static str) -> Option<Located<PathBuf>> {
        let path = self.string(key, "a path")?;
        Some(Located { value: path.spot.resolve_path(&path.value), spot: path.spot })
    }

    pub(in super::super) fn path_or(&self, key: &'static str, default: &str) -> PathBuf {
        let path = self.string_or(key, "a path", default);
        path.spot.resolve_path(&path.value)
    }

    /// A list of strings; an absent one is empty.
    pub(in super::super) fn strings(
        &self,
        key: &'static str,
        expected: &str,
    ) -> Vec<Located<String>> {
        let list = self.list(key, expected, |item| match item.string() {
            Some(text) => Some(Located { value: text.to_owned(), spot: item.spot().clone() }),
            None => item.table("a string", |_| None),
        });
        list.map_or_else(Vec::new, |list| list.value)
    }

    /// A table of strings by any name.
    pub(in super::super) fn texts(
        &self,
        key: &'static str,
        expected: &str,
    ) -> Vec<(String, Located<String>)> {
        let Some(table) = self.value(key, expected, None, |value| match value {
            Value::Table(entries) => Some(entries),
            _ => None,
        }) else {
            return Vec::new();
        };
        let mut texts = Vec::new();
        for (name, entry) in table.value {
            let spot = Spot { place: entry.node.place.clone(), key: table.spot.below(name).key };
            match &entry.node.value {
                Value::String(text) => {
                    let value = text.clone();
                    texts.push((name.clone(), Located { value, spot }));
                }
                other => self.report(mismatch(&spot, other, "a string")),
            }
        }
        texts
    }

    /// A table that the gateway does not look into.
    pub(in super::super) fn settings(&self, key: &'static str) -> Map<String, serde_json::Value> {
        let expected = "a table of settings with finite numbers";
        let found = self.value(key, expected, None, |value| match json(value)? {
            serde_json::Value::Object(map) => Some(map),
            _ => None,
        });
        found.map_or_else(Map::new, |found| found.value)
    }

    fn string_or_absent(
        &self,
        key: &'static str,
        expected: &str,
        default: Option<&dyn Display>,
    ) -> Option<Located<String>> {
        self.value(key, expected, default, |value| match value {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        })
    }

    fn integer_or_absent(
        &self,
        key: &'static str,
        unit: &str,
        range: RangeInclusive<u64>,
        default: Option<&dyn Display>,
    ) -> Option<u64> {
        let expected = expected_integer(&range, unit);
        let found = self.value(key, &expected, default, |value| match value {
            Value::Integer(number) => u64::try_from(*number).ok().filter(|n| range.contains(n)),
            _ => None,
        });
        found.map(|found| found.value)
    }

    fn number_or_absent(
        &self,
        key: &'static str,
        range: RangeInclusive<f64>,
        default: Option<&dyn Display>,
    ) -> Option<f64> {
        let expected = expected_number(&range);
        let found = self.value(key, &expected, default, |value| {
            let number = match value {
                Value::Float(number) => *number,
                // Exact for everything within any range that is asked for.
                Value::Integer(number) => i32::try_from(*number).ok()?.into(),
                _ => return None,
            };
            // NaN is in no range.
            range.contains(&number).then_some(number)
        });
        found.map(|found| found.value)
    }

    fn choice_or_absent<T: Copy>(
        &self,
        key: &'static str,
        choices: &[(&str, T)],
        default: Option<&dyn Display>,
    ) -> Option<Located<T>> {
        self.value(key, &or_list(choices), default, |value| {
            let Value::String(text) = value else {
                return None;
            };
            let found = choices.iter().find(|(word, _)| word == text);
            found.map(|(_, choice)| *choice)
        })
    }
}

/// `"this" or "that"`.
fn or_list<T>(choices: &[(&str, T)]) -> String {
    let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
    words.join(" or ")
}

fn expected_integer(range: &RangeInclusive<u64>, unit: &str) -> String {
    format!("an integer from {} to {}{unit}", range.start(), range.end())
}

fn expected_number(range: &RangeInclusive<f64>) -> String {
    format!("a number from {} to {}", range.start(), range.end())
}

/// TOML to JSON. None for a number that JSON does not have; times become their text.
fn json(value: &Value) -> Option<serde_json::Value> {
    Some(match value {
        Value::String(text) | Value::Datetime(text) => serde_json::Value::String(text.clone()),
        Value::Integer(number) => serde_json::Value::Number((*number).into()),
        Value::Float(number) => serde_json::Value::Number(Number::from_f64(*number)?),
        Value::Boolean(truth) => serde_json::Value::Bool(*truth),
        Value::List(items) => {
            let items = items.iter().map(|item| json(&item.value));
            serde_json::Value::Array(items.collect::<Option<_>>()?)
        }
        Value::Table(entries) => {
            let entries =
                entries.iter().map(|(key, entry)| Some((key.clone(), json(&entry.node.value)?)));
            serde_json::Value::Object(entries.collect::<Option<_>>()?)
        }
    })
}
