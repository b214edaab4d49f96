//! Taking a batch: as one transaction, or in halves when the database refuses it.
//!
//! What another try may mend (a held database, a full disk) asks for that try; what none can
//! mend rejects the row that it is about, and only that one. A batch of more bytes than the
//! host takes in one call is more than one transaction.

use std::ops::Range;

use torana_plugin_sdk::host::sql::{Error, Statement, Value};
use torana_plugin_sdk::sink::{Outcome, Rejection, Row};

use crate::complaints::Complaints;
use crate::engine::Engine;
use crate::{record, schema};

/// How long to leave a database alone that is held or full.
pub const RETRY_MS: u32 = 1_000;
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
pub fn batch(engine: &mut impl Engine, batch: &[Row], complaints: &mut Complaints) -> Outcome {
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
        if work.bytes.saturating_add(bytes) > MAX_BYTES {
            if let Err(error) = take(engine, &work.statements, &work.rows, &mut rejections) {
                return retry(&error, complaints);
            }
            work = Work::default();
        }
        work.add(position, statements, bytes);
    }
    if let Err(error) = take(engine, &work.statements, &work.rows, &mut rejections) {
        return retry(&error, complaints);
    }
    complaints.over();
    rejections.sort_by_key(|rejection| rejection.row);
    if rejections.is_empty() { Outcome::Ack } else { Outcome::Reject(rejections) }
}

fn retry(error: &Error, complaints: &mut Complaints) -> Outcome {
    complaints.failed(&schema::words(error));
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
}

/// Takes rows together, or in halves where one of them cannot be taken: that one is found in
/// few transactions, and alone rejected. Fails only with what another try may mend; rows taken
/// before that are there, and the next try leaves them as they are.
fn take(
    engine: &mut impl Engine,
    statements: &[Statement],
    rows: &[(u32, Range<usize>)],
    rejections: &mut Vec<Rejection>,
) -> Result<(), Error> {
    let (Some((row, first)), Some((_, last))) = (rows.first(), rows.last()) else {
        return Ok(());
    };
    let Some(these) = statements.get(first.start..last.end) else { return Ok(()) };
    match engine.execute(these) {
        Ok(_) => Ok(()),
        // A database that does not understand a statement has lost a table, or one was changed:
        // that is not the rows' fault.
        Err(error @ (Error::Busy | Error::Storage(_) | Error::Statement(_))) => Err(error),
        Err(error) if rows.len() == 1 => {
            rejections.push(Rejection { row: *row, reason: schema::words(&error) });
            Ok(())
        }
        Err(Error::Constraint(_) | Error::TooLarge) => {
            let (front, back) = rows.split_at(rows.len() / 2);
            take(engine, statements, front, rejections)?;
            take(engine, statements, back, rejections)
        }
    }
}
