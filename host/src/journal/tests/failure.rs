//! A disk that does not take what is written.

use std::process::Command;

use super::super::active::SegmentFile;
use super::*;

const LIMITED: &str = "TORANA_JOURNAL_TEST_LIMITED";

/// Runs the test named here in a process of its own whose files may not exceed 64 KiB: a write
/// over that is cut short first and fails then, as on a full disk.
#[test]
fn append_that_fails_leaves_nothing_behind_and_later_ones_work() {
    let module = module_path!().split_once("::").unwrap().1;
    let output = Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "bash"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::limited_process")])
        .env(LIMITED, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[tokio::test]
async fn limited_process() {
    if std::env::var_os(LIMITED).is_none() {
        return;
    }
    for sync in [SyncMode::Os, SyncMode::Always] {
        let directory = tempfile::tempdir().unwrap();
        let options = Options { sync, ..options(directory.path()) };
        let journal = Journal::open(options).unwrap();
        let mut consumer = journal.consumer("main").unwrap();
        let (mut written, mut failed) = (Vec::new(), 0);
        for _ in 0..40 {
            let call = rows(1, 10_000);
            match journal.append(&call).await {
                Ok(_) => written.extend(call),
                Err(AppendError::Write { .. }) => failed += 1,
                Err(error) => assert_eq!(error.to_string(), ""),
            }
        }
        assert!(failed >= 4, "{failed}");
        // Larger than any file may be: a new segment fails, too, and is removed again.
        for _ in 0..3 {
            let error = journal.append(&rows(1, 70_000)).await;
            assert!(matches!(error, Err(AppendError::Write { .. })));
            failed += 1;
        }
        let call = rows(1, 10_000);
        journal.append(&call).await.unwrap();
        written.extend(call);
        assert_eq!(journal.stats().write_errors, failed);
        assert_eq!(drain(&mut consumer).await, written);
        let stats = journal.stats();
        drop((consumer, journal));
        let paths = segment_paths(directory.path());
        let sizes = paths.iter().map(|path| path.metadata().unwrap().len());
        assert_eq!(sizes.sum::<u64>(), stats.bytes);
        assert_eq!(paths.len() as u64, stats.segments);
        let journal = open(directory.path());
        assert_eq!(journal.recovery().damaged, 0);
        assert_eq!(journal.recovery().rows, written.len() as u64);
    }
}

#[tokio::test]
async fn failed_sync_is_an_error_and_closes_the_segment() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { sync: SyncMode::Always, ..options(directory.path()) };
    let journal = Journal::open(options).unwrap();
    journal.append(&rows(1, 10)).await.unwrap();
    let active = journal.with_state(|state| state.active().unwrap());
    // `fdatasync(2)` of a socket is refused with EINVAL, as a disk might with EIO.
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let file = fs::File::from(std::os::fd::OwnedFd::from(socket));
    let broken = Arc::new(SegmentFile::new(Box::new(file)));
    let outcome = journal.keeper.sync(Arc::clone(&broken), false).await;
    assert!(outcome.unwrap().is_err());
    assert!(broken.suspect.load(std::sync::atomic::Ordering::Acquire));

    active.file.suspect.store(true, std::sync::atomic::Ordering::Release);
    journal.append(&rows(1, 10)).await.unwrap();
    assert_eq!(journal.stats().segments, 2);
    let mut consumer = journal.consumer("main").unwrap();
    assert_eq!(drain(&mut consumer).await.len(), 2);
}

#[tokio::test]
async fn segment_that_cannot_be_created_is_an_error_until_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal");
    let journal = open(&path);
    let aside = directory.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    let error = journal.append(&rows(1, 10)).await;
    assert!(matches!(error, Err(AppendError::Create { .. })));
    assert_eq!(journal.stats().write_errors, 1);
    fs::rename(&aside, &path).unwrap();
    journal.append(&rows(1, 10)).await.unwrap();
    assert_eq!(journal.stats().appended_rows, 1);
}
