//! Executes a plan: endpoint after endpoint until one answers.
//!
//! What is done next is said by `torana_routing::execution`, which the simulator runs as well;
//! here it is done. An attempt counts as answered when the whole answer, or the first batch of
//! a stream, is there and is no error. Up to then the next endpoint may be tried, or raced
//! against the one that is slow; afterwards the answer is the client's, and whoever else was
//! still asked is cancelled. One attempt is `attempt/upstream.rs`; structure that an endpoint
//! does not give itself, `attempt/structured.rs`.

mod structured;
mod upstream;

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use torana_routing::execution::{Execution, Failure, Next, Reason, Step};
use torana_routing::statistics::InFlight;
use torana_wire::chat::Request;

use super::answer::{Answer, Content};
use super::decode::{self, Call};
use super::record::{FinishedAttempt, Link, Record};
use super::resume;
use crate::config::Config;
use crate::dialect::Dialect;
use crate::error::{AttemptError, Cause, FailedAttempt};
use crate::gateway::{Ended, Gateway};
use crate::routing::plan::Plan;
use crate::snapshot::{Endpoint, Model};
pub use upstream::Ended as AttemptEnded;
use upstream::Upstream;

/// Executes the plan.
pub async fn attempt(
    gateway: &Gateway,
    config: &Config,
    plan: &Plan,
    call: Call,
    record: &mut Record,
) -> Result<Answer, Cause> {
    let mut attempts = Attempts {
        gateway,
        plan,
        record,
        running: Vec::new(),
        failed: Vec::new(),
        unreadable: None,
    };
    let payload = OnceLock::new();
    let now = Instant::now();
    let steps = plan.steps.clone();
    let mut execution = Execution::new(steps, config.routing.max_attempts, &gateway.budgets, now);
    let answered = {
        let (call, payload) = (&call, &payload);
        let mut futures: FuturesUnordered<Running<'_>> = FuturesUnordered::new();
        loop {
            match execution.next(Instant::now()) {
                Next::Start { attempt, step, reason } => {
                    let Some((endpoint, way, link)) =
                        attempts.start(attempt, step, reason, call, payload)
                    else {
                        execution.skip(attempt);
                        continue;
                    };
                    let upstream = Upstream::new(gateway, config, endpoint, link);
                    futures.push(Box::pin(async move {
                        let payload = payload.get();
                        (attempt, upstream.call(way, call, payload, step.timeout).await)
                    }));
                }
                Next::Wait(until) => {
                    let Some((attempt, ended)) = next_end(&mut futures, until).await else {
                        continue;
                    };
                    match attempts.ended(attempt, ended) {
                        Ok(answered) => {
                            execution.answered(attempt);
                            break Some(answered);
                        }
                        Err(failure) => execution.failed(attempt, failure, Instant::now()),
                    }
                }
                Next::GiveUp(why) => {
                    attempts.record.gave_up(why);
                    break None;
                }
            }
        }
    };
    attempts.lose_others();
    match answered {
        Some(answered) => Ok(answered.answer(call, rest(plan, &execution))),
        None => Err(attempts.give_up()),
    }
}

/// What is left of the plan for the model that answered.
fn rest(plan: &Plan, execution: &Execution) -> Vec<Step> {
    let attempts = execution.attempts();
    let winner = execution.winner().and_then(|winner| attempts.get(winner));
    let Some(answered) = winner.map(|attempt| attempt.step.model) else { return Vec::new() };
    let tried = |step: &Step| {
        let place = |step: &Step| (step.model, step.endpoint);
        attempts.iter().any(|attempt| place(&attempt.step) == place(step))
    };
    let left = plan.steps.iter().filter(|step| step.model == answered && !tried(step));
    left.copied().collect()
}

/// An attempt outside of a plan's execution, for an answer that has begun: see `resume`.
pub async fn translated(
    gateway: &Gateway,
    config: &Config,
    (endpoint, link): (Arc<Endpoint>, Link),
    call: &Call,
    payload: &Request,
    patience: Option<Duration>,
) -> AttemptEnded {
    let upstream = Upstream::new(gateway, config, endpoint, link);
    upstream.call(Way::Translate, call, Some(payload), patience).await
}

type Running<'a> = Pin<Box<dyn Future<Output = (usize, upstream::Ended)> + Send + 'a>>;

/// The next attempt to end; `None` when it is time to look at the plan again.
async fn next_end(
    futures: &mut FuturesUnordered<Running<'_>>,
    until: Option<Instant>,
) -> Option<(usize, upstream::Ended)> {
    match until {
        None => futures.next().await,
        Some(until) => tokio::time::timeout_at(until.into(), futures.next()).await.ok().flatten(),
    }
}

/// What is kept of the attempts while they run.
struct Attempts<'a> {
    gateway: &'a Gateway,
    plan: &'a Plan,
    record: &'a mut Record,
    running: Vec<Started>,
    failed: Vec<FailedAttempt>,
    /// Why the body could not be translated: the client's mistake, or what only an endpoint of
    /// its own dialect takes, which may come yet.
    unreadable: Option<Cause>,
}

struct Started {
    attempt: usize,
    /// Its place in the record.
    row: usize,
    model: Arc<Model>,
    position: usize,
    endpoint: Arc<Endpoint>,
    in_flight: InFlight,
}

/// An attempt that was answered.
struct Answered {
    started: Started,
    dropped: Vec<String>,
    content: Content,
}

impl Answered {
    fn answer(self, call: Call, rest: Vec<Step>) -> Answer {
        let Started { row, model, position, endpoint, in_flight, .. } = self.started;
        let Self { dropped, content, .. } = self;
        Answer { call, model, position, row, endpoint, in_flight, rest, dropped, content }
    }
}

