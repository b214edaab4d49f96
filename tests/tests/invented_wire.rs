//! A provider for a wire format that nobody else speaks: one component and one block of
//! TOML, and no line of the host knows of it.

use serde_json::{Value, json};
use torana_tests::chat::{Chat, Streamed};
use torana_tests::gateway::{Config, Folder, Gateway, run};
use torana_tests::guest;
use torana_tests::openai;
use torana_tests::provider::{Asked, Provider};
use torana_tests::repository;
use torana_tests::script::Script;

use crate::setup::{SINK, plugin};

const TICKS: [&str; 3] = ["GREETINGS ", "FROM ", "ZÜRICH"];

/// A telegraph office. Stations are models: `busy`, `short` and `dead` have their ways.
fn telegraph(asked: &Asked) -> Script {
    let text = asked.text();
    let station = text.lines().next().unwrap_or_default().trim_start_matches("STATION ").to_owned();
    let tariff = json!({ "sent": 9, "received": 3 });
    let sign = if station == "short" { "PAPER OUT" } else { "STOP" };
    if station == "busy" {
        return Script::json(418, &json!({ "fault": 17, "why": "line is busy" }));
    }
    if station == "banned" {
        return Script::json(418, &json!({ "fault": 3, "why": "no such subscriber" }));
    }
    if asked.path == "/office/telegrams" {
        let wire = TICKS.concat();
        return Script::json(200, &json!({ "wire": wire, "tariff": tariff, "sign": sign }));
    }
    let ticks: String = TICKS.iter().map(|tick| format!("{}\n", json!({ "tick": tick }))).collect();
    let stream = Script::stream("application/x-ndjson").cut(ticks.as_bytes(), 7);
    if station == "dead" {
        return stream.close();
    }
    stream.bytes(format!("{}\n", json!({ "sign": sign, "tariff": tariff })))
}

fn start(provider: &Provider) -> Gateway {
    let tables = plugin("telegraph", &guest::path("provider-telegraph"), "")
        + &format!(
            "[providers.telegraph]\nplugin = \"telegraph\"\n\
             base_url = \"http://{}/office\"\ncredential = \"env:TELEGRAPH_KEY\"\n\
             settings = {{ priority = \"urgent\" }}\n\
             [models.rescued]\nrouter = \"priority\"\nendpoints = [\"telegraph/busy\", \"telegraph/zurich\"]\n{SINK}",
            provider.address()
        );
    Gateway::start_in(Folder::new(&Config::new(tables)), &[("TELEGRAPH_KEY", "tap-tap")])
}

#[test]
fn whole_answer_comes_over_an_invented_wire() {
    let provider = Provider::start(telegraph);
    let gateway = start(&provider);
    let body = json!({ "model": "telegraph/zurich", "messages": [
        { "role": "system", "content": "be brief" },
        { "role": "user", "content": "how\nare you" },
    ] });
    let reply = gateway.chat(&body).expect(200);
    let expected = Chat {
        text: TICKS.concat(),
        finish_reason: Some("stop".into()),
        usage: Some((9, 3)),
        ..Chat::default()
    };
    assert_eq!(Chat::of(&reply), expected);
    let asked = provider.only_asked();
    assert_eq!(asked.path, "/office/telegrams");
    assert_eq!(asked.header("x-telegraph-key"), Some("tap-tap"));
    assert_eq!(asked.header("content-type"), Some("text/plain"));
    assert_eq!(
        asked.text(),
        "STATION zurich\nPRIORITY urgent\nOFFICE: be brief\nSENDER: how / are you\nEND\n"
    );
    let record = gateway.inference(reply.only_header("x-torana-inference-id"));
    assert_eq!(record["outcome"], "ok", "{record:#}");
    assert_eq!(record["usage"]["input"], 9, "{record:#}");
}

#[test]
fn streamed_answer_comes_over_an_invented_wire() {
    let provider = Provider::start(telegraph);
    let gateway = start(&provider);
    for (station, reason) in [("zurich", "stop"), ("short", "length")] {
        let body = openai::streaming_chat(&format!("telegraph/{station}"));
        let streamed = Streamed::read(gateway.chat_stream(&body)).expect_complete();
        assert_eq!(streamed.chat.text, TICKS.concat());
        assert_eq!(streamed.chat.finish_reason.as_deref(), Some(reason));
        assert_eq!(streamed.chat.usage, Some((9, 3)));
    }
    let dead = Streamed::read(gateway.chat_stream(&openai::streaming_chat("telegraph/dead")));
    dead.expect_broken();
}

#[test]
fn faults_of_an_invented_wire_are_understood() {
    let provider = Provider::start(telegraph);
    let gateway = start(&provider);
    let rescued = gateway.chat(&openai::chat("rescued")).expect(200);
    assert_eq!(rescued.only_header("x-torana-endpoint"), "telegraph/zurich", "busy is passed by");
    let banned = gateway.chat(&openai::chat("telegraph/banned")).expect(418);
    assert!(banned.message().contains("no such subscriber"), "{banned}");
    let image = json!([{ "type": "image_url", "image_url": { "url": "https://x.test/y.png" } }]);
    let body = json!({ "model": "telegraph/zurich",
                       "messages": [{ "role": "user", "content": image }] });
    let refused = gateway.chat(&body).expect(400);
    assert!(refused.message().contains("text only"), "{refused}");
}

#[test]
fn missing_settings_of_an_invented_wire_are_told_by_check() {
    let tables = plugin("telegraph", &guest::path("provider-telegraph"), "")
        + "[providers.telegraph]\nplugin = \"telegraph\"\nbase_url = \"http://127.0.0.1:9\"\n";
    let (content, told) = Folder::new(&Config::new(tables)).check();
    assert!(!content);
    assert!(told.contains("telegraph") && told.contains("priority"), "{told}");
}

#[test]
fn host_names_no_plugin_and_bundles_exactly_the_folders_of_plugins() {
    let folders = plugin_folders();
    assert!(folders.len() >= 8, "{folders:?}");
    let mut sources = Vec::new();
    rust_files(&repository().join("host/src"), &mut sources);
    assert!(sources.len() > 20, "the host's source is where this test looks for it");
    for source in sources {
        let text = std::fs::read_to_string(&source).unwrap();
        // A plugin may be named as the default for a key, as an example, and in unit tests.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().map(str::trim_start);
        let code = lines.filter(|line| !line.starts_with("//")).collect::<Vec<_>>().join("\n");
        for folder in folders.iter().filter(|it| it.starts_with("provider-")) {
            assert!(!code.contains(folder.as_str()), "{} names {folder}", source.display());
        }
    }

    let list = run(&["plugin", "list"]);
    let mut bundled: Vec<&str> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    bundled.sort_unstable();
    assert_eq!(bundled, folders);
}

fn plugin_folders() -> Vec<String> {
    let folders = std::fs::read_dir(repository().join("plugins")).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        let is_plugin = entry.path().join("Cargo.toml").exists();
        is_plugin.then(|| entry.file_name().to_string_lossy().into_owned())
    };
    let mut names: Vec<String> = folders.filter_map(name).collect();
    names.sort();
    names
}

/// Source files but for unit tests.
fn rust_files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|it| it == "tests") {
            continue;
        }
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn telegraph_is_found_by_the_name_that_the_configuration_gives_it() {
    let provider = Provider::start(telegraph);
    let gateway = start(&provider);
    gateway.chat(&openai::chat("telegraph/zurich")).expect(200);
    let status: Value = gateway.plugin("telegraph");
    assert_eq!(status["kind"], "provider", "{status:#}");
}
