//! Who is asked where a request goes.
//!
//! The gateway implements it with the very component it runs; tests implement it natively. A
//! router that fails costs nobody an answer: the request takes the endpoints in the order
//! they are written, as in the gateway.

use torana_routing::policy::{Candidate, Facts, Outcome, Plan};

/// A routing policy in one world, prepared for its endpoints.
pub trait Router {
    /// Once a request. `candidates` has one row for each endpoint, in the scenario's order.
    fn route(&mut self, facts: &Facts, candidates: &[Candidate]) -> Result<Plan, RouterFailure>;

    /// What became of attempts, in batches. An error is counted; the outcomes are lost.
    fn observe(&mut self, outcomes: &[Outcome]) -> Result<(), RouterFailure>;
}

/// The policy trapped, ran out of its budget or said nonsense.
#[derive(Debug, thiserror::Error)]
#[error("the routing policy failed")]
pub struct RouterFailure {
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl RouterFailure {
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: source.into() }
    }
}
