//! The file system as the journal uses it.
//!
//! Everything that the journal does to a disk goes through [`Disk`] and [`DiskFile`], so that a
//! test can put a disk there that loses power, tears and reorders (`tests/simulation.rs`).
//! Nothing here decides: what must be synced, and when, is the callers' to know. What POSIX
//! promises is all that they may rely on: a write is in the file for every reader at once, and
//! on the disk after [`DiskFile::sync`]; a name is in its directory at once, and on the disk
//! after [`Disk::sync_directory`]; without that, names get there in any order, each as it was
//! at some time since.
//!
//! An append makes one virtual call, of a nanosecond or two, for a `write(2)` of microseconds.

use std::ffi::OsString;
use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt, OpenOptionsExt as _};
use std::path::Path;

/// Directories and the names in them. Files are 0600, directories 0700: they hold conversations.
pub(super) trait Disk: Debug + Send + Sync {
    /// One directory in one that is there. It is there already: `AlreadyExists`.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    fn is_directory(&self, path: &Path) -> bool;
    /// The names in a directory, in no order.
    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>>;
    /// A new file, for writing.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// An empty file in place of what may be there, for writing.
    fn create_or_truncate(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// A file that is there, for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Replaces what is at `to`, at once for every reader.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// All names in the directory are on the disk after it.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Creates the file if it is not there. Absent: another process has locked it.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;
}

/// An open file.
pub(super) trait DiskFile: Debug + Send + Sync {
    /// On an error, any part of it may be there.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// As `read(2)`: may give less than asked for, and nothing at the end.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    fn length(&self) -> io::Result<u64>;
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// All written so far is on the disk after it. After an error nothing is known of any of it.
    fn sync(&self) -> io::Result<()>;
}

/// Held until it is dropped, or this process is gone.
pub(super) trait DiskLock: Debug + Send + Sync {}

/// The machine's own file system.
#[derive(Debug)]
pub(super) struct FileSystem;

impl Disk for FileSystem {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn is_directory(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(file))
    }

    fn create_or_truncate(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(FileLock(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl DiskFile for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, offset)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

#[derive(Debug)]
struct FileLock(File);

impl DiskLock for FileLock {}

impl Drop for FileLock {
    /// Closing would do, but for a child process that was forked and has not called exec yet:
    /// it shares the lock. Unlocking ends it for both.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "cannot unlock the journal");
        }
    }
}
