//! What each preference does to the order, and what none of them may do.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::filter::exclude;
use crate::filter::tests::{demand, profile};
use crate::preferences::Preferences;
use crate::price::Price;

/// An endpoint with a name of its own, in this test's words.
#[derive(Debug, Clone)]
struct Endpoint {
    model: usize,
    profile: Profile,
    live: Live,
    sort: Option<SortBy>,
}

/// `price` is that of input; 0 is unknown, as for the other figures.
fn endpoint(provider: &str, price: f64, ttft_ms: f64, throughput: f64) -> Endpoint {
    let figures = |median: f64| Percentiles {
        count: u64::from(median > 0.0),
        p1: median / 4.0,
        p10: median / 2.0,
        p25: median / 1.5,
        p50: median,
        p75: median * 1.5,
        p90: median * 2.0,
        p95: median * 3.0,
        p99: median * 4.0,
    };
    Endpoint {
        model: 0,
        profile: Profile {
            name: format!("{provider}/m"),
            provider: provider.to_owned(),
            price: (price > 0.0).then(|| Price { input: price, ..Price::default() }),
            parameters: None,
            ..profile()
        },
        live: Live {
            ttft_ms: figures(ttft_ms),
            throughput: figures(throughput),
            tool_call_error_rate: None,
            unusable: None,
        },
        sort: None,
    }
}

fn of_model(model: usize, endpoint: Endpoint) -> Endpoint {
    Endpoint { model, ..endpoint }
}

fn items(endpoints: &[Endpoint]) -> Vec<Item<'_>> {
    endpoints
        .iter()
        .enumerate()
        .map(|(position, endpoint)| Item {
            place: Place { model: endpoint.model, endpoint: position },
            profile: &endpoint.profile,
            live: endpoint.live,
            sort: endpoint.sort,
        })
        .collect()
}

fn arranged_with(endpoints: &[Endpoint], provider: Value, parameters: &[&str]) -> Arrangement {
    let preferences = Preferences::decode(&provider).unwrap();
    let parameters: Vec<String> = parameters.iter().map(|name| (*name).to_owned()).collect();
    let demand = Demand { parameters: &parameters, ..demand(&preferences) };
    arrange(&items(endpoints), &demand)
}

fn arranged(endpoints: &[Endpoint], provider: Value) -> Arrangement {
    arranged_with(endpoints, provider, &[])
}

/// Positions in the list of endpoints.
fn positions(places: &[Place]) -> Vec<usize> {
    places.iter().map(|place| place.endpoint).collect()
}

fn order(endpoints: &[Endpoint], provider: Value) -> Vec<usize> {
    positions(&arranged(endpoints, provider).order)
}

/// a: dear, quick to start; b: cheap, slow; c: fast; d: nothing is known.
fn four() -> [Endpoint; 4] {
    [
        endpoint("d", 0.0, 0.0, 0.0),
        endpoint("a", 9.0, 200.0, 50.0),
        endpoint("b", 1.0, 900.0, 20.0),
        endpoint("c", 4.0, 500.0, 100.0),
    ]
}

#[test]
fn without_preferences_the_policys_order_stands() {
    let arrangement = arranged(&four(), json!({}));
    assert_eq!(positions(&arrangement.order), [0, 1, 2, 3]);
    assert_eq!(arrangement, Arrangement { order: arrangement.order.clone(), ..<_>::default() });
    assert_eq!(arranged(&[], json!({"sort": "price"})).order, []);
}

#[test]
fn sort_replaces_the_policys_order_and_unknown_figures_come_last() {
    let table = [("price", [2, 3, 1, 0]), ("throughput", [3, 1, 2, 0]), ("latency", [1, 3, 2, 0])];
    for (by, expected) in table {
        let arrangement = arranged(&four(), json!({ "sort": by }));
        assert_eq!(positions(&arrangement.order), expected, "{by}");
        assert_eq!(arrangement.by, Some("provider.sort"));
        assert_eq!(order(&four(), json!({"sort": {"by": by}})), expected, "{by}");
    }
}

#[test]
fn price_is_what_this_request_costs() {
    let mut endpoints = [endpoint("a", 1.0, 0.0, 0.0), endpoint("b", 1.0, 0.0, 0.0)];
    endpoints[0].profile.price = Some(Price { input: 1.0, output: 9.0, ..Price::default() });
    endpoints[1].profile.price = Some(Price { input: 2.0, output: 4.0, ..Price::default() });
    let preferences = Preferences::decode(&json!({"sort": "price"})).unwrap();
    let first = |input_tokens| {
        let demand = Demand { input_tokens, ..demand(&preferences) };
        arrange(&items(&endpoints), &demand).order[0].endpoint
    };
    assert_eq!(first(0), 1, "all answer");
    assert_eq!(first(10_000), 0, "nearly all prompt");
}

