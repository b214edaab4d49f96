//! Routing policies: which endpoints to try, in which order, for how long.
//!
//! A policy is deterministic: time and randomness come with [`RequestFacts`]. The SDK keeps
//! one policy per component instance; preparing again replaces it. See the crate's front
//! page for a whole policy.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::bindings::router::exports::torana::router::policy as generated;
use crate::{CallErrorKind, SettingsError, Usage, convert, instance, settings};

pub use generated::{Breaker, Candidate, Endpoint, Plan, RequestFacts, Score, Step};

/// A routing policy.
pub trait Policy: Sized + 'static {
    /// The router's `settings` table.
    type Settings: DeserializeOwned;

    /// Once for every snapshot and model. Afterwards an endpoint is its position in
    /// `endpoints`.
    ///
    /// # Errors
    ///
    /// Why the settings cannot be used.
    fn prepare(settings: Self::Settings, endpoints: Vec<Endpoint>) -> Result<Self, SettingsError>;

    /// Once a request, on its path: microseconds count. `candidates` has one row for each
    /// endpoint, in the order of [`Policy::prepare`]. An empty plan asks for the host's
    /// priority order.
    fn route(&mut self, facts: &RequestFacts, candidates: &[Candidate]) -> Plan;

    /// What happened, in batches and off the path of any request.
    fn observe(&mut self, _outcomes: &[Outcome]) {}

    /// Whatever was learned, to be given to [`Policy::restore`] of another instance.
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// After [`Policy::prepare`], with what [`Policy::save`] gave, perhaps of another
    /// version: bytes that make no sense are to be ignored.
    fn restore(&mut self, _state: &[u8]) {}
}

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Position in the list given to [`Policy::prepare`].
    pub endpoint: u32,
    /// Unix time in milliseconds.
    pub now_unix_ms: u64,
    /// Absent: it worked.
    pub error: Option<CallErrorKind>,
    /// Time to first token in milliseconds; 0 if there was none.
    pub ttft_ms: f64,
    /// Milliseconds from start to end.
    pub total_ms: f64,
    /// Tokens of the attempt.
    pub usage: Usage,
}

impl Plan {
    /// Tries `endpoints` one after the other, with the operator's time-outs and no scores.
    pub fn in_order(endpoints: impl IntoIterator<Item = u32>) -> Self {
        Self { steps: endpoints.into_iter().map(Step::to).collect(), scores: Vec::new() }
    }
}

impl Step {
    /// Tries `endpoint` with the operator's time-out and no hedge.
    pub fn to(endpoint: u32) -> Self {
        Self { endpoint, timeout_ms: 0, hedge_after_ms: None }
    }
}

impl Endpoint {
    /// An endpoint by its `provider/model` name, weight 1 and no prices: for tests.
    pub fn named(name: &str) -> Self {
        let (provider, model) = name.split_once('/').unwrap_or((name, ""));
        Self {
            name: name.to_owned(),
            provider: provider.to_owned(),
            model: model.to_owned(),
            weight: 1.0,
            price_input: None,
            price_output: None,
            price_cached_input: None,
            context_window: None,
        }
    }
}

impl Candidate {
    /// An eligible endpoint that nothing is known of yet: for tests.
    pub fn idle(endpoint: u32) -> Self {
        Self {
            endpoint,
            eligible: true,
            breaker: Breaker::Closed,
            samples: 0,
            in_flight: 0,
            learned_cap: 0,
            oldest_outstanding_ms: 0,
            back_off_ms: 0,
            cached_tokens: 0,
            cost_usd: 0.0,
            cache_saving_usd: 0.0,
            ttft_fast_ms: 0.0,
            ttft_slow_ms: 0.0,
            ttft_p50_ms: 0.0,
            ttft_p90_ms: 0.0,
            ttft_p95_ms: 0.0,
            ttft_p99_ms: 0.0,
            total_fast_ms: 0.0,
            total_slow_ms: 0.0,
            throughput: 0.0,
            error_rate_fast: 0.0,
            error_rate: 0.0,
            rate_limited_rate: 0.0,
            timeout_rate: 0.0,
            tool_call_error_rate: 0.0,
        }
    }
}

