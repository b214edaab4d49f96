//! Clients that keep asking while something else happens, and what became of each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::eventually::eventually;

/// Why a request does not count as served.
#[derive(Debug)]
pub struct Failure(pub String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Workers that ask until they are told to stop.
pub struct Load<T> {
    stop: Arc<AtomicBool>,
    turns: Arc<AtomicUsize>,
    workers: Vec<JoinHandle<Vec<Result<T, Failure>>>>,
}

impl<T: Send + 'static> Load<T> {
    /// `ask` gets the number of its worker and of its turn.
    pub fn start<F>(workers: usize, ask: F) -> Self
    where
        F: Fn(usize, usize) -> Result<T, Failure> + Send + Sync + 'static,
    {
        let (stop, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let ask = Arc::new(ask);
        let worker = |worker| {
            let (stop, turns, ask) = (stop.clone(), turns.clone(), ask.clone());
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                for turn in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    seen.push(ask(worker, turn));
                    turns.fetch_add(1, Ordering::SeqCst);
                }
                seen
            })
        };
        let workers = (0..workers).map(worker).collect();
        Self { stop, turns, workers }
    }

    /// Requests that ended so far.
    pub fn turns(&self) -> usize {
        self.turns.load(Ordering::SeqCst)
    }

    /// Waits until so many more requests have ended.
    pub fn wait_for_turns(&self, more: usize) {
        let goal = self.turns() + more;
        eventually("the load goes on", || (self.turns() >= goal).then_some(()));
    }

    /// Stops, and gives what each request brought.
    ///
    /// # Panics
    ///
    /// If a single one failed.
    #[track_caller]
    pub fn finish(self) -> Vec<T> {
        self.stop.store(true, Ordering::SeqCst);
        let seen = self.workers.into_iter().flat_map(|worker| worker.join().expect("no panics"));
        let (served, failed): (Vec<_>, Vec<_>) = seen.partition(Result::is_ok);
        let failed: Vec<Failure> = failed.into_iter().filter_map(Result::err).collect();
        let total = served.len() + failed.len();
        let some: Vec<&Failure> = failed.iter().take(5).collect();
        assert!(failed.is_empty(), "{} of {total} requests failed: {some:#?}", failed.len());
        served.into_iter().filter_map(Result::ok).collect()
    }
}
