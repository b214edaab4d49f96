//! A request as a provider's wire takes it, and what it had no place for.
//!
//! Parameters that a wire lacks are left out and named; what becomes of the request then is
//! the operator's policy, which the host applies. Content that would change the question is
//! never left out: encoders refuse it with [`CallErrorKind::Unsupported`].

use std::collections::BTreeSet;

use crate::error::{CallError, CallErrorKind};

/// A body, and the names of what is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    pub body: Vec<u8>,
    /// Sorted, without repeats: names of [`crate::chat::Request`]'s and
    /// [`crate::chat::Sampling`]'s fields, keys of `extra`, `tools.<type>` for a tool of
    /// another dialect, `tools.strict`, `cache_control`, `name`, `is_error` of a tool result.
    pub dropped: Vec<String>,
}

/// Collects names while a request is encoded.
#[derive(Debug, Default)]
pub struct Dropped(BTreeSet<String>);

impl Dropped {
    /// Notes a name.
    pub fn note(&mut self, name: impl Into<String>) {
        self.0.insert(name.into());
    }

    /// Notes a name if there was something to leave out.
    pub fn note_if(&mut self, left_out: bool, name: &str) {
        if left_out {
            self.note(name);
        }
    }

    /// The names, in order.
    pub fn into_names(self) -> Vec<String> {
        self.0.into_iter().collect()
    }
}

/// Why a wire cannot take a request at all. `feature` is a noun, such as `audio input`.
pub fn unsupported(feature: &str) -> CallError {
    CallError::new(CallErrorKind::Unsupported, format!("{feature} is not supported"))
}
