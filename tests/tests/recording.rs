//! What is on record of a call: the documented keys, whom it belongs to, what it cost, and no
//! more of its content than everybody who has a say allows.

mod documented;
mod silence;

use serde_json::{Value, json};
use torana_tests::anthropic;
use torana_tests::client::Request;
use torana_tests::eventually::eventually;
use torana_tests::gateway::{Config, Folder, Gateway};
use torana_tests::guest;
use torana_tests::openai::{self, TEXT};
use torana_tests::provider::{Asked, Provider};
use torana_tests::script::Script;

use crate::setup::{NEIGHBOUR, SINK, both_paths, compatible, plugin};

const ROWS: &str = "[sinks.lines]\nplugin = \"sink-jsonl\"\nsettings = { path = \"rows.jsonl\" }\n";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Rows of one kind that are in `rows.jsonl` by now.
fn rows(folder: &Folder, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.path("rows.jsonl")).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["kind"] == kind).map(|line| line["row"].clone()).collect()
}

/// Waits for the row of a call and gives it with those of its attempts.
#[track_caller]
fn recorded(gateway: &Gateway, id: &str) -> (Value, Vec<Value>) {
    eventually("the rows of the call", || {
        let row = rows(&gateway.folder, "inference").into_iter().find(|row| row["id"] == id)?;
        let attempts = rows(&gateway.folder, "model_inference");
        let own = attempts.into_iter().filter(|row| row["inference_id"] == id);
        let attempts: Vec<Value> = own.collect();
        (row["attempts"] == attempts.len()).then_some((row, attempts))
    })
}

fn id(reply: &torana_tests::client::Reply) -> &str {
    reply.only_header("x-torana-inference-id")
}

fn said(prompt: &str, model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": prompt }] })
}

#[test]
fn tags_come_from_metadata_and_header_and_metadata_still_goes_to_the_provider() {
    let provider = Provider::start(openai::respond);
    let gateway = Gateway::start(&both_paths(&provider).and(ROWS));
    let mut body = openai::chat("forwarded");
    body["metadata"] = json!({ "team": "body", "user": "ü", "n": 1 });
    let request = openai::completion(&body).header("x-torana-tags", "team=header,run=a%2Cb");
    let reply = gateway.send(&request).expect(200);
    let (row, _) = recorded(&gateway, id(&reply));
    assert_eq!(row["tags"], json!({ "team": "header", "run": "a,b", "user": "ü" }));
    let asked = provider.only_asked();
    assert_eq!(asked.json()["metadata"], body["metadata"]);
    assert_eq!(asked.header("x-torana-tags"), None);

    let claude = json!({ "model": "translated", "max_tokens": 9, "metadata": { "user_id": "u" },
                         "messages": [{ "role": "user", "content": "hi" }] });
    let request = Request::post("/v1/messages", &claude).header("x-torana-tags", "a=b");
    let reply = gateway.send(&request).expect(200);
    assert_eq!(recorded(&gateway, id(&reply)).0["tags"], json!({ "a": "b" }));

    let request =
        openai::completion(&openai::chat("forwarded")).header("x-torana-tags", "nonsense");
    let reply = gateway.send(&request).expect(400);
    assert_eq!(reply.error("param"), "x-torana-tags", "{reply}");
}

