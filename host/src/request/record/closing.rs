//! A record's rows, made once, when it is closed.

use bytes::Bytes;
use serde::Serialize;
use torana_routing::price;
use uuid::Uuid;

use super::attempt::Attempt;
use super::rows::{AttemptFields, InferenceFields, InvalidCallFields};
use super::{Outcome, Record, content, milliseconds};
use crate::config::Content;
use crate::gateway::Gateway;
use crate::journal::{Row, RowKind};

/// Of the rows of a common call beside the client's and the provider's bodies, to begin with.
const INFERENCE_BYTES: usize = 4 << 10;
const ATTEMPT_BYTES: usize = 1 << 10;

impl Record {
    /// Counts the call, and makes its rows: none where nothing may be kept.
    pub(super) fn close(&mut self, word: &'static str, outcome: &Outcome<'_>) -> Vec<Row> {
        self.finished = true;
        let metrics = &self.gateway.metrics;
        metrics.request_finished(word, outcome.status, self.started.elapsed(), self.overhead());
        if self.content == Content::None {
            return Vec::new();
        }
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
        let redaction = &self.snapshot.config.journal.redaction;
        let full = self.content == Content::Full;
        let quotes = full && redaction.is_empty();
        let request = content::request(self.request.as_ref().filter(|_| full), redaction);
        let response = content::response(outcome.response.filter(|_| full), redaction);
        let remark = |text: &String| content::remark(text.clone(), quotes);
        let tags = content::tags(&self.tags, redaction);
        let cost = price::sum(self.attempts.iter().filter_map(Attempt::cost));
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
            tags: &tags,
            response_id: self.response_id.as_deref(),
            trace_id: self.trace.id,
            span_id: self.trace.span,
            parent_span_id: self.trace.parent,
            generation: self.snapshot.generation,
            snapshot: &self.snapshot.hash,
            stream: self.stream,
            status: outcome.status,
            usage: outcome.response.and_then(|response| response.usage.as_ref()),
            cost_usd: cost.map(|(dollars, _)| dollars),
            cost_source: cost.map(|(_, source)| source),
            finish_reason: outcome
                .response
                .and_then(|response| response.finish_reason.clone())
                .map(String::from),
            ttft_ms: outcome.ttft.map(milliseconds),
            total_ms: milliseconds(self.started.elapsed()),
            overhead_us: u64::try_from(self.overhead().as_micros()).unwrap_or(u64::MAX),
            attempts: self.attempts.len(),
            dropped_params: &self.dropped,
            invalid_tool_calls: self
                .invalid_tool_calls
                .iter()
                .map(|call| InvalidCallFields::of(call, quotes))
                .collect(),
            invalid_output: self.invalid_output.iter().map(remark).collect(),
            resumed: &self.resumed,
            error: outcome.error.as_ref().map(|error| error.shown(quotes)),
            content: self.content.as_str(),
            redacted: request.hides_something() || response.hides_something(),
            request,
            response,
            decision: self.decision.as_ref(),
        };
        let room = INFERENCE_BYTES + self.request.as_ref().map_or(0, Bytes::len);
        self.row(self.id, RowKind::Inference, self.time_unix_ms, room, &fields)
    }

    /// The attempt that the answer came from, or the last that failed.
    fn answering(&self) -> Option<&Attempt> {
        let answered = self.answered.and_then(|row| self.attempts.get(row));
        answered.or_else(|| self.attempts.iter().rfind(|attempt| !attempt.is_lost()))
    }

    fn attempt_row(&self, attempt: &Attempt, number: u32, word: &'static str) -> Row {
        let finished = attempt.finished.as_ref();
        let journal = &self.snapshot.config.journal;
        let full = self.content == Content::Full;
        let quotes = full && journal.redaction.is_empty();
        let taped = attempt.tape.take();
        let raw = content::raw(&taped, journal.raw_bytes, &journal.redaction);
        let lengths =
            [&raw.request, &raw.response].map(|raw| raw.as_ref().map_or(0, |it| it.len()));
        // A tenth for what JSON escapes.
        let room = ATTEMPT_BYTES + lengths.iter().sum::<usize>() * 11 / 10;
        let usage = attempt.usage();
        let cost = attempt.cost();
        let fields = AttemptFields {
            id: attempt.id,
            inference_id: self.id,
            time_unix_ms: attempt.time_unix_ms,
            key: self.key.as_deref(),
            function: self.function.as_deref(),
            variant: self.variant.as_deref(),
            model: &self.model,
            endpoint: &attempt.endpoint,
            episode_id: self.episode,
            trace_id: self.trace.id,
            span_id: attempt.span,
            stream: self.stream,
            attempt: number,
            reason: attempt.reason,
            outcome: attempt.outcome(word),
            status: finished.and_then(|finished| finished.status),
            ttft_ms: finished.and_then(|finished| finished.ttft).map(milliseconds),
            total_ms: milliseconds(
                finished.map_or_else(|| attempt.started.elapsed(), |finished| finished.total),
            ),
            usage: usage.as_ref(),
            cost_usd: cost.map(|(dollars, _)| dollars),
            cost_source: cost.map(|(_, source)| source),
            error: attempt.error().map(|error| error.shown(quotes)),
            raw_request: raw.request,
            raw_response: raw.response,
            raw_truncated: raw.is_cut,
        };
        self.row(attempt.id, RowKind::ModelInference, attempt.time_unix_ms, room, &fields)
    }

    /// `room`: bytes that the row will take, by and large.
    fn row(
        &self,
        id: Uuid,
        kind: RowKind,
        time_unix_ms: u64,
        room: usize,
        fields: &impl Serialize,
    ) -> Row {
        let mut json = Vec::with_capacity(room);
        // Plain structs of numbers, strings and parsed JSON serialize without fail.
        if let Err(error) = serde_json::to_writer(&mut json, fields) {
            tracing::error!(%error, "a row could not be serialized");
            json = b"{}".to_vec();
        }
        Row { id, kind, inference_id: self.id, time_unix_ms, json }
    }
}

/// Appends the rows of a call; returns once they are in the journal.
pub(super) async fn write(gateway: &Gateway, rows: Vec<Row>) {
    if rows.is_empty() {
        return;
    }
    gateway.write(&rows).await;
}
