//! One immutable view of everything the operator decided.
//!
//! A request pins one snapshot when it is accepted and keeps it to its end, streams
//! included. Making one ([`build`](build::build)) may fail and changes nothing; swapping it
//! in cannot fail. What must outlive a swap (statistics, learned state, journal,
//! connections) belongs to the gateway and is only referred to here.

pub mod build;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::config::{self, Config, Credential};
use crate::delivery::SinkTarget;
use crate::dialect::Dialect;
use crate::plugin::LoadedPlugin;
use crate::plugin::policy::{self, Policy};
use crate::plugin::provider::{self, Info};
use crate::routing::statistics::Statistics;
use crate::upstream::credential::Authenticator;

/// One view of everything.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts up with every swap; 1 at start.
    pub generation: u64,
    /// SHA-256 over configuration files, templates and plugin digests, in hexadecimal.
    pub hash: String,
    pub config: Config,
    pub providers: BTreeMap<String, Arc<Provider>>,
    pub models: BTreeMap<String, Arc<Model>>,
    pub functions: BTreeMap<String, Function>,
    pub sinks: Vec<Arc<SinkTarget>>,
    /// Everything that was loaded, for `/status`.
    pub plugins: Vec<Arc<LoadedPlugin>>,
}

/// A provider with its adapter.
pub struct Provider {
    pub name: Arc<str>,
    pub adapter: provider::Provider,
    pub info: Arc<Info>,
    pub config: config::Provider,
    pub authenticator: Authenticator,
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Provider {
    /// Its credential is not there: it is configured but cannot be called.
    pub fn is_unlit(&self) -> bool {
        matches!(self.config.credential, Credential::Missing(_))
    }
}

/// One model at one provider.
#[derive(Debug)]
pub struct Endpoint {
    /// `provider/model`.
    pub name: Arc<str>,
    /// What metrics call it: its name, or `provider/*` for one that no configuration lists,
    /// since clients must not be able to make up time series.
    pub label: Arc<str>,
    pub provider: Arc<Provider>,
    /// What the adapter is told.
    pub target: provider::Endpoint,
    /// What the adapter says of itself with this endpoint's settings.
    pub info: Arc<Info>,
    pub price: Option<config::Price>,
    pub context_window: Option<u64>,
    pub statistics: Arc<Statistics>,
}

/// What clients call a model.
pub struct Model {
    pub name: String,
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Absent when the client named an endpoint itself.
    pub policy: Option<ModelPolicy>,
}

/// A policy under the name the configuration gives it.
pub struct ModelPolicy {
    pub router: String,
    pub policy: Policy,
    /// Outcomes waiting to be told to the policy.
    pub outcomes: OutcomeQueue,
}

/// Outcomes that a policy has not seen yet, within a bound; beyond it they are not kept.
#[derive(Debug, Default)]
pub struct OutcomeQueue(std::sync::Mutex<Vec<policy::Outcome>>);

/// A policy is told several times a second; more than this between two tellings means it
/// is in quarantine.
const MAX_OUTCOMES: usize = 4_096;

impl OutcomeQueue {
    pub fn push(&self, outcome: policy::Outcome) {
        let mut queue = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if queue.len() < MAX_OUTCOMES {
            queue.push(outcome);
        }
    }

    pub fn take(&self) -> Vec<policy::Outcome> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A named task.
#[derive(Debug)]
pub struct Function {
    pub variants: BTreeMap<String, config::Variant>,
    /// Variants in order with the upper end of their share of `0..1`.
    pub shares: Vec<(String, f64)>,
    /// The experiment's own words.
    pub reason: String,
}

/// Two sinks with the same identity are the same sink.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkIdentity {
    pub name: String,
    pub digest: crate::plugin::Digest,
    pub settings: Map<String, Value>,
    pub grants: config::Grants,
    pub limits: config::Limits,
}

impl Endpoint {
    fn new(
        provider: Arc<Provider>,
        settings: &config::Endpoint,
        info: Arc<Info>,
        statistics: Arc<Statistics>,
    ) -> Self {
        Self {
            info,
            name: settings.name().into(),
            label: settings.name().into(),
            target: target(&settings.model, merged_settings(&provider, settings)),
            price: settings.price,
            context_window: settings.context_window,
            provider,
            statistics,
        }
    }

    /// It has the client's own route: bodies can go there as they are.
    pub fn speaks(&self, dialect: Dialect) -> bool {
        self.provider.config.forward && self.info.wires.contains(&dialect.wire())
    }

    /// An endpoint that a client named and no `[models]` entry lists. All such endpoints of
    /// a provider share their statistics, so that clients cannot make the gateway remember
    /// names.
    pub fn unlisted(
        provider: Arc<Provider>,
        model: &str,
        statistics: impl FnOnce(&str) -> Arc<Statistics>,
    ) -> Self {
        let label = format!("{}/*", provider.name);
        Self {
            info: provider.info.clone(),
            name: format!("{}/{model}", provider.name).into(),
            statistics: statistics(&label),
            label: label.into(),
            target: target(model, provider.config.settings.clone()),
            price: None,
            context_window: None,
            provider,
        }
    }
}

fn merged_settings(provider: &Provider, endpoint: &config::Endpoint) -> Map<String, Value> {
    let mut merged = provider.config.settings.clone();
    merged.extend(endpoint.settings.clone());
    merged
}

fn target(model: &str, settings: Map<String, Value>) -> provider::Endpoint {
    let settings = Value::Object(settings).to_string().into_bytes();
    provider::Endpoint { model: model.to_owned(), settings }
}
