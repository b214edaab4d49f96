//! Exports as text: CSV (RFC 4180, with a header line, UTF-8) and JSON a line.
//!
//! A spreadsheet may take a cell that begins with `=` for a formula. Values are written as
//! they are: whoever opens prompts of strangers in a spreadsheet has to know.

use std::io::{self, Write as _};

use csv::{Terminator, WriterBuilder};
use serde_json::{Map, Value};

use super::ExportError;
use super::columns::{Cell, Column, Kind};
use super::output::Output;

/// Comma-separated values. Null is an empty cell.
pub(super) struct Csv {
    writer: csv::Writer<Output>,
}

impl Csv {
    pub(super) fn new(output: Output, columns: &[Column]) -> Result<Self, ExportError> {
        let writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(output);
        let mut csv = Self { writer };
        csv.record(columns.iter().map(|column| column.name.clone()))?;
        Ok(csv)
    }

    pub(super) fn row(&mut self, columns: &[Column], row: &Value) -> Result<(), ExportError> {
        self.record(columns.iter().map(|column| column.cell(row).into_text()))
    }

    pub(super) fn finish(mut self) -> Result<Output, ExportError> {
        let flushed = self.writer.flush();
        flushed.map_err(|error| self.writer.get_ref().failed(error))?;
        self.writer.into_inner().map_err(|error| {
            let source = io::Error::from(error.error().kind());
            error.into_inner().get_ref().failed(source)
        })
    }

    fn record(&mut self, cells: impl Iterator<Item = String>) -> Result<(), ExportError> {
        let written = self.writer.write_record(cells);
        written.map_err(|error| self.writer.get_ref().failed(error.into()))
    }
}

/// What a line of JSON has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The row as it is.
    Whole,
    /// The row with null in place of its content.
    WithoutContent,
    /// The columns alone.
    Columns,
}

impl Shape {
    pub(super) fn of(content: bool, has_columns: bool) -> Self {
        match (has_columns, content) {
            (true, _) => Self::Columns,
            (false, true) => Self::Whole,
            (false, false) => Self::WithoutContent,
        }
    }
}

/// One JSON object a line.
pub(super) struct Lines {
    output: Output,
    shape: Shape,
}

/// What `--content` stands for.
const CONTENT: [&str; 5] = ["request", "response", "decision", "raw_request", "raw_response"];

impl Lines {
    pub(super) fn new(output: Output, shape: Shape) -> Self {
        Self { output, shape }
    }

    pub(super) fn row(
        &mut self,
        columns: &[Column],
        json: &[u8],
        mut row: Value,
    ) -> Result<(), ExportError> {
        let mut line = match self.shape {
            Shape::Whole if !json.contains(&b'\n') => json.to_vec(),
            Shape::Whole => row.to_string().into_bytes(),
            Shape::WithoutContent => {
                for key in CONTENT {
                    if let Some(value) = row.get_mut(key) {
                        *value = Value::Null;
                    }
                }
                row.to_string().into_bytes()
            }
            Shape::Columns => picked(columns, &row).to_string().into_bytes(),
        };
        line.push(b'\n');
        let written = self.output.write_all(&line);
        written.map_err(|error| self.output.failed(error))
    }

    pub(super) fn finish(self) -> Output {
        self.output
    }
}

/// The values as they stand in the row; the time as text.
fn picked(columns: &[Column], row: &Value) -> Value {
    let value = |column: &Column| match (column.kind, column.cell(row)) {
        (Kind::Timestamp, cell @ Cell::Timestamp(_)) => cell.into_text().into(),
        (Kind::Number, Cell::Double(number)) => number.into(),
        (Kind::Timestamp | Kind::Number, _) => Value::Null,
        _ => column.of(row).clone(),
    };
    columns.iter().map(|it| (it.name.clone(), value(it))).collect::<Map<_, _>>().into()
}
