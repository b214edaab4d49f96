//! Measuring several targets side by side: each takes a short turn, again and again, so that
//! a noisy machine is noisy for all.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::client::{Connection, Request};

/// Requests of one turn, over all connections: short, so that turns are close.
const REQUESTS: usize = 192;

/// How often the targets take turns, without another wish.
const ROUNDS: usize = 20;

/// Latencies of one target, and how long all its turns took.
#[derive(Debug, Default)]
pub struct Series {
    latencies: Vec<Duration>,
    busy: Duration,
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
    let latencies = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|_| scope.spawn(|| worker(to, request, REQUESTS / connections)))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panics")).collect()
    });
    Turn { latencies, busy: started.elapsed() }
}

impl Series {
    pub fn add(&mut self, turn: Turn) {
        self.busy += turn.busy;
        self.latencies.extend(turn.latencies);
    }

    /// Between 0 and 1; nothing where there was no turn.
    pub fn quantile(&mut self, quantile: f64) -> Duration {
        self.latencies.sort_unstable();
        let position = (self.latencies.len().saturating_sub(1)) as f64 * quantile;
        self.latencies.get(position as usize).copied().unwrap_or_default()
    }

    pub fn requests_per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.busy.as_secs_f64()
    }
}

fn worker(to: SocketAddr, request: &Request, requests: usize) -> Vec<Duration> {
    let mut connection = Connection::open(to).expect("a connection");
    let ask = |_| {
        let started = Instant::now();
        let reply = connection.send(request).expect("an answer");
        let latency = started.elapsed();
        drop(reply.expect(200));
        latency
    };
    (0..requests).map(ask).collect()
}
