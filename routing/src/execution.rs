//! The next thing to do with a plan: attempt, fallback, hedge, wait, or give up.
//!
//! Owns the order of attempts of one request; the driver (the gateway's async code or the
//! simulator) sends them and says how they end. Promises: steps start in their order, each
//! endpoint of a model at most once, at most two run at once; every further attempt is paid
//! from a budget; once an attempt has answered or the machine has given up nothing starts
//! any more; it waits without a limit only while an attempt runs. Reads no clock, and takes
//! no memory after its creation.
//!
//! A hedge goes to the same model only: another model would change what the client gets. One
//! that fails while the attempt it was for still hangs is followed by another: what made that
//! attempt worth a hedge still holds.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::budget::Budgets;

/// A hedge beside a hedge would triple the load for little: two slow endpoints at once are
/// already rare.
const MOST_RUNNING: usize = 2;

/// One endpoint to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Position among the models that the client accepts.
    pub model: usize,
    /// Position among the endpoints of that model.
    pub endpoint: usize,
    /// For the first token; the driver watches it.
    pub timeout: Option<Duration>,
    /// After its start, a hedge may join when nothing has come by then.
    pub hedge_after: Option<Duration>,
}

/// Why an attempt was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing has failed so far.
    First,
    /// Those before it failed.
    Fallback,
    /// The one before it is slow.
    Hedge,
    /// The answer of the one before it broke off. Never of a plan's execution, which ends
    /// with the answer's beginning.
    Resume,
}

/// What the driver is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Start this attempt; it runs until `skip`, `failed` or `answered` names its number.
    Start {
        attempt: usize,
        step: Step,
        reason: Reason,
    },
    /// Until an attempt ends or, where one is given, until the instant.
    Wait(Option<Instant>),
    GiveUp(GiveUp),
}

/// Why nothing further is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum GiveUp {
    #[error("no endpoint is left to try")]
    StepsExhausted,
    #[error("the failure is one that no other endpoint would mend")]
    NotRetryable,
    #[error("too many requests fail: the retry budget is used up")]
    RetryBudget,
    #[error("the number of attempts allowed for one request is reached")]
    MaxAttempts,
}

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Another endpoint of the model may do better.
    pub may_fall_back: bool,
    /// The endpoint was really asked. Otherwise the attempt does not count, and its successor
    /// costs no budget.
    pub asked: bool,
}

/// One attempt, for the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    pub step: Step,
    pub reason: Reason,
    pub started: Instant,
    /// When it failed; of other ends the driver knows more.
    pub failed: Option<Instant>,
    pub state: State,
    paid: Paid,
    hedge: Hedge,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Running,
    /// It was not started after all.
    Skipped,
    Failed(Failure),
    Answered,
    /// Another answered first.
    Lost,
}

/// The budget that an attempt was paid from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paid {
    Nothing,
    Retry,
    Hedge,
}

/// Whether a hedge may still join an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hedge {
    Open,
    /// The budget was asked: it refused, or the hedge runs.
    Closed,
}

/// What the next attempt that is not a hedge costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Price {
    Nothing,
    Token,
    /// A token was withdrawn, and the attempt it was for did not ask its endpoint.
    Paid,
}

/// The execution of one request's plan.
#[derive(Debug)]
pub struct Execution {
    /// The next one is the last.
    waiting: Vec<Step>,
    attempts: Vec<Attempt>,
    max_attempts: usize,
    budgets: Budgets,
    price: Price,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Answered(usize),
    GaveUp(GiveUp),
}

impl Execution {
    /// Pays the request's share into the budgets. A step that names an endpoint of a model a
    /// second time is left out. Hedges count as attempts.
    pub fn new(steps: Vec<Step>, max_attempts: usize, budgets: &Budgets, now: Instant) -> Self {
        budgets.deposit(now);
        let attempts = Vec::with_capacity(steps.len());
        let mut waiting: Vec<Step> = Vec::with_capacity(steps.len());
        for step in steps {
            if !waiting.iter().any(|earlier| same_endpoint(earlier, &step)) {
                waiting.push(step);
            }
        }
        waiting.reverse();
        let budgets = budgets.clone();
        Self { waiting, attempts, max_attempts, budgets, price: Price::Nothing, end: None }
    }