#[test]
fn trace_goes_through_the_gateway_with_a_span_for_each_attempt() {
    let provider = Provider::start(|asked: &Asked| {
        if asked.json()["model"] == "broken" {
            return Script::json(500, &openai::error("no", "server_error", "no"));
        }
        openai::respond(asked)
    });
    let tables = compatible("up", &provider.url(), "")
        + "[models.m]\nrouter = \"priority\"\nendpoints = [\"up/broken\", \"up/good\"]\n"
        + ROWS;
    let gateway = Gateway::start(&Config::new(&tables));
    let traced = |gateway: &Gateway| {
        let request = openai::completion(&openai::chat("m"))
            .header("traceparent", &format!("00-{TRACE}-{PARENT}-01"))
            .header("tracestate", "vendor=1");
        let reply = gateway.send(&request).expect(200);
        recorded(gateway, id(&reply))
    };
    let (row, attempts) = traced(&gateway);
    assert_eq!((&row["trace_id"], &row["parent_span_id"]), (&json!(TRACE), &json!(PARENT)));
    let asked = provider.asked();
    assert_eq!((attempts.len(), asked.len()), (2, 2), "{attempts:#?}");
    for (attempt, asked) in attempts.iter().zip(&asked) {
        let span = attempt["span_id"].as_str().unwrap();
        assert_eq!(attempt["trace_id"], TRACE);
        assert_ne!(span, row["span_id"]);
        assert_eq!(asked.header("traceparent"), Some(&*format!("00-{TRACE}-{span}-01")));
        assert_eq!(asked.header("tracestate"), Some("vendor=1"));
    }
    assert_ne!(attempts[0]["span_id"], attempts[1]["span_id"]);

    let reply = gateway.chat(&openai::chat("m")).expect(200);
    let (own, _) = recorded(&gateway, id(&reply));
    assert_eq!(own["parent_span_id"], Value::Null);
    assert_ne!(own["trace_id"], TRACE);

    for (heeded, taken) in [("in", true), ("none", false)] {
        let config = Config::new(&tables).server(&format!("trace_headers = \"{heeded}\""));
        let gateway = Gateway::start(&config);
        provider.forget();
        let (row, _) = traced(&gateway);
        assert_eq!(row["trace_id"] == TRACE, taken, "{heeded}: {row:#}");
        for asked in provider.asked() {
            assert_eq!(asked.header("traceparent"), None, "{heeded}");
            assert_eq!(asked.header("tracestate"), None, "{heeded}");
        }
    }
}

#[test]
fn cost_is_the_providers_own_or_the_prices_and_the_sum_of_the_attempts() {
    let provider = Provider::start(|asked: &Asked| match asked.json()["model"].as_str() {
        Some("reports") => {
            let mut answer = openai::answer(TEXT);
            answer["usage"]["cost"] = json!(0.1);
            Script::json(200, &answer)
        }
        _ => openai::respond(asked),
    });
    let priced = |model| {
        format!(
            "{{ provider = \"up\", model = \"{model}\", price = {{ input = 3.0, output = 15.0 }} }}"
        )
    };
    let tables = compatible("up", &provider.url(), "")
        + &format!("[models.reports]\nendpoints = [{}]\n", priced("reports"))
        + &format!("[models.priced]\nendpoints = [{}]\n", priced("priced"))
        + "[models.unpriced]\nendpoints = [\"up/unpriced\"]\n"
        + ROWS;
    let gateway = Gateway::start(&Config::new(&tables));
    let by_price = (11.0 * 3.0 + 7.0 * 15.0) / 1e6;
    for (model, cost, source) in [
        ("reports", json!(0.1), json!("provider")),
        ("priced", json!(by_price), json!("catalog")),
        ("unpriced", Value::Null, Value::Null),
    ] {
        let reply = gateway.chat(&openai::chat(model)).expect(200);
        let (row, attempts) = recorded(&gateway, id(&reply));
        for row in [&row, &attempts[0]] {
            assert_eq!((&row["cost_usd"], &row["cost_source"]), (&cost, &source), "{row:#}");
        }
        assert_eq!(attempts[0]["model"], model);
        assert_eq!(row["response_id"], "chatcmpl-scripted");
    }
}

