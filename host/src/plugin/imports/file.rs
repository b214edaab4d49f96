//! `torana:host/file`: one append-only file, and its rotated predecessors, for one plugin.
//!
//! An append is whole or undone. Rotated files are `path.1` (the newest), `path.2` and so on,
//! with `.gz` or `.zst` once they are compressed: in the background, so that a large file keeps
//! no call of a sink waiting. A file that is half compressed is `.part` and is never taken for
//! a whole one.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::write::GzEncoder;

use super::GuestState;
use crate::plugin::bindings::host::torana::host::file::{Compression, Error, Host};

/// One append: a batch of the journal is far smaller.
const MAX_APPEND_BYTES: usize = 64 << 20;
/// Rotated files kept, whatever the plugin asks for.
const MAX_KEEP: u32 = 1_000;

/// What the names of rotated files end in.
const PLAIN: &str = "";
const GZIP: &str = ".gz";
const ZSTD: &str = ".zst";
const ENDINGS: [&str; 3] = [PLAIN, GZIP, ZSTD];

/// The file of one plugin, opened on first use.
#[derive(Debug)]
pub(crate) struct AppendFile {
    path: PathBuf,
    open: Mutex<Option<File>>,
    /// Held while the rotated files are renamed or compressed. Taken before `open`, so that
    /// appends go on while old files are compressed.
    numbers: Mutex<()>,
}

impl AppendFile {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: Mutex::new(None), numbers: Mutex::new(()) }
    }

    fn append(&self, data: &[u8]) -> Result<u64, Error> {
        if data.len() > MAX_APPEND_BYTES {
            return Err(Error::TooLarge);
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match &mut *open {
            Some(file) => file,
            None => open.insert(self.create().map_err(storage)?),
        };
        let before = file.metadata().map_err(storage)?.len();
        let written = file.write_all(data).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // All or nothing: half a line would corrupt the next.
            if let Err(error) = file.set_len(before) {
                tracing::error!(path = %self.path.display(), %error, "a partial append could not be undone");
            }
            return Err(storage(error));
        }
        Ok(before + data.len() as u64)
    }

    fn rotate(&self, keep: u32) -> Result<(), Error> {
        // Held by a compression that is not done: files come faster than they are packed.
        let _numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open = None;
        let keep = keep.min(MAX_KEEP);
        if keep == 0 {
            return missing_is_fine(std::fs::remove_file(&self.path));
        }
        for ending in ENDINGS {
            missing_is_fine(std::fs::remove_file(self.numbered(keep, ending)))?;
            for number in (1..keep).rev() {
                let (old, new) = (self.numbered(number, ending), self.numbered(number + 1, ending));
                missing_is_fine(std::fs::rename(old, new))?;
            }
        }
        missing_is_fine(std::fs::rename(&self.path, self.numbered(1, PLAIN)))
    }

    /// Packs every rotated file that is not packed: also those that a crash left behind.
    fn compress(&self, keep: u32, compression: Compression) {
        let _numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        for number in 1..=keep.min(MAX_KEEP) {
            let plain = self.numbered(number, PLAIN);
            let packed = self.numbered(number, ending(compression));
            match pack(&plain, &packed, compression) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::error!(path = %plain.display(), %error, "a rotated file could not be compressed and stays as it is");
                }
                _ => {}
            }
        }
    }

    fn create(&self) -> std::io::Result<File> {
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        private().append(true).open(&self.path)
    }

    fn numbered(&self, number: u32, ending: &str) -> PathBuf {
        with_ending(&self.path, &format!(".{number}{ending}"))
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(ending);
    name.into()
}

fn ending(compression: Compression) -> &'static str {
    match compression {
        Compression::Gzip => GZIP,
        Compression::Zstd => ZSTD,
    }
}

/// `packed` is whole and on the disk before `plain` goes: a crash leaves one of them, or both.
fn pack(plain: &Path, packed: &Path, compression: Compression) -> std::io::Result<()> {
    let mut from = File::open(plain)?;
    let part = with_ending(packed, ".part");
    let to = private().write(true).truncate(true).open(&part)?;
    let to = match compression {
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(to, flate2::Compression::default());
            std::io::copy(&mut from, &mut encoder)?;
            encoder.finish()?
        }
        Compression::Zstd => {
            let mut encoder = zstd::Encoder::new(to, zstd::DEFAULT_COMPRESSION_LEVEL)?;
            std::io::copy(&mut from, &mut encoder)?;
            encoder.finish()?
        }
    };
    to.sync_all()?;
    std::fs::rename(&part, packed)?;
    if let Some(directory) = packed.parent() {
        File::open(directory)?.sync_all()?;
    }
    std::fs::remove_file(plain)
}

