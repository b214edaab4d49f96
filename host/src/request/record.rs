//! The record of one inference: filled in as the request goes its way, written once.
//!
//! The only place that writes rows of calls. A finished record is in the journal before the last byte
//! of the answer is released. A record that is dropped unfinished, because the client went
//! away, is written as cancelled. What may be kept is settled before the first attempt, by the
//! strictest word of journal, key, function and client.

mod attempt;
mod closing;
mod content;
mod explanation;
mod failure;
mod rows;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use torana_routing::execution::{GiveUp, Reason};
use torana_wire::chat::Response;
use uuid::Uuid;

use super::assign::Assigned;
use super::decode::Call;
use super::tags::Tags;
use super::tape::Tape;
use super::tool_calls::InvalidToolCall;
use super::trace::{SpanId, Trace};
use crate::config::{Content, Decisions, TraceHeaders};
use crate::dialect::Dialect;
use crate::gateway::Gateway;
use crate::routing::decision::Decision;
use crate::snapshot::{Endpoint, Snapshot};
use crate::telemetry::About;
use attempt::{Attempt, CANCELLED, LOST};
pub use attempt::{FinishedAttempt, Link};
pub use failure::{ErrorFields, error_fields};
use rows::Resumed;

/// The outcome of an inference that was answered.
pub const OK: &str = "ok";

/// What nginx logs for a client that went away; it is never sent.
pub const CLIENT_GONE: u16 = 499;

/// The record of one inference.
pub struct Record {
    gateway: Arc<Gateway>,
    snapshot: Arc<Snapshot>,
    pub id: Uuid,
    trace: Trace,
    started: Instant,
    time_unix_ms: u64,
    /// What may be kept, as far as everybody has spoken.
    content: Content,
    /// Time spent waiting for providers.
    waited: Duration,
    dialect: Dialect,
    key: Option<String>,
    model: String,
    function: Option<String>,
    variant: Option<String>,
    episode: Option<Uuid>,
    tags: Tags,
    /// Of the answer that the client gets.
    response_id: Option<String>,
    stream: bool,
    request: Option<Bytes>,
    decision: Option<Decision>,
    /// The client wants to be told why.
    explain: bool,
    attempts: Vec<Attempt>,
    /// The place of the attempt that answered: a hedge may fail before the one it was for does.
    answered: Option<usize>,
    dropped: Vec<String>,
    invalid_tool_calls: Vec<InvalidToolCall>,
    invalid_output: Vec<String>,
    resumed: Vec<Resumed>,
    finished: bool,
}

/// How the inference ended.
pub struct Outcome<'a> {
    pub status: u16,
    pub error: Option<ErrorFields>,
    pub ttft: Option<Duration>,
    /// What was answered, as far as it came.
    pub response: Option<&'a Response>,
}

impl Record {
    pub fn new(
        gateway: Arc<Gateway>,
        snapshot: Arc<Snapshot>,
        dialect: Dialect,
        id: Uuid,
        trace: Trace,
    ) -> Self {
        Self {
            content: snapshot.config.journal.content,
            gateway,
            snapshot,
            id,
            trace,
            started: Instant::now(),
            time_unix_ms: now_unix_ms(),
            waited: Duration::ZERO,
            dialect,
            key: None,
            model: String::new(),
            function: None,
            variant: None,
            episode: None,
            tags: Tags::new(),
            response_id: None,
            stream: false,
            request: None,
            decision: None,
            explain: false,
            attempts: Vec::new(),
            answered: None,
            dropped: Vec::new(),
            invalid_tool_calls: Vec::new(),
            invalid_output: Vec::new(),
            resumed: Vec::new(),
            finished: false,
        }
    }

    pub fn admitted(&mut self, key: Option<String>) {
        self.key = key;
    }

    /// Somebody who has a say wants no more kept than this. Absent: it is all the same to them.
    pub fn keep_at_most(&mut self, content: Option<Content>) {
        self.content = self.content.min(content.unwrap_or(Content::Full));
        if self.content != Content::Full {
            self.request = None;
        }
    }

    pub fn decoded(&mut self, call: &Call) {
        self.model.clone_from(&call.model);
        self.episode = Some(call.episode);
        self.stream = call.stream;
        self.explain = call.wishes.explain;
        self.tags.clone_from(&call.tags);
        if self.content == Content::Full {
            self.request = Some(call.asked.clone());
        }
    }

    pub fn function(&mut self, name: &str) {
        self.function = Some(name.to_owned());
        let snapshot = self.snapshot.clone();
        self.keep_at_most(snapshot.config.functions.get(name).and_then(|it| it.content));
    }

    pub fn assigned(&mut self, assigned: &Assigned<'_>) {
        self.variant = Some(assigned.variant.clone());
    }

    /// Also where it left nobody to ask.
    pub fn decided(&mut self, mut decision: Decision) {
        if self.snapshot.config.journal.decisions == Decisions::Plan {
            decision.strip();
        }
        self.decision = Some(decision);
    }

