//! A receiver of OpenTelemetry traces that decodes them with the official Python classes
//! (`sdk/otlp_receiver.py`). What it got stands in a file, so that it can end and come back.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::client::Request;
use crate::process::{Background, Missing};
use crate::python::{Python, sdk};

/// A running receiver. Ends with this handle.
pub struct Receiver {
    address: SocketAddr,
    file: PathBuf,
    _program: Background,
}

/// What one request brought, and how it was answered.
#[derive(Debug, Clone)]
pub struct Export {
    pub path: String,
    pub headers: Value,
    pub status: u64,
    pub spans: Vec<Value>,
}

impl Receiver {
    /// Python with what the receiver needs.
    ///
    /// # Errors
    ///
    /// There is no Python, or the registry does not give the packages.
    pub fn install() -> Result<Python, Missing> {
        Python::with("otlp_requirements.txt")
    }

    /// Listens on `port` (0: a free one) and adds to `file`.
    #[track_caller]
    pub fn start(python: &Python, port: u16, file: &Path) -> Self {
        let mut command = python.command();
        command.arg(sdk("otlp_receiver.py")).arg(port.to_string()).arg(file);
        let mut program = Background::start(&mut command).expect("python runs");
        let mut output = BufReader::new(program.child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("it can be read");
        let port = line.trim().parse().expect("a receiver that starts prints its port");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self { address, file: file.to_owned(), _program: program }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers for the requests to come, in order.
    pub fn answer_with(&self, answers: &Value) {
        let request = Request::new("PUT", "/answers", answers.to_string().into_bytes());
        request.send(self.address).expect(204);
    }

    /// Every request so far, also those of the receivers before it that used the same file.
    pub fn exports(&self) -> Vec<Export> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        // A line that is just being written is the next look's.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(export).collect()
    }

    /// Every span of the requests that were answered with 200.
    pub fn spans(&self) -> Vec<Value> {
        let taken = self.exports().into_iter().filter(|export| export.status == 200);
        taken.flat_map(|export| export.spans).collect()
    }
}

fn export(line: &str) -> Export {
    let line: Value = serde_json::from_str(line).expect("the receiver writes JSON");
    Export {
        path: line["path"].as_str().expect("a path").to_owned(),
        headers: line["headers"].clone(),
        status: line["status"].as_u64().expect("a status"),
        spans: line["spans"].as_array().expect("spans").clone(),
    }
}
