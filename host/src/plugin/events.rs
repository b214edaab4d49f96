//! What happens to plugins, on its way to the journal.
//!
//! Whoever notices an event may be serving a request: it is put into a bounded queue and never
//! waited for. Each plugin has a few a second; what is beyond that, or finds the queue full, is
//! not told one by one but counted with the next that is. All kills are in the metrics anyway.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

/// Of one plugin within [`WINDOW`]: a quarantine with the three kills before it, and its end.
const MOST: u32 = 5;
const WINDOW: Duration = Duration::from_secs(1);

/// Of all plugins, while the journal is slow.
const QUEUE: usize = 256;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// A call was ended by the host, for this reason.
    Killed(&'static str),
    /// It is out of service, since it was killed again and again.
    Quarantined(&'static str),
    /// It is back: after a `probe` or a `reload`.
    Released(&'static str),
}

/// One event of one plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginEvent {
    pub plugin: Arc<str>,
    pub happening: Happening,
    pub time_unix_ms: u64,
    /// Events of the plugin that were not told before this one.
    pub missed: u64,
}

/// Where plugins tell.
#[derive(Debug, Clone)]
pub struct Events(mpsc::Sender<PluginEvent>);

impl Events {
    /// A queue, and who reads it.
    pub fn channel() -> (Self, mpsc::Receiver<PluginEvent>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    pub(super) fn of(&self, plugin: &Arc<str>) -> Teller {
        Teller { events: self.clone(), plugin: plugin.clone(), rate: Mutex::default() }
    }
}

/// One plugin's way to the queue.
#[derive(Debug)]
pub(super) struct Teller {
    events: Events,
    plugin: Arc<str>,
    rate: Mutex<Rate>,
}

#[derive(Debug, Default)]
struct Rate {
    since: Option<Instant>,
    told: u32,
    missed: u64,
}

impl Teller {
    /// Never waits.
    pub(super) fn tell(&self, happening: Happening, now: Instant) {
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        if rate.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            rate.since = Some(now);
            rate.told = 0;
        }
        let unix = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        let event = PluginEvent {
            plugin: self.plugin.clone(),
            happening,
            time_unix_ms: u64::try_from(unix.as_millis()).unwrap_or(u64::MAX),
            missed: rate.missed,
        };
        if rate.told < MOST && self.events.0.try_send(event).is_ok() {
            rate.told += 1;
            rate.missed = 0;
        } else {
            rate.missed += 1;
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted_with_the_next_that_is_told() {
        let (events, mut receiver) = Events::channel();
        let teller = events.of(&"mine".into());
        let start = Instant::now();
        for _ in 0..20 {
            teller.tell(Happening::Killed("trap"), start);
        }
        teller.tell(Happening::Released("reload"), start + WINDOW);
        let mut told = Vec::new();
        while let Ok(event) = receiver.try_recv() {
            told.push(event);
        }
        assert_eq!(told.len(), MOST as usize + 1);
        let last = told.last().unwrap();
        assert_eq!((last.happening, last.missed), (Happening::Released("reload"), 15));
        assert!(told[..MOST as usize].iter().all(|event| event.missed == 0));
    }

    #[test]
    fn a_queue_that_nobody_reads_holds_up_nobody() {
        let (events, receiver) = Events::channel();
        let teller = events.of(&"mine".into());
        let start = Instant::now();
        for second in 0..1_000 {
            teller.tell(Happening::Killed("cpu"), start + WINDOW * second);
        }
        assert_eq!(receiver.len(), QUEUE);
        drop(receiver);
        teller.tell(Happening::Killed("cpu"), start);
    }
}
