//! A database of version 1 becomes one of this version, with every row that it had.

use torana_plugin_sdk::host::sql::Rows;

use super::*;

/// As the gateway of version 1 left it.
fn version_1() -> Memory {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(include_str!("../schema.sql")).unwrap();
    connection
        .execute_batch(
            r#"CREATE TABLE torana_migration (
                   version INTEGER PRIMARY KEY, applied_unix_ms INTEGER NOT NULL) STRICT;
               INSERT INTO torana_migration VALUES (1, 0);
               INSERT INTO inference (id, time_unix_ms, json, function, model, input_tokens)
               VALUES ('b', 2, '{"id":"b","key":"k","dialect":"openai-chat","stream":true,
                   "generation":3,"usage":{"input":7,"output":1,"cache_write":2},
                   "overhead_us":41,"finish_reason":"stop",
                   "error":{"kind":"x","code":"y"},"request":{"a":1.10}}', 'f', 'm', 7),
                   ('a', 1, '{"id":"a","usage":null,"request":null}', NULL, NULL, NULL),
                   ('odd', 3, 'no JSON', NULL, NULL, NULL);
               INSERT INTO model_inference (id, time_unix_ms, json, inference_id, attempt)
               VALUES ('c', 2, '{"id":"c","cost_usd":0.5,"reason":"first","usage":{}}', 'b', 1),
                   ('d', 2, '{"id":"d","cost_usd":0.25}', 'b', 2);
               INSERT INTO feedback (id, time_unix_ms, json, inference_id, metric, value)
               VALUES ('e', 2, '{"id":"e","value":true}', 'b', 'solved', 1.0);
               INSERT INTO row (id, time_unix_ms, json, kind)
               VALUES ('g', 1, '{"id":"g","plugin":"p","event":"killed"}', 'plugin_event'),
                   ('h', 1, '{"id":"h","hash":"00","generation":1}', 'snapshot'),
                   ('i', 1, '{"id":"i"}', 'decision');"#,
        )
        .unwrap();
    Memory::over(connection)
}

#[test]
fn rows_of_version_1_have_the_new_columns() {
    let mut store = Store::over(version_1(), &settings()).unwrap();
    let mut at = |table: &str, id: &str, column: &str| {
        cell(&mut store, &format!("SELECT {column} FROM {table} WHERE id = '{id}'"))
    };
    for (column, value) in [
        ("key", "k".into()),
        ("dialect", "openai-chat".into()),
        ("function", "f".into()),
        ("error_code", "y".into()),
        ("stream", Value::Integer(1)),
        ("generation", Value::Integer(3)),
        ("input_tokens", Value::Integer(7)),
        ("cache_write_tokens", Value::Integer(2)),
        ("overhead_us", Value::Integer(41)),
        ("cost_usd", Value::Real(0.75)),
        ("unpriced", Value::Integer(0)),
        ("content", "full".into()),
        ("json ->> '$.request'", r#"{"a":1.10}"#.into()),
    ] {
        assert_eq!(at("inference", "b", column), value, "{column}");
    }
    assert_eq!(at("inference", "a", "content"), "metadata".into());
    assert_eq!(at("inference", "a", "unpriced"), Value::Integer(0));
    assert_eq!(at("inference", "odd", "json"), "no JSON".into());
    assert_eq!(at("model_inference", "c", "cost_usd"), Value::Real(0.5));
    assert_eq!(at("model_inference", "c", "key"), "k".into());
    assert_eq!(
        at("feedback", "e", "target || target_id || value_type"),
        "inferencebboolean".into()
    );
    assert_eq!(at("plugin_event", "g", "plugin || event"), "pkilled".into());
    assert_eq!(at("snapshot", "h", "hash"), "00".into());
    assert_eq!(at("decision", "i", "json"), r#"{"id":"i"}"#.into());
    let ids = walk(
        &mut Store::over(version_1(), &settings()).unwrap(),
        &no_filter_but_odd(),
        Order::OldestFirst,
    );
    assert_eq!(ids, ["a", "b"]);
}

fn no_filter_but_odd() -> RowFilter {
    RowFilter { until_unix_ms: Some(3), ..no_filter() }
}

#[test]
fn rows_go_on_being_written_beside_those_of_version_1() {
    let mut store = Store::over(version_1(), &settings()).unwrap();
    let batch = [
        inference("b", 2, json!({ "id": "b", "request": "again" })),
        inference("new", 4, json!({ "id": "new", "request": "fresh" })),
    ];
    assert_eq!(write(&mut store, &batch), Outcome::Ack);
    assert_eq!(cell(&mut store, "SELECT count(*) FROM inference"), Value::Integer(4));
    let fresh = RowFilter { text: Some("fresh".into()), ..no_filter() };
    assert_eq!(walk(&mut store, &fresh, Order::NewestFirst), ["new"]);
}

/// Says at first that nothing was done yet, as it was when the other instance began.
struct Overtaken {
    database: Memory,
    is_stale: bool,
}

impl Database for Overtaken {
    fn execute(&mut self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        self.database.execute(statements)
    }

    fn query(&mut self, statement: &Statement) -> Result<Rows, Error> {
        let rows = self.database.query(statement)?;
        let none = Rows { columns: vec![], rows: vec![vec![Value::Null]] };
        Ok(if std::mem::take(&mut self.is_stale) { none } else { rows })
    }
}

#[test]
fn an_instance_that_is_overtaken_by_another_uses_what_that_made() {
    let mut first = store();
    assert_eq!(write(&mut first, &[inference("a", 1, json!({}))]), Outcome::Ack);
    let overtaken = Overtaken { database: first.database.database, is_stale: true };
    let mut second = Store::over(overtaken, &settings()).unwrap().database.database.database;
    let sql =
        "SELECT (SELECT count(*) FROM inference) + (SELECT max(version) FROM torana_migration)";
    let rows = second.query(&Statement::new(sql, vec![])).unwrap().rows;
    assert_eq!(rows, [[Value::Integer(3)]]);
}

#[test]
fn a_newer_store_is_refused_untouched() {
    let database = version_1();
    database.connection.execute("INSERT INTO torana_migration VALUES (99, 0)", []).unwrap();
    let path = tempfile_path();
    database.connection.execute("VACUUM INTO ?1", [&path]).unwrap();
    let before = std::fs::read(&path).unwrap();
    let connection = Connection::open(&path).unwrap();
    let error = Store::over(Memory::over(connection), &settings()).err().unwrap();
    assert!(error.message.contains("version 99") && error.message.contains("newer"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    std::fs::remove_file(&path).unwrap();
}

fn tempfile_path() -> String {
    let name = format!("sink-sqlite-{}-newer.db", std::process::id());
    let path = std::env::temp_dir().join(name);
    drop(std::fs::remove_file(&path));
    path.to_str().unwrap().to_owned()
}
