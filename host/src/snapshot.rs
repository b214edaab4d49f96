//! One immutable view of everything the operator decided.
//!
//! A request pins one snapshot when it is accepted and keeps it to its end, streams
//! included. Making one ([`build`](build::build)) may fail and changes nothing; swapping it
//! in cannot fail. What must outlive a swap (statistics, learned state, journal,
//! connections) belongs to the gateway and is only referred to here.

pub mod build;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use serde_json::{Map, Value};
use torana_routing::filter::Profile;
use torana_routing::policy::Outcome;
use torana_routing::price;
use torana_routing::statistics::Statistics;
use torana_wire::chat::Usage;

use crate::config::{self, Config, Credential};
use crate::delivery::SinkTarget;
use crate::dialect::Dialect;
use crate::plugin::LoadedPlugin;
use crate::plugin::policy::Policy;
use crate::plugin::provider::{self, Info};
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
    /// What is known of it.
    pub offer: config::Offer,
    /// The same as preferences and filters ask it.
    pub profile: Profile,
    /// A number for its name, the same in every process.
    pub id: u64,
    pub statistics: Arc<Statistics>,
}

/// What clients call a model.
pub struct Model {
    pub name: String,
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Absent when the client named an endpoint itself.
    pub policy: Option<ModelPolicy>,
    /// Streams that break off are gone on with at another endpoint.
    pub resume: bool,
}

impl Model {
    /// Of an endpoint that a client named itself.
    pub fn direct(name: &str, endpoint: Arc<Endpoint>) -> Self {
        Self { name: name.to_owned(), endpoints: vec![endpoint], policy: None, resume: false }
    }
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
pub struct OutcomeQueue(std::sync::Mutex<Vec<Outcome>>);

/// A policy is told several times a second; more than this between two tellings means it
/// is in quarantine.
const MAX_OUTCOMES: usize = 4_096;

impl OutcomeQueue {
    pub fn push(&self, outcome: Outcome) {
        let mut queue = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if queue.len() < MAX_OUTCOMES {
            queue.push(outcome);
        }
    }

    pub fn take(&self) -> Vec<Outcome> {
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
    /// SHA-256 over headers and database: secrets are not compared, nor kept here.
    pub secrets: [u8; 32],
    pub rows: config::SinkRows,
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
        let name = settings.name();
        Self {
            profile: profile(&provider, settings, &info),
            info,
            id: number(&name),
            label: name.as_str().into(),
            name: name.into(),
            target: target(&settings.model, merged_settings(&provider, settings)),
            offer: settings.offer.clone(),
            provider,
            statistics,
        }
    }

    /// US dollars: as the provider reports them, or by the price; `None` where neither is
    /// known.
    pub fn cost(&self, usage: &Usage) -> Option<f64> {
        price::cost(self.profile.price.as_ref(), usage).map(|(dollars, _)| dollars)
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
        let settings =
            config::Endpoint::unlisted(&provider.name, model, provider.config.offer(model));
        let info = provider.info.clone();
        let own = Self::new(provider, &settings, info, statistics(&label));
        Self { label: label.into(), ..own }
    }
}

/// A number for a name, the same in every process: sessions are remembered by it.
fn number(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

fn profile(provider: &Provider, settings: &config::Endpoint, info: &Info) -> Profile {
    let offer = &settings.offer;
    let said = Some(&info.supported_parameters).filter(|said| !said.is_empty());
    Profile {
        name: settings.name(),
        provider: settings.provider.clone(),
        preset: provider.config.preset.clone().unwrap_or_default(),
        model: settings.model.clone(),
        variants: ["region", "location"]
            .iter()
            .filter_map(|key| {
                merged_settings(provider, settings).get(*key)?.as_str().map(Into::into)
            })
            .collect(),
        price: offer.price,
        context_window: offer.context_window,
        max_output: offer.max_output,
        quantization: offer.quantization.unwrap_or_default(),
        data: offer.data_policy,
        parameters: offer.parameters.as_ref().or(said).map(|it| it.iter().cloned().collect()),
        modalities: offer.inputs.clone(),
        distillable: offer.distillable,
        has_credential: !provider.is_unlit(),
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
