//! The host's face of a routing policy: one long-lived instance for one model's endpoints.
//!
//! A call that is killed costs the instance, not what it learned: the next call makes a new
//! one, prepares it and restores the last saved state.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::bindings::router::{Router as Bindings, RouterIndices};
use super::call::Purpose;
use super::catalog::LoadCause;
use super::instance::Instance;
use super::provider::json;
use super::{CallFailure, LoadedPlugin};

pub use super::bindings::router::exports::torana::router::policy::{
    Breaker, CallErrorKind, Candidate, Endpoint, Outcome, Plan, RequestFacts, Score, Step, Usage,
};

/// A policy, prepared for the endpoints of one model.
pub struct Policy {
    plugin: Arc<LoadedPlugin>,
    indices: RouterIndices,
    settings: Vec<u8>,
    endpoints: Vec<Endpoint>,
    state: Mutex<State>,
}

struct State {
    instance: Option<Instance<Bindings>>,
    saved: Vec<u8>,
}

/// Why a policy could not be prepared: refused settings, or a failed call.
enum PrepareFailure {
    Call(CallFailure),
    Refused(super::bindings::router::exports::torana::router::policy::SettingsError),
}

impl From<CallFailure> for PrepareFailure {
    fn from(failure: CallFailure) -> Self {
        Self::Call(failure)
    }
}

impl Policy {
    /// `learned` is what [`Policy::learned`] gave for the same router and model before.
    pub fn prepare(
        plugin: Arc<LoadedPlugin>,
        settings: &Map<String, Value>,
        endpoints: Vec<Endpoint>,
        learned: Vec<u8>,
    ) -> Result<Self, LoadCause> {
        let indices = RouterIndices::new(plugin.linked()).map_err(LoadCause::Link)?;
        let policy = Self {
            plugin,
            indices,
            settings: json(settings),
            endpoints,
            state: Mutex::new(State { instance: None, saved: learned }),
        };
        let mut state = policy.lock();
        let instance = policy.instantiate(&state.saved).map_err(|failure| match failure {
            PrepareFailure::Call(source) => LoadCause::Start { function: "prepare", source },
            PrepareFailure::Refused(refused) => {
                LoadCause::Settings { pointer: refused.pointer, message: refused.message }
            }
        })?;
        state.instance = Some(instance);
        drop(state);
        Ok(policy)
    }

    pub fn plugin(&self) -> &Arc<LoadedPlugin> {
        &self.plugin
    }

    /// Which endpoints, in which order. Microseconds.
    pub fn route(
        &self,
        facts: &RequestFacts,
        candidates: &[Candidate],
    ) -> Result<Plan, CallFailure> {
        self.call(Purpose::Work, &mut self.lock(), |Instance { store, bindings, .. }| {
            bindings.torana_router_policy().call_route(store, *facts, candidates)
        })
    }

    /// Tells the policy what happened, and takes what it learned from that.
    pub fn observe(&self, outcomes: &[Outcome]) -> Result<(), CallFailure> {
        let mut state = self.lock();
        self.call(Purpose::SetUp, &mut state, |Instance { store, bindings, .. }| {
            bindings.torana_router_policy().call_observe(store, outcomes)
        })?;
        let saved =
            self.call(Purpose::SetUp, &mut state, |Instance { store, bindings, .. }| {
                bindings.torana_router_policy().call_save(store)
            })?;
        state.saved = saved;
        Ok(())
    }

    /// What the policy had learned when it was last told something.
    pub fn learned(&self) -> Vec<u8> {
        self.lock().saved.clone()
    }

    fn call<R>(
        &self,
        purpose: Purpose,
        state: &mut State,
        call: impl FnOnce(&mut Instance<Bindings>) -> wasmtime::Result<R>,
    ) -> Result<R, CallFailure> {
        self.plugin.admit()?;
        let mut instance = match state.instance.take() {
            Some(instance) => instance,
            None => self.instantiate(&state.saved).map_err(|failure| match failure {
                PrepareFailure::Call(failure) => failure,
                PrepareFailure::Refused(_) => CallFailure::Fickle,
            })?,
        };
        let result = self.plugin.call(purpose, &mut instance, call);
        if !instance.spent {
            state.instance = Some(instance);
        }
        result
    }

    fn instantiate(&self, learned: &[u8]) -> Result<Instance<Bindings>, PrepareFailure> {
        let mut instance =
            self.plugin.instantiate(self.plugin.capabilities(), |store, component| {
                self.indices.load(store, component)
            })?;
        self.plugin
            .call(Purpose::SetUp, &mut instance, |Instance { store, bindings, .. }| {
                bindings.torana_router_policy().call_prepare(store, &self.settings, &self.endpoints)
            })?
            .map_err(PrepareFailure::Refused)?;
        if !learned.is_empty() {
            self.plugin.call(
                Purpose::SetUp,
                &mut instance,
                |Instance { store, bindings, .. }| {
                    bindings.torana_router_policy().call_restore(store, learned)
                },
            )?;
        }
        Ok(instance)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
