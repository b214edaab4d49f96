//! Each reason to leave an endpoint out: what holds, what does not, what is unknown.
#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::*;

/// An endpoint of which everything is known and fine.
pub(super) fn profile() -> Profile {
    Profile {
        name: "vertex-eu/gemini-3".to_owned(),
        provider: "vertex-eu".to_owned(),
        preset: "google-vertex".to_owned(),
        model: "gemini-3".to_owned(),
        variants: vec!["europe-west4".to_owned()],
        price: Some(Price { input: 2.0, output: 15.0, request: Some(0.01), ..Price::default() }),
        context_window: Some(1_000),
        max_output: Some(500),
        quantization: Quantization::Fp8,
        data: DataPolicy { training: Some(false), retention_days: Some(0) },
        parameters: Some(["tools", "max_tokens"].map(str::to_owned).into()),
        modalities: Some(vec![Modality::Text, Modality::Image]),
        distillable: Some(true),
        has_credential: true,
    }
}

/// The same, but nothing is known.
fn blank() -> Profile {
    Profile {
        name: "new/m".to_owned(),
        provider: "new".to_owned(),
        model: "m".to_owned(),
        has_credential: true,
        ..Profile::default()
    }
}

pub(super) fn demand(preferences: &Preferences) -> Demand<'_> {
    Demand {
        input_tokens: 100,
        max_output_tokens: None,
        expected_output_tokens: 100,
        parameters: &[],
        modalities: &[Modality::Text],
        preferences,
        generates: true,
    }
}

fn preferences(provider: Value) -> Preferences {
    Preferences::decode(&provider).unwrap()
}

fn excluded(profile: &Profile, provider: Value) -> Option<Exclusion> {
    let preferences = preferences(provider);
    let demand = Demand { modalities: &[Modality::Text, Modality::Image], ..demand(&preferences) };
    exclude(profile, &demand)
}

#[test]
fn without_preferences_nobody_is_left_out_for_what_is_unknown() {
    assert_eq!(excluded(&profile(), json!({})), None);
    assert_eq!(excluded(&blank(), json!({})), None);
    let unlit = Profile { has_credential: false, ..profile() };
    assert_eq!(excluded(&unlit, json!({})), Some(Exclusion::NoCredential));
}

#[test]
fn only_a_prompt_that_is_far_too_long_is_kept_away() {
    let preferences = Preferences::default();
    let with = |input_tokens| Demand { input_tokens, ..demand(&preferences) };
    assert_eq!(exclude(&profile(), &with(2_001)), None);
    assert_eq!(
        exclude(&profile(), &with(2_002)),
        Some(Exclusion::ContextWindow { window: 1_000, input_tokens: 2_002 })
    );
    assert_eq!(exclude(&blank(), &with(u64::MAX)), None);
}

#[test]
fn an_answer_may_be_as_long_as_the_client_allows() {
    let preferences = Preferences::default();
    let with = |asked| Demand { max_output_tokens: asked, ..demand(&preferences) };
    assert_eq!(exclude(&profile(), &with(Some(500))), None);
    assert_eq!(exclude(&profile(), &with(None)), None);
    assert_eq!(
        exclude(&profile(), &with(Some(501))),
        Some(Exclusion::MaxOutput { limit: 500, asked: 501 })
    );
    assert_eq!(exclude(&blank(), &with(Some(u64::MAX))), None);
}

#[test]
fn a_prompt_holds_only_what_the_model_takes() {
    let preferences = Preferences::default();
    let with = |modalities| Demand { modalities, ..demand(&preferences) };
    assert_eq!(exclude(&profile(), &with(&[Modality::Image])), None);
    let missing = Exclusion::Modality { missing: Modality::Audio };
    assert_eq!(exclude(&profile(), &with(&[Modality::Image, Modality::Audio])), Some(missing));
    assert_eq!(exclude(&blank(), &with(&[Modality::Audio])), None);
    let silent = Profile { modalities: Some(vec![]), ..profile() };
    assert_eq!(exclude(&silent, &with(&[Modality::Text])), None, "text always");
}

