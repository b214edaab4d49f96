//! Clients whose gateway may die under them, and the calls that they can swear to.
//!
//! A call counts once its last byte arrived: the length that was promised for a whole answer,
//! `[DONE]` for a stream. Whatever broke off before that is forgotten, as its client would
//! ask again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::chat::DONE;
use crate::client::{Connection, Reply, Request};
use crate::openai;

/// A call whose last byte its client had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// `x-torana-inference-id`.
    pub id: String,
    /// `x-torana-attempts`.
    pub attempts: u32,
    pub streamed: bool,
}

/// How many clients ask how often, at the model `model`; every second call is a stream.
#[derive(Debug, Clone, Copy)]
pub struct Clients<'a> {
    pub model: &'a str,
    pub connections: usize,
    /// Of each connection, at most.
    pub calls: usize,
}

impl Clients<'_> {
    /// Asks until every client has made its calls, or nobody listens any more. Gives what
    /// each connection got, in its order.
    pub fn ask(&self, to: SocketAddr) -> Vec<Vec<Answered>> {
        self.ask_and_count(to, &AtomicUsize::new(0))
    }

    /// The same, and counts the answers as they come.
    pub fn ask_and_count(&self, to: SocketAddr, count: &AtomicUsize) -> Vec<Vec<Answered>> {
        std::thread::scope(|scope| {
            let client = |number| scope.spawn(move || self.client(to, number, count));
            let clients: Vec<_> = (0..self.connections).map(client).collect();
            clients.into_iter().map(|client| client.join().expect("no panics")).collect()
        })
    }

    fn client(&self, to: SocketAddr, number: usize, count: &AtomicUsize) -> Vec<Answered> {
        let whole = openai::completion(&openai::chat(self.model));
        let stream = openai::completion(&openai::streaming_chat(self.model));
        let mut answered = Vec::new();
        let mut connection = None;
        for turn in 0..self.calls {
            let streamed = (turn + number) % 2 == 1;
            let request = if streamed { &stream } else { &whole };
            // Kept for the next call only if this one left it in order.
            let open = connection.take().map_or_else(|| Connection::open(to), Ok);
            let Ok(mut open) = open else { break };
            let Some(call) = ask(&mut open, request, streamed) else { continue };
            count.fetch_add(1, Ordering::Relaxed);
            answered.push(call);
            connection = Some(open);
        }
        answered
    }
}

/// None where the answer did not come to its end.
fn ask(connection: &mut Connection, request: &Request, streamed: bool) -> Option<Answered> {
    let reply = connection.send(request).ok()?;
    let id = reply.header("x-torana-inference-id")?.to_owned();
    let attempts = reply.header("x-torana-attempts")?.parse().ok()?;
    had_last_byte(&reply, streamed).then_some(Answered { id, attempts, streamed })
}

fn had_last_byte(reply: &Reply, streamed: bool) -> bool {
    if streamed && reply.status == 200 {
        return reply.text().contains(&format!("data: {DONE}"));
    }
    reply.is_complete
}
