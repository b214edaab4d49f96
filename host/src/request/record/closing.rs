//! A record's rows, made once, when it is closed.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use torana_routing::price;
use uuid::Uuid;

use super::super::tape::Taped;
use super::attempt::Attempt;
use super::content::Shown;
use super::rows::{AttemptFields, InferenceFields, InvalidCallFields};
use super::{Outcome, Record, content, milliseconds};
use crate::config::Content;
use crate::journal::{Body, RowHead, RowKind, Rows};

/// Of the rows of a common call beside the client's and the provider's bodies, to begin with.
const INFERENCE_BYTES: usize = 4 << 10;
const ATTEMPT_BYTES: usize = 1 << 10;

impl Record {
    /// Counts the call, and makes its rows: none where nothing may be kept.
    pub(super) fn close(&mut self, word: &'static str, outcome: &Outcome<'_>) -> Option<Rows> {
        self.finished = true;
        let total = self.started.elapsed();
        let overhead = total.saturating_sub(self.waited);
        self.gateway.metrics.request_finished(word, outcome.status, total, overhead);
        if self.content == Content::None {
            return None;
        }
        let tapes: Vec<Taped> = self.attempts.iter().map(|attempt| attempt.tape.take()).collect();
        let mut rows = Rows::with_capacity(self.expected_bytes(&tapes));
        self.add_inference(&mut rows, word, outcome, total);
        for ((attempt, taped), number) in self.attempts.iter().zip(&tapes).zip(1u32..) {
            self.add_attempt(&mut rows, attempt, taped, number, word);
        }
        Some(rows)
    }

    /// What the rows will take, by and large.
    fn expected_bytes(&self, tapes: &[Taped]) -> usize {
        let journal = &self.snapshot.config.journal;
        let limit = if journal.redaction.is_empty() { journal.raw_bytes } else { 0 };
        let raw: usize = tapes.iter().map(|taped| taped.bytes(limit)).sum();
        let request = self.request.as_ref().map_or(0, Bytes::len);
        INFERENCE_BYTES + request + tapes.len() * ATTEMPT_BYTES + raw
    }

    fn add_inference(
        &self,
        all: &mut Rows,
        word: &'static str,
        outcome: &Outcome<'_>,
        total: Duration,
    ) {
        let redaction = &self.snapshot.config.journal.redaction;
        let full = self.content == Content::Full;
        let quotes = full && redaction.is_empty();
        let asked = self.request.as_ref().filter(|_| full);
        let request = content::request(asked, redaction);
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
            total_ms: milliseconds(total),
            overhead_us: u64::try_from(total.saturating_sub(self.waited).as_micros())
                .unwrap_or(u64::MAX),
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
            redacted: request.as_ref().is_some_and(Shown::hides_something)
                || response.hides_something(),
            request,
            response,
            decision: self.decision.as_ref(),
        };
        let asked = [("request", asked.map_or(Body::Null, |body| Body::Json(body)))];
        let bodies = if fields.request.is_some() { &[][..] } else { &asked };
        let head = self.head(self.id, RowKind::Inference, self.time_unix_ms);
        self.push(all, head, &fields, bodies);
    }

    /// The attempt that the answer came from, or the last that failed.
    fn answering(&self) -> Option<&Attempt> {
        let answered = self.answered.and_then(|row| self.attempts.get(row));
        answered.or_else(|| self.attempts.iter().rfind(|attempt| !attempt.is_lost()))
    }

    fn add_attempt(
        &self,
        all: &mut Rows,
        attempt: &Attempt,
        taped: &Taped,
        number: u32,
        word: &'static str,
    ) {
        let finished = attempt.finished.as_ref();
        let journal = &self.snapshot.config.journal;
        let full = self.content == Content::Full;
        let quotes = full && journal.redaction.is_empty();
        let raw = content::raw(taped, journal.raw_bytes, &journal.redaction);
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
            raw_truncated: raw.is_cut,
        };
        let bodies = [
            ("raw_request", raw.request.map_or(Body::Null, Body::Text)),
            ("raw_response", raw.response.map_or(Body::Null, Body::Text)),
        ];
        let head = self.head(attempt.id, RowKind::ModelInference, attempt.time_unix_ms);
        self.push(all, head, &fields, &bodies);
    }

    fn head(&self, id: Uuid, kind: RowKind, time_unix_ms: u64) -> RowHead {
        RowHead { id, kind, inference_id: self.id, time_unix_ms }
    }

    fn push(
        &self,
        all: &mut Rows,
        head: RowHead,
        fields: &impl Serialize,
        bodies: &[(&'static str, Body<'_>)],
    ) {
        // Plain structs of numbers, strings and parsed JSON are packed without fail.
        if let Err(error) = all.push(head, fields, bodies) {
            self.gateway.journal.count_unwritten(1);
            tracing::error!(%error, "a row could not be packed");
        }
    }
}
