//! A cursor over a configuration: whoever reads a key by name thereby makes it known.
//!
//! A [`Table`] is handed to a closure that reads what it needs; when the closure is done,
//! whatever was not asked for is an unknown key. Nothing stops at the first problem: a value
//! that cannot be used is reported and read as absent. The same readers, run without a
//! document ([`Reading::of_schema`]), list every key there is, with kind and default; so the
//! reference and the code cannot drift apart. `typed.rs` has a reader for each kind of value.

#[cfg(test)]
mod tests;
mod typed;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;

use super::document::{Entries, Node, Value};
use super::name::{NameRule, quoted_part};
use super::nearest::advice;
use super::problem::{Located, Place, Problem, Severity, Spot};

/// Problems kept. A file that has more gets no better by listing them, and a generated one
/// could have a million.
const MOST_PROBLEMS: usize = 1000;

/// What a table without entries reads from.
static NOTHING: Entries = Entries::new();

/// A key that a configuration may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// Dotted; `NAME` stands for a name and `[]` for an item of a list.
    pub key: String,
    /// What is expected, in the words of the error messages.
    pub kind: String,
    /// What is used when the key is absent. None: nothing, or the key is required.
    pub default: Option<String>,
}

/// One pass over a document, collecting problems.
#[derive(Debug, Default)]
pub(super) struct Reading {
    problems: RefCell<Vec<Problem>>,
    schema: Option<RefCell<Vec<KnownKey>>>,
}

impl Reading {
    /// A pass that reads no document but notes the keys that are asked for.
    pub(super) fn of_schema() -> Self {
        Self { problems: RefCell::default(), schema: Some(RefCell::default()) }
    }

    /// Reads the top of a document. `place` is for what the document lacks.
    pub(super) fn document<R>(
        &self,
        entries: &Entries,
        place: Place,
        read: impl FnOnce(&Table<'_>) -> R,
    ) -> R {
        let key = String::new();
        Table::read(self, entries, Spot { place, key }, read)
    }

    pub(super) fn report(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < MOST_PROBLEMS {
            problems.push(problem);
        }
    }

    /// Errors and notices, each in the order of files, lines and keys.
    pub(super) fn into_problems(self) -> (Vec<Problem>, Vec<Problem>) {
        let mut problems = self.problems.into_inner();
        problems.sort_by(|a, b| (&a.file, a.line, &a.key).cmp(&(&b.file, b.line, &b.key)));
        problems.into_iter().partition(|problem| problem.severity == Severity::Error)
    }

    pub(super) fn into_known_keys(self) -> Vec<KnownKey> {
        self.schema.map(RefCell::into_inner).unwrap_or_default()
    }
}

/// A table being read.
pub(super) struct Table<'a> {
    reading: &'a Reading,
    entries: &'a Entries,
    spot: Spot,
    known: RefCell<Vec<&'static str>>,
}

/// An item of a list being read.
pub(super) struct Element<'a> {
    reading: &'a Reading,
    /// Absent when the schema is read.
    node: Option<&'a Node>,
    spot: Spot,
}

impl<'a> Table<'a> {
    /// Where the table stands, or would.
    pub(super) fn spot(&self) -> &Spot {
        &self.spot
    }