    /// What to do now. To be asked again after every `Start`, after everything said to the
    /// machine, and at the instant it named. After an answer it is `Wait(None)` for ever.
    pub fn next(&mut self, now: Instant) -> Next {
        match self.end {
            Some(End::Answered(_)) => return Next::Wait(None),
            Some(End::GaveUp(why)) => return Next::GiveUp(why),
            None => {}
        }
        let running = self.running().count();
        let oldest = self.running().next();
        match oldest {
            None => self.advance(now),
            Some(slow) if running < MOST_RUNNING => self.hedge(slow, now),
            Some(_) => Next::Wait(None),
        }
    }

    /// The attempt was not started after all: nothing was sent, and nothing is charged.
    pub fn skip(&mut self, attempt: usize) {
        let Some(skipped) = self.end_attempt(attempt, State::Skipped) else { return };
        match skipped.paid {
            Paid::Nothing => {}
            Paid::Retry => {
                self.budgets.retry.give_back();
                self.price = Price::Token;
            }
            Paid::Hedge => {
                self.budgets.hedge.give_back();
                self.reopen_hedges();
            }
        }
    }

    /// The attempt failed before its answer began.
    pub fn failed(&mut self, attempt: usize, failure: Failure, now: Instant) {
        let Some(failed) = self.end_attempt(attempt, State::Failed(failure)) else { return };
        if let Some(record) = self.attempts.get_mut(attempt) {
            record.failed = Some(now);
        }
        if !failure.may_fall_back {
            self.waiting.retain(|step| step.model != failed.step.model);
        }
        match (failure.asked, failed.paid) {
            (true, _) if self.price == Price::Nothing => self.price = Price::Token,
            (false, Paid::Retry) => self.price = Price::Paid,
            (false, Paid::Hedge) => self.budgets.hedge.give_back(),
            (true, _) | (false, Paid::Nothing) => {}
        }
        if failed.paid == Paid::Hedge {
            self.reopen_hedges();
        }
    }

    /// The attempt's answer began: all others that run have lost, see [`Self::losers`].
    pub fn answered(&mut self, attempt: usize) {
        if self.end_attempt(attempt, State::Answered).is_none() {
            return;
        }
        for other in &mut self.attempts {
            if other.state == State::Running {
                other.state = State::Lost;
            }
        }
        self.finish(End::Answered(attempt));
    }

