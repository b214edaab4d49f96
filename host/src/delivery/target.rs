//! A sink as the rest of the gateway knows it: who it is, and what it can be asked.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::error::chain;
use crate::journal::{self, Journal, Position};
use crate::plugin::sink::{
    Answer, FeedbackRequest, FeedbackRow, Page, PageRequest, QueryError, RowFilter, Sink,
    SinkReader, Table, UsageReport, UsageRequest,
};
use crate::snapshot::SinkIdentity;

/// How long a query waits for rows that are still on their way to the sink.
const CATCH_UP: Duration = Duration::from_millis(500);

/// How long a query waits for those before it: a store that hangs must not collect them.
const TURN: Duration = Duration::from_secs(10);

/// A sink of the configuration, opened once.
pub struct SinkTarget {
    pub identity: SinkIdentity,
    pub(super) sink: Sink,
    /// One query at a time; made on first use, and again after a failure.
    reader: tokio::sync::Mutex<Option<SinkReader>>,
    /// How far rows are durable in the store.
    pub(super) acknowledged: watch::Sender<Option<Position>>,
    /// Somebody waits for rows that are held for the next batch.
    pub(super) hurry: Notify,
    /// Its delivery fails at present.
    pub(super) is_failing: AtomicBool,
}

impl std::fmt::Debug for SinkTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SinkTarget").field("name", &self.identity.name).finish_non_exhaustive()
    }
}

/// Why a store could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the cursor is not one of this store's")]
    InvalidCursor,
    #[error("{0}")]
    Unavailable(String),
    /// The store cannot answer such a question; says why.
    #[error("{0}")]
    Unsupported(String),
}

impl SinkTarget {
    pub fn new(identity: SinkIdentity, sink: Sink) -> Self {
        Self {
            identity,
            sink,
            reader: tokio::sync::Mutex::new(None),
            acknowledged: watch::Sender::new(None),
            hurry: Notify::new(),
            is_failing: AtomicBool::new(false),
        }
    }

    pub fn is_queryable(&self) -> bool {
        self.sink.plugin().queryable
    }

    pub async fn list_rows(
        &self,
        journal: &Journal,
        table: Table,
        filter: &RowFilter,
        page: &PageRequest,
    ) -> Result<Page, ReadError> {
        self.ask(journal, async |reader| reader.list_rows(table, filter, page).await).await
    }

    /// JSON of one inference with its attempts and feedback.
    pub async fn get_inference(
        &self,
        journal: &Journal,
        id: &str,
    ) -> Result<Option<Vec<u8>>, ReadError> {
        self.ask(journal, async |reader| reader.get_inference(id).await).await
    }

    pub async fn usage(
        &self,
        journal: &Journal,
        request: &UsageRequest,
    ) -> Result<UsageReport, ReadError> {
        self.ask(journal, async |reader| reader.usage(request).await).await
    }

    pub async fn feedback_statistics(
        &self,
        journal: &Journal,
        request: &FeedbackRequest,
    ) -> Result<Vec<FeedbackRow>, ReadError> {
        self.ask(journal, async |reader| reader.feedback_statistics(request).await).await
    }

    async fn ask<R>(
        &self,
        journal: &Journal,
        question: impl AsyncFnOnce(&mut SinkReader) -> Answer<R>,
    ) -> Result<R, ReadError> {
        self.catch_up(journal).await;
        let turn = tokio::time::timeout(TURN, self.reader.lock()).await;
        let mut slot = turn.map_err(|_| {
            ReadError::Unavailable("the store is busy with other queries; try again".into())
        })?;
        self.sink.admit().map_err(unavailable)?;
        let mut reader = self.take_reader(&mut slot).await?;
        let answer = question(&mut reader).await.map_err(unavailable)?;
        *slot = Some(reader);
        answer.map_err(refused)
    }

    /// Out of its slot while a query runs: a query that fails or is abandoned spends it.
    async fn take_reader(&self, slot: &mut Option<SinkReader>) -> Result<SinkReader, ReadError> {
        if let Some(reader) = slot.take() {
            return Ok(reader);
        }
        let reader = self.sink.reader().await.map_err(|error| unavailable(&error))?;
        reader.ok_or_else(|| ReadError::Unavailable("this sink cannot be read back".into()))
    }

    /// Waits, for a moment, until what was written before the query is in the store.
    async fn catch_up(&self, journal: &Journal) {
        let name = &self.identity.name;
        let is_behind =
            |consumer: &journal::ConsumerStats| consumer.name == *name && consumer.lag_rows > 0;
        // What fails will not be there in a moment.
        let is_hopeless = self.is_failing.load(Relaxed);
        if is_hopeless || !journal.stats().consumers.iter().any(is_behind) {
            return;
        }
        let end = journal.end();
        self.hurry.notify_one();
        let mut acknowledged = self.acknowledged.subscribe();
        let there = acknowledged.wait_for(|position| position.is_some_and(|at| at >= end));
        drop(tokio::time::timeout(CATCH_UP, there).await);
    }
}

fn unavailable(error: impl std::error::Error) -> ReadError {
    ReadError::Unavailable(chain(&error))
}

fn refused(error: QueryError) -> ReadError {
    match error {
        QueryError::InvalidCursor => ReadError::InvalidCursor,
        QueryError::Unavailable(reason) => ReadError::Unavailable(reason),
        QueryError::Unsupported(reason) => ReadError::Unsupported(reason),
    }
}
