//! The life of one request: attempts, first token, last token, end.
//!
//! What is done next is the execution's decision, the same as in the gateway; what comes of it
//! is the world's. Each way out of here gives back what is in flight and counts the request
//! once.

use std::time::Duration;

use torana_routing::execution::{Execution, Failure, Next, Reason, Step};
use torana_routing::policy::Outcome;
use torana_routing::statistics::{Ending, InFlight};
use torana_wire::chat::Usage;
use torana_wire::error::CallErrorKind;

use super::{Event, Run, What};
use crate::outage::Attempted;
use crate::scenario::Arrival;
use crate::tally::Ended;
use crate::world::{Answer, Fate};

/// A request under way.
pub(super) struct Live {
    arrival: Arrival,
    had_room: bool,
    execution: Execution,
    /// By the number that the execution gave them.
    attempts: Vec<Attempt>,
    /// When it is woken next, as far as that was asked for.
    wake: Option<Duration>,
    ttft: Option<Duration>,
    cost_usd: f64,
    refused: u32,
    hedges: u32,
    last_error: CallErrorKind,
}

/// One attempt of it.
struct Attempt {
    endpoint: usize,
    started: Duration,
    fate: Fate,
    /// The timeout of its step comes before anything else.
    times_out: bool,
    /// Position in `Run::attempted`.
    logged: usize,
    /// Absent: it is over.
    in_flight: Option<InFlight>,
}

impl Run<'_, '_> {
    pub(super) fn handle(&mut self, event: Event) {
        self.gateway.advance(event.at);
        let Some(mut live) = self.live.get_mut(event.request).and_then(Option::take) else {
            // It ended before: a timer or a cancelled attempt of it was left over.
            return;
        };
        let goes_on = match event.what {
            What::Settled { attempt } => self.settled(event.request, &mut live, attempt, event.at),
            What::Ended { attempt } => self.stream_ended(&mut live, attempt, event.at),
            What::Wake if live.wake == Some(event.at) => {
                live.wake = None;
                self.drive(event.request, &mut live, event.at)
            }
            What::Wake => true,
        };
        self.put_back(event.request, live, goes_on);
    }

    pub(super) fn arrive(&mut self, request: usize, arrival: &Arrival) {
        let steps = self.gateway.plan(&self.world, request, arrival, arrival.at);
        let max_attempts = self.scenario.limits.max_attempts;
        let now = self.clock.instant(arrival.at);
        let mut live = Box::new(Live {
            arrival: *arrival,
            had_room: self.world.has_room(arrival.at),
            execution: Execution::new(steps, max_attempts, &self.gateway.budgets, now),
            attempts: Vec::with_capacity(1),
            wake: None,
            ttft: None,
            cost_usd: 0.0,
            refused: 0,
            hedges: 0,
            last_error: CallErrorKind::Overloaded,
        });
        let goes_on = self.drive(request, &mut live, arrival.at);
        self.put_back(request, live, goes_on);
    }

    fn put_back(&mut self, request: usize, live: Box<Live>, goes_on: bool) {
        if goes_on && let Some(place) = self.live.get_mut(request) {
            *place = Some(live);
        }
    }

    /// Does what the execution asks for, until it waits. False: the request has ended.
    fn drive(&mut self, request: usize, live: &mut Live, now: Duration) -> bool {
        loop {
            match live.execution.next(self.clock.instant(now)) {
                Next::Start { attempt: _, step, reason } => {
                    self.start(request, live, step, reason, now);
                }
                Next::Wait(None) => return true,
                Next::Wait(Some(until)) => {
                    let until = self.clock.virtual_time(until);
                    if live.wake != Some(until) {
                        live.wake = Some(until);
                        self.schedule(until, request, What::Wake);
                    }
                    return true;
                }
                Next::GiveUp(_) => {
                    self.end(live, Some(live.last_error), Duration::ZERO, now);
                    return false;
                }
            }
        }
    }

    fn start(
        &mut self,
        request: usize,
        live: &mut Live,
        step: Step,
        reason: Reason,
        now: Duration,
    ) {
        let endpoint = step.endpoint;
        let in_flight = self.gateway.start(endpoint, now);
        let fate = self.world.begin(request, endpoint, now);
        let after = match fate {
            Fate::Refused { after, .. } | Fate::Failed { after, .. } => after,
            Fate::Answered(answer) => answer.ttft,
        };
        let timeout = step.timeout.unwrap_or(self.scenario.limits.first_token_timeout);
        let attempt = live.attempts.len();
        self.schedule(now + after.min(timeout), request, What::Settled { attempt });
        let times_out = timeout < after;
        let logged = self.attempted.len();
        live.attempts.push(Attempt { endpoint, started: now, fate, times_out, logged, in_flight });
        live.hedges += u32::from(reason == Reason::Hedge);
        live.refused += u32::from(matches!(fate, Fate::Refused { .. }));
        let first = attempt == 0;
        self.attempted.push(Attempted { endpoint, started: now, first, first_token: None });
    }

