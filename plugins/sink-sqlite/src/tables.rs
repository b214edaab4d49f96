//! The tables and how they came about.

use torana_sql_store::schema::Schema;

pub(crate) fn schema() -> Schema {
    Schema {
        notes: vec![
            "CREATE TABLE torana_migration (
                version INTEGER PRIMARY KEY,
                applied_unix_ms INTEGER NOT NULL
            ) STRICT"
                .to_owned(),
        ],
        // The time is the database's: a clock of its own would be another grant.
        note: "INSERT INTO torana_migration (version, applied_unix_ms)
            VALUES (?1, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER))"
            .to_owned(),
        lock: vec![],
        versions: vec![
            include_str!("schema.sql").to_owned(),
            include_str!("schema-2.sql").to_owned(),
        ],
    }
}
