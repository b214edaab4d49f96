//! The record of a routing decision: complete in the store and on request in the reply, made
//! again by `torana route replay`, and readable where inputs are not kept.

use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::{Value, json};
use torana_tests::dialects::Dialect;
use torana_tests::eventually::eventually;
use torana_tests::faults::Early;
use torana_tests::gateway::{Config, Gateway, both, torana};
use torana_tests::guest;
use torana_tests::load::{Failure, Load};
use torana_tests::openai;
use torana_tests::provider::Provider;

use crate::setup::{SINK, compatible, plugin};

const POLICIES: [&str; 5] = ["adaptive", "balanced", "latency", "weighted", "priority"];

/// A model for each of [`POLICIES`], named like it, and `broken-NAME`, whose first endpoint
/// fails.
fn config(broken: &Provider, healthy: &Provider) -> Config {
    let mut tables = SINK.to_owned();
    tables += &compatible("broken", &broken.url(), "");
    for name in ["one", "two", "three"] {
        tables += &compatible(name, &healthy.url(), "");
    }
    let price = "price = { input = 1.5, output = 6.0, cached_input = 0.15 }";
    for policy in POLICIES {
        tables += &format!(
            "[models.{policy}]\nrouter = \"{policy}\"\n\
             endpoints = [{{ provider = \"one\", model = \"m\", {price} }}, \"two/m\", \
                          {{ provider = \"three\", model = \"m\", weight = 3, context_window = 1 }}]\n\
             [models.broken-{policy}]\nrouter = \"{policy}\"\n\
             endpoints = [\"broken/m\", \"two/m\"]\n"
        );
    }
    Config::new(tables)
}

fn start() -> (Gateway, [Provider; 2]) {
    let providers =
        [Provider::always(Early::Status(500).script()), Provider::start(openai::respond)];
    let gateway = Gateway::start(&config(&providers[0], &providers[1]));
    (gateway, providers)
}

/// A call, and its record.
#[track_caller]
fn recorded(gateway: &Gateway, model: &str) -> (String, Value) {
    let mut body = openai::chat(model);
    // Longer than the window of the third endpoint by far.
    body["messages"][0]["content"] = json!("hello hello hello hello hello hello hello");
    let reply = gateway.chat(&body).expect(200);
    let id = reply.only_header("x-torana-inference-id").to_owned();
    let record = gateway.inference(&id);
    (id, record)
}

fn replay(gateway: &Gateway, id: &str) -> Output {
    gateway.folder.run(&["route", "replay", id])
}

