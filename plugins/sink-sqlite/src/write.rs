//! Taking a batch: as one transaction, or row by row when the database refuses it.
//!
//! What another try may mend (a held database, a full disk) asks for that try; what none can
//! mend rejects the row that it is about, and only that one.

use torana_plugin_sdk::host::sql::{Database, Error, Statement};
use torana_plugin_sdk::log;
use torana_plugin_sdk::sink::{Outcome, Rejection, Row};

use crate::{record, schema};

/// How long to leave a database alone that is held or full.
const RETRY_MS: u32 = 1_000;

/// Takes `batch`. A row that cannot be taken is rejected; all others are durable.
pub(crate) fn batch(database: &mut impl Database, batch: &[Row]) -> Outcome {
    let mut rejections = Vec::new();
    let mut positions = Vec::with_capacity(batch.len());
    let mut statements = Vec::with_capacity(batch.len());
    for (position, row) in (0_u32..).zip(batch) {
        match record::statement(row) {
            Ok(statement) => {
                positions.push(position);
                statements.push(statement);
            }
            Err(error) => rejections
                .push(Rejection { row: position, reason: format!("not a JSON object: {error}") }),
        }
    }
    if let Err(error) = all(database, &statements) {
        let written = match error {
            Error::Busy | Error::Storage(_) => Err(error),
            Error::Constraint(_) | Error::Statement(_) | Error::TooLarge => {
                each(database, &positions, &statements, &mut rejections)
            }
        };
        if let Err(error) = written {
            log::warn!("the store takes nothing now: {}", schema::words(&error));
            return Outcome::Retry(RETRY_MS);
        }
    }
    if rejections.is_empty() { Outcome::Ack } else { Outcome::Reject(rejections) }
}

fn all(database: &mut impl Database, statements: &[Statement]) -> Result<(), Error> {
    if statements.is_empty() {
        return Ok(());
    }
    database.execute(statements).map(|_| ())
}

/// Fails only with what another try may mend. Rows taken before that are there, and the next
/// try leaves them as they are.
fn each(
    database: &mut impl Database,
    positions: &[u32],
    statements: &[Statement],
    rejections: &mut Vec<Rejection>,
) -> Result<(), Error> {
    for (position, statement) in positions.iter().zip(statements) {
        match database.execute(std::slice::from_ref(statement)) {
            Ok(_) => {}
            Err(error @ (Error::Busy | Error::Storage(_))) => return Err(error),
            Err(error) => {
                rejections.push(Rejection { row: *position, reason: schema::words(&error) })
            }
        }
    }
    Ok(())
}
