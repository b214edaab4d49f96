//! The Torana gateway as a library: everything behind the binary `torana`.
//!
//! Reading order: [`command`] starts [`gateway`], which owns the current [`snapshot`];
//! [`request`] takes each request through its stages; [`plugin`] holds the sandboxed
//! components that stages call; [`routing`] decides, [`upstream`] reaches providers,
//! [`journal`] keeps the rows, [`delivery`] takes them to sinks, [`admin`] tells operators
//! how it goes.

// A panic on a path reachable by input takes a request with it; tests may index.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod admin;
pub mod bundled;
pub mod command;
pub mod config;
pub mod delivery;
pub mod dialect;
pub mod error;
pub mod gateway;
pub mod journal;
pub mod metrics;
pub mod openapi;
pub mod operation;
pub mod plugin;
pub mod request;
pub mod routing;
pub mod shutdown;
pub mod snapshot;
pub mod telemetry;
pub mod upstream;