/// `torana route replay -`, without any configuration.
fn replay_alone(record: &Value, more: &[&str]) -> Output {
    let mut command = torana();
    command.args(["route", "replay", "-"]).args(more);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Failing means that it ended without reading, which the output tells.
    drop(stdin.write_all(record.to_string().as_bytes()));
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[test]
fn a_record_has_all_that_a_decision_rests_on() {
    let (gateway, _providers) = start();
    let (_, record) = recorded(&gateway, "adaptive");
    let decision = &record["decision"];
    assert_eq!(decision["order"], "policy");
    assert!(decision.get("gave_up").is_none(), "it was answered: {decision:#}");
    let plan = decision["plan"].as_array().unwrap();
    assert_eq!(plan.len(), 2, "{decision:#}");
    assert_eq!(plan[0], record["endpoint"], "{record:#}");
    let considered = &decision["models"][0];
    assert_eq!(considered["model"], "adaptive");
    assert_eq!(considered["router"], "adaptive");
    let left_out = &considered["left_out"][0];
    assert_eq!(left_out["endpoint"], "three/m", "{considered:#}");
    assert_eq!(left_out["reason"], "context_window", "{considered:#}");
    assert_eq!(left_out["window"], 1, "{considered:#}");
    let scored: Vec<&str> = considered["scores"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["endpoint"].as_str().unwrap())
        .collect();
    assert!(scored.contains(&"one/m") && scored.contains(&"two/m"), "{considered:#}");
    let policy = &considered["policy"];
    assert_eq!(policy["plugin"], "router-adaptive");
    assert!(policy["digest"].as_str().unwrap().starts_with("sha256:"), "{policy:#}");
    for fact in ["now_unix_ms", "seed", "input_tokens", "expected_output_tokens", "session"] {
        assert!(policy["facts"][fact].is_u64(), "no {fact}: {policy:#}");
    }
    let candidates = policy["candidates"].as_array().unwrap();
    let eligible: Vec<_> = candidates.iter().map(|row| row["eligible"] == true).collect();
    assert_eq!(eligible, [true, true, false], "{policy:#}");
    assert!(candidates[0]["cost_usd"].as_f64().unwrap() > 0.0, "{policy:#}");
    assert_eq!(policy["endpoints"][2]["weight"], 3.0, "{policy:#}");
    assert!(policy["said"]["steps"].is_array(), "{policy:#}");
    let attempt = &record["model_inferences"][0];
    assert_eq!(attempt["reason"], "first", "{attempt:#}");
    assert_eq!(attempt["outcome"], "ok", "{attempt:#}");
    assert!(attempt["total_ms"].is_f64(), "{attempt:#}");
}

#[test]
fn every_bundled_policy_decides_the_same_again() {
    let (gateway, _providers) = start();
    let mut calls: Vec<String> = POLICIES.map(str::to_owned).to_vec();
    calls.extend(POLICIES.map(|policy| format!("broken-{policy}")));
    for model in calls {
        // With nothing learned, and with something.
        recorded(&gateway, &model);
        let (id, record) = recorded(&gateway, &model);
        let by_id = replay(&gateway, &id);
        assert!(by_id.status.success(), "{model}: {}", both(&by_id));
        assert!(both(&by_id).contains("identical"), "{model}: {}", both(&by_id));
        let alone = replay_alone(&record, &[]);
        assert!(alone.status.success(), "{model}: {}", both(&alone));
        assert_eq!(alone.stdout, by_id.stdout, "{model}: the store and the route say the same");
    }
}

#[test]
fn a_replay_rests_on_what_the_policy_had_learned() {
    let (gateway, _providers) = start();
    let policy = |record: &Value| record["decision"]["models"][0]["policy"].clone();
    let record = eventually("the policy has learned something", || {
        let (_, record) = recorded(&gateway, "broken-balanced");
        policy(&record)["learned"].is_string().then_some(record)
    });
    let output = replay_alone(&record, &["--json"]);
    assert!(output.status.success(), "{}", both(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told[0]["model"], "broken-balanced", "{told:#}");
    assert_eq!(told[0]["verdict"], "identical", "{told:#}");
}

#[test]
fn a_record_that_was_tampered_with_does_not_replay() {
    let (gateway, _providers) = start();
    let (_, record) = recorded(&gateway, "priority");
    let mut swapped = record.clone();
    let steps = &mut swapped["decision"]["models"][0]["policy"]["said"]["steps"];
    steps.as_array_mut().unwrap().reverse();
    let output = replay_alone(&swapped, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    assert!(both(&output).contains("DIFFERENT"), "{}", both(&output));

    let mut other = record.clone();
    let rows = &mut other["decision"]["models"][0]["policy"]["candidates"];
    rows[0]["eligible"] = json!(false);
    let output = replay_alone(&other, &["--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told[0]["verdict"], "different", "{told:#}");

    let mut stranger = record;
    stranger["decision"]["models"][0]["policy"]["digest"] =
        json!(format!("sha256:{}", "0".repeat(64)));
    let output = replay_alone(&stranger, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    assert!(both(&output).contains("--policy"), "it says what to do: {}", both(&output));
}

#[test]
fn a_replay_that_cannot_be_says_why() {
    let (gateway, _providers) = start();
    let unknown = "01890a5d-ac96-774b-bcce-b302099a8057";
    let output = replay(&gateway, unknown);
    assert!(!output.status.success());
    assert!(both(&output).contains(unknown), "{}", both(&output));
    for (record, word) in [
        (json!({}), "no decision"),
        (json!({ "decision": 3 }), "no JSON of an inference"),
        (json!("text"), "no JSON of an inference"),
    ] {
        let output = replay_alone(&record, &[]);
        assert!(!output.status.success(), "{record}");
        assert!(both(&output).contains(word), "{record}: no {word:?} in {}", both(&output));
        assert!(!both(&output).contains("panicked"), "{}", both(&output));
    }
}

#[test]
fn a_policy_that_dies_is_on_record_and_the_plan_is_in_the_written_order() {
    let healthy = Provider::start(openai::respond);
    let mut tables = compatible("one", &healthy.url(), "") + SINK;
    for behaviour in ["trap", "loop"] {
        tables += &plugin(&format!("policy-{behaviour}"), &guest::path("router-hostile"), "");
        tables += &format!(
            "[routers.{behaviour}]\nplugin = \"policy-{behaviour}\"\n\
             settings = {{ route = \"{behaviour}\" }}\n\
             [models.{behaviour}]\nrouter = \"{behaviour}\"\nendpoints = [\"one/a\", \"one/b\"]\n"
        );
    }
    let gateway = Gateway::start(&Config::new(tables));
    for (behaviour, why) in [("trap", "trap"), ("loop", "CPU")] {
        // Beyond the third the policy is not even asked.
        let mut last = String::new();
        for turn in 0..5 {
            let (id, record) = recorded(&gateway, behaviour);
            let considered = &record["decision"]["models"][0];
            assert_eq!(record["decision"]["plan"], json!(["one/a", "one/b"]), "{record:#}");
            let fallback = considered["fallback"].as_str().unwrap_or_default();
            let why = if turn < 3 { why } else { "quarantine" };
            assert!(fallback.contains(why), "{behaviour} {turn}: no {why}: {considered:#}");
            assert!(considered["policy"].get("said").is_none(), "{considered:#}");
            last = id;
        }
        let output = replay(&gateway, &last);
        assert!(output.status.success(), "{}", both(&output));
        assert!(both(&output).contains("failed then and now"), "{}", both(&output));
    }
}

/// What the header says, as JSON.
#[track_caller]
fn explained(header: Option<&str>) -> Value {
    let header = header.unwrap();
    serde_json::from_str(header).unwrap_or_else(|error| panic!("{error}: {header}"))
}

#[test]
fn a_reply_is_explained_to_who_asks_and_to_nobody_else() {
    let (gateway, _providers) = start();
    for dialect in [Dialect::Chat, Dialect::Responses, Dialect::Messages] {
        for body in [dialect.body("priority"), dialect.streaming("broken-priority")] {
            let ask = |value: Option<&str>| {
                let mut request = dialect.request(&body);
                if let Some(value) = value {
                    request = request.header("x-torana-explain", value);
                }
                request.stream(gateway.address()).into_reply().unwrap().expect(200)
            };
            assert_eq!(ask(None).header("x-torana-explain"), None);
            assert_eq!(ask(Some("0")).header("x-torana-explain"), None);
            let reply = ask(Some("1"));
            let why = explained(reply.header("x-torana-explain"));
            let attempts = why["attempts"].as_array().unwrap();
            let last = attempts.last().unwrap();
            assert_eq!(last["endpoint"], reply.only_header("x-torana-endpoint"), "{why:#}");
            assert_eq!(last["outcome"], "ok", "{why:#}");
            let count = reply.only_header("x-torana-attempts");
            assert_eq!(attempts.len().to_string(), count, "{why:#}");
            assert_eq!(why["decision"]["order"], "policy", "{why:#}");
            assert!(why["decision"]["models"][0].get("policy").is_none(), "no inputs: {why:#}");
        }
    }
}

#[test]
fn a_failure_is_explained_as_well() {
    let broken = Provider::always(Early::Status(500).script());
    let tables =
        compatible("one", &broken.url(), "") + "[models.m]\nendpoints = [\"one/a\", \"one/b\"]\n";
    let gateway = Gateway::start(&Config::new(tables));
    let request = openai::completion(&openai::chat("m")).header("x-torana-explain", "true");
    let reply = gateway.send(&request).expect(500);
    let why = explained(reply.header("x-torana-explain"));
    assert_eq!(why["decision"]["gave_up"], "steps_exhausted", "{why:#}");
    let attempts = why["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{why:#}");
    assert!(attempts.iter().all(|it| it["outcome"] == "server"), "{why:#}");
    assert_eq!(attempts[1]["reason"], "fallback", "{why:#}");
}

#[test]
fn an_explanation_is_a_header_whatever_the_client_wrote() {
    let (gateway, _providers) = start();
    let mut body = openai::chat("priority");
    // Neither ASCII nor short, and more than a header takes.
    for slugs in [vec!["Zürich \u{1f30d}\n".to_owned()], vec!["é".repeat(100); 100]] {
        body["provider"] = json!({ "order": slugs, "sort": "price" });
        let request = openai::completion(&body).header("x-torana-explain", "1");
        let reply = gateway.send(&request).expect(200);
        let header = reply.header("x-torana-explain");
        if slugs.len() == 1 {
            assert!(header.unwrap().is_ascii(), "{header:?}");
            let why = explained(header);
            assert_eq!(why["decision"]["preferences"]["order"], json!(slugs), "{why:#}");
        } else if let Some(header) = header {
            assert!(header.len() <= 8 << 10, "{} bytes", header.len());
            explained(Some(header));
        }
    }
}

#[test]
fn records_without_inputs_can_be_read_and_say_why_they_do_not_replay() {
    let healthy = Provider::start(openai::respond);
    let tables = compatible("one", &healthy.url(), "")
        + "[models.m]\nendpoints = [\"one/a\", { provider = \"one\", model = \"b\", \
           quantization = \"fp8\" }]\n[journal]\ndecisions = \"plan\"\n"
        + SINK;
    let gateway = Gateway::start(&Config::new(tables));
    let mut body = openai::chat("m");
    body["provider"] = json!({ "quantizations": ["fp8"] });
    let reply = gateway.chat(&body).expect(200);
    let id = reply.only_header("x-torana-inference-id");
    let record = gateway.inference(id);
    let decision = &record["decision"];
    assert_eq!(decision["plan"], json!(["one/b"]), "{decision:#}");
    let considered = &decision["models"][0];
    assert_eq!(considered["left_out"][0]["reason"], "quantization", "{decision:#}");
    assert!(considered.get("policy").is_none(), "{decision:#}");
    let output = replay(&gateway, id);
    assert_eq!(output.status.code(), Some(1), "{}", both(&output));
    assert!(both(&output).contains("journal.decisions"), "{}", both(&output));
}

#[test]
fn decisions_on_figures_of_all_kinds_replay_to_the_byte() {
    let (gateway, _providers) = start();
    let address = gateway.address();
    // Figures with all their digits, and endpoints in all states.
    let load = Load::start(4, move |worker, turn| {
        let policy = POLICIES[(worker + turn) % POLICIES.len()];
        let model = if turn % 3 == 0 { format!("broken-{policy}") } else { policy.to_owned() };
        let stream = openai::completion(&openai::streaming_chat(&model)).try_stream(address)?;
        let id = stream.header("x-torana-inference-id").unwrap_or_default().to_owned();
        let reply = stream.into_reply()?;
        if reply.status == 200 { Ok(id) } else { Err(Failure(reply.to_string())) }
    });
    load.wait_for_turns(200);
    let ids = load.finish();
    for id in ids.iter().rev().step_by(ids.len() / 20) {
        let record = gateway.inference(id);
        let output = replay_alone(&record, &[]);
        assert!(output.status.success(), "{}\n{record:#}", both(&output));
        assert!(both(&output).contains("identical"), "{}", both(&output));
    }
}