    /// All attempts so far; an attempt's number is its position.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// The numbers of the attempts that run.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        self.in_state(State::Running)
    }

    /// The numbers of the attempts to cancel after an answer.
    pub fn losers(&self) -> impl Iterator<Item = usize> {
        self.in_state(State::Lost)
    }

    /// The number of the attempt that answered.
    pub fn winner(&self) -> Option<usize> {
        match self.end {
            Some(End::Answered(attempt)) => Some(attempt),
            _ => None,
        }
    }

    /// Why it gave up, if it did.
    pub fn gave_up(&self) -> Option<GiveUp> {
        match self.end {
            Some(End::GaveUp(why)) => Some(why),
            _ => None,
        }
    }

    fn in_state(&self, state: State) -> impl Iterator<Item = usize> {
        let in_state = move |(_, attempt): &(usize, &Attempt)| attempt.state == state;
        self.attempts.iter().enumerate().filter(in_state).map(|(number, _)| number)
    }

    /// Nothing runs: the next step, or the end.
    fn advance(&mut self, now: Instant) -> Next {
        let Some(step) = self.waiting.last().copied() else {
            return self.give_up(self.why_no_step_is_left());
        };
        if self.asked() >= self.max_attempts {
            return self.give_up(GiveUp::MaxAttempts);
        }
        let paid = match self.price {
            Price::Nothing => Paid::Nothing,
            Price::Paid => Paid::Retry,
            Price::Token if self.budgets.retry.withdraw(now) => Paid::Retry,
            Price::Token => return self.give_up(GiveUp::RetryBudget),
        };
        self.price = Price::Nothing;
        let failed = |attempt: &Attempt| matches!(attempt.state, State::Failed(_));
        let fallback = self.attempts.iter().any(failed);
        let reason = if fallback { Reason::Fallback } else { Reason::First };
        self.start(step, reason, paid, now)
    }

    /// One attempt runs: a second one beside it, if it is due and the budget has one.
    fn hedge(&mut self, slow: usize, now: Instant) -> Next {
        let Some((step, due)) = self.hedge_of(slow) else { return Next::Wait(None) };
        if now < due {
            return Next::Wait(Some(due));
        }
        if let Some(attempt) = self.attempts.get_mut(slow) {
            attempt.hedge = Hedge::Closed;
        }
        if self.budgets.hedge.withdraw(now) {
            self.start(step, Reason::Hedge, Paid::Hedge, now)
        } else {
            Next::Wait(None)
        }
    }

    /// The step that may join the slow attempt, and when.
    fn hedge_of(&self, slow: usize) -> Option<(Step, Instant)> {
        let slow = self.attempts.get(slow).filter(|slow| slow.hedge == Hedge::Open)?;
        let step = self.waiting.last().filter(|step| step.model == slow.step.model)?;
        let due = slow.started.checked_add(slow.step.hedge_after?)?;
        (self.asked() < self.max_attempts).then_some((*step, due))
    }

    fn start(&mut self, step: Step, reason: Reason, paid: Paid, now: Instant) -> Next {
        self.waiting.pop();
        let attempt = self.attempts.len();
        self.attempts.push(Attempt {
            step,
            reason,
            started: now,
            failed: None,
            state: State::Running,
            paid,
            hedge: Hedge::Open,
        });
        Next::Start { attempt, step, reason }
    }

    /// Attempts whose endpoint was asked, or is being asked.
    fn asked(&self) -> usize {
        let asked = |attempt: &&Attempt| match attempt.state {
            State::Skipped => false,
            State::Failed(failure) => failure.asked,
            State::Running | State::Answered | State::Lost => true,
        };
        self.attempts.iter().filter(asked).count()
    }

    /// `None` if it does not run: what is said a second time, or too late, changes nothing.
    fn end_attempt(&mut self, number: usize, state: State) -> Option<Attempt> {
        let attempt = self.attempts.get_mut(number);
        let attempt = attempt.filter(|attempt| attempt.state == State::Running)?;
        attempt.state = state;
        Some(*attempt)
    }

    /// A hedge has ended: the next step may hedge the slow attempt in its place.
    fn reopen_hedges(&mut self) {
        for attempt in &mut self.attempts {
            if attempt.state == State::Running {
                attempt.hedge = Hedge::Open;
            }
        }
    }

    fn why_no_step_is_left(&self) -> GiveUp {
        let Some(last) = self.attempts.last() else { return GiveUp::StepsExhausted };
        let closes = |attempt: &&Attempt| match attempt.state {
            State::Failed(failure) => {
                !failure.may_fall_back && attempt.step.model == last.step.model
            }
            _ => false,
        };
        match self.attempts.iter().find(closes) {
            Some(_) => GiveUp::NotRetryable,
            None => GiveUp::StepsExhausted,
        }
    }

    fn give_up(&mut self, why: GiveUp) -> Next {
        self.finish(End::GaveUp(why));
        Next::GiveUp(why)
    }

    fn finish(&mut self, end: End) {
        if self.price == Price::Paid {
            self.budgets.retry.give_back();
            self.price = Price::Token;
        }
        self.end = Some(end);
    }
}

fn same_endpoint(one: &Step, other: &Step) -> bool {
    one.model == other.model && one.endpoint == other.endpoint
}

#[cfg(test)]
mod tests;
