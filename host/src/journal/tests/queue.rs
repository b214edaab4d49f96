//! Records that wait for others.

use std::io;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use super::super::disk::FileSystem;
use super::simulation::{Fault, Simulation};
use super::*;

const PATH: &str = "/journal";

fn simulated() -> (Simulation, Arc<Journal>) {
    let disk = Simulation::new(1, None);
    let journal = Journal::open_on(Arc::new(disk.clone()), options(Path::new(PATH)), TUNING);
    (disk, journal.unwrap())
}

fn calls(count: usize) -> Vec<Vec<Row>> {
    (0..count).map(|_| rows(2, 100)).collect()
}

async fn append_all(journal: &Journal, calls: &[Vec<Row>]) -> Vec<Result<Position, AppendError>> {
    join_all(calls.iter().map(|call| journal.append(call))).await
}

#[tokio::test]
async fn calls_that_end_together_share_one_write() {
    let (disk, journal) = simulated();
    let calls = calls(20);
    let before = disk.writes();
    for appended in append_all(&journal, &calls).await {
        appended.unwrap();
    }
    assert_eq!(disk.writes() - before, 1);
    let mut consumer = journal.consumer("main").unwrap();
    assert_eq!(drain(&mut consumer).await, calls.concat());
}

#[tokio::test]
async fn call_that_ends_alone_does_not_wait() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    for _ in 0..200 {
        journal.append(&rows(1, 100)).now_or_never().unwrap().unwrap();
    }
}

#[tokio::test]
async fn company_is_found_under_load_and_forgotten_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    // The last of so many waits, and the others that come then wait with it.
    for call in calls(255) {
        journal.append(&call).await.unwrap();
    }
    for _ in 0..2 {
        let together = calls(3);
        let mut appends: Vec<_> =
            together.iter().map(|call| Box::pin(journal.append(call))).collect();
        for append in &mut appends {
            assert!(futures_util::poll!(append).is_pending());
        }
        join_all(appends).await;
    }
    let mut waited = 0;
    for call in calls(100) {
        let mut append = std::pin::pin!(journal.append(&call));
        if futures_util::poll!(&mut append).is_pending() {
            waited += 1;
            append.await.unwrap();
        }
    }
    assert!((1..=40).contains(&waited), "{waited}");
}

#[tokio::test]
async fn long_record_waits_for_nobody() {
    let (_, journal) = simulated();
    journal.append(&rows(1, 20_000)).now_or_never().unwrap().unwrap();
}

#[tokio::test]
async fn record_is_written_though_its_call_is_dropped_while_it_waits() {
    let (_, journal) = simulated();
    let calls = calls(3);
    for call in &calls {
        assert!(journal.append(call).now_or_never().is_none());
    }
    let mut consumer = journal.consumer("main").unwrap();
    assert_eq!(drain(&mut consumer).await, calls.concat());
}

#[tokio::test]
async fn record_of_a_dropped_call_is_tried_again_and_counted_if_it_is_lost() {
    let (disk, journal) = simulated();
    append_all(&journal, &calls(1)).await;
    settle(&journal);
    for (times, unwritten) in [(1, 0), (u32::MAX, 2)] {
        disk.set_fault(Some(Fault { after: 0, times, kind: io::ErrorKind::Other }));
        assert!(journal.append(&rows(2, 100)).now_or_never().is_none());
        disk.set_fault(None);
        assert_eq!(journal.stats().unwritten_rows, unwritten);
    }
    let mut consumer = journal.consumer("main").unwrap();
    assert_eq!(drain(&mut consumer).await.len(), 4);
}

#[tokio::test]
async fn records_that_cannot_be_written_together_are_written_alone() {
    let (disk, journal) = simulated();
    append_all(&journal, &calls(1)).await;
    settle(&journal);
    let calls = calls(5);
    disk.set_fault(Some(Fault { after: 0, times: 1, kind: io::ErrorKind::Other }));
    for appended in append_all(&journal, &calls).await {
        appended.unwrap();
    }
    let mut consumer = journal.consumer("main").unwrap();
    assert_eq!(drain(&mut consumer).await[2..], calls.concat());
}

#[tokio::test]
async fn rows_that_a_failing_disk_does_not_take_can_be_appended_again() {
    let (disk, journal) = simulated();
    let calls = calls(5);
    let all = calls.iter().map(|call| journal.append_rows(Rows::of(call)));
    disk.set_fault(Some(Fault { after: 0, times: u32::MAX, kind: io::ErrorKind::StorageFull }));
    let mut again = Vec::new();
    for appended in join_all(all).await {
        let (rows, error) = appended.unwrap_err();
        assert!(error.is_of_the_disk());
        again.push(rows);
    }
    disk.set_fault(None);
    for appended in join_all(again.into_iter().map(|rows| journal.append_rows(rows))).await {
        appended.unwrap();
    }
    let mut consumer = journal.consumer("main").unwrap();
    assert_eq!(drain(&mut consumer).await, calls.concat());
}

/// Threads that meet at the queue, and calls that go away at any time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_written_twice_between_threads() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 64 << 10, ..options(directory.path()) };
    let tuning = Tuning { tried: 4, ..TUNING };
    let journal = Journal::open_on(Arc::new(FileSystem), options, tuning).unwrap();
    let mut consumer = journal.consumer("main").unwrap();
    let tasks = (0..64).map(|task| {
        let journal = Arc::clone(&journal);
        tokio::spawn(async move {
            let mut ids = (Vec::new(), Vec::new());
            for n in 0..100 {
                let call = rows(1, 50 + n);
                let append = journal.append(&call);
                if (task + n) % 7 == 0 {
                    // Polled once, then dropped: written all the same.
                    append.now_or_never();
                    ids.1.push(call[0].id);
                } else {
                    append.await.unwrap();
                    ids.0.push(call[0].id);
                }
            }
            ids
        })
    });
    let mut written = Vec::new();
    for task in join_all(tasks).await {
        let (answered, dropped) = task.unwrap();
        written.extend(answered);
        written.extend(dropped);
    }
    let mut read: Vec<Uuid> = drain(&mut consumer).await.iter().map(|row| row.id).collect();
    read.sort_unstable();
    written.sort_unstable();
    assert_eq!(read, written);
    drop((consumer, journal));
    let again = open(directory.path());
    assert_eq!((again.recovery().damaged, again.recovery().rows), (0, written.len() as u64));
}
