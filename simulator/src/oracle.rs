//! The router that knows everything but the luck.
//!
//! It sees faults, load, capacity, prices and distributions as they truly are, and the length
//! of the answer; not whether this request will fail by chance. It takes the endpoint of the
//! least expected utility among those with room, and falls back in the same order. It looks
//! at one request at a time, so under heavy load a router that leaves room for later requests
//! may do better: then regret is below zero.

use torana_routing::execution::Step;

use crate::run::{Options, RunError, execute};
use crate::scenario::Scenario;
use crate::tally::Tally;
use crate::world::World;

/// The figures that others are compared with under the same seed.
///
/// # Errors
///
/// [`RunError`] if the scenario makes no sense.
pub fn oracle(scenario: &Scenario, seed: u64, options: &Options) -> Result<Tally, RunError> {
    execute(scenario, seed, None, options)
}

/// All endpoints, those without room last.
pub(crate) fn order(
    world: &World<'_>,
    endpoints: usize,
    request: usize,
    now: std::time::Duration,
) -> Vec<Step> {
    let prospect = |endpoint| (endpoint, world.prospect(request, endpoint, now));
    let mut prospects: Vec<_> = (0..endpoints).map(prospect).collect();
    prospects.sort_by(|(_, one), (_, other)| {
        other.has_room.cmp(&one.has_room).then(one.rank.total_cmp(&other.rank))
    });
    let step = |(endpoint, _)| Step { model: 0, endpoint, timeout: None, hedge_after: None };
    prospects.into_iter().map(step).collect()
}
