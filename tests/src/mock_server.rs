//! A server that answers as an OpenAPI description says and refuses requests that do not fit
//! it: Steady, which the openai package tests itself against.
//!
//! Installed from the registry by `sdk/package-lock.json` and started as the package's own
//! `scripts/mock` starts it.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::client::Request;
use crate::eventually::eventually;
use crate::process::{Background, Missing, prepare};
use crate::provider::refusing_port;
use crate::python::{folder, sdk};

/// From a cold cache, over a slow line.
const INSTALL: Duration = Duration::from_secs(120);

/// How the openai package writes lists and objects into queries.
const FLAGS: [&str; 5] = [
    "--quiet",
    "--validator-query-array-format=brackets",
    "--validator-form-array-format=brackets",
    "--validator-query-object-format=brackets",
    "--validator-form-object-format=brackets",
];

/// A running mock server. Ends with this handle.
pub struct MockServer {
    address: SocketAddr,
    _program: Background,
}

impl MockServer {
    /// # Errors
    ///
    /// There is no description, no Node.js, or the registry does not give the package.
    pub fn start(description: &Path) -> Result<Self, Missing> {
        if !description.exists() {
            return Err(Missing(format!("no {}", description.display())));
        }
        let program = install()?;
        // Another program may take the port in between; then the server says so and ends.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, refusing_port()));
        let mut command = Command::new("node");
        command.arg(program).args(["--host", "127.0.0.1", "--port", &address.port().to_string()]);
        let started = Background::start(command.args(FLAGS).arg(description));
        let mut program = started.map_err(|error| Missing(format!("node: {error}")))?;
        discard(program.child.stdout.take());
        discard(program.child.stderr.take());
        eventually("the mock server", || {
            let ended = program.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "the mock server ended: {ended:?}");
            let health = Request::get("/_x-steady/health").try_send(address);
            health.ok().filter(|reply| reply.status == 200)
        });
        Ok(Self { address, _program: program })
    }

    /// The description's server has no path here: `/chat/completions`, not `/v1/…`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The program's main file.
fn install() -> Result<std::path::PathBuf, Missing> {
    let folder = folder().join("node");
    let copy = |name: &str| {
        let text = std::fs::read(sdk(name))?;
        std::fs::create_dir_all(&folder)?;
        let is_new = std::fs::read(folder.join(name)).map_or(true, |there| there != text);
        std::fs::write(folder.join(name), text).map(|()| is_new)
    };
    let copied = copy("package.json").and_then(|one| Ok(copy("package-lock.json")? || one));
    let is_new = copied.map_err(|error| Missing(format!("{}: {error}", folder.display())))?;
    let program = folder.join("node_modules/@stdy/cli/steady.js");
    if is_new || !program.exists() {
        let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        prepare(Command::new("npm").args(arguments).current_dir(&folder), INSTALL)?;
    }
    Ok(program)
}

/// Keeps a pipe empty, so that its writer never waits.
fn discard(from: Option<impl Read + Send + 'static>) {
    std::thread::spawn(move || from.map(|mut from| std::io::copy(&mut from, &mut std::io::sink())));
}
