//! Providers that flap, hang, refuse and recover beside one that works: what clients feel of
//! it, and how much of it reaches the provider that is in trouble.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use torana_tests::chat::Streamed;
use torana_tests::dialects::Dialect;
use torana_tests::eventually::eventually;
use torana_tests::faults::Early;
use torana_tests::gateway::{Config, Gateway};
use torana_tests::load::{Failure, Load};
use torana_tests::openai;
use torana_tests::provider::{Asked, Provider, refusing_port};
use torana_tests::script::{Gate, Script};

use crate::setup::{SINK, compatible};

/// Clients that ask all the while; half of them for streams.
const WORKERS: usize = 8;

const BURST: Duration = Duration::from_secs(1);

/// The model `m` at `troubled` and `healthy`; the first is so cheap that a policy that weighs
/// price wants it whenever it works.
fn beside(troubled: &Provider, healthy: &Provider) -> Config {
    let endpoint = |name: &str, price: f64| {
        let price = format!("price = {{ input = {price:?}, output = {price:?} }}");
        format!("{{ provider = \"{name}\", model = \"m\", {price} }}")
    };
    let endpoints = [endpoint("troubled", 0.1), endpoint("healthy", 2.0)].join(", ");
    Config::new(
        compatible("troubled", &troubled.url(), "")
            + &compatible("healthy", &healthy.url(), "")
            + &format!("[models.m]\nendpoints = [{endpoints}]\n")
            + SINK,
    )
}

/// Asks for `m`: whether it was served, and by whom.
fn ask(address: SocketAddr, stream: bool) -> Result<Option<String>, Failure> {
    if !stream {
        let reply = openai::completion(&openai::chat("m")).try_send(address)?;
        let served = reply.status == 200 && reply.is_complete;
        return Ok(served.then(|| reply.only_header("x-torana-endpoint").to_owned()));
    }
    let mut stream = openai::completion(&openai::streaming_chat("m")).try_stream(address)?;
    if stream.status != 200 {
        return Ok(None);
    }
    let endpoint = stream.header("x-torana-endpoint").unwrap_or_default().to_owned();
    let (events, end) = stream.try_rest()?;
    Ok(Streamed::of(events, end).looks_complete().then_some(endpoint))
}

fn load(gateway: &Gateway) -> Load<Option<String>> {
    let address = gateway.address();
    Load::start(WORKERS, move |worker, _| ask(address, worker % 2 == 0))
}

/// Fails for a second, works for a second; tells the bursts in which it was asked.
fn flapping() -> (Provider, Arc<Mutex<BTreeSet<u128>>>) {
    let bursts = Arc::new(Mutex::new(BTreeSet::new()));
    let (seen, start) = (bursts.clone(), Instant::now());
    let provider = Provider::start(move |asked| {
        let burst = start.elapsed().as_millis() / BURST.as_millis();
        if burst % 2 == 1 {
            return openai::respond(asked);
        }
        seen.lock().unwrap().insert(burst);
        Early::Status(503).script()
    });
    (provider, bursts)
}

#[test]
fn a_flapping_provider_beside_a_healthy_one_costs_at_most_one_client_in_a_thousand() {
    let ((flapping, bursts), healthy) = (flapping(), Provider::start(openai::respond));
    let gateway = Gateway::start(&beside(&flapping, &healthy));
    let load = load(&gateway);
    // In steps, since each wait is bounded.
    while load.turns() < 1_000 {
        load.wait_for_turns(100);
    }
    eventually("a second burst meets a client", || {
        (bursts.lock().unwrap().len() >= 2).then_some(())
    });
    let seen = load.finish();
    let served = seen.iter().flatten().count();
    let lost = seen.len() - served;
    assert!(lost * 1_000 <= seen.len(), "{lost} of {} were not served", seen.len());
}

