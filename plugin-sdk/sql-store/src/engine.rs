//! What each database says in its own way.
//!
//! Statements are written in the SQL that SQLite and PostgreSQL share; an [`Engine`] gives the
//! rest. It refuses nothing: what a database cannot say has no place in a statement here.

use std::borrow::Cow;

use torana_plugin_sdk::host::sql::{Database, Statement, Value};
use torana_plugin_sdk::sink::words::Words;

/// Names of columns, and what they get.
pub type Columns = Vec<(&'static str, Value)>;

/// A database and its dialect.
pub trait Engine: Database {
    /// What an update sets beside, that takes the content out of an inference: how its words
    /// are forgotten where no trigger does it. Begins with a comma, or is empty.
    const FORGET_WORDS: &'static str;

    /// Unix milliseconds, as an expression of a whole number.
    const NOW_UNIX_MS: &'static str;

    /// How a statement names a table.
    fn table(&self, name: &str) -> String;

    /// How a statement names the parameter of this number, counted from 1.
    fn place(&self, number: usize) -> String;

    /// A text as columns hold it: not every database has all characters. Order is kept.
    fn stored<'a>(&self, text: &'a str) -> Cow<'a, str> {
        Cow::Borrowed(text)
    }

    /// What [`Engine::stored`] made this of.
    fn restored(&self, text: String) -> String {
        text
    }

    /// That a column of an inference or attempt has this text, in a way that finds its index.
    fn is(&self, column: &str, place: &str) -> String {
        format!("{column} = {place}")
    }

    /// A subquery for the whole numbers of the JSON array at `place`.
    fn numbers(&self, place: &str) -> String;

    /// An expression for the JSON array of `items`, as text.
    fn json_array(&self, items: &str) -> String;

    /// The sum of a column of whole numbers as one of 64 bits, whatever it holds: one
    /// provider's nonsense shall not make a report fail. Exact up to 2⁵³; 0 for no rows.
    fn whole_sum(&self, column: &str) -> String;

    /// That the inference which the statement calls `call` has the tag with the name and the
    /// value at these places.
    fn is_tagged(&self, call: &str, name: &str, value: &str) -> String;

    /// Whether words are kept.
    fn has_text_index(&self) -> bool;

    /// What a statement compares words with, to be bound at the place of [`Engine::has_words`].
    fn sought(&self, words: &Words) -> String;

    /// That an inference has all the words at `place`.
    fn has_words(&self, place: &str) -> String;

    /// Keeps the words of an inference: in a column of its own, or by a statement that follows
    /// its insert at once.
    fn keep_words(&self, words: &Words, columns: &mut Columns) -> Option<Statement>;
}
