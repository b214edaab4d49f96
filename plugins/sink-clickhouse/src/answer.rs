//! Answers of the server in its format JSONCompactEachRow: an array a line, in the order of
//! the columns that were asked for. Anything else is not an answer of ClickHouse's.

use serde_json::Value as Json;

use crate::failure::Failure;

/// The lines of an answer.
pub(crate) fn rows(answer: &[u8]) -> Result<Vec<Cells>, Failure> {
    let lines = answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).map_err(|_| Failure::Foreign).map(Cells::new))
        .collect()
}

/// The only cell of an answer.
pub(crate) fn single(answer: &[u8]) -> Result<Cell, Failure> {
    rows(answer)?.pop().ok_or(Failure::Foreign)?.next()
}

/// A line, taken apart from its beginning.
#[derive(Debug)]
pub(crate) struct Cells(std::vec::IntoIter<Json>);

impl Cells {
    fn new(line: Vec<Json>) -> Self {
        Self(line.into_iter())
    }

    pub(crate) fn next(&mut self) -> Result<Cell, Failure> {
        self.0.next().map(Cell).ok_or(Failure::Foreign)
    }
}

#[derive(Debug)]
pub(crate) struct Cell(Json);

impl Cell {
    pub(crate) fn text(&self) -> Result<&str, Failure> {
        self.0.as_str().ok_or(Failure::Foreign)
    }

    pub(crate) fn into_text(self) -> Result<String, Failure> {
        match self.0 {
            Json::String(text) => Ok(text),
            _ => Err(Failure::Foreign),
        }
    }

    /// Absent: NULL.
    pub(crate) fn optional_text(self) -> Result<Option<String>, Failure> {
        match self.0 {
            Json::Null => Ok(None),
            _ => self.into_text().map(Some),
        }
    }

    pub(crate) fn unsigned(&self) -> Result<u64, Failure> {
        self.0.as_u64().ok_or(Failure::Foreign)
    }

    /// Absent: NULL, or no number, such as the mean of nothing.
    pub(crate) fn float(&self) -> Result<Option<f64>, Failure> {
        match &self.0 {
            Json::Null => Ok(None),
            number => number.as_f64().map(Some).ok_or(Failure::Foreign),
        }
    }
}
