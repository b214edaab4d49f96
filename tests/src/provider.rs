//! A scripted provider on a local port. It records what it is asked and counts the
//! connections that went away under it.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::connection::{Headers, Length, Reader, body_length, header};
use crate::eventually::DEADLINE;
use crate::script::{Body, Script, Step};

/// A request as the provider got it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub path: String,
    headers: Headers,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Null where the body is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The request asks for a stream.
    pub fn streams(&self) -> bool {
        self.json()["stream"] == Value::Bool(true)
    }
}

/// A scripted provider. Ends with its last handle.
pub struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Box<dyn Fn(&Asked) -> Script + Send + Sync>,
    asked: Mutex<Vec<Asked>>,
    records: AtomicBool,
    abandoned: AtomicUsize,
    ended: AtomicBool,
}

impl Provider {
    /// Answers every request with the script that `answer` gives for it.
    pub fn start(answer: impl Fn(&Asked) -> Script + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            asked: Mutex::default(),
            records: AtomicBool::new(true),
            abandoned: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    /// Always the same script.
    pub fn always(script: Script) -> Self {
        Self::start(move |_| script.clone())
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Base URL of an OpenAI-like API.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Every request so far, in the order they arrived.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("no holder panics").clone()
    }

    /// The only request so far.
    #[track_caller]
    pub fn only_asked(&self) -> Asked {
        let asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked[0].clone()
    }

    /// Forgets what was asked.
    pub fn forget(&self) {
        self.shared.asked.lock().expect("no holder panics").clear();
    }

    /// Keeps no requests from now on: for measurements.
    pub fn stop_recording(&self) {
        self.shared.records.store(false, Ordering::Relaxed);
    }

    /// Answers whose reader went away before they were complete.
    pub fn abandoned(&self) -> usize {
        self.shared.abandoned.load(Ordering::SeqCst)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts; failing means that it is gone already.
        drop(TcpStream::connect(self.address));
    }
}

/// A local port that refuses connections.
pub fn refusing_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let shared = shared.clone();
        // A connection that breaks is the other side's doing, and often what is tested.
        std::thread::spawn(move || drop(serve(&stream, &shared)));
    }
}

fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = Reader::new(stream)?;
    loop {
        let Some((method, path, headers)) = reader.request_head()? else { return Ok(()) };
        let length = body_length(&headers, Length::Known(0));
        let (body, is_complete) = reader.body(length)?;
        if !is_complete {
            return Ok(());
        }
        let asked = Asked { method, path, headers, body };
        let script = (shared.answer)(&asked);
        if shared.records.load(Ordering::Relaxed) {
            shared.asked.lock().expect("no holder panics").push(asked);
        }
        match play(stream, &mut reader, &script) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                shared.abandoned.fetch_add(1, Ordering::SeqCst);
                return Err(error);
            }
        }
    }
}

/// Plays a script; false when the connection is over.
fn play(mut stream: &TcpStream, reader: &mut Reader, script: &Script) -> io::Result<bool> {
    let mut is_chunked = false;
    for step in &script.steps {
        match step {
            Step::Head { status, headers, body } => {
                is_chunked = matches!(body, Body::Chunked);
                stream.write_all(&head(*status, headers, *body))?;
            }
            Step::Bytes(bytes) if is_chunked => stream.write_all(&chunk(bytes))?,
            Step::Bytes(bytes) | Step::Raw(bytes) => stream.write_all(bytes)?,
            Step::Wait(time) => std::thread::sleep(*time),
            Step::Gate(gate) => gate.pass(),
            Step::UntilClosed => {
                stream.set_read_timeout(Some(DEADLINE))?;
                reader.until_closed();
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Step::Close => return Ok(false),
            Step::Reset => {
                socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
                return Ok(false);
            }
        }
    }
    if is_chunked {
        stream.write_all(b"0\r\n\r\n")?;
    }
    Ok(true)
}

fn head(status: u16, headers: &[(String, String)], body: Body) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    match body {
        Body::Length(length) => head.push_str(&format!("content-length: {length}\r\n\r\n")),
        Body::Chunked => head.push_str("transfer-encoding: chunked\r\n\r\n"),
    }
    head.into_bytes()
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}
