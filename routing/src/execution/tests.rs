#![expect(clippy::unwrap_used, reason = "tests")]
mod scripts;

use super::*;
use crate::budget::Settings;

const BUSY: Failure = Failure { may_fall_back: true, asked: true };
const INVALID: Failure = Failure { may_fall_back: false, asked: true };
const REFUSED: Failure = Failure { may_fall_back: true, asked: false };
const HEDGE_AFTER: Duration = Duration::from_millis(10);

fn step(model: usize, endpoint: usize) -> Step {
    Step { model, endpoint, timeout: None, hedge_after: Some(HEDGE_AFTER) }
}

/// `retries` and `hedges` tokens; the retries are a multiple of ten.
fn budgets(retries: u32, hedges: u32, now: Instant) -> Budgets {
    let settings = Settings {
        retry_percent: 0.0,
        retries_per_second: f64::from(retries) / 10.0,
        hedge_percent: 0.0,
        hedge_burst: f64::from(hedges),
    };
    Budgets::new(&settings, now)
}

fn execution(steps: &[(usize, usize)], budgets: &Budgets, now: Instant) -> Execution {
    let steps = steps.iter().map(|(model, endpoint)| step(*model, *endpoint)).collect();
    Execution::new(steps, 10, budgets, now)
}

fn start(attempt: usize, (model, endpoint): (usize, usize), reason: Reason) -> Next {
    Next::Start { attempt, step: step(model, endpoint), reason }
}

#[test]
fn an_answer_ends_it() {
    let now = Instant::now();
    let mut execution = execution(&[(0, 2), (0, 1)], &budgets(10, 10, now), now);
    assert_eq!(execution.next(now), start(0, (0, 2), Reason::First));
    execution.answered(0);
    assert_eq!(execution.next(now + HEDGE_AFTER), Next::Wait(None));
    assert_eq!((execution.winner(), execution.losers().count()), (Some(0), 0));
}

#[test]
fn failures_lead_through_the_steps_to_giving_up() {
    let now = Instant::now();
    let budgets = budgets(10, 10, now);
    let mut execution = execution(&[(0, 2), (0, 1)], &budgets, now);
    assert_eq!(execution.next(now), start(0, (0, 2), Reason::First));
    execution.failed(0, BUSY, now + HEDGE_AFTER);
    assert_eq!(execution.next(now), start(1, (0, 1), Reason::Fallback));
    execution.failed(1, BUSY, now);
    assert_eq!(execution.next(now), Next::GiveUp(GiveUp::StepsExhausted));
    assert_eq!(execution.gave_up(), Some(GiveUp::StepsExhausted));
    let record = execution.attempts().first().unwrap();
    assert_eq!(record.state, State::Failed(BUSY));
    assert_eq!(record.failed.unwrap() - record.started, HEDGE_AFTER);
    assert_eq!(budgets.retry.balance(now), 9);
}

#[test]
fn an_attempt_that_runs_is_waited_for_until_a_hedge_is_due() {
    let now = Instant::now();
    let mut execution = execution(&[(0, 0), (0, 1), (0, 2)], &budgets(0, 10, now), now);
    assert_eq!(execution.next(now), start(0, (0, 0), Reason::First));
    let due = now + HEDGE_AFTER;
    assert_eq!(execution.next(now), Next::Wait(Some(due)));
    assert_eq!(execution.next(due - Duration::from_nanos(1)), Next::Wait(Some(due)));
    assert_eq!(execution.next(due), start(1, (0, 1), Reason::Hedge));
    assert_eq!(execution.next(due + HEDGE_AFTER), Next::Wait(None), "two run at most");
    execution.answered(1);
    assert_eq!(execution.losers().collect::<Vec<_>>(), [0]);
    execution.failed(0, BUSY, due);
    execution.answered(0);
    assert_eq!(execution.winner(), Some(1), "the loser's end comes too late");
}

#[test]
fn while_another_runs_a_failure_is_waited_out() {
    let now = Instant::now();
    let budgets = budgets(10, 1, now);
    let mut execution = execution(&[(0, 0), (0, 1), (0, 2)], &budgets, now);
    let due = now + HEDGE_AFTER;
    let (_first, hedge) = (execution.next(now), execution.next(due));
    assert_eq!(hedge, start(1, (0, 1), Reason::Hedge));
    execution.failed(1, BUSY, due);
    assert_eq!(execution.next(due), Next::Wait(None), "no hedge is left to pay");
    execution.failed(0, BUSY, due);
    assert_eq!(execution.next(due), start(2, (0, 2), Reason::Fallback));
    assert_eq!(budgets.retry.balance(due), 9, "one start, one token");
}

