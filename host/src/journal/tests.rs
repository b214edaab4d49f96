#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failed test should say where; its tasks end with it"
)]

mod bound;
mod crash;
mod damage;
mod failure;
mod model;
mod opening;
mod order;
mod power;
mod queue;
mod room;
mod simulation;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::{
    Ahead, AppendError, Batch, Consumer, ConsumerError, Journal, JournalError, Options, Position,
    Recovery, Row, RowKind, Rows, SyncMode, Tuning, WhenFull,
};

/// Room in segments of a few records.
const AHEAD: Ahead = Ahead { step: 64, most: 512 };
/// And every record waits for others.
const TUNING: Tuning = Tuning { ahead: AHEAD, tried: 1 };

fn options(path: &Path) -> Options {
    Options {
        path: path.to_owned(),
        segment_bytes: 1 << 20,
        max_bytes: 64 << 20,
        when_full: WhenFull::DropOldest,
        sync: SyncMode::Os,
    }
}

impl Journal {
    async fn append(&self, rows: &[Row]) -> Result<Position, AppendError> {
        self.append_rows(Rows::of(rows)).await.map_err(|(_, error)| error)
    }
}

fn open(path: &Path) -> Arc<Journal> {
    Journal::open(options(path)).unwrap()
}

/// `count` rows of one call, told apart by their ids.
fn rows(count: usize, json_bytes: usize) -> Vec<Row> {
    let inference_id = Uuid::now_v7();
    (0..count)
        .map(|_| Row {
            id: Uuid::now_v7(),
            kind: RowKind::ModelInference,
            inference_id,
            time_unix_ms: 1_764_000_000_000,
            json: vec![b'x'; json_bytes],
        })
        .collect()
}

/// What is there now, without waiting and without acknowledging.
async fn drain(consumer: &mut Consumer) -> Vec<Row> {
    let mut all = Vec::new();
    while let Some(batch) = try_next(consumer).await {
        all.extend(batch.rows);
    }
    all
}

/// The next batch if there is one.
async fn try_next(consumer: &mut Consumer) -> Option<Batch> {
    let lag = consumer.journal.with_state(|state| {
        let mut position = consumer.position;
        state.locate(&mut position).is_some()
    });
    if !lag {
        return None;
    }
    // Only damage may be left, for which nothing is handed out.
    let batch = consumer.next_batch(10, 1 << 20);
    tokio::time::timeout(Duration::from_millis(300), batch).await.ok().flatten()
}

/// Waits until the journal's thread has done what it was asked for: room, and deletions.
fn settle(journal: &Journal) {
    while !journal.keeper.is_idle() {
        std::thread::yield_now();
    }
}

fn segment_paths(path: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "segment"))
        .collect();
    paths.sort();
    paths
}

/// A copy of the directory as a killed process would leave it, once deletions are done: a copy
/// takes the files one after the other, which no crash does.
fn crashed_copy(path: &Path, journal: &Journal) -> tempfile::TempDir {
    while segment_paths(path).len() as u64 != journal.stats().segments {
        std::thread::sleep(Duration::from_millis(1));
    }
    let copy = tempfile::tempdir().unwrap();
    copy_directory(path, copy.path());
    copy
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn appended_rows_are_read_back_in_order_and_whole_calls_stay_together() {
    for sync in [SyncMode::Os, SyncMode::Always] {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { sync, segment_bytes: 4096, ..options(directory.path()) };
        let journal = Journal::open(options).unwrap();
        let calls: Vec<Vec<Row>> = (0..100).map(|n| rows(1 + n % 4, 37 * n)).collect();
        for call in &calls {
            journal.append(call).await.unwrap();
        }
        assert!(segment_paths(directory.path()).len() > 10);
        let mut consumer = journal.consumer("main").unwrap();
        let mut read = Vec::new();
        while let Some(batch) = try_next(&mut consumer).await {
            assert!(batch.rows.len() <= 10);
            let last = batch.rows.last().unwrap().inference_id;
            read.extend(batch.rows);
            let next = calls.concat().get(read.len()).map(|row| row.inference_id);
            assert_ne!(next, Some(last));
        }
        assert_eq!(read, calls.concat());
    }
}

#[tokio::test]
async fn batch_keeps_to_its_bounds_but_always_has_a_call() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    for _ in 0..4 {
        journal.append(&rows(2, 100)).await.unwrap();
    }
    let mut consumer = journal.consumer("main").unwrap();
    for (max_rows, max_bytes, expected) in [(1, 1, 2), (4, 1000, 4), (100, 250, 2)] {
        let batch = consumer.next_batch(max_rows, max_bytes).await.unwrap();
        assert_eq!(batch.rows.len(), expected);
    }
}