/// Creates files that only this user can read: conversations are in them.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[expect(clippy::needless_pass_by_value, reason = "the shape map_err wants")]
fn storage(error: std::io::Error) -> Error {
    Error::Storage(error.to_string())
}

fn missing_is_fine(result: std::io::Result<()>) -> Result<(), Error> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(storage(error)),
        _ => Ok(()),
    }
}

impl Host for GuestState {
    async fn append(&mut self, data: Vec<u8>) -> Result<u64, Error> {
        blocking(self.capabilities.file.clone(), move |file| file.append(&data)).await
    }

    async fn rotate(&mut self, keep: u32, compression: Option<Compression>) -> Result<(), Error> {
        let file = self.capabilities.file.clone();
        blocking(file.clone(), move |file| file.rotate(keep)).await?;
        if let (Some(file), Some(compression)) = (file, compression) {
            // Nobody waits: the next rotation does, if it comes before the end.
            drop(tokio::task::spawn_blocking(move || file.compress(keep, compression)));
        }
        Ok(())
    }
}

async fn blocking<R: Send + 'static>(
    file: Option<Arc<AppendFile>>,
    work: impl FnOnce(&AppendFile) -> Result<R, Error> + Send + 'static,
) -> Result<R, Error> {
    let Some(file) = file else {
        return Err(Error::Storage("this plugin has no file: its settings name no `path`".into()));
    };
    tokio::task::spawn_blocking(move || work(&file))
        .await
        .unwrap_or_else(|error| Err(Error::Storage(error.to_string())))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn rotation_keeps_the_newest_and_starts_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/rows.jsonl");
        let file = AppendFile::new(&path);
        for round in 0..4 {
            assert_eq!(file.append(format!("{round}\n").as_bytes()).unwrap(), 2);
            file.rotate(2).unwrap();
        }
        assert!(!path.exists());
        let read = |number: u32| std::fs::read_to_string(file.numbered(number, PLAIN)).ok();
        assert_eq!(read(1).as_deref(), Some("3\n"));
        assert_eq!(read(2).as_deref(), Some("2\n"));
        assert_eq!(read(3), None);
        assert_eq!(file.append(b"").unwrap(), 0, "an empty append asks for the size");
    }

    /// The text of a rotated file, packed or not; none where there is none.
    fn unpacked(file: &AppendFile, number: u32) -> Option<String> {
        let read = |ending| std::fs::read(file.numbered(number, ending)).ok();
        let mut text = String::new();
        if let Some(packed) = read(GZIP) {
            GzDecoder::new(&*packed).read_to_string(&mut text).unwrap();
        } else if let Some(packed) = read(ZSTD) {
            text = String::from_utf8(zstd::decode_all(&*packed).unwrap()).unwrap();
        } else {
            text = String::from_utf8(read(PLAIN)?).unwrap();
        }
        Some(text)
    }

    #[test]
    fn compressed_files_are_rotated_as_others_are_and_hold_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let file = AppendFile::new(&directory.path().join("rows.jsonl"));
        let how = [None, Some(Compression::Gzip), Some(Compression::Zstd), None];
        for (round, compression) in how.into_iter().enumerate() {
            file.append(format!("{round}\n").repeat(1_000).as_bytes()).unwrap();
            file.rotate(3).unwrap();
            if let Some(compression) = compression {
                file.compress(3, compression);
            }
        }
        for (number, round) in [(1, 3), (2, 2), (3, 1)] {
            let expected = format!("{round}\n").repeat(1_000);
            assert_eq!(unpacked(&file, number), Some(expected), "{number}");
        }
        assert_eq!(unpacked(&file, 4), None);
        assert!(file.numbered(2, ZSTD).exists() && file.numbered(3, GZIP).exists());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3, "nothing else");
    }

    #[test]
    fn crash_while_compressing_loses_nothing_and_is_made_good() {
        let directory = tempfile::tempdir().unwrap();
        let file = AppendFile::new(&directory.path().join("rows.jsonl"));
        file.append(b"old\n").unwrap();
        file.rotate(3).unwrap();
        std::fs::write(file.numbered(1, ".gz.part"), b"half").unwrap();
        file.append(b"new\n").unwrap();
        file.rotate(3).unwrap();
        file.compress(3, Compression::Gzip);
        assert_eq!(unpacked(&file, 1).as_deref(), Some("new\n"));
        assert_eq!(unpacked(&file, 2).as_deref(), Some("old\n"));
        assert!(!file.numbered(2, PLAIN).exists(), "it was compressed after all");
    }

    #[cfg(unix)]
    #[test]
    fn compressed_files_are_for_this_user_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let file = AppendFile::new(&directory.path().join("rows.jsonl"));
        file.append(b"secret\n").unwrap();
        file.rotate(1).unwrap();
        file.compress(1, Compression::Gzip);
        let mode = std::fs::metadata(file.numbered(1, GZIP)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
}