#[test]
fn a_hedge_that_fails_is_followed_by_another_while_the_first_still_hangs() {
    let now = Instant::now();
    let budgets = budgets(10, 2, now);
    let mut execution = execution(&[(0, 0), (0, 1), (0, 2), (0, 3)], &budgets, now);
    let due = now + HEDGE_AFTER;
    let (_first, hedge) = (execution.next(now), execution.next(due));
    assert_eq!(hedge, start(1, (0, 1), Reason::Hedge));
    execution.failed(1, BUSY, due);
    assert_eq!(execution.next(due), start(2, (0, 2), Reason::Hedge), "it was due long ago");
    assert_eq!(execution.next(due), Next::Wait(None), "two run at most");
    execution.failed(2, BUSY, due);
    assert_eq!(execution.next(due), Next::Wait(None), "each takes its token");
    assert_eq!((budgets.hedge.balance(), budgets.retry.balance(due)), (0, 10));
}

#[test]
fn hedges_that_fail_stop_at_the_attempts_allowed() {
    let now = Instant::now();
    let budgets = budgets(10, 10, now);
    let steps = vec![step(0, 0), step(0, 1), step(0, 2), step(0, 3)];
    let mut execution = Execution::new(steps, 3, &budgets, now);
    let due = now + HEDGE_AFTER;
    let _first = execution.next(now);
    for hedge in [1, 2] {
        assert_eq!(execution.next(due), start(hedge, (0, hedge), Reason::Hedge));
        execution.failed(hedge, BUSY, due);
    }
    assert_eq!(execution.next(due), Next::Wait(None));
    assert_eq!(budgets.hedge.balance(), 8);
}

#[test]
fn a_hedge_left_alone_may_be_hedged_itself() {
    let now = Instant::now();
    let mut execution = execution(&[(0, 0), (0, 1), (0, 2)], &budgets(10, 2, now), now);
    let due = now + HEDGE_AFTER;
    let (_first, _hedge) = (execution.next(now), execution.next(due));
    execution.failed(0, BUSY, due);
    assert_eq!(execution.next(due), Next::Wait(Some(due + HEDGE_AFTER)));
    assert_eq!(execution.next(due + HEDGE_AFTER), start(2, (0, 2), Reason::Hedge));
}

#[test]
fn a_refused_hedge_is_not_asked_for_again() {
    let now = Instant::now();
    let budgets = budgets(10, 1, now);
    assert!(budgets.hedge.withdraw(now));
    let mut execution = execution(&[(0, 0), (0, 1)], &budgets, now);
    let due = now + HEDGE_AFTER;
    let _first = execution.next(now);
    assert_eq!(execution.next(due), Next::Wait(None));
    budgets.hedge.give_back();
    assert_eq!(execution.next(due), Next::Wait(None));
    assert_eq!(budgets.hedge.balance(), 1);
}

#[test]
fn no_hedge_goes_to_another_model_or_beyond_the_attempts() {
    let now = Instant::now();
    let budgets = budgets(10, 10, now);
    let mut other_model = execution(&[(0, 0), (1, 0)], &budgets, now);
    let _first = other_model.next(now);
    assert_eq!(other_model.next(now + HEDGE_AFTER), Next::Wait(None));
    let mut one_attempt = Execution::new(vec![step(0, 0), step(0, 1)], 1, &budgets, now);
    let _first = one_attempt.next(now);
    assert_eq!(one_attempt.next(now + HEDGE_AFTER), Next::Wait(None));
    one_attempt.failed(0, BUSY, now);
    assert_eq!(one_attempt.next(now), Next::GiveUp(GiveUp::MaxAttempts));
    assert_eq!(budgets.hedge.balance(), 10);
}

#[test]
fn a_failure_of_the_request_goes_on_with_the_next_model() {
    let now = Instant::now();
    let budgets = budgets(10, 10, now);
    let mut execution = execution(&[(0, 0), (0, 1), (1, 0), (0, 2)], &budgets, now);
    let _first = execution.next(now);
    execution.failed(0, INVALID, now);
    assert_eq!(execution.next(now), start(1, (1, 0), Reason::Fallback));
    execution.failed(1, BUSY, now);
    assert_eq!(execution.next(now), Next::GiveUp(GiveUp::StepsExhausted));
}

#[test]
fn a_failure_of_the_request_says_so() {
    let now = Instant::now();
    let mut execution = execution(&[(0, 0), (0, 1), (0, 2)], &budgets(10, 10, now), now);
    let (_first, _hedge) = (execution.next(now), execution.next(now + HEDGE_AFTER));
    execution.failed(0, INVALID, now);
    assert_eq!(execution.next(now + 2 * HEDGE_AFTER), Next::Wait(None), "hedges none");
    execution.failed(1, BUSY, now);
    assert_eq!(execution.next(now), Next::GiveUp(GiveUp::NotRetryable));
}

