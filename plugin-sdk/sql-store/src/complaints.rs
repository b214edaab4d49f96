//! What a sink says while its database takes nothing: something new at once, the same again now
//! and then. It has no clock; tries come about once a second.

use torana_plugin_sdk::log;

/// Tries between two lines of the same words: about a minute.
const SILENT_TRIES: u32 = 60;

/// What was said last.
#[derive(Debug, Default)]
pub struct Complaints {
    last: String,
    tries: u32,
}

impl Complaints {
    /// Another try failed.
    pub fn failed(&mut self, words: &str) {
        if self.is_due(words) {
            log::warn!("the store takes nothing now: {words}");
        }
    }

    /// One worked.
    pub fn over(&mut self) {
        *self = Self::default();
    }

    fn is_due(&mut self, words: &str) -> bool {
        if self.last != words {
            words.clone_into(&mut self.last);
            self.tries = 0;
        }
        let is_due = self.tries.is_multiple_of(SILENT_TRIES);
        self.tries = self.tries.saturating_add(1);
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_a_minute_and_something_new_at_once() {
        let mut complaints = Complaints::default();
        let said = |complaints: &mut Complaints, words: &str, tries: usize| {
            (0..tries).filter(|_| complaints.is_due(words)).count()
        };
        assert_eq!(said(&mut complaints, "full", 60), 1);
        assert_eq!(said(&mut complaints, "full", 60), 1);
        assert_eq!(said(&mut complaints, "gone", 2), 1);
        complaints.over();
        assert_eq!(said(&mut complaints, "gone", 1), 1);
    }
}
