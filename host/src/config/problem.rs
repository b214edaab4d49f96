//! What is wrong with a configuration, in words an operator can act on.
//!
//! A [`Problem`] names file, line and key, says what was found and what is expected.
//! [`Problems`] lists all of them at once, in the order of the files. No message carries the
//! value of a secret: `secret.rs` sees to that where it reports.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Problems listed one by one. A file with more is not an edited configuration but something
/// else altogether; the rest is counted.
const LISTED_PROBLEMS: usize = 200;

/// One thing that is wrong, or deserves a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub file: PathBuf,
    /// Counted from 1; absent when the problem is the whole file.
    pub line: Option<u32>,
    /// Dotted, such as `providers.openai.credential`; empty when no key is to blame.
    pub key: String,
    pub message: String,
    pub severity: Severity,
}

/// Whether the configuration can be used in spite of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    Notice,
}

impl Problem {
    pub(super) fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self {
            file: file.to_path_buf(),
            line: None,
            key: String::new(),
            message: message.into(),
            severity: Severity::Error,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(formatter, "{line}:")?;
        }
        if !self.key.is_empty() {
            write!(formatter, " {}:", self.key)?;
        }
        write!(formatter, " {}", self.message)
    }
}

/// Everything that keeps a configuration from being used: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(formatter, "1 problem in the configuration")?,
            count => write!(formatter, "{count} problems in the configuration")?,
        }
        for problem in self.0.iter().take(LISTED_PROBLEMS) {
            write!(formatter, "\n{problem}")?;
        }
        if let Some(rest @ 1..) = self.0.len().checked_sub(LISTED_PROBLEMS) {
            write!(formatter, "\n… and {rest} more")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<Path>,
    /// Counted from 1.
    pub line: Option<u32>,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{line}", self.file.display()),
            None => write!(formatter, "{}", self.file.display()),
        }
    }
}

/// A place and the dotted key that stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) place: Place,
    pub(super) key: String,
}

impl Spot {
    pub(super) fn error(&self, message: impl Into<String>) -> Problem {
        self.problem(message.into(), Severity::Error)
    }

    pub(super) fn notice(&self, message: impl Into<String>) -> Problem {
        self.problem(message.into(), Severity::Notice)
    }

    /// A path as it is meant where this spot stands: relative to the spot's file.
    pub(super) fn resolve_path(&self, path: &str) -> PathBuf {
        let directory = self.place.file.parent().unwrap_or(Path::new(""));
        directory.join(path)
    }

    fn problem(&self, message: String, severity: Severity) -> Problem {
        Problem {
            file: self.place.file.to_path_buf(),
            line: self.place.line,
            key: self.key.clone(),
            message,
            severity,
        }
    }
}

/// A value together with the spot it was read from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) spot: Spot,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(line: Option<u32>, key: &str) -> Problem {
        Problem {
            file: PathBuf::from("config/torana.toml"),
            line,
            key: key.to_owned(),
            message: "found 1; expected true or false".to_owned(),
            severity: Severity::Error,
        }
    }

    #[test]
    fn a_problem_reads_as_file_line_key_message() {
        assert_eq!(
            problem(Some(12), "a.b").to_string(),
            "config/torana.toml:12: a.b: found 1; expected true or false"
        );
        assert_eq!(
            problem(None, "").to_string(),
            "config/torana.toml: found 1; expected true or false"
        );
    }

    #[test]
    fn problems_are_counted_and_the_list_is_bounded() {
        let one = Problems(vec![problem(None, "")]);
        assert!(one.to_string().starts_with("1 problem in"));
        let many = Problems(vec![problem(None, ""); LISTED_PROBLEMS + 3]);
        let text = many.to_string();
        assert!(text.starts_with("203 problems in"));
        assert!(text.ends_with("\n… and 3 more"));
        assert_eq!(text.lines().count(), LISTED_PROBLEMS + 2);
    }
}
