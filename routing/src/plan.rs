//! From what a policy says to what is executed.
//!
//! A policy proposes; the host keeps its own rules whatever the policy is: nothing unknown,
//! repeated or ineligible is tried, and what is known to refuse comes last. Nothing eligible
//! that the policy named is dropped: an open endpoint is still better than no answer. Depends
//! on the plan and the rows alone, so a decision replays from its record.

use std::time::Duration;

use crate::execution::Step;
use crate::policy::{Breaker, Candidate, Plan};

/// The steps of one model. `candidates` are the rows the policy saw, at the positions that
/// its plan names. An empty plan, or one of which nothing is left, means priority order.
pub fn steps(plan: &Plan, candidates: &[Candidate], model: usize) -> (Vec<Step>, Vec<Moved>) {
    let mut steps: Vec<Step> = Vec::with_capacity(plan.steps.len().min(candidates.len()));
    for step in &plan.steps {
        let endpoint = step.endpoint as usize;
        let eligible = candidates.get(endpoint).is_some_and(|candidate| candidate.eligible);
        if eligible && !steps.iter().any(|planned| planned.endpoint == endpoint) {
            let milliseconds = |count: u32| Duration::from_millis(count.into());
            let timeout = (step.timeout_ms > 0).then(|| milliseconds(step.timeout_ms));
            let hedge_after = step.hedge_after_ms.map(milliseconds);
            steps.push(Step { model, endpoint, timeout, hedge_after });
        }
    }
    if steps.is_empty() {
        return priority(candidates, model);
    }
    let moved = usable_first(&mut steps, candidates);
    (steps, moved)
}

/// The eligible endpoints in the order they are written, as far as they are usable.
pub fn priority(candidates: &[Candidate], model: usize) -> (Vec<Step>, Vec<Moved>) {
    let eligible = candidates.iter().enumerate().filter(|(_, candidate)| candidate.eligible);
    let step = |(endpoint, _)| Step { model, endpoint, timeout: None, hedge_after: None };
    let mut steps: Vec<Step> = eligible.map(step).collect();
    let moved = usable_first(&mut steps, candidates);
    (steps, moved)
}

/// Moves to the end what is known to refuse: behind an open breaker, at the concurrency it
/// was seen to take, or asking to be left alone. Otherwise the order stays.
///
/// A half-open endpoint keeps the first place if it has it, for that request is its probe.
/// In any other place it would take a request that just failed elsewhere.
fn usable_first(steps: &mut [Step], candidates: &[Candidate]) -> Vec<Moved> {
    let first = steps.first().map(|step| step.endpoint);
    let why = |step: &Step| {
        let candidate = candidates.get(step.endpoint)?;
        unusable(candidate, first == Some(step.endpoint))
    };
    let before: Vec<usize> = steps.iter().map(|step| step.endpoint).collect();
    // Stable; `false` comes before `true`.
    steps.sort_by_key(|step| why(step).is_some());
    let moved = steps.iter().zip(before).filter(|(step, before)| step.endpoint != *before);
    let moved =
        moved.filter_map(|(step, _)| Some(Moved { endpoint: step.endpoint, why: why(step)? }));
    moved.collect()
}

/// An endpoint that was put last, by its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    pub endpoint: usize,
    pub why: Unusable,
}

/// Why an endpoint is known to refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    BreakerOpen,
    /// Its probe is for a request that is sent there first.
    HalfOpen,
    AtCap,
    RetryAfter,
}

