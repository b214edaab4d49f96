//! Goes on with a streamed answer that broke off: the next endpoint of the model that
//! accepts a prefill is asked with the text that the client has.
//!
//! Owns whether that may be, the request that is made for it, and the attempt until it
//! answers; what the attempts say is joined by `joint`. The relay owns the stream and does
//! what is decided here. Promises: off unless the operator wrote `resume = true`; at most
//! `MOST_ATTEMPTS` a request, each paid from the retry budget and within
//! `routing.max_attempts`; no endpoint twice; never another model, whose voice and price
//! nobody chose for the middle of an answer.

mod joint;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value};
use torana_routing::execution::{Reason, Step};
use torana_routing::statistics::InFlight;
use torana_wire::chat::{Block, Message, OutputFormat, Reasoning, Request, Role};

use super::attempt::{self, AttemptEnded};
use super::decode::Call;
use super::estimate;
use super::record::Record;
use crate::error::AttemptError;
use crate::gateway::Gateway;
use crate::snapshot::{Endpoint, Model, Snapshot};
pub use joint::Joint;

/// What the comment is called that stands where another endpoint went on: headers are gone.
pub const MARK: &str = "x-torana-resumed";

/// An answer that broke off twice is one that its prompt or its length breaks.
const MOST_ATTEMPTS: usize = 2;

/// What it takes to go on with one answer.
pub struct Resume {
    gateway: Arc<Gateway>,
    snapshot: Arc<Snapshot>,
    model: Arc<Model>,
    /// Of the plan, of this model, not yet tried; in order.
    steps: Vec<Step>,
    /// Attempts that may still be made.
    left: usize,
    pub joint: Joint,
    /// The attempt that is to go on, and who makes it.
    asking: Option<(Arc<Endpoint>, Asking)>,
}

type Asking = Pin<Box<dyn Future<Output = AttemptEnded> + Send>>;

/// An attempt that was started.
pub struct Started {
    /// Its place in the record.
    pub row: usize,
    /// Position of the endpoint in the model.
    pub position: usize,
    pub in_flight: InFlight,
}

/// A call whose stream would be gone on with if it broke off at this endpoint of the model.
pub fn is_wanted(model: &Model, position: usize, call: &Call) -> bool {
    let others = model.endpoints.iter().enumerate().filter(|(other, _)| *other != position);
    model.resume
        && call.stream
        && call.dialect.is_chat()
        && !call.uses_json
        && call.previous_response.is_none()
        && others.into_iter().any(|(_, endpoint)| accepts_prefill(endpoint))
}

/// What is asked for can be gone on with. JSON that a grammar enforces begins anew with every
/// request, reasoning refuses a prefill, and of several answers one alone is known.
pub fn suits(payload: &Request) -> bool {
    let reasons = |reasoning: &Reasoning| {
        let off = reasoning.budget_tokens == Some(0);
        !off && reasoning.effort.as_deref() != Some("none")
    };
    let one = |n: &Value| n.is_null() || n.as_u64() == Some(1);
    matches!(payload.output_format, None | Some(OutputFormat::Text))
        && !payload.reasoning.as_ref().is_some_and(reasons)
        && payload.extra.get("n").is_none_or(one)
}

impl Resume {
    /// For a stream that the gateway encodes. `steps`: what is left of the model's plan.
    pub fn new(
        gateway: &Arc<Gateway>,
        snapshot: &Arc<Snapshot>,
        model: &Arc<Model>,
        steps: Vec<Step>,
        call: &Call,
    ) -> Self {
        Self {
            gateway: gateway.clone(),
            snapshot: snapshot.clone(),
            model: model.clone(),
            steps,
            left: MOST_ATTEMPTS,
            joint: Joint::new(estimate::prompt(&call.body)),
            asking: None,
        }
    }

    /// Asks the next endpoint to go on. `None`: nobody can, or may.
    pub fn ask(
        &mut self,
        broke: &AttemptError,
        call: &Call,
        record: &mut Record,
    ) -> Option<Started> {
        let max_attempts = self.snapshot.config.routing.max_attempts;
        if self.left == 0 || record.attempts() >= max_attempts || !broke.may_fall_back() {
            return None;
        }
        let prefill = self.joint.prefill()?.to_owned();
        let payload = attempt::chat_payload(call).ok().filter(suits)?;
        let now = Instant::now();
        if !self.gateway.budgets.retry.withdraw(now) {
            return None;
        }
        let Some((step, endpoint, in_flight)) = self.admitted(&prefill, now) else {
            self.gateway.budgets.retry.give_back();
            return None;
        };
        self.left -= 1;
        self.gateway.metrics.attempt_started(Reason::Resume);
        let row = record.attempt_started(&endpoint, Reason::Resume);
        let link = record.link(row);
        let parameters = &endpoint.offer.prefill_parameters;
        let payload = continued(payload, &prefill, self.joint.output_tokens(), parameters);
        let (gateway, snapshot) = (self.gateway.clone(), self.snapshot.clone());
        let (asked, call) = (endpoint.clone(), call.clone());
        let asking = Box::pin(async move {
            let config = &snapshot.config;
            let asked = (asked, link);
            attempt::translated(&gateway, config, asked, &call, &payload, step.timeout).await
        });
        self.asking = Some((endpoint, asking));
        Some(Started { row, position: step.endpoint, in_flight })
    }

    /// Waits for the attempt that was asked. Cancel safe; `None` where there is none.
    pub async fn answer(&mut self) -> Option<(Arc<Endpoint>, AttemptEnded)> {
        let (endpoint, asking) = self.asking.as_mut()?;
        let ended = asking.as_mut().await;
        let endpoint = endpoint.clone();
        self.asking = None;
        Some((endpoint, ended))
    }

    /// The next endpoint that is up and can go on after this text.
    fn admitted(&mut self, prefill: &str, now: Instant) -> Option<(Step, Arc<Endpoint>, InFlight)> {
        let model = self.model.clone();
        let endpoint = |step: &Step| model.endpoints.get(step.endpoint);
        loop {
            let can = |step: &Step| {
                prefill.is_empty() || endpoint(step).is_some_and(|it| accepts_prefill(it))
            };
            let step = self.steps.remove(self.steps.iter().position(can)?);
            let Some(endpoint) = endpoint(&step) else { continue };
            if let Some(in_flight) = endpoint.statistics.start_if_admitted(now) {
                return Some((step, endpoint.clone(), in_flight));
            }
        }
    }
}

fn accepts_prefill(endpoint: &Endpoint) -> bool {
    endpoint.offer.prefill == Some(true)
}

/// The same conversation with the assistant's words so far at its end.
fn continued(
    mut payload: Request,
    prefill: &str,
    spent: u64,
    parameters: &Map<String, Value>,
) -> Request {
    if let Some(most) = &mut payload.sampling.max_output_tokens {
        // No provider takes 0, and the answer is not over.
        *most = most.saturating_sub(spent).max(1);
    }
    if prefill.is_empty() {
        return payload;
    }
    payload.extra.extend(parameters.iter().map(|(key, value)| (key.clone(), value.clone())));
    match payload.messages.last_mut() {
        // The client's own prefill: the answer went on with it.
        Some(Message { role: Role::Assistant, blocks, .. }) => match blocks.last_mut() {
            Some(Block::Text { text, .. }) => text.push_str(prefill),
            _ => blocks.push(Block::text(prefill)),
        },
        _ => {
            let blocks = vec![Block::text(prefill)];
            payload.messages.push(Message { role: Role::Assistant, blocks, name: None });
        }
    }
    payload
}

#[cfg(test)]
mod tests;
