//! A policy that tries endpoints in the order its settings name and hedges as early as they
//! say, so that a test needs no statistics to see a hedge.

use serde::Deserialize;
use torana_plugin_sdk::SettingsError;
use torana_plugin_sdk::router::{Candidate, Endpoint, Plan, Policy, RequestFacts, Step};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// Providers in the order to be tried; others follow as they are written.
    order: Vec<String>,
    hedge_after_ms: Option<u32>,
    /// 0: the operator's time-out.
    timeout_ms: u32,
}

struct Hedging {
    settings: Settings,
    /// Positions in the order to be tried.
    order: Vec<u32>,
}

impl Policy for Hedging {
    type Settings = Settings;

    fn prepare(settings: Settings, endpoints: Vec<Endpoint>) -> Result<Self, SettingsError> {
        let rank = |provider: &str| {
            settings.order.iter().position(|it| it == provider).unwrap_or(settings.order.len())
        };
        let mut order: Vec<(u32, &Endpoint)> = (0..).zip(&endpoints).collect();
        order.sort_by_key(|(_, endpoint)| rank(&endpoint.provider));
        let order = order.into_iter().map(|(position, _)| position).collect();
        Ok(Self { settings, order })
    }

    fn route(&mut self, _: &RequestFacts, _: &[Candidate]) -> Plan {
        let Settings { hedge_after_ms, timeout_ms, .. } = self.settings;
        let step = |&endpoint: &u32| Step { endpoint, timeout_ms, hedge_after_ms };
        Plan { steps: self.order.iter().map(step).collect(), scores: Vec::new() }
    }
}

torana_plugin_sdk::export_router!(Hedging);
