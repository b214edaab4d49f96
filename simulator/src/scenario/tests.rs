#![expect(clippy::unwrap_used, reason = "tests")]
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

const ENDPOINT: &str = r#"[[endpoints]]
name = "a/m"
region = "x"
price = { input = 1, output = 2 }
ttft_ms = { median = 500, sigma = 0.3 }
tokens_per_s = 80
concurrency = 10
"#;

const ARRIVALS: &str = "[arrivals.generated]
rate_per_s = 5
duration_s = 60
input_tokens = { median = 100, sigma = 1 }
output_tokens = { median = 100, sigma = 1 }
";

fn load(text: &str) -> Result<Scenario, ScenarioError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, text).unwrap();
    Scenario::load(&path, 1)
}

/// The message without the folder: it begins with the line.
fn refused(text: &str) -> String {
    let message = load(text).unwrap_err().to_string();
    message.split_once("mine.toml:").map_or(message.clone(), |(_, rest)| rest.to_owned())
}

fn with(text: &str) -> String {
    format!("{ENDPOINT}{ARRIVALS}{text}")
}

fn fault(keys: &str) -> String {
    with(&format!("[[faults.written]]\nstart_s = 1\nend_s = 2\n{keys}\n"))
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/scenarios").join(name)
}

#[test]
fn a_short_scenario_has_the_documented_defaults() {
    let scenario = load(&with("")).unwrap();
    assert_eq!(scenario.name, "mine");
    assert_eq!(scenario.slo_ttft, Duration::from_secs(3));
    assert_eq!((scenario.values, scenario.limits), (Values::default(), Limits::default()));
    let endpoint = &scenario.endpoints[0];
    assert_eq!((endpoint.weight, endpoint.error_rate), (1.0, 0.0));
    assert_eq!((endpoint.congestion_above, endpoint.concurrency), (0.6, 10));
    assert!(scenario.faults.is_empty());
    assert!((200..400).contains(&scenario.arrivals.len()));
    assert!(scenario.horizon() <= Duration::from_secs(60));
}

#[test]
fn every_key_of_the_head_is_read() {
    let head = "name = \"n\"\nslo_ttft_ms = 1_500\n[values]\nttft_usd_per_s = 1\nstream_usd_per_s = 2\n\
                failure_penalty_s = 3\n[limits]\nmax_attempts = 4\nfirst_token_timeout_ms = 5_000\n\
                retry_share = 0.6\nretry_per_s = 7\nhedge_share = 0.08\nhedge_burst = 9\n";
    let scenario = load(&format!("{head}{}", with(""))).unwrap();
    assert_eq!((scenario.name.as_str(), scenario.slo_ttft), ("n", Duration::from_millis(1_500)));
    let values = Values { ttft_usd_per_s: 1.0, stream_usd_per_s: 2.0, failure_penalty_s: 3.0 };
    assert_eq!(scenario.values, values);
    let limits = Limits {
        max_attempts: 4,
        first_token_timeout: Duration::from_secs(5),
        retry_share: 0.6,
        retry_per_s: 7.0,
        hedge_share: 0.08,
        hedge_burst: 9.0,
    };
    assert_eq!(scenario.limits, limits);
}

#[test]
fn every_kind_of_fault_is_read() {
    let kind = |keys: &str| load(&fault(&format!("endpoint = \"a/m\"\n{keys}"))).unwrap().faults[0];
    let cases = [
        ("kind = \"error\"", FaultKind::Error),
        ("kind = \"slow\"\nfactor = 3", FaultKind::Slow { factor: 3.0 }),
        ("kind = \"rate_limit\"\nshare = 0.2", FaultKind::RateLimit { share: 0.2 }),
        ("kind = \"hang\"", FaultKind::Hang { seconds: 20.0 }),
        ("kind = \"ramp\"\nfactor = 3", FaultKind::Ramp { factor: 3.0 }),
        ("kind = \"flap\"", FaultKind::Flap { period: Duration::from_secs(20) }),
        ("kind = \"grey\"", FaultKind::Grey),
        ("kind = \"cut\"", FaultKind::Cut),
        ("kind = \"price\"\nfactor = 0.5", FaultKind::Price { factor: 0.5 }),
    ];
    for (keys, expected) in cases {
        let fault = kind(keys);
        assert_eq!(fault.kind, expected);
        assert_eq!(fault.intensity, if expected == FaultKind::Grey { 0.2 } else { 1.0 });
        assert!(keys.contains(&format!("\"{}\"", expected.name())));
    }
}

#[test]
fn a_fault_of_a_region_is_one_of_each_of_its_endpoints() {
    let other = ENDPOINT.replace("a/m", "b/m");
    let far = ENDPOINT.replace("a/m", "c/m").replace("\"x\"", "\"y\"");
    let text =
        format!("{far}{other}{}", fault("region = \"x\"\nkind = \"error\"\nintensity = 0.5"));
    let faults = load(&text).unwrap().faults;
    let hit: Vec<usize> = faults.iter().map(|fault| fault.endpoint).collect();
    assert_eq!(hit, [1, 2]);
    assert!(faults.iter().all(|fault| fault.intensity == 0.5));
}

