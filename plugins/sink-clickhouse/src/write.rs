//! Taking a batch: one insert for each table, and what to do when the server refuses one.
//!
//! What another try may mend asks for that try, later each time; what the operator has to
//! mend is said once a minute. What none can mend is about a row: halves of the insert are
//! tried alone until that row is found, and only it is rejected. What was found out is kept
//! until the batch is done, so that a search that takes longer than one call goes on.

use std::collections::HashMap;
use std::fmt;

use torana_plugin_sdk::log;
use torana_plugin_sdk::sink::{Outcome, Rejection, Row, RowKind};

use crate::failure::{Failure, Remedy};
use crate::record::{Content, Record, record};
use crate::schema::MigrationError;
use crate::server::{Insert, Server, Transport};

/// Pauses after a failure: doubled from the first to the longest.
const FIRST_PAUSE_MS: u32 = 250;
const LONGEST_PAUSE_MS: u32 = 10_000;
/// Between two lines of the log about the same trouble.
const REPEAT_NS: u64 = 60_000_000_000;
/// Of one insert, where rows are small: larger ones take memory and gain nothing.
const INSERT_BYTES: usize = 4 << 20;

/// An inference last: whoever finds it finds its attempts.
const KINDS: [RowKind; 6] = [
    RowKind::Snapshot,
    RowKind::PluginEvent,
    RowKind::Decision,
    RowKind::ModelInference,
    RowKind::Feedback,
    RowKind::Inference,
];

/// What outlives a batch: how long the trouble lasts already.
#[derive(Debug)]
pub(crate) struct Writer {
    most_bytes: usize,
    failures: u32,
    told_ns: Option<u64>,
    /// Rows of a batch that is searched, by id: taken, or the reason why it never is.
    searched: HashMap<String, Option<String>>,
}

/// A row that waits to be inserted.
#[derive(Debug)]
struct Line<'a> {
    position: u32,
    id: &'a str,
    bytes: Vec<u8>,
}

/// Why a row can never be kept.
#[derive(Debug)]
enum Unkeepable {
    NotAnObject(serde_json::Error),
    /// In bytes, as it is inserted.
    TooLarge {
        found: usize,
        most: usize,
    },
}

impl fmt::Display for Unkeepable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject(error) => write!(formatter, "not a JSON object: {error}"),
            Self::TooLarge { found, most } => write!(
                formatter,
                "{found} bytes are more than one insert takes ({most}): raise settings.request_mib \
                 and, under [plugins.sink-clickhouse.limits], result_mib and memory_mib"
            ),
        }
    }
}

impl std::error::Error for Unkeepable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotAnObject(error) => Some(error),
            Self::TooLarge { .. } => None,
        }
    }
}

impl From<serde_json::Error> for Unkeepable {
    fn from(error: serde_json::Error) -> Self {
        Self::NotAnObject(error)
    }
}

