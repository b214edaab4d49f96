//! Random plans under random events: what holds whatever happens.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Event {
    /// Time passes: 30 of them stay within one tick of the budgets, so nothing is paid in.
    Pause(u64),
    /// Jumps to the instant that was named, if one was.
    Due,
    Skip(usize),
    Fail(usize, Failure),
    Answer(usize),
}

fn event() -> impl Strategy<Value = Event> {
    // Numbers of attempts that do not exist or have ended are part of the game.
    let attempt = 0..9_usize;
    let failure = prop_oneof![4 => Just(BUSY), 1 => Just(INVALID), 2 => Just(REFUSED)];
    prop_oneof![
        2 => (0..1_000_u64).prop_map(Event::Pause),
        4 => Just(Event::Due),
        2 => attempt.clone().prop_map(Event::Skip),
        6 => (attempt.clone(), failure).prop_map(|(attempt, failure)| Event::Fail(attempt, failure)),
        1 => attempt.prop_map(Event::Answer),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..3_usize, 0..4_usize, prop::option::of(0..2_000_u64));
    let step = step.prop_map(|(model, endpoint, hedge_after)| Step {
        model,
        endpoint,
        timeout: None,
        hedge_after: hedge_after.map(Duration::from_micros),
    });
    let ordered = |(mut steps, ordered): (Vec<Step>, bool)| {
        if ordered {
            steps.sort_by_key(|step| step.model);
        }
        steps
    };
    (prop::collection::vec(step, 0..12), any::<bool>()).prop_map(ordered)
}

/// The driver, and what it knows without asking the machine.
struct Script {
    execution: Execution,
    steps: Vec<Step>,
    max_attempts: usize,
    now: Instant,
    due: Option<Instant>,
    running: HashSet<usize>,
    started: Vec<(Step, Reason)>,
    closed: HashSet<usize>,
    /// Attempts that reached, or may have reached, their endpoint.
    asked: HashSet<usize>,
    /// Attempts other than hedges that were started after an endpoint had failed.
    after_failure: HashSet<usize>,
    asked_failed: bool,
    over: bool,
}

impl Script {
    fn new(steps: Vec<Step>, max_attempts: usize, budgets: &Budgets, now: Instant) -> Self {
        Self {
            execution: Execution::new(steps.clone(), max_attempts, budgets, now),
            steps,
            max_attempts,
            now,
            due: None,
            running: HashSet::new(),
            started: Vec::new(),
            closed: HashSet::new(),
            asked: HashSet::new(),
            after_failure: HashSet::new(),
            asked_failed: false,
            over: false,
        }
    }

    /// Asks the machine until it waits or is over.
    fn advance(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..=2 {
            match self.execution.next(self.now) {
                Next::Start { attempt, step, reason } => self.start(attempt, step, reason)?,
                Next::Wait(due) => {
                    prop_assert!(self.over || !self.running.is_empty(), "waits for nothing");
                    prop_assert!(due.is_none_or(|due| due > self.now), "waits for the past");
                    prop_assert!(due.is_some() || !self.could_hedge(), "a slow attempt is left");
                    self.due = due;
                    return Ok(());
                }
                Next::GiveUp(why) => {
                    prop_assert!(self.running.is_empty(), "gives up a running attempt");
                    prop_assert_eq!(self.execution.gave_up(), Some(why));
                    prop_assert!(self.over || self.is_true(why), "{why}");
                    self.over = true;
                    return Ok(());
                }
            }
        }
        Err(TestCaseError::fail("more than two starts in a row"))
    }

    fn start(&mut self, attempt: usize, step: Step, reason: Reason) -> Result<(), TestCaseError> {
        prop_assert!(!self.over, "starts after the end");
        prop_assert_eq!(attempt, self.started.len());
        let position = |step: &Step| self.steps.iter().position(|other| same_endpoint(other, step));
        let last = self.started.last().map(|(last, _)| position(last).unwrap());
        prop_assert!(last < position(&step), "out of order or a second time");
        prop_assert!(!self.closed.contains(&step.model), "the model is closed");
        prop_assert_eq!(reason == Reason::Hedge, self.running.len() == 1);
        if reason == Reason::Hedge {
            let of_running = |number: &usize| self.started.get(*number).unwrap().0.model;
            prop_assert!(self.running.iter().map(of_running).all(|model| model == step.model));
        } else if self.asked_failed {
            self.after_failure.insert(attempt);
        }
        self.started.push((step, reason));
        self.running.insert(attempt);
        self.asked.insert(attempt);
        prop_assert!(self.running.len() <= 2);
        prop_assert!(self.asked.len() <= self.max_attempts);
        Ok(())
    }

