//! Why recorded traffic cannot be replayed.

use std::io;

use super::Counts;
use crate::scenario::ScenarioError;

/// Names in a message: more than a line of them is read by nobody.
const MOST_NAMES: usize = 20;

/// No scenario can be made of the rows.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("line {line} cannot be read")]
    Read { line: u64, source: io::Error },
    #[error(
        "no request is recorded that came to a decision, among {} rows read and {} not readable; \
         expected rows of the kinds inference and model_inference",
        .0.inferences + .0.attempts + .0.unrouted + .0.twice + .0.other_kinds, .0.unreadable
    )]
    NoRequests(Counts),
    #[error("requests of {} models are recorded; choose one of {}", .0.len(), list(.0))]
    SeveralModels(Vec<Known>),
    #[error("no request for the model `{model}` is recorded; choose one of {}", list(known))]
    UnknownModel { model: String, known: Vec<Known> },
    #[error(
        "no policy has a choice: expected a model with two endpoints or more, found {}",
        list(.0)
    )]
    NoChoice(Vec<Known>),
    #[error(
        "of the endpoints of `{model}` only {} ever answered ({}); expected two or more: record \
         more, or write the endpoints into a scenario",
        answered.len(), answered.join(", ")
    )]
    TooFewAnswered { model: String, answered: Vec<String> },
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
}

/// A model of which requests are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub model: String,
    pub requests: u64,
    pub endpoints: usize,
}

fn list(known: &[Known]) -> String {
    let mut words: Vec<String> = known
        .iter()
        .take(MOST_NAMES)
        .map(|Known { model, requests, endpoints }| {
            format!("`{model}` ({requests} requests, {endpoints} endpoints)")
        })
        .collect();
    if known.len() > MOST_NAMES {
        words.push(format!("{} more", known.len() - MOST_NAMES));
    }
    words.join(", ")
}
