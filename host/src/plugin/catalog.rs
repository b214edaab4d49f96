//! Loads components and remembers them.
//!
//! Outlives snapshots: a reload that names the same bytes with the same bounds gets the same
//! loaded plugin, and counters and key-value maps go on. Everything here may take long
//! (compilation) and belongs on a blocking thread, never on the request path.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::component::{Component, Linker};

use super::accounting::{Account, Accounting};
use super::engine::{Engines, MAX_MEMORY_BYTES};
use super::events::Events;
use super::grant::{self, GrantError};
use super::imports::{self, Capabilities, KeyValue, Trust};
use super::quarantine::Quarantine;
use super::{CONTRACT_VERSION, CallFailure, Digest, Kind, LoadedPlugin};
use crate::config::{Plugin, PluginSource};

/// Largest component. StarlingMonkey and CPython components have 12 to 19 MB.
const MAX_COMPONENT_BYTES: u64 = 64 << 20;

/// Compiled components kept for the next reload, the ones in use not counted. Alternating
/// between a few versions must not compile each time.
const MAX_REMEMBERED: usize = 32;

/// A component embedded in this binary.
#[derive(Debug, Clone, Copy)]
pub struct Bundled {
    pub name: &'static str,
    pub bytes: &'static [u8],
}

/// Why a plugin could not be loaded.
#[derive(Debug, thiserror::Error)]
#[error("plugin {plugin} ({origin})")]
pub struct LoadError {
    pub plugin: String,
    /// File, or `bundled`.
    pub origin: String,
    #[source]
    pub cause: LoadCause,
}