#[test]
fn nobody_waits_for_a_hanging_provider_after_the_first_few() {
    let hanging = Provider::always(Early::Silence.script());
    let healthy = Provider::start(openai::respond);
    let gateway = Gateway::start(&beside(&hanging, &healthy));
    let load = load(&gateway);
    load.wait_for_turns(WORKERS * 4);
    let (before, start) = (hanging.asked().len(), Instant::now());
    assert!(before > 0, "the cheap one is tried");
    load.wait_for_turns(300);
    let (after, elapsed) = (hanging.asked().len(), start.elapsed());
    let seen = load.finish();
    assert!(seen.iter().all(Option::is_some), "a client was not served");
    // A probe every two seconds at the most, and each worker's own that had begun.
    let probes = usize::try_from(elapsed.as_secs() / 2).unwrap() + 1;
    assert!(after - before <= probes + WORKERS, "{before} before, then {after}, {probes} probes");
}

#[test]
fn an_outage_of_all_is_one_error_that_lists_every_attempt() {
    let answers = |code: u16| {
        let error = openai::error(&format!("outage {code}"), "server_error", "scripted");
        Provider::always(Script::json(code, &error))
    };
    let (one, two) = (answers(500), answers(503));
    let refused = format!("http://127.0.0.1:{}/v1", refusing_port());
    let tables = compatible("one", &one.url(), "")
        + &compatible("two", &two.url(), "forward = false")
        + &compatible("three", &refused, "")
        + "[models.m]\nendpoints = [\"one/x\", \"two/y\", \"three/z\"]\n"
        + SINK;
    let gateway = Gateway::start(&Config::new(tables).top("default_router = \"priority\""));
    for dialect in [Dialect::Chat, Dialect::Responses, Dialect::Messages] {
        for body in [dialect.body("m"), dialect.streaming("m")] {
            let reply = gateway.send(&dialect.request(&body));
            assert!((500..=503).contains(&reply.status), "{reply}");
            let message = dialect.error_message(&reply);
            for part in ["one/x: ", "outage 500", "two/y: ", "outage 503", "three/z: "] {
                assert!(message.contains(part), "{dialect:?}: no {part}: {message}");
            }
            assert_eq!(dialect.error_code(&reply), "all_attempts_failed", "{reply}");
            assert_eq!(reply.only_header("x-torana-attempts"), "3", "{reply}");
            let record = gateway.inference(reply.only_header("x-torana-inference-id"));
            assert_eq!(record["decision"]["gave_up"], "steps_exhausted", "{record:#}");
        }
    }
}

/// `429` with `retry-after`.
fn limited(seconds: u64) -> Script {
    let error = openai::error("slow down", "rate_limit_error", "rate_limit_exceeded");
    Script::json(429, &error).header("retry-after", &seconds.to_string())
}

#[test]
fn a_limit_of_all_is_told_with_the_shortest_wait() {
    let providers = [70, 30, 50].map(|seconds| Provider::always(limited(seconds)));
    let mut tables = SINK.to_owned();
    for (name, provider) in ["one", "two", "three"].into_iter().zip(&providers) {
        tables += &compatible(name, &provider.url(), "");
    }
    tables += "[models.m]\nendpoints = [\"one/m\", \"two/m\", \"three/m\"]\n";
    let gateway = Gateway::start(&Config::new(tables));
    // The second time all of them are known to refuse, and are asked all the same.
    for _ in 0..2 {
        for dialect in [Dialect::Chat, Dialect::Messages] {
            let reply = gateway.send(&dialect.request(&dialect.body("m"))).expect(429);
            assert_eq!(reply.only_header("retry-after"), "30", "{reply}");
            assert_eq!(reply.only_header("x-torana-attempts"), "3", "{reply}");
        }
    }
}

#[test]
fn a_wait_is_not_told_where_an_endpoint_failed_otherwise() {
    let (limited, broken) =
        (Provider::always(limited(30)), Provider::always(Early::Status(500).script()));
    let gateway = Gateway::start(&beside(&limited, &broken));
    let reply = gateway.chat(&openai::chat("m"));
    assert!(reply.status >= 429, "{reply}");
    assert_eq!(reply.header("retry-after"), None, "{reply}");
}

