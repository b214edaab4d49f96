//! What sinks over an SQL database have in common.
//!
//! The columns that a row becomes, the conditions of a filter, pages, sums, the taking of a
//! batch, retention and migrations: once, in the SQL that SQLite and PostgreSQL share. A sink
//! brings its tables (their names and columns are those of `plugins/sink-sqlite/src/schema-2.sql`)
//! and an [`Engine`](engine::Engine), which says what its database says differently. Every
//! answer is the one that `wit/sink/sink.wit` promises; the stores are held against each other
//! in `tests/tests/stores/`.

pub mod complaints;
pub mod engine;
pub mod feedback;
pub mod filter;
pub mod list;
mod members;
pub mod record;
pub mod retention;
pub mod schema;
pub mod usage;
pub mod write;