#[test]
fn stream_that_the_client_leaves_is_recorded_with_what_had_come_and_what_that_costs() {
    const WORDS: &str = "what was said before the client left";
    let provider = Provider::start(|asked: &Asked| {
        let events = anthropic::events(&anthropic::message(asked, &[anthropic::text(WORDS)]));
        let begun = events.len() - 3;
        Script::sse().bytes(anthropic::sse(&events[..begun])).until_closed()
    });
    let tables = format!(
        "[providers.up]\nplugin = \"provider-anthropic\"\nbase_url = \"{}\"\n\
         [models.m]\nendpoints = [{{ provider = \"up\", model = \"x\", price = {{ input = 1e6, output = 1.0 }} }}]\n",
        provider.url()
    );
    let tables = tables.replace("1e6", "100000.0") + ROWS;
    let gateway = Gateway::start(&Config::new(tables));
    for path in ["/v1/chat/completions", "/v1/messages"] {
        let body = json!({ "model": "m", "max_tokens": 99, "stream": true,
                           "messages": [{ "role": "user", "content": "hi" }] });
        let mut stream = Request::post(path, &body).stream(gateway.address());
        let inference = stream.header("x-torana-inference-id").unwrap().to_owned();
        for _ in 0..5 {
            stream.next_event().unwrap();
        }
        drop(stream);
        let (row, attempts) = recorded(&gateway, &inference);
        assert_eq!((&row["outcome"], &row["status"]), (&json!("cancelled"), &json!(499)));
        assert!(row["response"].to_string().contains("before the client"), "{row:#}");
        assert_eq!(attempts[0]["outcome"], "cancelled");
        assert_eq!(attempts[0]["usage"]["input"], 11, "{attempts:#?}");
        assert!(row["cost_usd"].as_f64().unwrap() >= 1.1, "{row:#}");
        assert_eq!(row["cost_usd"], attempts[0]["cost_usd"]);
    }
}

#[test]
fn bodies_are_kept_as_they_went_and_came_up_to_the_bound() {
    let provider = Provider::start(|asked: &Asked| {
        let model = asked.json()["model"].as_str().unwrap().to_owned();
        if model == "refuses" {
            return Script::json(400, &openai::error("bad request body", "invalid", "bad"));
        }
        openai::respond(asked)
    });
    let config = both_paths(&provider)
        .and("[models.refused]\nendpoints = [\"forwarded/refuses\"]\n")
        .and(ROWS);
    let gateway = Gateway::start(&config);
    for (model, stream) in
        [("forwarded", false), ("translated", false), ("forwarded", true), ("translated", true)]
    {
        provider.forget();
        let body = if stream { openai::streaming_chat(model) } else { openai::chat(model) };
        let reply = gateway.chat(&body).expect(200);
        let (_, attempts) = recorded(&gateway, id(&reply));
        let attempt = &attempts[0];
        assert_eq!(attempt["raw_request"], provider.only_asked().text(), "{model} {stream}");
        let sent = if stream {
            String::from_utf8(openai::sse_done(&openai::events(TEXT))).unwrap()
        } else {
            openai::answer(TEXT).to_string()
        };
        assert_eq!(attempt["raw_response"], sent, "{model} {stream}");
        assert!(attempt.get("raw_truncated").is_none());
    }
    let reply = gateway.chat(&openai::chat("refused")).expect(400);
    let (_, attempts) = recorded(&gateway, id(&reply));
    assert!(attempts[0]["raw_response"].as_str().unwrap().contains("bad request body"));

    let gateway = Gateway::start(&config.clone().and("[journal]\nraw_kib = 1"));
    for stream in [false, true] {
        let mut body = said(&"é".repeat(4_000), "forwarded");
        body["stream"] = json!(stream);
        let reply = gateway.chat(&body).expect(200);
        let (row, attempts) = recorded(&gateway, id(&reply));
        let raw = attempts[0]["raw_request"].as_str().unwrap();
        assert!((1_000..=1_024).contains(&raw.len()), "{}", raw.len());
        assert!(raw.ends_with('é'), "no half characters: {raw}");
        assert_eq!(attempts[0]["raw_truncated"], true);
        assert!(row["request"].to_string().len() > 8_000, "only raw bodies are cut");
    }
    let gateway = Gateway::start(&config.and("[journal]\nraw_kib = 0"));
    let reply = gateway.chat(&openai::chat("forwarded")).expect(200);
    let (_, attempts) = recorded(&gateway, id(&reply));
    assert_eq!(attempts[0]["raw_request"], Value::Null);
    assert_eq!(attempts[0]["raw_response"], Value::Null);
}

