//! `kill -9` at random instants, again and again on the same data.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use torana_tests::gateway::{Folder, Gateway, Signal};
use torana_tests::mutate::Random;
use torana_tests::witness::Clients;

use super::{LINES, expect_nothing_lost, provider, settle, without_sinks};
use crate::setup::SINK;

const KILLS: u64 = 20;

/// From the first call to the kill, at most.
const LONGEST_LIFE_MS: usize = 600;

/// Never reached: the gateway is killed before.
const ENDLESS: usize = 1_000_000;

const CLIENTS: Clients<'static> = Clients { model: "calls", connections: 8, calls: ENDLESS };

/// Far more than the kernel takes.
const END: Duration = Duration::from_secs(10);

#[test]
fn killed_twenty_times_under_load_no_answered_call_is_lost() {
    let provider = provider();
    let folder = Folder::new(&without_sinks(&provider).and(SINK).and(LINES));
    let mut answered = Vec::new();
    for seed in 0..KILLS {
        let life = Duration::from_millis(Random::new(seed).below(LONGEST_LIFE_MS) as u64);
        let mut gateway = Gateway::start_in(folder.clone(), &[]);
        let to = gateway.address();
        let count = AtomicUsize::new(0);
        let calls = std::thread::scope(|scope| {
            let clients = scope.spawn(|| CLIENTS.ask_and_count(to, &count));
            // The instant is what is random here; nothing waits for it.
            std::thread::sleep(life);
            gateway.signal(Signal::KILL);
            clients.join().unwrap()
        });
        gateway.wait_for_end(END);
        let calls = calls.concat();
        eprintln!("seed {seed}: killed after {life:?}, {} calls answered", calls.len());
        answered.extend(calls);
    }
    let gateway = Gateway::start_in(folder.clone(), &[]);
    settle(&gateway);
    let again = expect_nothing_lost(&folder, &answered, "after 20 kills");
    let streams = answered.iter().filter(|call| call.streamed).count();
    let retried = answered.iter().filter(|call| call.attempts > 1).count();
    eprintln!(
        "{} calls answered, {streams} of them streams, {retried} after several attempts: \
         0 lost; {again} lines delivered again",
        answered.len()
    );
    assert!(answered.len() > 100 && streams > 20 && retried > 20, "the load was real");
}
