//! The sink that is read, and what its failures are to a client.

use std::sync::Arc;

use crate::delivery::{ReadError, SinkTarget};
use crate::error::Cause;
use crate::gateway::Gateway;
use crate::journal::Journal;
use crate::plugin::sink::{
    FeedbackRequest, FeedbackRow, Page, PageRequest, RowFilter, Table, UsageReport, UsageRequest,
};
use crate::snapshot::Snapshot;

/// The sink that the operator named in `query_sink`, or the first that can be asked.
pub struct Store<'a> {
    target: &'a Arc<SinkTarget>,
    journal: &'a Journal,
}

impl<'a> Store<'a> {
    /// # Errors
    /// No sink can be asked.
    pub fn of(gateway: &'a Gateway, snapshot: &'a Snapshot) -> Result<Self, Cause> {
        let named = snapshot.config.query_sink.as_deref();
        let target = snapshot
            .sinks
            .iter()
            .filter(|sink| named.is_none_or(|name| sink.identity.name == name))
            .find(|sink| sink.is_queryable())
            .ok_or(Cause::NoQuerySink)?;
        Ok(Self { target, journal: &gateway.journal })
    }

    pub async fn rows(
        &self,
        table: Table,
        filter: &RowFilter,
        page: &PageRequest,
    ) -> Result<Page, Cause> {
        let rows = self.target.list_rows(self.journal, table, filter, page).await;
        rows.map_err(|error| self.failed(error))
    }

    /// JSON of one inference with its attempts and feedback.
    pub async fn inference(&self, id: &str) -> Result<Option<Vec<u8>>, Cause> {
        let found = self.target.get_inference(self.journal, id).await;
        found.map_err(|error| self.failed(error))
    }

    pub async fn usage(&self, request: &UsageRequest) -> Result<UsageReport, Cause> {
        let report = self.target.usage(self.journal, request).await;
        report.map_err(|error| self.failed(error))
    }

    pub async fn feedback(&self, request: &FeedbackRequest) -> Result<Vec<FeedbackRow>, Cause> {
        let rows = self.target.feedback_statistics(self.journal, request).await;
        rows.map_err(|error| self.failed(error))
    }

    /// A row that makes no sense.
    pub fn broken(&self, error: &serde_json::Error) -> Cause {
        self.unavailable(&format!("a row is not as the gateway writes them: {error}"))
    }

    fn failed(&self, error: ReadError) -> Cause {
        match error {
            ReadError::InvalidCursor => Cause::InvalidRequest {
                param: Some("cursor".into()),
                message: "cursor: not one of this store's; expected `next` of an earlier answer \
                          to the same question"
                    .into(),
            },
            ReadError::Unavailable(reason) => self.unavailable(&reason),
            ReadError::Unsupported(reason) => Cause::QueryUnsupported { sink: self.name(), reason },
        }
    }

    fn unavailable(&self, reason: &str) -> Cause {
        Cause::StoreUnavailable(format!("sink {}: {reason}", self.name()))
    }

    fn name(&self) -> String {
        self.target.identity.name.clone()
    }
}