#[test]
fn exacto_sorts_by_broken_tool_calls_and_then_by_speed() {
    let mut endpoints = four();
    let rates = [None, Some(0.102), Some(0.0), Some(0.098)];
    for (endpoint, rate) in endpoints.iter_mut().zip(rates) {
        endpoint.live.tool_call_error_rate = rate;
    }
    assert_eq!(order(&endpoints, json!({"sort": "exacto"})), [2, 3, 1, 0]);
}

#[test]
fn equal_figures_keep_the_policys_order() {
    let same = [endpoint("a", 1.0, 1.0, 1.0), endpoint("b", 1.0, 1.0, 1.0)];
    for by in ["price", "throughput", "latency", "exacto"] {
        assert_eq!(order(&same, json!({ "sort": by })), [0, 1], "{by}");
    }
}

#[test]
fn listed_endpoints_come_first_in_the_order_of_the_list() {
    let arrangement = arranged(&four(), json!({"order": ["c", "nobody", "a/m"]}));
    assert_eq!(positions(&arrangement.order), [3, 1, 0, 2]);
    assert_eq!(arrangement.by, Some("provider.order"));
    assert_eq!(order(&four(), json!({"order": ["c"], "sort": "price"})), [3, 2, 1, 0]);
    let unknown = arranged(&four(), json!({"order": ["nobody"]}));
    assert_eq!((positions(&unknown.order), unknown.by), (vec![0, 1, 2, 3], None));
}

#[test]
fn without_fallbacks_only_the_first_of_each_model_stays_unless_some_are_named() {
    let off = |mut provider: Value| {
        provider["allow_fallbacks"] = json!(false);
        arranged(&four(), provider)
    };
    let first = off(json!({"sort": "price"}));
    assert_eq!(positions(&first.order), [2]);
    assert_eq!(positions(&first.dropped), [3, 1, 0]);
    assert_eq!(off(json!({"order": ["c", "a"]})).order.len(), 4, "unlisted ones never get here");
    assert_eq!(off(json!({"only": ["c", "a"]})).dropped, []);

    let models = four().map(|one| if one.profile.provider == "c" { of_model(1, one) } else { one });
    assert_eq!(order(&models, json!({"allow_fallbacks": false})), [0, 3]);
}

#[test]
fn a_preferred_throughput_is_one_that_so_many_answers_reached() {
    // Nine in ten are quick, and one crawls: nothing that mirrors at the median.
    let mut skewed = endpoint("skewed", 1.0, 100.0, 100.0);
    let figures =
        Percentiles { p1: 2.0, p10: 5.0, p25: 90.0, p90: 101.0, ..skewed.live.throughput };
    skewed.live.throughput = figures;
    let endpoints = [skewed, endpoint("steady", 1.0, 100.0, 60.0)];
    let table = [
        (json!({"p75": 90}), [0, 1]),
        (json!({"p75": 91}), [0, 1]),
        (json!({"p90": 6}), [1, 0]),
        (json!({"p90": 5}), [0, 1]),
        (json!({"p99": 3}), [1, 0]),
        (json!({"p99": 2}), [0, 1]),
    ];
    for (cutoffs, expected) in table {
        let provider = json!({ "preferred_min_throughput": cutoffs });
        assert_eq!(order(&endpoints, provider.clone()), expected, "{provider}");
    }
    let missed = arranged(&endpoints, json!({"preferred_min_throughput": {"p75": 91}}));
    assert_eq!(missed.demoted.len(), 2, "both");
}

