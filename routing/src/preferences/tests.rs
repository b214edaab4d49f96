//! Every key of `provider` and its companions: sense, no sense, and nothing.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn decoded(provider: Value) -> Preferences {
    Preferences::decode(&provider).unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn every_key_is_read() {
    let of = Preferences::default;
    let by = |by| Sort { by: Some(by), partition: None };
    let table = [
        (json!({"order": ["a", " b/c "]}), Preferences { order: names(&["a", "b/c"]), ..of() }),
        (json!({"only": ["a"]}), Preferences { only: names(&["a"]), ..of() }),
        (json!({"ignore": ["a"]}), Preferences { ignore: names(&["a"]), ..of() }),
        (json!({"allow_fallbacks": false}), Preferences { allow_fallbacks: Some(false), ..of() }),
        (json!({"require_parameters": true}), Preferences { require_parameters: true, ..of() }),
        (
            json!({"data_collection": "deny"}),
            Preferences { data_collection: Some(DataCollection::Deny), ..of() },
        ),
        (json!({"zdr": true}), Preferences { zdr: true, ..of() }),
        (
            json!({"enforce_distillable_text": true}),
            Preferences { enforce_distillable_text: true, ..of() },
        ),
        (
            json!({"quantizations": ["fp8", "UNKNOWN"]}),
            Preferences { quantizations: vec![Quantization::Fp8, Quantization::Unknown], ..of() },
        ),
        (json!({"sort": "price"}), Preferences { sort: by(SortBy::Price), ..of() }),
        (json!({"sort": "exacto"}), Preferences { sort: by(SortBy::Exacto), ..of() }),
        (
            json!({"sort": {"by": "latency", "partition": "none"}}),
            Preferences {
                sort: Sort { by: Some(SortBy::Latency), partition: Some(Partition::None) },
                ..of()
            },
        ),
        (
            json!({"sort": {"partition": "model"}}),
            Preferences { sort: Sort { by: None, partition: Some(Partition::Model) }, ..of() },
        ),
        (
            json!({"max_price": {"prompt": 1.5, "completion": "2.000", "request": 0}}),
            Preferences {
                max_price: MaxPrice {
                    prompt: Some(1.5),
                    completion: Some(2.0),
                    request: Some(0.0),
                    ..MaxPrice::default()
                },
                ..of()
            },
        ),
        (
            json!({"max_price": {"image": "1e-3", "audio": 4}}),
            Preferences {
                max_price: MaxPrice { image: Some(1e-3), audio: Some(4.0), ..MaxPrice::default() },
                ..of()
            },
        ),
        (
            json!({"preferred_min_throughput": 50}),
            Preferences {
                preferred_min_throughput: Cutoffs { p50: Some(50.0), ..Cutoffs::default() },
                ..of()
            },
        ),
        (
            json!({"preferred_max_latency": {"p50": 1, "p75": 2, "p90": 2.5, "p99": null}}),
            Preferences {
                preferred_max_latency: Cutoffs {
                    p50: Some(1.0),
                    p75: Some(2.0),
                    p90: Some(2.5),
                    p99: None,
                },
                ..of()
            },
        ),
    ];
    for (provider, expected) in table {
        assert_eq!(decoded(provider.clone()), expected, "{provider}");
    }
}

#[test]
fn null_empty_and_false_are_the_same_as_absent() {
    let keys = [
        "order",
        "only",
        "ignore",
        "allow_fallbacks",
        "require_parameters",
        "data_collection",
        "zdr",
        "enforce_distillable_text",
        "quantizations",
        "sort",
        "max_price",
        "preferred_min_throughput",
        "preferred_max_latency",
    ];
    for key in keys {
        assert_eq!(decoded(json!({ key: null })), Preferences::default(), "{key}");
    }
    for key in ["order", "only", "ignore", "quantizations"] {
        assert_eq!(decoded(json!({ key: [] })), Preferences::default(), "{key}");
    }
    for key in ["sort", "max_price", "preferred_min_throughput", "preferred_max_latency"] {
        assert_eq!(decoded(json!({ key: {} })), Preferences::default(), "{key}");
    }
    for key in ["require_parameters", "zdr", "enforce_distillable_text"] {
        assert_eq!(decoded(json!({ key: false })), Preferences::default(), "{key}");
    }
    assert_eq!(decoded(json!(null)), Preferences::default());
    assert!(Preferences::default().allows_fallbacks());
    assert!(!decoded(json!({"allow_fallbacks": false})).allows_fallbacks());
}

