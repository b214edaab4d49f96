//! What a plugin can do with its database, and what it is told when it cannot.
#![expect(clippy::unwrap_used, reason = "tests")]

use super::super::MAX_BYTES;
use super::*;

fn statement(sql: &str, parameters: Vec<Value>) -> Statement {
    Statement { sql: sql.into(), parameters }
}

fn database() -> (tempfile::TempDir, Sqlite) {
    let directory = tempfile::tempdir().unwrap();
    let database = Sqlite::open(&directory.path().join("new/plugin.db")).unwrap();
    (directory, database)
}

#[test]
fn statements_are_all_done_or_none() {
    let (_directory, database) = database();
    database.execute_now(&[statement("CREATE TABLE t (a INTEGER PRIMARY KEY)", vec![])]).unwrap();
    let insert = |value| statement("INSERT INTO t VALUES (?1)", vec![Value::Integer(value)]);
    assert!(matches!(database.execute_now(&[insert(1), insert(1)]), Err(Error::Constraint(_))));
    let rows = database.query_now(&statement("SELECT count(*) FROM t", vec![])).unwrap();
    assert!(matches!(rows.rows.first().unwrap().first(), Some(Value::Integer(0))));
}

#[test]
fn words_are_indexed_and_found() {
    let (_directory, database) = database();
    let create =
        "CREATE VIRTUAL TABLE words USING fts5(word, content = '', contentless_delete = 1)";
    database.execute_now(&[statement(create, vec![])]).unwrap();
    let insert = "INSERT INTO words (rowid, word) VALUES (7, 'torana')";
    database.execute_now(&[statement(insert, vec![])]).unwrap();
    let found = "SELECT rowid FROM words WHERE words MATCH 'torana'";
    let rows = database.query_now(&statement(found, vec![])).unwrap();
    assert!(matches!(rows.rows.first().unwrap().first(), Some(Value::Integer(7))));
    let delete = "DELETE FROM words WHERE rowid = 7";
    database.execute_now(&[statement(delete, vec![])]).unwrap();
    assert!(database.query_now(&statement(found, vec![])).unwrap().rows.is_empty());
}

#[test]
fn another_file_is_out_of_reach() {
    let (directory, database) = database();
    let elsewhere = directory.path().join("elsewhere.db");
    for sql in [
        format!("ATTACH '{}' AS other", elsewhere.display()),
        format!("VACUUM INTO '{}'", elsewhere.display()),
        "PRAGMA journal_mode = DELETE".to_owned(),
    ] {
        assert!(database.execute_now(&[statement(&sql, vec![])]).is_err(), "{sql}");
        assert!(database.query_now(&statement(&sql, vec![])).is_err(), "{sql}");
    }
    assert!(!elsewhere.exists());
}

#[test]
fn a_query_cannot_write() {
    let (_directory, database) = database();
    assert!(database.query_now(&statement("CREATE TABLE t (a)", vec![])).is_err());
}

fn refusal(path: &Path) -> String {
    crate::error::chain(&Sqlite::open(path).err().unwrap())
}

#[test]
fn a_file_that_cannot_be_the_database_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("notes.txt");
    std::fs::write(&text, "no database at all, but long enough to have a header. ".repeat(9))
        .unwrap();
    assert!(refusal(directory.path()).contains("is a directory"));
    let told = refusal(&text);
    assert!(told.contains("notes.txt is no SQLite database"), "{told}");
    assert!(told.contains("move this one away"), "{told}");
    let below = text.join("torana.db");
    assert!(refusal(&below).contains("cannot be opened"), "{}", refusal(&below));
}

/// Root may write what is marked as read-only, so that this says nothing where tests run as
/// root; `a_connection_that_may_not_write_says_so` holds what SQLite reports then.
#[test]
fn a_file_that_may_only_be_read_is_refused() {
    let (directory, database) = database();
    drop(database);
    let path = directory.path().join("new/plugin.db");
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions).unwrap();
    if std::fs::OpenOptions::new().append(true).open(&path).is_err() {
        assert!(refusal(&path).contains("cannot be written"), "{}", refusal(&path));
    }
}

#[test]
fn a_connection_that_may_not_write_says_so() {
    let (_directory, database) = database();
    let reading = lock(&database.reading);
    let error = understand(reading.execute("CREATE TABLE t (a)", []).unwrap_err());
    assert!(
        matches!(&error, Error::Storage(words) if words.contains("write the file")),
        "{error:?}"
    );
}

#[test]
fn a_damaged_database_says_what_to_do() {
    let (directory, database) = database();
    let fill = [
        statement("CREATE TABLE t (a TEXT)", vec![]),
        statement(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) \
             INSERT INTO t SELECT printf('%0100d', i) FROM n",
            vec![],
        ),
    ];
    database.execute_now(&fill).unwrap();
    drop(database);
    let path = directory.path().join("new/plugin.db");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.iter_mut().skip(4_096).for_each(|byte| *byte = 0x5a);
    std::fs::write(&path, bytes).unwrap();
    let database = Sqlite::open(&path).unwrap();
    let error = database.query_now(&statement("SELECT count(a) FROM t", vec![])).unwrap_err();
    assert!(matches!(&error, Error::Storage(words) if words.contains(".recover")), "{error:?}");
}

#[test]
fn a_query_reads_while_a_transaction_writes() {
    let (_directory, database) = database();
    database.execute_now(&[statement("CREATE TABLE t (a)", vec![])]).unwrap();
    let mut writing = lock(&database.writing);
    let transaction = writing.transaction().unwrap();
    transaction.execute("INSERT INTO t VALUES (1)", []).unwrap();
    let rows = database.query_now(&statement("SELECT count(*) FROM t", vec![])).unwrap();
    assert!(matches!(rows.rows.first().unwrap().first(), Some(Value::Integer(0))));
    transaction.commit().unwrap();
}

#[test]
fn more_bytes_than_a_plugin_may_take_are_not_read() {
    let (_directory, database) = database();
    let bytes = |bytes: usize| statement(&format!("SELECT zeroblob({bytes})"), vec![]);
    assert!(database.query_now(&bytes(MAX_BYTES)).is_ok());
    assert!(matches!(database.query_now(&bytes(MAX_BYTES + 1)), Err(Error::TooLarge)));
}

#[test]
fn a_query_that_nobody_waits_for_is_interrupted() {
    let (_directory, database) = database();
    let database = Arc::new(database);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                   SELECT count(*) FROM n";
    let asked = {
        let database = database.clone();
        std::thread::spawn(move || database.query_now(&statement(endless, vec![])))
    };
    // Given up again and again: before the query runs, an interrupt has no effect.
    while !asked.is_finished() {
        drop(Awaited(Some(database.interrupt.clone())));
        std::thread::yield_now();
    }
    assert!(matches!(asked.join().unwrap(), Err(Error::Statement(_))));
}
