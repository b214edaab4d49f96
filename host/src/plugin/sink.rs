//! The host's face of a sink: one instance that writes, one that reads back.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::bindings::query::{Query as QueryBindings, QueryIndices};
use super::bindings::sink::{Sink as Bindings, SinkIndices};
use super::call::Purpose;
use super::catalog::LoadCause;
use super::imports::{
    AppendFile, Capabilities, Database, Granted, HttpClient, OwnHeaders, Postgres, Sqlite,
};
use super::instance::Instance;
use super::provider::json;
use super::{CallFailure, LoadedPlugin};
use crate::config::{self, DatabaseUrl, HttpGrant};

pub use super::bindings::query::exports::torana::sink::query::{
    Comparison, Dimension, Error as QueryError, FeedbackRequest, FeedbackRow, MetricFilter, Order,
    Page, PageRequest, RowFilter, Spread, Table, UsageReport, UsageRequest, UsageRow,
};
pub use super::bindings::sink::exports::torana::sink::delivery::{
    Outcome, Rejection, Row, RowKind,
};

/// A filter that everything passes.
pub const EVERYTHING: RowFilter = RowFilter {
    key: None,
    function: None,
    variant: None,
    model: None,
    endpoint: None,
    outcome: None,
    episode_id: None,
    response_id: None,
    tags: Vec::new(),
    metrics: Vec::new(),
    text: None,
    since_unix_ms: None,
    until_unix_ms: None,
};

/// A sink with its settings and the outside world it was granted.
pub struct Sink {
    plugin: Arc<LoadedPlugin>,
    delivery: SinkIndices,
    query: Option<QueryIndices>,
    settings: Vec<u8>,
    own_headers: Arc<OwnHeaders>,
    capabilities: Capabilities,
}

impl Sink {
    /// Opens what was granted; `open` of the sink itself comes with [`Sink::writer`].
    pub fn new(plugin: Arc<LoadedPlugin>, sink: &config::Sink) -> Result<Self, LoadCause> {
        let delivery = SinkIndices::new(plugin.linked()).map_err(LoadCause::Link)?;
        let query = if plugin.queryable {
            Some(QueryIndices::new(plugin.linked()).map_err(LoadCause::Link)?)
        } else {
            None
        };
        let own_headers = Arc::new(OwnHeaders::new(&sink.headers));
        let capabilities = capabilities(&plugin, sink, &own_headers)?;
        let settings = json(&sink.settings);
        Ok(Self { plugin, delivery, query, settings, own_headers, capabilities })
    }

    /// Whether the plugin takes calls now; in quarantine, one is let in for each back-off. To
    /// be asked before each [`SinkWriter::write`] and each question, and before an instance is
    /// made for it.
    pub fn admit(&self) -> Result<(), CallFailure> {
        self.plugin.admit()
    }

    /// The words without any secret of the sink's headers.
    pub fn redact(&self, words: &str) -> String {
        let redacted = self.own_headers.redact(words.as_bytes().to_vec());
        String::from_utf8_lossy(&redacted).into_owned()
    }

    pub fn plugin(&self) -> &Arc<LoadedPlugin> {
        &self.plugin
    }

    /// An opened instance that takes batches.
    pub async fn writer(&self) -> Result<SinkWriter, LoadCause> {
        let mut instance = self
            .plugin
            .instantiate_async(self.capabilities.for_an_instance(), |store, component| {
                self.delivery.load(store, component)
            })
            .await
            .map_err(LoadCause::Trial)?;
        self.plugin
            .call_async(
                Purpose::SetUp,
                &mut instance,
                async |Instance { store, bindings, .. }| {
                    bindings.torana_sink_delivery().call_open(store, &self.settings).await
                },
            )
            .await
            .map_err(|source| LoadCause::Start { function: "open", source })?
            .map_err(|refused| LoadCause::Settings {
                pointer: refused.pointer,
                message: refused.message,
            })?;
        Ok(SinkWriter { plugin: self.plugin.clone(), instance })
    }

    /// An opened instance that can be asked; `None` for a sink that cannot.
    pub async fn reader(&self) -> Result<Option<SinkReader>, LoadCause> {
        let Some(query) = &self.query else { return Ok(None) };
        let SinkWriter { plugin, mut instance } = self.writer().await?;
        // The same instance, seen through its other interface.
        let bindings = instance
            .component
            .as_ref()
            .map(|component| query.load(&mut instance.store, component))
            .transpose()
            .map_err(LoadCause::Link)?;
        Ok(bindings.map(|bindings| SinkReader {
            plugin,
            instance: Instance {
                store: instance.store,
                bindings,
                component: None,
                calls: instance.calls,
                spent: false,
            },
        }))
    }
}

