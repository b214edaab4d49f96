//! The record of one inference: filled in as the request goes its way, written once.
//!
//! The only place that writes rows. A finished record is in the journal before the last byte
//! of the answer is released. A record that is dropped unfinished, because the client went
//! away, is written as cancelled.

mod explanation;
mod rows;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Serialize;
use torana_routing::execution::{GiveUp, Reason};
use torana_routing::price::Price;
use torana_wire::chat::{Response, Usage};
use uuid::Uuid;

use super::assign::Assigned;
use super::decode::Call;
use super::tool_calls::InvalidToolCall;
use crate::config::{Content, Decisions};
use crate::dialect::Dialect;
use crate::error::{AttemptError, Cause, telling};
use crate::gateway::Gateway;
use crate::journal::{Row, RowKind};
use crate::routing::decision::Decision;
use crate::snapshot::{Endpoint, Snapshot};
use rows::{AttemptFields, InferenceFields, InvalidCallFields, Resumed};

/// The outcome of an inference that was answered.
pub const OK: &str = "ok";

/// The outcome of an attempt that was cancelled because another endpoint answered first.
const LOST: &str = "lost";

/// The record of one inference.
pub struct Record {
    gateway: Arc<Gateway>,
    snapshot: Arc<Snapshot>,
    pub id: Uuid,
    started: Instant,
    time_unix_ms: u64,
    /// Time spent waiting for providers.
    waited: Duration,
    dialect: Dialect,
    key: Option<String>,
    model: String,
    function: Option<String>,
    variant: Option<String>,
    episode: Option<Uuid>,
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

/// One attempt at an endpoint.
struct Attempt {
    id: Uuid,
    time_unix_ms: u64,
    endpoint: Arc<str>,
    price: Option<Price>,
    reason: Reason,
    started: Instant,
    finished: Option<FinishedAttempt>,
}

impl Attempt {
    /// US dollars, as far as anybody knows.
    fn cost(&self) -> Option<f64> {
        let usage = self.finished.as_ref()?.usage.as_ref()?;
        usage.cost_usd.or_else(|| Some(self.price?.cost(usage)))
    }
}

/// How an attempt ended.
#[derive(Default)]
pub struct FinishedAttempt {
    /// Another endpoint answered first.
    lost: bool,
    error: Option<ErrorFields>,
    status: Option<u16>,
    ttft: Option<Duration>,
    total: Duration,
    usage: Option<Usage>,
}

impl FinishedAttempt {
    pub fn failed(error: &AttemptError, total: Duration) -> Self {
        let fields = ErrorFields {
            kind: error.kind().as_str(),
            code: error.code().to_owned(),
            message: error.to_string(),
        };
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

    /// It was raced against another endpoint, and cancelled when that answered.
    pub fn lost(total: Duration) -> Self {
        Self { lost: true, total, ..Self::default() }
    }
}

/// How the inference ended.
pub struct Outcome<'a> {
    pub status: u16,
    pub error: Option<ErrorFields>,
    pub ttft: Option<Duration>,
    /// What was answered, as far as it came.
    pub response: Option<&'a Response>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ErrorFields {
    pub kind: &'static str,
    pub code: String,
    pub message: String,
}

impl Record {
    pub fn new(gateway: Arc<Gateway>, snapshot: Arc<Snapshot>, dialect: Dialect) -> Self {
        Self {
            gateway,
            snapshot,
            id: Uuid::now_v7(),
            started: Instant::now(),
            time_unix_ms: now_unix_ms(),
            waited: Duration::ZERO,
            dialect,
            key: None,
            model: String::new(),
            function: None,
            variant: None,
            episode: None,
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

    pub fn decoded(&mut self, call: &Call) {
        self.model.clone_from(&call.model);
        self.episode = Some(call.episode);
        self.stream = call.stream;
        self.explain = call.wishes.explain;
        if self.snapshot.config.journal.content == Content::Full {
            self.request = Some(call.asked.clone());
        }
    }

    pub fn function(&mut self, name: &str) {
        self.function = Some(name.to_owned());
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
        self.attempts.push(Attempt {
            reason,
            price: endpoint.profile.price,
            id: Uuid::now_v7(),
            time_unix_ms: now_unix_ms(),
            endpoint: endpoint.name.clone(),
            started: Instant::now(),
            finished: None,
        });
        self.attempts.len() - 1
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
        let rows = self.close(word, &outcome);
        write(&self.gateway, rows).await;
    }

    /// Counting tokens asks no model: it leaves no row.
    fn is_inference(&self) -> bool {
        self.dialect != Dialect::AnthropicCountTokens
    }

    fn close(&mut self, word: &'static str, outcome: &Outcome<'_>) -> Vec<Row> {
        self.finished = true;
        let metrics = &self.gateway.metrics;
        metrics.request_finished(word, outcome.status, self.started.elapsed(), self.overhead());
        let mut rows = Vec::with_capacity(1 + self.attempts.len());
        rows.push(self.inference_row(word, outcome));
        rows.extend(
            self.attempts
                .iter()
                .zip(1u32..)
                .map(|(attempt, number)| self.attempt_row(attempt, number, word)),
        );
        rows
    }

    fn inference_row(&self, word: &'static str, outcome: &Outcome<'_>) -> Row {
        let full = self.snapshot.config.journal.content == Content::Full;
        let request = self.request.as_deref().and_then(|body| serde_json::from_slice(body).ok());
        let fields = InferenceFields {
            id: self.id,
            time_unix_ms: self.time_unix_ms,
            dialect: self.dialect.as_str(),
            key: self.key.as_deref(),
            function: self.function.as_deref(),
            variant: self.variant.as_deref(),
            model: &self.model,
            endpoint: self.answering().map(|attempt| &*attempt.endpoint),
            outcome: word,
            episode_id: self.episode,
            generation: self.snapshot.generation,
            snapshot: &self.snapshot.hash,
            stream: self.stream,
            status: outcome.status,
            usage: outcome.response.and_then(|response| response.usage.as_ref()),
            finish_reason: outcome
                .response
                .and_then(|response| response.finish_reason.clone())
                .map(String::from),
            ttft_ms: outcome.ttft.map(milliseconds),
            total_ms: milliseconds(self.started.elapsed()),
            overhead_us: u64::try_from(self.overhead().as_micros()).unwrap_or(u64::MAX),
            attempts: self.attempts.len(),
            dropped_params: &self.dropped,
            invalid_tool_calls: self.invalid_tool_calls.iter().map(InvalidCallFields::of).collect(),
            invalid_output: &self.invalid_output,
            resumed: &self.resumed,
            error: outcome.error.as_ref(),
            request: if full { request } else { None },
            response: outcome.response.filter(|_| full),
            decision: self.decision.as_ref(),
        };
        self.row(self.id, RowKind::Inference, self.time_unix_ms, &fields)
    }

    /// The attempt that the answer came from, or the last that failed.
    fn answering(&self) -> Option<&Attempt> {
        let lost = |attempt: &Attempt| attempt.finished.as_ref().is_some_and(|end| end.lost);
        let answered = self.answered.and_then(|row| self.attempts.get(row));
        answered.or_else(|| self.attempts.iter().rfind(|attempt| !lost(attempt)))
    }

    fn attempt_row(&self, attempt: &Attempt, number: u32, word: &'static str) -> Row {
        let finished = attempt.finished.as_ref();
        let error = finished.and_then(|finished| finished.error.as_ref());
        let fields = AttemptFields {
            id: attempt.id,
            inference_id: self.id,
            time_unix_ms: attempt.time_unix_ms,
            endpoint: &attempt.endpoint,
            attempt: number,
            reason: attempt.reason,
            outcome: match (finished, error) {
                (Some(finished), _) if finished.lost => LOST,
                (_, Some(_)) => "error",
                (Some(_), None) => OK,
                (None, None) => word,
            },
            status: finished.and_then(|finished| finished.status),
            ttft_ms: finished.and_then(|finished| finished.ttft).map(milliseconds),
            total_ms: milliseconds(
                finished.map_or_else(|| attempt.started.elapsed(), |finished| finished.total),
            ),
            usage: finished.and_then(|finished| finished.usage.as_ref()),
            cost_usd: attempt.cost(),
            error,
        };
        self.row(attempt.id, RowKind::ModelInference, attempt.time_unix_ms, &fields)
    }

    fn row(&self, id: Uuid, kind: RowKind, time_unix_ms: u64, fields: &impl Serialize) -> Row {
        // Plain structs of numbers, strings and parsed JSON serialize without fail.
        let json = serde_json::to_vec(fields).unwrap_or_else(|error| {
            tracing::error!(%error, "a row could not be serialized");
            b"{}".to_vec()
        });
        Row { id, kind, inference_id: self.id, time_unix_ms, json }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.finished || !self.is_inference() {
            return;
        }
        // 499 is what nginx logs for a client that went away; it is never sent.
        let outcome = Outcome { status: 499, error: None, ttft: None, response: None };
        let rows = self.close("cancelled", &outcome);
        let gateway = self.gateway.clone();
        self.gateway.tasks.spawn("record", async move { write(&gateway, rows).await });
    }
}

async fn write(gateway: &Gateway, rows: Vec<Row>) {
    if let Err(error) = gateway.journal.append(&rows).await {
        gateway.metrics.rows_lost(rows.len());
        tracing::error!(
            error = crate::error::chain(&error),
            rows = rows.len(),
            "rows could not be written to the journal"
        );
    }
}

/// For outcomes: the cause as a row keeps it.
pub fn error_fields(cause: &Cause, code: String) -> ErrorFields {
    let kind = match cause {
        Cause::Attempt(error) => error.kind().as_str(),
        Cause::AllAttempts(attempts) => {
            telling(attempts).map_or("server", |error| error.kind().as_str())
        }
        Cause::MissingKey | Cause::UnknownKey => "authentication",
        Cause::UnknownModel { .. }
        | Cause::UnknownInference(_)
        | Cause::UnknownGeneration(_)
        | Cause::UnknownResponse { .. }
        | Cause::NoResourceProvider(_)
        | Cause::NoEndpoint { by_request: true, .. }
        | Cause::NoRoute { .. } => "not_found",
        Cause::ForeignRecords { .. } => "permission",
        Cause::NoQuerySink
        | Cause::QueryUnsupported { .. }
        | Cause::StoreUnavailable(_)
        | Cause::JournalFull
        | Cause::NoEndpoint { .. } => "overloaded",
        Cause::TaskDied => "server",
        Cause::BodyTimeout(_) => "timeout",
        Cause::MethodNotAllowed { .. }
        | Cause::BodyTooLarge { .. }
        | Cause::BodyBroken(_)
        | Cause::InvalidJson(_)
        | Cause::JsonBound(_)
        | Cause::InvalidRequest { .. }
        | Cause::Template { .. } => "invalid_request",
    };
    ErrorFields { kind, code, message: crate::error::chain(cause) }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn now_unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
