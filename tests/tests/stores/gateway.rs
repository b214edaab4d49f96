//! All stores behind the real binary: the same calls to each, the same questions over HTTP; and
//! servers that are down while calls go on, or refuse a row.

use serde_json::{Value, json};
use torana_tests::clickhouse::ClickHouse;
use torana_tests::client::Request;
use torana_tests::eventually::eventually;
use torana_tests::gateway::{Config, Folder, Gateway};
use torana_tests::openai;
use torana_tests::postgres::{self, Postgres};
use torana_tests::process::Missing;
use torana_tests::provider::{Asked, Provider};
use torana_tests::script::Script;

/// What is asked of each store over HTTP, but for single calls.
const QUESTIONS: [&str; 16] = [
    "inferences?limit=1000",
    "inferences?limit=1000&order=oldest",
    "inferences?outcome=error",
    "inferences?model=falls-back",
    "inferences?endpoint=up%2Fscripted&outcome=ok",
    "inferences?function=write",
    "inferences?function=write&variant=b",
    "inferences?model=nobody",
    "inferences?since=4000000000000",
    "inferences?key=team&tag=run%3A2",
    "inferences?text=GR%C3%96%C3%9FE",
    "inferences?metric=solved%3E%3D0.5",
    "usage?by=model,endpoint,key,outcome",
    "usage?of=attempt&by=endpoint&interval=hour",
    "usage?function=write&by=variant",
    "feedback/statistics?metric=solved",
];

/// Those that nothing matches.
const NOTHING: [&str; 2] = ["inferences?model=nobody", "inferences?since=4000000000000"];

/// What the host sends and the sink never sees.
const PASSWORD: &str = "pass\"word";

struct Servers {
    clickhouse: ClickHouse,
    postgres: Postgres,
}

fn servers(test: &str) -> Option<Servers> {
    let clickhouse = Missing::or_skip(ClickHouse::start_with(Some(PASSWORD)), test)?;
    let postgres = Missing::or_skip(Postgres::start(), test)?;
    Some(Servers { clickhouse, postgres })
}

/// A provider that answers, fails and breaks off, and all stores.
fn config(provider: &Provider, servers: &Servers, query_sink: &str) -> Config {
    let (provider, server) = (provider.url(), servers.clickhouse.url());
    let tables = format!(
        "[providers.up]\npreset = \"openai-compatible\"\nbase_url = \"{provider}\"\n\
         [models.plain]\nendpoints = [\"up/scripted\"]\nrouter = \"priority\"\n\
         [models.falls-back]\nendpoints = [\"up/broken\", \"up/scripted\"]\nrouter = \"priority\"\n\
         [models.fails]\nendpoints = [\"up/broken\"]\n\
         [functions.write.variants.a]\nmodel = \"plain\"\n\
         [functions.write.variants.b]\nmodel = \"falls-back\"\n\
         [metrics.solved]\ntype = \"boolean\"\n\
         [keys.team]\nsecret = \"env:TEAM\"\nreads = \"all\"\n[keys.ops]\nsecret = \"env:OPS\"\n\
         [sinks.embedded]\nplugin = \"sink-sqlite\"\nsettings = {{ path = \"torana.db\" }}\n\
         [sinks.clickhouse]\nplugin = \"sink-clickhouse\"\n\
         settings = {{ url = \"{server}\" }}\n\
         headers = {{ \"X-ClickHouse-Key\" = \"env:PASSWORD\" }}\n\
         [sinks.postgres]\nplugin = \"sink-postgres\"\ndatabase = \"env:DATABASE_URL\"\n"
    );
    Config::new(tables).top(&format!("query_sink = \"{query_sink}\""))
}

fn respond(asked: &Asked) -> Script {
    match asked.json()["model"].as_str() {
        Some("broken") => Script::json(500, &openai::error("oh no \"'\\", "server_error", "x")),
        _ if asked.json()["tools"].is_array() => openai::respond_with_tools(asked),
        _ => openai::respond(asked),
    }
}

fn start(folder: Folder, servers: &Servers) -> Gateway {
    let database = servers.postgres.url();
    let environment = [
        ("TEAM", "sk-team"),
        ("OPS", "sk-ops"),
        ("PASSWORD", PASSWORD),
        ("DATABASE_URL", &*database),
    ];
    Gateway::start_in(folder, &environment)
}

