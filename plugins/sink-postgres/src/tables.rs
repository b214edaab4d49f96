//! The tables and how they came about.

use torana_plugin_sdk::SettingsError;
use torana_sql_store::schema::{NOTES, Schema};

/// The longest name that PostgreSQL does not cut.
const LONGEST_NAME: usize = 63;

/// Held while tables are made, so that gateways which share a database make them once. Any
/// number does that nobody else takes: `torana` in ASCII.
const LOCK: i64 = 0x74_6f_72_61_6e_61;

/// The schema that the tables are in, ready for a statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Name(String);

impl Name {
    /// # Errors
    ///
    /// A name that everybody would have to quote.
    pub(crate) fn of(name: &str) -> Result<Self, SettingsError> {
        let is_plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_';
        let is_good = (1..=LONGEST_NAME).contains(&name.len())
            && name.bytes().all(is_plain)
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.starts_with("pg_");
        if is_good {
            // Quoted all the same: it may be a word of the language.
            return Ok(Self(format!("\"{name}\"")));
        }
        let message = format!(
            "found {name:?}; expected 1 to {LONGEST_NAME} lower-case letters, digits and _, and \
             neither a digit nor pg_ in front"
        );
        Err(SettingsError::at("/schema", message))
    }

    /// As a statement names it.
    pub(crate) fn quoted(&self) -> &str {
        &self.0
    }

    pub(crate) fn table(&self, table: &str) -> String {
        format!("{}.{table}", self.0)
    }

    /// The schema itself is made by whoever migrates, where it is missing: somebody who may
    /// only use one that is there shall do so.
    pub(crate) fn schema(&self) -> Schema {
        let notes = self.table(NOTES);
        Schema {
            notes: vec![format!(
                "CREATE TABLE IF NOT EXISTS {notes} (
                    version integer PRIMARY KEY,
                    applied timestamptz NOT NULL DEFAULT now()
                )"
            )],
            note: format!("INSERT INTO {notes} (version) VALUES ($1)"),
            lock: vec![format!("SELECT pg_advisory_xact_lock({LOCK})")],
            versions: vec![include_str!("schema.sql").replace("{schema}", &self.0)],
        }
    }

    pub(crate) fn create(&self) -> String {
        format!("CREATE SCHEMA IF NOT EXISTS {}", self.0)
    }
}
