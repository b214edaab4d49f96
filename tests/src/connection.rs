//! HTTP/1.1 on a blocking socket, from both ends: heads and bodies, byte for byte.
//!
//! Strict where a sloppy reader would hide a fault: a body that ends before its length or
//! its last chunk is not complete, and says so.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::TcpStream;

/// Larger heads than any test sends.
const MAX_HEAD_BYTES: usize = 64 << 10;

const MAX_HEADERS: usize = 64;

/// Header names in lower case.
pub(crate) type Headers = Vec<(String, String)>;

/// The reading half of a connection.
pub(crate) struct Reader {
    buffered: BufReader<TcpStream>,
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Known(u64),
    Chunked {
        done: bool,
    },
    /// Until the other side closes: it can never be told whether something is missing.
    UntilClose,
}

/// What one read of a body gave.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    /// The body is all there.
    Complete,
    /// The connection ended inside the body.
    Cut,
}

impl Reader {
    pub(crate) fn new(stream: &TcpStream) -> io::Result<Self> {
        Ok(Self { buffered: BufReader::new(stream.try_clone()?) })
    }

    /// Method, path and headers; absent when the connection ended before a head began.
    pub(crate) fn request_head(&mut self) -> io::Result<Option<(String, String, Headers)>> {
        let Some(bytes) = self.head()? else { return Ok(None) };
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Request::new(&mut headers);
        parsed.parse(&bytes).map_err(invalid)?;
        let method = parsed.method.unwrap_or_default().to_owned();
        let path = parsed.path.unwrap_or_default().to_owned();
        Ok(Some((method, path, owned(parsed.headers))))
    }

    /// Status and headers.
    pub(crate) fn response_head(&mut self) -> io::Result<(u16, Headers)> {
        let bytes = self.head()?.ok_or_else(|| unexpected("connection closed without answer"))?;
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        parsed.parse(&bytes).map_err(invalid)?;
        Ok((parsed.code.unwrap_or_default(), owned(parsed.headers)))
    }

    /// The next bytes of a body, whatever is there.
    pub(crate) fn piece(&mut self, length: &mut Length) -> io::Result<Piece> {
        match length {
            Length::Known(0) | Length::Chunked { done: true } => Ok(Piece::Complete),
            Length::Known(left) => {
                let limit = usize::try_from(*left).unwrap_or(usize::MAX);
                let bytes = self.some(limit)?;
                *left -= bytes.len() as u64;
                Ok(if bytes.is_empty() { Piece::Cut } else { Piece::Bytes(bytes) })
            }
            Length::UntilClose => {
                let bytes = self.some(usize::MAX)?;
                Ok(if bytes.is_empty() { Piece::Complete } else { Piece::Bytes(bytes) })
            }
            Length::Chunked { done } => self.chunk(done),
        }
    }

    /// A whole body, and whether it was complete.
    pub(crate) fn body(&mut self, mut length: Length) -> io::Result<(Vec<u8>, bool)> {
        let mut body = Vec::new();
        loop {
            match self.piece(&mut length)? {
                Piece::Bytes(bytes) => body.extend(bytes),
                Piece::Complete => return Ok((body, true)),
                Piece::Cut => return Ok((body, false)),
            }
        }
    }

    /// Waits until the other side closes, whatever it sends before.
    pub(crate) fn until_closed(&mut self) {
        while self.some(usize::MAX).is_ok_and(|bytes| !bytes.is_empty()) {}
    }

    fn chunk(&mut self, done: &mut bool) -> io::Result<Piece> {
        let Some(line) = self.line()? else { return Ok(Piece::Cut) };
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(invalid)?;
        let mut bytes = vec![0; size];
        if self.buffered.read_exact(&mut bytes).is_err() || self.line()?.is_none() {
            return Ok(Piece::Cut);
        }
        *done = size == 0;
        Ok(if size == 0 { Piece::Complete } else { Piece::Bytes(bytes) })
    }

    fn line(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        match self.buffered.read_line(&mut line) {
            Ok(_) if line.ends_with('\n') => Ok(Some(line)),
            Ok(_) => Ok(None),
            Err(error) if is_closed(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn some(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        match self.buffered.fill_buf() {
            Ok(bytes) => {
                let bytes: Vec<u8> = bytes.iter().copied().take(limit).collect();
                self.buffered.consume(bytes.len());
                Ok(bytes)
            }
            Err(error) if is_closed(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn head(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match self.buffered.read_until(b'\n', &mut head) {
                Ok(0) if head.is_empty() => return Ok(None),
                Ok(0) => return Err(unexpected("connection closed inside a head")),
                Ok(_) if head.len() > MAX_HEAD_BYTES => return Err(unexpected("head too long")),
                Ok(_) => {}
                Err(error) if is_closed(&error) && head.is_empty() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(Some(head))
    }
}

pub(crate) fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
}

/// How a body with these headers ends. `or`: what holds when they do not say.
pub(crate) fn body_length(headers: &Headers, or: Length) -> Length {
    if header(headers, "transfer-encoding").is_some_and(|it| it.contains("chunked")) {
        return Length::Chunked { done: false };
    }
    let length = header(headers, "content-length").and_then(|it| it.parse().ok());
    length.map_or(or, Length::Known)
}

fn owned(headers: &[httparse::Header<'_>]) -> Headers {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    headers.iter().map(|it| (it.name.to_ascii_lowercase(), text(it.value))).collect()
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe)
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn unexpected(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}
