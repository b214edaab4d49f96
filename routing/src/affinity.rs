//! Whose prompt cache likely holds a conversation.
//!
//! Owns one fact per session and endpoint: how many tokens of the conversation went through
//! the endpoint, and when. It is an expectation (a policy weighs it as money saved), never a
//! pin. Promises: bounded memory – `capacity` sessions of at most three endpoints, about
//! 150 bytes each, the least used dropped first; nothing older than `ttl`. Knows no names and
//! no text: sessions and endpoints are numbers, and session 0 is none.

use std::hash::{BuildHasherDefault, DefaultHasher};
use std::time::{Duration, Instant};

use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle, EntryAction, EntryResult};

/// A conversation moves when its endpoint fails or gets dear, and seldom more than twice
/// within the life of a prompt cache.
const ENDPOINTS: usize = 3;

/// A fixed hash: two runs of a simulation drop the same sessions.
type Hasher = BuildHasherDefault<DefaultHasher>;

/// What prompt caches likely hold.
#[derive(Debug)]
pub struct Affinity {
    sessions: Cache<u64, Session, UnitWeighter, Hasher>,
    ttl: Duration,
}

type Session = [Option<Held>; ENDPOINTS];

#[derive(Debug, Clone, Copy)]
struct Held {
    endpoint: u64,
    tokens: u64,
    used: Instant,
}

impl Affinity {
    /// `ttl` since the last use: providers keep prompts for five to ten minutes.
    pub fn new(capacity: usize, ttl: Duration) -> Self {
        let weight = u64::try_from(capacity).unwrap_or(u64::MAX);
        let lifecycle = DefaultLifecycle::default();
        let sessions = Cache::with(capacity, weight, UnitWeighter, Hasher::default(), lifecycle);
        Self { sessions, ttl }
    }

    /// An answer came: its endpoint now holds `tokens`, prompt and answer together. `endpoint`
    /// is a hash of its name, so that what is known outlives a change of the configuration.
    pub fn remember(&self, session: u64, endpoint: u64, tokens: u64, now: Instant) {
        if session == 0 {
            return;
        }
        let held = Held { endpoint, tokens, used: now };
        let update = |_: &u64, session: &mut Session| {
            put(session, held);
            EntryAction::<()>::Retain(())
        };
        // Waits only while another thread is between these lines with the same new session.
        if let EntryResult::Vacant(guard) = self.sessions.entry(&session, None, update) {
            // Refused only when a zero capacity or a concurrent insert leaves no place for it.
            let _refused = guard.insert([Some(held), None, None]);
        }
    }

    /// Tokens of the conversation that the endpoint's cache likely holds; 0 where nothing is
    /// known. Asking does not keep the cache warm, so it prolongs nothing here either.
    pub fn cached_tokens(&self, session: u64, endpoint: u64, now: Instant) -> u64 {
        if session == 0 {
            return 0;
        }
        let held = self.sessions.get(&session).unwrap_or_default();
        held.iter()
            .flatten()
            .find(|held| held.endpoint == endpoint)
            .filter(|held| now.saturating_duration_since(held.used) < self.ttl)
            .map_or(0, |held| held.tokens)
    }
}

/// In the place of the endpoint, else a free one, else that of the one used longest ago.
fn put(session: &mut Session, new: Held) {
    let place = session.iter_mut().min_by_key(|place| match place {
        Some(held) if held.endpoint == new.endpoint => (0, None),
        None => (1, None),
        Some(held) => (2, Some(held.used)),
    });
    if let Some(place) = place {
        *place = Some(new);
    }
}

#[cfg(test)]
mod tests;
