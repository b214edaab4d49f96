//! The order in which endpoints are tried.

use std::sync::Arc;
use std::time::Instant;

use torana_routing::execution::Step;
use torana_routing::policy::Breaker;

use crate::snapshot::{Endpoint, Model};

/// What is executed.
#[derive(Debug)]
pub struct Plan {
    /// The model asked for, then those to fall back to. Steps name them by position.
    pub models: Vec<Arc<Model>>,
    pub steps: Vec<Step>,
}

impl Plan {
    /// In the order to be tried.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        let endpoint = |step: &Step| self.models.get(step.model)?.endpoints.get(step.endpoint);
        self.steps.iter().filter_map(endpoint)
    }

    /// An endpoint to be tried after this step has a closed breaker, and can be asked.
    pub fn has_working_after(
        &self,
        step: Step,
        now: Instant,
        can: impl Fn(&Endpoint) -> bool,
    ) -> bool {
        let place = |other: &Step| (other.model, other.endpoint);
        let later = self.steps.iter().skip_while(|other| place(other) != place(&step)).skip(1);
        let endpoint = |step: &Step| self.models.get(step.model)?.endpoints.get(step.endpoint);
        later
            .filter_map(endpoint)
            .any(|it| can(it) && it.statistics.read(now).breaker == Breaker::Closed)
    }
}
