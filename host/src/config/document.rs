//! TOML text to a tree in which every value knows its file and line, and several such trees
//! to one.
//!
//! Refuses what is not TOML (one problem: the parser stops at the first) and a table that two
//! files both write, naming both. Inline tables, headers, dotted keys and arrays of tables
//! come out the same: who reads the tree need not know how it was written. Depth is bounded
//! by the parser (80 levels).

use std::collections::{BTreeMap, btree_map};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml_edit::{Item, TableLike};

use super::problem::{Place, Problem, Severity};

/// A value and where it starts.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A date or time, as written. No key takes one.
    Datetime(String),
    List(Vec<Node>),
    Table(Entries),
}

/// A table by key. Order does not matter in TOML; sorted keys make problems come in order.
pub(super) type Entries = BTreeMap<String, Entry>;

#[derive(Debug)]
pub(super) struct Entry {
    /// Where the key stands, which for a table is its header.
    pub(super) place: Place,
    pub(super) node: Node,
}

/// Parses one file.
///
/// # Errors
/// The first thing in it that is not TOML.
pub(super) fn parse(file: &Arc<Path>, text: &str) -> Result<Entries, Problem> {
    let lines = Lines::of(file, text);
    match toml_edit::Document::parse(text) {
        Ok(document) => Ok(lines.entries(document.as_table())),
        // `message` rather than the whole error, which quotes the line and a secret in it.
        Err(error) => Err(Problem {
            file: file.to_path_buf(),
            line: lines.number(error.span()),
            key: String::new(),
            message: format!("not TOML: {}", error.message().trim().replace('\n', "; ")),
            severity: Severity::Error,
        }),
    }
}

/// Puts several files together as if they were one. A table in `by_name`, such as
/// `[providers]`, may be spread over files, each of its entries in one of them.
pub(super) fn merge(
    documents: Vec<Entries>,
    by_name: &[&str],
    problems: &mut Vec<Problem>,
) -> Entries {
    let mut whole = Entries::new();
    for (key, entry) in documents.into_iter().flatten() {
        let first = match whole.entry(key.clone()) {
            btree_map::Entry::Vacant(free) => {
                free.insert(entry);
                continue;
            }
            btree_map::Entry::Occupied(taken) => taken.into_mut(),
        };
        match (&mut first.node.value, entry.node.value) {
            (Value::Table(table), Value::Table(more)) if by_name.contains(&key.as_str()) => {
                for (name, entry) in more {
                    match table.get(&name) {
                        Some(first) => {
                            let key = format!("{key}.{name}");
                            problems.push(written_twice(key, &first.place, &entry.place));
                        }
                        None => {
                            table.insert(name, entry);
                        }
                    }
                }
            }
            _ => problems.push(written_twice(key, &first.place, &entry.place)),
        }
    }
    whole
}

/// Where each entry of these tables stands, by its dotted name.
pub(super) fn places(whole: &Entries, tables: &[&str]) -> BTreeMap<String, Place> {
    let mut places = BTreeMap::new();
    for table in tables {
        let Some(Value::Table(entries)) = whole.get(*table).map(|entry| &entry.node.value) else {
            continue;
        };
        for (name, entry) in entries {
            places.insert(format!("{table}.{name}"), entry.place.clone());
        }
    }
    places
}

fn written_twice(key: String, first: &Place, second: &Place) -> Problem {
    Problem {
        file: second.file.to_path_buf(),
        line: second.line,
        key,
        message: format!("already written at {first}; expected in one file only"),
        severity: Severity::Error,
    }
}

/// Turns byte offsets into line numbers.
struct Lines {
    file: Arc<Path>,
    /// Offset of the first byte of each line but the first.
    starts: Vec<usize>,
}

