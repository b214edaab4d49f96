//! Sinks that carry rows to programs of other people: traces to a receiver with the official
//! classes of OTLP, rows to a webhook, files that gunzip reads. Nothing is lost while the
//! other side is away, and nothing of the conversation leaves unasked.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use torana_tests::eventually::eventually;
use torana_tests::gateway::{Config, Folder, Gateway};
use torana_tests::openai::{self, TEXT};
use torana_tests::otlp::Receiver;
use torana_tests::process::Missing;
use torana_tests::provider::{Asked, Provider};
use torana_tests::script::Script;

use crate::setup::{SINK, compatible};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A model whose first endpoint is overloaded, and one that answers at once.
fn models(provider: &Provider) -> Config {
    Config::new(format!(
        "{}[models.smart]\nrouter = \"priority\"\n\
         endpoints = [\"one/broken\", \"one/scripted\"]\n\
         [models.plain]\nendpoints = [\"one/scripted\"]\n\
         [routers.priority]\nplugin = \"router-priority\"\n{SINK}",
        compatible("one", &provider.url(), ""),
    ))
}

fn respond(asked: &Asked) -> Script {
    if asked.json()["model"] == "broken" {
        return Script::json(503, &openai::error("no room", "server_error", "overloaded"));
    }
    openai::respond(asked)
}

/// A sink of traces, and leave to reach it.
fn traces(url: &str, settings: &str) -> String {
    format!(
        "[plugins.sink-otlp]\ngrants = {{ http = [\"{url}\"] }}\n\
         [sinks.traces]\nplugin = \"sink-otlp\"\n[sinks.traces.settings]\nurl = \"{url}\"\n\
         {settings}\n"
    )
}

fn of<'a>(spans: &'a [Value], inference: &str) -> Vec<&'a Value> {
    let mut found: Vec<&Value> = spans
        .iter()
        .filter(|span| {
            let ids = &span["attributes"];
            ids["torana.inference_id"] == inference
        })
        .collect();
    found.sort_by_key(|span| span["start"].as_u64());
    found
}

/// The span of a request by its inference, and the one below it.
fn request_and_generation<'a>(
    spans: &'a [Value],
    inference: &str,
) -> Option<(&'a Value, &'a Value)> {
    let request = of(spans, inference).into_iter().find(|it| it["kind"] == "SPAN_KIND_SERVER")?;
    let below =
        |span: &&Value| span["parent"] == request["id"] && span["trace"] == request["trace"];
    Some((request, spans.iter().find(below)?))
}

#[test]
fn call_is_a_tree_of_spans_with_the_names_of_the_conventions() {
    let Some(python) = Missing::or_skip(Receiver::install(), "the OTLP receiver") else { return };
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(&python, 0, &folder.path().join("traces.jsonl"));
    let provider = Provider::start(respond);
    let resource = "compression = \"gzip\"\nresource = { \"service.name\" = \"edge\", rack = 7 }";
    let config = models(&provider).and(&traces(&receiver.url(), resource));
    let gateway = Gateway::start(&config);
    let request = openai::completion(&openai::chat("smart"))
        .header("traceparent", &format!("00-{TRACE}-{CALLER}-01"));
    let reply = gateway.send(&request).expect(200);
    let id = reply.only_header("x-torana-inference-id");
    let row = gateway.inference(id);

    let spans = eventually("four spans", || {
        let spans = receiver.spans();
        (of(&spans, id).len() == 3 && spans.len() == 4).then_some(spans)
    });
    let (request, generation) = request_and_generation(&spans, id).unwrap();
    let upstream: Vec<&Value> =
        of(&spans, id).into_iter().filter(|it| it["kind"] == "SPAN_KIND_CLIENT").collect();
    assert_trace(&row, request, &spans);
    assert_request(&row, request);
    assert_generation(&row, generation);

    assert_eq!(upstream.len(), 2, "{spans:#?}");
    for span in &upstream {
        assert_eq!(span["parent"], generation["id"], "{span:#}");
        assert!(span["start"].as_u64() >= request["start"].as_u64(), "{span:#}");
    }
    let (failed, answered) = (upstream[0], upstream[1]);
    assert_eq!(failed["name"], "upstream one/broken");
    assert_eq!(failed["attributes"]["http.response.status_code"], 503);
    assert_eq!(failed["status"], "STATUS_CODE_ERROR");
    assert_eq!(failed["attributes"]["error.type"], row["model_inferences"][0]["error"]["code"]);
    assert_eq!(answered["name"], "upstream one/scripted");
    assert_eq!(answered["status"], "STATUS_CODE_UNSET");
    assert_eq!(answered["attributes"]["torana.reason"], "fallback");
    for export in receiver.exports() {
        assert_eq!(export.path, "/v1/traces");
        assert_eq!(export.headers["content-type"], "application/x-protobuf");
        assert_eq!(export.headers["content-encoding"], "gzip");
    }
}

