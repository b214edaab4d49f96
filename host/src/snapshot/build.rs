//! Makes a snapshot: loads, links and tries everything that a configuration names.
//!
//! Collects whatever is wrong, with its place in the configuration, before it gives up.
//! Touches nothing that runs: a plugin is tried in instances of its own, a sink that is the
//! same as before is taken over as it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest as _, Sha256};
use torana_routing::policy;
use torana_routing::statistics::Statistics;

use super::{
    Endpoint, Function, Model, ModelPolicy, OutcomeQueue, Provider, SinkIdentity, Snapshot,
    merged_settings,
};
use crate::config::{self, Config};
use crate::delivery::SinkTarget;
use crate::error::chain;
use crate::plugin::catalog::LoadCause;
use crate::plugin::experiment::{self, VariantStatistics};
use crate::plugin::policy::Policy;
use crate::plugin::provider::{self, Info};
use crate::plugin::sink::Sink;
use crate::plugin::{Catalog, Kind, LoadError, LoadedPlugin};
use crate::upstream::credential::{Ambient, Authenticator, SchemeError};

/// Why a snapshot could not be made: everything that was wrong.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(|failure| chain(failure)).collect::<Vec<_>>().join("\n"))]
pub struct BuildError(pub Vec<BuildFailure>);

/// One thing that was wrong, and where it stands in the configuration.
#[derive(Debug, thiserror::Error)]
#[error("{table}")]
pub struct BuildFailure {
    /// `file:line: table`, such as `config/torana.toml:12: models.small`.
    table: String,
    #[source]
    cause: BuildCause,
}

/// What was wrong.
#[derive(Debug, thiserror::Error)]
pub enum BuildCause {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("plugin {plugin}")]
    Use { plugin: String, source: LoadCause },
    #[error(transparent)]
    Credential(#[from] SchemeError),
    #[error("{0}")]
    Unsupported(String),
}

/// What outlives snapshots and is needed to make one.
pub struct Surroundings<'a> {
    pub catalog: &'a Catalog,
    /// By endpoint name.
    pub statistics: &'a dyn Fn(&str) -> Arc<Statistics>,
    /// What a router learned for a model, by router and model name.
    pub learned: &'a dyn Fn(&str, &str) -> Arc<[u8]>,
    /// A running sink with the same identity, to be kept as it is.
    pub running_sink: &'a dyn Fn(&SinkIdentity) -> Option<Arc<SinkTarget>>,
    pub runtime: &'a tokio::runtime::Handle,
    /// Identities that the machine gives.
    pub ambient: &'a Ambient,
}

/// Loads, links and tries everything that `config` names. Blocks for as long as it takes to
/// compile; runs on a blocking thread.
pub fn build(
    config: Config,
    generation: u64,
    surroundings: &Surroundings<'_>,
) -> Result<Snapshot, BuildError> {
    let started = Instant::now();
    let mut builder =
        Builder { config: &config, surroundings, plugins: BTreeMap::new(), failures: Vec::new() };
    builder.load_all();
    let providers = builder.providers();
    let models = builder.models(&providers);
    let functions = builder.functions();
    let sinks = builder.sinks();
    let Builder { plugins, failures, .. } = builder;
    if !failures.is_empty() {
        return Err(BuildError(failures));
    }
    let plugins: Vec<Arc<LoadedPlugin>> = plugins.into_values().collect();
    let hash = hash(&config, &plugins);
    tracing::info!(generation, %hash, elapsed_ms = started.elapsed().as_millis(), "snapshot built");
    Ok(Snapshot { generation, hash, config, providers, models, functions, sinks, plugins })
}

struct Builder<'a> {
    config: &'a Config,
    surroundings: &'a Surroundings<'a>,
    plugins: BTreeMap<(String, Kind), Arc<LoadedPlugin>>,
    failures: Vec<BuildFailure>,
}

