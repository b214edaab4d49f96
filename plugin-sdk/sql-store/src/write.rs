//! Taking a batch: as one transaction, or row by row when the database refuses it.
//!
//! What another try may mend (a held database, a full disk) asks for that try; what none can
//! mend rejects the row that it is about, and only that one. A batch of more bytes than the
//! host takes in one call is more than one transaction.

use std::ops::Range;

use torana_plugin_sdk::host::sql::{Error, Statement, Value};
use torana_plugin_sdk::log;
use torana_plugin_sdk::sink::{Outcome, Rejection, Row};

use crate::engine::Engine;
use crate::{record, schema};

/// How long to leave a database alone that is held or full.
const RETRY_MS: u32 = 1_000;
/// Of one transaction, unless a single row has more. The host takes 8 MiB in one call; the
/// names of columns and the lengths of values come on top.
const MAX_BYTES: usize = 6 << 20;

/// Statements of one or more rows, to be done together.
#[derive(Default)]
struct Work {
    statements: Vec<Statement>,
    /// Position of each row in the batch, and which statements are its.
    rows: Vec<(u32, Range<usize>)>,
    bytes: usize,
}

/// Takes `batch`. A row that cannot be taken is rejected; all others are durable.
pub fn batch(engine: &mut impl Engine, batch: &[Row]) -> Outcome {
    let mut rejections = Vec::new();
    let mut work = Work::default();
    for (position, row) in (0_u32..).zip(batch) {
        let statements = match record::statements(engine, row) {
            Ok(statements) => statements,
            Err(error) => {
                rejections.push(Rejection { row: position, reason: error.to_string() });
                continue;
            }
        };
        let bytes = statements.iter().map(weight).sum();
        if work.bytes.saturating_add(bytes) > MAX_BYTES
            && let Err(error) = std::mem::take(&mut work).done(engine, &mut rejections)
        {
            return retry(&error);
        }
        work.add(position, statements, bytes);
    }
    if let Err(error) = work.done(engine, &mut rejections) {
        return retry(&error);
    }
    if rejections.is_empty() { Outcome::Ack } else { Outcome::Reject(rejections) }
}

fn retry(error: &Error) -> Outcome {
    log::warn!("the store takes nothing now: {}", schema::words(error));
    Outcome::Retry(RETRY_MS)
}

fn weight(statement: &Statement) -> usize {
    let value = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Blob(blob) => blob.len(),
        Value::Null | Value::Integer(_) | Value::Real(_) => 0,
    };
    // A value is 16 bytes in the guest's memory, whatever it is.
    let values: usize = statement.parameters.iter().map(|it| value(it) + 16).sum();
    statement.sql.len() + values
}

impl Work {
    fn add(&mut self, position: u32, statements: Vec<Statement>, bytes: usize) {
        let first = self.statements.len();
        self.statements.extend(statements);
        self.rows.push((position, first..self.statements.len()));
        self.bytes += bytes;
    }

    /// Fails only with what another try may mend. Rows taken before that are there, and the
    /// next try leaves them as they are.
    fn done(self, engine: &mut impl Engine, rejections: &mut Vec<Rejection>) -> Result<(), Error> {
        if self.statements.is_empty() {
            return Ok(());
        }
        match engine.execute(&self.statements) {
            Ok(_) => return Ok(()),
            Err(error @ (Error::Busy | Error::Storage(_))) => return Err(error),
            Err(Error::Constraint(_) | Error::Statement(_) | Error::TooLarge) => {}
        }
        let (mut has_taken, mut refused) = (false, Vec::new());
        for (position, statements) in self.rows {
            let Some(statements) = self.statements.get(statements) else { continue };
            match engine.execute(statements) {
                Ok(_) => has_taken = true,
                Err(error @ (Error::Busy | Error::Storage(_))) => return Err(error),
                Err(error) => refused.push((position, error)),
            }
        }
        // A database that understands no statement has lost its tables, or they were changed:
        // that is not the rows' fault.
        if !has_taken
            && let Some(place) =
                refused.iter().position(|(_, error)| matches!(error, Error::Statement(_)))
        {
            return Err(refused.swap_remove(place).1);
        }
        rejections.extend(
            refused
                .into_iter()
                .map(|(row, error)| Rejection { row, reason: schema::words(&error) }),
        );
        Ok(())
    }
}
