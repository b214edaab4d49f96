//! A small world for tests.

use std::time::Duration;

use torana_routing::price::Price;

use crate::scenario::{Arrival, Endpoint, Fault, FaultKind, Limits, LogNormal, Scenario, Values};

/// Endpoints with room for all, the first the cheapest; arrivals five a second.
pub(crate) fn scenario(endpoints: u32, arrivals: u32) -> Scenario {
    let arrival = |number| Arrival {
        at: Duration::from_millis(200) * number,
        input_tokens: 1_000,
        output_tokens: 100,
        session: 0,
    };
    Scenario {
        name: "test".into(),
        endpoints: (0..endpoints).map(endpoint).collect(),
        arrivals: (0..arrivals).map(arrival).collect(),
        faults: vec![],
        values: Values::default(),
        slo_ttft: Duration::from_secs(3),
        limits: Limits::default(),
    }
}

fn endpoint(number: u32) -> Endpoint {
    Endpoint {
        name: format!("provider-{number}/model"),
        region: None,
        price: Price {
            input: 0.5 + 0.25 * f64::from(number),
            output: 1.5 + 0.5 * f64::from(number),
            cached_input: Some(0.1),
            ..Price::default()
        },
        ttft_ms: LogNormal { median: 500.0, sigma: 0.3 },
        tokens_per_s: 80.0,
        error_rate: 0.002,
        concurrency: 100,
        congestion_above: 0.6,
        weight: 1.0,
    }
}

/// From second to second, at one endpoint, for every request.
pub(crate) fn fault(endpoint: usize, start: u64, end: u64, kind: FaultKind) -> Fault {
    let (start, end) = (Duration::from_secs(start), Duration::from_secs(end));
    Fault { start, end, endpoint, kind, intensity: 1.0 }
}