#[test]
fn an_endpoint_that_asks_to_be_left_alone_is_left_alone_while_others_serve() {
    let limited = Provider::always(limited(120));
    let healthy = Provider::start(openai::respond);
    let config = beside(&limited, &healthy).top("default_router = \"priority\"");
    let gateway = Gateway::start(&config);
    let first = gateway.chat(&openai::chat("m")).expect(200);
    assert_eq!(first.only_header("x-torana-attempts"), "2");
    for _ in 0..20 {
        let reply = gateway.chat(&openai::chat("m")).expect(200);
        assert_eq!(reply.only_header("x-torana-endpoint"), "healthy/m");
        assert_eq!(reply.only_header("x-torana-attempts"), "1");
    }
    assert_eq!(limited.asked().len(), 1);
    // What the policy was told of it.
    let reply = gateway.chat(&openai::chat("m")).expect(200);
    let record = gateway.inference(reply.only_header("x-torana-inference-id"));
    let row = &record["decision"]["models"][0]["policy"]["candidates"][0];
    let back_off = row["back_off_ms"].as_u64().unwrap();
    assert!((1..=120_000).contains(&back_off), "{row:#}");
}

#[test]
fn an_endpoint_is_asked_again_after_the_time_it_asked_for_and_not_before() {
    let times: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let told = times.clone();
    let limited = Provider::start(move |asked: &Asked| {
        let mut times = told.lock().unwrap();
        times.push(Instant::now());
        if times.len() == 1 { limited(1) } else { openai::respond(asked) }
    });
    let healthy = Provider::start(openai::respond);
    let config = beside(&limited, &healthy).top("default_router = \"priority\"");
    let gateway = Gateway::start(&config);
    gateway.chat(&openai::chat("m")).expect(200);
    eventually("it is asked again", || {
        let reply = gateway.chat(&openai::chat("m")).expect(200);
        (reply.only_header("x-torana-endpoint") == "troubled/m").then_some(())
    });
    let times = times.lock().unwrap();
    let waited = times[1].duration_since(times[0]);
    assert!(waited >= Duration::from_secs(1), "only {waited:?} of the second it asked for");
}

#[test]
fn a_recovering_endpoint_gets_one_request_at_a_time_until_one_is_answered() {
    let (fails, gate) = (Arc::new(AtomicBool::new(true)), Gate::default());
    let probes = Arc::new(AtomicUsize::new(0));
    let (failing, held, counted) = (fails.clone(), gate.clone(), probes.clone());
    let recovering = Provider::start(move |asked: &Asked| {
        if failing.load(Ordering::SeqCst) {
            return Early::Status(500).script();
        }
        counted.fetch_add(1, Ordering::SeqCst);
        assert!(!asked.streams());
        let answer = openai::answer(openai::TEXT).to_string();
        Script::promise("application/json", answer.len()).gate(&held).bytes(answer)
    });
    let healthy = Provider::start(openai::respond);
    let config = beside(&recovering, &healthy).top("default_router = \"priority\"");
    let gateway = Gateway::start(&config);
    for _ in 0..3 {
        gateway.chat(&openai::chat("m")).expect(200);
    }
    assert_eq!(recovering.asked().len(), 3, "three failures open the breaker");
    gateway.chat(&openai::chat("m")).expect(200);
    assert_eq!(recovering.asked().len(), 3, "open: nothing goes there");

    fails.store(false, Ordering::SeqCst);
    let address = gateway.address();
    let load = Load::start(WORKERS, move |_, _| ask(address, false));
    eventually("a probe", || (probes.load(Ordering::SeqCst) == 1).then_some(()));
    let start = Instant::now();
    load.wait_for_turns(WORKERS * 4);
    // A probe that hangs makes room for the next after the back-off of two seconds.
    let allowed = 1 + start.elapsed().as_secs() / 2;
    let probes = probes.load(Ordering::SeqCst);
    assert!(probes as u64 <= allowed, "{probes} probes at once, {allowed} allowed");
    gate.open();
    eventually("it serves again", || {
        let reply = gateway.chat(&openai::chat("m")).expect(200);
        (reply.only_header("x-torana-endpoint") == "troubled/m").then_some(())
    });
    let seen = load.finish();
    assert!(seen.iter().all(Option::is_some), "a client was not served");
}

