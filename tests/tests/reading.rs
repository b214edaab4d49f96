//! The record, read back: filters, sums and OpenRouter's shapes through the real store, whose
//! rows a key may see, and files for analysts that real readers of these formats understand.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use torana_tests::client::{Reply, Request};
use torana_tests::gateway::{Config, Folder, Gateway, both};
use torana_tests::openai;
use torana_tests::process::Missing;
use torana_tests::provider::Provider;
use torana_tests::python::{Python, expect_success, sdk};
use torana_tests::script::Script;

use crate::setup::{SINK, compatible};

/// DuckDB reads a few small files.
const LIMIT: Duration = Duration::from_secs(60);

const KEYS: &str = r#"
[keys.alpha]
secret = "env:ALPHA"
[keys.beta]
secret = "env:BETA"
[keys.board]
secret = "env:BOARD"
reads = "all"
"#;

const SECRETS: [(&str, &str); 3] =
    [("ALPHA", "sk-alpha"), ("BETA", "sk-beta"), ("BOARD", "sk-board")];

/// `priced`, whose tokens have a price, and `broken`, which answers 500 to everything.
fn tables(good: &Provider, bad: &Provider) -> String {
    format!(
        "{}{}[models.priced]\nendpoints = [{{ provider = \"good\", model = \"scripted\", \
         price = {{ input = 1.0, output = 2.0 }} }}]\n\
         [models.broken]\nendpoints = [\"bad/scripted\"]\n{SINK}",
        compatible("good", &good.url(), ""),
        compatible("bad", &bad.url(), ""),
    )
}

struct Stand {
    gateway: Gateway,
    _providers: [Provider; 2],
}

impl Stand {
    fn start(keys: &str) -> Self {
        let good = Provider::start(openai::respond);
        let bad = Provider::always(Script::json(500, &openai::error("no", "server_error", "no")));
        let folder = Folder::new(&Config::new(tables(&good, &bad)).and(keys));
        let gateway = Gateway::start_in(folder, &SECRETS);
        Self { gateway, _providers: [good, bad] }
    }

    fn get(&self, path: &str, key: &str) -> Reply {
        self.gateway.send(&Request::get(path).header("authorization", &format!("Bearer {key}")))
    }

    /// Asks `model` and gives the id of the recorded inference.
    fn ask(&self, model: &str, key: &str, text: &str) -> String {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": text }] });
        let request = openai::completion(&body).header("authorization", &format!("Bearer {key}"));
        self.gateway.send(&request).only_header("x-torana-inference-id").to_owned()
    }
}

/// The ids of a list.
fn ids(reply: &Reply) -> BTreeSet<String> {
    let body = reply.json();
    let data = body["data"].as_array().unwrap();
    data.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

fn set(ids: &[&String]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).clone()).collect()
}

#[test]
fn a_key_reads_its_own_records_and_a_board_reads_all() {
    let stand = Stand::start(KEYS);
    let alpha = stand.ask("priced", "sk-alpha", "apples");
    let beta = stand.ask("priced", "sk-beta", "pears");
    let list = |key: &str, query: &str| stand.get(&format!("/v1/inferences{query}"), key);

    assert_eq!(ids(&list("sk-alpha", "").expect(200)), set(&[&alpha]));
    assert_eq!(ids(&list("sk-beta", "?key=beta").expect(200)), set(&[&beta]));
    assert_eq!(ids(&list("sk-board", "").expect(200)), set(&[&alpha, &beta]));
    assert_eq!(ids(&list("sk-board", "?key=alpha").expect(200)), set(&[&alpha]));
    let refused = list("sk-alpha", "?key=beta").expect(403);
    assert_eq!(refused.error("code"), "reads_own_only");
    assert!(refused.message().contains("keys.alpha.reads = \"all\""), "{refused}");

    for path in [format!("/v1/inferences/{beta}"), format!("/v1/generation?id={beta}")] {
        stand.get(&path, "sk-alpha").expect(404);
        stand.get(&path, "sk-beta").expect(200);
        stand.get(&path, "sk-board").expect(200);
    }
    for (key, rows) in [("sk-alpha", 1), ("sk-beta", 1), ("sk-board", 2)] {
        let usage = stand.get("/v1/usage", key).expect(200).json();
        assert_eq!(usage["data"][0]["rows"], rows, "{key}: {usage}");
    }
    stand.get("/v1/usage?key=beta", "sk-alpha").expect(403);
    stand.get("/v1/feedback/statistics?metric=good", "sk-alpha").expect(403);
    stand.get("/v1/feedback/statistics?metric=good", "sk-board").expect(200);
    assert_eq!(stand.get("/v1/activity", "sk-alpha").expect(200).json(), json!({ "data": [] }));
    for path in ["/v1/inferences", "/v1/usage", "/v1/generation?id=x", "/v1/activity"] {
        stand.gateway.get(path).expect(401);
    }
}