/// `strict`: a key that wants nothing kept, and `open` one that says nothing; functions alike.
fn rules(provider: &Provider, journal: &str) -> Folder {
    let config = both_paths(provider)
        .and("[keys.open]\nsecret = \"env:OPEN\"\n[keys.careful]\nsecret = \"env:CAREFUL\"\ncontent = \"metadata\"\n")
        .and("[keys.strict]\nsecret = \"env:STRICT\"\ncontent = \"none\"\n")
        .and("[functions.careful]\ncontent = \"metadata\"\n[functions.careful.variants.a]\nmodel = \"forwarded\"\nweight = 1\n")
        .and("[functions.secret]\ncontent = \"none\"\n[functions.secret.variants.a]\nmodel = \"forwarded\"\nweight = 1\n")
        .and("[functions.open]\n[functions.open.variants.a]\nmodel = \"forwarded\"\nweight = 1\n")
        .and(journal)
        .and(ROWS);
    Folder::new(&config)
}

const KEYS: [(&str, &str); 3] =
    [("OPEN", "key-open"), ("CAREFUL", "key-careful"), ("STRICT", "key-strict")];

#[test]
fn strictest_of_journal_key_function_and_client_decides_what_is_kept() {
    let provider = Provider::start(openai::respond);
    let gateway = Gateway::start_in(rules(&provider, ""), &KEYS);
    let call = |key: &str, model: &str, header: Option<&str>| {
        let request = openai::completion(&said("mark-of-a-prompt", model))
            .header("authorization", &format!("Bearer key-{key}"));
        let request = match header {
            Some(content) => request.header("x-torana-content", content),
            None => request,
        };
        let reply = gateway.send(&request).expect(200);
        id(&reply).to_owned()
    };
    let cases = [
        ("open", "forwarded", None, Some("full")),
        ("open", "function::open", Some("full"), Some("full")),
        ("open", "function::careful", None, Some("metadata")),
        ("open", "function::careful", Some("full"), Some("metadata")),
        ("open", "forwarded", Some("metadata"), Some("metadata")),
        ("careful", "function::open", Some("full"), Some("metadata")),
        ("open", "function::secret", Some("full"), None),
        ("careful", "forwarded", Some("none"), None),
        ("strict", "function::open", Some("full"), None),
    ];
    let ids: Vec<String> =
        cases.iter().map(|(key, model, header, _)| call(key, model, *header)).collect();
    // Rows come in order: with the last that is kept, all before it are there.
    let last = call("open", "forwarded", None);
    recorded(&gateway, &last);
    let (inferences, attempts) =
        (rows(&gateway.folder, "inference"), rows(&gateway.folder, "model_inference"));
    for (id, (key, model, header, kept)) in ids.iter().zip(&cases) {
        let case = format!("{key} {model} {header:?}");
        let row = inferences.iter().find(|row| row["id"] == id.as_str());
        let its: Vec<_> =
            attempts.iter().filter(|row| row["inference_id"] == id.as_str()).collect();
        assert_eq!(row.and_then(|row| row["content"].as_str()), *kept, "{case}");
        assert_eq!(its.len(), usize::from(kept.is_some()), "{case}");
        let Some(row) = row else { continue };
        let text = format!("{row} {}", its[0]);
        assert_eq!(text.contains("mark-of-a-prompt"), *kept == Some("full"), "{case}: {text}");
        assert_eq!(row["usage"]["input"], 11, "{case}");
    }
    let metrics = gateway.metrics();
    let count = |line: &str| line.rsplit(' ').next().and_then(|it| it.parse::<f64>().ok());
    let requests = metrics.lines().filter(|it| it.starts_with("torana_requests_total"));
    let total: f64 = requests.filter_map(count).sum();
    assert!((total - 10.0).abs() < 0.5, "all are counted: {metrics}");
}

