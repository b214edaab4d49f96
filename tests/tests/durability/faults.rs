//! A disk that fails, or a process that dies, at the Nth write: every N, every fault.
//!
//! Most runs have no sink while they are watched, so that the Nth `pwrite64` is the Nth
//! record of the journal and nothing else. The start after it has a store, and no strace.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use torana_tests::eventually::eventually;
use torana_tests::gateway::{Config, Ended, Folder, Gateway, MISCONFIGURED, Signal};
use torana_tests::process::Missing;
use torana_tests::store::Store;
use torana_tests::strace::{Fault, Injection, hits, permitted, traced};
use torana_tests::witness::{Answered, Clients};

use super::{
    LINES, expect_nothing_lost, has_every_row, provider, settle, side_by_side, without_sinks,
};
use crate::setup::SINK;

/// The last write of the journal that is hit.
const WRITES: usize = 200;

/// The last of the calls that are rarer: syncs, and writes of the sinks.
const RARE: usize = 20;

/// Connections of one run: so many calls are under way when the fault comes.
const CONNECTIONS: usize = 4;

/// Calls behind the fault.
const CALLS_AFTER: usize = 12;

const LOST: &str = "torana_journal_rows_lost_total";

const END: Duration = Duration::from_secs(10);

/// Files of the sinks, and of the journal where it keeps how far they are.
const FILES_OF_SINKS: [&str; 6] = [
    "torana.db",
    "torana.db-journal",
    "torana.db-wal",
    "rows.jsonl",
    "data/journal/cursors/store.new",
    "data/journal/cursors/lines.new",
];

/// One start under strace, with load, and one after it without.
struct Run<'a> {
    fault: Fault,
    /// Which of the calls is hit.
    number: usize,
    calls: &'a str,
    /// By name; all when empty.
    files: &'a [&'a str],
    watched: &'a Config,
    clients: Clients<'a>,
}

/// What a watched start came to.
#[derive(Debug, Default)]
struct Came {
    answered: Vec<Answered>,
    /// Rows that the gateway itself counted as lost.
    counted: u64,
    hits: usize,
}

#[test]
fn any_failing_write_of_the_journal_loses_no_answered_call() {
    let test = "any_failing_write_of_the_journal_loses_no_answered_call";
    let provider = provider();
    let watched = without_sinks(&provider);
    every_run(test, WRITES, |fault, number| {
        let clients = clients((number + CALLS_AFTER).div_ceil(CONNECTIONS));
        let run = Run { fault, number, calls: "pwrite64", files: &[], watched: &watched, clients };
        let came = run.expect_nothing_lost();
        // Strace counts by thread: that which starts tries the journal and writes the
        // configuration's row, that which works writes the calls', and the journal's own makes
        // room for them.
        assert!(matches!(came.hits, 1..=3), "{run}: {}", came.hits);
    });
}

#[test]
fn any_failing_sync_of_the_journal_loses_no_answered_call() {
    let test = "any_failing_sync_of_the_journal_loses_no_answered_call";
    let provider = provider();
    let watched = without_sinks(&provider).and("[journal]\nsync = \"always\"");
    every_run(test, RARE, |fault, number| {
        // One sync may serve all connections.
        let clients = clients(number + CALLS_AFTER);
        let run = Run { fault, number, calls: "fdatasync", files: &[], watched: &watched, clients };
        let came = run.expect_nothing_lost();
        assert_eq!(came.hits, 1, "{run}");
    });
}

#[test]
fn any_failing_write_of_a_sink_or_its_cursor_loses_no_answered_call() {
    let test = "any_failing_write_of_a_sink_or_its_cursor_loses_no_answered_call";
    let provider = provider();
    let watched = without_sinks(&provider).and(SINK).and(LINES);
    let hits = AtomicUsize::new(0);
    every_run(test, RARE, |fault, number| {
        let calls = "write,pwrite64,fdatasync,fsync";
        let files = &FILES_OF_SINKS;
        let clients = clients(number + CALLS_AFTER);
        let run = Run { fault, number, calls, files, watched: &watched, clients };
        let came = run.expect_nothing_lost();
        hits.fetch_add(usize::from(came.hits > 0), Ordering::Relaxed);
    });
    // Which thread writes is tokio's choice, and strace counts by thread.
    let hits = hits.into_inner();
    eprintln!("{test}: {hits} of {} runs were hit", RARE * Fault::ALL.len());
    assert!(permitted().is_ok_and(|it| it.is_err()) || hits >= RARE, "{hits}");
}

