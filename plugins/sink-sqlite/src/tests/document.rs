//! `docs/data-model.md` and the schema name the same columns.

use std::collections::BTreeSet;

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/data-model.md");

type Column = (String, String, String);

/// Lines `| column | type | tables | meaning |` under the heading.
fn documented() -> BTreeSet<Column> {
    let section = DOCUMENT.split("\n## SQLite\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let table = section.split("| column | type | of | meaning |\n").nth(1).unwrap();
    let lines = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let mut columns = BTreeSet::new();
    for line in lines {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let &["", column, kind, tables, meaning, ""] = cells.as_slice() else {
            panic!("{line}");
        };
        assert!(meaning.len() > 3, "{line}");
        for table in tables.split(", ") {
            let plain = |cell: &str| cell.trim_matches('`').to_owned();
            let is_new = columns.insert((plain(table), plain(column), plain(kind)));
            assert!(is_new, "twice: {line}");
        }
    }
    columns
}

fn in_the_database() -> BTreeSet<Column> {
    let mut store = store();
    let sql = "SELECT t.name, c.name, c.type FROM sqlite_schema AS t \
               JOIN pragma_table_info(t.name) AS c \
               WHERE t.type = 'table' AND t.name NOT LIKE 'inference_text_%'";
    let rows = store.database.query(&Statement::new(sql, vec![])).unwrap().rows;
    let text = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    };
    rows.iter()
        .map(|row| {
            let kind = text(&row[2]);
            (text(&row[0]), text(&row[1]), if kind.is_empty() { "words".into() } else { kind })
        })
        .collect()
}

#[test]
fn every_table_and_column_is_documented_and_no_other() {
    let (documented, found) = (documented(), in_the_database());
    let missing: Vec<_> = found.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&found).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, unknown {unknown:?}");
}
