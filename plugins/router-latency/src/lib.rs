//! Routing policy: the less loaded of two endpoints drawn at random.
//!
//! Load is what Finagle's, tower's and linkerd's "peak EWMA" balancers take: average time to
//! first token, the higher of the fast and the slow average, times requests running there
//! plus one. A failure or a 429 counts as a call of five seconds, as in linkerd, so that an
//! endpoint that fails quickly does not look quick. One that nothing is known of counts as
//! a second. Price does not matter.
//!
//! Two drawn and the better taken (Mitzenmacher, "The Power of Two Choices in Randomized Load
//! Balancing", 2001) keeps requests that arrive together from all going the same way. The
//! rest follows by load, open breakers last. A half-open breaker lets one request through at
//! a time: that one goes there first, for nothing else would bring the endpoint back.
//! Scores are loads in milliseconds, less is better.

use serde::Deserialize;
use torana_plugin_sdk::SettingsError;
use torana_plugin_sdk::router::{
    Breaker, Candidate, Endpoint, Plan, Policy, RequestFacts, Score, Step,
};

/// The router's `settings` table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// What a failure counts as.
    failure_ms: f64,
    /// What an endpoint counts as that nothing is known of.
    unknown_ms: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { failure_ms: 5_000.0, unknown_ms: 1_000.0 }
    }
}

struct Latency {
    settings: Settings,
}

impl Policy for Latency {
    type Settings = Settings;

    fn prepare(settings: Settings, _: Vec<Endpoint>) -> Result<Self, SettingsError> {
        check("/failure_ms", settings.failure_ms)?;
        check("/unknown_ms", settings.unknown_ms)?;
        Ok(Self { settings })
    }

    fn route(&mut self, facts: &RequestFacts, candidates: &[Candidate]) -> Plan {
        let eligible = candidates.iter().filter(|it| it.eligible);
        let mut ranked: Vec<(u8, Score)> =
            eligible.map(|it| (rank(it.breaker), self.score(facts.stream, it))).collect();
        ranked.sort_by(|(a_rank, a), (b_rank, b)| {
            a_rank.cmp(b_rank).then(a.score.total_cmp(&b.score))
        });
        let probes = ranked.partition_point(|(rank, _)| *rank < CLOSED);
        let usable = ranked.partition_point(|(rank, _)| *rank <= CLOSED);
        if let Some(closed) = ranked.get_mut(probes..usable)
            && let Some(best) = better_of_two(facts.seed, closed.len())
            && let Some(head) = closed.get_mut(..=best)
        {
            // The drawn one comes first; the order of the others stays.
            head.rotate_right(1);
        }
        let scores: Vec<Score> = ranked.into_iter().map(|(_, score)| score).collect();
        Plan { steps: scores.iter().map(|it| Step::to(it.endpoint)).collect(), scores }
    }
}

const CLOSED: u8 = 1;

fn rank(breaker: Breaker) -> u8 {
    match breaker {
        Breaker::HalfOpen => 0,
        Breaker::Closed => CLOSED,
        Breaker::Open => 2,
    }
}

impl Latency {
    fn score(&self, stream: bool, candidate: &Candidate) -> Score {
        // The first token of a whole answer is its last one, too.
        let (fast, slow) = if stream {
            (candidate.ttft_fast_ms, candidate.ttft_slow_ms)
        } else {
            (candidate.total_fast_ms, candidate.total_slow_ms)
        };
        let peak = fast.max(slow);
        let time = if peak > 0.0 { peak } else { self.settings.unknown_ms };
        let failing = candidate.error_rate_fast.max(candidate.error_rate);
        let refused = (failing + candidate.rate_limited_rate).clamp(0.0, 1.0);
        // A call slower than a failure is worse than one.
        let average = (1.0 - refused) * time + refused * self.settings.failure_ms.max(time);
        let load = average * (f64::from(candidate.in_flight) + 1.0);
        Score { endpoint: candidate.endpoint, score: load.min(f64::MAX) }
    }
}

/// Of two distinct places below `count`, drawn by the seed, the lower: places are by load.
fn better_of_two(seed: u64, count: usize) -> Option<usize> {
    let count = u64::try_from(count).ok()?;
    let one = draw(seed, 0, count)?;
    let Some(other) = draw(seed, 1, count - 1) else { return usize::try_from(one).ok() };
    // Skipping the first one's place keeps them distinct and all pairs equally likely.
    let other = if other >= one { other + 1 } else { other };
    usize::try_from(one.min(other)).ok()
}

/// Uniform below `count`; none if that is 0. SplitMix64 (Steele, Lea, Flood 2014) at the
/// place in the seed's sequence, scaled by its upper bits (Lemire 2019).
fn draw(seed: u64, place: u64, count: u64) -> Option<u64> {
    const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut bits = seed.wrapping_add(GOLDEN_GAMMA.wrapping_mul(place + 1));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    (count > 0).then(|| ((u128::from(bits) * u128::from(count)) >> 64) as u64)
}

fn check(pointer: &str, milliseconds: f64) -> Result<(), SettingsError> {
    if milliseconds.is_finite() && milliseconds > 0.0 {
        return Ok(());
    }
    let message = format!("{milliseconds} is not a number of milliseconds above 0");
    Err(SettingsError::at(pointer, message))
}