#[test]
fn a_slug_means_a_provider_or_one_of_its_endpoints() {
    let table = [
        ("vertex-eu", true),
        ("google-vertex", true),
        ("Google-Vertex", true),
        ("vertex-eu/gemini-3", true),
        ("google-vertex/gemini-3", true),
        ("google-vertex/europe-west4", true),
        ("google-vertex/fp8", true),
        ("google-vertex/us-east5", false),
        ("google-vertex/fp4", false),
        ("google", false),
        ("gemini-3", false),
        ("europe-west4", false),
        ("openai/gemini-3", false),
        ("google-vertex/", false),
        ("/gemini-3", false),
        ("", false),
    ];
    for (slug, matches) in table {
        assert_eq!(profile().matches(slug), matches, "{slug:?}");
    }
    assert!(!blank().matches(""), "no preset is no name");
    assert!(!blank().matches("new/unknown"), "an unknown quantization is no name");
    let nested = Profile { model: "meta-llama/Llama-3".to_owned(), ..blank() };
    assert!(nested.matches("new/meta-llama/llama-3"));
}

#[test]
fn names_that_the_client_gave_are_obeyed() {
    let table = [
        (json!({"only": ["google-vertex"]}), None),
        (json!({"only": ["openai", "vertex-eu/gemini-3"]}), None),
        (json!({"only": ["openai"]}), Some(Exclusion::Only)),
        (json!({"ignore": ["openai"]}), None),
        (json!({"ignore": ["google-vertex/fp8"]}), Some(Exclusion::Ignore)),
        (json!({"only": ["vertex-eu"], "ignore": ["vertex-eu"]}), Some(Exclusion::Ignore)),
        (json!({"order": ["openai"]}), None),
        (json!({"order": ["openai"], "allow_fallbacks": true}), None),
        (json!({"order": ["openai"], "allow_fallbacks": false}), Some(Exclusion::Order)),
        (json!({"order": ["openai", "vertex-eu"], "allow_fallbacks": false}), None),
        (json!({"allow_fallbacks": false}), None),
    ];
    for (provider, expected) in table {
        assert_eq!(excluded(&profile(), provider.clone()), expected, "{provider}");
    }
}

#[test]
fn required_parameters_are_honoured_by_what_the_adapter_says() {
    let required = preferences(json!({"require_parameters": true}));
    let optional = Preferences::default();
    let used = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let reason = |profile: &Profile, parameters: &[&str], preferences: &Preferences| {
        exclude(profile, &Demand { parameters: &used(parameters), ..demand(preferences) })
    };
    let missing = Some(Exclusion::RequireParameters { missing: used(&["seed", "top_k"]) });
    let asked = ["model", "messages", "stream", "tools", "seed", "provider", "top_k"];
    assert_eq!(reason(&profile(), &asked, &required), missing);
    assert_eq!(reason(&profile(), &asked, &optional), None);
    assert_eq!(reason(&profile(), &["tools", "max_completion_tokens"], &required), None);
    assert_eq!(reason(&blank(), &asked, &required), None, "an adapter that honours all");
    let many = used(&RECORDED);
    let bare = Profile { parameters: Some(HashSet::new()), ..profile() };
    let Some(Exclusion::RequireParameters { missing }) =
        exclude(&bare, &Demand { parameters: &many, ..demand(&required) })
    else {
        unreachable!()
    };
    assert_eq!(missing.len(), exclusion::LISTED_PARAMETERS);
}

#[test]
fn of_parameters_that_nobody_records_nothing_is_known() {
    let bare = Profile { parameters: Some(HashSet::new()), ..profile() };
    for unrecorded in ["stream", "user", "metadata", "provider", "a_name_of_tomorrow", ""] {
        assert!(bare.honours(unrecorded), "{unrecorded}");
    }
    for recorded in RECORDED {
        assert!(!bare.honours(recorded), "{recorded}");
        let parameters = Some(HashSet::from([recorded.to_owned()]));
        assert!(Profile { parameters, ..profile() }.honours(recorded), "{recorded}");
    }
}

/// Or else a fact of the catalog would never leave anybody out.
#[test]
fn the_recorded_parameters_are_those_of_the_catalog() {
    let readme = include_str!("../../../config/catalog/models/README.md");
    let (_, list) = readme.split_once("out of:").unwrap();
    let (list, _) = list.split_once("\n\nWhatever").unwrap();
    let written: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    assert_eq!(written, RECORDED);
}

