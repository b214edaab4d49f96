//! What a loss of power or a failing disk once cost, each by a name. Found by `power.rs`.

use std::{fs, io};

use super::simulation::{Fault, Simulation};
use super::*;

const SEEDS: std::ops::Range<u64> = 0..64;

fn simulated(sync: SyncMode) -> Options {
    let path = Path::new("/var/data/journal");
    Options { sync, segment_bytes: 600, when_full: WhenFull::Shed, ..options(path) }
}

fn open_on(disk: &Simulation, options: Options) -> Arc<Journal> {
    Journal::open_on(Arc::new(disk.clone()), options, TUNING).unwrap()
}

async fn take_all(consumer: &mut Consumer) {
    drain(consumer).await;
    consumer.ack(consumer.position);
    consumer.flush().unwrap();
}

#[tokio::test]
async fn journal_of_a_first_start_survives_a_loss_of_power() {
    for seed in SEEDS {
        let disk = Simulation::new(seed, None);
        let journal = open_on(&disk, simulated(SyncMode::Always));
        journal.append(&rows(1, 10)).await.unwrap();
        let journal = open_on(&disk.without_power(), simulated(SyncMode::Always));
        assert_eq!(journal.recovery().rows, 1, "seed {seed}");
    }
}

#[tokio::test]
async fn sync_after_one_that_failed_does_not_promise_anything() {
    let disk = Simulation::new(0, None);
    let journal = open_on(&disk, simulated(SyncMode::Always));
    journal.append(&rows(1, 10)).await.unwrap();
    let file = journal.with_state(|state| state.active().unwrap()).file;
    // Making room would meet the fault.
    settle(&journal);
    disk.set_fault(Some(Fault { after: 0, times: 1, kind: io::ErrorKind::Other }));
    for _ in 0..2 {
        // The second call waited while the first sync was under way, for the same pages.
        let outcome = journal.keeper.sync(Arc::clone(&file), false).await.unwrap();
        assert!(outcome.is_err());
    }
    journal.append(&rows(1, 10)).await.unwrap();
    assert_eq!(journal.stats().segments, 2);
}

#[tokio::test]
async fn consumer_whose_cursor_is_damaged_keeps_its_rows() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 600, ..options(directory.path()) };
    let journal = Journal::open(options.clone()).unwrap();
    drop(journal.consumer("behind").unwrap());
    let mut ahead = journal.consumer("ahead").unwrap();
    for _ in 0..10 {
        journal.append(&rows(1, 300)).await.unwrap();
    }
    take_all(&mut ahead).await;
    drop((ahead, journal));
    for kind in ["cursor", "kept"] {
        fs::write(directory.path().join(format!("cursors/behind.{kind}")), "x").unwrap();
    }
    let journal = Journal::open(options).unwrap();
    let mut behind = journal.consumer("behind").unwrap();
    assert_eq!(drain(&mut behind).await.len(), 10);
    assert_eq!(journal.stats().consumers[1].lost_rows, 0);
}

#[tokio::test]
async fn consumer_that_just_came_is_known_after_a_loss_of_power() {
    for seed in SEEDS {
        let disk = Simulation::new(seed, None);
        let journal = open_on(&disk, simulated(SyncMode::Always));
        let _behind = journal.consumer("behind").unwrap();
        let mut ahead = journal.consumer("ahead").unwrap();
        for _ in 0..10 {
            journal.append(&rows(1, 300)).await.unwrap();
        }
        take_all(&mut ahead).await;
        let journal = open_on(&disk.without_power(), simulated(SyncMode::Always));
        let mut behind = journal.consumer("behind").unwrap();
        assert_eq!(drain(&mut behind).await.len(), 10, "seed {seed}");
    }
}

#[tokio::test]
async fn rows_a_consumer_had_are_not_counted_as_lost_after_a_loss_of_power() {
    for seed in SEEDS {
        let disk = Simulation::new(seed, None);
        let journal = open_on(&disk, simulated(SyncMode::Always));
        let mut consumer = journal.consumer("main").unwrap();
        for _ in 0..3 {
            for _ in 0..4 {
                journal.append(&rows(1, 300)).await.unwrap();
            }
            take_all(&mut consumer).await;
        }
        settle(&journal);
        let journal = open_on(&disk.without_power(), simulated(SyncMode::Always));
        let mut consumer = journal.consumer("main").unwrap();
        journal.append(&rows(1, 300)).await.unwrap();
        drain(&mut consumer).await;
        assert_eq!(journal.recovery().rows_lost, 0, "seed {seed}");
        assert_eq!(journal.stats().consumers[0].lost_rows, 0, "seed {seed}");
    }
}

/// The power is lost twice. The file of a cursor that was not synced shows what was there before
/// the first time: a cursor of this consumer, in a segment whose number was given again.
#[tokio::test]
async fn an_old_cursor_that_shows_up_again_skips_no_rows() {
    let directory = tempfile::tempdir().unwrap();
    let saved = directory.path().join("cursors/main.cursor");
    let journal = open(directory.path());
    let mut consumer = journal.consumer("main").unwrap();
    for _ in 0..2 {
        journal.append(&rows(3, 10)).await.unwrap();
        take_all(&mut consumer).await;
    }
    let old = fs::read(&saved).unwrap();
    drop((consumer, journal));
    for path in segment_paths(directory.path()) {
        fs::remove_file(path).unwrap();
    }
    fs::remove_dir_all(directory.path().join("cursors")).unwrap();

    let journal = open(directory.path());
    let mut consumer = journal.consumer("main").unwrap();
    for _ in 0..2 {
        journal.append(&rows(1, 10)).await.unwrap();
        take_all(&mut consumer).await;
    }
    journal.append(&rows(2, 40)).await.unwrap();
    drop((consumer, journal));
    fs::write(&saved, old).unwrap();

    let journal = open(directory.path());
    let mut consumer = journal.consumer("main").unwrap();
    assert!(drain(&mut consumer).await.len() >= 2);
}

#[tokio::test]
async fn a_deleted_segment_that_is_back_hides_no_rows() {
    let directory = tempfile::tempdir().unwrap();
    let append_one = async || open(directory.path()).append(&rows(1, 10)).await.unwrap();
    append_one().await;
    let path = segment_paths(directory.path()).remove(0);
    let deleted = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    append_one().await;
    fs::write(path, deleted).unwrap();
    let mut consumer = open(directory.path()).consumer("main").unwrap();
    assert_eq!(drain(&mut consumer).await.len(), 2);
}

#[tokio::test]
async fn rows_of_a_failed_append_are_not_counted_as_lost() {
    for seed in SEEDS {
        let disk = Simulation::new(seed, None);
        let journal = open_on(&disk, simulated(SyncMode::Os));
        journal.append(&rows(1, 10)).await.unwrap();
        // The write stops halfway, and what it left cannot be cut off.
        disk.set_fault(Some(Fault { after: 0, times: 3, kind: io::ErrorKind::Other }));
        journal.append(&rows(2, 100)).await.unwrap_err();
        journal.append(&rows(1, 10)).await.unwrap();
        let journal = open_on(&disk.killed(), simulated(SyncMode::Os));
        assert_eq!(journal.recovery().rows_lost, 0, "seed {seed}");
        let mut consumer = journal.consumer("main").unwrap();
        assert!(drain(&mut consumer).await.len() >= 2, "seed {seed}");
    }
}