#[test]
fn errors_under_metadata_say_what_happened_and_quote_nobody() {
    let provider = Provider::start(|asked: &Asked| {
        Script::json(400, &openai::error(&asked.text(), "invalid_request_error", "echoed"))
    });
    let folder = rules(&provider, "[journal]\ncontent = \"metadata\"");
    let gateway = Gateway::start_in(folder, &KEYS);
    let send = |body: &Value| {
        let request = openai::completion(body).header("authorization", "Bearer key-open");
        let reply = gateway.send(&request).expect(400);
        recorded(&gateway, id(&reply))
    };
    let (row, attempts) = send(&said("mark-of-a-prompt", "forwarded"));
    let error = json!({ "kind": "invalid_request", "code": "echoed", "message": null });
    assert_eq!((&row["error"], &attempts[0]["error"]), (&error, &error));
    let (row, _) = send(&json!({ "model": "forwarded", "messages": "mark-of-a-prompt" }));
    assert_eq!(row["error"]["message"], Value::Null, "{row:#}");
    let lines = std::fs::read_to_string(gateway.folder.path("rows.jsonl")).unwrap();
    assert!(!lines.contains("mark-of-a-prompt"), "{lines}");

    let gone = Request::post("/v1/chat/completions", &said("x", "no-such-model"));
    let reply = gateway.send(&gone.header("authorization", "Bearer key-open")).expect(404);
    let (row, _) = recorded(&gateway, id(&reply));
    assert!(row["error"]["message"].as_str().unwrap().contains("no-such-model"), "{row:#}");
}

#[test]
fn call_that_leaves_no_row_is_not_remembered_either() {
    let provider = Provider::start(openai::respond);
    let gateway = Gateway::start(&both_paths(&provider));
    let body = json!({ "model": "translated", "input": "hello" });
    let request = Request::post("/v1/responses", &body).header("x-torana-content", "none");
    let given = gateway.send(&request).expect(200).json();
    let kept = gateway.send(&Request::post("/v1/responses", &body)).expect(200);
    gateway.inference(id(&kept));
    let next =
        json!({ "model": "translated", "input": "go on", "previous_response_id": given["id"] });
    let reply = gateway.send(&Request::post("/v1/responses", &next)).expect(404);
    assert!(reply.message().contains("x-torana-content"), "it says why: {reply}");
    let wrong = Request::post("/v1/responses", &body).header("x-torana-content", "a little");
    let reply = gateway.send(&wrong).expect(400);
    assert_eq!(reply.error("param"), "x-torana-content");
}

#[test]
fn redacted_values_are_nowhere_on_disk() {
    let provider =
        Provider::start(|asked: &Asked| openai::respond_with(asked, "mark-of-an-answer"));
    let redact = "[journal]\nredact = [\"/messages/*/content\", \"/metadata/user\", \"/blocks/*/text\", \"/input\"]\n";
    let gateway = Gateway::start(&both_paths(&provider).and(redact).and(ROWS));
    for (model, stream) in [("forwarded", false), ("translated", false), ("forwarded", true)] {
        let mut body = said("mark-of-a-prompt", model);
        body["stream"] = json!(stream);
        body["metadata"] = json!({ "user": "mark-of-a-user", "run": "7" });
        let reply = gateway.chat(&body).expect(200);
        let (row, attempts) = recorded(&gateway, id(&reply));
        assert_eq!(
            row["request"]["messages"][0],
            json!({ "role": "user", "content": "[redacted]" })
        );
        assert_eq!(row["request"]["model"], model, "the rest is there");
        assert_eq!(row["response"]["blocks"][0]["text"], "[redacted]", "{row:#}");
        assert_eq!(row["redacted"], true);
        assert_eq!(row["tags"], json!({ "user": "[redacted]", "run": "7" }));
        // Raw bodies may have elsewhere what the paths name.
        assert_eq!(attempts[0]["raw_request"], Value::Null, "{model}");
        assert_eq!(attempts[0]["raw_response"], Value::Null, "{model}");
    }
    let body = json!({ "model": "translated", "input": "mark-of-a-prompt" });
    let given = gateway.send(&Request::post("/v1/responses", &body)).expect(200);
    gateway.inference(id(&given));
    let id = given.json()["id"].clone();
    let next = json!({ "model": "translated", "input": "go on", "previous_response_id": id });
    gateway.send(&Request::post("/v1/responses", &next)).expect(404);
    for file in files(&gateway.folder.path("")) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("mark-of-a"), "{}", file.display());
    }
}