    /// Why no further endpoint was tried.
    pub fn gave_up(&mut self, why: GiveUp) {
        if let Some(decision) = &mut self.decision {
            decision.gave_up = Some(why);
        }
    }

    /// Its place, for [`Record::attempt_finished`].
    pub fn attempt_started(&mut self, endpoint: &Endpoint, reason: Reason) -> usize {
        let raw_bytes = self.snapshot.config.journal.raw_bytes;
        self.attempts.push(Attempt {
            reason,
            price: endpoint.profile.price,
            id: Uuid::now_v7(),
            span: SpanId::random(),
            tape: Tape::new(if self.content == Content::Full { raw_bytes } else { 0 }),
            time_unix_ms: now_unix_ms(),
            endpoint: endpoint.name.clone(),
            started: Instant::now(),
            finished: None,
        });
        self.attempts.len() - 1
    }

    /// What the attempt takes along.
    pub fn link(&self, row: usize) -> Link {
        let Some(attempt) = self.attempts.get(row) else { return Link::default() };
        let told = self.snapshot.config.server.trace_headers == TraceHeaders::Both;
        Link { trace: told.then(|| self.trace.headers(attempt.span)), tape: attempt.tape.clone() }
    }

    pub fn attempt_finished(&mut self, row: usize, finished: FinishedAttempt) {
        if let Some(attempt) = self.attempts.get_mut(row) {
            attempt.finished = Some(finished);
        }
    }

    /// The attempt's answer began: it is the client's.
    pub fn attempt_answered(&mut self, row: usize) {
        self.answered = Some(row);
    }

    /// The answer has this id, if it has any.
    pub fn responded(&mut self, id: &str) {
        self.response_id = Some(id).filter(|id| !id.is_empty()).map(str::to_owned);
    }

    /// What log lines of the call say.
    pub fn about(&self) -> About {
        About { inference: self.id, trace: self.trace.id }
    }

    /// The name of the client's key.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Parameters that an answering endpoint could not take.
    pub fn dropped(&mut self, names: &[String]) {
        for name in names {
            if !self.dropped.contains(name) {
                self.dropped.push(name.clone());
            }
        }
    }

    /// The stream broke off after so many characters, and the endpoint went on.
    pub fn resumed(&mut self, endpoint: &Endpoint, after_characters: usize) {
        self.resumed.push(Resumed { endpoint: endpoint.name.clone(), after_characters });
    }

    /// Tool calls that do not fit their schemas.
    pub fn invalid_tool_calls(&mut self, calls: Vec<InvalidToolCall>) {
        self.invalid_tool_calls = calls;
    }

    /// What keeps the answer from fitting the schema that was asked for.
    pub fn invalid_output(&mut self, errors: Vec<String>) {
        self.invalid_output = errors;
    }

    pub fn waited(&mut self, waited: Duration) {
        self.waited += waited;
    }

    pub fn started(&self) -> Instant {
        self.started
    }

    /// What the gateway itself took until now.
    pub fn overhead(&self) -> Duration {
        self.started.elapsed().saturating_sub(self.waited)
    }

    pub fn attempts(&self) -> usize {
        self.attempts.len()
    }

    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    pub fn episode(&self) -> Option<Uuid> {
        self.episode
    }

    pub fn generation(&self) -> u64 {
        self.snapshot.generation
    }

    /// Writes the rows; returns once they are in the journal. The caller holds back the last
    /// byte of the answer until then.
    pub async fn finish(mut self, outcome: Outcome<'_>) {
        if !self.is_inference() {
            return;
        }
        let word = if outcome.error.is_some() { "error" } else { OK };
        if let Some(rows) = self.close(word, &outcome) {
            self.gateway.write(rows).await;
        }
    }

    /// Counts a call that was refused because the journal is full. What room is left there is
    /// for calls that were admitted.
    pub fn refused(mut self, status: u16) {
        self.finished = true;
        let metrics = &self.gateway.metrics;
        metrics.request_finished("error", status, self.started.elapsed(), self.overhead());
    }

    /// Writes the rows of a call that the client did not wait for, beside everything else.
    pub fn cancelled(mut self, outcome: &Outcome<'_>) {
        self.cancel(outcome);
    }

    fn cancel(&mut self, outcome: &Outcome<'_>) {
        if self.finished || !self.is_inference() {
            return;
        }
        let Some(rows) = self.close(CANCELLED, outcome) else { return };
        let gateway = self.gateway.clone();
        self.gateway.tasks.spawn("record", async move { gateway.write(rows).await });
    }

    /// Counting tokens asks no model: it leaves no row.
    fn is_inference(&self) -> bool {
        self.dialect != Dialect::AnthropicCountTokens
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.cancel(&Outcome { status: CLIENT_GONE, error: None, ttft: None, response: None });
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

pub fn now_unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