fn ask(gateway: &Gateway, path: &str) -> (u16, Value) {
    let reply = gateway.send(&Request::get(path).header("authorization", "Bearer sk-team"));
    (reply.status, reply.json())
}

/// The ids of calls of every sort, in order.
fn calls(gateway: &Gateway, count: usize) -> Vec<String> {
    let tool = json!({ "type": "function", "function": { "name": "look", "parameters": {} } });
    let mut ids = Vec::new();
    for number in 0..count {
        let model = ["plain", "falls-back", "fails", "function::write"][number % 4];
        let text = ["Größe?", "日本語 \u{1f600}", "it's \"quoted\" \\n"][number % 3];
        let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": text }],
            "metadata": { "run": number.to_string() } });
        if number % 5 == 0 {
            body["stream"] = true.into();
        }
        if number % 7 == 0 {
            body["tools"] = json!([tool]);
        }
        let key = if number % 2 == 0 { "Bearer sk-team" } else { "Bearer sk-ops" };
        let request = openai::completion(&body).header("authorization", key);
        let stream = request.stream(gateway.address());
        ids.push(stream.header("x-torana-inference-id").unwrap().to_owned());
        stream.into_reply().unwrap();
    }
    ids
}

/// Feedback on some of the calls, twice on one of them.
fn judge(gateway: &Gateway, ids: &[String]) {
    for (id, solved) in [(&ids[3], true), (&ids[7], false), (&ids[7], true), (&ids[11], false)] {
        let body = json!({ "metric_name": "solved", "inference_id": id, "value": solved,
            "tags": { "by": "O'Neill" } });
        let request = Request::post("/v1/feedback", &body);
        gateway.send(&request.header("authorization", "Bearer sk-team")).expect(200);
    }
}

/// Ids of a page, whichever order it has.
fn page_ids(page: &Value) -> Vec<String> {
    let items = page["data"].as_array().unwrap_or_else(|| panic!("{page:#}"));
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// The same but for the last digits of what was summed in another order.
fn assert_alike(path: &str, one: &Value, other: &Value) {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            one.iter().zip(other).for_each(|(one, other)| assert_alike(path, one, other));
        }
        (Value::Object(one), Value::Object(other)) if one.keys().eq(other.keys()) => {
            one.values()
                .zip(other.values())
                .for_each(|(one, other)| assert_alike(path, one, other));
        }
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            assert!((one - other).abs() <= 1e-9_f64.max(one.abs() * 1e-9), "{path}: {one} {other}");
        }
        _ => assert_eq!(one, other, "{path}"),
    }
}

#[test]
fn all_stores_answer_alike_over_http() {
    let Some(servers) = servers("all stores over HTTP") else { return };
    let provider = Provider::start(respond);
    let folder = Folder::new(&config(&provider, &servers, "embedded"));
    let gateway = start(folder.clone(), &servers);
    let ids = calls(&gateway, 40);
    judge(&gateway, &ids);
    let answers = |gateway: &Gateway| {
        eventually("all calls in the store", || {
            let (status, page) = ask(gateway, "/v1/inferences?limit=1000");
            (status == 200 && page_ids(&page).len() == ids.len()).then_some(())
        });
        let mut paths: Vec<String> = QUESTIONS.iter().map(|it| format!("/v1/{it}")).collect();
        paths.extend(ids.iter().map(|id| format!("/v1/inferences/{id}")));
        let answers = paths.into_iter().map(|path| (ask(gateway, &path), path));
        answers.collect::<Vec<_>>()
    };
    let embedded = answers(&gateway);
    for sink in ["clickhouse", "postgres"] {
        let generation = gateway.generation();
        folder.configure(&config(&provider, &servers, sink));
        gateway.later_than(generation);
        let server = answers(&gateway);
        for ((embedded, path), (server, _)) in embedded.iter().zip(&server) {
            assert_eq!((embedded.0, server.0), (200, 200), "{sink}: {path}: {}", server.1);
            assert_alike(path, &embedded.1, &server.1);
        }
    }
    let newest_first: Vec<String> = ids.iter().rev().cloned().collect();
    assert_eq!(page_ids(&embedded[0].0.1), newest_first);
    for (question, ((_, answer), _)) in QUESTIONS.iter().zip(&embedded) {
        let is_none = answer["data"].as_array().unwrap().is_empty();
        assert_eq!(is_none, NOTHING.contains(question), "{question}: {answer}");
    }
}

