//! Who reads the journal: the registered consumers, open or not, and how far each one is.
//!
//! Pure; does no I/O. A consumer that was retired cannot change anything any more, even when
//! another one was opened under its name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::state::Position;

/// What the journal knows of a consumer, open or not.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) acked: Position,
    /// The last position that was written to its cursor file.
    saved: Position,
    /// Tells the consumer that is open from those that were open under this name before.
    open: Option<u64>,
    pub(super) lost_rows: u64,
}

/// A consumer as long as it is open.
#[derive(Debug, Clone)]
pub(super) struct ConsumerKey {
    pub(super) name: String,
    id: u64,
}

/// What a consumer that opens has to know.
#[derive(Debug)]
pub(super) struct OpenedConsumer {
    pub(super) key: ConsumerKey,
    pub(super) acked: Position,
    /// It was not registered before, so it has no cursor file yet.
    pub(super) new: bool,
}

/// All registered consumers, by name.
#[derive(Debug)]
pub(super) struct Consumers {
    registered: BTreeMap<String, Registration>,
    /// How many were ever opened: the last id given.
    opened: u64,
}

impl Consumers {
    pub(super) fn new(cursors: BTreeMap<String, Position>) -> Self {
        let registered = cursors
            .into_iter()
            .map(|(name, position)| (name, Registration::at(position)))
            .collect();
        Self { registered, opened: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.registered.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Registration)> {
        self.registered.iter().map(|(name, consumer)| (name.as_str(), consumer))
    }

    /// Up to where all have acknowledged, and their cursors say so. Absent without consumers.
    pub(super) fn least_saved(&self) -> Option<Position> {
        self.registered.values().map(|one| one.saved).min()
    }

    /// How far each has acknowledged.
    pub(super) fn acked(&self) -> Arc<[(String, Position)]> {
        self.registered.iter().map(|(name, one)| (name.clone(), one.acked)).collect()
    }

    /// The first row that not all have acknowledged. Absent without consumers.
    pub(super) fn least_acked_row(&self) -> Option<u64> {
        self.registered.values().map(|one| one.acked.row).min()
    }

    /// A new one starts at `oldest`. Absent: one of this name is open already.
    pub(super) fn open(&mut self, name: &str, oldest: Position) -> Option<OpenedConsumer> {
        let new = !self.registered.contains_key(name);
        let consumer =
            self.registered.entry(name.to_owned()).or_insert_with(|| Registration::at(oldest));
        if consumer.open.is_some() {
            return None;
        }
        self.opened += 1;
        consumer.open = Some(self.opened);
        let key = ConsumerKey { name: name.to_owned(), id: self.opened };
        Some(OpenedConsumer { key, acked: consumer.acked, new })
    }

    pub(super) fn close(&mut self, key: &ConsumerKey) {
        if let Some(consumer) = self.get(key) {
            consumer.open = None;
        }
    }

    pub(super) fn acknowledge(&mut self, key: &ConsumerKey, position: Position) {
        if let Some(consumer) = self.get(key) {
            consumer.acked = consumer.acked.max(position);
        }
    }

    /// It was not retired.
    pub(super) fn is_registered(&mut self, key: &ConsumerKey) -> bool {
        self.get(key).is_some()
    }

    /// The cursor file holds this position now.
    pub(super) fn saved(&mut self, key: &ConsumerKey, position: Position) {
        if let Some(consumer) = self.get(key) {
            consumer.saved = position;
        }
    }

    pub(super) fn count_lost(&mut self, key: &ConsumerKey, rows: u64) {
        if let Some(consumer) = self.get(key) {
            consumer.lost_rows += rows;
        }
    }

    fn get(&mut self, key: &ConsumerKey) -> Option<&mut Registration> {
        self.registered.get_mut(&key.name).filter(|consumer| consumer.open == Some(key.id))
    }

    /// Forgets all consumers but these; gives the names of the forgotten.
    pub(super) fn retain<S: AsRef<str>>(&mut self, names: &[S]) -> Vec<String> {
        let mut retired = Vec::new();
        self.registered.retain(|name, _| {
            let keep = names.iter().any(|kept| kept.as_ref() == name);
            if !keep {
                retired.push(name.clone());
            }
            keep
        });
        retired
    }
}

impl Registration {
    fn at(position: Position) -> Self {
        Self { acked: position, saved: position, open: None, lost_rows: 0 }
    }
}
