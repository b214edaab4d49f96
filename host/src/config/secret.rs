//! Secrets, and the references by which a configuration names them.
//!
//! A secret never stands in the configuration itself: a key gives `env:NAME` or `file:PATH`.
//! [`Secret`] cannot be printed, serialized or compared by accident; whoever needs the value
//! writes [`Secret::expose`], which is easy to search for. No error here carries a value.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest secret. Keys have some hundred bytes, signed tokens and service accounts a few KiB.
const LARGEST_BYTES: u64 = 64 * 1024;

/// A value that is not to be seen.
#[derive(Clone)]
pub struct Secret(Arc<str>);

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretReference {
    /// `env:NAME`
    Environment(String),
    /// `file:PATH`, resolved against the file it stands in.
    File(PathBuf),
    /// `ambient`: whatever the machine or the environment gives to AWS's and Google's own
    /// libraries.
    Ambient,
}

/// Why there is no secret where a reference points.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("\"ambient\" is for providers at AWS and Google")]
    NotHere,
    #[error("{0} is empty")]
    Empty(SecretReference),
    #[error("{0} is larger than 64 KiB")]
    TooLarge(SecretReference),
    #[error("{0} is not text or has control characters in it, such as a line break")]
    NotText(SecretReference),
}

/// The text is neither `env:NAME` nor `file:PATH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected \"env:NAME\" or \"file:PATH\"; for AWS and Google also \"ambient\"")]
pub struct NotReference;

impl Secret {
    /// Of a value that was fetched from elsewhere than a reference.
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self(value.into())
    }

    /// The value itself: for the one place that puts it on the wire or hashes it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(formatter, "env:{name}"),
            Self::File(path) => write!(formatter, "file:{}", path.display()),
            Self::Ambient => formatter.write_str("ambient"),
        }
    }
}

impl SecretReference {
    /// Reads a reference. `resolve` says what a relative path is relative to.
    ///
    /// # Errors
    /// [`NotReference`], without the text: it may be the secret itself.
    pub fn parse(text: &str, resolve: impl FnOnce(&str) -> PathBuf) -> Result<Self, NotReference> {
        if text == "ambient" {
            return Ok(Self::Ambient);
        }
        if let Some(name) = text.strip_prefix("env:") {
            let mut characters = name.chars();
            let starts = |first: char| first.is_ascii_alphabetic() || first == '_';
            let goes_on = |next: char| next.is_ascii_alphanumeric() || next == '_';
            if characters.next().is_some_and(starts) && characters.all(goes_on) {
                return Ok(Self::Environment(name.to_owned()));
            }
        }
        match text.strip_prefix("file:") {
            Some(path) if !path.is_empty() => Ok(Self::File(resolve(path))),
            _ => Err(NotReference),
        }
    }

    /// Fetches the secret.
    ///
    /// # Errors
    /// When there is none, or one that cannot go into a header.
    pub fn fetch(
        &self,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Secret, SecretError> {
        let text = match self {
            Self::Environment(name) => {
                environment(name).ok_or_else(|| SecretError::NotSet(name.clone()))?
            }
            Self::File(path) => self.read(path)?,
            Self::Ambient => return Err(SecretError::NotHere),
        };
        if text.is_empty() {
            return Err(SecretError::Empty(self.clone()));
        }
        if text.len() as u64 > LARGEST_BYTES {
            return Err(SecretError::TooLarge(self.clone()));
        }
        // A service account is a JSON document of many lines; it never goes into a header.
        let is_document = text.starts_with('{');
        let is_unwanted = |c: char| c.is_control() && !(is_document && c.is_whitespace());
        if text.chars().any(is_unwanted) {
            return Err(SecretError::NotText(self.clone()));
        }
        Ok(Secret(Arc::from(text)))
    }

    fn read(&self, path: &Path) -> Result<String, SecretError> {
        let unreadable = |source| SecretError::Unreadable { path: path.to_path_buf(), source };
        // Opening a pipe would wait for a writer.
        if !path.metadata().map_err(unreadable)?.is_file() {
            return Err(unreadable(io::Error::other("not a regular file")));
        }
        let mut bytes = Vec::new();
        File::open(path)
            .map_err(unreadable)?
            .take(LARGEST_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let mut text = String::from_utf8(bytes).map_err(|_| SecretError::NotText(self.clone()))?;
        // Editors and `echo` end a file with a line break that is not part of the secret.
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn reference(text: &str) -> Result<SecretReference, NotReference> {
        SecretReference::parse(text, |path| PathBuf::from(path))
    }

    fn fetch(text: &str) -> Result<Secret, SecretError> {
        reference(text).unwrap().fetch(&|name| match name {
            "GOOD" => Some("sk-good".to_owned()),
            "EMPTY" => Some(String::new()),
            "BROKEN" => Some("a\nb".to_owned()),
            "HUGE" => Some("x".repeat(65_537)),
            _ => None,
        })
    }

    #[test]
    fn only_the_two_forms_are_references() {
        assert_eq!(
            reference("env:OPENAI_API_KEY"),
            Ok(SecretReference::Environment("OPENAI_API_KEY".to_owned()))
        );
        assert_eq!(
            reference("file:/run/secrets/key"),
            Ok(SecretReference::File(PathBuf::from("/run/secrets/key")))
        );
        for text in ["", "sk-abc", "env:", "env:1A", "env:A-B", "env:A B", "file:", "vault:x"] {
            assert_eq!(reference(text), Err(NotReference), "{text}");
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = fetch("env:GOOD").unwrap();
        assert_eq!(secret.expose(), "sk-good");
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(format!("{:?}", Some(&secret)), "Some([secret])");
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_without_its_value() {
        for (text, message) in [
            ("env:NONE", "the environment variable NONE is not set"),
            ("env:EMPTY", "env:EMPTY is empty"),
            ("env:HUGE", "env:HUGE is larger than 64 KiB"),
            (
                "env:BROKEN",
                "env:BROKEN is not text or has control characters in it, such as a line break",
            ),
        ] {
            assert_eq!(fetch(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_file_gives_its_text_without_the_last_line_break() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let text = format!("file:{}", path.display());
        assert!(matches!(fetch(&text), Err(SecretError::Unreadable { .. })));
        for (content, value) in [("k", "k"), ("k\n", "k"), ("k\r\n", "k"), (" k ", " k ")] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(fetch(&text).unwrap().expose(), value);
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(fetch(&text), Err(SecretError::Empty(_))));
        std::fs::write(&path, "a\n\n").unwrap();
        assert!(matches!(fetch(&text), Err(SecretError::NotText(_))));
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(fetch(&text), Err(SecretError::NotText(_))));
        std::fs::write(&path, vec![b'x'; 65_537]).unwrap();
        assert!(matches!(fetch(&text), Err(SecretError::TooLarge(_))));
        let directory = format!("file:{}", directory.path().display());
        assert!(matches!(fetch(&directory), Err(SecretError::Unreadable { .. })));
    }
}
