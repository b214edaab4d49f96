//! Reused instances of one provider plugin.
//!
//! An instance is checked out exclusively for one call, or for the life of one stream, and
//! comes back unless the call failed, it served its number of calls, it grew beyond half of
//! its memory, or the operator asked for `isolation = "fresh"`. Reuse costs 0.1 µs where a
//! fresh instance costs 25–40 µs.

use std::sync::{Arc, Mutex, PoisonError};

use super::call::Purpose;
use super::instance::Instance;
use super::{CallFailure, LoadedPlugin};
use crate::config::Isolation;

/// Idle instances kept. More than workers that could use them at once would only hold
/// memory; streams take theirs out for longer, hence not simply the number of cores.
const MAX_IDLE: usize = 64;

pub(super) struct Pool<B> {
    plugin: Arc<LoadedPlugin>,
    idle: Mutex<Vec<Instance<B>>>,
}

impl<B> Pool<B> {
    pub(super) fn new(plugin: Arc<LoadedPlugin>) -> Arc<Self> {
        Arc::new(Self { plugin, idle: Mutex::new(Vec::new()) })
    }

    pub(super) fn plugin(&self) -> &Arc<LoadedPlugin> {
        &self.plugin
    }

    /// An idle instance, or a new one.
    pub(super) fn check_out(
        self: &Arc<Self>,
        make: impl FnOnce() -> Result<Instance<B>, CallFailure>,
    ) -> Result<CheckedOut<B>, CallFailure> {
        self.plugin.admit()?;
        let idle = self.lock().pop();
        let instance = match idle {
            Some(instance) => instance,
            None => make()?,
        };
        Ok(CheckedOut { instance: Some(instance), pool: self.clone() })
    }

    fn check_in(&self, instance: Instance<B>) {
        let limits = &self.plugin.limits;
        let reusable = !instance.spent
            && self.plugin.isolation == Isolation::Pooled
            && instance.calls < limits.calls
            && instance.memory_used() <= limits.memory_bytes / 2;
        if !reusable {
            return;
        }
        let mut idle = self.lock();
        if idle.len() < MAX_IDLE {
            idle.push(instance);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Instance<B>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An instance on loan; goes back when dropped.
pub(super) struct CheckedOut<B> {
    /// Present until dropped.
    instance: Option<Instance<B>>,
    pool: Arc<Pool<B>>,
}

impl<B> CheckedOut<B> {
    /// Runs one call in the loaned instance, under its plugin's budget.
    pub(super) fn call<R>(
        &mut self,
        purpose: Purpose,
        call: impl FnOnce(&mut Instance<B>) -> wasmtime::Result<R>,
    ) -> Result<R, CallFailure> {
        match &mut self.instance {
            Some(instance) if !instance.spent => self.pool.plugin.call(purpose, instance, call),
            // A stream that goes on after its parser was killed.
            _ => Err(CallFailure::Spent),
        }
    }
}

impl<B> Drop for CheckedOut<B> {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            self.pool.check_in(instance);
        }
    }
}