torana_plugin_sdk::export_router!(Latency);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn policy() -> Latency {
        Latency::prepare(Settings::default(), vec![]).unwrap()
    }

    fn with_ttft(endpoint: u32, ttft_ms: f64) -> Candidate {
        Candidate { ttft_fast_ms: ttft_ms, ttft_slow_ms: ttft_ms, ..Candidate::idle(endpoint) }
    }

    fn order(seed: u64, candidates: &[Candidate]) -> Vec<u32> {
        let facts = RequestFacts { seed, stream: true, ..RequestFacts::default() };
        let plan = policy().route(&facts, candidates);
        assert_eq!(plan.steps.len(), plan.scores.len());
        plan.steps.iter().map(|it| it.endpoint).collect()
    }

    fn load(candidate: Candidate) -> f64 {
        policy().score(true, &candidate).score
    }

    #[test]
    fn each_place_comes_first_as_often_as_two_choices_say() {
        let candidates: Vec<_> =
            (0..4_u32).map(|it| with_ttft(it, 100.0 * f64::from(it + 1))).collect();
        let mut first = [0_u32; 4];
        for seed in 0..60_000 {
            first[order(seed, &candidates)[0] as usize] += 1;
        }
        // The best of 2 out of 4 is the k-th (from 0) in (3 - k) of 6 pairs.
        for (count, expected) in first.into_iter().zip([30_000.0, 20_000.0, 10_000.0, 0.0]) {
            assert!((f64::from(count) - expected).abs() < 600.0, "{first:?}");
        }
    }

    #[test]
    fn the_rest_follows_by_load_with_open_breakers_last() {
        let mut candidates: Vec<_> =
            (0..5_u32).map(|it| with_ttft(it, 500.0 - 100.0 * f64::from(it))).collect();
        candidates[4].breaker = Breaker::Open;
        candidates[3].eligible = false;
        for seed in 0..50 {
            let order = order(seed, &candidates);
            assert!(order == [2, 1, 0, 4] || order == [1, 2, 0, 4], "{order:?}");
        }
    }

    #[test]
    fn a_half_open_endpoint_gets_its_probe_first() {
        let mut candidates = vec![with_ttft(0, 10.0), with_ttft(1, 9_000.0), with_ttft(2, 20.0)];
        candidates[1].breaker = Breaker::HalfOpen;
        assert!((0..50).all(|seed| order(seed, &candidates)[0] == 1));
    }

    #[test]
    fn load_is_the_peak_average_times_requests_running_and_this_one() {
        let row = Candidate { ttft_fast_ms: 400.0, in_flight: 2, ..with_ttft(0, 300.0) };
        assert!((load(row) - 1_200.0).abs() < 1e-9);
        assert!((load(Candidate::idle(0)) - 1_000.0).abs() < 1e-9, "unknown");
    }

    #[test]
    fn a_failure_counts_as_five_seconds() {
        let row = Candidate { error_rate: 0.1, error_rate_fast: 0.5, ..with_ttft(0, 1_000.0) };
        assert!((load(row) - 3_000.0).abs() < 1e-9);
        let row = Candidate { rate_limited_rate: 0.25, ..with_ttft(0, 1_000.0) };
        assert!((load(row) - 2_000.0).abs() < 1e-9);
    }

    #[test]
    fn whole_answers_are_compared_by_their_total_time() {
        let quick_start = Candidate { total_slow_ms: 9_000.0, ..with_ttft(0, 10.0) };
        let quick_end = Candidate { total_slow_ms: 2_000.0, ..with_ttft(1, 900.0) };
        let plan = policy().route(&RequestFacts::default(), &[quick_start, quick_end]);
        assert_eq!(plan.steps, [Step::to(1), Step::to(0)]);
    }

    #[test]
    fn times_that_are_none_are_refused_by_name() {
        let refused = |settings| Latency::prepare(settings, vec![]).err().unwrap().pointer;
        let with = Settings::default;
        assert_eq!(refused(Settings { failure_ms: -1.0, ..with() }), "/failure_ms");
        assert_eq!(refused(Settings { unknown_ms: f64::NAN, ..with() }), "/unknown_ms");
    }

    proptest! {
        #[test]
        fn a_plan_is_an_order_of_the_eligible_endpoints_without_odd_scores(
            rows in prop::collection::vec(
                (any::<bool>(), 0_u8..3, any::<u32>(), prop::array::uniform4(any::<f64>())), 0..12),
            seed in any::<u64>(), stream in any::<bool>(),
        ) {
            let row = |(endpoint, (eligible, breaker, in_flight, figures)): (u32, _)| {
                let [fast, slow, errors, limited]: [f64; 4] = figures;
                let finite = |figure: f64| if figure.is_finite() { figure } else { 0.0 };
                Candidate {
                    eligible,
                    in_flight,
                    breaker: [Breaker::Closed, Breaker::HalfOpen, Breaker::Open][breaker as usize],
                    ttft_fast_ms: finite(fast),
                    total_slow_ms: finite(slow),
                    error_rate: finite(errors),
                    rate_limited_rate: finite(limited),
                    ..Candidate::idle(endpoint)
                }
            };
            let candidates: Vec<Candidate> = (0..).zip(rows).map(row).collect();
            let facts = RequestFacts { seed, stream, ..RequestFacts::default() };
            let plan = policy().route(&facts, &candidates);
            let mut tried: Vec<u32> = plan.steps.iter().map(|it| it.endpoint).collect();
            tried.sort_unstable();
            let eligible = candidates.iter().filter(|it| it.eligible).map(|it| it.endpoint);
            prop_assert_eq!(tried, eligible.collect::<Vec<_>>());
            prop_assert!(plan.scores.iter().all(|it| it.score.is_finite()), "{:?}", plan.scores);
            prop_assert_eq!(policy().route(&facts, &candidates), plan);
        }
    }
}