#[test]
fn endpoints_that_miss_a_preferred_figure_go_to_the_end_and_unknown_ones_miss_nothing() {
    let table = [
        (json!({"preferred_max_latency": 0.5}), vec![0, 1, 3, 2]),
        (json!({"preferred_max_latency": {"p90": 0.5}}), vec![0, 1, 2, 3]),
        (json!({"preferred_max_latency": {"p50": 0.6, "p99": 1}}), vec![0, 1, 2, 3]),
        (json!({"preferred_min_throughput": 50}), vec![0, 1, 3, 2]),
        (json!({"preferred_min_throughput": {"p90": 50}}), vec![0, 3, 1, 2]),
        (json!({"preferred_min_throughput": {"p50": 50, "p99": 25}}), vec![0, 3, 1, 2]),
        (json!({"preferred_max_latency": 0.5, "sort": "price"}), vec![3, 1, 0, 2]),
        (json!({"preferred_max_latency": 0.5, "order": ["b"]}), vec![0, 1, 3, 2]),
        (json!({"preferred_max_latency": 1e-9}), vec![0, 1, 2, 3]),
    ];
    for (provider, expected) in table {
        assert_eq!(order(&four(), provider.clone()), expected, "{provider}");
    }
    let arrangement =
        arranged(&four(), json!({"preferred_max_latency": 0.5, "preferred_min_throughput": 60}));
    let why = |place: usize, why| Demoted { place: Place { model: 0, endpoint: place }, why };
    assert_eq!(
        arrangement.demoted,
        [why(1, Demotion::PreferredMinThroughput), why(2, Demotion::PreferredMaxLatency)]
    );
    assert_eq!(arrangement.by, None);
}

#[test]
fn models_stay_in_the_clients_order_unless_the_partition_is_none() {
    let [d, a, b, c] = four();
    let models = [of_model(1, b), of_model(0, a), of_model(1, c), of_model(0, d)];
    assert_eq!(order(&models, json!({})), [1, 3, 0, 2]);
    assert_eq!(order(&models, json!({"sort": "price"})), [1, 3, 0, 2]);
    let across = |by: &str| json!({"sort": {"by": by, "partition": "none"}});
    assert_eq!(order(&models, across("price")), [0, 2, 1, 3]);
    assert_eq!(order(&models, across("throughput")), [2, 1, 0, 3]);
    assert_eq!(order(&models, json!({"sort": {"partition": "none"}})), [0, 1, 2, 3]);
    assert_eq!(
        order(&models, json!({"preferred_max_latency": 0.1})),
        [3, 1, 0, 2],
        "what misses goes behind all models"
    );
}

#[test]
fn a_suffix_sorts_its_own_model_and_sort_counts_before_it() {
    let [d, a, b, c] = four();
    let floor = |one| Endpoint { sort: Some(SortBy::Price), ..one };
    let models = [floor(a), floor(b), of_model(1, c), of_model(1, d)];
    let arrangement = arranged(&models, json!({}));
    assert_eq!(positions(&arrangement.order), [1, 0, 2, 3]);
    assert_eq!(arrangement.by, Some("model suffix"));
    let sorted = arranged(&models, json!({"sort": "throughput"}));
    assert_eq!((positions(&sorted.order), sorted.by), (vec![0, 1, 2, 3], Some("provider.sort")));
    let across = order(&models, json!({"sort": {"partition": "none"}}));
    assert_eq!(across, [1, 2, 0, 3], "the first model's suffix is for all");
}

#[test]
fn an_endpoint_without_a_soft_parameter_is_last_where_its_model_has_one_with_it() {
    let mut endpoints = four();
    let only = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    endpoints[0].profile.parameters = only(&["temperature"]);
    let with_tools = |endpoints: &[Endpoint], provider| {
        arranged_with(endpoints, provider, &["tools", "temperature"])
    };
    let arrangement = with_tools(&endpoints, json!({}));
    assert_eq!(positions(&arrangement.order), [1, 2, 3, 0]);
    let place = Place { model: 0, endpoint: 0 };
    assert_eq!(arrangement.demoted, [Demoted { place, why: Demotion::Parameters }]);
    assert_eq!(arrangement.by, None);
    let listed = with_tools(&endpoints, json!({"order": ["d"]}));
    assert_eq!(positions(&listed.order), [1, 2, 3, 0], "whatever is preferred");
    assert_eq!(order(&endpoints, json!({})), [0, 1, 2, 3], "no tools, no matter");
    let plain = arranged_with(&endpoints, json!({}), &["seed"]);
    assert_eq!(positions(&plain.order), [0, 1, 2, 3], "not a soft parameter");

    let nobody = endpoints.map(|one| {
        let profile = Profile { parameters: only(&["temperature"]), ..one.profile };
        Endpoint { profile, ..one }
    });
    assert_eq!(positions(&with_tools(&nobody, json!({})).order), [0, 1, 2, 3]);
    assert_eq!(with_tools(&nobody, json!({})).demoted, []);
}