impl Builder<'_> {
    /// Compiles what is named, all at once: a start with ten plugins costs as much as the
    /// slowest few.
    fn load_all(&mut self) {
        let config = self.config;
        let mut wanted: Vec<(&str, Kind)> = Vec::new();
        wanted.extend(config.providers.values().map(|p| (p.plugin.as_str(), Kind::Provider)));
        wanted.extend(config.models.values().filter_map(|model| {
            config.routers.get(&model.router).map(|router| (router.plugin.as_str(), Kind::Router))
        }));
        wanted.extend(
            config.functions.values().map(|f| (f.experiment.plugin.as_str(), Kind::Experiment)),
        );
        wanted.extend(config.sinks.values().map(|s| (s.plugin.as_str(), Kind::Sink)));
        wanted.sort_unstable();
        wanted.dedup();

        let catalog = self.surroundings.catalog;
        let loaded: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> = wanted
                .into_iter()
                .filter_map(|(name, kind)| {
                    let plugin = config.plugins.get(name)?;
                    let load = move || ((name.to_owned(), kind), catalog.load(name, plugin, kind));
                    Some(scope.spawn(load))
                })
                .collect();
            running.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        for (key, result) in loaded {
            match result {
                Ok(plugin) => {
                    // A reload ends quarantine: the trial that follows must be let in.
                    plugin.release();
                    self.plugins.insert(key, plugin);
                }
                Err(error) => {
                    let table = self.first_use(&key.0, key.1);
                    self.report(&table, error);
                }
            }
        }
    }

    fn plugin(&self, name: &str, kind: Kind) -> Option<Arc<LoadedPlugin>> {
        self.plugins.get(&(name.to_owned(), kind)).cloned()
    }

    /// The table that names a plugin: its own, or the first that uses it.
    fn first_use(&self, plugin: &str, kind: Kind) -> String {
        let config = self.config;
        let own = format!("plugins.{plugin}");
        if config.places.contains_key(&own) {
            return own;
        }
        let user = match kind {
            Kind::Provider => config
                .providers
                .iter()
                .find(|(_, provider)| provider.plugin == plugin)
                .map(|(name, _)| format!("providers.{name}")),
            Kind::Router => config
                .routers
                .iter()
                .find(|(_, router)| router.plugin == plugin)
                .map(|(name, _)| format!("routers.{name}")),
            Kind::Experiment => config
                .functions
                .iter()
                .find(|(_, function)| function.experiment.plugin == plugin)
                .map(|(name, _)| format!("functions.{name}")),
            Kind::Sink => config
                .sinks
                .iter()
                .find(|(_, sink)| sink.plugin == plugin)
                .map(|(name, _)| format!("sinks.{name}")),
        };
        user.unwrap_or(own)
    }

    fn fail(&mut self, table: &str, plugin: &str, source: LoadCause) {
        self.report(table, BuildCause::Use { plugin: plugin.to_owned(), source });
    }

    fn report(&mut self, table: &str, cause: impl Into<BuildCause>) {
        let table = match self.config.places.get(table) {
            Some(place) => format!("{place}: {table}"),
            None => table.to_owned(),
        };
        self.failures.push(BuildFailure { table, cause: cause.into() });
    }

    fn providers(&mut self) -> BTreeMap<String, Arc<Provider>> {
        let mut providers = BTreeMap::new();
        for (name, settings) in &self.config.providers {
            let Some(plugin) = self.plugin(&settings.plugin, Kind::Provider) else { continue };
            let table = format!("providers.{name}");
            let described = provider::Provider::new(plugin).and_then(|adapter| {
                adapter.describe(&settings.settings).map(|info| (adapter, info))
            });
            let (adapter, info) = match described {
                Ok(described) => described,
                Err(source) => {
                    self.fail(&table, &settings.plugin, source);
                    continue;
                }
            };
            let ambient = self.surroundings.ambient;
            let authenticator =
                match Authenticator::new(&info.credential, &settings.credential, ambient) {
                    Ok(authenticator) => authenticator,
                    Err(error) => {
                        self.report(&table, error);
                        continue;
                    }
                };
            let provider = Provider {
                name: name.as_str().into(),
                adapter,
                info: Arc::new(info),
                config: settings.clone(),
                authenticator,
            };
            providers.insert(name.clone(), Arc::new(provider));
        }
        providers
    }

    fn models(
        &mut self,
        providers: &BTreeMap<String, Arc<Provider>>,
    ) -> BTreeMap<String, Arc<Model>> {
        let mut models = BTreeMap::new();
        for (name, settings) in &self.config.models {
            let endpoints: Vec<Arc<Endpoint>> = settings
                .endpoints
                .iter()
                .filter_map(|endpoint| {
                    let provider = providers.get(&endpoint.provider)?;
                    let info = self.describe(name, provider, endpoint)?;
                    let statistics = (self.surroundings.statistics)(&endpoint.name());
                    Some(Arc::new(Endpoint::new(provider.clone(), endpoint, info, statistics)))
                })
                .collect();
            if endpoints.len() != settings.endpoints.len() {
                // A provider or its settings failed and are already reported.
                continue;
            }
            let Some(policy) = self.policy(name, settings) else { continue };
            let model = Model {
                name: name.clone(),
                endpoints,
                policy: Some(policy),
                resume: settings.resume,
            };
            models.insert(name.clone(), Arc::new(model));
        }
        models
    }

    /// What the adapter says with an endpoint's own settings: it must find them good now, not
    /// at the first request.
    fn describe(
        &mut self,
        model: &str,
        provider: &Arc<Provider>,
        written: &config::Endpoint,
    ) -> Option<Arc<Info>> {
        if written.settings.is_empty() {
            return Some(provider.info.clone());
        }
        match provider.adapter.describe(&merged_settings(provider, written)) {
            Ok(info) => Some(Arc::new(info)),
            Err(source) => {
                let plugin = format!("{}, endpoint {}", provider.config.plugin, written.name());
                self.fail(&format!("models.{model}"), &plugin, source);
                None
            }
        }
    }

    fn policy(&mut self, model: &str, settings: &config::Model) -> Option<ModelPolicy> {
        let router = self.config.routers.get(&settings.router)?;
        let plugin = self.plugin(&router.plugin, Kind::Router)?;
        let rows = settings.endpoints.iter().map(policy_row).collect();
        let learned = (self.surroundings.learned)(&settings.router, model);
        match Policy::prepare(plugin, &router.settings, rows, learned) {
            Ok(policy) => Some(ModelPolicy {
                router: settings.router.clone(),
                policy,
                outcomes: OutcomeQueue::default(),
            }),
            Err(source) => {
                let plugin = format!("{} as router {}", router.plugin, settings.router);
                self.fail(&format!("models.{model}"), &plugin, source);
                None
            }
        }
    }

    fn functions(&mut self) -> BTreeMap<String, Function> {
        let mut functions = BTreeMap::new();
        for (name, settings) in &self.config.functions {
            let plugin_name = &settings.experiment.plugin;
            let Some(plugin) = self.plugin(plugin_name, Kind::Experiment) else { continue };
            let variants: Vec<VariantStatistics> = settings
                .variants
                .iter()
                .map(|(variant, settings)| VariantStatistics {
                    name: variant.clone(),
                    weight: settings.weight,
                    inferences: 0,
                    metrics: Vec::new(),
                })
                .collect();
            let table = format!("functions.{name}");
            match experiment::allocate(&plugin, name, &variants, &settings.experiment.settings) {
                Ok(allocation) => {
                    let shares = cumulative(&allocation, &settings.variants);
                    if shares.is_empty() {
                        let message =
                            format!("plugin {plugin_name} gave no variant a share above 0");
                        self.report(&table, BuildCause::Unsupported(message));
                        continue;
                    }
                    let variants = settings.variants.clone();
                    let reason = allocation.reason;
                    functions.insert(name.clone(), Function { variants, shares, reason });
                }
                Err(source) => self.fail(&table, plugin_name, source),
            }
        }
        functions
    }

    fn sinks(&mut self) -> Vec<Arc<SinkTarget>> {
        let mut sinks = Vec::new();
        for (name, settings) in &self.config.sinks {
            let Some(plugin) = self.plugin(&settings.plugin, Kind::Sink) else { continue };
            let identity = SinkIdentity {
                name: name.clone(),
                digest: plugin.digest,
                settings: settings.settings.clone(),
                secrets: digest(settings),
                rows: settings.rows.clone(),
                grants: plugin.grants.clone(),
                limits: plugin.limits,
            };
            if let Some(running) = (self.surroundings.running_sink)(&identity) {
                sinks.push(running);
                continue;
            }
            let opened = Sink::new(plugin, settings);
            let opened = opened.and_then(|sink| {
                // Opening is part of the trial: a store that cannot be opened must not
                // replace one that works.
                self.surroundings.runtime.block_on(sink.writer())?;
                Ok(sink)
            });
            match opened {
                Ok(sink) => sinks.push(Arc::new(SinkTarget::new(identity, sink))),
                Err(source) => self.fail(&format!("sinks.{name}"), &settings.plugin, source),
            }
        }
        sinks
    }
}

