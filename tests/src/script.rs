//! What a scripted provider does with one request, step by step.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::eventually::DEADLINE;

/// Steps that are taken in order; after the last one the answer is complete.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Status, headers, and how the body's end will be known.
    Head {
        status: u16,
        headers: Vec<(String, String)>,
        body: Body,
    },
    /// Bytes of the body, sent as one write.
    Bytes(Vec<u8>),
    /// Bytes on the socket as they are, outside of HTTP.
    Raw(Vec<u8>),
    Wait(Duration),
    Gate(Gate),
    /// Until the other side goes away: the script ends there.
    UntilClosed,
    /// The connection is closed at once, orderly.
    Close,
    /// The connection is reset.
    Reset,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Body {
    Length(usize),
    Chunked,
}

/// Holds scripts until a test opens it.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().expect("no holder panics") = true;
        self.0.1.notify_all();
    }

    /// A gate that nobody opens lets through after [`DEADLINE`], so that a failed test ends.
    pub(crate) fn pass(&self) {
        let open = self.0.0.lock().expect("no holder panics");
        let passed = self.0.1.wait_timeout_while(open, DEADLINE, |open| !*open);
        drop(passed.expect("no holder panics"));
    }
}

impl Script {
    /// A whole JSON answer.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::whole(status, "application/json", body.to_string())
    }

    /// A whole answer.
    pub fn whole(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::default()
            .head(status, &[("content-type", content_type)], Body::Length(body.len()))
            .bytes(body)
    }

    /// The head of a stream of server-sent events.
    pub fn sse() -> Self {
        Self::stream("text/event-stream")
    }

    /// The head of a stream.
    pub fn stream(content_type: &str) -> Self {
        Self::default().head(200, &[("content-type", content_type)], Body::Chunked)
    }

    /// The head of an answer whose body is said to be this long.
    pub fn promise(content_type: &str, length: usize) -> Self {
        Self::default().head(200, &[("content-type", content_type)], Body::Length(length))
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Some(Step::Head { headers, .. }) = self.steps.first_mut() {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    #[must_use]
    pub fn bytes(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Step::Bytes(bytes.into()))
    }

    /// Bytes cut into writes of at most `size`.
    #[must_use]
    pub fn cut(mut self, bytes: &[u8], size: usize) -> Self {
        self.steps.extend(bytes.chunks(size.max(1)).map(|it| Step::Bytes(it.to_vec())));
        self
    }

    #[must_use]
    pub fn raw(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.then(Step::Raw(bytes.into()))
    }

    #[must_use]
    pub fn wait(self, time: Duration) -> Self {
        self.then(Step::Wait(time))
    }

    #[must_use]
    pub fn gate(self, gate: &Gate) -> Self {
        self.then(Step::Gate(gate.clone()))
    }

    #[must_use]
    pub fn until_closed(self) -> Self {
        self.then(Step::UntilClosed)
    }

    #[must_use]
    pub fn close(self) -> Self {
        self.then(Step::Close)
    }

    #[must_use]
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    fn head(self, status: u16, headers: &[(&str, &str)], body: Body) -> Self {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        self.then(Step::Head { status, headers: headers.iter().map(owned).collect(), body })
    }

    fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}
