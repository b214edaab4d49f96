//! `torana export`: rows of a store as a file for analysts.
//!
//! The store is opened as the gateway opens it, whether one runs or not, and read page by
//! page, oldest first: memory does not grow with the export. The file appears under its name
//! when it is whole, and never in place of another unless told so. What is not asked for by
//! name or with `--content` – prompts, answers, raw bodies – is left out.

mod columnar;
mod columns;
mod output;
mod text;

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use serde_json::Value;

use super::offline::{Offline, OfflineError, StoreError};
use crate::plugin::CallFailure;
use crate::plugin::sink::{Order, PageRequest, QueryError, RowFilter, SinkReader, Table};
use crate::request::inferences::filter::Filters;
use crate::request::inferences::parameters::BadParameter;
use columns::{Column, ColumnError};
use output::Output;

/// Rows of one question to the store. A store that finds them too large gives fewer.
const PAGE: u32 = 500;

const EXAMPLES: &str = "\
Examples:
  Yesterday's calls for a spreadsheet:
    torana export --table inferences --since 2026-11-22 --until 2026-11-23 --output calls.csv
  What endpoints took and cost this year, for pandas or DuckDB:
    torana export --table attempts --since 2026-01-01 --output attempts.parquet
  Prompts and answers of one function that people liked, one JSON object a line:
    torana export --table inferences --function extract --metric 'good=true' --content \\
      --output - --format jsonl
  Some columns, and a tag of your own as one:
    torana export --table inferences --columns time,model,cost_usd,tags.customer --output x.csv

Columns and their types are listed in docs/data-model.md under \"Exports\".
Rows that the journal still holds and the store does not have yet are not exported; a running
gateway hands them over within a second.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Which rows.
    #[arg(long, value_enum, value_name = "TABLE")]
    table: TableName,
    /// The file; `-` is standard output.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// By default as the file's name ends: .csv, .parquet or .jsonl.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Replaces a file that is there.
    #[arg(long)]
    force: bool,
    /// Also prompts and answers, decisions and raw bodies, as far as they were kept.
    #[arg(long)]
    content: bool,
    /// These columns in this order, separated by commas. Beside the listed ones, any path into
    /// the row, such as `tags.customer` or `request.temperature`.
    #[arg(long, value_name = "A,B.C", value_delimiter = ',')]
    columns: Vec<String>,
    #[command(flatten)]
    filters: FilterArguments,
    /// The sink to read; by default the one that the gateway reads back.
    #[arg(long, value_name = "NAME")]
    sink: Option<String>,
    /// The configuration that names the store.
    #[arg(long, short, env = "TORANA_CONFIG")]
    config: Option<String>,
}