#[test]
fn what_becomes_of_prompts_must_be_known_to_be_fine() {
    let with = |training, retention_days| Profile {
        data: DataPolicy { training, retention_days },
        ..profile()
    };
    // training, retention, left out by `deny`, left out by `zdr`
    let table = [
        (Some(false), Some(0), false, false),
        (Some(false), Some(30), false, true),
        (Some(false), Some(31), true, true),
        (Some(false), None, true, true),
        (Some(true), Some(0), true, false),
        (None, Some(0), true, false),
        (None, None, true, true),
    ];
    for (training, days, deny, zdr) in table {
        let profile = with(training, days);
        let denied = excluded(&profile, json!({"data_collection": "deny"}));
        let expected = Exclusion::DataCollection { training, retention_days: days };
        assert_eq!(denied, deny.then_some(expected), "{training:?} {days:?}");
        let kept = excluded(&profile, json!({"zdr": true}));
        let expected = Exclusion::Zdr { retention_days: days };
        assert_eq!(kept, zdr.then_some(expected), "{training:?} {days:?}");
        let allowed = json!({"data_collection": "allow", "zdr": false});
        assert_eq!(excluded(&profile, allowed), None);
    }
}

#[test]
fn quantization_is_one_of_those_named_and_unknown_is_one_too() {
    let reason = |quantization| Some(Exclusion::Quantization { quantization });
    assert_eq!(excluded(&profile(), json!({"quantizations": ["bf16", "fp8"]})), None);
    let wanted = json!({"quantizations": ["bf16"]});
    assert_eq!(excluded(&profile(), wanted.clone()), reason(Quantization::Fp8));
    assert_eq!(excluded(&blank(), wanted), reason(Quantization::Unknown));
    assert_eq!(excluded(&blank(), json!({"quantizations": ["unknown"]})), None);
}

#[test]
fn distillation_must_be_known_to_be_allowed() {
    let wanted = json!({"enforce_distillable_text": true});
    let with = |distillable| Profile { distillable, ..profile() };
    let reason = |known| Some(Exclusion::Distillable { known });
    assert_eq!(excluded(&with(Some(true)), wanted.clone()), None);
    assert_eq!(excluded(&with(Some(false)), wanted.clone()), reason(true));
    assert_eq!(excluded(&with(None), wanted), reason(false));
    assert_eq!(excluded(&with(Some(false)), json!({"enforce_distillable_text": false})), None);
}

#[test]
fn a_price_must_be_shown_to_be_low_enough() {
    let above =
        |field, price, limit| Some(Exclusion::MaxPrice { field, price: Some(price), limit });
    let table = [
        (json!({"prompt": 2, "completion": 15, "request": 0.01, "image": 0, "audio": 0}), None),
        (json!({"prompt": 1.9}), above(PriceField::Prompt, 2.0, 1.9)),
        (json!({"completion": "10"}), above(PriceField::Completion, 15.0, 10.0)),
        (json!({"prompt": 5, "request": 0}), above(PriceField::Request, 0.01, 0.0)),
    ];
    for (limits, expected) in table {
        assert_eq!(excluded(&profile(), json!({ "max_price": limits })), expected, "{limits}");
    }
    for field in ["prompt", "completion", "request", "image"] {
        let reason = excluded(&blank(), json!({"max_price": {field: 1_000}}));
        let Some(Exclusion::MaxPrice { field: named, price: None, limit }) = reason else {
            unreachable!()
        };
        assert_eq!((named.name(), limit), (field, 1_000.0));
    }
    let unused = excluded(&blank(), json!({"max_price": {"audio": 1}}));
    assert_eq!(unused, None, "no audio, no price of audio");
    let broken = Price { input: f64::NAN, ..Price::default() };
    let reason = excluded(
        &Profile { price: Some(broken), ..profile() },
        json!({"max_price": {"prompt": 1}}),
    );
    assert!(matches!(reason, Some(Exclusion::MaxPrice { .. })));
}

