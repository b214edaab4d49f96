//! `GET /v1/models/{model}/endpoints` says what is known of each endpoint and what was observed
//! of it, in OpenRouter's shape, and nothing that is not known.

use serde_json::{Value, json};
use torana_tests::client::Request;
use torana_tests::dialects::{self, Dialect};
use torana_tests::gateway::{Config, Folder, Gateway};
use torana_tests::openai;
use torana_tests::provider::Provider;
use torana_tests::script::Script;

use crate::setup::compatible;

/// Calls from which on an uptime is known.
const ENOUGH: usize = 10;

/// What nobody observed is `null`.
const FIGURES: [&str; 5] = [
    "uptime_last_5m",
    "uptime_last_30m",
    "uptime_last_1d",
    "latency_last_30m",
    "throughput_last_30m",
];

/// `known`, whose facts are the catalog's; `own`, with facts of the operator's; `bare`, of which
/// nothing is known; `unlit`, without a credential; and functions over them.
fn tables(provider: &Provider) -> String {
    let url = provider.url();
    let custom = compatible("custom", &url, "");
    format!(
        r#"
{custom}
[providers.openai]
preset = "openai"
base_url = "{url}"

[providers.unlit]
preset = "groq"

[models.known]
endpoints = ["openai/gpt-5-mini"]

[models.own]
endpoints = [
    {{ provider = "custom", model = "a", price = {{ input = 0.1, output = 3, cached_input = 0.01, cache_write = 0.125, request = 0.005 }}, context_window = 1000, max_output = 100, inputs = ["text", "image"], outputs = ["text"], quantization = "fp8", parameters = ["top_p", "seed"] }},
    {{ provider = "custom", model = "org/b", context_window = 3000 }},
]

[models.bare]
endpoints = ["custom/scripted"]

[models.unlit]
endpoints = ["unlit/scripted"]

[functions.greet.variants.one]
model = "known"
[functions.greet.variants.two]
model = "bare"
[functions.greet.variants.three]
model = "known"
"#
    )
}

fn start(provider: &Provider) -> Gateway {
    Gateway::start(&Config::new(tables(provider)))
}

/// Of a name as it stands in a path.
fn data(gateway: &Gateway, name: &str) -> Value {
    let reply = gateway.get(&format!("/v1/models/{name}/endpoints")).expect(200);
    let mut body = reply.json();
    body["data"].take()
}

fn only(data: &Value) -> &Value {
    let endpoints = data["endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 1, "{data:#}");
    &endpoints[0]
}

fn names(data: &Value) -> Vec<&str> {
    let endpoints = data["endpoints"].as_array().unwrap();
    endpoints.iter().map(|it| it["name"].as_str().unwrap()).collect()
}

#[test]
fn facts_are_those_of_the_catalog_and_of_the_operator_and_others_are_null() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);

    let known = data(&gateway, "known");
    assert_eq!((&known["id"], &known["name"]), (&json!("known"), &json!("known")), "{known:#}");
    let architecture = &known["architecture"];
    assert_eq!(architecture["input_modalities"], json!(["text", "image", "file"]), "{known:#}");
    assert_eq!(architecture["output_modalities"], json!(["text"]), "{known:#}");
    assert_eq!(architecture["modality"], "text+image+file->text", "{known:#}");
    let endpoint = only(&known);
    assert_eq!(endpoint["provider_name"], "openai", "{endpoint:#}");
    assert_eq!(endpoint["status"], 0, "{endpoint:#}");
    assert!(endpoint["context_length"].as_u64() > Some(100_000), "{endpoint:#}");
    let parameters = endpoint["supported_parameters"].as_array().unwrap();
    assert!(parameters.contains(&json!("tools")), "{endpoint:#}");
    let price: f64 = endpoint["pricing"]["prompt"].as_str().unwrap().parse().unwrap();
    assert!(price > 0.0 && price < 1e-4, "{endpoint:#}");

    let own = data(&gateway, "own");
    assert_eq!(names(&own), ["custom/a", "custom/org/b"]);
    let written = json!({
        "name": "custom/a", "tag": "custom/a", "provider_name": "custom",
        "model_id": "own", "model_name": "own",
        "context_length": 1000, "max_prompt_tokens": 1000, "max_completion_tokens": 100,
        "pricing": {
            "prompt": "0.0000001", "completion": "0.000003", "input_cache_read": "0.00000001",
            "input_cache_write": "0.000000125", "request": "0.005",
        },
        "quantization": "fp8", "supported_parameters": ["seed", "top_p"],
        "supports_implicit_caching": null, "status": 0,
        "uptime_last_5m": null, "uptime_last_30m": null, "uptime_last_1d": null,
        "latency_last_30m": null, "throughput_last_30m": null,
    });
    assert_eq!(own["endpoints"][0], written);

    let bare = data(&gateway, "bare");
    assert_eq!(bare["architecture"]["input_modalities"], Value::Null, "{bare:#}");
    let endpoint = only(&bare);
    for fact in ["context_length", "max_completion_tokens", "quantization"] {
        assert_eq!(endpoint[fact], Value::Null, "{fact}: {endpoint:#}");
    }
    let unknown = json!({ "prompt": null, "completion": null });
    assert_eq!(endpoint["pricing"], unknown, "{endpoint:#}");
    assert!(provider.asked().is_empty(), "no provider is asked");
}

