//! The reference in `docs/operating.md` and the product say the same: routes, metrics, flags.

use std::collections::BTreeSet;

use torana_tests::client::Request;
use torana_tests::eventually::eventually;
use torana_tests::gateway::{Config, Gateway, run};
use torana_tests::openai;
use torana_tests::repository;

use crate::setup::{NEIGHBOUR, SINK};

/// The reference.
fn operating() -> String {
    std::fs::read_to_string(repository().join("docs/operating.md")).unwrap()
}

/// First cells of table rows, without their backticks.
fn first_cells(text: &str) -> impl Iterator<Item = &str> {
    let cell = |line: &'_ str| -> Option<(usize, usize)> {
        let start = line.find("| `")? + 3;
        let end = start + line.get(start..)?.find('`')?;
        (line.starts_with("| `")).then_some((start, end))
    };
    text.lines().filter_map(move |line| cell(line).and_then(|(start, end)| line.get(start..end)))
}

fn set<'a>(words: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    words.map(str::to_owned).collect()
}

#[test]
fn documented_metrics_are_those_that_are_served() {
    let text = operating();
    let priced = NEIGHBOUR.replace(
        "\"sim/demo\"",
        "{ provider = \"sim\", model = \"demo\", price = { input = 1.0, output = 2.0 } }",
    );
    let gateway = Gateway::start(&Config::new(format!("{priced}{SINK}")));
    // What has labels is served from its first event on.
    gateway.chat(&openai::chat("neighbour")).expect(200);
    gateway.chat(&openai::streaming_chat("neighbour")).expect(200);
    gateway.reload().expect(200);
    let metrics = gateway.metrics();
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let served = set(types.filter_map(|line| line.split(' ').next()));
    assert!(served.len() > 10, "{metrics}");
    assert!(metrics.trim_end().ends_with("# EOF"), "OpenMetrics ends with a marker: {metrics}");
    let documented = set(first_cells(&text).filter(|it| it.starts_with("torana_")));
    // Counters are documented as they are queried, with the suffix of a sample.
    let documented = set(documented.iter().map(|it| it.strip_suffix("_total").unwrap_or(it)));
    assert_eq!(documented, served);
}

#[test]
fn documented_routes_are_those_that_are_served() {
    let text = operating();
    let is_route =
        |it: &&str| ["GET /", "POST /", "DELETE /"].iter().any(|method| it.starts_with(method));
    let documented = set(first_cells(&text).filter(is_route));
    let mut known = BTreeSet::new();
    for source in ["host/src/request/paths.rs", "host/src/admin/mod.rs"] {
        let source = std::fs::read_to_string(repository().join(source)).unwrap();
        known.extend(routes_in(&source));
    }
    assert_eq!(documented, known);

    let gateway = Gateway::start(&Config::new(format!("{NEIGHBOUR}{SINK}")));
    for route in &documented {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path.replace("{model}", "neighbour").replace("{id}", "absent");
        let body = if method == "POST" { b"{}".to_vec() } else { Vec::new() };
        let request = Request::new(method, path, body);
        let addresses = [gateway.address(), gateway.admin_address()];
        let is_served = addresses.into_iter().any(|address| {
            let reply = request.send(address);
            !matches!(reply.status, 405) && !reply.text().contains("no such route")
        });
        assert!(is_served, "{route}");
    }
}

/// `("GET", "/path")` entries of a `ROUTES` table.
fn routes_in(source: &str) -> Vec<String> {
    let table = source.split("ROUTES: &[(&str, &str)] = &[").nth(1).unwrap_or_default();
    let table = table.split("];").next().unwrap_or_default();
    let quoted: Vec<&str> = table.split('"').skip(1).step_by(2).collect();
    assert!(!quoted.is_empty(), "the table of routes is where this test looks for it");
    quoted.chunks(2).map(|pair| pair.join(" ")).collect()
}

#[test]
fn documented_commands_and_flags_are_those_of_the_binary() {
    let text = operating();
    let commands: [&[&str]; 8] = [
        &["serve"],
        &["check"],
        &["plugin", "list"],
        &["simulate"],
        &["route", "replay"],
        &["export"],
        &["openapi"],
        &[],
    ];
    let mut flags = BTreeSet::new();
    for command in commands {
        let arguments: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
        let help = run(&arguments);
        let words = help.split(|it: char| it.is_whitespace() || it == '=' || it == ',');
        flags.extend(set(words.filter(|word| word.starts_with("--") && word.len() > 2)));
        if !command.is_empty() {
            let command = format!("torana {}", command.join(" "));
            assert!(text.contains(&command), "`{command}` is not documented");
        }
    }
    for flag in flags.iter().filter(|flag| !matches!(flag.as_str(), "--help" | "--version")) {
        assert!(text.contains(flag.as_str()), "{flag} is not documented");
    }
    let documented = text.split('`').skip(1).step_by(2).filter_map(|it| it.split(' ').next());
    for flag in documented.filter(|word| word.starts_with("--")) {
        assert!(flags.contains(flag), "{flag} is documented and does not exist");
    }
}

#[test]
fn every_command_of_the_help_exists() {
    let help = run(&["--help"]);
    for command in ["serve", "check", "plugin"] {
        assert!(help.contains(command), "{help}");
        assert!(run(&[command, "--help"]).contains("Usage"), "{command}");
    }
    assert!(run(&["--version"]).starts_with("torana "));
}

#[test]
fn what_the_start_tells_to_try_works() {
    let gateway = Gateway::start(&Config::new(format!("{NEIGHBOUR}{SINK}")));
    let body = || {
        let log = gateway.log();
        let body = log.split_once("-d '").and_then(|(_, rest)| rest.split_once('\''));
        body.and_then(|(body, _)| serde_json::from_str(body).ok())
    };
    let body: serde_json::Value = eventually("a call to try", body);
    assert_eq!(body["model"], "neighbour");
    gateway.chat(&body).expect(200);
}