/// A plain request at time 0 with seed 0: for tests.
impl Default for RequestFacts {
    fn default() -> Self {
        Self {
            now_unix_ms: 0,
            seed: 0,
            stream: false,
            input_tokens: 0,
            max_output_tokens: None,
            expected_output_tokens: 0,
            session: 0,
            uses_tools: false,
            uses_images: false,
            uses_json_schema: false,
        }
    }
}

/// The exports of a component made of `P`.
#[doc(hidden)]
#[derive(Debug)]
pub struct Component<P>(PhantomData<P>);

impl<P: Policy> generated::Guest for Component<P> {
    fn prepare(settings: Vec<u8>, endpoints: Vec<Endpoint>) -> Result<(), SettingsError> {
        instance::start();
        instance::set(P::prepare(settings::decode(&settings)?, endpoints)?);
        Ok(())
    }

    fn route(facts: RequestFacts, candidates: Vec<Candidate>) -> Plan {
        instance::with(|policy: &mut P| policy.route(&facts, &candidates))
            .unwrap_or_else(|| Plan::in_order([]))
    }

    fn observe(outcomes: Vec<generated::Outcome>) {
        let outcomes: Vec<Outcome> = outcomes.into_iter().map(convert::outcome).collect();
        instance::with(|policy: &mut P| policy.observe(&outcomes));
    }

    fn save() -> Vec<u8> {
        instance::with(|policy: &mut P| policy.save()).unwrap_or_default()
    }

    fn restore(state: Vec<u8>) {
        instance::with(|policy: &mut P| policy.restore(&state));
    }
}

/// Compiles when the export macro is given a policy.
#[doc(hidden)]
pub const fn is_policy<P: Policy>() {}

/// Makes the component a router: `export_router!(MyPolicy);` for a [`Policy`].
#[macro_export]
macro_rules! export_router {
    ($policy:ty) => {
        const _: () = {
            $crate::router::is_policy::<$policy>();
            #[cfg(target_arch = "wasm32")]
            type Exported = $crate::router::Component<$policy>;
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::router::export_component!(
                Exported with_types_in $crate::bindings::router
            );
        };
    };
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use generated::Guest as _;

    use super::*;

    struct Counting {
        seen: u8,
        endpoints: Vec<Endpoint>,
    }

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        start: u8,
    }

    impl Policy for Counting {
        type Settings = Settings;

        fn prepare(settings: Settings, endpoints: Vec<Endpoint>) -> Result<Self, SettingsError> {
            let seen = settings.start;
            Ok(Self { seen, endpoints })
        }

        fn route(&mut self, _: &RequestFacts, _: &[Candidate]) -> Plan {
            Plan::in_order((0..).take(self.endpoints.len()))
        }

        fn observe(&mut self, outcomes: &[Outcome]) {
            self.seen += u8::try_from(outcomes.len()).unwrap();
        }

        fn save(&self) -> Vec<u8> {
            vec![self.seen]
        }

        fn restore(&mut self, state: &[u8]) {
            self.seen = state.first().copied().unwrap_or(self.seen);
        }
    }

    type Exported = Component<Counting>;

    #[test]
    fn unprepared_policy_leaves_the_order_to_the_host() {
        assert_eq!(Exported::route(RequestFacts::default(), vec![]), Plan::in_order([]));
        assert_eq!(Exported::save(), Vec::<u8>::new());
    }

    #[test]
    fn state_lives_between_calls_and_preparing_again_replaces_it() {
        let endpoints = || vec![Endpoint::named("a/x"), Endpoint::named("b/y")];
        Exported::prepare(br#"{"start":3}"#.to_vec(), endpoints()).unwrap();
        let plan = Exported::route(RequestFacts::default(), vec![]);
        assert_eq!(plan.steps, [Step::to(0), Step::to(1)]);
        Exported::restore(vec![7]);
        assert_eq!(Exported::save(), [7]);
        Exported::prepare(br#"{"start":1}"#.to_vec(), endpoints()).unwrap();
        assert_eq!(Exported::save(), [1]);
        assert!(Exported::prepare(b"{}".to_vec(), endpoints()).is_err());
        assert_eq!(Exported::save(), [1], "refused settings change nothing");
    }
}