/// Every reason, with its tag and a part of its clause.
fn reasons() -> Vec<(Exclusion, &'static str, &'static str)> {
    vec![
        (Exclusion::NoCredential, "no_credential", "credential is not set"),
        (
            Exclusion::ContextWindow { window: 10, input_tokens: 99 },
            "context_window",
            "window of 10 tokens is far below the prompt's 99",
        ),
        (
            Exclusion::MaxOutput { limit: 5, asked: 6 },
            "max_output",
            "end at 5 tokens, and max_tokens is 6",
        ),
        (Exclusion::Modality { missing: Modality::Image }, "modality", "takes no images"),
        (Exclusion::Only, "only", "not in provider.only"),
        (Exclusion::Ignore, "ignore", "in provider.ignore"),
        (Exclusion::Order, "order", "not in provider.order and provider.allow_fallbacks is false"),
        (
            Exclusion::AllowFallbacks,
            "allow_fallbacks",
            "not the first and provider.allow_fallbacks",
        ),
        (
            Exclusion::RequireParameters { missing: vec!["seed".to_owned(), "top_k".to_owned()] },
            "require_parameters",
            "does not honour seed, top_k, and provider.require_parameters is true",
        ),
        (
            Exclusion::DataCollection { training: Some(true), retention_days: None },
            "data_collection",
            "trains on prompts, and provider.data_collection is \"deny\"",
        ),
        (
            Exclusion::DataCollection { training: None, retention_days: Some(0) },
            "data_collection",
            "trains on prompts is unknown",
        ),
        (
            Exclusion::DataCollection { training: Some(false), retention_days: Some(60) },
            "data_collection",
            "keeps prompts for 60 days (more than 30)",
        ),
        (Exclusion::Zdr { retention_days: Some(1) }, "zdr", "for 1 day, and provider.zdr is true"),
        (
            Exclusion::Zdr { retention_days: None },
            "zdr",
            "how long its provider keeps prompts is unknown",
        ),
        (
            Exclusion::Quantization { quantization: Quantization::Fp4 },
            "quantization",
            "is fp4, which is not in provider.quantizations",
        ),
        (
            Exclusion::MaxPrice { field: PriceField::Completion, price: Some(15.0), limit: 10.0 },
            "max_price",
            "its output price 15 USD is above provider.max_price.completion = 10",
        ),
        (
            Exclusion::MaxPrice { field: PriceField::Prompt, price: None, limit: 0.5 },
            "max_price",
            "its input price is unknown, and provider.max_price.prompt = 0.5",
        ),
        (Exclusion::Distillable { known: true }, "distillable", "author does not let"),
        (
            Exclusion::Distillable { known: false },
            "distillable",
            "is unknown, and provider.enforce",
        ),
    ]
}

#[test]
fn reasons_have_stable_tags_and_survive_their_record() {
    for (reason, tag, clause) in reasons() {
        let written = serde_json::to_value(&reason).unwrap();
        assert_eq!(written["reason"], tag);
        assert_eq!(serde_json::from_value::<Exclusion>(written).unwrap(), reason);
        let text = reason.to_string();
        assert!(text.contains(clause), "{text}");
        assert!(!text.ends_with('.'), "{text}");
    }
}

#[test]
fn an_explanation_names_each_endpoint_and_is_bounded() {
    let left_out = [("openai/gpt-5", Exclusion::Only), ("groq/x", Exclusion::NoCredential)];
    let text = explain("m", left_out.iter().map(|(name, why)| (*name, why)));
    let expected = "no endpoint of `m` is left: openai/gpt-5 – it is not in provider.only; \
                    groq/x – its provider's credential is not set";
    assert_eq!(text, expected);

    let many = vec![("a/b", Exclusion::Ignore); LISTED_ENDPOINTS + 5];
    let text = explain("m", many.iter().map(|(name, why)| (*name, why)));
    assert_eq!(text.matches("a/b").count(), LISTED_ENDPOINTS);
    assert!(text.ends_with("; and 5 more"), "{text}");

    let nobody: [(&str, &Exclusion); 0] = [];
    assert_eq!(explain("m", nobody.into_iter()), "no endpoint of `m` is left: it has none");
}
