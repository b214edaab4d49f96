//! Routing policy: endpoints in the order they are written.
//!
//! Those with an open breaker come last, as a last hope; ineligible ones are left out. There
//! are no settings, no scores and no state: the plainest policy, and what the host itself
//! falls back to.

use torana_plugin_sdk::router::{Breaker, Candidate, Endpoint, Plan, Policy, RequestFacts};
use torana_plugin_sdk::{NoSettings, SettingsError};

struct Priority;

impl Policy for Priority {
    type Settings = NoSettings;

    fn prepare(_: NoSettings, _: Vec<Endpoint>) -> Result<Self, SettingsError> {
        Ok(Self)
    }

    fn route(&mut self, _: &RequestFacts, candidates: &[Candidate]) -> Plan {
        let eligible = candidates.iter().filter(|it| it.eligible);
        let (open, usable): (Vec<&Candidate>, Vec<&Candidate>) =
            eligible.partition(|it| it.breaker == Breaker::Open);
        Plan::in_order(usable.into_iter().chain(open).map(|it| it.endpoint))
    }
}

torana_plugin_sdk::export_router!(Priority);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_as_written_with_open_breakers_last_and_ineligible_left_out() {
        let mut candidates: Vec<Candidate> = (0..5).map(Candidate::idle).collect();
        candidates[0].breaker = Breaker::Open;
        candidates[1].breaker = Breaker::HalfOpen;
        candidates[3].eligible = false;
        let plan = Priority.route(&RequestFacts::default(), &candidates);
        assert_eq!(plan, Plan::in_order([1, 2, 4, 0]));
    }

    #[test]
    fn no_eligible_endpoint_gives_an_empty_plan() {
        let mut candidate = Candidate::idle(0);
        candidate.eligible = false;
        let plan = Priority.route(&RequestFacts::default(), &[candidate]);
        assert_eq!(plan, Plan::in_order([]));
    }
}