impl Lines {
    fn of(file: &Arc<Path>, text: &str) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        Self { file: Arc::clone(file), starts }
    }

    fn number(&self, span: Option<Range<usize>>) -> Option<u32> {
        let offset = span?.start;
        let before = self.starts.partition_point(|start| *start <= offset);
        u32::try_from(before + 1).ok()
    }

    fn place(&self, span: Option<Range<usize>>) -> Place {
        Place { file: Arc::clone(&self.file), line: self.number(span) }
    }

    fn entries(&self, table: &dyn TableLike) -> Entries {
        let mut entries = Entries::new();
        for (name, item) in table.iter() {
            let key_span = table.key(name).and_then(toml_edit::Key::span);
            let place = self.place(key_span.or_else(|| item.span()));
            if let Some(node) = self.item(item, &place) {
                entries.insert(name.to_owned(), Entry { place, node });
            }
        }
        entries
    }

    fn item(&self, item: &Item, place: &Place) -> Option<Node> {
        let value = match item {
            Item::None => return None,
            Item::Value(value) => return Some(self.value(value, place)),
            Item::Table(table) => Value::Table(self.entries(table)),
            Item::ArrayOfTables(tables) => Value::List(
                tables
                    .iter()
                    .map(|table| Node {
                        place: self.place(table.span()),
                        value: Value::Table(self.entries(table)),
                    })
                    .collect(),
            ),
        };
        Some(Node { place: place.clone(), value })
    }

    fn value(&self, value: &toml_edit::Value, place: &Place) -> Node {
        let place = match value.span() {
            None => place.clone(),
            span => self.place(span),
        };
        let value = match value {
            toml_edit::Value::String(text) => Value::String(text.value().clone()),
            toml_edit::Value::Integer(number) => Value::Integer(*number.value()),
            toml_edit::Value::Float(number) => Value::Float(*number.value()),
            toml_edit::Value::Boolean(truth) => Value::Boolean(*truth.value()),
            toml_edit::Value::Datetime(time) => Value::Datetime(time.value().to_string()),
            toml_edit::Value::Array(array) => {
                Value::List(array.iter().map(|item| self.value(item, &place)).collect())
            }
            toml_edit::Value::InlineTable(table) => Value::Table(self.entries(table)),
        };
        Node { place, value }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn file(name: &str) -> Arc<Path> {
        Arc::from(Path::new(name))
    }

    fn line_of(entries: &Entries, path: &[&str]) -> Option<u32> {
        let (first, rest) = path.split_first().unwrap();
        let entry = entries.get(*first).unwrap();
        match (&entry.node.value, rest.is_empty()) {
            (Value::Table(table), false) => line_of(table, rest),
            _ => entry.place.line,
        }
    }

    #[test]
    fn every_way_of_writing_a_table_keeps_its_lines() {
        let text = "a.b = 1\n\n[server]\nlisten = \"x\"\n[providers.one]\nheaders = { x = \"1\" }\n[[list]]\nc = 1\n";
        let entries = parse(&file("f"), text).unwrap();
        assert_eq!(line_of(&entries, &["a", "b"]), Some(1));
        assert_eq!(line_of(&entries, &["server"]), Some(3));
        assert_eq!(line_of(&entries, &["server", "listen"]), Some(4));
        assert_eq!(line_of(&entries, &["providers", "one"]), Some(5));
        assert_eq!(line_of(&entries, &["providers", "one", "headers", "x"]), Some(6));
        let Value::List(list) = &entries.get("list").unwrap().node.value else {
            unreachable!("an array of tables is a list")
        };
        assert_eq!(list.first().unwrap().place.line, Some(7));
    }

    #[test]
    fn a_syntax_error_has_its_line_and_does_not_quote_the_text() {
        let problem = parse(&file("f"), "a = 1\nkey = \"sk-secret\n").unwrap_err();
        assert_eq!(problem.line, Some(2));
        assert!(problem.message.starts_with("not TOML: "), "{problem}");
        assert!(!problem.message.contains("sk-secret"), "{problem}");
    }

    #[test]
    fn deep_nesting_is_refused_rather_than_overflowing_the_stack() {
        let text = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(&file("f"), &text).is_err());
    }

    #[test]
    fn files_share_a_table_of_names_but_no_entry() {
        let one = parse(&file("one"), "[providers.a]\n[server]\n").unwrap();
        let two = parse(&file("two"), "[providers.b]\n[providers.a]\n[server]\n").unwrap();
        let mut problems = Vec::new();
        let whole = merge(vec![one, two], &["providers"], &mut problems);
        assert_eq!(line_of(&whole, &["providers", "b"]), Some(1));
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "two:2: providers.a: already written at one:1; expected in one file only",
                "two:3: server: already written at one:2; expected in one file only",
            ]
        );
    }
}