/// What the policy had learned when it decided on a call.
fn learned(record: &Value) -> &str {
    record["decision"]["models"][0]["policy"]["learned"].as_str().unwrap_or_default()
}

#[test]
fn a_policy_that_is_swapped_under_load_keeps_what_it_learned_and_fails_nobody() {
    let broken = Provider::always(Early::Status(500).script());
    let healthy = Provider::start(openai::respond);
    let config = beside(&broken, &healthy).top("default_router = \"balanced\"");
    let with_window = |seconds: usize| {
        let settings = format!("settings = {{ window_s = {seconds} }}");
        config.clone().and(&format!("[routers.balanced]\n{settings}"))
    };
    let gateway = Gateway::start(&with_window(60));
    let load = load(&gateway);
    eventually("the policy has learned something", || {
        let reply = gateway.chat(&openai::chat("m")).expect(200);
        let record = gateway.inference(reply.only_header("x-torana-inference-id"));
        (!learned(&record).is_empty()).then_some(())
    });
    for turn in 1..=8 {
        gateway.folder.configure(&with_window(60 + turn));
        let generation = gateway.reload().expect(200).json()["generation"].as_u64().unwrap();
        let reply = gateway.chat(&openai::chat("m")).expect(200);
        let own: u64 = reply.only_header("x-torana-generation").parse().unwrap();
        assert!(own >= generation, "{own} is not after {generation}");
        let record = gateway.inference(reply.only_header("x-torana-inference-id"));
        assert!(!learned(&record).is_empty(), "turn {turn}: {record:#}");
        let policy = &record["decision"]["models"][0]["policy"];
        assert_eq!(policy["settings"], json!({ "window_s": 60 + turn }), "{record:#}");
        // Dearer by far, and first because the other one was seen to fail.
        assert_eq!(record["decision"]["plan"][0], "healthy/m", "turn {turn}: {record:#}");
    }
    let seen = load.finish();
    assert!(seen.iter().all(Option::is_some), "a client was not served");
}

/// Serves so many at a time and refuses the rest, as providers with a concurrency limit do.
fn narrow(width: usize) -> (Provider, Arc<AtomicUsize>) {
    let (inside, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = refused.clone();
    let provider = Provider::start(move |asked| {
        let before = inside.fetch_add(1, Ordering::SeqCst);
        let script = if before < width {
            // The script is played after this: the place is held here.
            std::thread::sleep(Duration::from_millis(20));
            openai::respond(asked)
        } else {
            counted.fetch_add(1, Ordering::SeqCst);
            let error = openai::error("too many at once", "rate_limit_error", "concurrency");
            Script::json(429, &error)
        };
        inside.fetch_sub(1, Ordering::SeqCst);
        script
    });
    (provider, refused)
}

#[test]
fn the_number_of_requests_that_an_endpoint_takes_at_once_is_learned_from_its_refusals() {
    let ((narrow, refused), healthy) = (narrow(2), Provider::start(openai::respond));
    let config = beside(&narrow, &healthy).top("default_router = \"priority\"");
    let gateway = Gateway::start(&config);
    let load = load(&gateway);
    load.wait_for_turns(100);
    let (asked, refusals) = (narrow.asked().len(), refused.load(Ordering::SeqCst));
    assert!(refusals > 0, "eight at once are more than two");
    load.wait_for_turns(300);
    let asked = narrow.asked().len() - asked;
    let refusals = refused.load(Ordering::SeqCst) - refusals;
    let seen = load.finish();
    assert!(seen.iter().all(Option::is_some), "a client was not served");
    assert!(asked > 0, "it is still used");
    // Blindly, three of four would be refused.
    assert!(refusals * 2 < asked, "{refusals} of {asked} were refused");
}
