//! A policy that loops or traps in the hook that its settings name. Where it behaves, it
//! tries endpoints backwards, so that a test sees who decided.

use std::hint::black_box;

use serde::Deserialize;
use torana_plugin_sdk::SettingsError;
use torana_plugin_sdk::router::{Candidate, Endpoint, Plan, Policy, RequestFacts};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    prepare: String,
    route: String,
}

struct Hostile(Settings);

impl Policy for Hostile {
    type Settings = Settings;

    fn prepare(settings: Settings, _: Vec<Endpoint>) -> Result<Self, SettingsError> {
        misbehave(&settings.prepare);
        Ok(Self(settings))
    }

    fn route(&mut self, _: &RequestFacts, candidates: &[Candidate]) -> Plan {
        misbehave(&self.0.route);
        if self.0.route == "nonsense" {
            return Plan::in_order([u32::MAX, 1_000]);
        }
        Plan::in_order(candidates.iter().rev().map(|it| it.endpoint))
    }
}

#[expect(clippy::panic, reason = "this guest is here to trap")]
fn misbehave(how: &str) {
    match how {
        "loop" => {
            let mut turns = 0_u64;
            loop {
                turns = black_box(turns.wrapping_add(1));
            }
        }
        "trap" => panic!("the guest was told to trap"),
        _ => {}
    }
}

torana_plugin_sdk::export_router!(Hostile);
