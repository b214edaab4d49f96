//! The host's face of a routing policy: one long-lived instance for one model's endpoints.
//!
//! A call that is killed costs the instance, not what it learned: the next call makes a new
//! one, prepares it and restores the last saved state. A plan comes with that state, so that
//! the decision can be replayed from its record.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use torana_routing::policy::{Candidate, Endpoint, Facts, Outcome, Plan};

use super::bindings::router::{Router as Bindings, RouterIndices};
use super::call::Purpose;
use super::catalog::LoadCause;
use super::instance::Instance;
use super::provider::json;
use super::{CallFailure, LoadedPlugin};

mod convert;

/// A policy, prepared for the endpoints of one model.
pub struct Policy {
    plugin: Arc<LoadedPlugin>,
    indices: RouterIndices,
    settings: Map<String, Value>,
    endpoints: Arc<[Endpoint]>,
    state: Mutex<State>,
}

struct State {
    instance: Option<Instance<Bindings>>,
    saved: Arc<[u8]>,
}

/// A plan, and what the policy had learned when it made it.
pub struct Routed {
    pub plan: Plan,
    pub learned: Arc<[u8]>,
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
        learned: Arc<[u8]>,
    ) -> Result<Self, LoadCause> {
        let indices = RouterIndices::new(plugin.linked()).map_err(LoadCause::Link)?;
        let policy = Self {
            plugin,
            indices,
            settings: settings.clone(),
            endpoints: endpoints.into(),
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

    pub fn settings(&self) -> &Map<String, Value> {
        &self.settings
    }

    pub fn endpoints(&self) -> &Arc<[Endpoint]> {
        &self.endpoints
    }

    /// Which endpoints, in which order. Microseconds.
    pub fn route(&self, facts: &Facts, candidates: &[Candidate]) -> Result<Routed, CallFailure> {
        let facts = convert::facts(facts);
        let rows: Vec<_> = candidates.iter().map(convert::candidate).collect();
        let mut state = self.lock();
        let learned = state.saved.clone();
        let plan =
            self.call(Purpose::Work, &mut state, |Instance { store, bindings, .. }| {
                bindings.torana_router_policy().call_route(store, facts, &rows)
            })?;
        Ok(Routed { plan: convert::plan(plan, self.endpoints.len()), learned })
    }

    /// Tells the policy what happened, and takes what it learned from that.
    pub fn observe(&self, outcomes: &[Outcome]) -> Result<(), CallFailure> {
        let outcomes: Vec<_> = outcomes.iter().map(convert::outcome).collect();
        let mut state = self.lock();
        self.call(Purpose::SetUp, &mut state, |Instance { store, bindings, .. }| {
            bindings.torana_router_policy().call_observe(store, &outcomes)
        })?;
        let saved =
            self.call(Purpose::SetUp, &mut state, |Instance { store, bindings, .. }| {
                bindings.torana_router_policy().call_save(store)
            })?;
        if *saved != *state.saved {
            state.saved = saved.into();
        }
        Ok(())
    }

    /// What the policy had learned when it was last told something.
    pub fn learned(&self) -> Arc<[u8]> {
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
        let settings = json(&self.settings);
        let endpoints: Vec<_> = self.endpoints.iter().map(convert::endpoint).collect();
        let mut instance =
            self.plugin.instantiate(self.plugin.capabilities(), |store, component| {
                self.indices.load(store, component)
            })?;
        self.plugin
            .call(Purpose::SetUp, &mut instance, |Instance { store, bindings, .. }| {
                bindings.torana_router_policy().call_prepare(store, &settings, &endpoints)
            })?
            .map_err(PrepareFailure::Refused)?;
        if learned.is_empty() {
            return Ok(instance);
        }
        let restored = self.plugin.call(
            Purpose::SetUp,
            &mut instance,
            |Instance { store, bindings, .. }| {
                bindings.torana_router_policy().call_restore(store, learned)
            },
        );
        match restored {
            Ok(()) => Ok(instance),
            Err(error) => {
                // Perhaps another version's, or another component's of the same name.
                let plugin = &*self.plugin.name;
                tracing::warn!(plugin, %error, "what the policy had learned is lost");
                self.instantiate(&[])
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
