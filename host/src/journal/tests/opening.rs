//! What an operator is told when the journal's directory cannot be used.

use std::error::Error as _;
use std::io;

use super::simulation::{Fault, Simulation};
use super::*;

/// Error and cause, as the command prints them.
fn refusal(path: &Path) -> String {
    let error = Journal::open(options(path)).unwrap_err();
    let cause = error.source().map(|source| format!(": {source}"));
    format!("{error}{}", cause.unwrap_or_default())
}

#[test]
fn file_in_the_place_of_the_directory_or_above_it_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("journal")] {
        let expected = format!(
            "cannot use {} for the journal; move away the file that is there, or name another \
             directory in `journal.path`: not a directory",
            file.display()
        );
        assert_eq!(refusal(&path), expected);
    }
    assert_eq!(fs::read(&file).unwrap(), b"x");
}

#[test]
fn directory_that_takes_no_files_is_refused_before_a_row_is_lost() {
    // As root too, nobody can create anything there.
    let refused = refusal(Path::new("/proc/self/journal"));
    assert!(refused.starts_with("cannot use /proc/self/journal for the journal; "), "{refused}");

    let disk = Simulation::new(0, None);
    let options = options(Path::new("/journal"));
    drop(Journal::open_on(Arc::new(disk.clone()), options.clone(), TUNING).unwrap());
    for (kind, advice) in [
        (io::ErrorKind::PermissionDenied, "let this user write there"),
        (io::ErrorKind::ReadOnlyFilesystem, "mount it for writing"),
    ] {
        // The lock file is there; the first thing to be created is not.
        disk.set_fault(Some(Fault { after: 0, times: 1, kind }));
        let error = Journal::open_on(Arc::new(disk.clone()), options.clone(), TUNING).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("cannot use /journal/probe for the journal; "), "{text}");
        assert!(text.contains(advice), "{text}");
    }
}

#[tokio::test]
async fn full_disk_does_not_keep_the_journal_from_opening() {
    let disk = Simulation::new(0, None);
    let options = options(Path::new("/journal"));
    drop(Journal::open_on(Arc::new(disk.clone()), options.clone(), TUNING).unwrap());
    disk.set_fault(Some(Fault { after: 1, times: 1, kind: io::ErrorKind::StorageFull }));
    let journal = Journal::open_on(Arc::new(disk), options, TUNING).unwrap();
    journal.append(&rows(1, 10)).await.unwrap();
}

#[test]
fn journal_of_another_process_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let _held = open(directory.path());
    let expected = format!(
        "journal {} is in use by another process; stop that, or name another directory in \
         `journal.path`",
        directory.path().display()
    );
    assert_eq!(refusal(directory.path()), expected);
}
