//! The order in which endpoints are tried, and the record of why.

use std::time::Duration;

use serde::Serialize;

use super::candidate::Ineligible;
use crate::plugin::policy;

/// What is executed: endpoints by position in their model, best first.
#[derive(Debug, Clone)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub decision: Decision,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub endpoint: usize,
    /// For the first byte; absent: the operator's setting.
    pub timeout: Option<Duration>,
}

/// Why the plan is so: kept in the record.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Decision {
    /// The policy asked, or `endpoint` when the client named one itself.
    pub router: String,
    /// Seed and time the policy was given.
    pub seed: u64,
    pub time_unix_ms: u64,
    /// Endpoint names in the order to be tried.
    pub plan: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<Scored>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// The policy failed and the endpoints were taken in the order they are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Scored {
    pub endpoint: String,
    pub score: f64,
}

#[derive(Debug, Clone, Serialize)]
pub struct LeftOut {
    pub endpoint: String,
    pub reason: Ineligible,
}

/// The steps to execute: the policy's, less what is unknown, repeated or ineligible. An
/// empty plan means priority order.
pub fn steps(plan: &policy::Plan, eligible: &[bool]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(eligible.len());
    for step in &plan.steps {
        let endpoint = step.endpoint as usize;
        let usable = eligible.get(endpoint).copied().unwrap_or(false);
        if usable && !steps.iter().any(|planned| planned.endpoint == endpoint) {
            let timeout =
                (step.timeout_ms > 0).then(|| Duration::from_millis(step.timeout_ms.into()));
            steps.push(Step { endpoint, timeout });
        }
    }
    if steps.is_empty() { priority(eligible) } else { steps }
}

/// Endpoints in the order they are written.
pub fn priority(eligible: &[bool]) -> Vec<Step> {
    let usable = eligible.iter().enumerate().filter(|(_, eligible)| **eligible);
    usable.map(|(endpoint, _)| Step { endpoint, timeout: None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(endpoints: &[u32]) -> policy::Plan {
        let step = |&endpoint| policy::Step { endpoint, timeout_ms: 0, hedge_after_ms: None };
        policy::Plan { steps: endpoints.iter().map(step).collect(), scores: vec![] }
    }

    fn order(steps: &[Step]) -> Vec<usize> {
        steps.iter().map(|step| step.endpoint).collect()
    }

    #[test]
    fn a_plan_keeps_its_order_less_what_is_unknown_repeated_or_ineligible() {
        let eligible = [true, false, true];
        assert_eq!(order(&steps(&plan(&[2, 2, 1, 9, 0]), &eligible)), [2, 0]);
    }

    #[test]
    fn an_empty_plan_means_priority_order() {
        assert_eq!(order(&steps(&plan(&[]), &[true, false, true])), [0, 2]);
        assert_eq!(order(&steps(&plan(&[1]), &[true, false, true])), [0, 2]);
        assert_eq!(order(&steps(&plan(&[0]), &[false])), [] as [usize; 0]);
    }
}
