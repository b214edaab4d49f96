//! Changes take effect under load: no request fails, none sees two snapshots, and a change
//! that cannot work changes nothing.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use torana_tests::chat::{Chat, Streamed};
use torana_tests::eventually::eventually;
use torana_tests::gateway::{Config, Folder, Gateway, Signal};
use torana_tests::guest::{Order, Version};
use torana_tests::load::{Failure, Load};
use torana_tests::openai;

use crate::setup::NEIGHBOUR;

/// Clients that ask all the while; half of them for streams.
const WORKERS: usize = 8;

/// One reply as its client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    generation: u64,
    endpoint: String,
    version: Version,
}

/// Two endpoints of one provider plugin, in the order that one policy plugin says.
fn config() -> Config {
    Config::new(
        "[plugins.versioned]\nsource = \"file:provider.wasm\"\n\
         [plugins.ordered]\nsource = \"file:policy.wasm\"\n\
         [providers.v]\nplugin = \"versioned\"\n\
         [routers.ordered]\nplugin = \"ordered\"\n\
         [models.m]\nrouter = \"ordered\"\nendpoints = [\"v/first\", \"v/last\"]\n",
    )
}

fn start() -> Gateway {
    let folder = Folder::new(&config());
    folder.put("provider.wasm", &Version::One.component());
    folder.put("policy.wasm", &Order::Forwards.component());
    Gateway::start_in(folder, &[])
}

fn load(gateway: &Gateway) -> Load<Seen> {
    let address = gateway.address();
    Load::start(WORKERS, move |worker, _| ask(address, worker % 2 == 0))
}

fn ask(address: SocketAddr, streams: bool) -> Result<Seen, Failure> {
    let (headers, text) = if streams { ask_stream(address)? } else { ask_whole(address)? };
    let [generation, endpoint] = headers;
    let words: BTreeSet<&str> = text.split_whitespace().collect();
    let version = match words.into_iter().collect::<Vec<_>>().as_slice() {
        [one] if *one == Version::One.marker() => Version::One,
        [two] if *two == Version::Two.marker() => Version::Two,
        mixed => return Err(Failure(format!("not of one version: {mixed:?}"))),
    };
    Ok(Seen { generation: generation.parse()?, endpoint, version })
}

const HEADERS: [&str; 2] = ["x-torana-generation", "x-torana-endpoint"];

fn ask_whole(address: SocketAddr) -> Result<([String; 2], String), Failure> {
    let reply = openai::completion(&openai::chat("m")).try_send(address)?;
    if reply.status != 200 || !reply.is_complete {
        return Err(Failure(reply.to_string()));
    }
    Ok((HEADERS.map(|name| reply.only_header(name).to_owned()), Chat::of(&reply).text))
}

fn ask_stream(address: SocketAddr) -> Result<([String; 2], String), Failure> {
    let mut stream = openai::completion(&openai::streaming_chat("m")).try_stream(address)?;
    if stream.status != 200 {
        return Err(Failure(stream.into_reply()?.to_string()));
    }
    let headers = HEADERS.map(|name| stream.header(name).unwrap_or_default().to_owned());
    let (events, end) = stream.try_rest()?;
    let streamed = Streamed::of(events, end);
    if !streamed.looks_complete() {
        return Err(Failure(format!("a stream was cut: {streamed:#?}")));
    }
    Ok((headers, streamed.chat.text))
}

/// A generation is one policy and one plugin version: whatever clients saw of it agrees.
fn assert_one_snapshot_a_generation(seen: &[Seen]) {
    let mut distinct = seen.to_vec();
    distinct.sort_by_key(|it| it.generation);
    distinct.dedup();
    for pair in distinct.windows(2) {
        assert!(pair[0].generation < pair[1].generation, "two snapshots in one: {pair:?}");
    }
}

#[test]
fn two_hundred_reloads_of_policies_and_plugins_fail_no_request_and_mix_no_snapshot() {
    let gateway = start();
    let components = [Version::One.component(), Version::Two.component()];
    let orders = [Order::Forwards.component(), Order::Backwards.component()];
    let load = load(&gateway);
    load.wait_for_turns(WORKERS);
    let mut generation = gateway.generation();
    for turn in 1..=200 {
        gateway.folder.put("provider.wasm", &components[turn % 2]);
        gateway.folder.put("policy.wasm", &orders[turn / 2 % 2]);
        let reloaded = gateway.reload().expect(200).json()["generation"].as_u64().unwrap();
        assert!(reloaded > generation, "turn {turn}: {reloaded} after {generation}");
        generation = reloaded;
    }
    load.wait_for_turns(WORKERS);
    let seen = load.finish();
    assert_one_snapshot_a_generation(&seen);
    let generations: BTreeSet<u64> = seen.iter().map(|it| it.generation).collect();
    assert!(generations.len() > 20, "only {} generations were seen", generations.len());
    for version in [Version::One, Version::Two] {
        assert!(seen.iter().any(|it| it.version == version), "{version:?} was never seen");
    }
    for endpoint in ["v/first", "v/last"] {
        assert!(seen.iter().any(|it| it.endpoint == endpoint), "{endpoint} was never seen");
    }
    let status = gateway.status();
    assert!(status["generation"].as_u64().unwrap() >= generation);
}