/// `first`: it would be the first to be tried.
pub fn unusable(candidate: &Candidate, first: bool) -> Option<Unusable> {
    match candidate.breaker {
        Breaker::Open => return Some(Unusable::BreakerOpen),
        Breaker::HalfOpen if !first => return Some(Unusable::HalfOpen),
        Breaker::Closed | Breaker::HalfOpen => {}
    }
    if candidate.back_off_ms > 0 {
        return Some(Unusable::RetryAfter);
    }
    let is_full = candidate.learned_cap > 0 && candidate.in_flight >= candidate.learned_cap;
    is_full.then_some(Unusable::AtCap)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy;

    fn up() -> Candidate {
        Candidate { eligible: true, ..Candidate::default() }
    }

    fn with(breaker: Breaker) -> Candidate {
        Candidate { breaker, ..up() }
    }

    fn plan(endpoints: &[u32]) -> Plan {
        let step = |&endpoint| policy::Step { endpoint, ..policy::Step::default() };
        Plan { steps: endpoints.iter().map(step).collect(), scores: vec![] }
    }

    fn order(endpoints: &[u32], candidates: &[Candidate]) -> Vec<usize> {
        steps(&plan(endpoints), candidates, 0).0.iter().map(|step| step.endpoint).collect()
    }

    #[test]
    fn a_plan_keeps_its_order_less_what_is_unknown_repeated_or_ineligible() {
        let candidates = [up(), Candidate::default(), up()];
        assert_eq!(order(&[2, 2, 1, 9, 0], &candidates), [2, 0]);
    }

    #[test]
    fn an_empty_plan_means_priority_order() {
        let candidates = [up(), Candidate::default(), up()];
        assert_eq!(order(&[], &candidates), [0, 2]);
        assert_eq!(order(&[1], &candidates), [0, 2]);
        assert_eq!(order(&[0], &[Candidate::default()]), [] as [usize; 0]);
    }

    #[test]
    fn priority_order_too_tries_what_is_down_last() {
        assert_eq!(order(&[], &[with(Breaker::Open), up(), up()]), [1, 2, 0]);
    }

    #[test]
    fn what_is_known_to_refuse_comes_last_in_the_order_of_the_plan() {
        let at_cap = Candidate { in_flight: 4, learned_cap: 4, ..up() };
        let below_cap = Candidate { in_flight: 3, learned_cap: 4, ..up() };
        let backing_off = Candidate { back_off_ms: 1, ..up() };
        let candidates = [with(Breaker::Open), at_cap, backing_off, below_cap, up()];
        assert_eq!(order(&[2, 0, 1, 4, 3], &candidates), [4, 3, 2, 0, 1]);
    }

    #[test]
    fn a_half_open_endpoint_is_probed_only_where_the_plan_puts_it_first() {
        let candidates = [with(Breaker::HalfOpen), up(), up()];
        assert_eq!(order(&[0, 1, 2], &candidates), [0, 1, 2]);
        assert_eq!(order(&[1, 0, 2], &candidates), [1, 2, 0]);
    }

    #[test]
    fn times_of_a_step_become_durations_and_no_timeout_stays_none() {
        let named = policy::Step { endpoint: 1, timeout_ms: 1_500, hedge_after_ms: Some(0) };
        let plan = Plan { steps: vec![named, policy::Step::default()], scores: vec![] };
        let hedge_after = Some(Duration::ZERO);
        let first = Step {
            model: 3,
            endpoint: 1,
            timeout: Some(Duration::from_millis(1_500)),
            hedge_after,
        };
        let second = Step { model: 3, endpoint: 0, timeout: None, hedge_after: None };
        assert_eq!(steps(&plan, &[up(), up()], 3).0, [first, second]);
    }

    #[test]
    fn what_is_put_last_is_told_with_its_reason() {
        let waits = Candidate { back_off_ms: 1, ..up() };
        let (steps, moved) = steps(&plan(&[0, 1, 2]), &[waits, with(Breaker::Open), up()], 0);
        let order: Vec<usize> = steps.iter().map(|step| step.endpoint).collect();
        assert_eq!(order, [2, 0, 1]);
        let because = |endpoint, why| Moved { endpoint, why };
        let expected = [because(0, Unusable::RetryAfter), because(1, Unusable::BreakerOpen)];
        assert_eq!(moved, expected);
        let (_, moved) = priority(&[up(), with(Breaker::Open)], 0);
        assert_eq!(moved, [], "it was last anyway");
    }

    proptest! {
        #[test]
        fn no_eligible_endpoint_that_was_named_is_lost(
            named in proptest::collection::vec(0u32..8, 1..12),
            rows in proptest::collection::vec((any::<bool>(), 0u8..3, 0u32..3, 0u32..3), 0..6),
        ) {
            let row = |(eligible, breaker, in_flight, learned_cap)| {
                let breaker = match breaker {
                    0 => Breaker::Closed,
                    1 => Breaker::HalfOpen,
                    _ => Breaker::Open,
                };
                Candidate { eligible, breaker, in_flight, learned_cap, ..Candidate::default() }
            };
            let candidates: Vec<Candidate> = rows.into_iter().map(row).collect();
            let eligible = |position: usize| candidates.get(position).is_some_and(|row| row.eligible);
            let mut expected: Vec<usize> = named.iter().map(|&endpoint| endpoint as usize).collect();
            expected.retain(|&endpoint| eligible(endpoint));
            if expected.is_empty() {
                expected = (0..candidates.len()).filter(|&endpoint| eligible(endpoint)).collect();
            }
            expected.sort_unstable();
            expected.dedup();
            let mut got = order(&named, &candidates);
            got.sort_unstable();
            prop_assert_eq!(got, expected);
        }
    }
}
