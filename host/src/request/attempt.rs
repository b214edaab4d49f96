//! Executes a plan: endpoint after endpoint until one answers.
//!
//! An attempt counts as answered when the whole answer, or the first batch of a stream, is
//! there and is no error. Up to then the next endpoint may be tried; afterwards the answer
//! is the client's. Only failures that another endpoint may help go on
//! ([`may_fall_back`](crate::error::AttemptError::may_fall_back)); each endpoint is tried once.
//! One attempt is `attempt/upstream.rs`; structure that an endpoint does not give itself,
//! `attempt/structured.rs`.

mod structured;
mod upstream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use torana_wire::chat::Request;

use super::answer::Answer;
use super::decode::{self, Call};
use super::record::{FinishedAttempt, Record};
use crate::config::Config;
use crate::dialect::Dialect;
use crate::error::{Cause, FailedAttempt};
use crate::gateway::Gateway;
use crate::routing::breaker;
use crate::routing::plan::{Plan, Step};
use crate::routing::statistics::Observation;
use crate::snapshot::{Endpoint, Model};
use upstream::Upstream;

/// Executes the plan.
pub async fn attempt(
    gateway: &Gateway,
    config: &Config,
    model: &Arc<Model>,
    plan: &Plan,
    call: Call,
    record: &mut Record,
) -> Result<Answer, Cause> {
    let mut failed: Vec<FailedAttempt> = Vec::new();
    let mut payload = None;
    let mut unreadable = None;
    for step in closed_first(model, &plan.steps) {
        let Some(endpoint) = model.endpoints.get(step.endpoint).cloned() else { continue };
        let way = Way::of(&endpoint, &call);
        if payload.is_none() && way == Way::Translate {
            match chat_payload(&call) {
                Ok(read) => payload = Some(read),
                // No attempt: the client's mistake, or what only an endpoint of its own dialect
                // takes, which may come yet.
                Err(cause) => {
                    unreadable = Some(cause);
                    continue;
                }
            }
        }
        let in_flight = endpoint.statistics.start();
        record.attempt_started(&endpoint);
        let mut upstream = Upstream {
            gateway,
            config,
            endpoint: &endpoint,
            started: Instant::now(),
            waited: Duration::ZERO,
            dropped: Vec::new(),
            sent: false,
            best: None,
            bans_calls: false,
        };
        let result = upstream.call(way, &call, payload.as_ref(), step.timeout).await;
        record.waited(upstream.waited);
        let dropped = std::mem::take(&mut upstream.dropped);
        let sent = upstream.sent;
        match result {
            Ok(content) => {
                record.dropped(&dropped);
                let position = step.endpoint;
                let model = model.clone();
                return Ok(Answer { call, model, position, endpoint, in_flight, dropped, content });
            }
            Err(error) => {
                let total = in_flight.started().elapsed();
                if sent || !error.is_refusal() {
                    let error = Some(error.kind());
                    let observation = Observation { ttft: None, total, output_tokens: 0, error };
                    in_flight.observe(&observation);
                    gateway.observe(model, step.endpoint, &observation, None);
                }
                let last = !error.may_fall_back();
                record.attempt_finished(FinishedAttempt::failed(&error, total));
                failed.push(FailedAttempt { endpoint: endpoint.name.clone(), error });
                if last {
                    break;
                }
            }
        }
    }
    Err(match unreadable {
        Some(cause) if failed.is_empty() => cause,
        _ => give_up(failed),
    })
}

/// An endpoint of the plan counts tokens itself.
pub fn can_count(model: &Model, plan: &Plan) -> bool {
    let endpoints = plan.steps.iter().filter_map(|step| model.endpoints.get(step.endpoint));
    endpoints.into_iter().any(|endpoint| endpoint.speaks(Dialect::AnthropicCountTokens))
}

/// How a call reaches an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The endpoint has the client's own route: its own bytes.
    Forward,
    /// Through the chat payload.
    Translate,
    /// Embeddings through the adapter.
    Embed,
    /// Neither.
    None,
}

impl Way {
    fn of(endpoint: &Endpoint, call: &Call) -> Self {
        let dialect = call.dialect;
        if endpoint.speaks(dialect) && !call.sealed {
            return Self::Forward;
        }
        match dialect {
            Dialect::OpenaiEmbeddings if endpoint.info.embeddings => Self::Embed,
            Dialect::OpenaiEmbeddings | Dialect::AnthropicCountTokens => Self::None,
            _ => Self::Translate,
        }
    }
}

fn give_up(mut failed: Vec<FailedAttempt>) -> Cause {
    match failed.pop() {
        Some(last) if failed.is_empty() || !last.error.may_fall_back() => last.error.into(),
        Some(last) => {
            failed.push(last);
            Cause::AllAttempts(failed)
        }
        None => Cause::AllAttempts(failed),
    }
}

/// The plan's order, endpoints with an open breaker last.
fn closed_first(model: &Model, steps: &[Step]) -> Vec<Step> {
    let now = |step: &&Step| {
        model
            .endpoints
            .get(step.endpoint)
            .is_none_or(|endpoint| endpoint.statistics.breaker() != breaker::State::Open)
    };
    let (mut closed, open): (Vec<&Step>, Vec<&Step>) = steps.iter().partition(now);
    closed.extend(open);
    closed.into_iter().copied().collect()
}

/// What a body means to an endpoint of another dialect, without what the gateway has seen to
/// itself.
fn chat_payload(call: &Call) -> Result<Request, Cause> {
    let decoded = call.dialect.decode(&call.body);
    let mut payload = decoded.map_err(|wrong| decode::wrong_type(call.dialect, &wrong))?;
    if call.dialect == Dialect::OpenaiResponses {
        // Keeping it is the journal's part.
        payload.extra.shift_remove("store");
    }
    Ok(payload)
}