/// Changes something under load and waits until clients see it.
#[track_caller]
fn changes_under_load(gateway: &Gateway, change: impl FnOnce(), is_seen: impl Fn(&Seen) -> bool) {
    let load = load(gateway);
    load.wait_for_turns(WORKERS);
    change();
    eventually("clients see the change", || {
        let seen = ask(gateway.address(), false).unwrap_or_else(|failure| panic!("{failure:?}"));
        is_seen(&seen).then_some(())
    });
    load.wait_for_turns(WORKERS);
    assert_one_snapshot_a_generation(&load.finish());
}

#[test]
fn policy_replaced_by_rename_changes_routing_under_load() {
    let gateway = start();
    let replace = || gateway.folder.put("policy.wasm", &Order::Backwards.component());
    changes_under_load(&gateway, replace, |seen| seen.endpoint == "v/last");
}

#[test]
fn policy_overwritten_in_place_changes_routing_under_load() {
    let gateway = start();
    let replace = || gateway.folder.overwrite("policy.wasm", &Order::Backwards.component());
    changes_under_load(&gateway, replace, |seen| seen.endpoint == "v/last");
}

#[test]
fn provider_replaced_by_rename_answers_under_load() {
    let gateway = start();
    let replace = || gateway.folder.put("provider.wasm", &Version::Two.component());
    changes_under_load(&gateway, replace, |seen| seen.version == Version::Two);
}

#[test]
fn edited_router_key_changes_routing_under_load() {
    let gateway = start();
    gateway.folder.put("backwards.wasm", &Order::Backwards.component());
    let edited = config()
        .and("[plugins.other]\nsource = \"file:backwards.wasm\"")
        .and("[routers.other]\nplugin = \"other\"")
        .and("[models.another]\nendpoints = [\"v/first\"]")
        .replace("router = \"ordered\"", "router = \"other\"");
    changes_under_load(
        &gateway,
        || gateway.folder.configure(&edited),
        |seen| seen.endpoint == "v/last",
    );
    gateway.chat(&openai::chat("another")).expect(200);
}

#[test]
fn configuration_overwritten_in_place_takes_effect() {
    let gateway = start();
    let edited = config().and("[models.another]\nendpoints = [\"v/first\"]");
    gateway.folder.overwrite("torana.toml", edited.text().as_bytes());
    eventually("the new model answers", || {
        let reply = gateway.chat(&openai::chat("another"));
        (reply.status == 200).then_some(())
    });
}

#[test]
fn hangup_signal_reloads() {
    let gateway = start();
    let generation = gateway.generation();
    gateway.signal(Signal::HUP);
    gateway.later_than(generation);
    gateway.chat(&openai::chat("m")).expect(200);
}

#[test]
fn bad_configuration_disturbs_nothing_and_is_reported_with_every_problem() {
    let gateway = start();
    let generation = gateway.generation();
    let load = load(&gateway);
    let bad = config().and("[modls.x]\nendpoints = [\"nowhere/at-all\"]").server("lisen = 1");
    gateway.folder.configure(&bad);
    eventually("the refused reload is counted", || {
        refused_reloads(&gateway.metrics()).filter(|count| *count > 0)
    });
    assert_eq!(gateway.status()["last_reload"]["accepted"], false);
    let refused = gateway.reload();
    assert_eq!(refused.status, 422, "{refused}");
    let told = refused.text();
    for word in ["modls", "models", "lisen", "listen", "torana.toml:"] {
        assert!(told.contains(word), "no {word}: {told}");
    }
    assert_eq!(gateway.generation(), generation);
    gateway.folder.configure(&config());
    gateway.reload().expect(200);
    let seen = load.finish();
    assert_one_snapshot_a_generation(&seen);
}

/// Reloads that were refused so far.
fn refused_reloads(metrics: &str) -> Option<u64> {
    let sample = "torana_reloads_total{result=\"refused\"} ";
    metrics.lines().find_map(|line| line.strip_prefix(sample)?.parse().ok())
}

#[test]
fn damaged_configurations_never_disturb_the_running_one() {
    let gateway = start();
    gateway.chat(&openai::chat("m")).expect(200);
    let text = config().text();
    let bytes = text.as_bytes();
    let mut refused = 0;
    for end in (0..bytes.len()).step_by(41) {
        gateway.folder.overwrite("torana.toml", &bytes[..end]);
        let reply = gateway.reload();
        assert!(matches!(reply.status, 200 | 422), "cut at {end}: {reply}");
        refused += usize::from(reply.status == 422);
    }
    assert!(refused > 0);
    for garbage in [&b"\xff\xfe\x00"[..], &[b'[', b'\n'].repeat(1_000), &[0; 4096]] {
        gateway.folder.overwrite("torana.toml", garbage);
        assert_eq!(gateway.reload().status, 422);
    }
    gateway.folder.configure(&config());
    gateway.reload().expect(200);
    gateway.chat(&openai::chat("m")).expect(200);
}

#[test]
fn removed_model_is_gone_and_added_model_is_there_after_a_reload() {
    let gateway = Gateway::start(&Config::new(NEIGHBOUR));
    gateway.folder.configure(&Config::new(NEIGHBOUR.replace("neighbour", "renamed")));
    gateway.reload().expect(200);
    gateway.chat(&openai::chat("renamed")).expect(200);
    gateway.chat(&openai::chat("neighbour")).expect(404);
}