#[test]
fn figures_are_those_of_the_calls_that_were_made() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    for _ in 0..ENOUGH - 1 {
        gateway.chat(&openai::streaming_chat("known")).expect(200);
    }
    let before = data(&gateway, "known");
    assert_eq!(only(&before)["uptime_last_5m"], Value::Null, "too few to say: {before:#}");
    assert!(only(&before)["latency_last_30m"].is_object(), "{before:#}");

    gateway.chat(&openai::streaming_chat("known")).expect(200);
    let after = data(&gateway, "known");
    let endpoint = only(&after);
    for span in ["uptime_last_5m", "uptime_last_30m", "uptime_last_1d"] {
        assert_eq!(endpoint[span], 100.0, "{span}: {endpoint:#}");
    }
    for figure in ["latency_last_30m", "throughput_last_30m"] {
        let at = |percentile: &str| endpoint[figure][percentile].as_f64().unwrap();
        let percentiles = ["p50", "p75", "p90", "p99"].map(at);
        assert!(percentiles[0] > 0.0, "{figure}: {endpoint:#}");
        assert!(percentiles.is_sorted(), "{figure}: {endpoint:#}");
    }
    for model in ["own", "bare"] {
        for endpoint in data(&gateway, model)["endpoints"].as_array().unwrap() {
            assert!(FIGURES.iter().all(|it| endpoint[it].is_null()), "another's: {endpoint:#}");
        }
    }
}

#[test]
fn endpoints_that_fail_or_ask_to_be_left_alone_have_it_in_their_status() {
    let broken = openai::error("broken", "server_error", "broken");
    let provider = Provider::always(Script::json(500, &broken));
    let gateway = start(&provider);
    for _ in 0..ENOUGH {
        gateway.chat(&openai::chat("bare"));
    }
    let bare = data(&gateway, "bare");
    let status = only(&bare)["status"].as_i64().unwrap();
    assert!(matches!(status, -3 | -1), "down, or about to be probed: {bare:#}");
    let asked = provider.asked().len();
    let uptime = if asked < ENOUGH { Value::Null } else { json!(0.0) };
    assert_eq!(only(&bare)["uptime_last_5m"], uptime, "{asked} calls: {bare:#}");
    assert_eq!(only(&data(&gateway, "unlit"))["status"], -10);

    let busy = openai::error("too many", "rate_limit_error", "rate_limit_exceeded");
    let provider = Provider::always(Script::json(429, &busy).header("retry-after", "120"));
    let gateway = start(&provider);
    for _ in 0..ENOUGH {
        gateway.chat(&openai::chat("bare"));
    }
    let bare = data(&gateway, "bare");
    assert_eq!(only(&bare)["status"], -2, "{bare:#}");
    assert_eq!(only(&bare)["uptime_last_5m"], Value::Null, "no fault of its: {bare:#}");
}

