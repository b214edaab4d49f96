//! One attempt at an endpoint, as the record keeps it while it runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use torana_routing::execution::Reason;
use torana_routing::price::{self, CostSource, Price};
use torana_wire::chat::Usage;
use uuid::Uuid;

use super::super::tape::Tape;
use super::super::trace::{SpanId, TraceHeaders};
use super::{ErrorFields, OK};
use crate::error::AttemptError;

/// The outcome of an attempt that was cancelled because another endpoint answered first.
pub(super) const LOST: &str = "lost";

/// The outcome of what a client did not wait for.
pub(super) const CANCELLED: &str = "cancelled";

/// One attempt at an endpoint.
pub(super) struct Attempt {
    pub(super) id: Uuid,
    pub(super) span: SpanId,
    pub(super) time_unix_ms: u64,
    pub(super) endpoint: Arc<str>,
    pub(super) price: Option<Price>,
    pub(super) reason: Reason,
    pub(super) started: Instant,
    pub(super) tape: Tape,
    pub(super) finished: Option<FinishedAttempt>,
}

impl Attempt {
    /// As reported, or as far as it is known of an attempt that was given up.
    pub(super) fn usage(&self) -> Option<Usage> {
        let reported = self.finished.as_ref().and_then(|finished| finished.usage);
        reported.or_else(|| self.tape.paid())
    }

    /// US dollars, as far as anybody knows, and who does.
    pub(super) fn cost(&self) -> Option<(f64, CostSource)> {
        price::cost(self.price.as_ref(), &self.usage()?)
    }

    pub(super) fn error(&self) -> Option<&ErrorFields> {
        self.finished.as_ref()?.error.as_ref()
    }

    pub(super) fn is_lost(&self) -> bool {
        self.finished.as_ref().is_some_and(|finished| finished.end == End::Lost)
    }

    /// `word`: what came of the inference, which an attempt that was not finished shares.
    pub(super) fn outcome(&self, word: &'static str) -> &'static str {
        match &self.finished {
            None => word,
            Some(finished) => match (finished.end, &finished.error) {
                (End::Lost, _) => LOST,
                (End::Cancelled, _) => CANCELLED,
                (End::Own, Some(_)) => "error",
                (End::Own, None) => OK,
            },
        }
    }
}

/// What an attempt takes along: what to tell the provider of its trace, and where to leave
/// what they said to each other.
#[derive(Debug, Clone, Default)]
pub struct Link {
    /// Absent where the operator wants providers to be told nothing.
    pub trace: Option<TraceHeaders>,
    pub tape: Tape,
}

/// How an attempt ended.
#[derive(Default)]
pub struct FinishedAttempt {
    end: End,
    pub(super) error: Option<ErrorFields>,
    pub(super) status: Option<u16>,
    pub(super) ttft: Option<Duration>,
    pub(super) total: Duration,
    pub(super) usage: Option<Usage>,
}

/// Who ended an attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    Own,
    /// Another endpoint answered first.
    Lost,
    /// The client went away.
    Cancelled,
}

impl FinishedAttempt {
    pub fn failed(error: &AttemptError, total: Duration) -> Self {
        let fields = ErrorFields::of(error);
        Self { error: Some(fields), status: error.status(), total, ..Self::default() }
    }

    pub fn succeeded(ttft: Option<Duration>, total: Duration, usage: Option<Usage>) -> Self {
        Self { status: Some(200), ttft, total, usage, ..Self::default() }
    }

    /// It failed after it had begun: what came until then was used, and is paid.
    pub fn broken_off(
        error: &AttemptError,
        ttft: Option<Duration>,
        total: Duration,
        usage: Option<Usage>,
    ) -> Self {
        Self { ttft, usage, ..Self::failed(error, total) }
    }

    /// It was answering when the client went away: what came until then is paid.
    pub fn cancelled(ttft: Option<Duration>, total: Duration, usage: Option<Usage>) -> Self {
        Self { end: End::Cancelled, ..Self::succeeded(ttft, total, usage) }
    }

    /// It was raced against another endpoint, and cancelled when that answered.
    pub fn lost(total: Duration) -> Self {
        Self { end: End::Lost, total, ..Self::default() }
    }
}
