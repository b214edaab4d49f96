//! What happens at the bound, and what is deleted before it.

use super::*;

const SMALL: u64 = 16 << 10;

fn small(path: &Path, when_full: WhenFull) -> Options {
    Options { segment_bytes: 2048, max_bytes: SMALL, when_full, ..options(path) }
}

fn bytes_on_disk(path: &Path) -> u64 {
    let paths = segment_paths(path);
    paths.iter().map(|path| path.metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn segments_are_deleted_when_every_consumer_has_saved_past_them() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(small(directory.path(), WhenFull::Shed)).unwrap();
    let mut fast = journal.consumer("fast").unwrap();
    let mut slow = journal.consumer("slow").unwrap();
    for _ in 0..20 {
        journal.append(&rows(1, 400)).await.unwrap();
    }
    let before = journal.stats().segments;
    drain(&mut fast).await;
    fast.ack(fast.position);
    fast.flush().unwrap();
    assert_eq!(journal.stats().segments, before);
    drain(&mut slow).await;
    slow.ack(slow.position);
    slow.flush().unwrap();
    assert_eq!(journal.stats().segments, 1);
    drop((fast, slow, journal));
    assert_eq!(segment_paths(directory.path()).len(), 1);
}

#[tokio::test]
async fn segments_kept_for_a_retired_consumer_alone_are_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(small(directory.path(), WhenFull::Shed)).unwrap();
    let mut kept = journal.consumer("kept").unwrap();
    drop(journal.consumer("retired").unwrap());
    for _ in 0..20 {
        journal.append(&rows(1, 400)).await.unwrap();
    }
    drain(&mut kept).await;
    kept.ack(kept.position);
    kept.flush().unwrap();
    journal.retain_consumers(&["kept"]);
    assert_eq!(journal.stats().segments, 1);
    assert_eq!(journal.stats().consumers.len(), 1);
    drop((kept, journal));
    assert!(!directory.path().join("cursors/retired.cursor").exists());
}

#[tokio::test]
async fn dropped_rows_are_counted_exactly_and_the_consumer_goes_on_at_the_oldest() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(small(directory.path(), WhenFull::DropOldest)).unwrap();
    let mut consumer = journal.consumer("main").unwrap();
    let calls: Vec<Vec<Row>> = (0..100).map(|n| rows(1 + n % 3, 300)).collect();
    let all = calls.concat();
    for call in &calls[..10] {
        journal.append(call).await.unwrap();
    }
    let batch = consumer.next_batch(5, 1 << 20).await.unwrap();
    let acknowledged = batch.rows.len();
    consumer.ack(batch.position);
    let read_ahead = consumer.next_batch(3, 1 << 20).await.unwrap().rows.len();
    for call in &calls[10..] {
        journal.append(call).await.unwrap();
        assert!(journal.stats().bytes <= SMALL);
        assert!(!journal.is_full());
    }
    let rest = drain(&mut consumer).await;
    assert_eq!(rest, all[all.len() - rest.len()..]);
    let stats = journal.stats();
    let missing = all.len() - acknowledged - rest.len();
    assert_eq!(stats.dropped_rows, missing as u64);
    assert_eq!(stats.appended_rows, all.len() as u64);
    let main = &stats.consumers[0];
    assert_eq!(main.lost_rows, (missing - read_ahead) as u64);
    assert_eq!(main.lag_rows, rest.len() as u64);
    drop((consumer, journal));
    assert!(bytes_on_disk(directory.path()) <= SMALL);
}

#[tokio::test]
async fn rows_lost_to_the_bound_are_counted_by_a_consumer_that_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(small(directory.path(), WhenFull::DropOldest)).unwrap();
    drop(journal.consumer("main").unwrap());
    for _ in 0..100 {
        journal.append(&rows(1, 500)).await.unwrap();
    }
    let dropped = journal.stats().dropped_rows;
    assert!(dropped > 0);
    drop(journal);
    let journal = Journal::open(small(directory.path(), WhenFull::DropOldest)).unwrap();
    assert_eq!(journal.recovery().rows, 100 - dropped);
    assert_eq!(journal.recovery().rows_lost, 0);
    let mut consumer = journal.consumer("main").unwrap();
    let read = drain(&mut consumer).await.len() as u64;
    assert_eq!(read, 100 - dropped);
    assert_eq!(journal.stats().consumers[0].lost_rows, dropped);
}

#[tokio::test]
async fn acknowledged_rows_do_not_count_as_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(small(directory.path(), WhenFull::DropOldest)).unwrap();
    let mut consumer = journal.consumer("main").unwrap();
    for _ in 0..200 {
        journal.append(&rows(1, 500)).await.unwrap();
        let batch = consumer.next_batch(10, 1 << 20).await.unwrap();
        consumer.ack(batch.position);
    }
    assert_eq!(journal.stats().dropped_rows, 0);
}

#[tokio::test]
async fn full_journal_sheds_until_its_consumer_caught_up() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(small(directory.path(), WhenFull::Shed)).unwrap();
    let mut consumer = journal.consumer("main").unwrap();
    let mut written = Vec::new();
    while !journal.is_full() {
        let call = rows(1, 300);
        journal.append(&call).await.unwrap();
        written.extend(call);
    }
    // What was admitted before still finds room.
    let call = rows(1, 300);
    journal.append(&call).await.unwrap();
    written.extend(call);
    let error = loop {
        let call = rows(1, 300);
        match journal.append(&call).await {
            Ok(_) => written.extend(call),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, AppendError::Full));
    assert!(journal.stats().bytes <= SMALL);
    assert_eq!(drain(&mut consumer).await, written);
    consumer.ack(consumer.position);
    // No more calls come in, so nothing but the waiting consumer can save its cursor.
    let wait = tokio::time::timeout(Duration::from_millis(400), consumer.next_batch(1, 1));
    assert!(wait.await.is_err());
    assert!(!journal.is_full());
    journal.append(&rows(1, 300)).await.unwrap();
    assert_eq!(journal.stats().dropped_rows, 0);
}

#[tokio::test]
async fn without_consumers_the_newest_rows_are_kept_and_none_counts_as_dropped() {
    for when_full in [WhenFull::DropOldest, WhenFull::Shed] {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(small(directory.path(), when_full)).unwrap();
        let mut all = Vec::new();
        for _ in 0..100 {
            let call = rows(1, 500);
            journal.append(&call).await.unwrap();
            all.extend(call);
        }
        let stats = journal.stats();
        assert!(stats.bytes <= SMALL && stats.bytes > SMALL / 2);
        assert_eq!(stats.dropped_rows, 0);
        let mut consumer = journal.consumer("late").unwrap();
        let kept = drain(&mut consumer).await;
        assert_eq!(kept, all[all.len() - kept.len()..]);
        assert_eq!(journal.stats().consumers[0].lost_rows, 0);
    }
}

#[tokio::test]
async fn longest_record_always_fits_and_a_longer_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let journal = Journal::open(small(directory.path(), WhenFull::DropOldest)).unwrap();
    let _consumer = journal.consumer("main").unwrap();
    let overhead = 28 + 45;
    for _ in 0..10 {
        journal.append(&rows(1, 4096 - overhead)).await.unwrap();
        journal.append(&rows(1, 10)).await.unwrap();
        assert!(journal.stats().bytes <= SMALL);
    }
    assert!(matches!(
        journal.append(&rows(1, 4097 - overhead)).await,
        Err(AppendError::TooLong { bytes: 4097, limit: 4096 })
    ));
}
