//! One live instance: its store and the typed calls into it.

use wasmtime::Store;
use wasmtime::component::{Instance as Component, InstancePre};

use super::budget::{self, Budget};
use super::imports::{Capabilities, GuestState};
use super::{CallFailure, Kind, LoadedPlugin};

/// A store with one component in it, used by one call at a time.
pub(super) struct Instance<B> {
    pub(super) store: Store<GuestState>,
    pub(super) bindings: B,
    /// The component itself, to reach a second interface of it.
    pub(super) component: Option<Component>,
    /// Calls so far.
    pub(super) calls: u64,
    /// A call failed or was abandoned: the store must not be entered again.
    pub(super) spent: bool,
}

impl<B> Instance<B> {
    pub(super) fn memory_used(&self) -> usize {
        self.store.data().budget.memory_used()
    }
}

impl LoadedPlugin {
    /// A fresh instance on the hot engine.
    pub(super) fn instantiate<B>(
        &self,
        capabilities: Capabilities,
        bind: impl FnOnce(&mut Store<GuestState>, &Component) -> wasmtime::Result<B>,
    ) -> Result<Instance<B>, CallFailure> {
        let mut store = self.store(capabilities);
        let component = self.linked.instantiate(&mut store).map_err(|error| self.failed(error))?;
        let bindings = bind(&mut store, &component).map_err(|error| self.failed(error))?;
        Ok(self.instance(store, bindings, component))
    }

    /// A fresh instance on the I/O engine. What a component runs while it is made is bounded
    /// as a call is.
    pub(super) async fn instantiate_async<B>(
        &self,
        capabilities: Capabilities,
        bind: impl FnOnce(&mut Store<GuestState>, &Component) -> wasmtime::Result<B>,
    ) -> Result<Instance<B>, CallFailure> {
        let mut store = self.store(capabilities);
        let made = self.linked.instantiate_async(&mut store);
        let component = match tokio::time::timeout(self.limits.io, made).await {
            Ok(made) => made.map_err(|error| self.failed(error))?,
            Err(_) => return Err(self.killed(CallFailure::Timeout(self.limits.io))),
        };
        let bindings = bind(&mut store, &component).map_err(|error| self.failed(error))?;
        Ok(self.instance(store, bindings, component))
    }

    /// What every instance of the plugin shares: its key-value map and its log's rate.
    pub(super) fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    pub(super) fn linked(&self) -> &InstancePre<GuestState> {
        &self.linked
    }

    fn store(&self, capabilities: Capabilities) -> Store<GuestState> {
        let state = GuestState::new(
            self.name.clone(),
            self.accounting.clone(),
            Budget::new(&self.limits),
            capabilities,
            self.trust,
        );
        let mut store = Store::new(&self.engine, state);
        budget::install(&mut store, &self.limits, self.kind == Kind::Sink);
        store
    }

    fn instance<B>(
        &self,
        store: Store<GuestState>,
        bindings: B,
        component: Component,
    ) -> Instance<B> {
        self.accounting.instance();
        Instance { store, bindings, component: Some(component), calls: 0, spent: false }
    }
}