/// Every file below a folder.
fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn bad_pointer_is_refused_with_its_line() {
    let text =
        format!("[journal]\nredact = [\n  \"/messages\",\n  \"messages/*\",\n]\n{NEIGHBOUR}");
    let (good, said) = Folder::new(&Config::new(text)).check();
    assert!(!good && said.contains("begins with '/'") && said.contains("\"messages/*\""), "{said}");
    let line = said.lines().find(|line| line.contains("begins with")).unwrap();
    assert!(line.contains("torana.toml:"), "{said}");
}

#[test]
fn snapshots_and_what_happens_to_plugins_have_rows_of_their_own() {
    let tables = NEIGHBOUR.to_owned()
        + &plugin("trap", &guest::path("provider-hostile"), "")
        + "[providers.trap]\nplugin = \"trap\"\n[models.trap]\nendpoints = [\"trap/trap\"]\n\
           [functions.greet.variants.a]\nmodel = \"neighbour\"\nweight = 1\n"
        + ROWS;
    let gateway = Gateway::start(&Config::new(&tables));
    for _ in 0..4 {
        gateway.chat(&openai::chat("trap")).expect(502);
    }
    let events = eventually("the events of the plugin", || {
        let events = rows(&gateway.folder, "plugin_event");
        (events.len() == 4).then_some(events)
    });
    let words: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(words, ["killed", "killed", "killed", "quarantined"]);
    for event in &events {
        assert_eq!((&event["plugin"], &event["reason"]), (&json!("trap"), &json!("trap")));
        assert_eq!(event["generation"], 1);
    }
    gateway.reload().expect(200);
    let snapshots = eventually("the row of the second snapshot", || {
        let snapshots = rows(&gateway.folder, "snapshot");
        (snapshots.len() == 2).then_some(snapshots)
    });
    let released = eventually("the release", || {
        rows(&gateway.folder, "plugin_event").into_iter().find(|event| event["event"] == "released")
    });
    assert_eq!(released["reason"], "reload");
    let first = &snapshots[0];
    assert_eq!((&first["generation"], &snapshots[1]["generation"]), (&json!(1), &json!(2)));
    assert_eq!(first["hash"], gateway.status()["snapshot"]);
    assert_eq!(first["models"]["neighbour"]["endpoints"], json!(["sim/demo"]));
    assert_eq!(first["functions"], json!({ "greet": { "a": "neighbour" } }));
    let path = first["files"][0]["path"].as_str().unwrap();
    assert!(path.ends_with("torana.toml"), "{first:#}");
    let plugins = first["plugins"].as_array().unwrap();
    let hostile = plugins.iter().find(|plugin| plugin["name"] == "trap").unwrap();
    assert!(hostile["source"].as_str().unwrap().starts_with("file:"), "{hostile}");

    let broken = Config::new(tables + "[models.broken]\nendpoints = [\"nobody/x\"]\n");
    gateway.folder.configure(&broken);
    gateway.reload();
    let reply = gateway.chat(&openai::chat("neighbour")).expect(200);
    recorded(&gateway, id(&reply));
    assert_eq!(rows(&gateway.folder, "snapshot").len(), 2, "a refused reload leaves none");
}
