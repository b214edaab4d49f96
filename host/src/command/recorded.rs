//! Recorded traffic, for `simulate --from-journal`: from a journal's directory, a file of
//! `sink-jsonl`, or the store that the configuration reads back.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;
use torana_simulator::history::{History, HistoryError};

use super::offline::{Offline, StoreError};
use crate::journal::{JournalError, RowKind, scan};
use crate::plugin::CallFailure;
use crate::plugin::sink::{EVERYTHING, Order, PageRequest, QueryError, Table};

/// What names the store in place of a path.
const STORE: &str = "store";

/// Of one question to the store.
const PAGE: u32 = 500;

/// Why recorded traffic cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordedError {
    #[error(
        "{path} cannot be read: {source}; expected a journal's directory, a file of sink-jsonl, or \"store\""
    )]
    File { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store does not answer")]
    Call(#[from] CallFailure),
    #[error("the store refuses the question: {0:?}")]
    Query(QueryError),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("the runtime cannot be started")]
    Runtime(#[source] std::io::Error),
}

/// Reads all of it, within the bounds of [`History`].
pub(super) fn read(offline: &Offline, source: &str) -> Result<History, RecordedError> {
    let path = Path::new(source);
    let mut history = History::new();
    if source == STORE && !path.exists() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(RecordedError::Runtime)?.block_on(stored(offline, &mut history))?;
    } else if path.is_dir() {
        scan(path, |row| push(&mut history, row.kind, &row.json))?;
    } else {
        let failed = |source| RecordedError::File { path: path.to_owned(), source };
        history.read_jsonl(BufReader::new(File::open(path).map_err(failed)?))?;
    }
    Ok(history)
}

fn push(history: &mut History, kind: RowKind, json: &[u8]) {
    match kind {
        RowKind::Inference => history.push("inference", json),
        RowKind::ModelInference => history.push("model_inference", json),
        RowKind::Feedback | RowKind::Decision | RowKind::PluginEvent | RowKind::Snapshot => {}
    }
}

#[derive(Deserialize)]
struct Listed {
    id: String,
}

#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow, default)]
    model_inferences: Vec<&'a RawValue>,
}

async fn stored(offline: &Offline, history: &mut History) -> Result<(), RecordedError> {
    let mut reader = offline.reader().await?;
    let mut cursor = None;
    loop {
        let request = PageRequest { order: Order::OldestFirst, limit: PAGE, cursor };
        let page = reader.list_rows(Table::Inference, &EVERYTHING, &request).await?;
        let page = page.map_err(RecordedError::Query)?;
        for item in &page.items {
            let Ok(Listed { id }) = serde_json::from_slice(item) else { continue };
            let whole = reader.get_inference(&id).await?.map_err(RecordedError::Query)?;
            let Some(whole) = whole else { continue };
            history.push("inference", &whole);
            let attempts: Whole<'_> =
                serde_json::from_slice(&whole).unwrap_or(Whole { model_inferences: Vec::new() });
            for attempt in attempts.model_inferences {
                history.push("model_inference", attempt.get().as_bytes());
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}