#[tokio::test]
async fn consumer_goes_on_where_it_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let calls: Vec<Vec<Row>> = (0..6).map(|_| rows(1, 10)).collect();
    let journal = open(directory.path());
    for call in &calls {
        journal.append(call).await.unwrap();
    }
    let mut consumer = journal.consumer("main").unwrap();
    let first = consumer.next_batch(2, 1000).await.unwrap();
    let second = consumer.next_batch(2, 1000).await.unwrap();
    consumer.ack(first.position);
    drop((consumer, journal));

    let journal = open(directory.path());
    let mut consumer = journal.consumer("main").unwrap();
    let again = consumer.next_batch(2, 1000).await.unwrap();
    assert_eq!(again.rows, second.rows);
    assert_eq!(again.rows, calls[2..4].concat());
    assert_eq!(journal.stats().consumers[0].lag_rows, 4);
}

#[tokio::test]
async fn acknowledging_ahead_of_what_was_read_skips_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    journal.append(&rows(1, 10)).await.unwrap();
    let ahead = journal.append(&rows(1, 10)).await.unwrap();
    let mut consumer = journal.consumer("main").unwrap();
    consumer.next_batch(1, 1).await.unwrap();
    consumer.ack(ahead);
    assert_eq!(journal.stats().consumers[0].lag_rows, 1);
}

#[tokio::test]
async fn killed_process_loses_no_row_and_repeats_what_was_not_saved() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    let mut consumer = journal.consumer("main").unwrap();
    let calls: Vec<Vec<Row>> = (0..3).map(|_| rows(2, 10)).collect();
    for call in &calls {
        journal.append(call).await.unwrap();
    }
    let batch = consumer.next_batch(2, 1000).await.unwrap();
    consumer.ack(batch.position);
    let copy = crashed_copy(directory.path(), &journal);
    consumer.flush().unwrap();
    let saved_copy = crashed_copy(directory.path(), &journal);
    for (copy, first) in [(copy, 0), (saved_copy, 1)] {
        let journal = open(copy.path());
        let mut consumer = journal.consumer("main").unwrap();
        assert_eq!(drain(&mut consumer).await, calls[first..].concat());
    }
}

#[tokio::test]
async fn waiting_consumer_gets_rows_when_they_come_and_saves_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    let mut consumer = journal.consumer("main").unwrap();
    let appender = Arc::clone(&journal);
    let task = tokio::spawn(async move {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            appender.append(&rows(1, 10)).await.unwrap();
        }
    });
    for _ in 0..3 {
        let batch = consumer.next_batch(1, 1000).await.unwrap();
        consumer.ack(batch.position);
    }
    task.await.unwrap();
    let wait = tokio::time::timeout(Duration::from_millis(400), consumer.next_batch(1, 1));
    assert!(wait.await.is_err());
    let copy = crashed_copy(directory.path(), &journal);
    let journal = open(copy.path());
    journal.consumer("main").unwrap();
    assert_eq!(journal.stats().consumers[0].lag_rows, 0);
}