#[test]
fn calls_go_on_while_the_servers_are_down_and_they_get_them_all_in_order() {
    let Some(mut servers) = servers("servers that are down") else { return };
    let provider = Provider::start(respond);
    let gateway = start(Folder::new(&config(&provider, &servers, "embedded")), &servers);
    let mut ids = calls(&gateway, 10);
    servers.clickhouse.stop();
    servers.postgres.stop();
    ids.extend(calls(&gateway, 30));
    servers.clickhouse.resume();
    servers.postgres.resume();
    ids.extend(calls(&gateway, 10));
    let page = ask(&gateway, "/v1/inferences?limit=1000").1;
    let attempts = page["data"].as_array().unwrap().iter();
    let attempts: u64 = attempts.map(|item| item["attempts"].as_u64().unwrap()).sum();
    let Servers { clickhouse, postgres } = &servers;
    // `FINAL` is ClickHouse's: one of each row that came twice.
    let clickhouse = |sql: &str| Some(clickhouse.try_query(&format!("{sql} FINAL")).text());
    let postgres = |sql: &str| postgres.try_query(sql).ok();
    type Query<'a> = &'a dyn Fn(&str) -> Option<String>;
    let servers: [(&str, Query<'_>); 2] = [("clickhouse", &clickhouse), ("postgres", &postgres)];
    for (name, query) in servers {
        let found = eventually(name, || {
            let found = query("SELECT time_unix_ms, id FROM torana.inference")?;
            let mut found: Vec<Vec<&str>> =
                found.lines().map(|line| line.split(['\t', '|']).collect()).collect();
            found.sort_unstable();
            let ids = found.into_iter().map(|row| row.get(1).copied().unwrap_or_default());
            let found: Vec<String> = ids.map(str::to_owned).collect();
            (found.len() >= page_ids(&page).len()).then_some(found)
        });
        assert_eq!(found, ids, "{name}");
        let counted = query("SELECT count(*) FROM torana.model_inference").unwrap();
        assert_eq!(counted.trim(), attempts.to_string(), "{name}");
    }
}

#[test]
fn a_row_that_the_server_refuses_is_kept_beside_with_the_reason() {
    let Some(servers) = servers("servers that refuse a row") else { return };
    let provider = Provider::start(respond);
    let gateway = start(Folder::new(&config(&provider, &servers, "embedded")), &servers);
    let Servers { clickhouse, postgres } = &servers;
    eventually("the tables", || {
        let there = clickhouse.try_query("EXISTS TABLE torana.inference");
        let is_there = postgres.query("SELECT to_regclass('torana.inference') IS NOT NULL");
        (there.text().trim() == "1" && is_there == "t").then_some(())
    });
    let constraint = "ALTER TABLE torana.inference ADD CONSTRAINT mine CHECK";
    clickhouse.query(&format!("{constraint} model != 'fails'"));
    postgres.query(&format!("{constraint} (model <> 'fails')"));
    let ids = calls(&gateway, 8);
    for (sink, why) in [("clickhouse", "VIOLATED_CONSTRAINT"), ("postgres", "\"mine\" (23514)")] {
        let path = gateway.folder.path(&format!("data/journal/dead-letters/{sink}.jsonl"));
        let letters = eventually("two dead letters", || {
            let text = std::fs::read_to_string(&path).ok()?;
            let lines: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            (lines.len() == 2).then_some(lines)
        });
        for (letter, id) in letters.iter().zip([&ids[2], &ids[6]]) {
            assert_eq!(letter["id"], id.as_str());
            let reason = letter["reason"].as_str().unwrap();
            assert!(reason.contains(why), "{reason}");
            assert!(letter["row"].as_str().unwrap().contains("\"fails\""), "{letter}");
        }
    }
    eventually("all other calls", || {
        let count = clickhouse.query("SELECT count() FROM torana.inference FINAL");
        (count == "6" && postgres.query("SELECT count(*) FROM torana.inference") == "6")
            .then_some(())
    });
    let url_password = postgres::PASSWORD.replace(' ', "%20");
    for secret in ["日本語", PASSWORD, postgres::PASSWORD, &url_password] {
        assert!(!gateway.log().contains(secret), "{secret} is not for the log");
        for path in ["/status", "/metrics"] {
            assert!(!gateway.admin(path).text().contains(secret), "{secret} in {path}");
        }
    }
}