impl Writer {
    /// `most_bytes`: of one insert.
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, failures: 0, told_ns: None, searched: HashMap::new() }
    }

    /// Nothing is left of a batch that was searched.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.searched.is_empty()
    }

    /// Takes `batch`. A row that cannot be taken is rejected; all others are durable.
    pub(crate) fn take<T: Transport>(&mut self, server: &mut Server<T>, batch: &[Row]) -> Outcome {
        let mut rejections = Vec::new();
        for kind in KINDS {
            if let Err(failure) = self.take_kind(server, kind, batch, &mut rejections) {
                return self.put_off(server, &MigrationError::Server(failure));
            }
        }
        if self.told_ns.take().is_some() {
            log::info!("the store takes rows again");
        }
        self.failures = 0;
        self.searched.clear();
        rejections.sort_unstable_by_key(|rejection| rejection.row);
        if rejections.is_empty() { Outcome::Ack } else { Outcome::Reject(rejections) }
    }

    /// Asks for another try, and says why, but not each time.
    pub(crate) fn put_off<T: Transport>(
        &mut self,
        server: &Server<T>,
        error: &MigrationError,
    ) -> Outcome {
        let now = server.now_ns();
        if self.told_ns.is_none_or(|told| now.saturating_sub(told) >= REPEAT_NS) {
            self.told_ns = Some(now);
            tell(error);
        }
        let pause = FIRST_PAUSE_MS.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        Outcome::Retry(pause.min(LONGEST_PAUSE_MS))
    }

    fn take_kind<T: Transport>(
        &mut self,
        server: &mut Server<T>,
        kind: RowKind,
        batch: &[Row],
        rejections: &mut Vec<Rejection>,
    ) -> Result<(), Failure> {
        let mut insert = Vec::new();
        let (mut bytes, mut columns) = (0_usize, String::new());
        for (position, row) in (0_u32..).zip(batch).filter(|(_, row)| row.kind == kind) {
            let mut reject = |reason| rejections.push(Rejection { row: position, reason });
            match self.searched.get(&row.id) {
                Some(None) => continue,
                Some(Some(reason)) => {
                    reject(reason.clone());
                    continue;
                }
                None => {}
            }
            let record = match self.fitting(row) {
                Ok(record) => record,
                Err(reason) => {
                    reject(reason.to_string());
                    continue;
                }
            };
            if bytes + record.line.len() > INSERT_BYTES.min(self.most_bytes) {
                self.insert(server, kind, &columns, std::mem::take(&mut insert), rejections)?;
                bytes = 0;
            }
            bytes += record.line.len();
            columns = record.columns;
            insert.push(Line { position, id: &row.id, bytes: record.line });
        }
        self.insert(server, kind, &columns, insert, rejections)
    }

    /// The row's record, without its content where it is too large; or why it is never taken.
    fn fitting(&self, row: &Row) -> Result<Record, Unkeepable> {
        // Not even tried where it cannot fit: a copy of the row would take the sink's memory.
        let mut found = row.json.len();
        if found <= self.most_bytes {
            let whole = record(row, Content::Kept)?;
            if whole.line.len() <= self.most_bytes {
                return Ok(whole);
            }
            found = whole.line.len();
        }
        let blank = record(row, Content::Blank)?;
        if blank.line.len() > self.most_bytes {
            return Err(Unkeepable::TooLarge { found: blank.line.len(), most: self.most_bytes });
        }
        log::warn!(
            "row {} is kept without its content: {}",
            row.id,
            Unkeepable::TooLarge { found, most: self.most_bytes }
        );
        Ok(blank)
    }

    fn insert<T: Transport>(
        &mut self,
        server: &mut Server<T>,
        kind: RowKind,
        columns: &str,
        lines: Vec<Line<'_>>,
        rejections: &mut Vec<Rejection>,
    ) -> Result<(), Failure> {
        if lines.is_empty() {
            return Ok(());
        }
        match server.insert(kind.as_str(), columns, Insert::Joined, joined(&lines)) {
            Err(failure) if failure.remedy() == Remedy::Nothing => {
                self.search(server, kind, columns, &lines, rejections)
            }
            done => done,
        }
    }

    /// Finds the rows that the server can never take and inserts all others. Each insert is
    /// for itself: joined with those of others, theirs could be to blame.
    fn search<T: Transport>(
        &mut self,
        server: &mut Server<T>,
        kind: RowKind,
        columns: &str,
        lines: &[Line<'_>],
        rejections: &mut Vec<Rejection>,
    ) -> Result<(), Failure> {
        let mut open = vec![lines];
        while let Some(lines) = open.pop() {
            match server.insert(kind.as_str(), columns, Insert::Alone, joined(lines)) {
                Ok(()) => {
                    self.searched.extend(lines.iter().map(|line| (line.id.to_owned(), None)));
                }
                Err(failure) if failure.remedy() != Remedy::Nothing => return Err(failure),
                Err(failure) => match lines {
                    [line] => {
                        let reason = failure.to_string();
                        self.searched.insert(line.id.to_owned(), Some(reason.clone()));
                        rejections.push(Rejection { row: line.position, reason });
                    }
                    lines => {
                        let (first, second) = lines.split_at(lines.len() / 2);
                        open.extend([second, first]);
                    }
                },
            }
        }
        Ok(())
    }
}

fn joined(lines: &[Line<'_>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(lines.iter().map(|line| line.bytes.len()).sum());
    lines.iter().for_each(|line| bytes.extend_from_slice(&line.bytes));
    bytes
}

fn tell(error: &MigrationError) {
    match error {
        MigrationError::Newer { .. } => log::error!("the store cannot be used: {error}"),
        MigrationError::Server(failure) => match failure.remedy() {
            Remedy::Operator(advice) => {
                log::error!("the store takes nothing: {}; {advice}", failure.summary());
            }
            Remedy::Time | Remedy::Nothing => {
                log::warn!("the store takes nothing now: {}", failure.summary());
            }
        },
    }
}
