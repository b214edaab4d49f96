//! `torana:host/file`: one append-only file, and its rotated predecessors, for one plugin.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::GuestState;
use crate::plugin::bindings::host::torana::host::file::{Error, Host};

/// One append: a batch of the journal is far smaller.
const MAX_APPEND_BYTES: usize = 64 << 20;
/// Rotated files kept, whatever the plugin asks for.
const MAX_KEEP: u32 = 1_000;

/// The file of one plugin, opened on first use.
#[derive(Debug)]
pub(crate) struct AppendFile {
    path: PathBuf,
    open: Mutex<Option<File>>,
}

impl AppendFile {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: Mutex::new(None) }
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
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open = None;
        let keep = keep.min(MAX_KEEP);
        if keep == 0 {
            return missing_is_fine(std::fs::remove_file(&self.path));
        }
        missing_is_fine(std::fs::remove_file(self.numbered(keep)))?;
        for number in (1..keep).rev() {
            missing_is_fine(std::fs::rename(self.numbered(number), self.numbered(number + 1)))?;
        }
        missing_is_fine(std::fs::rename(&self.path, self.numbered(1)))
    }

    fn create(&self) -> std::io::Result<File> {
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        private().append(true).open(&self.path)
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
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

    async fn rotate(&mut self, keep: u32) -> Result<(), Error> {
        blocking(self.capabilities.file.clone(), move |file| file.rotate(keep)).await
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
        let read = |number: u32| std::fs::read_to_string(file.numbered(number)).ok();
        assert_eq!(read(1).as_deref(), Some("3\n"));
        assert_eq!(read(2).as_deref(), Some("2\n"));
        assert_eq!(read(3), None);
        assert_eq!(file.append(b"").unwrap(), 0, "an empty append asks for the size");
    }
}