    /// First token, failure or timeout. False: the request has ended.
    fn settled(&mut self, request: usize, live: &mut Live, number: usize, now: Duration) -> bool {
        let Some(attempt) = live.attempts.get_mut(number) else { return true };
        let (error, retry_after, cost_usd) = match attempt.fate {
            _ if attempt.in_flight.is_none() => return true,
            Fate::Answered(answer) if !attempt.times_out => {
                self.first_token(request, live, number, answer, now);
                return true;
            }
            Fate::Answered(answer) => (CallErrorKind::Timeout, None, answer.prompt_cost_usd),
            _ if attempt.times_out => (CallErrorKind::Timeout, None, 0.0),
            Fate::Failed { error, .. } => (error, None, 0.0),
            Fate::Refused { retry_after, .. } => (CallErrorKind::RateLimited, retry_after, 0.0),
        };
        let ending = Ending { error: Some(error), retry_after, output_tokens: 0, cost_usd };
        self.finish(attempt, &ending, None, Usage::default(), now);
        live.cost_usd += cost_usd;
        live.last_error = error;
        let failure = Failure { may_fall_back: true, asked: true };
        live.execution.failed(number, failure, self.clock.instant(now));
        self.drive(request, live, now)
    }

    fn first_token(
        &mut self,
        request: usize,
        live: &mut Live,
        number: usize,
        answer: Answer,
        now: Duration,
    ) {
        live.ttft = Some(now.saturating_sub(live.arrival.at));
        live.execution.answered(number);
        for (position, attempt) in live.attempts.iter_mut().enumerate() {
            if position != number {
                live.cost_usd += self.cancel(attempt, now);
            } else if let Some(in_flight) = &mut attempt.in_flight {
                in_flight.first_token(self.clock.instant(now));
                if let Some(logged) = self.attempted.get_mut(attempt.logged) {
                    logged.first_token = Some(now);
                }
            }
        }
        self.schedule(now + answer.stream, request, What::Ended { attempt: number });
    }

    /// The loser of a hedge, if it still runs: US dollars that it cost.
    fn cancel(&mut self, attempt: &mut Attempt, now: Duration) -> f64 {
        let Some(in_flight) = attempt.in_flight.take() else { return 0.0 };
        in_flight.lost(self.clock.instant(now));
        self.world.end(attempt.endpoint, &attempt.fate);
        match attempt.fate {
            Fate::Answered(answer) => answer.prompt_cost_usd,
            Fate::Refused { .. } | Fate::Failed { .. } => 0.0,
        }
    }

    /// Always false: with its stream the request has ended.
    fn stream_ended(&mut self, live: &mut Live, number: usize, now: Duration) -> bool {
        let Some(attempt) = live.attempts.get_mut(number) else { return true };
        let Fate::Answered(answer) = attempt.fate else { return true };
        let error = answer.cut.then_some(CallErrorKind::Server);
        let (output_tokens, cost_usd) = (answer.usage.output, answer.cost_usd);
        let ending = Ending { error, retry_after: None, output_tokens, cost_usd };
        self.finish(attempt, &ending, Some(answer.ttft), answer.usage, now);
        if error.is_none() {
            self.world.answered(&live.arrival, attempt.endpoint, now);
            self.gateway.remember(&live.arrival, attempt.endpoint, now);
        }
        live.cost_usd += cost_usd;
        self.end(live, error, answer.stream, now);
        false
    }

    /// The attempt is over: in the world, in the statistics and for the policy.
    fn finish(
        &mut self,
        attempt: &mut Attempt,
        ending: &Ending,
        ttft: Option<Duration>,
        usage: Usage,
        now: Duration,
    ) {
        let Some(in_flight) = attempt.in_flight.take() else { return };
        in_flight.finished(ending, self.clock.instant(now));
        self.world.end(attempt.endpoint, &attempt.fate);
        let milliseconds = |span: Duration| span.as_secs_f64() * 1e3;
        self.gateway.note(Outcome {
            endpoint: u32::try_from(attempt.endpoint).unwrap_or(u32::MAX),
            now_unix_ms: self.clock.unix_ms(now),
            error: ending.error,
            ttft_ms: ttft.map_or(0.0, milliseconds),
            total_ms: milliseconds(now.saturating_sub(attempt.started)),
            usage,
        });
    }

    /// The request is over.
    fn end(&mut self, live: &Live, error: Option<CallErrorKind>, stream: Duration, now: Duration) {
        let values = self.scenario.values;
        let at = live.arrival.at;
        let waited = live.ttft.unwrap_or(now.saturating_sub(at)).as_secs_f64();
        let penalty = if error.is_some() { values.failure_penalty_s } else { 0.0 };
        let mut harmful = self.scenario.faults.iter().filter(|fault| fault.kind.harms());
        self.ended.push(Ended {
            in_brown_out: harmful.any(|fault| fault.covers(at)),
            ttft: live.ttft,
            error,
            had_room: live.had_room && self.world.has_room(now),
            cost_usd: live.cost_usd,
            utility_usd: live.cost_usd
                + values.ttft_usd_per_s * (waited + penalty)
                + values.stream_usd_per_s * stream.as_secs_f64(),
            attempts: u32::try_from(live.attempts.len()).unwrap_or(u32::MAX),
            refused: live.refused,
            hedges: live.hedges,
        });
    }
}