/// All spans are in the trace of the row: the caller's where the row has one of its own.
#[track_caller]
fn assert_trace(row: &Value, request: &Value, spans: &[Value]) {
    let id = row["id"].as_str().unwrap();
    match row["trace_id"].as_str() {
        Some(trace) => {
            assert_eq!(trace, TRACE, "the client's trace goes on");
            assert_eq!(request["trace"], trace);
            assert_eq!(request["id"], row["span_id"]);
            assert_eq!(request["parent"], CALLER);
        }
        None => {
            assert_eq!(request["trace"], id.replace('-', ""));
            assert_eq!(request["parent"], "");
        }
    }
    let ids: BTreeSet<&str> = spans.iter().filter_map(|span| span["id"].as_str()).collect();
    assert_eq!(ids.len(), spans.len(), "{spans:#?}");
    for span in spans {
        assert_eq!(span["trace"], request["trace"], "{span:#}");
        assert_eq!(span["resource"], json!({ "service.name": "edge", "rack": 7 }));
        assert_eq!(span["scope"], "torana");
        assert!(span["end"].as_u64() >= span["start"].as_u64(), "{span:#}");
    }
}

#[track_caller]
fn assert_request(row: &Value, request: &Value) {
    assert_eq!(request["name"], "POST /v1/chat/completions");
    assert_eq!(request["status"], "STATUS_CODE_UNSET");
    let start = row["time_unix_ms"].as_u64().unwrap() * 1_000_000;
    assert_eq!(request["start"], start);
    let length = request["end"].as_u64().unwrap() - start;
    let total = row["total_ms"].as_f64().unwrap() * 1e6;
    assert!((length as f64 - total).abs() <= 1.0, "{length} {total}");
    let attributes = &request["attributes"];
    assert_eq!(attributes["http.route"], "/v1/chat/completions");
    assert_eq!(attributes["http.response.status_code"], 200);
    assert_eq!(attributes["torana.attempts"], 2);
    assert_eq!(attributes["torana.endpoint"], "one/scripted");
    assert_eq!(attributes["torana.snapshot"], row["snapshot"]);
    assert_eq!(attributes["torana.episode_id"], row["episode_id"]);
}

#[track_caller]
fn assert_generation(row: &Value, generation: &Value) {
    assert_eq!(generation["name"], "chat smart");
    assert_eq!(generation["kind"], "SPAN_KIND_CLIENT");
    let attributes = &generation["attributes"];
    assert_eq!(attributes["gen_ai.operation.name"], "chat");
    assert_eq!(attributes["gen_ai.provider.name"], "one");
    assert_eq!(attributes["gen_ai.request.model"], "smart");
    assert_eq!(attributes["gen_ai.response.model"], row["response"]["model"]);
    assert_eq!(attributes["gen_ai.response.finish_reasons"], json!(["stop"]));
    assert_eq!(attributes["gen_ai.usage.input_tokens"], row["usage"]["input"]);
    assert_eq!(attributes["gen_ai.usage.output_tokens"], row["usage"]["output"]);
    assert!(attributes["gen_ai.usage.input_tokens"].as_u64().unwrap() > 0, "{row:#}");
}

