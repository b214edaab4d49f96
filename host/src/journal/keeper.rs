//! The journal's own thread: syncs and deletions, which may block for milliseconds and must
//! not do so on a thread that serves requests.
//!
//! Syncs that wait together are served by one `fdatasync(2)` a file. The queue needs no bound
//! of its own: each sync in it belongs to a call that waits, each deletion to a segment.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::lock;

/// A segment open for writing.
#[derive(Debug)]
pub(super) struct SegmentFile {
    pub(super) file: File,
    /// A sync failed: what the kernel does with the file's pages after that is not defined, so
    /// nothing more is written to it.
    pub(super) suspect: AtomicBool,
}

/// What a waiting append learns. One error may be for many of them.
pub(super) type Synced = Result<(), Arc<io::Error>>;

/// Starts the thread; ends it when dropped, after all that was asked for is done.
#[derive(Debug)]
pub(super) struct Keeper {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Jobs {
    syncs: Vec<Sync>,
    /// Oldest first: a crash between two must not leave a hole in the rows.
    removals: VecDeque<PathBuf>,
    closed: bool,
}

#[derive(Debug)]
struct Sync {
    file: Arc<SegmentFile>,
    /// The directory, too: the file may be new in it.
    directory: bool,
    done: oneshot::Sender<Synced>,
}

impl Keeper {
    pub(super) fn start(directory: PathBuf) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let work = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("torana-journal".to_owned())
            .spawn(move || work.serve(&directory))?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Resolves when everything written to `file` so far is on the disk.
    pub(super) fn sync(
        &self,
        file: Arc<SegmentFile>,
        directory: bool,
    ) -> oneshot::Receiver<Synced> {
        let (done, receiver) = oneshot::channel();
        lock(&self.queue.jobs).syncs.push(Sync { file, directory, done });
        self.queue.changed.notify_one();
        receiver
    }

    pub(super) fn remove(&self, path: PathBuf) {
        lock(&self.queue.jobs).removals.push_back(path);
        self.queue.changed.notify_one();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        lock(&self.queue.jobs).closed = true;
        self.queue.changed.notify_one();
        if self.thread.take().is_some_and(|it| it.join().is_err()) {
            tracing::error!("the journal's thread panicked");
        }
    }
}

impl Queue {
    fn serve(&self, directory: &Path) {
        while let Some((syncs, removal)) = self.take() {
            sync_all(syncs, directory);
            if let Some(path) = removal {
                remove_segment(&path);
            }
        }
    }

    /// All syncs, but one deletion at a time, so that no call waits for a row of them.
    fn take(&self) -> Option<(Vec<Sync>, Option<PathBuf>)> {
        let mut jobs = lock(&self.jobs);
        loop {
            if !jobs.syncs.is_empty() || !jobs.removals.is_empty() {
                return Some((std::mem::take(&mut jobs.syncs), jobs.removals.pop_front()));
            }
            if jobs.closed {
                return None;
            }
            jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn sync_all(syncs: Vec<Sync>, directory: &Path) {
    let directory: Synced = if syncs.iter().any(|sync| sync.directory) {
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(Arc::new)
    } else {
        Ok(())
    };
    // Two at most in practice: the active segment and the one before it.
    let mut files: Vec<(Arc<SegmentFile>, Synced)> = Vec::new();
    for Sync { file, done, .. } in syncs {
        let known = files.iter().find(|(other, _)| Arc::ptr_eq(other, &file));
        let outcome = match known {
            Some((_, outcome)) => outcome.clone(),
            None => {
                let synced = file.file.sync_data().map_err(Arc::new);
                let outcome = synced.and_then(|()| directory.clone());
                if let Err(error) = &outcome {
                    file.suspect.store(true, Ordering::Release);
                    tracing::error!(%error, "cannot sync the journal");
                }
                files.push((file, outcome.clone()));
                outcome
            }
        };
        // A caller that went away has nobody to tell.
        let _gone = done.send(outcome);
    }
}

fn remove_segment(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        // The file is found, and judged anew, when the journal is opened next.
        tracing::warn!(path = %path.display(), %error, "cannot delete a journal segment");
    }
}
