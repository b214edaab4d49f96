//! An HTTP/1.1 client that hides nothing: status, headers, bytes as they come, and whether
//! the body was complete. Every read is bounded by [`DEADLINE`].

use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use bytes::Bytes;
use http_body_util::Full;
use serde_json::Value;

use crate::connection::{Headers, Length, Piece, Reader, body_length, header};
use crate::eventually::DEADLINE;

/// A request, ready to be sent anywhere.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    path: String,
    headers: Headers,
    body: Vec<u8>,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    headers: Headers,
    pub body: Vec<u8>,
    /// The body ended where it said it would.
    pub is_complete: bool,
}

/// An answer that is still coming.
pub struct Stream {
    pub status: u16,
    headers: Headers,
    socket: TcpStream,
    reader: Reader,
    length: Length,
    /// Bytes that have not made an event yet.
    pending: Vec<u8>,
    end: Option<End>,
}

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Complete,
    Cut,
}

/// A connection that takes one request after the other.
pub struct Connection {
    socket: TcpStream,
    reader: Reader,
}

impl Request {
    pub fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path, Vec::new())
    }

    /// `POST` of JSON.
    pub fn post(path: impl Into<String>, body: &Value) -> Self {
        Self::post_bytes(path, body.to_string().into_bytes())
    }

    /// `POST` of whatever, called JSON.
    pub fn post_bytes(path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", path, body.into()).header("content-type", "application/json")
    }

    pub fn new(method: &str, path: impl Into<String>, body: Vec<u8>) -> Self {
        Self { method: method.to_owned(), path: path.into(), headers: Vec::new(), body }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends it on a connection of its own and waits for the whole answer.
    ///
    /// # Errors
    ///
    /// No connection, no answer in time, or one that is not HTTP.
    pub fn try_send(&self, to: SocketAddr) -> io::Result<Reply> {
        Stream::open(to, self)?.into_reply()
    }

    /// # Panics
    ///
    /// Where [`Request::try_send`] fails.
    pub fn send(&self, to: SocketAddr) -> Reply {
        self.try_send(to).unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.path))
    }

    /// Sends it and comes back with the head of the answer.
    pub fn stream(&self, to: SocketAddr) -> Stream {
        Stream::open(to, self).unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }

    /// The same for clients that must not panic.
    ///
    /// # Errors
    ///
    /// No connection, no answer in time, or one that is not HTTP.
    pub fn try_stream(&self, to: SocketAddr) -> io::Result<Stream> {
        Stream::open(to, self)
    }

    /// Sends it and reads nothing; dropping the connection is leaving.
    pub fn send_only(&self, to: SocketAddr) -> Connection {
        let mut connection = Connection::open(to).expect("a connection");
        connection.socket.write_all(&self.bytes(to, "close")).expect("it takes a request");
        connection
    }

    /// For a client that asks it many times.
    ///
    /// # Panics
    ///
    /// Where it is not HTTP.
    pub fn to_hyper(&self, host: SocketAddr) -> hyper::Request<Full<Bytes>> {
        let Self { method, path, headers, body } = self;
        let request =
            hyper::Request::builder().method(&**method).uri(path).header("host", host.to_string());
        let request = headers.iter().fold(request, |it, (name, value)| it.header(name, value));
        request.body(Full::from(body.clone())).expect("a request")
    }

    fn bytes(&self, host: SocketAddr, connection: &str) -> Vec<u8> {
        let Self { method, path, headers, body } = self;
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let length = body.len();
        head.push_str(&format!("content-length: {length}\r\nconnection: {connection}\r\n\r\n"));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// A header of which there must be exactly one.
    pub fn only_header(&self, name: &str) -> &str {
        let found: Vec<_> = self.headers.iter().filter(|(it, _)| it == name).collect();
        assert_eq!(found.len(), 1, "expected one {name}, found {found:?} in {self}");
        &found[0].1
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self}"))
    }

    /// The reply itself, if it has this status and is complete.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert!(self.status == status && self.is_complete, "expected a whole {status}: {self}");
        self
    }

    /// One field of the `error` object, which must be there.
    #[track_caller]
    pub fn error(&self, field: &str) -> Value {
        let body = self.json();
        let error = body["error"].as_object().unwrap_or_else(|| panic!("no error: {self}"));
        for expected in ["message", "type", "param", "code"] {
            assert!(error.contains_key(expected), "no error.{expected}: {self}");
        }
        error.get(field).cloned().unwrap_or_default()
    }

    /// `error.message`.
    #[track_caller]
    pub fn message(&self) -> String {
        self.error("message").as_str().unwrap_or_else(|| panic!("no message: {self}")).to_owned()
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cut = if self.is_complete { "" } else { " (cut)" };
        write!(f, "{}{cut} {:?}\n{}", self.status, self.headers, self.text())
    }
}

impl Stream {
    fn open(to: SocketAddr, request: &Request) -> io::Result<Self> {
        let mut connection = Connection::open(to)?;
        connection.socket.write_all(&request.bytes(to, "close"))?;
        let (status, headers) = connection.reader.response_head()?;
        let Connection { socket, reader } = connection;
        let length = body_length(&headers, Length::UntilClose);
        Ok(Self { status, headers, socket, reader, length, pending: Vec::new(), end: None })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The data of the next event; absent at the end. Comments are skipped.
    ///
    /// # Errors
    ///
    /// Nothing came in time, or the framing is broken.
    pub fn try_next_event(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(data) = take_event(&mut self.pending) {
                return Ok(Some(data));
            }
            if self.end.is_some() {
                return Ok(None);
            }
            match self.reader.piece(&mut self.length)? {
                Piece::Bytes(bytes) => self.pending.extend(bytes),
                Piece::Complete => self.end = Some(End::Complete),
                Piece::Cut => self.end = Some(End::Cut),
            }
        }
    }

