//! What can be wrong with a scenario: always with the file, and the line where there is one.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::arrivals::trace::TraceError;

/// A scenario that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error("cannot read the scenario {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the scenario {} is larger than {limit} bytes; traces belong into files of their own", path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    /// No TOML, an unknown or missing key, or a value of the wrong type.
    #[error("{place}: {}{}", key.as_ref().map(|key| format!("`{key}`: ")).unwrap_or_default(), source.message())]
    Toml { place: Place, key: Option<String>, source: Box<toml::de::Error> },
    #[error("{place}: `{key}` is {found}; expected {expected}")]
    Value { place: Place, key: String, found: String, expected: Cow<'static, str> },
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// Parts that no file was read for.
    #[error("the scenario has no {0}; at least one is needed")]
    Nothing(&'static str),
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub path: PathBuf,
    /// The first is 1.
    pub line: usize,
}

impl Place {
    /// Of a byte of a text.
    pub(crate) fn of_byte(path: &Path, text: &str, byte: usize) -> Self {
        let before = text.as_bytes().get(..byte).unwrap_or(text.as_bytes());
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Self { path: path.to_owned(), line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.path.display(), self.line)
    }
}
