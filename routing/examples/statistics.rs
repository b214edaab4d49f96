//! What the figures of an endpoint cost: nanoseconds a call, on one thread.
//!
//! `cargo run --release -p torana-routing --example statistics`

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use torana_routing::statistics::{Ending, InFlight, Statistics, Window};

const ROUNDS: u32 = 200_000;
/// Between two requests: all of them are 20 minutes.
const PAUSE: Duration = Duration::from_millis(6);

fn main() {
    let mut now = Instant::now();
    let statistics = Arc::new(Statistics::new(now));
    let request = |now: Instant| {
        let mut call = statistics.start(now);
        call.first_token(now + Duration::from_millis(300));
        let ending = Ending { output_tokens: 50, cost_usd: 0.001, ..Ending::default() };
        call.finished(&ending, now + Duration::from_secs(2));
    };
    print("a request: start, first token, finished", ROUNDS, || {
        now += PAUSE;
        request(now);
    });
    // Two minutes: the requests stay within the windows.
    print("read, with the refresh once a second", ROUNDS / 10, || {
        now += PAUSE;
        black_box(statistics.read(now));
    });
    for running in [0, 10, 100, 500] {
        let guards: Vec<InFlight> = (0..running).map(|_| statistics.start(now)).collect();
        print(&format!("read, {running} without a first token"), ROUNDS, || {
            black_box(statistics.read(black_box(now)));
        });
        drop(guards);
    }
    print("summary of 5 minutes", ROUNDS / 100, || {
        black_box(statistics.summary(Window::FiveMinutes, now));
    });
    print("summary of 30 minutes", ROUNDS / 100, || {
        black_box(statistics.summary(Window::ThirtyMinutes, now));
    });
    println!("{:>8} bytes without the slices", size_of::<Statistics>());
}

fn print(what: &str, rounds: u32, mut work: impl FnMut()) {
    let start = Instant::now();
    for _ in 0..rounds {
        work();
    }
    println!("{:>8} ns {what}", (start.elapsed() / rounds).as_nanos());
}