#[test]
fn filters_leave_what_matches_and_pages_meet() {
    let stand = Stand::start("");
    let first = stand.ask("priced", "", "The quick brown fox");
    let second = stand.ask("priced", "", "jumps over the lazy dog");
    let failed = stand.ask("broken", "", "the fox again");
    let found =
        |query: &str| ids(&stand.gateway.get(&format!("/v1/inferences?{query}")).expect(200));

    assert_eq!(found("model=priced"), set(&[&first, &second]));
    assert_eq!(found("endpoint=bad%2Fscripted"), set(&[&failed]));
    assert_eq!(found("outcome=error"), set(&[&failed]));
    assert_eq!(found("text=FOX"), set(&[&first, &failed]));
    assert_eq!(found("text=fox+quick&model=priced"), set(&[&first]));
    assert_eq!(found("since=2026-01-01"), set(&[&first, &second, &failed]));
    assert_eq!(found("until=2026-01-01T00:00:00%2B01:00"), set(&[]));
    assert_eq!(found("tag=customer:42"), set(&[]));
    assert_eq!(found("metric=good=true"), set(&[]));

    let mut seen = Vec::new();
    let mut path = "/v1/inferences?limit=2&order=oldest".to_owned();
    loop {
        let page = stand.gateway.get(&path).expect(200);
        seen.extend(page.json()["data"].as_array().unwrap().clone());
        let Some(next) = page.json()["next"].as_str().map(str::to_owned) else { break };
        path = format!("/v1/inferences?limit=2&order=oldest&cursor={next}");
    }
    let seen: Vec<&str> = seen.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(seen, [&first, &second, &failed]);

    for (query, said) in [
        ("limit=0", "limit: found \"0\"; expected an integer from 1 to 1000"),
        ("since=soon", "since: found \"soon\"; expected Unix milliseconds, RFC 3339"),
        ("metric=good", "metric: found \"good\"; expected a metric, one of = < <= > >="),
        ("colour=red", "colour: unknown parameter; there are key, function,"),
        ("cursor=nonsense", "cursor: not one of this store's"),
    ] {
        let refused = stand.gateway.get(&format!("/v1/inferences?{query}")).expect(400);
        assert!(refused.message().starts_with(said), "{refused}");
        assert_eq!(refused.error("param"), query.split('=').next().unwrap());
    }
}

#[test]
fn usage_sums_up_by_dimension_and_time() {
    let stand = Stand::start("");
    for _ in 0..3 {
        stand.ask("priced", "", "hello");
    }
    stand.ask("broken", "", "hello");
    let usage = |query: &str| {
        let reply = stand.gateway.get(&format!("/v1/usage?{query}")).expect(200).json();
        assert_eq!(reply["truncated"], false, "{reply}");
        reply["data"].as_array().unwrap().clone()
    };

    let rows = usage("by=model&of=attempt");
    let row = |model: &str| rows.iter().find(|row| row["model"] == model).unwrap().clone();
    let priced = row("priced");
    // 11 tokens in and 7 out each, at 1 and 2 dollars a million.
    assert_eq!((&priced["rows"], &priced["ok"]), (&json!(3), &json!(3)), "{priced}");
    assert_eq!((&priced["input_tokens"], &priced["output_tokens"]), (&json!(33), &json!(21)));
    let cost = priced["cost_usd"].as_f64().unwrap();
    assert!((cost - 3.0 * (11.0 + 2.0 * 7.0) / 1e6).abs() < 1e-12, "{cost}");
    assert!(priced["total_ms"]["p95"].as_f64().unwrap() > 0.0);
    assert_eq!((&priced["start"], &priced["unpriced"]), (&Value::Null, &json!(0)));
    assert_eq!(row("broken")["errors"], row("broken")["rows"]);

    let whole = usage("by=outcome,model");
    let order: Vec<(&str, &str)> = whole
        .iter()
        .map(|row| (row["outcome"].as_str().unwrap(), row["model"].as_str().unwrap()))
        .collect();
    assert_eq!(order, [("error", "broken"), ("ok", "priced")]);
    let series = usage("interval=day&model=priced");
    let rows: u64 = series.iter().map(|row| row["rows"].as_u64().unwrap()).sum();
    assert_eq!(rows, 3);
    for row in &series {
        let start = row["start"].as_str().unwrap();
        assert!(start.ends_with("T00:00:00.000Z"), "{start}");
    }
    let cut = stand.gateway.get("/v1/usage?by=model&limit=1").expect(200).json();
    assert_eq!((cut["data"].as_array().unwrap().len(), &cut["truncated"]), (1, &json!(true)));
}

