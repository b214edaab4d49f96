//! What a plugin may call: one file a capability.
//!
//! `link` puts into a component's linker the inert WASI minimum and exactly the
//! capabilities that `grant::check` let through; whatever is not linked cannot be called.

mod clock;
mod file;
mod http;
mod kv;
mod log;
mod random;
mod sql;
mod wasi;

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{HasSelf, Linker};

use super::accounting::Accounting;
use super::bindings::host::torana::host;
use super::budget::Budget;
use super::grant::Capability;

pub(super) use file::AppendFile;
pub(crate) use file::private;
pub(super) use http::{Granted, HttpClient, OwnHeaders};
pub(super) use kv::KeyValue;
pub(super) use log::Trust;
pub(super) use sql::{Database, Postgres, Sqlite};

/// Everything a store holds beside the guest's memory.
pub(super) struct GuestState {
    pub(super) budget: Budget,
    plugin: Arc<str>,
    accounting: Arc<Accounting>,
    capabilities: Capabilities,
    stderr: log::Lines,
    trust: Trust,
    /// Its lines may quote a call.
    holds_content: bool,
    /// When the call that runs is given up, of those that may wait for the outside.
    pub(super) call_ends: Instant,
}

/// The outside world as one plugin sees it. Shared by its instances.
#[derive(Clone, Default)]
pub(super) struct Capabilities {
    pub(super) http: Option<Arc<HttpClient>>,
    pub(super) sql: Option<Database>,
    pub(super) file: Option<Arc<AppendFile>>,
    pub(super) kv: Option<Arc<KeyValue>>,
    /// Log lines this second, over all instances.
    pub(super) log: Arc<log::Rate>,
}

impl Capabilities {
    /// For one more instance: what it may not share with the others is its own.
    pub(super) fn for_an_instance(&self) -> Self {
        Self { sql: self.sql.as_ref().map(Database::another), ..self.clone() }
    }
}

impl GuestState {
    pub(super) fn new(
        plugin: Arc<str>,
        accounting: Arc<Accounting>,
        budget: Budget,
        capabilities: Capabilities,
        trust: Trust,
    ) -> Self {
        let stderr = log::Lines::default();
        let holds_content = false;
        let call_ends = Instant::now();
        Self { budget, plugin, accounting, capabilities, stderr, trust, holds_content, call_ends }
    }
}

/// Links the inert WASI minimum and these capabilities.
pub(super) fn link(
    linker: &mut Linker<GuestState>,
    capabilities: &[Capability],
) -> wasmtime::Result<()> {
    wasi::link(linker)?;
    for capability in capabilities {
        match capability {
            Capability::Log => host::log::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Capability::Clock => {
                host::clock::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
            }
            Capability::Random => {
                host::random::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?;
            }
            Capability::Http => host::http::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Capability::Sql => host::sql::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Capability::File => host::file::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
            Capability::Kv => host::kv::add_to_linker::<_, HasSelf<_>>(linker, |state| state)?,
        }
    }
    Ok(())
}
