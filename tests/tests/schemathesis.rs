//! Schemathesis asks the gateway whatever its own description allows, and much that it does
//! not: no answer is a 5xx, and every status, content type and body is a described one.

use std::time::Duration;

use torana_tests::gateway::{Config, Folder, Gateway, torana};
use torana_tests::process::Missing;
use torana_tests::python::{Python, expect_success};

use crate::setup::SINK;

/// Some seconds an operation.
const LIMIT: Duration = Duration::from_secs(180);

/// Of the generated kind, for each operation; examples and the edges of every parameter are
/// tried besides.
const MAX_EXAMPLES: &str = "20";

/// The same questions in every run.
const SEED: &str = "20261122";

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

#[test]
fn every_answer_to_schemathesis_is_one_that_is_described() {
    let Some(python) = Missing::or_skip(Python::install(), "Schemathesis") else { return };
    let described = torana().arg("openapi").output().unwrap();
    assert!(described.status.success(), "{described:?}");
    let config =
        Config::new(format!("[providers.sim]\n[models.demo]\nendpoints = [\"sim/demo\"]\n{SINK}"))
            .top("default_provider = \"sim\"");
    let folder = Folder::new(&config);
    folder.put("openapi.json", &described.stdout);
    let gateway = Gateway::start_in(folder.clone(), &[]);
    let mut schemathesis = python.command();
    schemathesis.current_dir(folder.path("")).args(["-m", "schemathesis.cli", "run"]);
    schemathesis.args(["openapi.json", "--url", &format!("http://{}", gateway.address())]);
    schemathesis.args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing"]);
    schemathesis.args(["--max-examples", MAX_EXAMPLES, "--seed", SEED, "--no-shrink"]);
    schemathesis.args(["--generation-database", "none"]);
    // One thread: Python's parser, which its library calls, counts the recursion of all threads
    // together (github.com/python/cpython/issues/106905).
    schemathesis.args(["--workers", "1", "--request-timeout", "10", "--continue-on-failure"]);
    schemathesis.args(["--warnings", "off", "--no-color"]);
    expect_success(&mut schemathesis, LIMIT);
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
}