    /// # Panics
    ///
    /// Where [`Stream::try_next_event`] fails.
    pub fn next_event(&mut self) -> Option<String> {
        self.try_next_event().expect("the next event of a stream")
    }

    /// All events that are still to come, and how the body ended.
    pub fn rest(&mut self) -> (Vec<String>, End) {
        let events = std::iter::from_fn(|| self.next_event()).collect();
        (events, self.end.expect("the stream ended"))
    }

    /// The same, for clients that must not panic.
    ///
    /// # Errors
    ///
    /// As [`Stream::try_next_event`].
    pub fn try_rest(&mut self) -> io::Result<(Vec<String>, End)> {
        let mut events = Vec::new();
        while let Some(event) = self.try_next_event()? {
            events.push(event);
        }
        Ok((events, self.end.unwrap_or(End::Cut)))
    }

    /// Waits for a comment, which must come before the next event.
    pub fn wait_for_comment(&mut self) {
        loop {
            let lines: Vec<&[u8]> = self.pending.split(|byte| *byte == b'\n').collect();
            if lines.iter().any(|line| line.starts_with(b":")) {
                return;
            }
            match self.reader.piece(&mut self.length).expect("something comes in time") {
                Piece::Bytes(bytes) => self.pending.extend(bytes),
                Piece::Complete | Piece::Cut => panic!("the stream ended without a comment"),
            }
        }
    }

    /// Goes away as a client does that lost interest.
    pub fn abandon(self) {
        // Failing means that the other side was faster.
        drop(self.socket.shutdown(Shutdown::Both));
    }

    /// Waits for the rest as bytes.
    ///
    /// # Errors
    ///
    /// Nothing came in time, or the framing is broken.
    pub fn into_reply(mut self) -> io::Result<Reply> {
        let (rest, is_complete) = self.reader.body(self.length)?;
        let mut body = self.pending;
        body.extend(rest);
        Ok(Reply { status: self.status, headers: self.headers, body, is_complete })
    }
}

impl Connection {
    /// # Errors
    ///
    /// The connection was not accepted.
    pub fn open(to: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect_timeout(&to, DEADLINE)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.set_write_timeout(Some(DEADLINE))?;
        socket.set_nodelay(true)?;
        let reader = Reader::new(&socket)?;
        Ok(Self { socket, reader })
    }

    /// One request, one whole answer; the connection stays.
    ///
    /// # Errors
    ///
    /// The connection broke, or the answer is not HTTP.
    pub fn send(&mut self, request: &Request) -> io::Result<Reply> {
        let to = self.socket.peer_addr()?;
        self.socket.write_all(&request.bytes(to, "keep-alive"))?;
        let (status, headers) = self.reader.response_head()?;
        let (body, is_complete) = self.reader.body(body_length(&headers, Length::Known(0)))?;
        Ok(Reply { status, headers, body, is_complete })
    }

    /// One request whose body the other side may refuse to read to its end.
    ///
    /// # Panics
    ///
    /// If there is no answer.
    pub fn send_until_answered(mut self, request: &Request) -> Reply {
        let to = self.socket.peer_addr().expect("it is connected");
        let mut writing = self.socket.try_clone().expect("a second handle");
        let bytes = request.bytes(to, "close");
        // Failing to write everything is what a refusal looks like from here.
        let writer = std::thread::spawn(move || drop(writing.write_all(&bytes)));
        let (status, headers) = self.reader.response_head().expect("an answer");
        let body = self.reader.body(body_length(&headers, Length::Known(0)));
        let (body, is_complete) = body.expect("a body");
        drop(self.socket.shutdown(Shutdown::Both));
        writer.join().expect("no panics");
        Reply { status, headers, body, is_complete }
    }

    /// Sends bytes that may be no request at all, and reads until the other side closes.
    ///
    /// # Errors
    ///
    /// The connection broke before the bytes were out.
    pub fn send_raw(mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.socket.write_all(bytes)?;
        self.socket.shutdown(Shutdown::Write)?;
        Ok(self.reader.body(Length::UntilClose)?.0)
    }
}

/// Takes the first whole event out of `pending`, whichever line ends it has.
fn take_event(pending: &mut Vec<u8>) -> Option<String> {
    loop {
        let ends = [&b"\n\n"[..], &b"\r\n\r\n"[..]];
        let found = ends.into_iter().filter_map(|end| {
            let start = pending.windows(end.len()).position(|it| it == end)?;
            Some(start + end.len())
        });
        let event: Vec<u8> = pending.drain(..found.min()?).collect();
        let event = String::from_utf8(event).expect("events are UTF-8");
        let data: Vec<&str> = event.lines().filter_map(|it| it.strip_prefix("data:")).collect();
        if !data.is_empty() {
            let lines: Vec<&str> = data.iter().map(|it| it.trim_start()).collect();
            return Some(lines.join("\n"));
        }
    }
}