#[test]
fn an_endpoint_that_is_down_is_last_in_its_model_unless_the_policy_says_otherwise() {
    let mut endpoints = four();
    endpoints[2].live.unusable = Some(Unusable::BreakerOpen);
    assert_eq!(order(&endpoints, json!({})), [0, 1, 2, 3], "the policy knows");
    assert_eq!(order(&endpoints, json!({"sort": "price"})), [3, 1, 0, 2]);
    let arrangement = arranged(&endpoints, json!({"order": ["b"]}));
    assert_eq!(positions(&arrangement.order), [0, 1, 3, 2]);
    let place = Place { model: 0, endpoint: 2 };
    assert_eq!(arrangement.demoted, [Demoted { place, why: Demotion::BreakerOpen }]);
    endpoints[3].model = 1;
    assert_eq!(order(&endpoints, json!({"sort": "price"})), [1, 0, 2, 3]);
    assert_eq!(order(&endpoints, json!({"sort": "price", "allow_fallbacks": false})), [1, 3]);
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    let figure = prop_oneof![Just(0.0), 1.0..1e4, Just(f64::NAN), Just(f64::INFINITY)];
    (0..3_usize, "[a-d]", figure.clone(), figure.clone(), figure, any::<bool>(), any::<bool>())
        .prop_map(|(model, provider, price, ttft, rate, tools, down)| {
            let mut one = of_model(model, endpoint(&provider, price, ttft, rate));
            one.live.tool_call_error_rate = Some(rate).filter(|rate| *rate > 0.0);
            one.live.unusable = down.then_some(Unusable::RetryAfter);
            one.profile.parameters = (!tools).then(HashSet::new);
            // A suffix belongs to a model.
            let sort = [None, Some(SortBy::Price), Some(SortBy::Exacto)][model];
            Endpoint { sort, ..one }
        })
}

fn any_preferences() -> impl Strategy<Value = Preferences> {
    let slugs = || prop::collection::vec("[a-e]", 0..3);
    let sort = prop_oneof![
        Just(json!(null)),
        Just(json!("price")),
        Just(json!({"partition": "none"})),
        Just(json!({"by": "latency", "partition": "none"})),
        Just(json!({"by": "exacto", "partition": "model"})),
    ];
    let cutoff = prop_oneof![Just(json!(null)), (0.1..1e3).prop_map(|cutoff| json!(cutoff))];
    (slugs(), slugs(), slugs(), any::<bool>(), sort, cutoff.clone(), cutoff).prop_map(
        |(order, only, ignore, allow_fallbacks, sort, latency, throughput)| {
            let provider = json!({
                "order": order,
                "only": only,
                "ignore": ignore,
                "allow_fallbacks": allow_fallbacks,
                "sort": sort,
                "preferred_max_latency": latency,
                "preferred_min_throughput": throughput,
            });
            Preferences::decode(&provider).unwrap()
        },
    )
}

proptest! {
    #[test]
    fn an_order_holds_each_eligible_endpoint_once_and_no_other(
        endpoints in prop::collection::vec(any_endpoint(), 0..12),
        preferences in any_preferences(),
    ) {
        let parameters = ["tools".to_owned()];
        let demand = Demand { parameters: &parameters, ..demand(&preferences) };
        let eligible: Vec<Item<'_>> = items(&endpoints)
            .into_iter()
            .filter(|item| exclude(item.profile, &demand).is_none())
            .collect();
        let arrangement = arrange(&eligible, &demand);

        let mut placed = [arrangement.order.clone(), arrangement.dropped.clone()].concat();
        placed.sort_unstable();
        let mut expected: Vec<Place> = eligible.iter().map(|item| item.place).collect();
        expected.sort_unstable();
        prop_assert_eq!(placed, expected);
        if preferences.allows_fallbacks() {
            prop_assert!(arrangement.dropped.is_empty());
        }
        let models = |places: &[Place]| places.iter().map(|place| place.model).collect::<HashSet<_>>();
        prop_assert!(models(&arrangement.dropped).is_subset(&models(&arrangement.order)));

        // Arranging what is arranged changes nothing.
        let again: Vec<Item<'_>> = arrangement
            .order
            .iter()
            .filter_map(|place| eligible.iter().find(|item| item.place == *place).copied())
            .collect();
        if arrangement.dropped.is_empty() {
            prop_assert_eq!(arrange(&again, &demand).order, arrangement.order);
        }
    }
}