#[test]
fn nonsense_names_the_field_what_was_found_and_what_is_expected() {
    let table = [
        (json!([1]), "provider", "found a list, expected an object with any of order, only"),
        (json!({"ordr": ["a"]}), "provider.ordr", "unknown key, expected any of order, only"),
        (json!({"order": "a"}), "provider.order", "found \"a\", expected a list of"),
        (json!({"order": ["a", 7]}), "provider.order[1]", "found 7, expected the name of"),
        (json!({"only": [null]}), "provider.only[0]", "found null, expected the name of"),
        (json!({"ignore": [" "]}), "provider.ignore[0]", "found an empty string"),
        (json!({"only": ["x".repeat(257)]}), "provider.only[0]", "found 257 bytes"),
        (
            json!({"order": vec!["x"; 101]}),
            "provider.order",
            "found 101 items, expected at most 100",
        ),
        (
            json!({"allow_fallbacks": "no"}),
            "provider.allow_fallbacks",
            "found \"no\", expected true",
        ),
        (json!({"require_parameters": 1}), "provider.require_parameters", "found 1, expected true"),
        (
            json!({"data_collection": "never"}),
            "provider.data_collection",
            "found \"never\", expected \"allow\" or \"deny\"",
        ),
        (json!({"data_collection": true}), "provider.data_collection", "found true"),
        (json!({"zdr": "true"}), "provider.zdr", "found \"true\", expected true or false"),
        (
            json!({"enforce_distillable_text": {}}),
            "provider.enforce_distillable_text",
            "found an object",
        ),
        (
            json!({"quantizations": ["fp9"]}),
            "provider.quantizations[0]",
            "found \"fp9\", expected \"int4\"",
        ),
        (json!({"quantizations": [null]}), "provider.quantizations[0]", "found null"),
        (json!({"quantizations": "fp8"}), "provider.quantizations", "expected a list"),
        (
            json!({"sort": "cheap"}),
            "provider.sort",
            "found \"cheap\", expected \"price\", \"throughput\"",
        ),
        (json!({"sort": 1}), "provider.sort", "or {by, partition}"),
        (json!({"sort": {"by": "cheap"}}), "provider.sort.by", "found \"cheap\""),
        (
            json!({"sort": {"partition": "all"}}),
            "provider.sort.partition",
            "expected \"model\" or \"none\"",
        ),
        (json!({"sort": {"order": 1}}), "provider.sort.order", "unknown key, expected any of by"),
        (json!({"max_price": 1}), "provider.max_price", "expected an object with any of prompt"),
        (
            json!({"max_price": {"prompt": -1}}),
            "provider.max_price.prompt",
            "found -1, expected US dollars",
        ),
        (json!({"max_price": {"completion": "x"}}), "provider.max_price.completion", "found \"x\""),
        (json!({"max_price": {"request": "NaN"}}), "provider.max_price.request", "found \"NaN\""),
        (json!({"max_price": {"image": "inf"}}), "provider.max_price.image", "found \"inf\""),
        (json!({"max_price": {"audio": []}}), "provider.max_price.audio", "found a list"),
        (json!({"max_price": {"input": 1}}), "provider.max_price.input", "unknown key"),
        (
            json!({"preferred_min_throughput": 0}),
            "provider.preferred_min_throughput",
            "found 0, expected a number above 0",
        ),
        (
            json!({"preferred_max_latency": {"p95": 1}}),
            "provider.preferred_max_latency.p95",
            "unknown key, expected any of p50, p75, p90, p99",
        ),
        (
            json!({"preferred_max_latency": {"p90": "1"}}),
            "provider.preferred_max_latency.p90",
            "found \"1\", expected a number above 0",
        ),
    ];
    for (provider, param, expected) in table {
        let error = Preferences::decode(&provider).unwrap_err();
        assert_eq!(error.param, param, "{provider}");
        let message = error.to_string();
        assert!(message.starts_with(&format!("{param}: ")), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn all_problems_are_told_at_once_and_not_too_many() {
    let error = Preferences::decode(&json!({"zdr": 1, "sort": "x", "order": [""]})).unwrap_err();
    assert_eq!(error.param, "provider.order[0]");
    assert_eq!(error.message.matches("; ").count(), 2, "{error}");

    let error = Preferences::decode(&json!({"order": vec![json!(1); 100]})).unwrap_err();
    assert!(error.message.ends_with("; and 90 more"), "{error}");
    let error = Preferences::decode(&json!({"x".repeat(10_000): 1})).unwrap_err();
    assert!(error.message.len() < 1_000 && error.param.len() < 100, "{error}");
}

#[test]
fn a_list_and_a_slug_may_be_as_long_as_the_bound() {
    let order = vec!["x".repeat(MAX_SLUG_BYTES); MAX_ITEMS];
    assert_eq!(decoded(json!({ "order": order })).order.len(), MAX_ITEMS);
}

#[test]
fn preferences_serialize_as_the_client_wrote_them() {
    let provider = json!({
        "order": ["a"],
        "allow_fallbacks": false,
        "sort": {"by": "price"},
        "max_price": {"prompt": 1.5},
        "preferred_max_latency": {"p90": 3.0},
    });
    assert_eq!(serde_json::to_value(decoded(provider.clone())).unwrap(), provider);
}

#[test]
fn the_names_of_quantizations_and_sorts_are_those_of_the_wire() {
    for (name, quantization) in Quantization::NAMES {
        assert_eq!(serde_json::to_value(quantization).unwrap(), json!(name));
        assert_eq!(quantization.name(), name);
    }
    for (name, by) in SortBy::NAMES {
        assert_eq!(serde_json::to_value(by).unwrap(), json!(name));
        assert_eq!(by.name(), name);
    }
}

#[test]
fn sorting_suffixes_are_split_off_and_others_stay() {
    let table: [(&str, &str, &[Suffix]); 9] = [
        ("gpt-5:nitro", "gpt-5", &[Suffix::Nitro]),
        ("gpt-5:floor", "gpt-5", &[Suffix::Floor]),
        ("gpt-5:exacto", "gpt-5", &[Suffix::Exacto]),
        ("gpt-5:nitro:floor", "gpt-5", &[Suffix::Nitro, Suffix::Floor]),
        ("llama3:8b", "llama3:8b", &[]),
        ("llama3:8b:nitro", "llama3:8b", &[Suffix::Nitro]),
        ("a/b:free", "a/b:free", &[]),
        ("m:nitro:latest", "m:nitro:latest", &[]),
        (":nitro", ":nitro", &[]),
    ];
    for (name, model, suffixes) in table {
        assert_eq!(Suffix::split(name), (model, suffixes.to_vec()), "{name}");
    }
    assert_eq!(Named::read("m:nitro:floor").sort, Some(SortBy::Price), "the last one counts");
    assert_eq!(Named::read("m:nitro").sort, Some(SortBy::Throughput));
    assert_eq!(Named::read("m:exacto").sort, Some(SortBy::Exacto));
}

#[test]
fn models_follow_the_model_and_none_is_there_twice() {
    let models = json!(["b:floor", "a", "b"]);
    let fields = Fields { model: Some("a:nitro"), models: Some(&models), ..Fields::default() };
    let asked = Asked::decode(&fields).unwrap();
    let named = |name: &str, model: &str, sort| Named {
        name: name.to_owned(),
        model: model.to_owned(),
        sort: Some(sort),
    };
    let expected =
        [named("a:nitro", "a", SortBy::Throughput), named("b:floor", "b", SortBy::Price)];
    assert_eq!(asked.models, expected);
    assert_eq!(Asked::decode(&Fields::default()).unwrap(), Asked::default());
}

#[test]
fn the_deprecated_route_is_a_partition_unless_sort_has_one() {
    let route = json!("sort");
    let fields = Fields { route: Some(&route), ..Fields::default() };
    let partition = |fields: &Fields<'_>| Asked::decode(fields).unwrap().preferences.sort.partition;
    assert_eq!(partition(&fields), Some(Partition::None));
    let provider = json!({"sort": {"partition": "model"}});
    let fields = Fields { provider: Some(&provider), ..fields };
    assert_eq!(partition(&fields), Some(Partition::Model));
    let route = json!("fallback");
    let fields = Fields { route: Some(&route), ..Fields::default() };
    assert_eq!(partition(&fields), Some(Partition::Model));
}

#[test]
fn a_session_is_text_within_its_bound_or_absent() {
    let session = |value: Value| {
        let fields = Fields { session_id: Some(&value), ..Fields::default() };
        Asked::decode(&fields).map(|asked| asked.session_id)
    };
    assert_eq!(session(json!("s")).unwrap().as_deref(), Some("s"));
    assert_eq!(session(json!(null)).unwrap(), None);
    assert_eq!(session(json!("")).unwrap(), None);
    assert_eq!(session(json!("s".repeat(256))).unwrap().unwrap().len(), 256);
    let error = session(json!("s".repeat(257))).unwrap_err();
    assert_eq!(error.param, "session_id");
    assert_eq!(session(json!(7)).unwrap_err().param, "session_id");
}

#[test]
fn nonsense_beside_provider_names_its_field_too() {
    let (models, route) = (json!(["a", 1]), json!("best"));
    let provider = json!({"zdr": 1});
    let fields = Fields {
        models: Some(&models),
        route: Some(&route),
        provider: Some(&provider),
        ..Fields::default()
    };
    let error = Asked::decode(&fields).unwrap_err();
    for expected in [
        "provider.zdr: found 1",
        "route: found \"best\", expected \"fallback\" or \"sort\"",
        "models[1]: found 1, expected the name of a model",
    ] {
        assert!(error.message.contains(expected), "{error}");
    }
    let models = json!(vec!["a"; 11]);
    let fields = Fields { models: Some(&models), ..Fields::default() };
    let error = Asked::decode(&fields).unwrap_err();
    assert_eq!(error.message, "models: found 11 items, expected at most 10");
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("provider"),
        Just("order"),
        Just("only"),
        Just("sort"),
        Just("by"),
        Just("partition"),
        Just("max_price"),
        Just("prompt"),
        Just("p50"),
        Just("p99"),
        Just("quantizations"),
        Just("fp8"),
        Just("none"),
        Just("price"),
        Just("zdr"),
        Just("preferred_max_latency"),
        Just("1e999"),
        Just("-0"),
        Just("é…\u{0}"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        ".{0,60}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 8, move |inner| {
        let key = word.clone().prop_map(str::to_owned).boxed().prop_union(".{0,60}".boxed());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_read_or_refused_with_a_name(value in any_json()) {
        match Preferences::decode(&value) {
            Ok(preferences) => {
                let again = serde_json::to_value(&preferences).unwrap();
                prop_assert_eq!(Preferences::decode(&again).unwrap(), preferences);
            }
            Err(error) => {
                prop_assert!(error.param.starts_with("provider"));
                prop_assert!(error.message.contains(&error.param));
            }
        }
        let fields = Fields {
            model: Some("m"),
            models: Some(&value),
            route: Some(&value),
            provider: Some(&value),
            session_id: Some(&value),
        };
        if let Ok(asked) = Asked::decode(&fields) {
            prop_assert!(asked.models.len() <= MAX_MODELS + 1);
        }
    }

    #[test]
    fn a_name_is_its_model_and_its_suffixes(name in "[a-z:]{0,12}(:nitro|:floor|:exacto|:free){0,3}") {
        let (model, suffixes) = Suffix::split(&name);
        prop_assert!(name.starts_with(model));
        prop_assert!(name.is_empty() || !model.is_empty());
        prop_assert_eq!(Suffix::split(model), (model, vec![]));
        prop_assert_eq!(name[model.len()..].matches(':').count(), suffixes.len());
    }
}