fn policy_row(endpoint: &config::Endpoint) -> policy::Endpoint {
    policy::Endpoint {
        name: endpoint.name(),
        provider: endpoint.provider.clone(),
        model: endpoint.model.clone(),
        weight: endpoint.weight,
        price_input: endpoint.offer.price.map(|price| price.input),
        price_output: endpoint.offer.price.map(|price| price.output),
        price_cached_input: endpoint.offer.price.and_then(|price| price.cached_input),
        context_window: endpoint.offer.context_window,
    }
}

/// Upper ends of the variants' shares of `0..1`, leaving out names that do not exist.
fn cumulative(
    allocation: &experiment::Allocation,
    variants: &BTreeMap<String, config::Variant>,
) -> Vec<(String, f64)> {
    let usable = |share: &&experiment::Share| {
        variants.contains_key(&share.name)
            && share.probability.is_finite()
            && share.probability > 0.0
    };
    let total: f64 = allocation.shares.iter().filter(usable).map(|share| share.probability).sum();
    let mut end = 0.0;
    allocation
        .shares
        .iter()
        .filter(usable)
        .map(|share| {
            end += share.probability / total;
            (share.name.clone(), end)
        })
        .collect()
}

fn digest(sink: &config::Sink) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for header in &sink.headers {
        // Neither can have a zero in it.
        hasher.update(header.name.as_str());
        hasher.update([0]);
        hasher.update(header.value.expose());
        hasher.update([0]);
    }
    if let Some(database) = &sink.database {
        hasher.update(database.digest());
    }
    hasher.finalize().into()
}

fn hash(config: &Config, plugins: &[Arc<LoadedPlugin>]) -> String {
    let mut hasher = Sha256::new();
    for source in &config.sources {
        hasher.update(source.path.as_os_str().as_encoded_bytes());
        hasher.update([0]);
        hasher.update(source.sha256);
    }
    for plugin in plugins {
        hasher.update(plugin.name.as_bytes());
        hasher.update([0]);
        hasher.update(plugin.digest.as_bytes());
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