#[test]
fn mistakes_are_named_with_line_key_finding_and_expectation() {
    let cases = [
        (
            with("").replace("tokens_per_s = 80", "tokens_per_s = 0"),
            "6: `endpoints.tokens_per_s` is 0; expected a number above 0, up to a billion",
        ),
        (
            with("").replace("concurrency = 10", "concurrency = 0"),
            "7: `endpoints.concurrency` is 0; expected an integer from 1 to 1000000",
        ),
        (
            with("").replace("\"a/m\"", "\"alone\""),
            "2: `endpoints.name` is `alone`; expected a name as `provider/model`",
        ),
        (
            format!("{ENDPOINT}{}", with("")),
            "9: `endpoints.name` is `a/m`; expected a name that no endpoint above has",
        ),
        (ARRIVALS.to_owned(), "1: `endpoints` is absent; expected at least one `[[endpoints]]`"),
        (ENDPOINT.to_owned(), "1: `arrivals` is absent; expected a table `[arrivals]`"),
        (
            with("").replace("sigma = 0.3", "sigma = nan"),
            "5: `endpoints.ttft_ms.sigma` is NaN; expected a number from 0 to 5",
        ),
        (
            fault("kind = \"error\"\nendpoint = \"b/m\""),
            "17: `faults.written.endpoint` is `b/m`; expected one of: a/m",
        ),
        (
            fault("kind = \"error\"\nregion = \"z\""),
            "17: `faults.written.region` is `z`; expected the region of an endpoint",
        ),
        (
            fault("kind = \"error\""),
            "13: `faults.written.endpoint` is absent; expected `endpoint` or `region`",
        ),
        (
            fault("kind = \"error\"\nendpoint = \"a/m\"\nregion = \"x\""),
            "18: `faults.written.region` is set beside `endpoint`; expected one of the two",
        ),
        (
            fault("kind = \"error\"\nendpoint = \"a/m\"\nintensity = 1.5"),
            "18: `faults.written.intensity` is 1.5; expected a share above 0, up to 1",
        ),
        (
            fault("kind = \"error\"\nendpoint = \"a/m\"\nfactor = 2"),
            "18: `faults.written.factor` is 2; expected no such key for a fault of this kind",
        ),
        (
            fault("kind = \"price\"\nendpoint = \"a/m\"\nfactor = 2\nintensity = 0.5"),
            "19: `faults.written.intensity` is 0.5; expected no such key for a fault of this kind",
        ),
        (
            fault("kind = \"slow\"\nendpoint = \"a/m\""),
            "13: `faults.written.factor` is absent; expected a number for a fault of this kind",
        ),
        (
            fault("kind = \"error\"\nendpoint = \"a/m\"").replace("end_s = 2", "end_s = 1"),
            "15: `faults.written.end_s` is 1; expected a time after `start_s`, which is 1",
        ),
        (
            with("[faults.generated]\nper_hour = { region = 1 }").replace("region = \"x\"\n", ""),
            "13: `faults.generated.per_hour.region` is 1; expected an endpoint with a `region` where regions fail",
        ),
        (
            with("[faults.generated]\nper_hour = {}\nduration_s = [9, 3]"),
            "15: `faults.generated.duration_s` is [9, 3]; expected the lesser number first",
        ),
        (
            with("[faults.generated]\nper_hour = {}\nkinds = []"),
            "15: `faults.generated.kinds` is empty; expected at least one kind",
        ),
        (
            with("[faults.generated]\nper_hour = {}\nhealthy_concurrency = 11"),
            "15: `faults.generated.healthy_concurrency` is 11; expected an integer from 1 to 10",
        ),
        (
            format!("{ENDPOINT}[arrivals]\nspeed = 2\n"),
            "8: `arrivals` is empty; expected `trace` or `[arrivals.generated]`",
        ),
        (
            with("")
                .replace("[arrivals.generated]", "[arrivals]\ntrace = \"x\"\n[arrivals.generated]"),
            "8: `arrivals` is a trace and generated; expected one of the two",
        ),
        (
            with("").replace("[arrivals.generated]", "[arrivals]\nspeed = 2\n[arrivals.generated]"),
            "9: `arrivals.speed` is set; expected no such key where arrivals are generated",
        ),
        (
            with("").replace("rate_per_s = 5", "rate_per_s = 1e6"),
            "8: `arrivals.generated` is about 60000000 requests; expected at most 1000000 by rate and duration",
        ),
        (
            with("").replace("rate_per_s = 5", "rate_per_s = 1e-9"),
            "8: `arrivals.generated` is no request; expected at least one by rate and duration",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(&text), expected, "{text}");
    }
}