#[tokio::test]
async fn cancelled_read_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    let calls: Vec<Vec<Row>> = (0..50).map(|_| rows(1, 10)).collect();
    for call in &calls {
        journal.append(call).await.unwrap();
    }
    let mut consumer = journal.consumer("main").unwrap();
    let mut read = Vec::new();
    while read.len() < calls.len() {
        // Polled once, so it is dropped while the read is under way.
        let once = tokio::time::timeout(Duration::ZERO, consumer.next_batch(1, 1));
        if let Ok(batch) = once.await {
            read.extend(batch.unwrap().rows);
            continue;
        }
        read.extend(consumer.next_batch(1, 1).await.unwrap().rows);
    }
    assert_eq!(read, calls.concat());
}

#[test]
fn rows_of_many_threads_and_tasks_are_read_exactly_once() {
    for sync in [SyncMode::Os, SyncMode::Always] {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { sync, segment_bytes: 16 << 10, ..options(directory.path()) };
        let journal = Journal::open(options).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(8)
            .enable_all()
            .build()
            .unwrap();
        let mut consumer = journal.consumer("main").unwrap();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let journal = Arc::clone(&journal);
                runtime.spawn(async move {
                    let mut ids = Vec::new();
                    for n in 0..100 {
                        let call = rows(1 + n % 3, n);
                        ids.extend(call.iter().map(|row| row.id));
                        journal.append(&call).await.unwrap();
                    }
                    ids
                })
            })
            .collect();
        runtime.block_on(async {
            let expected = 8 * (0..100).map(|n| 1 + n % 3).sum::<usize>();
            let mut read = Vec::new();
            while read.len() < expected {
                let batch = consumer.next_batch(64, 1 << 20).await.unwrap();
                read.extend(batch.rows.iter().map(|row| row.id));
                consumer.ack(batch.position);
            }
            let mut written = HashSet::new();
            for task in tasks {
                let ids = task.await.unwrap();
                let places: Vec<_> = ids
                    .iter()
                    .map(|id| read.iter().position(|other| other == id).unwrap())
                    .collect();
                assert!(places.is_sorted(), "the order of one appender is kept");
                written.extend(ids);
            }
            assert_eq!(read.len(), written.len());
            assert_eq!(read.into_iter().collect::<HashSet<_>>(), written);
        });
        drop(consumer);
        assert_eq!(journal.stats().consumers[0].lag_rows, 0);
    }
}

#[tokio::test]
async fn one_consumer_a_name_and_a_retired_one_ends() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    let mut retired = journal.consumer("old").unwrap();
    let _kept = journal.consumer("kept").unwrap();
    assert_eq!(
        journal.consumer("old").unwrap_err(),
        ConsumerError::AlreadyOpen { name: "old".to_owned() }
    );
    assert!(journal.consumer("").is_err() && journal.consumer(&"x".repeat(999)).is_err());
    let waiting = tokio::spawn(async move {
        let batch = retired.next_batch(1, 1).await;
        (batch, retired)
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    journal.retain_consumers(&["kept"]);
    let (batch, mut retired) = waiting.await.unwrap();
    assert_eq!(batch, None);

    // The name again, while the one that was retired is still there.
    journal.append(&rows(1, 1)).await.unwrap();
    let mut new = journal.consumer("old").unwrap();
    let position = new.next_batch(1, 1).await.unwrap().position;
    retired.ack(position);
    drop(retired);
    assert_eq!(journal.stats().consumers[1].lag_rows, 1);
    assert!(journal.consumer("old").is_err());
}

#[test]
fn journal_belongs_to_one_process_and_to_its_user() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/journal");
    let journal = open(&path);
    assert!(matches!(Journal::open(options(&path)), Err(JournalError::InUse { .. })));
    let _consumer = journal.consumer("main").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    runtime.block_on(journal.append(&rows(1, 1))).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("cursors")), 0o700);
    assert_eq!(mode(&path.join("cursors/main.cursor")), 0o600);
    assert_eq!(mode(&segment_paths(&path)[0]), 0o600);
}
