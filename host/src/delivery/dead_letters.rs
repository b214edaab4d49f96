//! Rows that a sink can never take, kept for people: `SINK.jsonl` and its predecessor.
//!
//! One line a row: `{"id", "kind", "reason", "row"}`, with the row's JSON as a string, exactly
//! as the sink got it. Both files together stay within the bound: at half of it the file
//! becomes `SINK.jsonl.1`, in the place of the one before, whose rows are lost and counted. A
//! row that is larger than a file may be is kept without its JSON, and counted as lost. What
//! [`DeadLetters::keep`] returns for is on disk; half a line that a crash left is ended before
//! the next is written. Blocks; belongs on a blocking thread.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::plugin::imports::private;

/// A reason is for people; a plugin may write a novel.
const REASON_CHARACTERS: usize = 1_000;

/// The files of one sink.
#[derive(Debug, Clone)]
pub(super) struct DeadLetters {
    path: PathBuf,
    /// Of one file: half of the bound.
    file_bytes: u64,
}

/// A row and why it is here.
#[derive(Debug, Clone)]
pub(super) struct DeadLetter {
    pub(super) id: String,
    pub(super) kind: &'static str,
    pub(super) reason: String,
    pub(super) row: Vec<u8>,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    kind: &'a str,
    reason: &'a str,
    row: Option<&'a str>,
}

impl DeadLetters {
    /// `bytes` bounds both files together.
    pub(super) fn new(folder: &Path, sink: &str, bytes: u64) -> Self {
        Self { path: folder.join(format!("{sink}.jsonl")), file_bytes: bytes / 2 }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// On disk now.
    pub(super) fn bytes(&self) -> u64 {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        size(&self.path) + size(&self.predecessor())
    }

    /// Keeps all of them; gives how many rows fell out of the bound by that.
    ///
    /// # Errors
    /// Some may not be kept; those that are will be there twice after another try.
    pub(super) fn keep(&self, letters: &[DeadLetter]) -> io::Result<u64> {
        let mut dropped = 0;
        let mut pending = Vec::new();
        let mut size = self.size()?;
        for letter in letters {
            let mut line = letter.line(true)?;
            if line.len() as u64 > self.file_bytes {
                line = letter.line(false)?;
                dropped += 1;
            }
            let full = size + (pending.len() + line.len()) as u64 > self.file_bytes;
            if full && size + pending.len() as u64 > 0 {
                self.append(&std::mem::take(&mut pending))?;
                dropped += self.rotate()?;
                size = 0;
            }
            pending.extend(line);
        }
        self.append(&pending)?;
        Ok(dropped)
    }

    fn predecessor(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".1");
        name.into()
    }

    fn size(&self) -> io::Result<u64> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn append(&self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = private().read(true).append(true).open(&self.path)?;
        let before = file.metadata()?.len();
        let written = end_line(&mut file, before)
            .and_then(|()| file.write_all(lines))
            .and_then(|()| file.sync_data());
        if let Err(error) = written {
            // The next try would add to half a line.
            if let Err(undo) = file.set_len(before) {
                tracing::error!(path = %self.path.display(), error = %undo, "a partial dead letter could not be undone");
            }
            return Err(error);
        }
        if before == 0 { self.sync_folder() } else { Ok(()) }
    }

    /// Gives the number of rows that are gone by it.
    fn rotate(&self) -> io::Result<u64> {
        let predecessor = self.predecessor();
        let dropped = match count_lines(&predecessor) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            counted => counted?,
        };
        std::fs::rename(&self.path, &predecessor)?;
        self.sync_folder()?;
        Ok(dropped)
    }

    /// The names survive the loss of power as well.
    fn sync_folder(&self) -> io::Result<()> {
        #[cfg(unix)]
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

impl DeadLetter {
    fn line(&self, with_row: bool) -> io::Result<Vec<u8>> {
        let row = String::from_utf8_lossy(&self.row);
        let reason: String = self.reason.chars().take(REASON_CHARACTERS).collect();
        let row = with_row.then_some(&*row);
        let line = Line { id: &self.id, kind: self.kind, reason: &reason, row };
        let mut line = serde_json::to_vec(&line)?;
        line.push(b'\n');
        Ok(line)
    }
}

fn end_line(file: &mut File, size: u64) -> io::Result<()> {
    if size == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(size - 1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

fn count_lines(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut chunk = vec![0; 64 * 1024];
    let mut lines = 0;
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(lines),
            count => {
                let bytes = chunk.get(..count).unwrap_or_default();
                lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn letter(id: usize, bytes: usize) -> DeadLetter {
        DeadLetter {
            id: format!("{id:04}"),
            kind: "inference",
            reason: "no".into(),
            row: vec![b'x'; bytes],
        }
    }

    fn ids(path: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let id = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["id"].as_str().unwrap().to_owned()
        };
        text.lines().map(id).collect()
    }

    #[test]
    fn both_files_stay_within_the_bound_and_what_falls_out_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(&folder.path().join("new"), "s", 4_000);
        let mut dropped = 0;
        for id in 0..100 {
            dropped += letters.keep(&[letter(id, 200)]).unwrap();
            assert!(letters.bytes() <= 4_000, "{}", letters.bytes());
        }
        let mut kept = ids(&letters.predecessor());
        kept.extend(ids(letters.path()));
        assert_eq!(kept.len() as u64 + dropped, 100);
        let newest: Vec<String> = (100 - kept.len()..100).map(|id| format!("{id:04}")).collect();
        assert_eq!(kept, newest);
        assert!(kept.len() >= 5, "at least one file is full of them");
    }

    #[test]
    fn many_at_once_are_spread_like_one_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(folder.path(), "s", 4_000);
        let many: Vec<DeadLetter> = (0..100).map(|id| letter(id, 200)).collect();
        let dropped = letters.keep(&many).unwrap();
        let kept = ids(&letters.predecessor()).len() + ids(letters.path()).len();
        assert_eq!(kept as u64 + dropped, 100);
        assert!(letters.bytes() <= 4_000);
    }

    #[test]
    fn a_row_that_fits_into_no_file_is_kept_without_its_json_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(folder.path(), "s", 4_000);
        assert_eq!(letters.keep(&[letter(1, 5_000)]).unwrap(), 1);
        let text = std::fs::read_to_string(letters.path()).unwrap();
        assert_eq!(
            text,
            "{\"id\":\"0001\",\"kind\":\"inference\",\"reason\":\"no\",\"row\":null}\n"
        );
    }

    #[test]
    fn half_a_line_of_a_crash_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let letters = DeadLetters::new(folder.path(), "s", 4_000);
        std::fs::write(letters.path(), "{\"id\":").unwrap();
        letters.keep(&[letter(1, 10)]).unwrap();
        let text = std::fs::read_to_string(letters.path()).unwrap();
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["id"], "0001");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let occupied = folder.path().join("occupied");
        std::fs::write(&occupied, "").unwrap();
        let letters = DeadLetters::new(&occupied, "s", 4_000);
        assert!(letters.keep(&[letter(1, 10)]).is_err());
    }
}
