//! Routing policies without a gateway: by name or file, for `simulate` and `route replay`.
//!
//! A policy is named as `NAME`, a router of the configuration or a bundled one; as `FILE.wasm`;
//! and either with settings behind it: `adaptive?hedge=true&exploration=0`. Values are read as
//! JSON, or else as text.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::bundled::PLUGINS;
use crate::config::{self, Config, Plugin, PluginSource, Problems};
use crate::gateway::load_config;
use crate::plugin::catalog::LoadCause;
use crate::plugin::engine::{EngineError, Engines};
use crate::plugin::sink::{Sink, SinkReader};
use crate::plugin::{Catalog, Kind, LoadError, LoadedPlugin};

/// What the bundled router `adaptive` is called as a plugin.
const ROUTER_PREFIX: &str = "router-";

/// The configuration that is read where it is there and nobody names another.
const USUAL_CONFIG: &str = "config/torana.toml";

/// Instances alive at a time: one for each policy and thread, and some to spare.
const INSTANCES: u32 = 64;

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum OfflineError {
    #[error("{0}")]
    Config(#[from] Problems),
    #[error("plugins cannot be run")]
    Engine(#[from] EngineError),
    #[error(
        "no policy {name:?}; expected a router of the configuration, FILE.wasm, or one of: {known}"
    )]
    Unknown { name: String, known: String },
    #[error("setting {0:?}: expected KEY=VALUE")]
    Setting(String),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the policy {name}: {source}")]
    Prepare { name: String, source: LoadCause },
}

/// Why the store cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error(transparent)]
    Offline(#[from] OfflineError),
    #[error("a store is found by the configuration; name one with --config")]
    NoConfig,
    #[error("no sink of the configuration can be read back, such as sink-sqlite")]
    NoStore,
    #[error("no sink {name:?} in the configuration; there are: {known}")]
    NoSink { name: String, known: String },
    #[error("the sink {0:?} cannot be read back, as sink-sqlite can")]
    Unreadable(String),
    #[error("the store cannot be opened")]
    Open(#[from] LoadCause),
}

/// Components and the configuration that names them.
pub(super) struct Offline {
    catalog: Catalog,
    config: Option<Config>,
}

impl Offline {
    /// Without a path, `config/torana.toml` is read if it is there. Compiled components are
    /// kept where the configuration says, or in the user's cache directory.
    pub(super) fn open(path: Option<&str>) -> Result<Self, OfflineError> {
        let usual = Path::new(USUAL_CONFIG).exists().then_some(USUAL_CONFIG);
        let config = path.or(usual).map(|path| load_config(path, PLUGINS)).transpose()?;
        let cache = config.as_ref().map_or_else(user_cache, |it| it.plugin_host.cache.clone());
        let engines = Engines::new(&cache, INSTANCES)?;
        Ok(Self { catalog: Catalog::new(engines, PLUGINS), config })
    }

    /// The component and its settings.
    pub(super) fn policy(
        &self,
        named: &str,
    ) -> Result<(Arc<LoadedPlugin>, Map<String, Value>), OfflineError> {
        let (name, query) = named.split_once('?').unwrap_or((named, ""));
        let (plugin_name, plugin, mut settings) = self.find(name)?;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(OfflineError::Setting(pair.to_owned()));
            };
            let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
            settings.insert(key.to_owned(), value);
        }
        Ok((self.catalog.load(&plugin_name, &plugin, Kind::Router)?, settings))
    }

    /// Every policy that has a name: to look for one by its digest.
    pub(super) fn all(&self) -> impl Iterator<Item = Arc<LoadedPlugin>> {
        let written = self.config.iter().flat_map(|config| config.routers.keys().cloned());
        let names = written.chain(bundled().map(str::to_owned));
        names.filter_map(|name| Some(self.policy(&name).ok()?.0))
    }

    /// A plugin of the configuration; `None` where it has none of that name.
    pub(super) fn load(
        &self,
        name: &str,
        kind: Kind,
    ) -> Result<Option<Arc<LoadedPlugin>>, OfflineError> {
        let plugin = self.config.as_ref().and_then(|config| config.plugins.get(name));
        Ok(plugin.map(|plugin| self.catalog.load(name, plugin, kind)).transpose()?)
    }

    /// The sink of this name, opened; without one, as [`Offline::reader`].
    pub(super) async fn reader_of(&self, name: Option<&str>) -> Result<SinkReader, StoreError> {
        let Some(name) = name else { return self.reader().await };
        let config = self.config.as_ref().ok_or(StoreError::NoConfig)?;
        let sink = config.sinks.get(name).ok_or_else(|| StoreError::NoSink {
            name: name.to_owned(),
            known: config.sinks.keys().cloned().collect::<Vec<_>>().join(", "),
        })?;
        self.open_sink(sink).await?.ok_or_else(|| StoreError::Unreadable(name.to_owned()))
    }

    /// The sink that the gateway reads back, or the first that can be, opened.
    pub(super) async fn reader(&self) -> Result<SinkReader, StoreError> {
        let config = self.config.as_ref().ok_or(StoreError::NoConfig)?;
        let wanted = |name: &String| config.query_sink.as_ref().is_none_or(|sink| sink == name);
        for (_, sink) in config.sinks.iter().filter(|(name, _)| wanted(name)) {
            if let Some(reader) = self.open_sink(sink).await? {
                return Ok(reader);
            }
        }
        Err(StoreError::NoStore)
    }

    /// `None` for one that cannot be read back.
    async fn open_sink(&self, sink: &config::Sink) -> Result<Option<SinkReader>, StoreError> {
        let plugin = self.load(&sink.plugin, Kind::Sink)?.filter(|plugin| plugin.queryable);
        let Some(plugin) = plugin else { return Ok(None) };
        Ok(Sink::new(plugin, sink)?.reader().await?)
    }

    fn find(&self, name: &str) -> Result<(String, Plugin, Map<String, Value>), OfflineError> {
        if let Some(config) = &self.config
            && let Some(router) = config.routers.get(name)
            && let Some(plugin) = config.plugins.get(&router.plugin)
        {
            return Ok((router.plugin.clone(), plugin.clone(), router.settings.clone()));
        }
        let is_file = Path::new(name).extension().is_some_and(|extension| extension == "wasm");
        if is_file {
            let plugin = Plugin::ungranted(PluginSource::File(PathBuf::from(name)));
            return Ok((name.to_owned(), plugin, Map::new()));
        }
        let short = name.strip_prefix(ROUTER_PREFIX).unwrap_or(name);
        if bundled().any(|bundled| bundled == short) {
            let name = format!("{ROUTER_PREFIX}{short}");
            let plugin = Plugin::ungranted(PluginSource::Bundled(name.clone()));
            return Ok((name, plugin, Map::new()));
        }
        let mut known = bundled().collect::<Vec<_>>().join(", ");
        if self.config.is_none() {
            known.push_str(" (no configuration: config/torana.toml is not here; see --config)");
        }
        Err(OfflineError::Unknown { name: name.to_owned(), known })
    }
}

fn bundled() -> impl Iterator<Item = &'static str> {
    PLUGINS.iter().filter_map(|plugin| plugin.name.strip_prefix(ROUTER_PREFIX))
}

fn user_cache() -> PathBuf {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || set("HOME").map(|home| home.join(".cache"));
    let cache = set("XDG_CACHE_HOME").or_else(home).unwrap_or_else(std::env::temp_dir);
    cache.join("torana")
}
