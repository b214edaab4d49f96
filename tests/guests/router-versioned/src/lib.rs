//! Tries endpoints forwards or backwards, as `ORDER` says. A test overwrites it in the
//! component's bytes to get another version of the same policy.

use std::hint::black_box;

use torana_plugin_sdk::router::{Candidate, Endpoint, Plan, Policy, RequestFacts};
use torana_plugin_sdk::{NoSettings, SettingsError};

/// Long enough that the compiler keeps it as data. `tests/src/guest.rs` knows it too.
const ORDER: &str = "torana-test-order-forwards-----";

struct Versioned;

impl Policy for Versioned {
    type Settings = NoSettings;

    fn prepare(_: NoSettings, _: Vec<Endpoint>) -> Result<Self, SettingsError> {
        Ok(Self)
    }

    fn route(&mut self, _: &RequestFacts, candidates: &[Candidate]) -> Plan {
        let eligible = candidates.iter().filter(|it| it.eligible).map(|it| it.endpoint);
        if black_box(ORDER).contains("backwards") {
            Plan::in_order(eligible.rev())
        } else {
            Plan::in_order(eligible)
        }
    }
}

torana_plugin_sdk::export_router!(Versioned);