#[test]
fn without_a_retry_token_the_failure_stands() {
    let now = Instant::now();
    let budgets = budgets(0, 0, now);
    let mut execution = execution(&[(0, 0), (0, 1)], &budgets, now);
    let _first = execution.next(now);
    execution.failed(0, BUSY, now);
    assert_eq!(execution.next(now), Next::GiveUp(GiveUp::RetryBudget));
    budgets.retry.give_back();
    assert_eq!(execution.next(now), Next::GiveUp(GiveUp::RetryBudget), "it is final");
}

#[test]
fn a_skipped_step_costs_nothing_and_the_next_one_takes_its_part() {
    let now = Instant::now();
    let budgets = budgets(10, 1, now);
    let mut execution = execution(&[(0, 0), (0, 1), (0, 2), (0, 3), (0, 4)], &budgets, now);
    let due = now + HEDGE_AFTER;
    let _first = execution.next(now);
    execution.skip(0);
    assert_eq!(execution.next(now), start(1, (0, 1), Reason::First));
    assert_eq!(execution.next(due), start(2, (0, 2), Reason::Hedge));
    execution.skip(2);
    assert_eq!(budgets.hedge.balance(), 1);
    assert_eq!(execution.next(due), start(3, (0, 3), Reason::Hedge));
    execution.failed(3, BUSY, due);
    execution.failed(1, BUSY, due);
    assert_eq!(execution.next(due), start(4, (0, 4), Reason::Fallback));
    execution.skip(4);
    assert_eq!(budgets.retry.balance(due), 10);
    assert_eq!(execution.next(due), Next::GiveUp(GiveUp::StepsExhausted));
}

#[test]
fn a_step_that_asked_nobody_is_followed_at_its_own_expense() {
    let now = Instant::now();
    let budgets = budgets(10, 0, now);
    let mut execution = execution(&[(0, 0), (0, 1), (0, 2), (0, 3)], &budgets, now);
    let _first = execution.next(now);
    execution.failed(0, REFUSED, now);
    assert_eq!(execution.next(now), start(1, (0, 1), Reason::Fallback));
    assert_eq!(budgets.retry.balance(now), 10, "nobody was asked so far");
    execution.failed(1, BUSY, now);
    assert_eq!(execution.next(now), start(2, (0, 2), Reason::Fallback));
    while budgets.retry.withdraw(now) {}
    execution.failed(2, REFUSED, now);
    assert_eq!(execution.next(now), start(3, (0, 3), Reason::Fallback), "on that token");
    execution.failed(3, REFUSED, now);
    assert_eq!(execution.next(now), Next::GiveUp(GiveUp::StepsExhausted));
    assert_eq!(budgets.retry.balance(now), 1, "which nobody used in the end");
}

#[test]
fn a_token_that_asked_nobody_survives_the_failure_of_a_hedge() {
    let now = Instant::now();
    let budgets = budgets(10, 1, now);
    let mut execution = execution(&[(0, 0), (0, 1), (0, 2), (0, 3)], &budgets, now);
    let _first = execution.next(now);
    execution.failed(0, BUSY, now);
    let (_retry, hedge) = (execution.next(now), execution.next(now + HEDGE_AFTER));
    assert_eq!(hedge, start(2, (0, 2), Reason::Hedge));
    execution.failed(1, REFUSED, now);
    execution.failed(2, BUSY, now);
    assert_eq!(execution.next(now), start(3, (0, 3), Reason::Fallback));
    assert_eq!(budgets.retry.balance(now), 9, "two starts, one endpoint asked on a retry");
}

#[test]
fn an_empty_plan_and_a_plan_that_repeats_itself_end() {
    let now = Instant::now();
    let budgets = budgets(10, 10, now);
    assert_eq!(execution(&[], &budgets, now).next(now), Next::GiveUp(GiveUp::StepsExhausted));
    let mut twice = execution(&[(0, 0), (0, 0)], &budgets, now);
    let _first = twice.next(now);
    assert_eq!(twice.next(now + HEDGE_AFTER), Next::Wait(None), "never beside itself");
    twice.failed(0, BUSY, now);
    assert_eq!(twice.next(now), Next::GiveUp(GiveUp::StepsExhausted));
}

#[test]
fn every_request_pays_its_share_in() {
    let now = Instant::now();
    let budgets = Budgets::new(&Settings::default(), now);
    (0..5).for_each(|_| drop(execution(&[(0, 0)], &budgets, now)));
    assert_eq!(budgets.retry.balance(now), 101);
}
