//! The tables of `docs/data-model.md` and real rows have the same keys, both ways.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// A key of a table, and whether every row has it.
type Keys = BTreeMap<String, bool>;

/// The table below a heading or a line that ends with a colon.
fn table(text: &str, title: &str) -> Keys {
    let (_, below) = text.split_once(title).unwrap_or_else(|| panic!("no {title:?}"));
    let rows = below.lines().skip_while(|line| !line.starts_with("| key"));
    let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
    let keys: Keys = rows
        .map(|row| {
            let key = row.split('`').nth(1).unwrap_or_else(|| panic!("no key: {row}"));
            (key.to_owned(), !row.contains("Absent"))
        })
        .collect();
    assert!(keys.len() > 3, "{title}: {keys:?}");
    keys
}

/// Rows have all keys that are always there and none that is not documented. Gives the others.
#[track_caller]
fn hold(what: &str, row: &Value, keys: &Keys, seen: &mut BTreeSet<String>) {
    let row = row.as_object().unwrap_or_else(|| panic!("{what}: {row}"));
    for key in row.keys() {
        assert!(keys.contains_key(key), "{what}: {key} is not documented");
        seen.insert(format!("{what}.{key}"));
    }
    for (key, _) in keys.iter().filter(|(_, always)| **always) {
        assert!(row.contains_key(key), "{what}: no {key} in {row:?}");
    }
}

fn provider() -> Provider {
    Provider::start(|asked: &Asked| match asked.json()["model"].as_str() {
        Some("broken") => Script::json(500, &openai::error("no", "server_error", "no")),
        Some("tools") => openai::respond_with_tools(asked),
        Some("silent") => {
            let mut answer = openai::answer("no usage");
            answer.as_object_mut().unwrap().remove("usage");
            Script::json(200, &answer)
        }
        Some("reports") => {
            let mut answer = openai::answer(TEXT);
            answer["usage"]["cost"] = json!(0.5);
            Script::json(200, &answer)
        }
        Some("cut") => {
            let events = openai::events("a first half");
            Script::sse().bytes(openai::sse(&events[..3]))
        }
        _ => openai::respond(asked),
    })
}

fn gateway(provider: &Provider, journal: &str) -> Gateway {
    let tables = compatible("up", &provider.url(), "")
        + &compatible(
            "translated",
            &provider.url(),
            "forward = false\nsettings = { unsupported = [\"top_k\"] }",
        )
        + "[models.m]\nendpoints = [\"up/m\"]\n\
           [models.falls]\nrouter = \"priority\"\nendpoints = [\"up/broken\", \"up/m\"]\n\
           [models.fails]\nendpoints = [\"up/broken\"]\n[models.tools]\nendpoints = [\"up/tools\"]\n\
           [models.silent]\nendpoints = [\"up/silent\"]\n[models.reports]\nendpoints = [\"up/reports\"]\n\
           [models.translated]\nendpoints = [\"translated/m\"]\n\
           [models.resumed]\nrouter = \"priority\"\nresume = true\nendpoints = [\"translated/cut\", \
           { provider = \"translated\", model = \"m\", prefill = true }]\n\
           [functions.f.variants.a]\nmodel = \"m\"\nweight = 1\n"
        + &format!("[journal]\n{journal}\n")
        + &plugin("trap", &guest::path("provider-hostile"), "")
        + "[providers.trap]\nplugin = \"trap\"\n[models.trap]\nendpoints = [\"trap/trap\"]\n"
        + ROWS;
    Gateway::start(&Config::new(tables))
}

/// Calls of every sort.
fn calls(gateway: &Gateway) {
    for model in ["m", "function::f", "falls", "silent", "reports", "translated"] {
        gateway.chat(&openai::chat(model)).expect(200);
    }
    gateway.chat(&openai::streaming_chat("m")).expect(200);
    gateway.chat(&openai::chat("fails"));
    gateway.chat(&openai::chat("nobody")).expect(404);
    gateway.chat(&json!({ "model": "m", "messages": 7 })).expect(400);
    let mut hidden = said(&"long ".repeat(1_000), "m");
    hidden["metadata"] = json!({ "hidden": "x" });
    gateway.chat(&hidden).expect(200);
    let mut tools = openai::chat("tools");
    let parameters = json!({ "type": "object", "properties": { "city": { "type": "integer" } } });
    tools["tools"] = json!([{ "type": "function",
                              "function": { "name": "weather", "parameters": parameters } }]);
    gateway.chat(&tools).expect(200);
    let mut structured = openai::chat("m");
    let schema = json!({ "type": "object", "required": ["a"] });
    structured["response_format"] = json!({ "type": "json_schema",
        "json_schema": { "name": "x", "schema": schema } });
    gateway.chat(&structured).expect(200);
    let claude = json!({ "model": "translated", "max_tokens": 9, "top_k": 3,
                         "messages": [{ "role": "user", "content": "hi" }] });
    gateway.send(&Request::post("/v1/messages", &claude)).expect(200);
    gateway.chat(&openai::streaming_chat("resumed"));
    for _ in 0..9 {
        gateway.chat(&openai::chat("trap")).expect(502);
    }
    let left = openai::completion(&openai::streaming_chat("m")).send_only(gateway.address());
    drop(left);
}

#[test]
fn rows_have_the_keys_of_the_docs_and_no_other() {
    let text = std::fs::read_to_string(torana_tests::repository().join("docs/data-model.md"));
    let text = text.unwrap();
    let usage = table(&text, "\n`usage`:");
    let tables = [
        ("inference", table(&text, "## Inference row")),
        ("model_inference", table(&text, "## Model inference row")),
        ("plugin_event", table(&text, "## Plugin event row")),
        ("snapshot", table(&text, "## Snapshot row")),
    ];
    let provider = provider();
    let mut seen = BTreeSet::new();
    // With paths to hide there are no raw bodies that could be cut.
    for journal in ["raw_kib = 1", "redact = [\"/metadata/hidden\"]"] {
        let gateway = gateway(&provider, journal);
        calls(&gateway);
        let last = gateway.chat(&openai::chat("m")).expect(200);
        recorded(&gateway, id(&last));
        for (kind, keys) in &tables {
            let rows =
                eventually(kind, || Some(rows(&gateway.folder, kind)).filter(|it| !it.is_empty()));
            for row in &rows {
                hold(kind, row, keys, &mut seen);
                if row["usage"].is_object() {
                    hold("usage", &row["usage"], &usage, &mut seen);
                }
            }
        }
    }
    // Whatever may be absent was there once, so that its name is the documented one. Kills are
    // told with what was missed only when there were many in a second.
    let documented = tables.iter().map(|(kind, keys)| (*kind, keys)).chain([("usage", &usage)]);
    for (kind, keys) in documented {
        for key in keys.keys().filter(|key| *key != "missed") {
            assert!(seen.contains(&format!("{kind}.{key}")), "{kind}.{key} was in no row");
        }
    }
}
