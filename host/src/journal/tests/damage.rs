//! Torn and corrupt segments.

use super::*;

/// A journal of one segment: its bytes, and per call the rows and where the record ends.
async fn one_segment(calls: usize, json_bytes: usize) -> (tempfile::TempDir, Vec<(Vec<Row>, u64)>) {
    let directory = tempfile::tempdir().unwrap();
    let journal = open(directory.path());
    let mut written = Vec::new();
    for _ in 0..calls {
        let call = rows(2, json_bytes);
        let position = journal.append(&call).await.unwrap();
        written.push((call, position.offset));
    }
    (directory, written)
}

async fn read_all(path: &Path) -> (Arc<Journal>, Vec<Row>) {
    let journal = open(path);
    let mut consumer = journal.consumer("main").unwrap();
    let read = drain(&mut consumer).await;
    (journal, read)
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)]
}

#[tokio::test]
async fn segment_cut_at_any_byte_loses_only_the_record_it_was_cut_in() {
    let (directory, written) = one_segment(24, 100).await;
    let path = segment_paths(directory.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    assert!(whole.len() > 4096);
    for length in (whole.len() - 4096..=whole.len()).rev() {
        fs::write(&path, &whole[..length]).unwrap();
        let (journal, read) = read_all(directory.path()).await;
        let kept: Vec<_> = written.iter().filter(|(_, end)| *end <= length as u64).collect();
        let expected: Vec<Row> = kept.iter().flat_map(|(call, _)| call.clone()).collect();
        assert_eq!(read, expected, "cut at {length}");
        let recovery = journal.recovery();
        let kept_bytes = kept.last().map_or(0, |(_, end)| *end as usize);
        let torn = &whole[kept_bytes..length];
        let header_whole = torn.len() >= 28;
        // Zeros at the end of a header that was cut may as well be room that nobody wrote to.
        let lost = if header_whole { torn.len() } else { without_zeros(torn).len() };
        assert_eq!(recovery.records, kept.len() as u64);
        assert_eq!(recovery.bytes_lost, lost as u64);
        assert_eq!(recovery.damaged, u64::from(lost > 0));
        assert_eq!(recovery.rows_lost, if header_whole { 2 } else { 0 });
    }
}

#[tokio::test]
async fn flipped_bit_loses_only_the_record_it_is_in_and_is_counted() {
    let (directory, written) = one_segment(4, 40).await;
    let path = segment_paths(directory.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        let hit = written.partition_point(|(_, end)| *end <= (bit / 8) as u64);
        let (journal, read) = read_all(directory.path()).await;
        let expected: Vec<Row> = written
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != hit)
            .flat_map(|(_, (call, _))| call.clone())
            .collect();
        assert_eq!(read, expected, "bit {bit}");
        let recovery = *journal.recovery();
        let start = hit.checked_sub(1).map_or(0, |index| written[index].1);
        assert_eq!((recovery.records, recovery.damaged), (3, 1), "bit {bit}");
        assert_eq!(recovery.bytes_lost, written[hit].1 - start);
        // Nothing tells of the rows of a last record whose header is gone.
        let unknown = hit == 3 && (bit / 8) as u64 - start < 28;
        assert_eq!(recovery.rows_lost, if unknown { 0 } else { 2 });
    }
}

#[tokio::test]
async fn record_copied_into_a_row_does_not_pass_for_one() {
    let (directory, _) = one_segment(1, 10).await;
    let path = segment_paths(directory.path()).remove(0);
    let record = fs::read(&path).unwrap();
    let journal = open(directory.path());
    let mut hostile = rows(1, 0);
    hostile[0].json = [record.clone(), record].concat();
    journal.append(&hostile).await.unwrap();
    let last = rows(1, 10);
    journal.append(&last).await.unwrap();
    drop(journal);
    let path = segment_paths(directory.path()).remove(1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[0] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let (journal, read) = read_all(directory.path()).await;
    assert_eq!(read.len(), 3);
    assert_eq!(read[2], last[0]);
    assert_eq!(journal.recovery().rows_lost, 1);
}

#[tokio::test]
async fn damage_after_opening_is_skipped_and_counted() {
    let (directory, written) = one_segment(5, 50).await;
    let journal = open(directory.path());
    let path = segment_paths(directory.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[written[1].1 as usize + 40] ^= 1;
    bytes[written[3].1 as usize + 2] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut consumer = journal.consumer("main").unwrap();
    let read = drain(&mut consumer).await;
    let expected = [&written[0], &written[1], &written[3]].map(|(call, _)| call.clone());
    assert_eq!(read, expected.concat());
    let stats = journal.stats();
    assert_eq!(stats.damaged_reads, 2);
    assert_eq!(stats.consumers[0].lost_rows, 2);

    // The lost end is known once a row follows, and does not keep the segment alive.
    journal.append(&rows(1, 1)).await.unwrap();
    assert_eq!(drain(&mut consumer).await.len(), 1);
    assert_eq!(journal.stats().consumers[0].lost_rows, 4);
    consumer.ack(consumer.position);
    consumer.flush().unwrap();
    assert_eq!(journal.stats().segments, 1);
}

#[tokio::test]
async fn damaged_end_alone_does_not_keep_a_segment() {
    let (directory, written) = one_segment(2, 50).await;
    let journal = open(directory.path());
    let path = segment_paths(directory.path()).remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes[written[0].1 as usize] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut consumer = journal.consumer("main").unwrap();
    let batch = consumer.next_batch(10, 1000).await.unwrap();
    consumer.ack(batch.position);
    let wait = tokio::time::timeout(Duration::from_millis(500), consumer.next_batch(1, 1));
    assert!(wait.await.is_err());
    assert_eq!(journal.stats().segments, 0);
}

#[tokio::test]
async fn deleted_segment_costs_its_rows_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 500, ..options(directory.path()) };
    let journal = Journal::open(options).unwrap();
    let mut all = Vec::new();
    for _ in 0..9 {
        let call = rows(1, 100);
        journal.append(&call).await.unwrap();
        all.extend(call);
    }
    let paths = segment_paths(directory.path());
    assert_eq!(paths.len(), 5);
    fs::remove_file(&paths[1]).unwrap();
    let mut consumer = journal.consumer("main").unwrap();
    let read = drain(&mut consumer).await;
    assert_eq!(read, [&all[..2], &all[4..]].concat());
    drop((consumer, journal));
    let journal = open(directory.path());
    assert_eq!(journal.recovery().rows_lost, 2);
}

#[tokio::test]
async fn garbage_in_the_directory_never_keeps_it_from_opening() {
    let (directory, written) = one_segment(1, 10).await;
    let name = segment_paths(directory.path()).remove(0);
    let name = name.file_name().unwrap().to_str().unwrap();
    let other = |number: u64| {
        let name = name.replacen("00000000000000000000", &format!("{number:020}"), 1);
        directory.path().join(name)
    };
    fs::write(other(1), vec![7; 100_000]).unwrap();
    fs::create_dir(other(2)).unwrap();
    fs::write(other(3), vec![0; 100_000]).unwrap();
    fs::write(directory.path().join("notes.txt"), "x").unwrap();
    fs::write(directory.path().join("cursors/main.cursor"), "x").unwrap();
    let (journal, read) = read_all(directory.path()).await;
    assert_eq!(read, written[0].0);
    assert_eq!(journal.recovery().damaged, 2);
    journal.append(&rows(1, 1)).await.unwrap();
}