/// The filters of `GET /v1/inferences`, by the same names.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters: all that are given must hold")]
struct FilterArguments {
    /// At or after: 2026-11-23 (UTC), RFC 3339, or Unix milliseconds.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before; the same forms. By default, now.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Name of the client's key.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// As the client named it.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The one that answered.
    #[arg(long, value_name = "PROVIDER/MODEL")]
    endpoint: Option<String>,
    /// ok, error or cancelled; of attempts also lost.
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    #[arg(long, value_name = "UUID")]
    episode_id: Option<String>,
    /// The `id` of the answer that the client got.
    #[arg(long, value_name = "ID")]
    response_id: Option<String>,
    /// A tag's value; may be repeated.
    #[arg(long, value_name = "NAME:VALUE")]
    tag: Vec<String>,
    /// Feedback, such as 'score>=0.5' or 'good=true'; may be repeated.
    #[arg(long, value_name = "NAME>=VALUE", allow_hyphen_values = true)]
    metric: Vec<String>,
    /// Words that all occur in the request or the response.
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TableName {
    /// Calls by clients.
    Inferences,
    /// Attempts at endpoints.
    Attempts,
    Feedback,
    /// Configurations that were in use.
    Snapshots,
    /// What happened to plugins.
    PluginEvents,
}

impl TableName {
    fn table(self) -> Table {
        match self {
            Self::Inferences => Table::Inference,
            Self::Attempts => Table::ModelInference,
            Self::Feedback => Table::Feedback,
            Self::Snapshots => Table::Snapshot,
            Self::PluginEvents => Table::PluginEvent,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// RFC 4180, with a header line.
    Csv,
    /// Typed columns, compressed with Snappy.
    Parquet,
    /// One row a line, as the gateway wrote it.
    Jsonl,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExportError {
    #[error("--{0}")]
    Filter(#[from] BadParameter),
    #[error(transparent)]
    Columns(#[from] ColumnError),
    #[error(
        "--format: there is none, and {0} does not end with .csv, .parquet or .jsonl; expected one of them"
    )]
    Format(PathBuf),
    #[error("{0} is already there; choose another name or replace it with --force")]
    Exists(PathBuf),
    #[error("{path} cannot be written")]
    Write { path: PathBuf, source: std::io::Error },
    #[error("a row group cannot be written")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store does not answer")]
    Call(#[from] CallFailure),
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    #[error("the store cannot answer this question: {0}")]
    Unsupported(String),
    #[error("the store does not go on after {0} rows: it refuses its own cursor")]
    Cursor(u64),
    #[error("row {row} of the store is no JSON")]
    Row { row: u64, source: serde_json::Error },
    #[error("interrupted; nothing was written")]
    Interrupted,
}

impl From<OfflineError> for ExportError {
    fn from(error: OfflineError) -> Self {
        Self::Store(error.into())
    }
}

impl ExportError {
    pub(super) fn is_misconfigured(&self) -> bool {
        matches!(self, Self::Store(_))
    }

    pub(super) fn is_interrupted(&self) -> bool {
        matches!(self, Self::Interrupted)
    }
}

/// What came of an export, for people.
pub(super) struct Exported {
    pub(super) notices: Vec<String>,
}

/// Exports, unless the user interrupts it.
pub(super) async fn run(arguments: &Arguments) -> Result<Exported, ExportError> {
    tokio::select! {
        exported = export(arguments) => exported,
        _interrupted = tokio::signal::ctrl_c() => Err(ExportError::Interrupted),
    }
}

async fn export(arguments: &Arguments) -> Result<Exported, ExportError> {
    let table = arguments.table.table();
    let filter = arguments.filters.read(table)?;
    let format = arguments.format()?;
    let columns = columns::of(arguments.table, &arguments.columns, arguments.content)?;
    let output = Output::open(&arguments.output, arguments.force)?;
    let offline = Offline::open(arguments.config.as_deref())?;
    let reader = offline.reader_of(arguments.sink.as_deref()).await?;

    let mut writer = Writer::new(format, arguments, columns, output)?;
    let rows = copy(reader, table, &filter, &mut writer).await?;
    let empty = writer.empty_columns();
    writer.finish()?.keep()?;
    let mut notices = vec![format!("{rows} rows in {}", arguments.output.display())];
    notices.extend(empty.iter().filter(|_| rows > 0).map(|name| {
        format!("column {name} is null in every row; the listed columns are in docs/data-model.md")
    }));
    Ok(Exported { notices })
}

/// Every row, oldest first. Says how many.
async fn copy(
    mut reader: SinkReader,
    table: Table,
    filter: &RowFilter,
    writer: &mut Writer,
) -> Result<u64, ExportError> {
    let mut rows = 0;
    let mut cursor = None;
    loop {
        let request = PageRequest { order: Order::OldestFirst, limit: PAGE, cursor };
        let page = reader.list_rows(table, filter, &request).await?;
        let page = page.map_err(|error| match error {
            QueryError::InvalidCursor => ExportError::Cursor(rows),
            QueryError::Unavailable(reason) => ExportError::Unavailable(reason),
            QueryError::Unsupported(reason) => ExportError::Unsupported(reason),
        })?;
        for item in &page.items {
            rows += 1;
            let row = serde_json::from_slice(item);
            let row = row.map_err(|source| ExportError::Row { row: rows, source })?;
            writer.row(item, row)?;
        }
        match page.next {
            None => return Ok(rows),
            // Otherwise a store that goes round in circles fills the disk.
            next if next == request.cursor => return Err(ExportError::Cursor(rows)),
            next => cursor = next,
        }
    }
}

impl Arguments {
    fn format(&self) -> Result<Format, ExportError> {
        let by_name = || {
            let extension = self.output.extension()?.to_str()?;
            Format::from_str(extension, true).ok()
        };
        self.format.or_else(by_name).ok_or_else(|| ExportError::Format(self.output.clone()))
    }
}

impl FilterArguments {
    fn read(&self, table: Table) -> Result<RowFilter, BadParameter> {
        let once = [
            ("since", &self.since),
            ("until", &self.until),
            ("key", &self.key),
            ("function", &self.function),
            ("variant", &self.variant),
            ("model", &self.model),
            ("endpoint", &self.endpoint),
            ("outcome", &self.outcome),
            ("episode_id", &self.episode_id),
            ("response_id", &self.response_id),
            ("text", &self.text),
        ];
        let once = once.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        let tags = self.tag.iter().map(|value| ("tag", value));
        let metrics = self.metric.iter().map(|value| ("metric", value));
        let mut filters = Filters::default();
        for (name, value) in once.chain(tags).chain(metrics) {
            filters.take(name, value)?;
        }
        let mut filter = filters.finish(table)?;
        // A busy gateway writes on: without an end the export would run after it.
        if filter.until_unix_ms.is_none() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            filter.until_unix_ms = u64::try_from(now.as_millis()).ok().map(|now| now + 1);
        }
        Ok(filter)
    }
}

/// One format's writer, and which columns had anything.
struct Writer {
    kind: WriterKind,
    columns: Vec<Column>,
    filled: Vec<bool>,
}

enum WriterKind {
    Csv(Box<text::Csv>),
    Jsonl(text::Lines),
    Parquet(Box<columnar::Parquet>),
}

impl Writer {
    fn new(
        format: Format,
        arguments: &Arguments,
        columns: Vec<Column>,
        output: Output,
    ) -> Result<Self, ExportError> {
        let kind = match format {
            Format::Csv => WriterKind::Csv(Box::new(text::Csv::new(output, &columns)?)),
            Format::Jsonl => WriterKind::Jsonl(text::Lines::new(
                output,
                text::Shape::of(arguments.content, !arguments.columns.is_empty()),
            )),
            Format::Parquet => {
                WriterKind::Parquet(Box::new(columnar::Parquet::new(output, &columns)?))
            }
        };
        let filled = vec![false; columns.len()];
        Ok(Self { kind, columns, filled })
    }

    /// The row as it came, and understood.
    fn row(&mut self, json: &[u8], row: Value) -> Result<(), ExportError> {
        for (column, filled) in self.columns.iter().zip(&mut self.filled) {
            *filled = *filled || !column.of(&row).is_null();
        }
        match &mut self.kind {
            WriterKind::Csv(writer) => writer.row(&self.columns, &row),
            WriterKind::Jsonl(writer) => writer.row(&self.columns, json, row),
            WriterKind::Parquet(writer) => writer.row(&self.columns, &row),
        }
    }

    /// Columns that were asked for by a path of their own and had nothing in any row.
    fn empty_columns(&self) -> Vec<String> {
        let empty = self.columns.iter().zip(&self.filled).filter(|(_, filled)| !**filled);
        empty
            .filter(|(column, _)| !column.is_listed)
            .map(|(column, _)| column.name.clone())
            .collect()
    }

    fn finish(self) -> Result<Output, ExportError> {
        match self.kind {
            WriterKind::Csv(writer) => writer.finish(),
            WriterKind::Jsonl(writer) => Ok(writer.finish()),
            WriterKind::Parquet(writer) => writer.finish(),
        }
    }
}

#[cfg(test)]
mod tests;
