//! Arrivals out of trace files.
//!
//! Two formats: the CSV of the Azure LLM inference traces (columns `TIMESTAMP`,
//! `ContextTokens`, `GeneratedTokens`, in any order, others ignored; no sessions) and the JSON
//! lines of the Mooncake traces (`timestamp` in milliseconds, `input_length`,
//! `output_length`, `hash_ids` of the prompt's blocks). Lines are read one by one, within
//! bounds. A line that makes no sense is an error with its number: a trace that is read in
//! part would be another load.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::{Arrival, Record};
use crate::scenario::Place;

/// The longest Mooncake line is 2 kB; a file without line ends is not read into memory.
const MAX_LINE: u64 = 1 << 20;
/// As many blocks of a prompt as sessions are told apart by.
const BLOCKS: usize = 64;
const COLUMNS: [&str; 3] = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"];

/// How a trace is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// CSV.
    Azure,
    /// JSON lines.
    Mooncake,
}

impl Format {
    /// By the file's extension: `.jsonl` is Mooncake's.
    pub fn of(path: &Path) -> Self {
        let jsonl =
            path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"));
        if jsonl { Self::Mooncake } else { Self::Azure }
    }
}

/// A trace that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error("cannot open the trace {}{}", path.display(), hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
    Open { path: PathBuf, hint: Option<String>, source: io::Error },
    #[error("{place}: cannot read the line; expected UTF-8 text")]
    Read { place: Place, source: io::Error },
    #[error("{place}: the line is longer than {MAX_LINE} bytes")]
    LongLine { place: Place },
    #[error("{place}: the columns are `{found}`; expected `{missing}` among them")]
    Columns { place: Place, found: String, missing: &'static str },
    #[error("{place}: `{column}` is `{found}`; expected {expected}")]
    Cell { place: Place, column: &'static str, found: String, expected: &'static str },
    #[error(
        "{place}: the line is not one of a mooncake trace; expected timestamp, input_length, output_length and hash_ids"
    )]
    Json { place: Place, source: serde_json::Error },
    #[error("the trace {} has no requests", path.display())]
    Empty { path: PathBuf },
}

/// At most the first `limit` requests of a trace, in the order of their time.
pub(crate) fn read(
    path: &Path,
    format: Format,
    limit: usize,
    speed: f64,
    hint: Option<&str>,
) -> Result<Vec<Arrival>, TraceError> {
    let file = File::open(path).map_err(|source| {
        let hint = hint.map(str::to_owned);
        TraceError::Open { path: path.to_owned(), hint, source }
    })?;
    let mut lines = Lines { path, reader: BufReader::new(file), line: 0, text: String::new() };
    let records = match format {
        Format::Azure => azure(&mut lines, limit)?,
        Format::Mooncake => mooncake(&mut lines, limit)?,
    };
    if records.is_empty() {
        return Err(TraceError::Empty { path: path.to_owned() });
    }
    Ok(super::from_records(records, speed))
}

struct Lines<'a, R> {
    path: &'a Path,
    reader: R,
    line: usize,
    text: String,
}

impl<R: BufRead> Lines<'_, R> {
    /// The next line that is not empty; `None` at the end.
    fn next(&mut self) -> Result<Option<&str>, TraceError> {
        loop {
            self.text.clear();
            self.line += 1;
            let read = self.reader.by_ref().take(MAX_LINE).read_line(&mut self.text);
            let read = read.map_err(|source| TraceError::Read { place: self.place(), source })?;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 == MAX_LINE && !self.text.ends_with('\n') {
                return Err(TraceError::LongLine { place: self.place() });
            }
            if !self.text.trim().is_empty() {
                return Ok(Some(self.text.trim().trim_start_matches('\u{feff}')));
            }
        }
    }

    fn place(&self) -> Place {
        Place { path: self.path.to_owned(), line: self.line }
    }
}

fn azure<R: BufRead>(lines: &mut Lines<'_, R>, limit: usize) -> Result<Vec<Record>, TraceError> {
    let header = lines.next()?.unwrap_or_default().to_owned();
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let mut columns = [0; COLUMNS.len()];
    for (column, name) in columns.iter_mut().zip(COLUMNS) {
        *column = names.iter().position(|found| *found == name).ok_or_else(|| {
            TraceError::Columns { place: lines.place(), found: header.clone(), missing: name }
        })?;
    }
    let mut records = Vec::new();
    while records.len() < limit {
        let Some(row) = lines.next()? else { break };
        let cells: Vec<&str> = row.split(',').map(str::trim).collect();
        let [at, input, output] =
            columns.map(|column| cells.get(column).copied().unwrap_or_default().to_owned());
        records.push(Record {
            at: instant(&at)
                .ok_or_else(|| cell(lines, 0, &at, "a time as 2023-11-16 18:15:46.68"))?,
            input_tokens: tokens(lines, 1, &input)?,
            output_tokens: tokens(lines, 2, &output)?,
            session: 0,
        });
    }
    Ok(records)
}

fn tokens<R: BufRead>(lines: &Lines<'_, R>, column: usize, found: &str) -> Result<u64, TraceError> {
    found.parse().map_err(|_| cell(lines, column, found, "a number of tokens"))
}

fn cell<R: BufRead>(
    lines: &Lines<'_, R>,
    column: usize,
    found: &str,
    expected: &'static str,
) -> TraceError {
    let column = COLUMNS.get(column).copied().unwrap_or_default();
    TraceError::Cell { place: lines.place(), column, found: found.to_owned(), expected }
}

/// Since 1970, with or without an offset; without: UTC.
fn instant(text: &str) -> Option<Duration> {
    let parsed = text.parse::<Timestamp>().ok();
    let civil = || TimeZone::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok();
    let nanoseconds = parsed.or_else(civil)?.as_nanosecond();
    Some(Duration::from_nanos(u64::try_from(nanoseconds).ok()?))
}

#[derive(Deserialize)]
struct MooncakeLine {
    /// Milliseconds since the start of the trace.
    timestamp: u64,
    input_length: u64,
    output_length: u64,
    hash_ids: Vec<u64>,
}

/// Prompts of one conversation begin with the same blocks. Blocks that every prompt of the
/// trace begins with are a common system prompt and tell nothing: a session is the first
/// block after those.
fn mooncake<R: BufRead>(lines: &mut Lines<'_, R>, limit: usize) -> Result<Vec<Record>, TraceError> {
    let mut records = Vec::new();
    let mut prompts: Vec<Vec<u64>> = Vec::new();
    while records.len() < limit {
        let Some(line) = lines.next()? else { break };
        let read: Result<MooncakeLine, _> = serde_json::from_str(line);
        let mut read = read.map_err(|source| TraceError::Json { place: lines.place(), source })?;
        records.push(Record {
            at: Duration::from_millis(read.timestamp),
            input_tokens: read.input_length,
            output_tokens: read.output_length,
            session: 0,
        });
        read.hash_ids.truncate(BLOCKS);
        prompts.push(read.hash_ids);
    }
    let common = common_blocks(&prompts);
    for (record, prompt) in records.iter_mut().zip(&prompts) {
        record.session = prompt.get(common).map_or(0, |block| block.saturating_add(1));
    }
    Ok(records)
}

fn common_blocks(prompts: &[Vec<u64>]) -> usize {
    let Some((first, others)) = prompts.split_first() else { return 0 };
    if others.is_empty() {
        return 0;
    }
    let shared = |prompt: &Vec<u64>| first.iter().zip(prompt).take_while(|(a, b)| a == b).count();
    others.iter().map(shared).min().unwrap_or(0)
}

#[cfg(test)]
mod tests;
