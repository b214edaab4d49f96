//! What is known of models: the catalog's facts, who may say otherwise, and that they are sane.

use std::collections::BTreeSet;

use torana_routing::filter::RECORDED;
use torana_routing::price::LongPrice;

use super::mistakes::assert_each;
use super::*;

const README: &str = include_str!("../../../../config/catalog/models/README.md");

/// The one endpoint of the model `m`.
fn endpoint(text: &str) -> Endpoint {
    let config = config(text);
    let [endpoint] = &config.models["m"].endpoints[..] else { panic!("{:?}", config.models) };
    endpoint.clone()
}

#[test]
fn an_endpoint_in_short_form_has_all_that_the_catalog_knows() {
    let found = endpoint("[providers.openai]\n[models.m]\nendpoints = [\"openai/gpt-6-sol\"]\n");
    let offer = found.offer;
    let long = LongPrice {
        above: 272_000,
        input: 4.0,
        output: 15.0,
        cached_input: Some(0.4),
        cache_write: Some(5.0),
    };
    let price = Price {
        input: 2.0,
        output: 10.0,
        cached_input: Some(0.2),
        cache_write: Some(2.5),
        long: Some(long),
        ..Price::default()
    };
    assert_eq!(offer.price, Some(price));
    assert_eq!((offer.context_window, offer.max_output), (Some(922_000), Some(128_000)));
    assert_eq!(offer.inputs, Some(vec![Modality::Text, Modality::Image, Modality::File]));
    assert_eq!(offer.outputs, Some(vec![Modality::Text]));
    let parameters = offer.parameters.unwrap();
    assert!(parameters.contains(&"tools".to_owned()) && !parameters.contains(&"stop".to_owned()));
    let policy = DataPolicy { training: Some(false), retention_days: Some(30) };
    assert_eq!((offer.data_policy, offer.distillable), (policy, Some(false)));
}

#[test]
fn what_the_operator_writes_wins_over_the_catalog() {
    let found = endpoint(
        "[providers.fireworks]\n[models.m]\n[[models.m.endpoints]]\nprovider = \"fireworks\"\n\
         model = \"accounts/fireworks/models/kimi-k3\"\nprice = { input = 1, output = 2, request = \
         0.001 }\nmax_output = 7\ninputs = [\"text\"]\noutputs = []\nparameters = []\n\
         quantization = \"nvfp4\"\ndata_policy = { retention_days = 0 }\ndistillable = true\n\
         prefill = true\nprefill_parameters = { continue_final_message = true }\n",
    );
    let offer = found.offer;
    let price = Price { input: 1.0, output: 2.0, request: Some(0.001), ..Price::default() };
    assert_eq!(offer.price, Some(price), "nothing of the catalog's price is left");
    assert_eq!((offer.context_window, offer.max_output), (Some(1_048_576), Some(7)));
    assert_eq!((offer.inputs, offer.outputs), (Some(vec![Modality::Text]), Some(Vec::new())));
    assert_eq!(offer.parameters, Some(Vec::new()));
    assert_eq!(offer.quantization, Some(Quantization::Nvfp4));
    let policy = DataPolicy { training: Some(false), retention_days: Some(0) };
    assert_eq!((offer.data_policy, offer.distillable), (policy, Some(true)));
    let parameters = serde_json::json!({"continue_final_message": true});
    assert_eq!(offer.prefill, Some(true));
    assert_eq!(serde_json::Value::from(offer.prefill_parameters), parameters);
}

#[test]
fn a_model_that_only_the_client_names_has_the_catalogs_facts_too() {
    let config = config(
        "[providers.mine]\npreset = \"openai\"\ncredential = \"env:KEY_A\"\ndata_policy = { \
         retention_days = 0 }\n",
    );
    let provider = &config.providers["mine"];
    let known = provider.offer("gpt-5-mini");
    assert_eq!(known.price.unwrap().output, 2.0);
    assert_eq!(known.context_window, Some(272_000));
    let policy = DataPolicy { training: Some(false), retention_days: Some(0) };
    let unknown = Offer { data_policy: policy, ..Offer::default() };
    assert_eq!((known.data_policy, provider.offer("gpt-99")), (policy, unknown));
}

