//! Notices when a file that the configuration was read from changes.
//!
//! Directories are watched, not files: editors and ConfigMaps put a new file in the place of
//! the old one. A signal comes when writing has paused, at the latest half a second after it
//! began, and only if content really differs. Signals are levels, not edges: a change during
//! a reload is not lost. Every two seconds files are looked at without being asked, for file
//! systems that report nothing. What cannot be watched is looked at all the same; nothing
//! here fails.

mod fingerprint;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _, event::AccessKind};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout_at};

use fingerprint::Fingerprints;

/// Writing has paused when nothing happened for so long.
const QUIET: Duration = Duration::from_millis(100);

/// A busy neighbour in the same directory may not put a change off for longer.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// How often files are looked at without an event.
const POLL: Duration = Duration::from_secs(2);

/// Directories watched. A configuration has a handful; the system's own bound is often 8,192
/// for all processes together. What is beyond is only looked at.
const MOST_DIRECTORIES: usize = 64;

/// Watches files until it is dropped.
///
/// Made before the configuration is read, and told the rest by [`Watcher::set_paths`] before
/// that is read, it misses no change.
pub struct Watcher {
    paths: watch::Sender<Asked>,
    changes: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

/// What to watch, and how it looked when that was said.
#[derive(Debug)]
struct Asked {
    paths: Vec<PathBuf>,
    seen: Fingerprints,
}

impl Watcher {
    /// Watches `paths`: files that need not exist, and patterns as [`super::load`] takes them.
    /// Called within a tokio runtime.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        // The state to compare with is the one of now, not of when the task first runs.
        let known = Fingerprints::of(&paths);
        let asked = Asked { paths, seen: Fingerprints::default() };
        let (paths, new_paths) = watch::channel(asked);
        let (changed, changes) = watch::channel(0);
        #[expect(clippy::disallowed_methods, reason = "ends with the watcher, which owns it")]
        let task = tokio::spawn(run(known, new_paths, changed));
        Self { paths, changes, task }
    }

    /// Watches these paths from now on. Blocks while it looks at them: whatever changes after
    /// this returns will be signalled, so it is called before they are read. A path that was
    /// watched before keeps what was known of it.
    pub fn set_paths(&self, paths: Vec<PathBuf>) {
        let seen = Fingerprints::of(&paths);
        self.paths.send_replace(Asked { paths, seen });
    }