#[test]
fn what_is_not_of_the_format_is_reported_with_line_and_key() {
    let cases = [
        (
            with("").replace("tokens_per_s = 80", "tokens_per_s = \"fast\""),
            "6: `endpoints.tokens_per_s`: ",
        ),
        (with("").replace("tokens_per_s", "tokens_a_second"), "6: `endpoints.tokens_a_second`: "),
        (with("").replace("sigma = 0.3", "spread = 0.3"), "5: `endpoints.ttft_ms.spread`: "),
        (
            with("").replace("tokens_per_s = 80\n", ""),
            "1: `endpoints`: missing field `tokens_per_s`",
        ),
        (fault("kind = \"sulk\"\nendpoint = \"a/m\""), "16: `faults.written.kind`: "),
        (with("oops"), "13: "),
    ];
    for (text, expected) in cases {
        let message = refused(&text);
        assert!(message.starts_with(expected), "{message}\n{text}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let error = Scenario::load(Path::new("/nowhere/x.toml"), 1).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the scenario /nowhere/x.toml");
    let long = "#".repeat(usize::try_from(MAX_FILE).unwrap() + 1);
    assert!(matches!(load(&long).unwrap_err(), ScenarioError::TooLarge { .. }));
}

#[test]
fn a_trace_is_found_beside_its_scenario_and_runs_at_its_speed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.toml");
    let trace = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00,1,2\n\
                 2023-11-16 18:00:08,3,4\n2023-11-16 18:00:09,5,6\n";
    std::fs::write(folder.path().join("t.csv"), trace).unwrap();
    std::fs::write(
        &path,
        format!("{ENDPOINT}[arrivals]\ntrace = \"t.csv\"\nspeed = 4\nlimit = 2\n"),
    )
    .unwrap();
    let scenario = Scenario::load(&path, 1).unwrap();
    assert_eq!(scenario.arrivals.len(), 2);
    assert_eq!(scenario.horizon(), Duration::from_secs(2));
}

#[test]
fn other_arrivals_take_the_place_of_a_trace_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.toml");
    let text = format!("{ENDPOINT}[arrivals]\ntrace = \"absent.csv\"\n");
    std::fs::write(&path, text).unwrap();
    assert!(matches!(Scenario::load(&path, 1).unwrap_err(), ScenarioError::Trace(_)));
    let arrivals =
        vec![Arrival { at: Duration::ZERO, input_tokens: 1, output_tokens: 1, session: 0 }];
    let scenario = Scenario::load_with_arrivals(&path, 1, arrivals.clone()).unwrap();
    assert_eq!(scenario.arrivals, arrivals);
    let nothing = Scenario::load_with_arrivals(&path, 1, Vec::new()).unwrap_err();
    assert_eq!(nothing.to_string(), "the scenario has no arrivals; at least one is needed");
}

#[test]
fn the_seed_makes_the_generated_and_nothing_else() {
    let text =
        with("[faults.generated]\nper_hour = { single = 600 }\ncalm_s = 0\nduration_s = [1, 2]")
            .replace(ENDPOINT, &format!("{ENDPOINT}{}", ENDPOINT.replace("a/m", "b/m")));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.toml");
    std::fs::write(&path, text).unwrap();
    let load = |seed| Scenario::load(&path, seed).unwrap();
    assert_eq!(load(1), load(1));
    assert!(!load(1).faults.is_empty());
    assert_ne!(load(1).faults, load(2).faults);
    assert_ne!(load(1).arrivals, load(2).arrivals);
    assert_eq!(load(1).endpoints, load(2).endpoints);
}

#[test]
fn the_shipped_scenarios_are_read() {
    for name in ["quick.toml", "flap.toml"] {
        let scenario = Scenario::load(&shipped(name), 1).unwrap();
        assert!(scenario.arrivals.len() > 1_000 && !scenario.faults.is_empty(), "{name}");
    }
    // Their trace is not in the repository.
    for name in ["brownouts.toml", "overload.toml", "outage.toml"] {
        let arrivals = |end: u64| {
            let at = |seconds| Duration::from_secs(seconds);
            [0, end].map(|seconds| Arrival {
                at: at(seconds),
                input_tokens: 1,
                output_tokens: 1,
                session: 0,
            })
        };
        let scenario =
            Scenario::load_with_arrivals(&shipped(name), 1, arrivals(3_000).to_vec()).unwrap();
        assert_eq!(
            (scenario.endpoints.len(), scenario.name.as_str()),
            (5, name.trim_end_matches(".toml"))
        );
        assert!(scenario.faults.len() > 4, "{name}: {}", scenario.faults.len());
    }
}

#[test]
fn a_log_normal_has_its_median_and_its_mean() {
    let of = LogNormal { median: 500.0, sigma: 0.4 };
    assert!((of.value(0.0) - 500.0).abs() < 1e-9);
    assert!((of.mean() - 500.0 * 0.08f64.exp()).abs() < 1e-9);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[ -~\n]{0,200}", at in 0usize..400) {
        let _ = load(&text);
        let whole = fault("endpoint = \"a/m\"\nkind = \"flap\"");
        let at = at.min(whole.len());
        let _ = load(&format!("{}{text}{}", &whole[..at], &whole[at..]));
    }
}
