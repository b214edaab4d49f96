//! Experiments: how much of a function's traffic each variant gets.
//!
//! Called in the background when statistics or configuration change, never for a request.
//! The host samples by these shares and keeps an episode at its variant.
//!
//! ```
//! use torana_plugin_sdk::experiment::{Allocation, Experiment, VariantStatistics};
//! use torana_plugin_sdk::{NoSettings, SettingsError};
//!
//! /// Everything goes to the first variant.
//! struct First;
//!
//! impl Experiment for First {
//!     type Settings = NoSettings;
//!
//!     fn allocate(
//!         _function: &str,
//!         variants: &[VariantStatistics],
//!         _settings: NoSettings,
//!     ) -> Result<Allocation, SettingsError> {
//!         let first = variants.first().map(|it| (it.name.clone(), 1.0));
//!         Ok(Allocation::of(first, "the first variant is the only one in use"))
//!     }
//! }
//!
//! torana_plugin_sdk::export_experiment!(First);
//! ```

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::bindings::experiment::exports::torana::experiment::allocator as generated;
use crate::{SettingsError, instance, settings};

pub use generated::{Allocation, MetricStatistics, Share, VariantStatistics};

/// An experiment.
pub trait Experiment: 'static {
    /// The function's `experiment.settings` table.
    type Settings: DeserializeOwned;

    /// Shares the traffic of `function` among `variants`.
    ///
    /// # Errors
    ///
    /// Why the settings or the variants cannot be used.
    fn allocate(
        function: &str,
        variants: &[VariantStatistics],
        settings: Self::Settings,
    ) -> Result<Allocation, SettingsError>;
}

impl Allocation {
    /// Shares by name of the variant, each 0 or more, and why it is so.
    pub fn of(shares: impl IntoIterator<Item = (String, f64)>, reason: impl Into<String>) -> Self {
        let share = |(name, probability)| Share { name, probability };
        Self {
            shares: shares.into_iter().map(share).collect(),
            winner: None,
            reason: reason.into(),
        }
    }
}

impl VariantStatistics {
    /// A variant that nothing is known of yet: for tests.
    pub fn fresh(name: &str, weight: Option<f64>) -> Self {
        Self { name: name.to_owned(), weight, inferences: 0, metrics: Vec::new() }
    }
}

/// The exports of a component made of `E`.
#[doc(hidden)]
#[derive(Debug)]
pub struct Component<E>(PhantomData<E>);

impl<E: Experiment> generated::Guest for Component<E> {
    fn allocate(
        function: String,
        variants: Vec<VariantStatistics>,
        settings: Vec<u8>,
    ) -> Result<Allocation, SettingsError> {
        instance::start();
        E::allocate(&function, &variants, settings::decode(&settings)?)
    }
}

/// Compiles when the export macro is given an experiment.
#[doc(hidden)]
pub const fn is_experiment<E: Experiment>() {}

/// Makes the component an experiment: `export_experiment!(MyExperiment);` for an
/// [`Experiment`].
#[macro_export]
macro_rules! export_experiment {
    ($experiment:ty) => {
        const _: () = {
            $crate::experiment::is_experiment::<$experiment>();
            #[cfg(target_arch = "wasm32")]
            type Exported = $crate::experiment::Component<$experiment>;
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::experiment::export_component!(
                Exported with_types_in $crate::bindings::experiment
            );
        };
    };
}
