//! Sinks get every row that is theirs, whatever they and their stores do; and nothing that
//! is not theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use serde_json::{Value, json};
use torana_tests::eventually::eventually;
use torana_tests::gateway::{Config, Folder, Gateway, Signal};
use torana_tests::guest;
use torana_tests::openai;
use torana_tests::provider::{Asked, Provider};
use torana_tests::script::{Gate, Script};

use crate::setup::{NEIGHBOUR, plugin};

const GRANTS: &str = "grants = { http = [\"settings.url\"] }";

/// Far more than the bound on what sinks may take at the end.
const END: Duration = Duration::from_secs(30);

/// A store that answers 200.
fn store() -> Provider {
    Provider::always(Script::json(200, &json!({})))
}

/// A hostile sink with a plugin of its own: the quarantine of one is not that of the next.
fn sink(name: &str, url: &str, settings: &str, keys: &str) -> String {
    let component = plugin(name, &guest::path("sink-hostile"), &format!("{GRANTS}\n"));
    format!(
        "{component}\n[sinks.{name}]\nplugin = \"{name}\"\n\
         settings = {{ url = \"{url}/{name}\"{settings} }}\n{keys}\n"
    )
}

fn url(store: &Provider) -> String {
    format!("http://{}", store.address())
}

/// A call whose prompt says this; gives its id.
fn call(gateway: &Gateway, prompt: &str) -> String {
    let mut body = openai::chat("neighbour");
    body["messages"][0]["content"] = json!(prompt);
    let reply = gateway.chat(&body).expect(200);
    reply.only_header("x-torana-inference-id").to_owned()
}

/// What was posted to this path, row by row: those that came twice once.
fn rows(store: &Provider, path: &str) -> Vec<Value> {
    let mut rows: Vec<Value> = Vec::new();
    for asked in store.asked().iter().filter(|asked| asked.path == path) {
        for row in asked.json().as_array().into_iter().flatten() {
            if !rows.contains(row) {
                rows.push(row.clone());
            }
        }
    }
    rows
}

fn ids(rows: &[Value], kind: &str) -> Vec<String> {
    let of_kind = rows.iter().filter(|row| row["kind"] == kind);
    of_kind.map(|row| row["row"]["id"].as_str().unwrap().to_owned()).collect()
}

/// The sink in `/status`.
fn status(gateway: &Gateway, name: &str) -> Value {
    let status = gateway.status();
    let found = status["sinks"].as_array().unwrap().iter().find(|sink| sink["name"] == name);
    found.unwrap_or_else(|| panic!("no sink {name}: {status:#}")).clone()
}

fn wait_until_even(gateway: &Gateway, name: &str) {
    eventually(&format!("{name} has everything"), || {
        (status(gateway, name)["lag_rows"] == 0).then_some(())
    });
}

fn metric(gateway: &Gateway, sample: &str) -> f64 {
    let metrics = gateway.metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix(sample));
    line.unwrap_or_else(|| panic!("no {sample} in {metrics}")).trim().parse().unwrap()
}

