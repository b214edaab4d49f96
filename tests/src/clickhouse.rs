//! ClickHouse's SQL engine behind its HTTP interface: the package `chdb-core`, installed from
//! the registry, and the server `sdk/clickhouse_server.py` around it.
//!
//! Promises a server on a port of its own that can be stopped, started again with the same
//! data on the same port, told to refuse, and asked past the gateway.

use std::io::{BufRead as _, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tempfile::TempDir;

use crate::client::{Reply, Request};
use crate::eventually::within;
use crate::process::{Background, Missing};
use crate::provider::refusing_port;
use crate::python::{Python, sdk};

/// The engine is 600 MB of machine code, read from a cold disk.
const START: Duration = Duration::from_secs(120);

/// A server, running or stopped. Ends with this handle.
pub struct ClickHouse {
    python: Python,
    data: TempDir,
    address: SocketAddr,
    password: Option<String>,
    program: Option<Background>,
}

impl ClickHouse {
    /// A running server that takes every user.
    ///
    /// # Errors
    ///
    /// There is no Python, or the registry does not give the packages.
    pub fn start() -> Result<Self, Missing> {
        Self::start_with(None)
    }

    /// A running server that takes the user `default` with this password alone.
    ///
    /// # Errors
    ///
    /// There is no Python, or the registry does not give the packages.
    pub fn start_with(password: Option<&str>) -> Result<Self, Missing> {
        let python = Python::with("clickhouse_requirements.txt")?;
        let data = tempfile::tempdir().map_err(|error| Missing(error.to_string()))?;
        // Another program may take the port in between; then the server says so and ends.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, refusing_port()));
        let password = password.map(str::to_owned);
        let mut server = Self { python, data, address, password, program: None };
        server.resume();
        Ok(server)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends the process as a power failure does.
    pub fn stop(&mut self) {
        self.program = None;
    }

    /// Starts a stopped server again, with its data and on its port.
    pub fn resume(&mut self) {
        let mut command = self.python.command();
        command.arg(sdk("clickhouse_server.py")).arg(self.address.port().to_string());
        command.arg(self.data.path());
        if let Some(password) = &self.password {
            command.args(["--password", password]);
        }
        let mut program = Background::start(&mut command).expect("the interpreter is there");
        show(program.child.stdout.take());
        show(program.child.stderr.take());
        within(START, "the ClickHouse server", || {
            let ended = program.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "the server ended: {ended:?}");
            Request::get("/ping").try_send(self.address).ok().filter(|reply| reply.status == 200)
        });
        self.program = Some(program);
    }

    /// Answers everything with this status; 0: with what the engine says.
    pub fn refuse(&self, status: u16) {
        let switch = serde_json::json!({ "refuse": status });
        Request::post("/-/switch", &switch).send(self.address).expect(200);
    }

    /// Runs a statement; it must succeed.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        let reply = self.try_query(sql);
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
        reply.text().trim_end().to_owned()
    }

    /// Runs a statement.
    pub fn try_query(&self, sql: &str) -> Reply {
        let mut request = Request::new("POST", "/", sql.as_bytes().to_vec());
        if let Some(password) = &self.password {
            request = request.header("X-ClickHouse-User", "default");
            request = request.header("X-ClickHouse-Key", password);
        }
        request.send(self.address)
    }
}

/// What a server says belongs to the output of the test that started it.
fn show(from: Option<impl Read + Send + 'static>) {
    let Some(from) = from else { return };
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            eprintln!("clickhouse: {line}");
        }
    });
}
