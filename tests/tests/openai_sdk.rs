//! The openai Python package, installed from the registry, talks to the gateway.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use torana_tests::gateway::{Config, Folder, Gateway, both};
use torana_tests::openai;
use torana_tests::provider::{Asked, Provider};
use torana_tests::script::Script;

use crate::setup::{SINK, compatible};

const PACKAGE: &str = "openai==3.54.0";

/// Why the package is not there. On CI that is a failure: a skipped test proves nothing.
struct Missing(String);

#[test]
fn openai_package_chats_streams_calls_tools_and_understands_errors() {
    let python = match install() {
        Ok(python) => python,
        Err(Missing(why)) if std::env::var_os("CI").is_some() => panic!("{PACKAGE}: {why}"),
        Err(Missing(why)) => {
            eprintln!("skipped: {PACKAGE} cannot be installed: {why}");
            return;
        }
    };
    let provider = Provider::start(respond);
    let tables = compatible("forwarded", &provider.url(), "")
        + &compatible("translated", &provider.url(), "forward = false")
        + "[models.forwarded]\nendpoints = [\"forwarded/scripted\"]\n\
           [models.translated]\nendpoints = [\"translated/scripted\"]\n\
           [models.broken]\nendpoints = [\"forwarded/broken\"]\n\
           [models.limited]\nendpoints = [\"forwarded/limited\"]\n\
           [keys.team]\nsecret = \"env:CLIENT_KEY\"\n"
        + SINK;
    let folder = Folder::new(&Config::new(tables));
    let gateway = Gateway::start_in(folder, &[("CLIENT_KEY", "sk-team")]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/openai_sdk.py");
    let output = Command::new(python)
        .arg(script)
        .arg(format!("http://{}/v1", gateway.address()))
        .arg("sk-team")
        .arg(openai::TEXT)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", both(&output));
}

fn respond(asked: &Asked) -> Script {
    let body = asked.json();
    match body["model"].as_str() {
        Some("broken") => {
            let events = openai::events(openai::TEXT);
            Script::sse().bytes(openai::sse(&events[..4])).close()
        }
        Some("limited") => {
            Script::json(429, &openai::error("slow down", "rate_limit_error", "rate_limited"))
        }
        _ if body["tools"].is_array() => openai::respond_with_tools(asked),
        _ => openai::respond(asked),
    }
}

/// A virtual environment that is kept between runs.
fn install() -> Result<PathBuf, Missing> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(PACKAGE.replace("==", "-"));
    let python = folder.join("bin/python");
    let has_package = |python: &Path| {
        let run = Command::new(python).args(["-c", "import openai"]).output();
        run.is_ok_and(|output| output.status.success())
    };
    if has_package(&python) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE];
    run(Command::new(&python).args(pip))?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<Output, Missing> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(output),
        Ok(output) => Err(Missing(both(&output))),
        Err(error) => Err(Missing(error.to_string())),
    }
}