#[test]
fn of_data_the_endpoint_counts_before_the_model_the_provider_and_the_preset() {
    let catalog = [
        (
            "providers.toml",
            "[presets.p]\nplugin = \"provider-sim\"\ndata_policy = { training = true, \
             retention_days = 1 }\n",
        ),
        ("models/p.toml", "[models.\"p/known\"]\ndata_policy = { retention_days = 2 }\n"),
    ];
    let retention = |provider: &str, model: &str| {
        let text = format!(
            "[providers.p]\n{provider}\n[models.m]\nendpoints = [{{ provider = \"p\", {model} }}]\n"
        );
        let directory = written(&text);
        let path = directory.path().join("torana.toml");
        let config = load(path.to_str().unwrap(), &environment, &BUNDLED, &catalog).unwrap();
        let policy = config.models["m"].endpoints[0].offer.data_policy;
        assert_eq!(policy.training, Some(true), "each figure for itself");
        policy.retention_days
    };
    let own = "data_policy = { retention_days = 3 }";
    assert_eq!(retention("", "model = \"other\""), Some(1));
    assert_eq!(retention(own, "model = \"other\""), Some(3));
    assert_eq!(retention(own, "model = \"known\""), Some(2));
    let nearest = "model = \"known\", data_policy = { retention_days = 4 }";
    assert_eq!(retention(own, nearest), Some(4));
}

#[test]
fn what_a_preset_promises_of_data_holds_at_its_own_host_only() {
    let policy = |url: &str| {
        let config = config(&format!(
            "[providers.openai]\ncredential = \"env:KEY_A\"\nbase_url = \"{url}\"\n"
        ));
        let offer = config.providers["openai"].offer("gpt-5-mini");
        assert!(offer.price.is_some(), "{url}");
        offer.data_policy
    };
    assert_eq!(policy("https://api.openai.com/v2").training, Some(false));
    assert_eq!(policy("https://proxy.example/v1"), DataPolicy::default());
}

#[test]
fn nonsense_about_a_model_is_reported_where_it_stands() {
    let head = "[providers.sim]\n[models.m]\n[[models.m.endpoints]]\nprovider = \"sim\"\nmodel = \
                \"x\"\n";
    let cases = [
        (
            "price = { input = -1, output = 1 }",
            "price.input: found -1; expected a number from 0 to 100000",
        ),
        (
            "price = { input = 1, output = 1, cache_write = nan }",
            "price.cache_write: found NaN; expected a number from 0 to 100000",
        ),
        (
            "price = { input = 1, output = 1, request = 1001 }",
            "price.request: found 1001; expected a number from 0 to 1000",
        ),
        ("max_output = 0", "max_output: found 0; expected an integer from 1 to 1000000000"),
        (
            "inputs = [\"text\", \"pdf\"]",
            "inputs[1]: found \"pdf\"; expected \"text\" or \"image\" or \"audio\" or \"video\" or \
             \"file\"",
        ),
        (
            "outputs = \"text\"",
            "outputs: found \"text\"; expected a list of \"text\" or \"image\" or \"audio\" or \
             \"video\" or \"file\"",
        ),
        (
            "parameters = [\"Top P\"]",
            "parameters[0]: found \"Top P\"; expected the name of a parameter: 1 to 64 \
             lower-case letters, digits or '_'",
        ),
        ("parameters = [1]", "parameters[0]: found 1; expected the name of a parameter"),
        (
            "quantization = \"q4_k_m\"",
            "quantization: found \"q4_k_m\"; expected \"int4\" or \"int8\" or \"fp4\" or \"mxfp4\" or \
             \"nvfp4\" or \"fp6\" or \"fp8\" or \"mxfp8\" or \"fp16\" or \"bf16\" or \"fp32\" or \
             \"unknown\"",
        ),
        (
            "data_policy = { training = \"no\" }",
            "data_policy.training: found \"no\"; expected true or false",
        ),
        (
            "data_policy = { retention_days = -1 }",
            "data_policy.retention_days: found -1; expected an integer from 0 to 36525",
        ),
        (
            "data_policy = { retention = 1 }",
            "data_policy.retention: unknown key; did you mean \"retention_days\"?",
        ),
        ("distillable = 1", "distillable: found 1; expected true or false"),
    ];
    for (text, problem) in cases {
        let problem = format!("6: models.m.endpoints[0].{problem}");
        assert_each(&[(&format!("{head}{text}\n"), &problem)]);
    }
    let names = vec!["\"a\""; 101].join(", ");
    let problem = "6: models.m.endpoints[0].parameters: found 101 names; expected at most 100";
    assert_each(&[(&format!("{head}parameters = [{names}]\n"), problem)]);
    let problem = "2: providers.sim.data_policy.retention_days: found 40000; expected an integer \
                   from 0 to 36525";
    assert_each(&[("[providers.sim]\ndata_policy = { retention_days = 40000 }\n", problem)]);
}

