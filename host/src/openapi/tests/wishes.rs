//! What the description says of preferences for routing against what is read of them.

use http::HeaderMap;
use serde_json::{Value, json};

use super::bodies::{mutations, pointers, validator};
use crate::request::wishes::Wishes;

fn are_taken(body: &Value) -> bool {
    Wishes::read("m", body.to_string().as_bytes(), &HeaderMap::new()).is_ok()
}

/// Every key, and every form of those that have several.
fn full() -> [Value; 2] {
    let provider = json!({
        "order": ["a"], "only": ["a/b"], "ignore": ["c"], "allow_fallbacks": false,
        "require_parameters": true, "data_collection": "deny", "zdr": true,
        "enforce_distillable_text": true, "quantizations": ["fp8", "unknown"], "sort": "price",
        "max_price": {
            "prompt": 1, "completion": "2.5", "request": 0, "image": null, "audio": 0.5,
        },
        "preferred_min_throughput": 50, "preferred_max_latency": 1.5,
    });
    let in_parts = json!({
        "sort": { "by": "latency", "partition": "none" },
        "preferred_min_throughput": { "p50": 50, "p75": 40, "p90": 30, "p99": 20 },
        "preferred_max_latency": { "p50": 1, "p75": 2, "p90": 3, "p99": 4 },
    });
    [
        json!({ "models": ["n"], "route": "fallback", "session_id": "s", "provider": provider }),
        json!({ "route": "sort", "provider": in_parts }),
    ]
}

#[test]
fn preferences_that_the_schema_takes_are_those_that_are_read() {
    let validator = validator("RoutingWishes");
    let mut disagreements = Vec::new();
    for full in full() {
        assert!(are_taken(&full) && validator.is_valid(&full), "{full:#}");
        let mut places = Vec::new();
        pointers(&full, "", &mut places);
        for pointer in places {
            for body in mutations(&full, &pointer) {
                let taken = are_taken(&body);
                if taken != validator.is_valid(&body) {
                    let value = body.pointer(&pointer);
                    disagreements.push(format!("{pointer} = {value:?}, read: {taken}"));
                }
            }
        }
    }
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n"));
}
