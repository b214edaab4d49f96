//! Sandboxed components: what they are, how they get in, and how they are held.
//!
//! A component's way in: bytes and their SHA-256 → compiled by the engine of its kind
//! (`engine.rs`; machine code cached on disk) → every import held against the operator's
//! grants (`grant.rs`), refused by name → linked (`imports/`) → trial instance →
//! `describe` / `prepare` / `open` → only then may a snapshot name it (`catalog.rs`).
//!
//! How it is held: each call has a budget (`budget.rs`) of CPU, memory, tables, handles and
//! bytes handed over. A call that breaks it loses its store and nothing else (`call.rs`).
//! Three such kills within ten seconds quarantine the plugin (`quarantine.rs`). Every call
//! is counted (`accounting.rs`).
//!
//! What a component never gets: a secret, a socket, a file system, another plugin's memory.
//!
//! One file a kind gives the host's face of it: `provider.rs`, `policy.rs`, `experiment.rs`,
//! `sink.rs`. No other module sees a type that wasmtime generated.

pub mod accounting;
mod bindings;
mod budget;
mod call;
pub mod catalog;
mod convert;
pub mod engine;
pub mod events;
pub mod experiment;
mod grant;
pub(crate) mod imports;
mod instance;
pub mod policy;
mod pool;
pub mod provider;
mod quarantine;
pub mod sink;

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use wasmtime::component::InstancePre;

pub use call::CallFailure;
pub use catalog::{Catalog, LoadError};

use crate::config::{Grants, Isolation, Limits};
use accounting::Accounting;
use events::Teller;
use imports::{Capabilities, GuestState, Trust};
use quarantine::Quarantine;

/// SHA-256 of a component's bytes: the very bytes that were compiled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a plugin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Provider,
    Router,
    Experiment,
    Sink,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Provider, Self::Router, Self::Experiment, Self::Sink];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Router => "router",
            Self::Experiment => "experiment",
            Self::Sink => "sink",
        }
    }

    /// The interface that makes a component one of this kind, without its version.
    fn interface(self) -> &'static str {
        match self {
            Self::Provider => "torana:provider/adapter",
            Self::Router => "torana:router/policy",
            Self::Experiment => "torana:experiment/allocator",
            Self::Sink => "torana:sink/delivery",
        }
    }
}

/// The version of every contract this host knows.
const CONTRACT_VERSION: &str = "0.1.0";

/// A component that was verified, compiled, linked and instantiated once.
pub struct LoadedPlugin {
    pub name: Arc<str>,
    pub digest: Digest,
    /// Bytes of the component.
    pub size: usize,
    pub kind: Kind,
    /// A sink that can be read back.
    pub queryable: bool,
    pub grants: Grants,
    pub limits: Limits,
    pub isolation: Isolation,
    /// Which of its lines are logged.
    trust: Trust,
    pub accounting: Arc<Accounting>,
    pub quarantine: Quarantine,
    events: Teller,
    engine: wasmtime::Engine,
    capabilities: Capabilities,
    linked: InstancePre<GuestState>,
}

impl fmt::Debug for LoadedPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadedPlugin")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
