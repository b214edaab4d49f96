//! Every promise of the gateway that can be tried from outside, through the real binary.
//!
//! One module a promise; the harness is the library beside this file. Run one module with
//! `cargo test -p torana-tests reload::`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod anthropic_sdk;
mod bad_bodies;
mod bad_input;
mod credentials;
mod decision;
mod delivery;
mod dialects;
mod durability;
mod exporters;
mod feedback;
mod interface;
mod invented_wire;
mod langchain_suite;
mod life_of_request;
mod model_endpoints;
mod openai_sdk;
mod openai_suite;
mod plugin_containment;
mod plugin_loading;
mod preferences;
mod reading;
mod recording;
mod reload;
mod responses_store;
mod resume;
mod routing;
mod routing_faults;
mod schemathesis;
mod setup;
mod shutdown;
mod streaming;
mod structured_output;
mod translation;
mod upstream_faults;
