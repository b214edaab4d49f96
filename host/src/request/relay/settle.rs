//! What an attempt came to, told once: to statistics and policy, to the record, and to whoever
//! sends the conversation's next turn.

use std::sync::Arc;
use std::time::Instant;

use torana_routing::statistics::InFlight;
use torana_wire::chat;

use super::super::findings::Findings;
use super::super::record::{FinishedAttempt, Record};
use super::super::resume;
use crate::error::AttemptError;
use crate::gateway::{Ended, Gateway};
use crate::snapshot::{Endpoint, Model};

/// Tells statistics and policy how the attempt went, once.
pub(super) struct Settle {
    pub(super) gateway: Arc<Gateway>,
    pub(super) model: Arc<Model>,
    pub(super) position: usize,
    /// Place of the attempt in the record.
    pub(super) row: usize,
    pub(super) session: u64,
    /// It was asked for an answer, not for a count of tokens.
    pub(super) generates: bool,
    /// When the first piece of its content came.
    pub(super) first_content: Option<Instant>,
    pub(super) in_flight: Option<InFlight>,
}

impl Settle {
    pub(super) fn content(&mut self, at: Instant) {
        if self.first_content.is_some() {
            return;
        }
        self.first_content = Some(at);
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.first_token(at);
        }
    }

    /// Another attempt takes its place.
    pub(super) fn next(&mut self, started: resume::Started) {
        self.row = started.row;
        self.position = started.position;
        self.first_content = None;
        self.in_flight = Some(started.in_flight);
    }

    /// The endpoint was not asked after all: that says nothing about it.
    pub(super) fn refused(&mut self, record: &mut Record, error: &AttemptError) {
        let Some(in_flight) = self.in_flight.take() else { return };
        let total = in_flight.started().elapsed();
        record.attempt_finished(self.row, FinishedAttempt::failed(error, total));
    }

    pub(super) fn observe(
        &mut self,
        record: &mut Record,
        usage: Option<chat::Usage>,
        error: Option<&AttemptError>,
    ) {
        let Some(in_flight) = self.in_flight.take() else { return };
        let total = in_flight.started().elapsed();
        // When its first token was there, a whole answer does not tell.
        let ttft = self.first_content.map(|first| first.duration_since(in_flight.started()));
        let ended = Ended {
            error: error.map(AttemptError::kind),
            retry_after: error.and_then(AttemptError::retry_after),
            ttft,
            usage,
            generates: self.generates,
        };
        self.gateway.attempt_ended(&self.model, self.position, in_flight, &ended);
        let finished = match error {
            None => FinishedAttempt::succeeded(ttft, total, usage),
            Some(error) => FinishedAttempt::broken_off(error, ttft, total, usage),
        };
        record.attempt_finished(self.row, finished);
        if let (None, Some(usage), Some(endpoint)) = (error, usage, self.endpoint()) {
            let now = Instant::now();
            let affinity = &self.gateway.affinity;
            let expected = affinity.cached_tokens(self.session, endpoint.id, now);
            if expected > 0 {
                let expected = expected.min(usage.input);
                endpoint.statistics.cached(expected, usage.cached_input, now);
            }
            // The next turn sends this one's prompt and answer again.
            let tokens = usage.input.saturating_add(usage.output);
            affinity.remember(self.session, endpoint.id, tokens, now);
        }
    }

    /// The client went away: what came until then is recorded, but says nothing about the
    /// endpoint.
    pub(super) fn cancelled(&mut self, record: &mut Record, usage: Option<chat::Usage>) {
        let Some(in_flight) = self.in_flight.take() else { return };
        let ttft = self.first_content.map(|first| first.duration_since(in_flight.started()));
        let total = in_flight.started().elapsed();
        record.attempt_finished(self.row, FinishedAttempt::cancelled(ttft, total, usage));
    }

    pub(super) fn tool_calls(&self, findings: &Findings) {
        if let (Some(valid), Some(endpoint)) = (findings.valid_tool_calls(), self.endpoint()) {
            endpoint.statistics.tool_calls(valid, Instant::now());
        }
    }

    pub(super) fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.model.endpoints.get(self.position)
    }
}