    fn is_true(&self, why: GiveUp) -> bool {
        let position = |step: &Step| self.steps.iter().position(|other| same_endpoint(other, step));
        let last = self.started.last().map(|(last, _)| *last);
        let untried = |step: &&Step| position(step) > last.as_ref().and_then(position);
        let of_closed_model = |step: &Step| self.closed.contains(&step.model);
        let nothing_left = self.steps.iter().filter(untried).all(of_closed_model);
        let closed = last.as_ref().is_some_and(of_closed_model);
        match why {
            GiveUp::StepsExhausted => nothing_left && !closed,
            GiveUp::NotRetryable => nothing_left && closed,
            GiveUp::RetryBudget => !nothing_left && self.asked_failed && !self.has_retries(),
            GiveUp::MaxAttempts => !nothing_left && self.asked.len() == self.max_attempts,
        }
    }

    /// One attempt runs, and nothing forbids a hedge beside it, now or later.
    fn could_hedge(&self) -> bool {
        let mut running = self.running.iter().map(|number| self.started.get(*number).unwrap().0);
        let (Some(slow), None) = (running.next(), running.next()) else { return false };
        slow.hedge_after.is_some()
            && self.next_step().is_some_and(|step| step.model == slow.model)
            && self.asked.len() < self.max_attempts
            && self.execution.budgets.hedge.balance() > 0
    }

    /// The first one that was not started, of the models that are not closed.
    fn next_step(&self) -> Option<Step> {
        let position = |step: &Step| self.steps.iter().position(|other| same_endpoint(other, step));
        let last = self.started.last().map(|(last, _)| position(last).unwrap());
        let mut open = self.steps.iter().filter(|step| !self.closed.contains(&step.model));
        open.find(|step| position(step) > last).copied()
    }

    fn has_retries(&self) -> bool {
        self.execution.budgets.retry.balance(self.now) > 0
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Pause(microseconds) => self.now += Duration::from_micros(microseconds),
            Event::Due => self.now = self.due.unwrap_or(self.now),
            Event::Skip(attempt) => {
                self.execution.skip(attempt);
                if self.running.remove(&attempt) {
                    self.asked.remove(&attempt);
                }
            }
            Event::Fail(attempt, failure) => {
                self.execution.failed(attempt, failure, self.now);
                if self.running.remove(&attempt) {
                    self.fail(attempt, failure);
                }
            }
            Event::Answer(attempt) => {
                self.execution.answered(attempt);
                if self.running.remove(&attempt) {
                    self.running.clear();
                    self.over = true;
                }
            }
        }
    }

    fn fail(&mut self, attempt: usize, failure: Failure) {
        if !failure.may_fall_back {
            self.closed.insert(self.started.get(attempt).unwrap().0.model);
        }
        if failure.asked {
            self.asked_failed = true;
        } else {
            self.asked.remove(&attempt);
        }
    }

    /// Hedges and retries that stay paid: those that asked their endpoint.
    fn spent(&self) -> (u32, u32) {
        let hedge = |attempt: &&usize| self.started.get(**attempt).unwrap().1 == Reason::Hedge;
        let hedges = self.asked.iter().filter(hedge).count();
        let retries = self.asked.intersection(&self.after_failure).count();
        (u32::try_from(hedges).unwrap(), u32::try_from(retries).unwrap())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn whatever_happens_every_execution_ends_within_its_bounds(
        steps in steps(),
        max_attempts in 0..8_usize,
        retries in 0..2_u32,
        hedges in 0..4_u32,
        events in prop::collection::vec(event(), 0..30),
        last_failure in prop_oneof![Just(BUSY), Just(INVALID), Just(REFUSED)],
    ) {
        let now = Instant::now();
        let retries = retries * 10;
        let budgets = budgets(retries, hedges, now);
        if retries > 0 {
            // Few enough to run out within one plan.
            for _ in 0..8 {
                prop_assert!(budgets.retry.withdraw(now));
            }
        }
        let held = budgets.retry.balance(now);
        let mut script = Script::new(steps, max_attempts, &budgets, now);
        script.advance()?;
        for event in events {
            script.apply(event);
            script.advance()?;
        }
        // From here on every attempt ends: so does the execution, one step at a time.
        for _ in 0..=script.steps.len() {
            if let Some(attempt) = script.running.iter().next().copied() {
                script.apply(Event::Fail(attempt, last_failure));
                script.advance()?;
            }
        }
        prop_assert!(script.over);
        let ends = (script.execution.winner().is_some(), script.execution.gave_up().is_some());
        prop_assert!(ends.0 != ends.1);
        script.now += Duration::from_secs(1);
        script.advance()?;

        let (hedged, retried) = script.spent();
        prop_assert!(hedged <= hedges);
        prop_assert_eq!(budgets.hedge.balance(), hedges - hedged);
        prop_assert_eq!(budgets.retry.balance(now), held - retried);
    }
}