#[test]
fn conversation_is_exported_only_where_the_operator_wants_it() {
    let Some(python) = Missing::or_skip(Receiver::install(), "the OTLP receiver") else { return };
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(respond);
    let exported = |name: &str, settings: &str| {
        let receiver = Receiver::start(&python, 0, &folder.path().join(name));
        let gateway = Gateway::start(&models(&provider).and(&traces(&receiver.url(), settings)));
        let body = json!({
            "model": "plain", "stream": true,
            "messages": [{ "role": "user", "content": "a most peculiar question" }],
        });
        let mut stream = gateway.chat_stream(&body);
        let id = stream.header("x-torana-inference-id").unwrap().to_owned();
        stream.rest();
        let (_, generation) = eventually("the spans of the call", || {
            let spans = receiver.spans();
            let (request, generation) = request_and_generation(&spans, &id)?;
            Some((request.clone(), generation.clone()))
        });
        generation
    };
    let silent = exported("silent.jsonl", "");
    let text = std::fs::read_to_string(folder.path().join("silent.jsonl")).unwrap();
    assert!(!text.contains("peculiar") && !text.contains(TEXT), "{text}");
    assert_eq!(silent["attributes"]["gen_ai.request.stream"], true);
    let first_chunk = silent["attributes"]["gen_ai.response.time_to_first_chunk"].as_f64();
    assert!(first_chunk.is_some_and(|seconds| seconds > 0.0), "{silent:#}");

    let open = exported("open.jsonl", "content = true");
    let messages = |name: &str| -> Value {
        serde_json::from_str(open["attributes"][name].as_str().unwrap()).unwrap()
    };
    let part = |text: &str| json!([{ "type": "text", "content": text }]);
    let asked = json!([{ "role": "user", "parts": part("a most peculiar question") }]);
    assert_eq!(messages("gen_ai.input.messages"), asked);
    let answered = json!([{ "role": "assistant", "parts": part(TEXT), "finish_reason": "stop" }]);
    assert_eq!(messages("gen_ai.output.messages"), answered);
}

#[test]
fn receiver_that_was_away_gets_every_span_once() {
    let Some(python) = Missing::or_skip(Receiver::install(), "the OTLP receiver") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("traces.jsonl");
    let receiver = Receiver::start(&python, 0, &file);
    let (url, port) = (receiver.url(), receiver.port());
    drop(receiver);
    let provider = Provider::start(respond);
    let gateway = Gateway::start(&models(&provider).and(&traces(&url, "timeout_ms = 1000")));
    let mut ids = BTreeSet::new();
    for _ in 0..25 {
        let reply = gateway.chat(&openai::chat("plain")).expect(200);
        ids.insert(reply.only_header("x-torana-inference-id").to_owned());
    }
    eventually("a complaint about the receiver", || {
        gateway.log().contains("the receiver cannot be asked").then_some(())
    });

    let receiver = Receiver::start(&python, port, &file);
    receiver.answer_with(&json!([{ "status": 503, "headers": { "retry-after": "0" } }]));
    let spans = eventually("three spans of every call", || {
        let spans = receiver.spans();
        (spans.len() >= 3 * ids.len()).then_some(spans)
    });
    let unique: BTreeSet<String> = spans.iter().map(|span| span["id"].to_string()).collect();
    assert_eq!((unique.len(), spans.len()), (3 * ids.len(), 3 * ids.len()));
    for id in &ids {
        let (_, generation) = request_and_generation(&spans, id).unwrap();
        let below = spans.iter().filter(|span| span["parent"] == generation["id"]);
        assert_eq!(below.count(), 1, "{id}");
    }
    assert_eq!(receiver.exports().iter().filter(|export| export.status == 503).count(), 1);
}

