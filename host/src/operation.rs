//! Rows about the gateway itself: which configurations were in use, and what happened to
//! plugins.
//!
//! They are written beside the calls, never on the way of one, and whatever `journal.content`
//! says: nothing of a conversation is in them. A configuration is told by its files' hashes,
//! not by their text, which may hold what is nobody else's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::config::PluginSource;
use crate::gateway::Gateway;
use crate::journal::{Row, RowKind, Rows};
use crate::plugin::events::{Happening, PluginEvent};
use crate::snapshot::Snapshot;

/// A configuration that was in use, as `docs/data-model.md` describes it.
#[derive(Serialize)]
struct SnapshotFields<'a> {
    id: Uuid,
    time_unix_ms: u64,
    generation: u64,
    hash: &'a str,
    version: &'static str,
    files: Vec<FileFields>,
    plugins: Vec<PluginFields<'a>>,
    models: BTreeMap<&'a str, ModelFields<'a>>,
    /// The model of each variant of each function.
    functions: BTreeMap<&'a str, BTreeMap<&'a str, &'a str>>,
}

#[derive(Serialize)]
struct FileFields {
    path: String,
    sha256: String,
}

#[derive(Serialize)]
struct PluginFields<'a> {
    name: &'a str,
    source: String,
    digest: String,
}

#[derive(Serialize)]
struct ModelFields<'a> {
    router: &'a str,
    endpoints: Vec<&'a str>,
}

/// Something that happened to a plugin, as `docs/data-model.md` describes it.
#[derive(Serialize)]
struct EventFields<'a> {
    id: Uuid,
    time_unix_ms: u64,
    plugin: &'a str,
    event: &'static str,
    reason: Option<&'static str>,
    generation: u64,
    #[serde(skip_serializing_if = "is_zero")]
    missed: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The row of a configuration that is in use from now on.
pub fn snapshot_row(snapshot: &Snapshot) -> Row {
    let id = Uuid::now_v7();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time_unix_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let config = &snapshot.config;
    let files = config.sources.iter().map(|source| FileFields {
        path: source.path.display().to_string(),
        sha256: source.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
    });
    let plugins = snapshot.plugins.iter().map(|plugin| PluginFields {
        name: &plugin.name,
        source: config.plugins.get(&*plugin.name).map(|it| source(&it.source)).unwrap_or_default(),
        digest: plugin.digest.to_string(),
    });
    let models = snapshot.models.iter().map(|(name, model)| {
        let router = model.policy.as_ref().map_or("", |policy| &policy.router);
        let endpoints = model.endpoints.iter().map(|endpoint| &*endpoint.name).collect();
        (name.as_str(), ModelFields { router, endpoints })
    });
    let functions = snapshot.functions.iter().map(|(name, function)| {
        let variants = function.variants.iter();
        let models = variants.map(|(name, variant)| (name.as_str(), variant.model.as_str()));
        (name.as_str(), models.collect())
    });
    let fields = SnapshotFields {
        id,
        time_unix_ms,
        generation: snapshot.generation,
        hash: &snapshot.hash,
        version: env!("CARGO_PKG_VERSION"),
        files: files.collect(),
        plugins: plugins.collect(),
        models: models.collect(),
        functions: functions.collect(),
    };
    row(id, RowKind::Snapshot, time_unix_ms, &fields)
}

fn source(source: &PluginSource) -> String {
    match source {
        PluginSource::Bundled(name) => format!("bundled:{name}"),
        PluginSource::File(path) => format!("file:{}", path.display()),
    }
}

/// Writes what plugins tell, until the gateway stops.
pub async fn write_plugin_events(gateway: Arc<Gateway>, mut events: mpsc::Receiver<PluginEvent>) {
    let stopping = gateway.tasks.stopping().clone();
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = stopping.cancelled() => break,
        };
        let Some(event) = event else { return };
        gateway.write(Rows::of(&[event_row(&event, gateway.snapshot().generation)])).await;
    }
    // What is told already is still written.
    while let Ok(event) = events.try_recv() {
        gateway.write(Rows::of(&[event_row(&event, gateway.snapshot().generation)])).await;
    }
}

fn event_row(event: &PluginEvent, generation: u64) -> Row {
    let id = Uuid::now_v7();
    let (word, reason) = match event.happening {
        Happening::Killed(reason) => ("killed", reason),
        Happening::Quarantined(reason) => ("quarantined", reason),
        Happening::Released(reason) => ("released", reason),
    };
    let fields = EventFields {
        id,
        time_unix_ms: event.time_unix_ms,
        plugin: &event.plugin,
        event: word,
        reason: Some(reason),
        generation,
        missed: event.missed,
    };
    row(id, RowKind::PluginEvent, event.time_unix_ms, &fields)
}

fn row(id: Uuid, kind: RowKind, time_unix_ms: u64, fields: &impl Serialize) -> Row {
    // Plain structs of numbers and strings serialize without fail.
    let json = serde_json::to_vec(fields).unwrap_or_else(|error| {
        tracing::error!(%error, "a row could not be serialized");
        b"{}".to_vec()
    });
    Row { id, kind, inference_id: id, time_unix_ms, json }
}