    /// Whether the operator wrote the key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn report(&self, problem: Problem) {
        self.reading.report(problem);
    }

    /// Reads a table under a key; an absent one reads as empty.
    pub(super) fn table<R>(&self, key: &'static str, read: impl FnOnce(&Table<'_>) -> R) -> R {
        self.known.borrow_mut().push(key);
        let spot = self.spot_of(key);
        let entries = self.entries_under(key, &spot).unwrap_or(&NOTHING);
        Table::read(self.reading, entries, spot, read)
    }

    /// Reads a table under a key if it is there.
    pub(super) fn optional_table<R>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Table<'_>) -> R,
    ) -> Option<R> {
        if self.has(key) || self.reading.schema.is_some() {
            return Some(self.table(key, read));
        }
        self.known.borrow_mut().push(key);
        None
    }

    /// Reads every table under a key by its name, such as all `[providers.NAME]`. A name that
    /// is none is reported and left out.
    pub(super) fn named<R>(
        &self,
        key: &'static str,
        rule: NameRule,
        mut read: impl FnMut(&str, &Table<'_>) -> R,
    ) -> BTreeMap<String, R> {
        self.known.borrow_mut().push(key);
        let spot = self.spot_of(key);
        let mut found = BTreeMap::new();
        if self.reading.schema.is_some() {
            let spot = spot.below("NAME");
            Table::read(self.reading, &NOTHING, spot, |table| read("NAME", table));
        }
        let Some(tables) = self.entries_under(key, &spot) else {
            return found;
        };
        for (name, entry) in tables {
            let spot = Spot { place: entry.place.clone(), key: spot.below(name).key };
            if let Some(objection) = rule.objection(name) {
                self.report(spot.error(objection));
            } else if let Value::Table(entries) = &entry.node.value {
                let value = Table::read(self.reading, entries, spot, |table| read(name, table));
                found.insert(name.clone(), value);
            } else {
                self.report(mismatch(&spot, &entry.node.value, "a table"));
            }
        }
        found
    }

    /// Reads a list item by item. Items that give nothing are left out.
    pub(super) fn list<R>(
        &self,
        key: &'static str,
        expected: &str,
        mut read: impl FnMut(&Element<'_>) -> Option<R>,
    ) -> Option<Located<Vec<R>>> {
        if self.reading.schema.is_some() {
            let mut spot = self.spot_of(key);
            spot.key.push_str("[]");
            let reading = self.reading;
            read(&Element { reading, node: None, spot });
        }
        let list = self.value(key, expected, None, |value| match value {
            Value::List(items) => Some(items),
            _ => None,
        })?;
        let items = list.value.iter().enumerate().filter_map(|(index, node)| {
            let spot =
                Spot { place: node.place.clone(), key: format!("{}[{index}]", list.spot.key) };
            let reading = self.reading;
            read(&Element { reading, node: Some(node), spot })
        });
        Some(Located { value: items.collect(), spot: list.spot })
    }

    /// Reads a list that has to have an item. Empty when there is none, which is reported.
    pub(super) fn required_list<R>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl FnMut(&Element<'_>) -> Option<R>,
    ) -> Vec<R> {
        self.require(key, expected);
        if let Some(Value::List(items)) = self.entries.get(key).map(|entry| &entry.node.value)
            && items.is_empty()
        {
            let message = format!("found an empty list; expected {expected}");
            self.report(self.spot_of(key).error(message));
        }
        self.list(key, expected, read).map_or_else(Vec::new, |list| list.value)
    }

    /// Reads one value. `expected` is what a message says and what the reference calls the
    /// kind; `convert` gives None for anything else.
    fn value<T>(
        &self,
        key: &'static str,
        expected: &str,
        default: Option<&dyn Display>,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<Located<T>> {
        self.known.borrow_mut().push(key);
        let spot = self.spot_of(key);
        if let Some(schema) = &self.reading.schema {
            schema.borrow_mut().push(KnownKey {
                key: spot.key.clone(),
                kind: expected.to_owned(),
                default: default.map(ToString::to_string),
            });
        }
        let node = &self.entries.get(key)?.node;
        match convert(&node.value) {
            Some(value) => Some(Located { value, spot }),
            None => {
                self.report(mismatch(&spot, &node.value, expected));
                None
            }
        }
    }

    /// Reports a key that has to be there and is not.
    fn require(&self, key: &str, expected: &str) {
        if !self.has(key) {
            let spot = self.spot.below(key);
            self.report(spot.error(format!("missing; expected {expected}")));
        }
    }

    fn read<R>(
        reading: &Reading,
        entries: &Entries,
        spot: Spot,
        read: impl FnOnce(&Table<'_>) -> R,
    ) -> R {
        let table = Table { reading, entries, spot, known: RefCell::default() };
        let value = read(&table);
        table.report_unknown();
        value
    }

    fn report_unknown(&self) {
        let known = self.known.borrow();
        for (key, entry) in self.entries {
            if !known.contains(&key.as_str()) {
                let spot = Spot { place: entry.place.clone(), key: self.spot.below(key).key };
                let advice = advice(key, known.iter().copied());
                self.report(spot.error(format!("unknown key; {advice}")));
            }
        }
    }

    /// Whether the key has a list without items.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        let value = self.entries.get(key).map(|entry| &entry.node.value);
        matches!(value, Some(Value::List(items)) if items.is_empty())
    }

    /// Where a key's value stands; where the table does, if it is absent.
    pub(super) fn spot_of(&self, key: &str) -> Spot {
        let mut spot = self.spot.below(key);
        if let Some(entry) = self.entries.get(key) {
            spot.place = entry.node.place.clone();
        }
        spot
    }

    fn entries_under(&self, key: &str, spot: &Spot) -> Option<&'a Entries> {
        match &self.entries.get(key)?.node.value {
            Value::Table(entries) => Some(entries),
            other => {
                self.report(mismatch(spot, other, "a table"));
                None
            }
        }
    }
}

impl Element<'_> {
    pub(super) fn spot(&self) -> &Spot {
        &self.spot
    }

    pub(super) fn report(&self, problem: Problem) {
        self.reading.report(problem);
    }

    /// The item, if it is a string.
    pub(super) fn string(&self) -> Option<&str> {
        match &self.node?.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Reads the item as a table; anything else is reported.
    pub(super) fn table<R>(
        &self,
        expected: &str,
        read: impl FnOnce(&Table<'_>) -> Option<R>,
    ) -> Option<R> {
        let entries = match self.node.map(|node| &node.value) {
            None => &NOTHING,
            Some(Value::Table(entries)) => entries,
            Some(other) => {
                self.report(mismatch(&self.spot, other, expected));
                return None;
            }
        };
        Table::read(self.reading, entries, self.spot.clone(), read)
    }
}

impl Spot {
    fn below(&self, key: &str) -> Self {
        let part = quoted_part(key);
        Self {
            place: self.place.clone(),
            key: match self.key.as_str() {
                "" => part,
                parent => format!("{parent}.{part}"),
            },
        }
    }
}

fn mismatch(spot: &Spot, found: &Value, expected: &str) -> Problem {
    spot.error(format!("found {}; expected {expected}", describe(found)))
}

/// A value in a message: itself when it is short, else what it is.
fn describe(value: &Value) -> String {
    /// A message stays a line.
    const SHOWN: usize = 60;
    match value {
        Value::String(text) if text.chars().count() > SHOWN => {
            format!("{:?}…", text.chars().take(SHOWN).collect::<String>())
        }
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::Boolean(truth) => truth.to_string(),
        Value::Datetime(time) => format!("the time {time}"),
        Value::List(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
    }
}