/// What was wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum LoadCause {
    #[error("the file cannot be read")]
    Read(#[source] std::io::Error),
    #[error("it has {0} bytes; a component may have {MAX_COMPONENT_BYTES}")]
    TooLarge(u64),
    #[error("no plugin of that name is bundled; bundled are: {0}")]
    NotBundled(String),
    #[error("limits.memory_mib is more than {} MiB, the most an instance can have", MAX_MEMORY_BYTES >> 20)]
    MemoryLimit,
    #[error(
        "it is not a WebAssembly component; build it with `cargo build --target wasm32-wasip2`"
    )]
    NotAComponent(#[source] wasmtime::Error),
    #[error(
        "it is no {expected}: it should export {expected_interface}@{CONTRACT_VERSION} and exports {found}"
    )]
    WrongKind { expected: &'static str, expected_interface: &'static str, found: String },
    #[error(
        "it exports {found}; this gateway knows version {CONTRACT_VERSION}: rebuild it with the matching plugin SDK"
    )]
    Version { found: String },
    #[error(transparent)]
    Grant(#[from] GrantError),
    #[error("it does not fit this gateway's contracts: rebuild it with the matching plugin SDK")]
    Link(#[source] wasmtime::Error),
    #[error("a trial instance failed")]
    Trial(#[source] CallFailure),
    #[error("`{function}` failed")]
    Start { function: &'static str, source: CallFailure },
    #[error("its settings were refused{}: {message}", at(.pointer))]
    Settings { pointer: String, message: String },
    #[error("its capability could not be opened")]
    Capability(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn at(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!(" at {pointer}") }
}

/// Loads components and remembers them.
pub struct Catalog {
    engines: Engines,
    bundled: &'static [Bundled],
    events: Events,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Newest last.
    remembered: VecDeque<Arc<LoadedPlugin>>,
    accounting: BTreeMap<String, Arc<Accounting>>,
    key_values: HashMap<String, Arc<KeyValue>>,
}

impl Catalog {
    /// What happens to its plugins is told to nobody.
    pub fn new(engines: Engines, bundled: &'static [Bundled]) -> Self {
        let (events, _) = Events::channel();
        Self { engines, bundled, events, state: Mutex::default() }
    }

    /// What happens to plugins that are loaded from now on is told here.
    #[must_use]
    pub fn telling(self, events: Events) -> Self {
        Self { events, ..self }
    }

    /// The plugin `name`, as the configuration describes it, to be used as `kind`.
    /// Blocks: reads, hashes, compiles.
    pub fn load(
        &self,
        name: &str,
        plugin: &Plugin,
        kind: Kind,
    ) -> Result<Arc<LoadedPlugin>, LoadError> {
        self.load_cause(name, plugin, kind).map_err(|cause| LoadError {
            plugin: name.to_owned(),
            origin: origin(&plugin.source),
            cause,
        })
    }

    fn load_cause(
        &self,
        name: &str,
        plugin: &Plugin,
        kind: Kind,
    ) -> Result<Arc<LoadedPlugin>, LoadCause> {
        if plugin.limits.memory_bytes > MAX_MEMORY_BYTES {
            return Err(LoadCause::MemoryLimit);
        }
        let bytes = self.read(&plugin.source)?;
        let digest = Digest::of(&bytes);
        if let Some(loaded) = self.remembered(name, plugin, kind, digest) {
            return Ok(loaded);
        }
        let loaded = Arc::new(self.verify(name, plugin, kind, digest, &bytes)?);
        self.remember(loaded.clone());
        Ok(loaded)
    }

    fn read(&self, source: &PluginSource) -> Result<std::borrow::Cow<'static, [u8]>, LoadCause> {
        match source {
            PluginSource::Bundled(name) => self
                .bundled
                .iter()
                .find(|bundled| bundled.name == name)
                .map(|bundled| bundled.bytes.into())
                .ok_or_else(|| {
                    let names: Vec<&str> = self.bundled.iter().map(|b| b.name).collect();
                    LoadCause::NotBundled(names.join(", "))
                }),
            PluginSource::File(path) => read_bounded(path).map(Into::into),
        }
    }

    /// Compile, hold exports and imports against kind and grants, link, try.
    fn verify(
        &self,
        name: &str,
        plugin: &Plugin,
        kind: Kind,
        digest: Digest,
        bytes: &[u8],
    ) -> Result<LoadedPlugin, LoadCause> {
        let engine = self.engines.of(kind);
        let component = Component::from_binary(engine, bytes).map_err(LoadCause::NotAComponent)?;
        let queryable = check_exports(engine, &component, kind)?;
        let capabilities = grant::check(engine, &component, kind, &plugin.grants)?;
        let mut linker = Linker::new(engine);
        imports::link(&mut linker, &capabilities).map_err(LoadCause::Link)?;
        let linked = linker.instantiate_pre(&component).map_err(LoadCause::Link)?;
        let name: Arc<str> = name.into();
        Ok(LoadedPlugin {
            events: self.events.of(&name),
            accounting: self.accounting(&name),
            capabilities: Capabilities {
                kv: plugin.grants.kv_bytes.map(|bytes| self.key_value(&name, bytes)),
                ..Capabilities::default()
            },
            name,
            digest,
            size: bytes.len(),
            kind,
            queryable,
            grants: plugin.grants.clone(),
            limits: plugin.limits,
            isolation: plugin.isolation,
            trust: trust(plugin),
            quarantine: Quarantine::default(),
            engine: engine.clone(),
            linked,
        })
    }

    fn remembered(
        &self,
        name: &str,
        plugin: &Plugin,
        kind: Kind,
        digest: Digest,
    ) -> Option<Arc<LoadedPlugin>> {
        let mut state = self.lock();
        let position = state.remembered.iter().position(|loaded| {
            *loaded.name == *name
                && loaded.digest == digest
                && loaded.kind == kind
                && loaded.grants == plugin.grants
                && loaded.limits == plugin.limits
                && loaded.isolation == plugin.isolation
                && loaded.trust == trust(plugin)
        })?;
        let loaded = state.remembered.remove(position)?;
        state.remembered.push_back(loaded.clone());
        Some(loaded)
    }

    fn remember(&self, loaded: Arc<LoadedPlugin>) {
        let mut state = self.lock();
        state.remembered.push_back(loaded);
        if state.remembered.len() > MAX_REMEMBERED {
            state.remembered.pop_front();
        }
    }

    fn accounting(&self, name: &str) -> Arc<Accounting> {
        self.lock().accounting.entry(name.to_owned()).or_default().clone()
    }

    /// The plugin's map; a new one when the operator changed its size.
    fn key_value(&self, name: &str, limit_bytes: u64) -> Arc<KeyValue> {
        let mut state = self.lock();
        match state.key_values.get(name) {
            Some(map) if map.limit_bytes() == limit_bytes => map.clone(),
            _ => {
                let map = Arc::new(KeyValue::new(limit_bytes));
                state.key_values.insert(name.to_owned(), map.clone());
                map
            }
        }
    }

    /// What every plugin that was ever loaded has cost so far.
    pub fn accounts(&self) -> Vec<(String, Account)> {
        let state = self.lock();
        state.accounting.iter().map(|(name, counters)| (name.clone(), counters.read())).collect()
    }

    /// Calls that were ended, by plugin and cause.
    pub fn kills(&self) -> Vec<(String, &'static str, u64)> {
        let state = self.lock();
        let of = |(name, counters): (&String, &Arc<Accounting>)| {
            let name = name.clone();
            counters.kills().map(move |(cause, kills)| (name.clone(), cause, kills)).collect()
        };
        state.accounting.iter().flat_map(|entry| -> Vec<_> { of(entry) }).collect()
    }

    pub fn bundled(&self) -> &'static [Bundled] {
        self.bundled
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn trust(plugin: &Plugin) -> Trust {
    match plugin.source {
        _ if plugin.log_content => Trust::All,
        PluginSource::Bundled(_) => Trust::Purpose,
        PluginSource::File(_) => Trust::None,
    }
}

/// The component exports the interface of its kind. True: a sink that can be read back.
fn check_exports(
    engine: &wasmtime::Engine,
    component: &Component,
    kind: Kind,
) -> Result<bool, LoadCause> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
    let version_of = |interface: &str| {
        exports.iter().find_map(|export| export.strip_prefix(interface)?.strip_prefix('@'))
    };
    match version_of(kind.interface()) {
        Some(version) if grant::is_compatible(version) => {}
        Some(version) => {
            return Err(LoadCause::Version { found: format!("{}@{version}", kind.interface()) });
        }
        None => {
            let known = Kind::ALL.iter().find(|kind| version_of(kind.interface()).is_some());
            let found = match (known, exports.as_slice()) {
                (Some(kind), _) => format!("{} (it is a {})", kind.interface(), kind.as_str()),
                (None, []) => "nothing".to_owned(),
                (None, exports) => exports.iter().take(5).copied().collect::<Vec<_>>().join(", "),
            };
            return Err(LoadCause::WrongKind {
                expected: kind.as_str(),
                expected_interface: kind.interface(),
                found,
            });
        }
    }
    Ok(version_of("torana:sink/query").is_some_and(grant::is_compatible))
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, LoadCause> {
    let size = std::fs::metadata(path).map_err(LoadCause::Read)?.len();
    if size > MAX_COMPONENT_BYTES {
        return Err(LoadCause::TooLarge(size));
    }
    std::fs::read(path).map_err(LoadCause::Read)
}

fn origin(source: &PluginSource) -> String {
    match source {
        PluginSource::Bundled(_) => "bundled".to_owned(),
        PluginSource::File(path) => PathBuf::from(path).display().to_string(),
    }
}
