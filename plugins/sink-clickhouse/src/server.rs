//! The server: requests that end in time, and their answers or failures.
//!
//! One call of the host may take ten seconds, whatever it asks of the server, and a plugin
//! that takes longer is killed; all requests of a call share a deadline below that.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use torana_plugin_sdk::Header;
use torana_plugin_sdk::host::clock;
use torana_plugin_sdk::host::http::{self, Error, Request, Response};

use crate::failure::Failure;
use crate::statement::Statement;

/// For one call of the host. Its default bound is 10 seconds (`limits.io_ms`).
const CALL_NS: u64 = 8_000_000_000;
/// Less is not worth a request.
const SHORTEST_MS: u64 = 50;

/// What may stand in a query string as it is (RFC 3986, unreserved).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Answers are whole before their status is sent, integers are numbers and slashes are
/// slashes. Copies of a row have the same time and so the same partition, which lets the
/// server drop them partition by partition; they are the same in every column, so that an
/// index may skip them.
const READING: &str = "&wait_end_of_query=1&output_format_json_quote_64bit_integers=0\
    &output_format_json_escape_forward_slashes=0&do_not_merge_across_partitions_select_final=1\
    &use_skip_indexes_if_final=1";

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insert {
    /// Joined by the server with what others insert; answered once it is on disk.
    Joined,
    /// For itself: an error is certainly about these rows.
    Alone,
}

/// The way out of the sandbox.
pub(crate) trait Transport {
    fn send(&mut self, request: &Request) -> Result<Response, Error>;

    /// Never goes backwards.
    fn now_ns(&self) -> u64;
}

/// The host's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own;

impl Transport for Own {
    fn send(&mut self, request: &Request) -> Result<Response, Error> {
        http::send(request)
    }

    fn now_ns(&self) -> u64 {
        clock::monotonic_ns()
    }
}

/// One database of a server.
#[derive(Debug)]
pub(crate) struct Server<T> {
    transport: T,
    url: String,
    database: String,
    user: String,
    deadline_ns: u64,
}

impl<T: Transport> Server<T> {
    pub(crate) fn new(transport: T, url: &str, database: &str, user: &str) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        let (database, user) = (database.to_owned(), user.to_owned());
        Self { transport, url, database, user, deadline_ns: 0 }
    }

    /// A call of the host begins.
    pub(crate) fn begin(&mut self) {
        self.deadline_ns = self.transport.now_ns().saturating_add(CALL_NS);
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.transport.now_ns()
    }

    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// Runs a statement in the database and gives its answer.
    pub(crate) fn ask(&mut self, statement: Statement) -> Result<Vec<u8>, Failure> {
        let database = format!("&database={}", encoded(&self.database));
        self.run(statement, &database)
    }

    /// The same outside of any database.
    pub(crate) fn ask_outside(&mut self, statement: Statement) -> Result<Vec<u8>, Failure> {
        self.run(statement, "")
    }

    /// Inserts `lines` of JSON.
    pub(crate) fn insert(
        &mut self,
        table: &str,
        columns: &str,
        how: Insert,
        lines: Vec<u8>,
    ) -> Result<(), Failure> {
        let query = format!("INSERT INTO {table} ({columns}) FORMAT JSONEachRow");
        let settings = match how {
            Insert::Joined => "async_insert=1&wait_for_async_insert=1",
            Insert::Alone => "async_insert=0",
        };
        // A clock that was wrong spreads rows over many months; each is a partition.
        let url = format!(
            "{}/?database={}&{settings}&throw_on_max_partitions_per_insert_block=0&query={}",
            self.url,
            encoded(&self.database),
            encoded(&query)
        );
        self.send(url, lines).map(|_| ())
    }

    fn run(&mut self, statement: Statement, database: &str) -> Result<Vec<u8>, Failure> {
        let mut url = format!("{}/?default_format=JSONCompactEachRow{READING}{database}", self.url);
        for (place, value) in statement.parameters.iter().enumerate() {
            url.push_str(&format!("&param_p{place}={}", encoded(value)));
        }
        self.send(url, statement.sql.into_bytes())
    }

    fn send(&mut self, url: String, body: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let left_ms = self.deadline_ns.saturating_sub(self.transport.now_ns()) / 1_000_000;
        if left_ms < SHORTEST_MS {
            return Err(Failure::Unreachable("it took too long".to_owned()));
        }
        let request = Request {
            method: "POST".to_owned(),
            url,
            headers: vec![
                header("X-ClickHouse-User", &self.user),
                header("Content-Type", "application/octet-stream"),
            ],
            body,
            timeout_ms: u32::try_from(left_ms).unwrap_or(u32::MAX),
        };
        let response = self.transport.send(&request)?;
        // An error that comes late may have missed the status, but not the header.
        if response.status == 200 && !Failure::is_told_by(&response) {
            Ok(response.body)
        } else {
            Err(Failure::of(&response))
        }
    }
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: value.to_owned() }
}

fn encoded(value: &str) -> String {
    utf8_percent_encode(value, QUERY).to_string()
}