#[test]
fn what_a_receiver_refuses_is_kept_with_its_words() {
    let Some(python) = Missing::or_skip(Receiver::install(), "the OTLP receiver") else { return };
    let folder = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(&python, 0, &folder.path().join("traces.jsonl"));
    let provider = Provider::start(respond);
    let gateway = Gateway::start(&models(&provider).and(&traces(&receiver.url(), "")));
    let call = || {
        let reply = gateway.chat(&openai::chat("plain")).expect(200);
        reply.only_header("x-torana-inference-id").to_owned()
    };
    let arrives = |id: &str| {
        eventually("a call at the receiver", || {
            let spans = receiver.spans();
            request_and_generation(&spans, id).map(|_| receiver.exports().len())
        })
    };
    let before = arrives(&call());
    let refused = json!({ "status": 400, "message": "malformed span" });
    receiver.answer_with(&json!([
        { "status": 401 },
        // The two rows of a call together, then each of them.
        refused, refused, refused,
        { "status": 200, "rejected": 1, "message": "quota" },
    ]));
    let letters = gateway.folder.path("data/journal/dead-letters/traces.jsonl");
    let kept = |count: usize| {
        eventually("the refused rows in the dead-letter file", || {
            let text = std::fs::read_to_string(&letters).unwrap_or_default();
            (text.lines().count() >= count).then_some(text)
        })
    };
    call();
    let text = kept(2);
    assert_eq!(text.matches("HTTP 400: malformed span").count(), 2, "{text}");
    assert!(gateway.log().contains("check its credentials"), "{}", gateway.log());

    call();
    let text = kept(4);
    assert_eq!(text.matches("refused 1 of the 3 spans").count(), 2, "{text}");
    let after = arrives(&call());
    assert_eq!(after - before, 6, "nothing was sent twice but after the 401");
}

/// Ids of the rows in a request to the webhook.
fn posted(asked: &Asked) -> Vec<String> {
    let body = asked.json();
    let rows = body["rows"].as_array().unwrap_or_else(|| panic!("{body:#}"));
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn webhook_gets_every_row_once_through_outages_and_refusals() {
    let requests = AtomicUsize::new(0);
    let hook = Provider::start(move |asked| {
        let rows = posted(asked);
        let text = |status, words: &str| Script::whole(status, "text/plain", words);
        match requests.fetch_add(1, Ordering::SeqCst) {
            0 => text(503, "").header("retry-after", "0"),
            1 => text(403, "who are you?"),
            2 => Script::default().reset(),
            _ if rows.len() > 5 => text(413, "too much"),
            _ if asked.text().contains("a row of poison") => text(422, "not that one"),
            _ => text(202, ""),
        }
    });
    let provider = Provider::start(respond);
    let url = format!("http://{}", hook.address());
    let config = models(&provider).and(&format!(
        "[plugins.sink-webhook]\ngrants = {{ http = [\"{url}\"] }}\n\
         [sinks.hook]\nplugin = \"sink-webhook\"\nsettings = {{ url = \"{url}/rows\" }}\n\
         only = {{ kinds = [\"inference\", \"model_inference\"] }}\n"
    ));
    let gateway = Gateway::start(&config);
    let mut ids = BTreeSet::new();
    let mut poison = String::new();
    for number in 0..12 {
        let content = if number == 5 { "a row of poison" } else { "hello" };
        let messages = json!([{ "role": "user", "content": content }]);
        let reply = gateway.chat(&json!({ "model": "plain", "messages": messages })).expect(200);
        let id = reply.only_header("x-torana-inference-id").to_owned();
        if number == 5 {
            poison = id;
        } else {
            ids.insert(id);
        }
    }
    let taken = eventually("every row at the webhook", || {
        let taken = taken(&hook.asked());
        let is_there = |id: &String| taken.get(id).is_some_and(|row| row["kind"] == "inference");
        (ids.iter().all(is_there) && taken.len() == 2 * ids.len()).then_some(taken)
    });
    for (id, row) in &taken {
        assert_eq!(row["row"]["id"], json!(id), "{row:#}");
    }
    let letters = gateway.folder.path("data/journal/dead-letters/hook.jsonl");
    let text = eventually("the refused row in the dead-letter file", || {
        std::fs::read_to_string(&letters).ok().filter(|text| text.ends_with('\n'))
    });
    // The call and its attempt: both hold what was sent.
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains(&poison) && text.contains("HTTP 422: not that one"), "{text}");
    let first: Vec<Asked> = hook.asked().into_iter().take(2).collect();
    assert_eq!(first[0].path, "/rows");
    if posted(&first[0]) == posted(&first[1]) {
        let delivery = first.iter().map(|it| it.header("x-torana-delivery").unwrap());
        assert_eq!(delivery.collect::<BTreeSet<_>>().len(), 1);
    }
    assert!(gateway.log().contains("check its credentials"), "{}", gateway.log());
    assert!(!gateway.log().contains("who are you"), "its words may quote a row");
}

