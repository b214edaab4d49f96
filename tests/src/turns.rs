//! Measuring several targets side by side: each takes a short turn, again and again, so that
//! a noisy machine is noisy for all. One thread asks on all connections: a thread for each would
//! take from the cores, and their caches, what is to be measured.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::client::Request;
use crate::eventually::DEADLINE;

/// Requests of one turn, over all connections: short, so that turns are close.
const REQUESTS: usize = 192;

/// Requests of one turn on each connection, at least: the caches of a target that did nothing
/// for a while are cold, and its connections new.
const REQUESTS_OF_A_CONNECTION: usize = 64;

/// How often the targets take turns, without another wish.
const ROUNDS: usize = 20;

/// What all turns of one target brought.
#[derive(Debug, Default)]
pub struct Series {
    turns: Vec<Turn>,
}

/// What one turn brought.
#[derive(Debug)]
pub struct Turn {
    latencies: Vec<Duration>,
    busy: Duration,
}

/// `TORANA_BENCH_ROUNDS`, 20 where it is not set.
pub fn rounds() -> usize {
    let wanted = std::env::var("TORANA_BENCH_ROUNDS").ok().and_then(|it| it.parse().ok());
    wanted.unwrap_or(ROUNDS)
}

/// Every connection asks its share of requests, one after the other.
///
/// # Panics
///
/// If one is not answered with 200.
pub fn take(to: SocketAddr, request: &Request, connections: usize) -> Turn {
    let started = Instant::now();
    let each = (REQUESTS / connections).max(REQUESTS_OF_A_CONNECTION);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let request = request.to_hyper(to);
    let latencies = tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), async {
        let workers: Vec<_> = (0..connections)
            .map(|_| tokio::task::spawn_local(worker(to, request.clone(), each)))
            .collect();
        let mut all = Vec::new();
        for worker in workers {
            let latencies = tokio::time::timeout(DEADLINE, worker).await.expect("answers in time");
            all.extend(latencies.expect("no panics"));
        }
        all
    });
    let busy = started.elapsed();
    Turn { latencies, busy }
}

impl Series {
    pub fn add(&mut self, turn: Turn) {
        self.turns.push(turn);
    }

    /// Of all latencies, between 0 and 1; nothing where there was no turn.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let all = self.turns.iter().flat_map(|turn| &turn.latencies).copied().collect();
        at(all, quantile).unwrap_or_default()
    }

    pub fn requests_per_second(&self) -> f64 {
        let requests: usize = self.turns.iter().map(|turn| turn.latencies.len()).sum();
        let busy: Duration = self.turns.iter().map(|turn| turn.busy).sum();
        requests as f64 / busy.as_secs_f64()
    }

    /// How many seconds the median is above the base's in the same round; the median of all
    /// rounds, which a burst of noise in some of them does not move.
    pub fn added_seconds(&self, base: &Self) -> f64 {
        let median =
            |turn: &Turn| at(turn.latencies.clone(), 0.5).unwrap_or_default().as_secs_f64();
        self.over_rounds(base, |turn, base| median(turn) - median(base))
    }

    /// The part of the base's throughput that is missing, in the same way.
    pub fn missing_share(&self, base: &Self) -> f64 {
        self.over_rounds(base, |turn, base| 1.0 - base.busy.as_secs_f64() / turn.busy.as_secs_f64())
    }

    fn over_rounds(&self, base: &Self, compare: impl Fn(&Turn, &Turn) -> f64) -> f64 {
        let mut rounds: Vec<f64> =
            self.turns.iter().zip(&base.turns).map(|(turn, base)| compare(turn, base)).collect();
        rounds.sort_unstable_by(f64::total_cmp);
        rounds.get(rounds.len() / 2).copied().unwrap_or_default()
    }
}

fn at(mut latencies: Vec<Duration>, quantile: f64) -> Option<Duration> {
    latencies.sort_unstable();
    let position = latencies.len().saturating_sub(1) as f64 * quantile;
    latencies.get(position as usize).copied()
}

/// One connection.
async fn worker(
    to: SocketAddr,
    request: hyper::Request<Full<Bytes>>,
    requests: usize,
) -> Vec<Duration> {
    let socket = TcpStream::connect(to).await.expect("a connection");
    socket.set_nodelay(true).expect("a socket");
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.expect("HTTP");
    tokio::task::spawn_local(connection);
    let mut latencies = Vec::with_capacity(requests);
    for _ in 0..requests {
        let started = Instant::now();
        let reply = sender.send_request(request.clone()).await.expect("an answer");
        let status = reply.status();
        let body = reply.into_body().collect().await.expect("a whole answer").to_bytes();
        latencies.push(started.elapsed());
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }
    latencies
}
