//! The host's face of an experiment: shares for variants, asked for in the background.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::bindings::experiment::{Experiment as Bindings, ExperimentIndices};
use super::call::Purpose;
use super::catalog::LoadCause;
use super::instance::Instance;
use super::provider::json;
use super::{CallFailure, LoadedPlugin};

pub use super::bindings::experiment::exports::torana::experiment::allocator::{
    Allocation, MetricStatistics, Share, VariantStatistics,
};

/// Asks the experiment once. A fresh instance each time: it is called when statistics or
/// configuration change, not for requests.
pub fn allocate(
    plugin: &Arc<LoadedPlugin>,
    function: &str,
    variants: &[VariantStatistics],
    settings: &Map<String, Value>,
) -> Result<Allocation, LoadCause> {
    let start = |source: CallFailure| LoadCause::Start { function: "allocate", source };
    let indices = ExperimentIndices::new(plugin.linked()).map_err(LoadCause::Link)?;
    let mut instance: Instance<Bindings> = plugin
        .instantiate(plugin.capabilities(), |store, component| indices.load(store, component))
        .map_err(LoadCause::Trial)?;
    let settings = json(settings);
    plugin
        .call(Purpose::Work, &mut instance, |Instance { store, bindings, .. }| {
            bindings
                .torana_experiment_allocator()
                .call_allocate(store, function, variants, &settings)
        })
        .map_err(start)?
        .map_err(|refused| LoadCause::Settings {
            pointer: refused.pointer,
            message: refused.message,
        })
}