/// Rows that the webhook answered 202 for; each has to have come once.
fn taken(asked: &[Asked]) -> BTreeMap<String, Value> {
    let mut taken = BTreeMap::new();
    for asked in asked.iter().skip(3) {
        let rows = posted(asked);
        if rows.len() > 5 || asked.text().contains("a row of poison") {
            continue;
        }
        for row in asked.json()["rows"].as_array().unwrap() {
            if !matches!(row["kind"].as_str(), Some("inference" | "model_inference")) {
                continue;
            }
            let id = row["id"].as_str().unwrap().to_owned();
            assert!(taken.insert(id, row.clone()).is_none(), "{row:#} came twice");
        }
    }
    taken
}

#[test]
fn compressed_files_hold_exactly_the_rows() {
    let provider = Provider::start(respond);
    let config = models(&provider).and(
        "[sinks.lines]\nplugin = \"sink-jsonl\"\n\
         settings = { path = \"rows.jsonl\", rotate_mib = 1, compress = \"gzip\" }\n",
    );
    let gateway = Gateway::start_in(Folder::new(&config), &[]);
    let path = |name: &str| gateway.folder.path(name);
    let read = || {
        let mut text = std::fs::read_to_string(path("rows.jsonl")).ok()?;
        for number in 1..=8 {
            if path(&format!("rows.jsonl.{number}")).exists() {
                return None;
            }
            let packed = path(&format!("rows.jsonl.{number}.gz"));
            if packed.exists() {
                let output = Command::new("gunzip").arg("-c").arg(packed).output().unwrap();
                if !output.status.success() {
                    // It got another number meanwhile.
                    return None;
                }
                text.insert_str(0, &String::from_utf8(output.stdout).unwrap());
            }
        }
        // The last line may be on its way.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let rows = text[..whole].lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let of_calls =
            |row: &Value| matches!(row["kind"].as_str(), Some("inference" | "model_inference"));
        Some(rows.filter(of_calls).collect::<Vec<Value>>())
    };
    let mut expected = Vec::new();
    for _ in 0..5 {
        let messages = json!([{ "role": "user", "content": "x".repeat(400 << 10) }]);
        let reply = gateway.chat(&json!({ "model": "plain", "messages": messages })).expect(200);
        let id = reply.only_header("x-torana-inference-id").to_owned();
        expected.extend([("inference", id.clone()), ("model_inference", id)]);
        // One call, one batch: a batch is never cut, however small a file is to be.
        eventually("the rows of the call, old files compressed", || {
            read().filter(|rows| rows.len() == expected.len())
        });
    }
    assert!(path("rows.jsonl.2.gz").exists(), "two calls fill a file");
    let rows = read().unwrap();
    let found: Vec<(&str, String)> = rows
        .iter()
        .map(|row| (row["kind"].as_str().unwrap(), row["inference_id"].as_str().unwrap().into()))
        .collect();
    assert_eq!(found, expected, "every row, in order");
    for row in &rows {
        assert_eq!(row["row"]["id"], row["id"], "{}", row["id"]);
    }
}