impl Attempts<'_> {
    /// `None`: the endpoint cannot be asked this, and nothing was begun.
    fn start(
        &mut self,
        attempt: usize,
        step: Step,
        reason: Reason,
        call: &Call,
        payload: &OnceLock<Request>,
    ) -> Option<(Arc<Endpoint>, Way, Link)> {
        let model = self.plan.models.get(step.model)?.clone();
        let endpoint = model.endpoints.get(step.endpoint)?.clone();
        let mut way = Way::of(&endpoint, call);
        if way == Way::Translate {
            if let Err(cause) = read(call, payload) {
                self.unreadable = Some(cause);
                return None;
            }
        } else if resume::is_wanted(&model, step.endpoint, call)
            && read(call, payload).is_ok_and(resume::suits)
        {
            // A stream can only be gone on with by whoever writes it.
            way = Way::Translate;
        }
        let now = Instant::now();
        let can = |endpoint: &Endpoint| Way::of(endpoint, call) != Way::None;
        let mut in_flight = match endpoint.statistics.start_if_admitted(now) {
            Some(in_flight) => in_flight,
            // Another request is the probe, and there is somebody who works.
            None if self.plan.has_working_after(step, now, can) => return None,
            None => endpoint.statistics.start(now),
        };
        if !call.stream {
            in_flight.expects_whole();
        }
        self.gateway.metrics.attempt_started(reason);
        let row = self.record.attempt_started(&endpoint, reason);
        let position = step.endpoint;
        let started = Started { attempt, row, model, position, endpoint, in_flight };
        let endpoint = started.endpoint.clone();
        self.running.push(started);
        Some((endpoint, way, self.record.link(row)))
    }

    fn ended(&mut self, attempt: usize, ended: upstream::Ended) -> Result<Answered, Failure> {
        let none = Failure { may_fall_back: true, asked: false };
        let place = self.running.iter().position(|running| running.attempt == attempt);
        let started = self.running.remove(place.ok_or(none)?);
        let began = started.in_flight.started();
        let before = self.running.iter().map(|other| other.in_flight.started()).min();
        let upstream::Ended { result, waited, dropped, sent } = ended;
        match result {
            Ok(content) => {
                let beside =
                    before.map_or(Duration::ZERO, |before| began.saturating_duration_since(before));
                self.record.waited(waited + beside);
                self.record.dropped(&dropped);
                self.record.attempt_answered(started.row);
                Ok(Answered { started, dropped, content })
            }
            Err(error) => {
                // While others are asked as well, their waiting is counted by them.
                let alone = match before {
                    None => waited,
                    Some(before) => before.saturating_duration_since(began).min(waited),
                };
                self.record.waited(alone);
                Err(self.failed(started, error, sent))
            }
        }
    }

    fn failed(&mut self, started: Started, error: AttemptError, sent: bool) -> Failure {
        let Started { row, model, position, endpoint, in_flight, .. } = started;
        let asked = sent || !error.is_refusal();
        let total = in_flight.started().elapsed();
        if asked {
            let ended = Ended {
                error: Some(error.kind()),
                retry_after: error.retry_after(),
                ..Ended::default()
            };
            self.gateway.attempt_ended(&model, position, in_flight, &ended);
        }
        let may_fall_back = error.may_fall_back();
        self.record.attempt_finished(row, FinishedAttempt::failed(&error, total));
        self.failed.push(FailedAttempt { endpoint: endpoint.name.clone(), error });
        Failure { may_fall_back, asked }
    }

    /// Whoever was asked beside the one that answered.
    fn lose_others(&mut self) {
        for Started { row, endpoint, in_flight, .. } in self.running.drain(..) {
            let total = in_flight.started().elapsed();
            self.record.attempt_finished(row, FinishedAttempt::lost(total));
            self.gateway.metrics.hedge_lost(&endpoint.label);
            in_flight.lost(Instant::now());
        }
    }

    fn give_up(mut self) -> Cause {
        let last = match (self.failed.pop(), self.unreadable.take()) {
            (None, Some(unreadable)) => return unreadable,
            (None, None) => return Cause::AllAttempts(self.failed),
            (Some(last), _) => last,
        };
        if self.failed.is_empty() || !last.error.may_fall_back() {
            return last.error.into();
        }
        self.failed.push(last);
        Cause::AllAttempts(self.failed)
    }
}

/// An endpoint of the plan counts tokens itself.
pub fn can_count(plan: &Plan) -> bool {
    plan.endpoints().any(|endpoint| endpoint.speaks(Dialect::AnthropicCountTokens))
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

/// The chat payload, read once.
fn read<'a>(call: &Call, payload: &'a OnceLock<Request>) -> Result<&'a Request, Cause> {
    if let Some(read) = payload.get() {
        return Ok(read);
    }
    let read = chat_payload(call)?;
    Ok(payload.get_or_init(|| read))
}

/// What a body means to an endpoint of another dialect, without what the gateway has seen to
/// itself.
pub fn chat_payload(call: &Call) -> Result<Request, Cause> {
    let decoded = call.dialect.decode(&call.body);
    let mut payload = decoded.map_err(|wrong| decode::wrong_type(call.dialect, &wrong))?;
    if call.dialect == Dialect::OpenaiResponses {
        // Keeping it is the journal's part.
        payload.extra.shift_remove("store");
    }
    for key in &call.wishes.keys {
        payload.extra.shift_remove(*key);
    }
    Ok(payload)
}
