//! What one attempt exchanged with its provider, kept for its row while it runs.
//!
//! The attempt writes, the record reads when it is closed, however the attempt ended: one that
//! is given up leaves what it had. Bodies that are there as a whole are shared, not copied; of
//! a stream the chunks are copied up to the bound and no further. Headers never get here, so
//! no credential does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use torana_wire::chat::Usage;

/// Bytes of a short stream: room to begin with.
const USUAL_STREAM: usize = 4 << 10;

/// Shared by an attempt and its record.
#[derive(Debug, Clone, Default)]
pub struct Tape(Arc<Tracks>);

#[derive(Debug, Default)]
struct Tracks {
    /// Bytes of a stream that are kept; 0: no body is.
    limit: usize,
    taped: Mutex<Taped>,
}

/// What is on a tape.
#[derive(Debug, Default)]
pub struct Taped {
    pub request: Option<Bytes>,
    pub response: Option<Received>,
    /// Of answers that were paid and asked for again.
    pub spent: Option<Usage>,
}

/// A provider's body.
#[derive(Debug)]
pub enum Received {
    Whole(Bytes),
    /// Frames as text, as they came; more than `text` if `is_cut`.
    Stream {
        text: Vec<u8>,
        is_cut: bool,
    },
}

impl Taped {
    /// Of both bodies, each up to `limit`.
    pub fn bytes(&self, limit: usize) -> usize {
        let response = match &self.response {
            None => 0,
            Some(Received::Whole(body)) => body.len(),
            Some(Received::Stream { text, .. }) => text.len(),
        };
        self.request.as_ref().map_or(0, Bytes::len).min(limit) + response.min(limit)
    }
}

impl Tape {
    /// Keeps bodies if `limit` is not 0.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Tracks { limit, taped: Mutex::default() }))
    }

    /// A body goes out: a new exchange, which is kept in place of the one before.
    pub fn sent(&self, body: &Bytes) {
        if self.0.limit > 0 {
            let mut taped = self.lock();
            taped.request = Some(body.clone());
            taped.response = None;
        }
    }

    /// A body came as a whole.
    pub fn received(&self, body: &Bytes) {
        if self.0.limit > 0 {
            self.lock().response = Some(Received::Whole(body.clone()));
        }
    }

    /// Some of a stream came.
    pub fn streamed(&self, bytes: &[u8]) {
        let limit = self.0.limit;
        if limit == 0 || bytes.is_empty() {
            return;
        }
        let mut taped = self.lock();
        let begun = || {
            let text = Vec::with_capacity(limit.min(USUAL_STREAM));
            Received::Stream { text, is_cut: false }
        };
        if let Received::Stream { text, is_cut } = taped.response.get_or_insert_with(begun) {
            let room = limit.saturating_sub(text.len());
            text.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            *is_cut |= bytes.len() > room;
        }
    }

    /// An answer was paid for that is not the last.
    pub fn spent(&self, usage: Usage) {
        self.lock().spent = Some(usage);
    }

    /// Usage of answers that were not the last.
    pub fn paid(&self) -> Option<Usage> {
        self.lock().spent
    }

    /// The bodies, for the one who writes them down.
    pub fn take(&self) -> Taped {
        let mut taped = self.lock();
        Taped { request: taped.request.take(), response: taped.response.take(), spent: taped.spent }
    }

    fn lock(&self) -> MutexGuard<'_, Taped> {
        self.0.taped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_kept_up_to_the_bound_and_says_that_it_is_cut() {
        let tape = Tape::new(10);
        tape.sent(&Bytes::from_static(b"ask"));
        for chunk in ["data: ", "1234", "5"] {
            tape.streamed(chunk.as_bytes());
        }
        let taped = tape.take();
        assert_eq!(taped.request.as_deref(), Some(&b"ask"[..]));
        let Some(Received::Stream { text, is_cut }) = taped.response else { unreachable!() };
        assert_eq!((text.as_slice(), is_cut), (&b"data: 1234"[..], true));
    }

    #[test]
    fn asking_again_begins_anew_and_what_was_spent_stays() {
        let tape = Tape::new(10);
        tape.sent(&Bytes::from_static(b"one"));
        tape.received(&Bytes::from_static(b"bad"));
        tape.spent(Usage { input: 3, ..Usage::default() });
        tape.sent(&Bytes::from_static(b"two"));
        let taped = tape.take();
        assert_eq!(taped.request.as_deref(), Some(&b"two"[..]));
        assert!(taped.response.is_none());
        assert_eq!(taped.spent.map(|usage| usage.input), Some(3));
    }

    #[test]
    fn without_a_bound_no_body_is_kept() {
        let tape = Tape::new(0);
        tape.sent(&Bytes::from_static(b"ask"));
        tape.streamed(b"data");
        tape.received(&Bytes::from_static(b"answer"));
        let taped = tape.take();
        assert!(taped.request.is_none() && taped.response.is_none());
    }
}