#[test]
fn the_catalog_knows_many_endpoints_of_presets_and_each_has_a_sane_price() {
    let catalog = preset::read_catalog(CATALOG).ok().unwrap();
    let mut priced = 0;
    for (preset, models) in &catalog.models {
        assert!(catalog.presets.contains_key(preset), "{preset}");
        for (model, offer) in models.iter() {
            let name = format!("{preset}/{model}");
            let price = offer.price.unwrap_or_else(|| panic!("{name} has no price"));
            priced += 1;
            // The dearest there is costs a fifth of this.
            assert!(price.input > 0.0 && price.input <= 1_000.0, "{name}");
            assert!(price.output >= 0.0 && price.output <= 1_000.0, "{name}");
            assert!(price.cached_input.unwrap_or(0.0) <= price.input, "{name}");
            // Anthropic's hour costs twice the input; nobody asks more.
            assert!(price.cache_write.unwrap_or(0.0) <= 2.0 * price.input, "{name}");
            assert!(price.request.unwrap_or(0.0) <= 1.0, "{name}");
            let answers_in_text =
                offer.outputs.iter().flatten().any(|output| *output == Modality::Text);
            assert!(answers_in_text == (price.output > 0.0), "{name}");
        }
    }
    assert!(priced >= 300, "{priced}");
}

#[test]
fn the_catalog_describes_each_model_without_typing_errors() {
    let catalog = preset::read_catalog(CATALOG).ok().unwrap();
    for (model, offer) in catalog.models.values().flat_map(|models| models.iter()) {
        assert!(offer.context_window.is_some(), "{model}");
        assert!(offer.inputs.as_ref().unwrap().contains(&Modality::Text), "{model}");
        let is_embedding = offer.outputs.as_ref().unwrap().is_empty();
        assert!(!is_embedding || offer.parameters.is_none(), "{model}");
        let parameters: Vec<&str> = offer.parameters.iter().flatten().map(String::as_str).collect();
        assert!(parameters.iter().all(|name| RECORDED.contains(name)), "{model}");
        assert!(parameters.is_sorted(), "{model}");
    }
    for parameter in RECORDED {
        assert!(README.contains(&format!("`{parameter}`")), "{parameter}");
    }
}

#[test]
fn each_file_of_models_is_sorted() {
    for (file, text) in CATALOG.iter().filter(|(name, _)| name.starts_with("models/")) {
        let names: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("[models.\"")).collect();
        assert!(names.is_sorted() && !names.is_empty(), "{file}");
        let unique: BTreeSet<&&str> = names.iter().collect();
        assert_eq!(unique.len(), names.len(), "{file}");
    }
}