    /// The number of changes so far. Each receiver waits on its own with `changed`, which is
    /// ready at once if there was a change since it last looked.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(known: Fingerprints, mut asked: watch::Receiver<Asked>, changed: watch::Sender<u64>) {
    let happened = Arc::new(Notify::new());
    let mut view = View { directories: Directories::new(&happened), known };
    view.directories.follow(&asked.borrow_and_update().paths);
    let mut poll = interval_at(Instant::now() + POLL, POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = happened.notified() => pause(&happened).await,
            _ = poll.tick() => {}
            again = asked.changed() => {
                if again.is_err() {
                    return;
                }
            }
        }
        let paths = {
            let asked = asked.borrow_and_update();
            view.known.adopt(&asked.seen);
            asked.paths.clone()
        };
        // A file system that hangs must not take a worker of the runtime with it.
        let looked = tokio::task::spawn_blocking(move || {
            let differs = view.look(&paths);
            (view, differs)
        });
        let Ok((looked, differs)) = looked.await else {
            return;
        };
        view = looked;
        if differs {
            changed.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

/// What is watched, and what was last seen.
struct View {
    directories: Directories,
    known: Fingerprints,
}

impl View {
    /// Looks again, and says whether anything is different.
    fn look(&mut self, paths: &[PathBuf]) -> bool {
        // Links may lead elsewhere than before, and a directory may have come into being.
        self.directories.follow(paths);
        let now = self.known.look_again(paths);
        let differs = now.differs_from(&self.known);
        self.known = now;
        differs
    }
}

/// Waits until nothing happened for a while, but not for ever.
async fn pause(happened: &Notify) {
    let deadline = Instant::now() + LONGEST_WAIT;
    loop {
        let quiet = sleep(QUIET);
        tokio::select! {
            () = quiet => return,
            more = timeout_at(deadline, happened.notified()) => {
                if more.is_err() {
                    return;
                }
            }
        }
    }
}

/// The directories that events come from.
struct Directories {
    /// Absent where the system offers no events.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

impl Directories {
    fn new(happened: &Arc<Notify>) -> Self {
        let happened = Arc::clone(happened);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Looking at files is an access, which is an event: it must not cause another look.
            if !event.is_ok_and(|event| is_reading(event.kind)) {
                happened.notify_one();
            }
        });
        let watcher =
            watcher.inspect_err(|error| tracing::warn!(%error, "files are polled: no events")).ok();
        Self { watcher, watched: BTreeSet::new() }
    }

    /// Watches where these paths are, and where links on the way to them lead.
    fn follow(&mut self, paths: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let wanted: BTreeSet<PathBuf> = paths
            .iter()
            .flat_map(|path| [Some(path.clone()), path.canonicalize().ok()])
            .flatten()
            .map(|path| directory_of(&path))
            .take(MOST_DIRECTORIES)
            .collect();
        for gone in self.watched.difference(&wanted) {
            // It may be gone from the disk as well; there is nothing to do about it.
            drop(watcher.unwatch(gone));
        }
        self.watched = wanted
            .into_iter()
            // Also those that are watched: one that was made anew needs a new watch.
            .filter(|directory| watcher.watch(directory, RecursiveMode::NonRecursive).is_ok())
            .collect();
    }
}

fn is_reading(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(mode)) => mode != notify::event::AccessMode::Write,
        EventKind::Access(_) => true,
        _ => false,
    }
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Longer than the longest wait, shorter than the poll: the signal came from an event.
    const SOON: Duration = Duration::from_millis(1500);

    async fn is_signalled(changes: &mut watch::Receiver<u64>) -> bool {
        tokio::time::timeout(SOON, changes.changed()).await.is_ok()
    }

    fn watched(path: &Path) -> (Watcher, watch::Receiver<u64>) {
        let watcher = Watcher::new(vec![path.to_path_buf()]);
        let changes = watcher.changes();
        (watcher, changes)
    }

    /// The task watches the directory when it first runs; give it the chance.
    async fn settle() {
        sleep(Duration::from_millis(50)).await;
    }

    #[tokio::test]
    async fn writing_in_place_is_one_signal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("torana.toml");
        fs::write(&path, "a").unwrap();
        let (_watcher, mut changes) = watched(&path);
        settle().await;
        fs::write(&path, "b").unwrap();
        fs::write(&path, "c").unwrap();
        assert!(is_signalled(&mut changes).await);
        assert!(!is_signalled(&mut changes).await);
    }

    #[tokio::test]
    async fn truncating_and_writing_a_moment_later_is_one_signal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("torana.toml");
        fs::write(&path, "a").unwrap();
        let (watcher, mut changes) = watched(&path);
        settle().await;
        let start = Instant::now();
        fs::write(&path, "").unwrap();
        sleep(Duration::from_millis(20)).await;
        fs::write(&path, "b").unwrap();
        // On a machine that is so busy that this took longer, two signals are right.
        let was_quick = start.elapsed() < QUIET;
        assert!(is_signalled(&mut changes).await);
        assert!(!was_quick || *watcher.changes().borrow() == 1);
        assert!(!is_signalled(&mut changes).await);
    }

    #[tokio::test]
    async fn another_file_in_its_place_is_a_signal_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("torana.toml");
        fs::write(&path, "a").unwrap();
        let (_watcher, mut changes) = watched(&path);
        settle().await;
        for content in ["b", "c"] {
            let new = directory.path().join("torana.toml.new");
            fs::write(&new, content).unwrap();
            fs::rename(&new, &path).unwrap();
            assert!(is_signalled(&mut changes).await, "{content}");
        }
    }

    #[tokio::test]
    async fn a_link_that_leads_elsewhere_is_a_signal() {
        // As Kubernetes does it: file -> ..data/file, ..data -> ..generation.
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (generation, content) in [("..1", "a"), ("..2", "b")] {
            fs::create_dir(at(generation)).unwrap();
            fs::write(at(generation).join("torana.toml"), content).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/torana.toml", at("torana.toml")).unwrap();
        let (_watcher, mut changes) = watched(&at("torana.toml"));
        settle().await;
        symlink("..2", at("..data_new")).unwrap();
        fs::rename(at("..data_new"), at("..data")).unwrap();
        assert!(is_signalled(&mut changes).await);
    }

    #[tokio::test]
    async fn the_same_content_and_other_files_are_no_signal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("torana.toml");
        fs::write(&path, "a").unwrap();
        let (_watcher, mut changes) = watched(&path);
        settle().await;
        fs::write(&path, "a").unwrap();
        fs::write(directory.path().join("other"), "x").unwrap();
        assert!(!is_signalled(&mut changes).await);
    }

    #[tokio::test]
    async fn a_busy_neighbour_does_not_hold_a_change_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("torana.toml");
        fs::write(&path, "a").unwrap();
        let (_watcher, mut changes) = watched(&path);
        settle().await;
        let log = directory.path().join("log");
        let noise = tokio::spawn(async move {
            loop {
                fs::write(&log, "x").unwrap();
                sleep(Duration::from_millis(20)).await;
            }
        });
        settle().await;
        fs::write(&path, "b").unwrap();
        assert!(is_signalled(&mut changes).await);
        noise.abort();
    }

    #[tokio::test]
    async fn a_change_while_nobody_waits_is_not_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("torana.toml");
        fs::write(&path, "a").unwrap();
        let (_watcher, mut changes) = watched(&path);
        settle().await;
        fs::write(&path, "b").unwrap();
        sleep(Duration::from_millis(600)).await;
        assert!(changes.has_changed().unwrap());
        assert!(is_signalled(&mut changes).await);
    }

    #[tokio::test]
    async fn a_file_that_matches_a_pattern_anew_is_a_signal() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.toml"), "a").unwrap();
        let (_watcher, mut changes) = watched(&directory.path().join("*.toml"));
        settle().await;
        fs::write(directory.path().join("b.toml"), "b").unwrap();
        assert!(is_signalled(&mut changes).await);
        fs::remove_file(directory.path().join("a.toml")).unwrap();
        assert!(is_signalled(&mut changes).await);
    }

    #[tokio::test]
    async fn new_paths_are_watched_and_old_ones_keep_what_was_known() {
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let path = directory.path().join("torana.toml");
        let template = elsewhere.path().join("system.txt");
        fs::write(&path, "a").unwrap();
        fs::write(&template, "a").unwrap();
        let (watcher, mut changes) = watched(&path);
        settle().await;
        watcher.set_paths(vec![path.clone(), template.clone()]);
        assert!(!is_signalled(&mut changes).await);
        fs::write(&template, "b").unwrap();
        assert!(is_signalled(&mut changes).await);
        fs::write(&path, "b").unwrap();
        assert!(is_signalled(&mut changes).await);
        watcher.set_paths(vec![path]);
        settle().await;
        fs::write(&template, "c").unwrap();
        assert!(!is_signalled(&mut changes).await);
    }

    #[tokio::test]
    async fn a_file_in_a_directory_that_is_not_there_yet_is_found_by_polling() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("later").join("torana.toml");
        let (_watcher, mut changes) = watched(&path);
        settle().await;
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, "a").unwrap();
        let waited = tokio::time::timeout(POLL * 2, changes.changed()).await;
        assert!(waited.is_ok());
    }
}
