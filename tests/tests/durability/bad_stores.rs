//! Stores that cannot be used: the gateway names file, cause and remedy; what is served goes
//! on being served; no row is lost meanwhile.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use torana_tests::eventually::eventually;
use torana_tests::gateway::{Folder, Gateway, MISCONFIGURED, Signal};
use torana_tests::process::{Missing, prepare};
use torana_tests::store::Store;
use torana_tests::witness::{Answered, Clients};

use super::{expect_nothing_lost, has_every_row, lag, provider, settle, without_sinks};
use crate::setup::SINK;

const CLIENTS: Clients<'static> = Clients { model: "calls", connections: 4, calls: 25 };

const END: Duration = Duration::from_secs(10);

/// Room for the calls here several times over.
const DISK_BYTES: usize = 16 << 20;

/// A program that only makes a system call.
const AT_ONCE: Duration = Duration::from_secs(10);

fn ask(gateway: &Gateway) -> Vec<Answered> {
    let answered = CLIENTS.ask(gateway.address()).concat();
    assert_eq!(answered.len(), CLIENTS.connections * CLIENTS.calls, "it serves");
    answered
}

/// Starting is refused with these words.
fn expect_refused(folder: &Folder, words: &[&str]) {
    let ended = Gateway::try_start(folder.clone(), folder.serve()).err();
    let ended = ended.unwrap_or_else(|| panic!("it started, where {words:?} was expected"));
    assert_eq!(ended.code, MISCONFIGURED, "{}", ended.log);
    expect_words(&ended.log, words);
}

fn expect_words(told: &str, words: &[&str]) {
    for word in words {
        assert!(told.contains(word), "no {word:?}: {told}");
    }
}

/// Rows that no sink has, in the journal of a gateway that was killed.
fn undelivered(folder: &Folder) -> Vec<Answered> {
    let mut gateway = Gateway::start_in(folder.clone(), &[]);
    let store = Store::open(&folder.path("torana.db"));
    store.hold();
    let answered = ask(&gateway);
    assert!(lag(&gateway, "store").is_some_and(|rows| rows >= 2 * answered.len() as u64));
    gateway.signal(Signal::KILL);
    gateway.wait_for_end(END);
    store.release();
    answered
}

/// Starts, and gets every row into the store.
fn recover(folder: &Folder, answered: &[Answered], what: &str) {
    let gateway = Gateway::start_in(folder.clone(), &[]);
    settle(&gateway);
    expect_nothing_lost(folder, answered, what);
}

#[test]
fn path_that_cannot_be_written_is_named_with_a_remedy_and_costs_no_row() {
    let provider = provider();
    let config = without_sinks(&provider).and(SINK);
    let folder = Folder::new(&config);
    let mut answered = undelivered(&folder);
    // Also for the superuser: a file is where a folder would have to be.
    folder.put("taken", b"");
    let bad = config.clone().replace("torana.db", "taken/torana.db");
    let words = ["torana.toml:", "taken/torana.db", "unable to open database file", "another file"];
    folder.configure(&bad);
    expect_refused(&folder, &words);
    folder.configure(&config);
    recover(&folder, &answered, "after a refused start");

    let gateway = Gateway::start_in(folder.clone(), &[]);
    folder.configure(&bad);
    expect_words(&gateway.reload().expect(422).text(), &words);
    answered.extend(ask(&gateway));
    settle(&gateway);
    expect_nothing_lost(&folder, &answered, "after a refused reload");
}

#[test]
fn store_of_a_newer_version_is_refused_untouched_and_costs_no_row() {
    let provider = provider();
    let config = without_sinks(&provider).and(SINK);
    let folder = Folder::new(&config);
    let mut answered = undelivered(&folder);
    let store = Store::open(&folder.path("torana.db"));
    store.run("INSERT INTO torana_migration VALUES (999, 0)");
    let words = ["torana.toml:", "torana.db", "version 999", "newer plugin or another database"];
    let rows = store.count("inference");
    expect_refused(&folder, &words);
    assert_eq!(store.count("inference"), rows, "it is left as it is");
    store.run("DELETE FROM torana_migration WHERE version = 999");
    recover(&folder, &answered, "after a refused start");

    // A second store, of another version, while the first is written to.
    let gateway = Gateway::start_in(folder.clone(), &[]);
    std::fs::copy(folder.path("torana.db"), folder.path("newer.db")).unwrap();
    let newer = Store::open(&folder.path("newer.db"));
    newer.run("INSERT INTO torana_migration VALUES (999, 0)");
    folder.configure(&config.replace("torana.db", "newer.db"));
    expect_words(&gateway.reload().expect(422).text(), &["newer.db", "version 999"]);
    answered.extend(ask(&gateway));
    settle(&gateway);
    expect_nothing_lost(&folder, &answered, "after a refused reload");
}

#[test]
fn full_disk_under_a_store_is_told_and_every_row_comes_once_there_is_room() {
    let test = "full_disk_under_a_store_is_told_and_every_row_comes_once_there_is_room";
    let provider = provider();
    let config = without_sinks(&provider).and(SINK);
    let folder = Folder::new(&config);
    let place = folder.path("small");
    std::fs::create_dir(&place).unwrap();
    let _disk = match Disk::mount(&place) {
        Ok(disk) => disk,
        Err(Missing(why)) => {
            eprintln!("skipped: {test}: {why}");
            return;
        }
    };
    folder.configure(&config.clone().replace("torana.db", "small/torana.db"));
    let gateway = Gateway::start_in(folder.clone(), &[]);
    let mut answered = ask(&gateway);
    settle(&gateway);

    let filler = place.join("filler");
    fill(&filler);
    answered.extend(ask(&gateway));
    eventually("the log tells of the full disk", || {
        gateway.log().contains("disk is full").then_some(())
    });
    answered.extend(ask(&gateway));
    assert!(!has_every_row(&gateway), "nothing fits");
    expect_words(&gateway.log(), &["sink-sqlite", "disk is full"]);

    std::fs::remove_file(&filler).unwrap();
    settle(&gateway);
    let missing = Store::open(&place.join("torana.db")).missing(&answered).len();
    assert_eq!(missing, 0, "of {} calls", answered.len());
}

/// A small file system in memory, as long as this lives.
struct Disk(PathBuf);

impl Disk {
    fn mount(place: &Path) -> Result<Self, Missing> {
        let size = format!("size={DISK_BYTES}");
        let mut command = Command::new("mount");
        prepare(command.args(["-t", "tmpfs", "-o", &size, "torana-tests"]).arg(place), AT_ONCE)?;
        Ok(Self(place.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: the gateway may still hold its files.
        if let Err(Missing(why)) = prepare(Command::new("umount").arg("-l").arg(&self.0), AT_ONCE) {
            eprintln!("a file system is left behind: {why}");
        }
    }
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let written = std::fs::write(path, vec![0; DISK_BYTES]);
    assert!(written.is_err(), "the disk is full");
}
