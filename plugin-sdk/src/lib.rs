//! Write a Torana plugin: one trait and one macro per kind.
//!
//! | Kind | Trait | Macro |
//! |---|---|---|
//! | provider adapter | [`provider::Provider`] | [`export_provider!`] |
//! | routing policy | [`router::Policy`] | [`export_router!`] |
//! | experiment | [`experiment::Experiment`] | [`export_experiment!`] |
//! | sink | [`sink::Sink`] | [`export_sink!`] |
//! | sink that can be asked | [`sink::QueryableSink`] | [`export_queryable_sink!`] |
//!
//! The crate turns a trait into a component: it decodes settings and payloads, keeps the
//! plugin's value between calls, and writes a panic to the gateway's log before the trap.
//! Everything compiles natively too, so that `cargo test` reaches a plugin's logic; there,
//! log lines go to standard error and capabilities without a local counterpart answer with
//! their own error. What the stream of a provider adapter must be is asserted by
//! [`wire::conformance`].
//!
//! A whole policy, built with `cargo build --target wasm32-wasip2` as a `cdylib`:
//!
//! ```
//! use torana_plugin_sdk::router::{Candidate, Endpoint, Plan, Policy, RequestFacts};
//! use torana_plugin_sdk::{NoSettings, SettingsError};
//!
//! /// The endpoint with the fewest requests running comes first.
//! struct LeastBusy;
//!
//! impl Policy for LeastBusy {
//!     type Settings = NoSettings;
//!
//!     fn prepare(_: NoSettings, _: Vec<Endpoint>) -> Result<Self, SettingsError> {
//!         Ok(Self)
//!     }
//!
//!     fn route(&mut self, _: &RequestFacts, candidates: &[Candidate]) -> Plan {
//!         let mut usable: Vec<_> = candidates.iter().filter(|it| it.eligible).collect();
//!         usable.sort_by_key(|it| it.in_flight);
//!         Plan::in_order(usable.iter().map(|it| it.endpoint))
//!     }
//! }
//!
//! torana_plugin_sdk::export_router!(LeastBusy);
//! ```

#[doc(hidden)]
pub mod bindings;
mod convert;
pub mod experiment;
pub mod host;
mod instance;
pub mod log;
pub mod provider;
pub mod router;
mod settings;
pub mod sink;

pub use bindings::host::types::{Header, SettingsError};
pub use settings::NoSettings;
pub use torana_wire as wire;
pub use torana_wire::chat::{self, Usage};
pub use torana_wire::error::{CallError, CallErrorKind};
pub use torana_wire::event::{BlockKind, StreamEvent};