fn dead_letters(folder: &Folder, sink: &str) -> Vec<Value> {
    let path = folder.path(&format!("data/journal/dead-letters/{sink}.jsonl"));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn row_that_kills_the_sink_is_given_up_and_no_other() {
    let store = store();
    let deaths = [
        ("trap", "trapped"),
        ("hang", "did not answer"),
        ("memory", "memory"),
        ("huge_result", "bytes"),
        ("nonsense", "rejected row"),
    ];
    let mut tables = NEIGHBOUR.to_owned();
    for (death, _) in deaths {
        let settings = format!(", {death} = \"POISON\"");
        let sink = sink(death, &url(&store), &settings, "");
        tables += &sink.replace(GRANTS, &format!("{GRANTS}\nlimits = {{ io_ms = 1_000 }}"));
    }
    let gateway = Gateway::start(&Config::new(tables));
    let before = call(&gateway, "harmless");
    let poison = call(&gateway, "POISON");
    let after: Vec<String> = (0..5).map(|_| call(&gateway, "harmless")).collect();
    for (death, words) in deaths {
        wait_until_even(&gateway, death);
        let letters = dead_letters(&gateway.folder, death);
        assert_eq!(letters.len(), 1, "{death}: {letters:#?}");
        assert_eq!((&letters[0]["id"], &letters[0]["kind"]), (&json!(poison), &json!("inference")));
        let reason = letters[0]["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{death}: {reason}");
        let row: Value = serde_json::from_str(letters[0]["row"].as_str().unwrap()).unwrap();
        assert_eq!(row["id"], json!(poison));
        let rows = rows(&store, &format!("/{death}"));
        let mut delivered = ids(&rows, "inference");
        delivered.sort();
        assert_eq!(delivered, [std::slice::from_ref(&before), &after].concat(), "{death}");
        assert_eq!(ids(&rows, "model_inference").len(), 7, "{death}: the poisoned call's as well");
        let status = status(&gateway, death);
        assert_eq!((&status["state"], &status["rejected_rows"]), (&json!("up"), &json!(1)));
        assert!(status["last_error"]["message"].as_str().unwrap().contains(words), "{status:#}");
    }
    let kills = metric(&gateway, "torana_plugin_kills_total{plugin=\"hang\",cause=\"timeout\"}");
    assert!(kills >= 3.0, "{kills}");
    assert!(gateway.account("hang", "busy_us") > 100_000, "{:#}", gateway.plugin("hang"));
}

#[test]
fn store_that_is_down_costs_no_row_though_the_sink_dies_of_it() {
    let is_down = Arc::new(AtomicBool::new(true));
    let seen = is_down.clone();
    let store = Provider::start(move |_| {
        Script::json(if seen.load(SeqCst) { 500 } else { 200 }, &json!({}))
    });
    let tables = format!("{NEIGHBOUR}{}", sink("frail", &url(&store), "", ""));
    let gateway = Gateway::start(&Config::new(tables));
    let calls: Vec<String> = (0..5).map(|_| call(&gateway, "harmless")).collect();
    eventually("several deaths", || (store.asked().len() >= 4).then_some(()));
    let failing = status(&gateway, "frail");
    assert_eq!(failing["state"], "failing", "{failing:#}");
    assert!(failing["last_error"]["message"].as_str().unwrap().contains("trapped"), "{failing:#}");
    assert_eq!(metric(&gateway, "torana_sink_up{sink=\"frail\"}"), 0.0);
    call(&gateway, "served as ever");
    store.forget();
    is_down.store(false, SeqCst);
    wait_until_even(&gateway, "frail");
    let delivered = ids(&rows(&store, "/frail"), "inference");
    assert!(calls.iter().all(|id| delivered.contains(id)), "{delivered:?} {calls:?}");
    assert_eq!(dead_letters(&gateway.folder, "frail"), [Value::Null; 0]);
    assert_eq!(metric(&gateway, "torana_sink_up{sink=\"frail\"}"), 1.0);
}

#[test]
fn first_row_of_all_is_given_up_only_once_another_was_taken() {
    let store = store();
    let only = "only = { kinds = [\"inference\"] }";
    let tables = format!("{NEIGHBOUR}{}", sink("first", &url(&store), ", trap = \"POISON\"", only));
    let gateway = Gateway::start(&Config::new(tables));
    let poison = call(&gateway, "POISON");
    eventually("it was tried often", || (gateway.account("first", "kills") >= 4).then_some(()));
    assert_eq!(dead_letters(&gateway.folder, "first"), [Value::Null; 0]);
    let harmless = call(&gateway, "harmless");
    wait_until_even(&gateway, "first");
    assert_eq!(dead_letters(&gateway.folder, "first")[0]["id"], json!(poison));
    assert_eq!(ids(&rows(&store, "/first"), "inference"), [harmless]);
}

#[test]
fn batch_that_is_too_much_for_a_sink_comes_in_parts() {
    let gate = Gate::default();
    let held = gate.clone();
    let store = Provider::start(move |_: &Asked| {
        let answer = Script::default().gate(&held);
        answer.raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
    });
    let settings = ", most_rows = 4";
    let tables = format!("{NEIGHBOUR}{}", sink("small", &url(&store), settings, ""));
    let gateway = Gateway::start(&Config::new(tables));
    // One batch is held while the rest of them come together.
    let calls: Vec<String> = (0..20).map(|_| call(&gateway, "harmless")).collect();
    gate.open();
    wait_until_even(&gateway, "small");
    let mut delivered = ids(&rows(&store, "/small"), "inference");
    delivered.sort();
    assert_eq!(delivered, calls);
    assert!(gateway.account("small", "kills") > 0, "some batch was too long");
    assert_eq!(dead_letters(&gateway.folder, "small"), [Value::Null; 0]);
}

#[test]
fn sink_that_puts_off_for_ever_holds_up_nobody_and_is_seen() {
    let answers = Arc::new(AtomicUsize::new(503));
    let status_of = answers.clone();
    let store = Provider::start(move |asked: &Asked| {
        let is_late = asked.path == "/late";
        let status = if is_late { status_of.load(SeqCst) } else { 200 };
        Script::json(u16::try_from(status).unwrap(), &json!({}))
    });
    let tables = NEIGHBOUR.to_owned()
        + &sink("late", &url(&store), "", "")
        + &sink("prompt", &url(&store), "", "");
    let gateway = Gateway::start(&Config::new(tables));
    let calls: Vec<String> = (0..3).map(|_| call(&gateway, "harmless")).collect();
    wait_until_even(&gateway, "prompt");
    assert_eq!(ids(&rows(&store, "/prompt"), "inference"), calls);
    eventually("the late one failed", || {
        (status(&gateway, "late")["state"] == "failing").then_some(())
    });
    assert!(metric(&gateway, "torana_sink_batches_total{sink=\"late\",result=\"retry\"}") > 0.0);
    assert_eq!(metric(&gateway, "torana_sink_up{sink=\"prompt\"}"), 1.0);
    store.forget();
    answers.store(200, SeqCst);
    wait_until_even(&gateway, "late");
    assert_eq!(ids(&rows(&store, "/late"), "inference"), calls);
    assert_eq!(status(&gateway, "late")["state"], "up");
    // Two rows a call, and the configuration.
    assert_eq!(metric(&gateway, "torana_sink_delivered_rows_total{sink=\"late\"}"), 7.0);
}

#[test]
fn rejected_rows_wait_until_they_can_be_kept() {
    let store = store();
    let settings = ", reject = \"UNWANTED\"";
    let tables = format!("{NEIGHBOUR}{}", sink("picky", &url(&store), settings, ""));
    let folder = Folder::new(&Config::new(tables));
    let blocked = folder.path("data/journal/dead-letters");
    std::fs::create_dir_all(blocked.parent().unwrap()).unwrap();
    std::fs::write(&blocked, "a file in the place of the folder").unwrap();
    let gateway = Gateway::start_in(folder, &[]);
    let unwanted = call(&gateway, "UNWANTED");
    eventually("it could not be kept", || {
        let errors = metric(&gateway, "torana_sink_dead_letter_errors_total{sink=\"picky\"}");
        (errors > 0.0).then_some(())
    });
    let waiting = status(&gateway, "picky");
    assert_ne!(waiting["lag_rows"], 0, "{waiting:#}");
    assert!(waiting["last_error"]["message"].as_str().unwrap().contains("dead-letter"));
    std::fs::remove_file(&blocked).unwrap();
    wait_until_even(&gateway, "picky");
    let letters = dead_letters(&gateway.folder, "picky");
    assert_eq!((letters.len(), &letters[0]["id"]), (1, &json!(unwanted)));
    assert_eq!(letters[0]["reason"], "told to reject");
    assert!(metric(&gateway, "torana_sink_dead_letter_bytes{sink=\"picky\"}") > 0.0);
}

#[test]
fn secrets_reach_the_store_and_nobody_else() {
    let store = Provider::start(|asked: &Asked| {
        let key = asked.header("x-key").unwrap_or_default();
        Script::whole(200, "text/plain", format!("you are {key}!")).header("x-echo", key)
    });
    let keys = "headers = { X-Key = \"env:STORE_KEY\", x-tenant = \"acme\" }";
    let settings = ", tell = true, headers = { x-key = \"of the guest\", x-own = \"1\" }";
    let tables = format!("{NEIGHBOUR}{}", sink("secret", &url(&store), settings, keys));
    let folder = Folder::new(&Config::new(tables));
    let environment = [("STORE_KEY", "k-1234567890"), ("RUST_LOG", "trace")];
    let gateway = Gateway::start_in(folder, &environment);
    call(&gateway, "harmless");
    wait_until_even(&gateway, "secret");
    let asked = store.asked();
    for request in &asked {
        assert_eq!(request.header("x-key"), Some("k-1234567890"));
        assert_eq!(request.header("x-tenant"), Some("acme"));
        assert_eq!(request.header("x-own"), Some("1"));
    }
    let seen = asked.iter().find(|asked| asked.path == "/secret/seen").unwrap().text();
    assert!(seen.contains("you are ***!") && seen.contains("x-echo: ***"), "{seen}");
    for text in [gateway.log(), gateway.metrics(), gateway.status().to_string(), seen] {
        assert!(!text.contains("k-1234567890"), "{text}");
    }
}

#[test]
fn new_secret_in_a_file_starts_the_sink_anew() {
    let store = store();
    let keys = "headers = { x-key = \"file:key\" }";
    let tables = format!("{NEIGHBOUR}{}", sink("rotated", &url(&store), "", keys));
    let folder = Folder::with_files(&Config::new(tables), &[("key", "first")]);
    let gateway = Gateway::start_in(folder, &[]);
    call(&gateway, "harmless");
    wait_until_even(&gateway, "rotated");
    gateway.folder.put("key", b"second");
    gateway.reload().expect(200);
    store.forget();
    call(&gateway, "harmless");
    wait_until_even(&gateway, "rotated");
    assert!(store.asked().iter().all(|asked| asked.header("x-key") == Some("second")));
    assert!(!store.asked().is_empty());
}

#[test]
fn each_sink_gets_what_its_rules_say() {
    let store = store();
    let failing = "[models.failing]\nendpoints = [\"absent/x\"]\n[providers.absent]\n\
                   preset = \"openai-compatible\"\nbase_url = \"http://127.0.0.1:9/v1\"\n";
    let tables = format!("{NEIGHBOUR}{failing}")
        + &sink("bare", &url(&store), "", "content = \"metadata\"")
        + &sink("failures", &url(&store), "", "only = { outcomes = [\"error\"] }")
        + &sink("none", &url(&store), "", "sample = 0.0");
    let gateway = Gateway::start(&Config::new(tables));
    let good = call(&gateway, "a secret of mine");
    let bad = gateway.chat(&openai::chat("failing"));
    let bad = bad.only_header("x-torana-inference-id").to_owned();
    for name in ["bare", "failures", "none"] {
        wait_until_even(&gateway, name);
    }
    let bare = rows(&store, "/bare");
    assert_eq!(ids(&bare, "inference"), [good, bad.clone()]);
    assert!(!format!("{bare:?}").contains("a secret of mine"), "{bare:?}");
    let first = bare.iter().find(|row| row["kind"] == "inference").unwrap();
    assert_eq!(
        (&first["row"]["content"], &first["row"]["request"]),
        (&json!("metadata"), &Value::Null)
    );
    let failures = rows(&store, "/failures");
    assert_eq!(ids(&failures, "inference"), std::slice::from_ref(&bad));
    assert_eq!(ids(&failures, "model_inference").len(), 1, "{failures:#?}");
    assert!(failures.iter().all(|row| row["inference_id"] == json!(bad)));
    let none = rows(&store, "/none");
    assert!(none.iter().all(|row| row["kind"] == "snapshot"), "{none:#?}");
    assert_eq!(metric(&gateway, "torana_sink_skipped_rows_total{sink=\"none\"}"), 4.0);
    assert_eq!(metric(&gateway, "torana_sink_skipped_rows_total{sink=\"failures\"}"), 3.0);
}

#[test]
fn sink_is_mended_and_renamed_while_it_fails() {
    let broken = Provider::always(Script::json(503, &json!({})));
    let works = store();
    let of = |name: &str, store: &Provider| {
        Config::new(format!("{NEIGHBOUR}{}", sink(name, &url(store), "", "")))
    };
    let gateway = Gateway::start(&of("one", &broken));
    let first = call(&gateway, "harmless");
    eventually("it failed", || (status(&gateway, "one")["state"] == "failing").then_some(()));
    gateway.folder.configure(&of("one", &works));
    gateway.reload().expect(200);
    wait_until_even(&gateway, "one");
    assert_eq!(ids(&rows(&works, "/one"), "inference"), [first]);
    let second = call(&gateway, "harmless");
    gateway.folder.configure(&of("two", &works));
    gateway.reload().expect(200);
    wait_until_even(&gateway, "two");
    let renamed = ids(&rows(&works, "/two"), "inference");
    assert!(renamed.contains(&second), "{renamed:?}");
    assert!(!gateway.metrics().contains("sink=\"one\""), "nothing is left of the old name");
    // Back, at once: it waits for what may still be under way, and starts again.
    gateway.folder.configure(&of("one", &works));
    gateway.reload().expect(200);
    let third = call(&gateway, "harmless");
    wait_until_even(&gateway, "one");
    assert!(ids(&rows(&works, "/one"), "inference").contains(&third));
}

#[test]
fn last_rows_are_taken_at_the_end_and_a_hanging_store_does_not_hold_it_up() {
    let works = store();
    let hanging = Provider::start(|_: &Asked| Script::default().until_closed());
    let tables = NEIGHBOUR.to_owned()
        + &sink("good", &url(&works), "", "")
        + &sink("hanging", &url(&hanging), "", "");
    let folder = Folder::new(&Config::new(tables));
    let mut gateway = Gateway::start_in(folder.clone(), &[]);
    let calls: Vec<String> = (0..20).map(|_| call(&gateway, "harmless")).collect();
    eventually("it hangs", || (!hanging.asked().is_empty()).then_some(()));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait_for_end(END), 0);
    assert_eq!(ids(&rows(&works, "/good"), "inference"), calls);
    drop(gateway);
    let again = Config::new(format!("{NEIGHBOUR}{}", sink("hanging", &url(&works), "", "")));
    folder.configure(&again);
    let gateway = Gateway::start_in(folder, &[]);
    wait_until_even(&gateway, "hanging");
    assert_eq!(ids(&rows(&works, "/hanging"), "inference"), calls);
}

#[test]
fn component_that_calls_out_needs_the_grant_and_an_end_to_its_opening() {
    let store = store();
    let config = |keys: &str, settings: &str| {
        let tables = sink("s", &url(&store), settings, "");
        Folder::new(&Config::new(format!("{NEIGHBOUR}{}", tables.replace(GRANTS, keys))))
    };
    let (is_fine, words) = config("", "").check();
    assert!(!is_fine && words.contains("http = [\"settings.url\"]"), "{words}");
    let limits = format!("{GRANTS}\nlimits = {{ io_ms = 300 }}");
    let (is_fine, words) = config(&limits, ", open = \"hang\"").check();
    assert!(!is_fine && words.contains("did not answer within 300 ms"), "{words}");
    let (is_fine, words) = config(GRANTS, ", open = \"trap\"").check();
    assert!(!is_fine && words.contains("trapped"), "{words}");
    let (is_fine, words) = config(GRANTS, "").check();
    assert!(is_fine, "{words}");
}
