//! Room that is made ahead of the records.

use std::sync::atomic::{AtomicBool, Ordering};

use super::super::active::SegmentFile;
use super::super::disk::{Disk as _, FileSystem};
use super::super::scan;
use super::simulation::{Fault, Simulation};
use super::*;

fn open_ahead(options: Options, ahead: Ahead) -> Arc<Journal> {
    Journal::open_on(Arc::new(FileSystem), options, Tuning { ahead, ..TUNING }).unwrap()
}

async fn filled(path: &Path, calls: usize) -> (Arc<Journal>, Vec<Row>) {
    let journal = open_ahead(options(path), AHEAD);
    let mut written = Vec::new();
    for _ in 0..calls {
        let call = rows(1, 100);
        journal.append(&call).await.unwrap();
        settle(&journal);
        written.extend(call);
    }
    (journal, written)
}

#[tokio::test]
async fn room_is_there_is_counted_and_is_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = filled(directory.path(), 50).await;
    let path = segment_paths(directory.path()).remove(0);
    let records = journal.append(&rows(1, 100)).await.unwrap().offset;
    settle(&journal);
    let takes = path.metadata().unwrap().len();
    assert!(takes > records && takes <= records + AHEAD.most, "{takes} for {records}");
    assert_eq!(journal.stats().bytes, takes);
    drop(journal);
    assert_eq!(path.metadata().unwrap().len(), records);
}

#[tokio::test]
async fn segment_with_little_in_it_stays_small() {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    let records = journal.append(&rows(1, 60_000)).await.unwrap().offset;
    settle(&journal);
    assert_eq!(segment_paths(directory.path())[0].metadata().unwrap().len(), records);
}

#[tokio::test]
async fn room_that_a_killed_process_leaves_is_no_damage() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, written) = filled(directory.path(), 50).await;
    let copy = crashed_copy(directory.path(), &journal);
    let journal = open(copy.path());
    assert_eq!((journal.recovery().damaged, journal.recovery().bytes_lost), (0, 0));
    let mut consumer = journal.consumer("main").unwrap();
    assert_eq!(drain(&mut consumer).await, written);
    // Nor is it read again and again.
    journal.append(&rows(1, 1)).await.unwrap();
    assert_eq!(drain(&mut consumer).await.len(), 1);
    consumer.ack(consumer.position);
    consumer.flush().unwrap();
    assert_eq!(journal.stats().segments, 1);
}

#[tokio::test]
async fn scan_beside_the_process_gives_every_row_before_the_room() {
    let directory = tempfile::tempdir().unwrap();
    let (_journal, written) = filled(directory.path(), 50).await;
    let mut seen = Vec::new();
    scan(directory.path(), |row| seen.push(row.clone())).unwrap();
    assert_eq!(seen, written);
}

#[tokio::test]
async fn torn_record_before_room_is_counted_without_the_room() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, written) = filled(directory.path(), 50).await;
    let whole = crashed_copy(directory.path(), &journal);
    let path = segment_paths(whole.path()).remove(0);
    let bytes = fs::read(&path).unwrap();
    let end = journal.with_state(|state| state.tail().offset) as usize;
    let start = end - (28 + 45 + 100);
    assert!(bytes.len() > end);
    for torn in start..end {
        let mut bytes = bytes.clone();
        bytes[torn..].fill(0);
        fs::write(&path, &bytes).unwrap();
        let journal = open(whole.path());
        let Recovery { rows, bytes_lost, .. } = *journal.recovery();
        assert_eq!(rows, written.len() as u64 - 1, "torn at {torn}");
        assert!(bytes_lost <= (end - start) as u64, "{bytes_lost} torn at {torn}");
        assert_eq!(bytes_lost > 0, torn > start, "torn at {torn}");
    }
}

#[tokio::test]
async fn disk_without_space_for_room_has_none_and_takes_records() {
    let disk = Simulation::new(0, None);
    let file = SegmentFile::new(disk.create(Path::new("/segment")).unwrap());
    file.write(b"first", 0).unwrap();
    let kind = std::io::ErrorKind::StorageFull;
    disk.set_fault(Some(Fault { after: 0, times: 1, kind }));
    file.grow(4096);
    disk.set_fault(None);
    file.write(b"second", 5).unwrap();
    file.grow(4096);
    file.close(11).unwrap();
    let mut bytes = [0; 20];
    let read = disk.open(Path::new("/segment")).unwrap().read_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes[..read], b"firstsecond");
}

#[test]
fn room_never_comes_out_on_top_of_a_record() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("segment");
    let file = SegmentFile::new(FileSystem.create(&path).unwrap());
    let written = std::sync::atomic::AtomicU64::new(0);
    let done = AtomicBool::new(false);
    let mut expected = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut further: u64 = 1;
            while !done.load(Ordering::Acquire) {
                // Sometimes ahead of the records, sometimes behind them.
                file.grow(written.load(Ordering::Relaxed) + further % 9_000);
                further = further.wrapping_mul(31).wrapping_add(7);
            }
        });
        for number in 0..30_000_usize {
            let record = vec![1 + (number % 255) as u8; 1 + number % 700];
            file.write(&record, expected.len() as u64).unwrap();
            expected.extend(record);
            written.store(expected.len() as u64, Ordering::Relaxed);
        }
        done.store(true, Ordering::Release);
    });
    file.close(expected.len() as u64).unwrap();
    assert!(fs::read(&path).unwrap() == expected, "a record was overwritten");
}

/// Rows taken by a journal of 64 KiB until the first one that is owed is dropped. Some are
/// larger than what is kept free.
async fn rows_until_one_is_dropped(ahead: Ahead, large: usize) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let options =
        Options { max_bytes: 64 << 10, segment_bytes: 16 << 10, ..options(directory.path()) };
    let journal = open_ahead(options, ahead);
    let _owed = journal.consumer("main").unwrap();
    while journal.stats().dropped_rows == 0 {
        let is_large = journal.stats().appended_rows % 40 == 39;
        journal.append(&rows(1, if is_large { large } else { 100 })).await.unwrap();
        settle(&journal);
        assert!(journal.stats().bytes <= 64 << 10);
    }
    journal.stats().appended_rows
}

#[tokio::test]
async fn no_row_is_dropped_for_room() {
    let none = Ahead { step: u64::MAX, most: 0 };
    let much = Ahead { step: 64, most: 4096 };
    for large in (100..16_000).step_by(500) {
        let without = rows_until_one_is_dropped(none, large).await;
        assert_eq!(rows_until_one_is_dropped(much, large).await, without, "{large}");
    }
}

#[tokio::test]
async fn full_ring_still_has_room_ahead() {
    let directory = tempfile::tempdir().unwrap();
    let options =
        Options { max_bytes: 64 << 10, segment_bytes: 16 << 10, ..options(directory.path()) };
    let journal = open_ahead(options, AHEAD);
    for _ in 0..2_000 {
        journal.append(&rows(1, 100)).await.unwrap();
        settle(&journal);
        assert!(journal.stats().bytes <= 64 << 10);
    }
    let position = journal.append(&rows(1, 100)).await.unwrap();
    settle(&journal);
    let path = segment_paths(directory.path()).pop().unwrap();
    assert!(path.metadata().unwrap().len() > position.offset);
}
