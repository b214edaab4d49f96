//! What SQLite says in its own way.

use torana_plugin_sdk::host::sql::{Database, Error, Rows, Statement};
use torana_plugin_sdk::sink::words::Words;
use torana_sql_store::engine::{Columns, Engine};

/// A SQLite database.
pub(crate) struct Sqlite<D> {
    pub(crate) database: D,
    pub(crate) has_text_index: bool,
}

impl<D: Database> Database for Sqlite<D> {
    fn execute(&mut self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        self.database.execute(statements)
    }

    fn query(&mut self, statement: &Statement) -> Result<Rows, Error> {
        self.database.query(statement)
    }
}

impl<D: Database> Engine for Sqlite<D> {
    /// A trigger does it.
    const FORGET_WORDS: &'static str = "";

    const NOW_UNIX_MS: &'static str = "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)";

    fn table(&self, name: &str) -> String {
        name.to_owned()
    }

    fn place(&self, number: usize) -> String {
        format!("?{number}")
    }

    fn numbers(&self, place: &str) -> String {
        format!("SELECT value FROM json_each({place})")
    }

    fn json_array(&self, items: &str) -> String {
        format!("json_array({items})")
    }

    /// `sum` fails where whole numbers run over.
    fn whole_sum(&self, column: &str) -> String {
        format!("CAST(total({column}) AS INTEGER)")
    }

    /// Tags and words are looked up beside the table and not through it (`+` keeps the planner
    /// from driving by them): it walks the index by time either way, and stops at the end of
    /// the page.
    fn is_tagged(&self, call: &str, name: &str, value: &str) -> String {
        format!(
            "+{call}.number IN (SELECT number FROM inference_tag \
             WHERE name = {name} AND value = {value})"
        )
    }

    fn has_text_index(&self) -> bool {
        self.has_text_index
    }

    /// Every word is quoted, so that none is an operator; words have no quotes of their own.
    fn sought(&self, words: &Words) -> String {
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
        quoted.join(" AND ")
    }

    fn has_words(&self, place: &str) -> String {
        format!("+number IN (SELECT rowid FROM inference_text WHERE inference_text MATCH {place})")
    }

    /// After the inference itself, whose number it takes; nothing if that was there before.
    fn keep_words(&self, words: &Words, _: &mut Columns) -> Option<Statement> {
        let sql = "INSERT INTO inference_text (rowid, words) \
                   SELECT last_insert_rowid(), ?1 WHERE changes() = 1";
        (!words.is_empty()).then(|| Statement::new(sql, vec![words.joined().into()]))
    }
}
