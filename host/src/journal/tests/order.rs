//! The clock may go back: nothing here goes by it.

use uuid::{ContextV7, Timestamp};

use super::*;

#[tokio::test]
async fn rows_whose_times_go_backwards_come_in_the_order_of_appending() {
    let directory = tempfile::tempdir().unwrap();
    let mut written = Vec::new();
    for process in 0..3 {
        let journal = open(directory.path());
        for call in 0..20_u64 {
            let mut call_rows = rows(2, 10);
            for row in &mut call_rows {
                row.time_unix_ms = 1_764_000_000_000 - 1000 * (process * 20 + call);
                // As a process mints them whose clock was set back before it started.
                let time = Timestamp::from_unix(uuid::NoContext, row.time_unix_ms / 1000, 0);
                row.id = Uuid::new_v7(time);
            }
            journal.append(&call_rows).await.unwrap();
            written.extend(call_rows);
        }
        let mut consumer = journal.consumer("main").unwrap();
        let batch = consumer.next_batch(4, 1 << 20).await.unwrap();
        let start = usize::try_from(process).unwrap() * 4;
        assert_eq!(batch.rows, written[start..start + 4]);
        consumer.ack(batch.position);
    }
    let journal = open(directory.path());
    let mut consumer = journal.consumer("main").unwrap();
    assert_eq!(drain(&mut consumer).await, written[12..]);
}

/// `Uuid::now_v7` shares one such context in the whole process.
#[test]
fn ids_keep_increasing_while_the_clock_goes_back() {
    let context = ContextV7::new();
    let ids: Vec<Uuid> = [1000, 1001, 900, 0, 1001, 999, 1002, 5]
        .into_iter()
        .flat_map(|second| [second; 3])
        .map(|second| Uuid::new_v7(Timestamp::from_unix(&context, second, 0)))
        .collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
}
