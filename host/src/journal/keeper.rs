//! The journal's own thread: syncs, room in segments and deletions, which may block for
//! milliseconds and must not do so on a thread that serves requests.
//!
//! Syncs that wait together are served by one `fdatasync(2)` a file. The queue needs no bound
//! of its own: each sync in it belongs to a call that waits, each deletion to a segment, and
//! room is asked for when what was asked for before is half used.
//! Before a segment is deleted, the cursors that say who is past it are brought to the disk.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::active::SegmentFile;
use super::cursor::CursorFiles;
use super::disk::Disk;
use super::lock;
use super::state::Position;

/// What a waiting append learns. One error may be for many of them.
pub(super) type Synced = Result<(), Arc<io::Error>>;

/// Starts the thread; ends it when dropped, after all that was asked for is done.
#[derive(Debug)]
pub(super) struct Keeper {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread works on.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) directory: PathBuf,
    pub(super) cursors: Arc<Mutex<CursorFiles>>,
}

/// A segment that is no longer part of the journal.
#[derive(Debug)]
pub(super) struct Removal {
    pub(super) segment: PathBuf,
    /// How far each consumer was then.
    pub(super) cursors: Arc<[(String, Position)]>,
}

/// What is to be done to the file of a segment.
#[derive(Debug)]
pub(super) enum Errand {
    /// Make room up to an offset.
    Grow { file: Arc<SegmentFile>, to: u64 },
    /// Give back the room behind the records.
    Close { file: Arc<SegmentFile>, length: u64 },
}

#[derive(Debug, Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Jobs {
    syncs: Vec<Sync>,
    errands: VecDeque<Errand>,
    /// Oldest first: a crash between two must not leave a hole in the rows.
    removals: VecDeque<Removal>,
    /// Something was taken from the queue and is not done.
    busy: bool,
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
    pub(super) fn start(place: Place) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let work = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("torana-journal".to_owned())
            .spawn(move || work.serve(&place))?;
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

    pub(super) fn send(&self, errand: Errand) {
        lock(&self.queue.jobs).errands.push_back(errand);
        self.queue.changed.notify_one();
    }

    pub(super) fn remove(&self, removal: Removal) {
        lock(&self.queue.jobs).removals.push_back(removal);
        self.queue.changed.notify_one();
    }

    /// Nothing is asked for that is not done.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        let jobs = lock(&self.queue.jobs);
        !jobs.busy && jobs.is_empty()
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
    fn serve(&self, place: &Place) {
        while let Some(turn) = self.take() {
            sync_all(turn.syncs, place);
            if let Some(errand) = turn.errand {
                run(errand);
            }
            if let Some(removal) = turn.removal {
                remove_segment(&removal, place);
            }
        }
    }

    fn take(&self) -> Option<Turn> {
        let mut jobs = lock(&self.jobs);
        loop {
            jobs.busy = !jobs.is_empty();
            if jobs.busy {
                return Some(Turn {
                    syncs: std::mem::take(&mut jobs.syncs),
                    errand: jobs.errands.pop_front(),
                    removal: jobs.removals.pop_front(),
                });
            }
            if jobs.closed {
                return None;
            }
            jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Jobs {
    fn is_empty(&self) -> bool {
        self.syncs.is_empty() && self.errands.is_empty() && self.removals.is_empty()
    }
}

/// All syncs, but one of the others at a time, so that no call waits for a row of them.
struct Turn {
    syncs: Vec<Sync>,
    errand: Option<Errand>,
    removal: Option<Removal>,
}

fn run(errand: Errand) {
    match errand {
        Errand::Grow { file, to } => file.grow(to),
        Errand::Close { file, length } => {
            if let Err(error) = file.close(length) {
                // It counts again when the journal is opened next.
                tracing::warn!(%error, "cannot cut off the room in a journal segment");
            }
        }
    }
}

fn sync_all(syncs: Vec<Sync>, place: &Place) {
    let directory: Synced = if syncs.iter().any(|sync| sync.directory) {
        place.disk.sync_directory(&place.directory).map_err(Arc::new)
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
                let outcome = sync_file(&file, &directory);
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

/// Once a sync of the file or of its name has failed, every later one fails: it might succeed,
/// but the kernel reports an error once, and not what it had given up by then.
fn sync_file(file: &SegmentFile, directory: &Synced) -> Synced {
    directory.clone()?;
    if file.suspect.load(Ordering::Acquire) {
        return Err(Arc::new(io::Error::other("an earlier sync of the segment failed")));
    }
    file.sync().map_err(Arc::new)
}

fn remove_segment(removal: &Removal, place: &Place) {
    let Removal { segment, cursors } = removal;
    let kept = lock(&place.cursors).keep(cursors.iter().map(|(name, at)| (name.as_str(), *at)));
    if let Err(error) = kept.and_then(|()| place.disk.remove(segment)) {
        // The file is found, and judged anew, when the journal is opened next.
        tracing::warn!(path = %segment.display(), %error, "cannot delete a journal segment");
    }
}
