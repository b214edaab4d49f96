//! The cursor, on small documents.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::Arc;

use super::super::document::parse;
use super::*;

fn read<R>(text: &str, read: impl FnOnce(&Table<'_>) -> R) -> (R, Vec<String>) {
    let file: Arc<Path> = Arc::from(Path::new("f"));
    let entries = parse(&file, text).unwrap();
    let reading = Reading::default();
    let value = reading.document(&entries, Place { file, line: None }, read);
    let (errors, _) = reading.into_problems();
    (value, errors.iter().map(ToString::to_string).collect())
}

#[test]
fn what_was_not_asked_for_is_unknown_at_every_depth() {
    let text = "lissten = true\n[by.one]\nx = 1\n[by.\"a b\"]\n[[list]]\ny = 1\n";
    let ((), problems) = read(text, |table| {
        table.boolean("listen", false);
        table.named("by", NameRule::Plain, |_, table| table.boolean("xx", true));
        table.list("list", "a list", |item| item.table("a table", |_| Some(())));
    });
    assert_eq!(
        problems,
        [
            "f:1: lissten: unknown key; did you mean \"listen\"?",
            "f:3: by.one.x: unknown key; did you mean \"xx\"?",
            "f:4: by.\"a b\": not a name; expected 1 to 128 letters, digits, '-', '_' or '.'",
            "f:6: list[0].y: unknown key; there is none yet",
        ]
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_shown_and_read_as_absent() {
    let text = "a = 1\nb = [1]\nc = 1979-05-27\n[d]\n[e]\nf = 1";
    let (values, problems) = read(text, |table| {
        let tables = table.named("e", NameRule::Plain, |_, _| ());
        let list = table.list("a", "a list of words", |_| Some(()));
        table.table("b", |_| ());
        (table.boolean("c", true), table.string("d", "a word"), tables, list)
    });
    assert!(values.0 && values.1.is_none() && values.2.is_empty() && values.3.is_none());
    assert_eq!(
        problems,
        [
            "f:1: a: found 1; expected a list of words",
            "f:2: b: found a list; expected a table",
            "f:3: c: found the time 1979-05-27; expected true or false",
            "f:4: d: found a table; expected a word",
            "f:6: e.f: found 1; expected a table",
        ]
    );
}

#[test]
fn long_values_are_cut_in_messages() {
    let text = format!("a = \"{}\"", "ü".repeat(5000));
    let (_, problems) = read(&text, |table| table.boolean("a", true));
    assert!(problems[0].chars().count() < 120, "{}", problems[0]);
}

#[test]
fn the_schema_lists_keys_below_names_and_lists() {
    let reading = Reading::of_schema();
    let place = Place { file: Arc::from(Path::new("f")), line: None };
    reading.document(&NOTHING, place, |table| {
        table.named("by", NameRule::Plain, |_, table| table.boolean("on", true));
        table.list("list", "a list", |item| {
            item.table("a table", |table| Some(table.boolean("off", false)))
        });
    });
    let keys: Vec<String> = reading
        .into_known_keys()
        .into_iter()
        .map(|known| format!("{} {} {:?}", known.key, known.kind, known.default))
        .collect();
    assert_eq!(
        keys,
        [
            "by.NAME.on true or false Some(\"true\")",
            "list[].off true or false Some(\"false\")",
            "list a list None",
        ]
    );
}

#[test]
fn problems_are_kept_up_to_a_bound() {
    let text: String = (0..2000).map(|number| format!("k{number} = 1\n")).collect();
    let ((), problems) = read(&text, |_| ());
    assert_eq!(problems.len(), MOST_PROBLEMS);
}
