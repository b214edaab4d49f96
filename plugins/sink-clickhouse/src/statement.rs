//! A statement and the values that its placeholders stand for.
//!
//! Nothing that a caller named ever becomes part of a statement's text: it travels beside it
//! as a parameter (`{p0:String}`, ClickHouse's documentation "Queries with parameters"), and
//! the server puts it in its place after parsing.

/// A statement under construction.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    /// The value of `p0`, `p1`, … as the server wants it.
    pub(crate) parameters: Vec<String>,
}

impl Statement {
    /// A statement without parameters, or whose parameters are bound already.
    pub(crate) fn with(self, sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), ..self }
    }

    /// The placeholder of a text.
    pub(crate) fn text(&mut self, value: &str) -> String {
        self.bind("String", escaped(value))
    }

    /// The placeholder of the name of a database.
    pub(crate) fn identifier(&mut self, value: &str) -> String {
        self.bind("Identifier", escaped(value))
    }

    /// The placeholder of a number.
    pub(crate) fn unsigned(&mut self, value: u64) -> String {
        self.bind("UInt64", value.to_string())
    }

    /// The placeholder of a number; the server reads back exactly what Rust writes.
    pub(crate) fn float(&mut self, value: f64) -> String {
        self.bind("Float64", value.to_string())
    }

    /// The placeholder of a list of words, each of letters and digits alone.
    pub(crate) fn words(&mut self, words: &[&str]) -> String {
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        self.bind("Array(String)", format!("[{}]", quoted.join(",")))
    }

    fn bind(&mut self, kind: &str, value: String) -> String {
        let name = format!("{{p{}:{kind}}}", self.parameters.len());
        self.parameters.push(value);
        name
    }
}

/// Parameters are read in the escaped form of the format TabSeparated.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\t' => escaped.push_str("\\t"),
            '\r' => escaped.push_str("\\r"),
            '\0' => escaped.push_str("\\0"),
            other => escaped.push(other),
        }
    }
    escaped
}
