//! A sink that is down while the journal grows: it costs disk, never memory, and everything
//! comes in order once the sink is back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use torana_tests::eventually::{DEADLINE, within};
use torana_tests::gateway::{Config, Gateway};
use torana_tests::store::Store;
use torana_tests::witness::Clients;

use super::{has_every_row, lag, settle};
use crate::setup::SINK;

const CONNECTIONS: usize = 16;

/// Two rows each.
const CALLS: usize = 50_000;
const BACKLOG_ROWS: u64 = 100_000;

/// Until buffers, pools and the allocator have the size that this load needs.
const WARM_UP_CALLS: usize = 12_000;

/// How far memory may go from where it was after the warm-up.
const TOLERANCE_BYTES: u64 = 20 << 20;

/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(50);

/// The provider answers by itself: what is measured is the gateway.
fn config() -> Config {
    let tables = "[providers.sim]\nsettings = { tokens = 4, tokens_per_second = 1_000_000 }\n\
                  [models.calls]\nendpoints = [\"sim/demo\"]\n";
    Config::new(format!("{tables}{SINK}"))
}

fn clients(calls: usize) -> Clients<'static> {
    Clients { model: "calls", connections: CONNECTIONS, calls: calls / CONNECTIONS }
}

#[test]
fn backlog_of_a_hundred_thousand_rows_costs_no_memory_and_comes_in_order() {
    let gateway = Gateway::start(&config());
    let store = Store::open(&gateway.folder.path("torana.db"));
    // Warm is who has had batches of full length in hand.
    store.hold();
    let warm_up = clients(WARM_UP_CALLS).ask(gateway.address());
    store.release();
    settle(&gateway);
    let before = gateway.resident_bytes();

    store.hold();
    let started = Instant::now();
    let done = AtomicBool::new(false);
    let (answered, (least, most)) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| extremes(&gateway, &done));
        let answered = clients(CALLS).ask(gateway.address());
        done.store(true, Ordering::Relaxed);
        (answered, watch.join().unwrap())
    });
    let driven = started.elapsed();
    let behind = lag(&gateway, "store").unwrap();
    assert_eq!(answered.concat().len(), CALLS, "every call was answered");
    assert!(behind >= BACKLOG_ROWS, "the sink took rows while it was held: {behind} are left");

    store.release();
    let started = Instant::now();
    within(9 * DEADLINE, "the sink catches up", || has_every_row(&gateway).then_some(()));
    eprintln!(
        "{CALLS} calls in {driven:?}; resident {} MiB before, {} to {} MiB while {behind} rows \
         waited, {} MiB after; caught up in {:?}",
        before >> 20,
        least >> 20,
        most >> 20,
        gateway.resident_bytes() >> 20,
        started.elapsed(),
    );
    assert!(most <= before + TOLERANCE_BYTES, "{most} bytes, {before} before");
    assert!(least + TOLERANCE_BYTES >= before, "{least} bytes, {before} before");
    let total = CALLS + WARM_UP_CALLS;
    assert_eq!(store.count("inference") as usize, total);
    assert_eq!(store.count("model_inference") as usize, total);
    assert_eq!(lag(&gateway, "store"), Some(0));
    let places: HashMap<String, usize> = store.inferences().into_iter().zip(0..).collect();
    for calls in warm_up.iter().chain(&answered) {
        // A client has an answer only after its row was written, and then asks again.
        let order: Vec<usize> = calls.iter().map(|call| places[&call.id]).collect();
        assert!(order.is_sorted(), "a connection's calls are in their order");
    }
}

/// The least and the most memory until it is done.
fn extremes(gateway: &Gateway, done: &AtomicBool) -> (u64, u64) {
    let (mut least, mut most) = (u64::MAX, 0);
    while !done.load(Ordering::Relaxed) {
        let now = gateway.resident_bytes();
        (least, most) = (least.min(now), most.max(now));
        std::thread::sleep(LOOK);
    }
    (least, most)
}
