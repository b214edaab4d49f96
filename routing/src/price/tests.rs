use proptest::prelude::*;

use super::*;

#[test]
fn each_class_of_tokens_has_its_price() {
    let price = Price {
        input: 2.0,
        output: 10.0,
        cached_input: Some(0.5),
        cache_write: Some(2.5),
        audio_input: Some(6.0),
        reasoning: Some(20.0),
        request: Some(0.01),
        long: None,
    };
    let usage = Usage {
        input: 1_000_000,
        cached_input: 400_000,
        cache_write: 100_000,
        audio: 50_000,
        output: 200_000,
        reasoning: 60_000,
        ..Usage::default()
    };
    let input = 0.45 * 2.0 + 0.05 * 6.0 + 0.4 * 0.5 + 0.1 * 2.5;
    let expected = input + 0.14 * 10.0 + 0.06 * 20.0 + 0.01;
    assert!((price.cost(&usage) - expected).abs() < 1e-12);
    assert!((price.saving(1_000_000) - 1.5).abs() < 1e-12);
}

#[test]
fn a_provider_that_counts_more_cached_than_input_costs_no_less_than_nothing() {
    let price = Price { input: 2.0, output: 10.0, ..Price::default() };
    let usage = Usage { input: 10, cached_input: 50, cache_write: 50, ..Usage::default() };
    assert!((price.cost(&usage) - 2e-5).abs() < 1e-12);
}

#[test]
fn a_long_prompt_makes_all_tokens_of_its_call_dearer() {
    let long = LongPrice { above: 200_000, input: 2.5, output: 15.0, ..LongPrice::default() };
    let price = Price {
        input: 1.25,
        output: 10.0,
        cached_input: Some(0.125),
        long: Some(long),
        ..Price::default()
    };
    let usage = |input| Usage { input, cached_input: 100_000, output: 1_000, ..Usage::default() };
    let at = 0.1 * 1.25 + 0.1 * 0.125 + 0.001 * 10.0;
    assert!((price.cost(&usage(200_000)) - at).abs() < 1e-12);
    let above = 0.100_001 * 2.5 + 0.1 * 0.25 + 0.001 * 15.0;
    assert!((price.cost(&usage(200_001)) - above).abs() < 1e-12);
}

#[test]
fn the_providers_own_figure_is_preferred_unless_it_makes_no_sense() {
    let price = Price { input: 1.0, output: 1.0, ..Price::default() };
    let usage = |cost_usd| Usage { input: 1_000_000, cost_usd, ..Usage::default() };
    assert_eq!(cost(Some(&price), &usage(Some(0.3))), Some((0.3, CostSource::Provider)));
    assert_eq!(cost(None, &usage(Some(0.0))), Some((0.0, CostSource::Provider)));
    for nonsense in [None, Some(-1.0), Some(f64::NAN), Some(f64::INFINITY)] {
        assert_eq!(cost(Some(&price), &usage(nonsense)), Some((1.0, CostSource::Catalog)));
        assert_eq!(cost(None, &usage(nonsense)), None);
    }
}

#[test]
fn sums_print_cleanly_and_say_where_they_come_from() {
    let (provider, catalog) = (CostSource::Provider, CostSource::Catalog);
    let total = sum([(0.1, provider), (0.2, provider)]);
    assert_eq!(total, Some((0.3, provider)), "and not 0.30000000000000004");
    assert_eq!(sum([(0.1, catalog), (0.2, provider)]), Some((0.3, CostSource::Mixed)));
    assert_eq!(sum([]), None);
}

fn prices() -> impl Strategy<Value = Price> {
    let figure = || (0u32..=1_000_000).prop_map(|cents| f64::from(cents) / 100.0);
    let maybe = || prop::option::of(figure());
    let long = (1u64..2_000_000, figure(), figure(), maybe(), maybe());
    let long = long.prop_map(|(above, input, output, cached_input, cache_write)| LongPrice {
        above,
        input,
        output,
        cached_input,
        cache_write,
    });
    let own = (figure(), figure(), maybe(), maybe(), maybe(), maybe(), maybe());
    (own, prop::option::of(long)).prop_map(|(own, long)| {
        let (input, output, cached_input, cache_write, audio_input, reasoning, request) = own;
        Price { input, output, cached_input, cache_write, audio_input, reasoning, request, long }
    })
}

/// What a provider may report, sensible or not.
fn usages() -> impl Strategy<Value = Usage> {
    let tokens = || 0u64..3_000_000;
    (tokens(), tokens(), tokens(), tokens(), tokens(), tokens()).prop_map(
        |(input, output, cached_input, cache_write, reasoning, audio)| Usage {
            input,
            output,
            cached_input,
            cache_write,
            reasoning,
            audio,
            ..Usage::default()
        },
    )
}

proptest! {
    #[test]
    fn nothing_costs_less_than_nothing(price in prices(), usage in usages()) {
        let cost = price.cost(&usage);
        prop_assert!(cost.is_finite() && cost >= 0.0, "{cost}");
    }

    /// At one rate, the call is worth what its parts are, each on its own.
    #[test]
    fn cost_is_additive_over_classes(
        price in prices(), plain in 0u64..1_000_000, cached in 0u64..1_000_000,
        written in 0u64..1_000_000, said in 0u64..1_000_000, thought in 0u64..1_000_000,
    ) {
        let price = Price { long: None, request: None, ..price };
        let of = |usage: Usage| price.cost(&usage);
        let parts = of(Usage { input: plain, ..Usage::default() })
            + of(Usage { input: cached, cached_input: cached, ..Usage::default() })
            + of(Usage { input: written, cache_write: written, ..Usage::default() })
            + of(Usage { output: said, ..Usage::default() })
            + of(Usage { output: thought, reasoning: thought, ..Usage::default() });
        let whole = of(Usage {
            input: plain + cached + written,
            cached_input: cached,
            cache_write: written,
            output: said + thought,
            reasoning: thought,
            ..Usage::default()
        });
        prop_assert!((whole - parts).abs() <= 1e-11 * (1.0 + whole), "{whole} {parts}");
    }

    #[test]
    fn more_tokens_never_cost_less(price in prices(), usage in usages(), more in 0u64..1_000_000) {
        let price = Price { long: None, ..price };
        let longer = Usage { output: usage.output + more, ..usage };
        let reasoning_is_dearer = price.reasoning.unwrap_or(price.output) >= price.output;
        // Reasoning counts up to the output: at a lower price more output may be cheaper.
        prop_assume!(reasoning_is_dearer || usage.reasoning <= usage.output);
        prop_assert!(price.cost(&longer) >= price.cost(&usage));
    }
}