#[test]
fn disk_that_stays_full_costs_rows_that_are_counted_and_no_answer() {
    let test = "disk_that_stays_full_costs_rows_that_are_counted_and_no_answer";
    if !may_trace(test) {
        return;
    }
    let provider = provider();
    let watched = without_sinks(&provider);
    for number in [1, 2, 40] {
        let (fault, calls) = (Fault::Enospc, "pwrite64");
        let clients = clients(20);
        let run = Run { fault, number, calls, files: &[], watched: &watched, clients };
        let folder = Folder::new(&watched);
        let came = run.watched(&folder, &format!("{number}+"));
        assert_eq!(came.answered.len(), CONNECTIONS * 20, "{run}: every call is answered");
        restart(&folder, &watched);
        let store = Store::open(&folder.path("torana.db"));
        let missing = store.missing(&came.answered);
        assert_eq!(missing.len(), came.answered.len() - (number - 1), "{run}");
        let rows: u32 = missing.iter().map(|call| 1 + call.attempts).sum();
        // The second write of the thread that starts is the configuration's row.
        let own = u64::from(number <= 2);
        assert_eq!(came.counted, u64::from(rows) + own, "{run}: each row is counted");
    }
}

impl Run<'_> {
    fn expect_nothing_lost(&self) -> Came {
        let folder = Folder::new(self.watched);
        if !self.files.is_empty() {
            // A store that is there already: making one takes more writes than are hit here.
            restart(&folder, self.watched);
        }
        let came = self.watched(&folder, &self.number.to_string());
        restart(&folder, self.watched);
        expect_nothing_lost(&folder, &came.answered, &self.to_string());
        assert_eq!(came.counted, 0, "{self}: rows counted as lost");
        came
    }

    /// The start under strace, with load, up to its end.
    fn watched(&self, folder: &Folder, when: &str) -> Came {
        let log = folder.path("strace.log");
        let command = self.command(folder, when, &log);
        let mut gateway = match Gateway::try_start(folder.clone(), command) {
            Ok(gateway) => gateway,
            Err(ended) => {
                self.expect_told(&ended);
                return Came { hits: 1, ..Came::default() };
            }
        };
        let answered = self.clients.ask(gateway.address()).concat();
        if self.fault != Fault::Kill {
            let counted = gateway.metric(LOST).unwrap();
            if !self.files.is_empty() {
                // Goes on where it failed.
                settle(&gateway);
            }
            gateway.signal(Signal::KILL);
            gateway.wait_for_end(END);
            return Came { answered, counted, hits: hits(&log) };
        }
        if !self.files.is_empty() {
            // The fault may come after the load, or never in the thread that writes.
            eventually("the sinks have every row, or the process died", || {
                (!gateway.is_running() || has_every_row(&gateway)).then_some(())
            });
        }
        let died = self.files.is_empty() || !gateway.is_running();
        if !died {
            gateway.signal(Signal::KILL);
        }
        assert_eq!(gateway.wait_for_end(END), -9, "{self}");
        Came { answered, counted: 0, hits: usize::from(died) }
    }

    fn command(&self, folder: &Folder, when: &str, log: &Path) -> Command {
        let files: Vec<PathBuf> = self.files.iter().map(|name| folder.path(name)).collect();
        let injection = Injection { fault: self.fault, calls: self.calls, when, files: &files };
        traced(&folder.serve(), &injection, log)
    }

    /// The fault came before it listened.
    fn expect_told(&self, ended: &Ended) {
        let Ended { code, log } = ended;
        if self.fault == Fault::Kill {
            assert_eq!(*code, -9, "{self}: {log}");
            return;
        }
        if self.files.is_empty() {
            assert_eq!(*code, 1, "{self}: {log}");
            assert!(log.contains("data/journal"), "{self}: the place is told: {log}");
            return;
        }
        assert_eq!(*code, MISCONFIGURED, "{self}: {log}");
        let named = |words: &[&str]| words.iter().any(|words| log.contains(words));
        // SQLite's words and the operating system's.
        let causes = ["disk I/O error", "disk is full", "Input/output error", "No space left"];
        assert!(named(self.files) && named(&causes), "{self}: file and cause are told: {log}");
    }
}

impl std::fmt::Display for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {} number {}", self.fault, self.calls, self.number)
    }
}

/// The first start without strace: it must always come up, and deliver.
fn restart(folder: &Folder, watched: &Config) {
    let config = watched.clone();
    folder.configure(&if watched.text().contains(SINK) { config } else { config.and(SINK) });
    let gateway = Gateway::start_in(folder.clone(), &[]);
    settle(&gateway);
}

fn clients(calls: usize) -> Clients<'static> {
    Clients { model: "calls", connections: CONNECTIONS, calls }
}

/// Each fault at each of the first `last` calls, some side by side.
fn every_run(test: &str, last: usize, run: impl Fn(Fault, usize) + Sync) {
    if !may_trace(test) {
        return;
    }
    let started = Instant::now();
    let runs: Vec<(Fault, usize)> =
        (1..=last).flat_map(|number| Fault::ALL.map(|fault| (fault, number))).collect();
    side_by_side(runs.len(), |place| {
        let (fault, number) = runs[place];
        run(fault, number);
    });
    eprintln!("{test}: {} runs in {:?}", runs.len(), started.elapsed());
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