/// Takes batches. After an error, and after a call that was abandoned, it must be dropped.
pub struct SinkWriter {
    plugin: Arc<LoadedPlugin>,
    instance: Instance<Bindings>,
}

impl SinkWriter {
    pub async fn write(&mut self, batch: &[Row]) -> Result<Outcome, CallFailure> {
        self.plugin
            .call_async(
                Purpose::Work,
                &mut self.instance,
                async |Instance { store, bindings, .. }| {
                    bindings.torana_sink_delivery().call_write(store, batch).await
                },
            )
            .await
    }

    pub async fn flush(&mut self) -> Result<Outcome, CallFailure> {
        self.plugin
            .call_async(
                Purpose::Work,
                &mut self.instance,
                async |Instance { store, bindings, .. }| {
                    bindings.torana_sink_delivery().call_flush(store).await
                },
            )
            .await
    }
}

/// Answers queries. After a call failure it must be dropped.
pub struct SinkReader {
    plugin: Arc<LoadedPlugin>,
    instance: Instance<QueryBindings>,
}

/// What a store says to a question: its answer or its refusal, unless its plugin failed.
pub type Answer<R> = Result<Result<R, QueryError>, CallFailure>;

impl SinkReader {
    pub async fn list_rows(
        &mut self,
        table: Table,
        filter: &RowFilter,
        page: &PageRequest,
    ) -> Answer<Page> {
        self.ask(async |Instance { store, bindings, .. }| {
            bindings.torana_sink_query().call_list_rows(store, table, filter, page).await
        })
        .await
    }

    pub async fn get_inference(&mut self, id: &str) -> Answer<Option<Vec<u8>>> {
        self.ask(async |Instance { store, bindings, .. }| {
            bindings.torana_sink_query().call_get_inference(store, id).await
        })
        .await
    }

    pub async fn usage(&mut self, request: &UsageRequest) -> Answer<UsageReport> {
        self.ask(async |Instance { store, bindings, .. }| {
            bindings.torana_sink_query().call_usage(store, request).await
        })
        .await
    }

    pub async fn feedback_statistics(
        &mut self,
        request: &FeedbackRequest,
    ) -> Answer<Vec<FeedbackRow>> {
        self.ask(async |Instance { store, bindings, .. }| {
            bindings.torana_sink_query().call_feedback_statistics(store, request).await
        })
        .await
    }

    async fn ask<R>(
        &mut self,
        question: impl AsyncFnOnce(
            &mut Instance<QueryBindings>,
        ) -> wasmtime::Result<Result<R, QueryError>>,
    ) -> Answer<R> {
        self.plugin.call_async(Purpose::Work, &mut self.instance, question).await
    }
}

fn capabilities(
    plugin: &LoadedPlugin,
    sink: &config::Sink,
    own_headers: &Arc<OwnHeaders>,
) -> Result<Capabilities, LoadCause> {
    let settings = &sink.settings;
    let path = settings.get("path").and_then(Value::as_str).map(Path::new);
    let grants = &plugin.grants;
    let mut capabilities = plugin.capabilities();
    if grants.sql {
        capabilities.sql = database(plugin, path, sink.database.as_ref())?;
    }
    if let (true, Some(path)) = (grants.file, path) {
        capabilities.file = Some(Arc::new(AppendFile::new(path)));
    }
    if !grants.http.is_empty() {
        let tls = crate::upstream::tls::client_configuration()
            .map_err(|error| LoadCause::Capability(Box::new(error)))?;
        let url = settings.get("url").and_then(Value::as_str).unwrap_or_default();
        let granted: Vec<Granted> = grants.http.iter().map(|grant| granted(grant, url)).collect();
        let client = HttpClient::new(&granted, own_headers.clone(), tls);
        capabilities.http = Some(Arc::new(client));
    }
    Ok(capabilities)
}

fn database(
    plugin: &LoadedPlugin,
    path: Option<&Path>,
    url: Option<&DatabaseUrl>,
) -> Result<Option<Database>, LoadCause> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| LoadCause::Capability(error);
    Ok(match (url, path) {
        (Some(url), _) => {
            let server =
                Postgres::new(url, plugin.limits.io).map_err(|error| failed(Box::new(error)))?;
            Some(Database::Postgres(Arc::new(server)))
        }
        (None, Some(path)) => {
            let file = Sqlite::open(path).map_err(|error| failed(Box::new(error)))?;
            Some(Database::Sqlite(Arc::new(file)))
        }
        (None, None) => None,
    })
}

fn granted(grant: &HttpGrant, url: &str) -> Granted {
    match grant {
        HttpGrant::Origin(origin) => Granted { url: origin.clone(), may_be_private: false },
        HttpGrant::SettingsUrl => Granted { url: url.to_owned(), may_be_private: true },
    }
}