#[test]
fn a_generation_is_found_by_any_id_of_it() {
    let stand = Stand::start("");
    let body = openai::chat("priced");
    let reply = stand.gateway.chat(&body).expect(200);
    let inference = reply.only_header("x-torana-inference-id").to_owned();
    let answer = reply.json()["id"].as_str().unwrap().to_owned();
    stand.gateway.inference(&inference);

    for id in [&inference, &answer] {
        let found = stand.gateway.get(&format!("/v1/generation?id={id}")).expect(200).json();
        let data = &found["data"];
        assert_eq!(data["id"], **id);
        assert_eq!(data["request_id"], *inference);
        assert_eq!(data["provider_name"], "good");
        assert_eq!(data["tokens_prompt"], 11);
        assert_eq!(data["native_tokens_completion"], 7);
        let cost = data["total_cost"].as_f64().unwrap();
        assert!((cost - 25.0 / 1e6).abs() < 1e-12, "{cost}");
        assert_eq!(data["provider_responses"][0]["status"], 200);
    }
    let unknown = stand.gateway.get("/v1/generation?id=gen-none").expect(404).json();
    assert_eq!(unknown["error"]["code"], 404);
    assert!(unknown["error"]["message"].as_str().unwrap().contains("gen-none"));
    assert_eq!(unknown["error"]["metadata"]["code"], "generation_not_found");
    let missing = stand.gateway.get("/v1/generation").expect(400).json();
    assert_eq!(missing["error"]["metadata"]["param"], "id");
    let today = stand.gateway.get("/v1/activity?date=1970-01-01").expect(400).json();
    assert!(today["error"]["message"].as_str().unwrap().contains("a complete day from"));
}

#[test]
fn exports_are_what_the_store_has_and_duckdb_reads_them() {
    let Some(python) = Missing::or_skip(Python::with("export_requirements.txt"), "DuckDB") else {
        return;
    };
    let stand = Stand::start("");
    for number in 0..5 {
        stand.ask("priced", "", &format!("question, \"{number}\"\n= zwölf"));
    }
    let last = stand.ask("broken", "", "no");
    stand.gateway.inference(&last);
    let list = stand.gateway.get("/v1/inferences?order=oldest").expect(200).json();
    let folder = &stand.gateway.folder;
    folder.put("rows.json", list["data"].to_string().as_bytes());
    let export = |arguments: &[&str]| {
        let output = folder.run(&[&["export"], arguments].concat());
        assert!(output.status.success(), "{}", both(&output));
        output
    };
    // Beside a running gateway, and after it.
    for (table, format) in
        [("inferences", "csv"), ("inferences", "parquet"), ("attempts", "parquet")]
    {
        let file = folder.path(&format!("{table}.{format}"));
        let told = export(&["--table", table, "--content", "--output", file.to_str().unwrap()]);
        assert!(both(&told).contains(" rows in "), "{}", both(&told));
    }
    let again = folder.path("attempts.parquet");
    let refused =
        folder.run(&["export", "--table", "attempts", "--output", again.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(both(&refused).contains("is already there"), "{}", both(&refused));
    let lines =
        export(&["--table", "inferences", "--content", "--format", "jsonl", "--output", "-"]);
    let rows: Vec<Value> = String::from_utf8(lines.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(json!(rows), list["data"]);
    let some = export(&[
        "--table",
        "inferences",
        "--model",
        "broken",
        "--columns",
        "id,outcome",
        "--format",
        "csv",
        "--output",
        "-",
    ]);
    assert_eq!(String::from_utf8(some.stdout).unwrap(), format!("id,outcome\r\n{last},error\r\n"));
    let mut duckdb = python.command();
    duckdb.arg(sdk("export").join("compare.py")).arg(folder.path(""));
    expect_success(&mut duckdb, LIMIT);
}
