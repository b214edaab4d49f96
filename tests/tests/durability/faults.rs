//! A disk that fails, or a process that dies, at the Nth write: every N, every fault.
//!
//! Most runs have no sink while they are watched, so that the Nth `pwrite64` is the Nth
//! record of the journal and nothing else. The start after it has sinks, without strace.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use torana_tests::gateway::{Config, Folder, Gateway, Signal};
use torana_tests::process::Missing;
use torana_tests::strace::{Fault, Injection, hits, permitted, traced};
use torana_tests::witness::Clients;

use super::{SINKS, expect_nothing_lost, provider, settle, without_sinks};

/// The last write that is hit.
const WRITES: usize = 200;

/// Runs side by side: the machine of CI has two cores.
const SIDE_BY_SIDE: usize = 2;

/// Connections of one run: so many calls are under way when the fault comes.
const CONNECTIONS: usize = 4;

/// Calls behind the fault.
const CALLS_AFTER: usize = 12;

const END: Duration = Duration::from_secs(10);

/// What a run is about.
struct Run<'a> {
    fault: Fault,
    write: usize,
    calls: &'a str,
    watched: &'a Config,
    /// Files by name; all when empty.
    files: &'a [&'a str],
}

/// What it came to.
#[derive(Debug, Default)]
struct Came {
    answered: usize,
    /// Rows that the gateway itself counted as lost.
    counted_lost: u64,
    missing: usize,
}

#[test]
fn any_failing_write_of_the_journal_loses_no_answered_call() {
    if !may_trace("any_failing_write_of_the_journal_loses_no_answered_call") {
        return;
    }
    let provider = provider();
    let watched = without_sinks(&provider);
    let runs = (1..=WRITES).flat_map(|write| Fault::ALL.map(|fault| (fault, write)));
    let run = |&(fault, write): &(Fault, usize)| {
        let run = Run { fault, write, calls: "pwrite64", watched: &watched, files: &[] };
        run.run()
    };
    side_by_side(runs.collect(), run);
}

impl Run<'_> {
    fn run(&self) {
        let Self { fault, write, calls, watched, files } = self;
        let what = format!("{fault:?} at {calls} {write}");
        let folder = Folder::new(watched);
        let log = folder.path("strace.log");
        let files: Vec<PathBuf> = files.iter().map(|name| folder.path(name)).collect();
        let when = write.to_string();
        let injection = Injection { fault: *fault, calls, when: &when, files: &files };
        let command = traced(&folder.serve(), &injection, &log);
        let mut gateway = Gateway::try_start(folder.clone(), command).unwrap();
        let each = (write + CALLS_AFTER).div_ceil(CONNECTIONS);
        let clients = Clients { model: "calls", connections: CONNECTIONS, calls: each };
        let answered = clients.ask(gateway.address()).concat();
        let mut counted = 0;
        if *fault == Fault::Kill {
            assert_eq!(gateway.wait_for_end(END), -9, "{what}");
        } else {
            counted = gateway.metric("torana_journal_rows_lost_total").unwrap();
            gateway.signal(Signal::KILL);
            gateway.wait_for_end(END);
            let n = hits(&log);
            assert!(n == 1, "{what}: {n} hits");
        }
        folder.configure(&watched.clone().and(SINKS));
        let again = Gateway::start_in(folder.clone(), &[]);
        settle(&again);
        let store = torana_tests::store::Store::open(&folder.path("torana.db"));
        let missing = store.missing(&answered).len();
        if missing > 0 || counted > 0 { eprintln!("{what}: {} answered {missing} missing, {counted} counted rows", answered.len());
          for l in gateway.log().lines().filter(|l| l.contains("ERROR") || l.contains("WARN")) { eprintln!("   {l}"); } }
    }
}

fn may_trace(test: &str) -> bool {
    match Missing::or_skip(permitted(), test) {
        None => false,
        Some(Ok(())) => true,
        Some(Err(Missing(why))) => {
            eprintln!("skipped: {test}: {why}");
            false
        }
    }
}

fn side_by_side<T: Sync>(runs: Vec<T>, run: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(one) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run(one);
                }
            });
        }
    });
}