#[test]
fn any_name_that_a_request_may_have_is_known_however_it_is_written() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    let listed = data(&gateway, "known");
    for path in [
        "/openai/v1/models/known/endpoints",
        "/v1/models/known/endpoints?a=b",
        "/v1/models/%6bnown/endpoints",
    ] {
        assert_eq!(gateway.get(path).expect(200).json()["data"], listed, "{path}");
    }
    for name in ["openai/gpt-5-mini", "openai%2Fgpt-5-mini", "gpt-5-mini", "gpt-5-mini:floor"] {
        let direct = data(&gateway, name);
        assert_eq!(names(&direct), ["openai/gpt-5-mini"], "{name}");
        assert_eq!(direct["id"], name.replace("%2F", "/"), "{name}");
    }
    assert_eq!(names(&data(&gateway, "custom/org/b")), ["custom/org/b"]);
    let function = data(&gateway, "function::greet");
    assert_eq!(names(&function), ["openai/gpt-5-mini", "custom/scripted"], "{function:#}");
    assert_eq!(function["endpoints"][1]["model_id"], "bare", "{function:#}");
}

#[test]
fn endpoints_that_nothing_lists_have_the_catalogs_facts_and_no_figures() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    gateway.chat(&openai::streaming_chat("openai/gpt-5-nano")).expect(200);
    let unlisted = data(&gateway, "openai/gpt-5-nano");
    let endpoint = only(&unlisted);
    assert_eq!((&endpoint["tag"], &endpoint["status"]), (&json!("openai/gpt-5-nano"), &json!(0)));
    assert!(endpoint["pricing"]["prompt"].is_string(), "{endpoint:#}");
    assert!(FIGURES.iter().all(|it| endpoint[it].is_null()), "of any model: {endpoint:#}");
}

#[test]
fn names_of_nothing_are_refused_in_the_shape_of_the_client_that_asks() {
    let provider = Provider::start(dialects::respond);
    let tables = tables(&provider) + "[keys.team]\nsecret = \"env:CLIENT_KEY\"\n";
    let folder = Folder::new(&Config::new(tables));
    let gateway = Gateway::start_in(folder, &[("CLIENT_KEY", "sk-team")]);
    let ask = |method: &str, path: &str| {
        Request::new(method, path, Vec::new()).header("authorization", "Bearer sk-team")
    };
    for name in ["absent", "nobody/model", "function::absent", "openai/", ""] {
        let request = ask("GET", &format!("/v1/models/{name}/endpoints"));
        let reply = gateway.send(&request).expect(404);
        assert_eq!(Dialect::Chat.error_code(&reply), "model_not_found", "{name:?}: {reply}");
        assert!(reply.message().contains("known"), "what there is is named: {reply}");
        let reply = gateway.send(&request.header("anthropic-version", "2023-06-01")).expect(404);
        assert_eq!(Dialect::Messages.error_code(&reply), "model_not_found", "{name:?}: {reply}");
    }
    let reply = gateway.send(&ask("DELETE", "/v1/models/known/endpoints")).expect(405);
    assert_eq!(reply.header("allow"), Some("GET"), "{reply}");
    let reply = gateway.get("/v1/models/known/endpoints").expect(401);
    assert_eq!(Dialect::Chat.error_code(&reply), "missing_api_key", "{reply}");
    assert!(provider.asked().is_empty(), "no provider is asked");
}

#[test]
fn models_are_listed_with_the_widest_of_their_limits() {
    let provider = Provider::start(dialects::respond);
    let gateway = start(&provider);
    let own = gateway.get("/v1/models/own").expect(200).json();
    assert_eq!(
        (&own["context_length"], &own["max_completion_tokens"]),
        (&json!(3000), &json!(100))
    );
    let request = Request::get("/v1/models/own").header("anthropic-version", "2023-06-01");
    let own = gateway.send(&request).expect(200).json();
    assert_eq!((&own["max_input_tokens"], &own["max_tokens"]), (&json!(3000), &json!(100)));
    let bare = gateway.get("/v1/models/bare").expect(200).json();
    assert_eq!(bare.get("context_length"), None, "not known: {bare:#}");
}
