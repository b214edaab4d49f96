//! `docs/data-model.md` and the schema name the same columns.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../../docs/data-model.md");

type Column = (String, String, String);

/// What the document says of SQLite's tables, in PostgreSQL's words.
fn documented() -> BTreeSet<Column> {
    let section = DOCUMENT.split("\n## SQLite\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut columns = BTreeSet::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let &["", column, kind, tables, _, ""] = cells.as_slice() else { continue };
        let column = column.trim_matches('`');
        let kind = match (column, kind) {
            ("tags", _) => "jsonb",
            ("stream" | "unpriced", _) => "boolean",
            (_, "INTEGER") => "bigint",
            (_, "REAL") => "double",
            _ => "text",
        };
        for table in tables.split(", ").map(|table| table.trim_matches('`')) {
            if !["inference_tag", "inference_text", "torana_migration"].contains(&table) {
                columns.insert((table.to_owned(), column.to_owned(), kind.to_owned()));
                columns.insert((table.to_owned(), "time".to_owned(), "timestamptz".to_owned()));
            }
        }
    }
    columns.insert(("inference".to_owned(), "words".to_owned(), "text[]".to_owned()));
    columns
}

fn in_the_schema() -> BTreeSet<Column> {
    let mut columns = BTreeSet::new();
    for table in include_str!("schema.sql").split("CREATE TABLE {schema}.").skip(1) {
        let (name, rest) = table.split_once(" (\n").unwrap();
        for line in rest.lines().take_while(|line| *line != ");") {
            let mut words = line.split([' ', ',']).filter(|word| !word.is_empty());
            let (column, kind) = (words.next().unwrap(), words.next().unwrap());
            if column != "--" {
                columns.insert((name.to_owned(), column.to_owned(), kind.to_owned()));
            }
        }
    }
    columns
}

#[test]
fn every_table_and_column_is_documented_and_no_other() {
    let (documented, found) = (documented(), in_the_schema());
    let missing: Vec<_> = found.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&found).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
}
