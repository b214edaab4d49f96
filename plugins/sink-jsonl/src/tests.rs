//! The sink over files in memory.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;

use serde_json::{Value, json};
use torana_plugin_sdk::sink::RowKind;

use super::*;

#[derive(Default)]
struct Memory {
    /// The newest first.
    files: VecDeque<Vec<u8>>,
    most_bytes: Option<usize>,
    failure: Option<Error>,
    compression: Option<file::Compression>,
}

impl Log for Memory {
    fn append(&mut self, data: &[u8]) -> Result<u64, Error> {
        if let Some(error) = &self.failure {
            return Err(error.clone());
        }
        if self.most_bytes.is_some_and(|most| data.len() > most) {
            return Err(Error::TooLarge);
        }
        if self.files.is_empty() {
            self.files.push_front(Vec::new());
        }
        self.files[0].extend(data);
        Ok(self.files[0].len() as u64)
    }

    fn rotate(&mut self, keep: u32, how: Option<file::Compression>) -> Result<(), Error> {
        self.compression = how;
        self.files.truncate(keep as usize);
        self.files.push_front(Vec::new());
        Ok(())
    }
}

fn settings(value: Value) -> Settings {
    serde_json::from_value(value).unwrap()
}

fn open(log: Memory) -> JsonLines<Memory> {
    JsonLines::over(log, &settings(json!({ "path": "x" }))).unwrap()
}

fn row(id: &str, json: &str) -> Row {
    Row {
        id: id.into(),
        kind: RowKind::ModelInference,
        inference_id: "i".into(),
        time_unix_ms: 5,
        json: json.as_bytes().to_vec(),
    }
}

#[test]
fn row_is_one_line_as_it_came_even_if_it_was_several() {
    let mut sink = open(Memory::default());
    let batch = [row("a", "{\"n\": 1.10,\r\n\"s\":\"x\\ny\"}"), row("b", "{}")];
    assert_eq!(sink.take(&batch), Outcome::Ack);
    let written = String::from_utf8(sink.log.files[0].clone()).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        lines[0],
        r#"{"id":"a","kind":"model_inference","inference_id":"i","time_unix_ms":5,"row":{"n": 1.10,  "s":"x\ny"}}"#
    );
    assert_eq!(serde_json::from_str::<Value>(lines[1]).unwrap()["id"], "b");
    assert!(written.ends_with('\n'));
}

#[test]
fn row_that_is_no_json_is_rejected_and_the_others_are_written() {
    let mut sink = open(Memory::default());
    let outcome = sink.take(&[row("a", "{"), row("b", "{}")]);
    assert!(matches!(&outcome, Outcome::Reject(rows) if rows.len() == 1 && rows[0].row == 0));
    let written = String::from_utf8(sink.log.files[0].clone()).unwrap();
    assert!(written.starts_with(r#"{"id":"b""#));
}

#[test]
fn file_is_rotated_before_it_outgrows_its_size_and_old_ones_go() {
    let mut sink = open(Memory::default());
    sink.rotate_bytes = 200;
    sink.keep = 2;
    for _ in 0..12 {
        assert_eq!(sink.take(&[row("a", "{}")]), Outcome::Ack);
    }
    assert_eq!(sink.log.files.len(), 3);
    assert!(sink.log.files.iter().all(|file| !file.is_empty() && file.len() <= 200));
}

#[test]
fn old_files_are_compressed_as_it_is_written() {
    for (written, expected) in [
        ("none", None),
        ("gzip", Some(file::Compression::Gzip)),
        ("zstd", Some(file::Compression::Zstd)),
    ] {
        let settings = settings(json!({ "path": "x", "compress": written }));
        let mut sink = JsonLines::over(Memory::default(), &settings).unwrap();
        sink.rotate_bytes = 100;
        for _ in 0..2 {
            assert_eq!(sink.take(&[row("a", "{}")]), Outcome::Ack);
        }
        assert_eq!(sink.log.files.len(), 2);
        assert_eq!(sink.log.compression, expected, "{written}");
    }
    assert!(serde_json::from_value::<Settings>(json!({ "path": "x", "compress": "lz4" })).is_err());
}

#[test]
fn size_of_an_existing_file_counts() {
    let log = Memory { files: VecDeque::from([vec![b' '; 199]]), ..Memory::default() };
    let mut sink = open(log);
    sink.rotate_bytes = 200;
    assert_eq!(sink.take(&[row("a", "{}")]), Outcome::Ack);
    assert_eq!(sink.log.files.len(), 2);
}

#[test]
fn full_disk_asks_for_a_retry_and_the_retry_succeeds() {
    let mut sink = open(Memory::default());
    sink.log.failure = Some(Error::Storage("no space left".into()));
    assert_eq!(sink.take(&[row("a", "{}")]), Outcome::Retry(RETRY_MS));
    sink.log.failure = None;
    assert_eq!(sink.take(&[row("a", "{}")]), Outcome::Ack);
}

#[test]
fn batch_too_large_for_one_append_goes_row_by_row() {
    let mut sink = open(Memory { most_bytes: Some(100), ..Memory::default() });
    let long = format!("{:?}", "x".repeat(100));
    let outcome = sink.take(&[row("a", "{}"), row("b", &long), row("c", "{}")]);
    assert!(matches!(&outcome, Outcome::Reject(rows) if rows.len() == 1 && rows[0].row == 1));
    assert_eq!(sink.log.files[0].iter().filter(|byte| **byte == b'\n').count(), 2);
}

#[test]
fn settings_and_files_that_cannot_work_are_refused() {
    let none = settings(json!({ "path": "x", "rotate_mib": 0 }));
    let error = JsonLines::over(Memory::default(), &none).err().unwrap();
    assert_eq!(error.pointer, "/rotate_mib");
    let failing = Memory { failure: Some(Error::Storage("denied".into())), ..Memory::default() };
    let error = JsonLines::over(failing, &settings(json!({ "path": "x" }))).err().unwrap();
    assert_eq!(error.pointer, "/path");
    assert!(error.message.contains("denied"));
    assert!(serde_json::from_value::<Settings>(json!({})).is_err(), "a path is needed");
}
