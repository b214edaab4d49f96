//! Where an export goes: a file that appears when it is whole, or standard output.
//!
//! Until then it has a name of its own beside the file, readable by its owner alone, and is
//! gone if anything fails. A file of the same name that is there is replaced only by force,
//! even if it came while the export ran.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::ExportError;

/// Standard output.
const STANDARD: &str = "-";

pub(super) struct Output {
    path: PathBuf,
    force: bool,
    to: Destination,
}

enum Destination {
    File(BufWriter<NamedTempFile>),
    Standard(BufWriter<io::Stdout>),
}

impl Output {
    pub(super) fn open(path: &Path, force: bool) -> Result<Self, ExportError> {
        let to = if path == Path::new(STANDARD) {
            Destination::Standard(BufWriter::new(io::stdout()))
        } else {
            // Told before the work, not after it.
            if !force && path.symlink_metadata().is_ok() {
                return Err(ExportError::Exists(path.to_owned()));
            }
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let file = tempfile::Builder::new()
                .prefix(".torana-export-")
                .tempfile_in(folder.unwrap_or(Path::new(".")))
                .map_err(|source| ExportError::Write { path: path.to_owned(), source })?;
            Destination::File(BufWriter::new(file))
        };
        Ok(Self { path: path.to_owned(), force, to })
    }

    /// Gives the file its name, once it is on disk.
    pub(super) fn keep(self) -> Result<(), ExportError> {
        let Self { path, force, to } = self;
        let failed = |source| ExportError::Write { path: path.clone(), source };
        match to {
            Destination::Standard(mut output) => output.flush().map_err(failed),
            Destination::File(output) => {
                let file = output.into_inner().map_err(|error| failed(error.into_error()))?;
                file.as_file().sync_all().map_err(failed)?;
                let kept = if force { file.persist(&path) } else { file.persist_noclobber(&path) };
                kept.map(drop).map_err(|error| match error.error.kind() {
                    io::ErrorKind::AlreadyExists => ExportError::Exists(path.clone()),
                    _ => failed(error.error),
                })
            }
        }
    }

    pub(super) fn failed(&self, source: io::Error) -> ExportError {
        ExportError::Write { path: self.path.clone(), source }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            Destination::File(file) => file.write(bytes),
            Destination::Standard(output) => output.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            Destination::File(file) => file.flush(),
            Destination::Standard(output) => output.flush(),
        }
    }
}
