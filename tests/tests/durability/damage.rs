//! Journal files that were cut or changed: the gateway starts over each of them, serves, and
//! says what it lost.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use torana_tests::gateway::{Config, Folder, Gateway};
use torana_tests::openai;
use torana_tests::provider::Provider;
use torana_tests::witness::Clients;

use super::{provider, side_by_side, without_sinks};

/// How much of the end of the newest segment is cut, at so many places.
const TAIL_BYTES: usize = 4096;
const CUTS: usize = 64;

/// Bits that are flipped, one at a time, all over the segment.
const FLIPS: usize = 64;

/// The inference, and two attempts.
const ROWS_OF_A_CALL: u64 = 3;

/// More than [`TAIL_BYTES`] in the journal.
const CLIENTS: Clients<'static> = Clients { model: "calls", connections: 2, calls: 8 };

/// A journal of one segment that a killed gateway left.
struct Left {
    config: Config,
    /// Within the folder of the configuration.
    segment: PathBuf,
    bytes: Vec<u8>,
}

#[test]
fn gateway_starts_over_a_segment_cut_anywhere_and_says_what_it_lost() {
    let provider = provider();
    let left = left(&provider);
    let damaged = AtomicUsize::new(0);
    side_by_side(CUTS, |number| {
        let length = left.bytes.len() - TAIL_BYTES * (number + 1) / CUTS;
        let lost = left.start_over(&left.bytes[..length], &format!("cut at {length}"));
        damaged.fetch_add(usize::from(lost), Ordering::Relaxed);
    });
    // A cut between two records damages none.
    let damaged = damaged.into_inner();
    assert!(damaged > CUTS / 2, "{damaged} of {CUTS} cuts hit a record");
}

#[test]
fn gateway_starts_over_any_flipped_bit_and_says_what_it_lost() {
    let provider = provider();
    let left = left(&provider);
    side_by_side(FLIPS, |number| {
        let mut bytes = left.bytes.clone();
        // Another bit of the byte each time.
        let bit = (bytes.len() * 8 - 1) * number / (FLIPS - 1) / 8 * 8 + number % 8;
        bytes[bit / 8] ^= 1 << (bit % 8);
        let lost = left.start_over(&bytes, &format!("bit {bit}"));
        assert!(lost, "no flipped bit goes unnoticed: {bit}");
    });
}

/// Without a sink, so that the journal keeps everything.
fn left(provider: &Provider) -> Left {
    let config = without_sinks(provider);
    let gateway = Gateway::start(&config);
    let answered = CLIENTS.ask(gateway.address()).concat();
    assert_eq!(answered.len(), CLIENTS.connections * CLIENTS.calls);
    let folder = gateway.folder.clone();
    drop(gateway);
    let path = newest_segment(&folder.path("data/journal"));
    let mut bytes = std::fs::read(&path).unwrap();
    // Without the room that may have been made ahead of the records. These end with a body, not
    // with zeros.
    bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    assert!(bytes.len() > TAIL_BYTES);
    let segment = path.strip_prefix(folder.path("")).unwrap().to_owned();
    Left { config, segment, bytes }
}

impl Left {
    /// Starts over a journal of this one segment, and calls. Whether something was lost, which
    /// the log must say.
    fn start_over(&self, bytes: &[u8], what: &str) -> bool {
        let folder = Folder::new(&self.config);
        let path = folder.path(self.segment.to_str().unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let gateway = Gateway::start_in(folder, &[]);
        gateway.chat(&openai::chat("calls")).expect(200);
        let log = gateway.log();
        let opened = log.lines().find(|line| line.contains("journal opened")).unwrap_or_default();
        let figure = |name| figure(opened, name).unwrap_or_else(|| panic!("{what}: {log}"));
        let (damaged, rows, bytes) = (figure("damaged"), figure("rows_lost"), figure("bytes_lost"));
        assert_eq!(damaged > 0, bytes > 0, "{what}: {log}");
        assert!(rows <= ROWS_OF_A_CALL, "{what}: no more than the damaged record: {log}");
        let warned = log.lines().any(|it| it.contains("WARN") && it.contains("damaged"));
        assert_eq!(warned, damaged > 0, "{what}: {log}");
        damaged > 0
    }
}

fn newest_segment(journal: &Path) -> PathBuf {
    let entries = std::fs::read_dir(journal).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|it| it == "segment");
    paths.filter(is_segment).max().unwrap()
}

fn figure(line: &str, name: &str) -> Option<u64> {
    let (_, rest) = line.split_once(&format!(" {name}="))?;
    rest.split(' ').next()?.parse().ok()
}
