//! `torana route replay`: a recorded decision, made again.
//!
//! The record comes from the store that the configuration names, or from a file with what
//! `GET /v1/inferences/{id}` gives.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use super::offline::{Offline, OfflineError, StoreError};
use crate::plugin::sink::QueryError;
use crate::plugin::{CallFailure, LoadedPlugin};
use crate::routing::decision::Decision;
use crate::routing::replay::{Replayed, Verdict, replay};

/// A record with its prompt: more than any body that is taken.
const LONGEST_RECORD: u64 = 256 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The inference, or a file with its record; `-` reads standard input.
    id_or_file: String,
    /// The component to ask, where the one that decided is neither bundled nor configured.
    #[arg(long, value_name = "FILE.wasm")]
    policy: Option<String>,
    /// Prints JSON instead of lines.
    #[arg(long)]
    json: bool,
    /// The configuration whose store is read and whose plugins are tried.
    #[arg(long, short, env = "TORANA_CONFIG")]
    config: Option<String>,
}

/// Why a decision cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplayError {
    #[error(transparent)]
    Offline(#[from] OfflineError),
    #[error("{path} cannot be read: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("the record is no JSON of an inference")]
    Record(#[source] serde_json::Error),
    #[error("the record has no decision: it failed before it was routed")]
    NoDecision,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store does not answer")]
    Read(#[from] CallFailure),
    #[error("the store refuses the question: {0:?}")]
    Query(QueryError),
    #[error("there is no inference with the id {0} in the store")]
    Unknown(String),
    #[error("the report cannot be written as JSON")]
    Json(#[source] serde_json::Error),
}

#[derive(Deserialize)]
struct Record {
    decision: Option<Decision>,
}

/// Replays; the text to print, and whether everything came out as recorded.
pub(super) async fn run(arguments: &Arguments) -> Result<(String, bool), ReplayError> {
    let offline = Offline::open(arguments.config.as_deref())?;
    let id = &arguments.id_or_file;
    let record =
        if uuid::Uuid::parse_str(id).is_ok() { stored(&offline, id).await? } else { read(id)? };
    let record: Record = serde_json::from_slice(&record).map_err(ReplayError::Record)?;
    let decision = record.decision.ok_or(ReplayError::NoDecision)?;
    let named = arguments.policy.as_deref().map(|policy| offline.policy(policy)).transpose()?;
    let named = named.map(|(plugin, _)| plugin);
    let find = |_: &str, digest: &str| -> Option<Arc<LoadedPlugin>> {
        named.clone().or_else(|| offline.all().find(|plugin| plugin.digest.to_string() == digest))
    };
    let replayed = replay(&decision, &find);
    let same = replayed.iter().all(|one| one.verdict.is_same());
    if arguments.json {
        return Ok((serde_json::to_string_pretty(&replayed).map_err(ReplayError::Json)?, same));
    }
    let mut lines = vec![format!("plan: {} ({})", decision.plan.join(" → "), decision.order)];
    lines.extend(replayed.iter().map(line));
    Ok((lines.join("\n"), same))
}

fn line(replayed: &Replayed) -> String {
    let Replayed { model, router, verdict } = replayed;
    match verdict {
        Verdict::Identical { plan } => format!("{model} by {router}: identical\n  {plan}"),
        Verdict::Different { recorded, replayed } => {
            format!("{model} by {router}: DIFFERENT\n  then {recorded}\n  now  {replayed}")
        }
        Verdict::FailedAgain { reason } => {
            format!("{model} by {router}: failed then and now: {reason}")
        }
        Verdict::Impossible { reason } => {
            format!("{model} by {router}: cannot be replayed: {reason}")
        }
    }
}

fn read(path: &str) -> Result<Vec<u8>, ReplayError> {
    let mut record = Vec::new();
    let result = if path == "-" {
        std::io::stdin().take(LONGEST_RECORD).read_to_end(&mut record)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(LONGEST_RECORD).read_to_end(&mut record))
    };
    result.map_err(|source| ReplayError::File { path: path.into(), source })?;
    Ok(record)
}

async fn stored(offline: &Offline, id: &str) -> Result<Vec<u8>, ReplayError> {
    let mut reader = offline.reader().await?;
    let found = reader.get_inference(id).await?.map_err(ReplayError::Query)?;
    found.ok_or_else(|| ReplayError::Unknown(id.to_owned()))
}
