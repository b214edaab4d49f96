//! Settings from the configuration file: JSON of the host to the plugin's own type.
//!
//! Promises that a refusal names the offending key as a JSON pointer. Use
//! `#[serde(deny_unknown_fields)]` on settings, so that a misspelt key is refused and not
//! ignored.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::SettingsError;

/// The settings of a plugin that has none: any key is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

impl SettingsError {
    /// Refuses the settings as a whole. `message` is one sentence without full stop: what
    /// was found, what is expected, what to do.
    pub fn new(message: impl Into<String>) -> Self {
        Self::at("", message)
    }

    /// Refuses one key, named by its JSON pointer such as `/weights/0`.
    pub fn at(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

impl std::fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.pointer.is_empty() {
            formatter.write_str(&self.message)
        } else {
            write!(formatter, "{}: {}", self.pointer, self.message)
        }
    }
}

impl std::error::Error for SettingsError {}

/// `json` is an object; no bytes at all mean an empty one.
pub(crate) fn decode<S: DeserializeOwned>(json: &[u8]) -> Result<S, SettingsError> {
    let json = if json.is_empty() { b"{}" } else { json };
    let decoder = &mut serde_json::Deserializer::from_slice(json);
    serde_path_to_error::deserialize(decoder).map_err(|error| {
        let message = without_position(&error.inner().to_string());
        SettingsError::at(pointer(error.path()), message)
    })
}

/// The position is one inside JSON that the operator never saw.
fn without_position(message: &str) -> String {
    match message.rsplit_once(" at line ") {
        Some((what, _)) => what.to_owned(),
        None => message.to_owned(),
    }
}

/// RFC 6901.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let key = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&key);
    }
    pointer
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, PartialEq, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Settings {
        weights: BTreeMap<String, f64>,
        limit: u32,
    }

    #[test]
    fn no_bytes_are_an_empty_object() {
        assert_eq!(decode::<Settings>(b"").unwrap(), Settings::default());
    }

    #[test]
    fn pointer_names_the_offending_key_escaped() {
        let error = decode::<Settings>(br#"{"weights":{"a/b~c":"x"}}"#).unwrap_err();
        assert_eq!(error.pointer, "/weights/a~1b~0c");
        assert_eq!(error.message, r#"invalid type: string "x", expected f64"#);
    }

    #[test]
    fn unknown_key_is_refused_and_named() {
        let error = decode::<Settings>(br#"{"limits":1}"#).unwrap_err();
        assert_eq!(error.pointer, "/limits");
        assert!(error.message.contains("unknown field `limits`"), "{error}");
    }

    #[test]
    fn plugin_without_settings_refuses_any() {
        assert!(decode::<NoSettings>(b"{}").is_ok());
        assert!(decode::<NoSettings>(br#"{"a":1}"#).is_err());
    }
}
