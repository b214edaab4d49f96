//! Makes a decision again from its record, and compares.
//!
//! Of each model that was considered, its policy is prepared with the settings, endpoints and
//! learned state of the record and asked the same question. Its plan must be the same to the
//! byte, and so must be what the gateway itself makes of it (`torana_routing::plan`). What the
//! client's preferences make of that rests on more figures than the record has, and is not made
//! again. The clock, statistics and configuration of today play no part.

use std::sync::Arc;

use serde::Serialize;
use torana_routing::filter::Demotion;
use torana_routing::plan::{Moved, steps};
use torana_routing::policy::Plan;

use super::decision::{Asked, Considered, Decision};
use crate::plugin::LoadedPlugin;
use crate::plugin::policy::Policy;

/// What became of one model's part of a decision.
#[derive(Debug, Serialize)]
pub struct Replayed {
    pub model: String,
    pub router: String,
    #[serde(flatten)]
    pub verdict: Verdict,
}

#[derive(Debug, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The same plan, to the byte.
    Identical { plan: String },
    /// Another plan, from the same input: the component breaks its contract, or is another.
    Different { recorded: String, replayed: String },
    /// It failed then, and failed again.
    FailedAgain { reason: String },
    /// It cannot be made again.
    Impossible { reason: String },
}

impl Verdict {
    pub fn is_same(&self) -> bool {
        matches!(self, Self::Identical { .. } | Self::FailedAgain { .. })
    }
}

/// `find` gives the component for the name and digest that a record has.
pub fn replay(
    decision: &Decision,
    find: &dyn Fn(&str, &str) -> Option<Arc<LoadedPlugin>>,
) -> Vec<Replayed> {
    let one = |considered: &Considered| Replayed {
        model: considered.model.clone(),
        router: considered.router.clone(),
        verdict: match &considered.policy {
            Some(asked) => again(considered, asked, find),
            None if considered.router == "endpoint" => impossible("no policy was asked"),
            None => impossible(
                "the record has no input: journal.decisions was \"plan\", or nobody could serve",
            ),
        },
    };
    decision.models.iter().map(one).collect()
}

fn again(
    considered: &Considered,
    asked: &Asked,
    find: &dyn Fn(&str, &str) -> Option<Arc<LoadedPlugin>>,
) -> Verdict {
    let Some(plugin) = find(&asked.plugin, &asked.digest) else {
        return impossible(&format!(
            "the component {} of {} is not here; name it with --policy FILE.wasm",
            asked.digest, asked.plugin
        ));
    };
    let Some(learned) = asked.learned.bytes() else {
        return impossible("what the policy had learned was too long to be kept");
    };
    let endpoints = asked.endpoints.to_vec();
    let policy = match Policy::prepare(plugin, &asked.settings, endpoints, learned.into()) {
        Ok(policy) => policy,
        Err(error) => return impossible(&crate::error::chain(&error)),
    };
    match (policy.route(&asked.facts, &asked.candidates), &asked.said) {
        (Err(failure), None) => Verdict::FailedAgain { reason: failure.to_string() },
        (Err(failure), Some(_)) => impossible(&failure.to_string()),
        (Ok(routed), said) => {
            let moved = moved(considered, asked, &routed.plan);
            let replayed = line(&routed.plan);
            match said.as_ref().map(line) {
                Some(plan) if plan == replayed && moved.is_none() => Verdict::Identical { plan },
                Some(recorded) if recorded == replayed => {
                    Verdict::Different { recorded, replayed: moved.unwrap_or_default() }
                }
                recorded => Verdict::Different {
                    recorded: recorded.unwrap_or_else(|| "the policy failed".to_owned()),
                    replayed,
                },
            }
        }
    }
}

/// What the gateway puts last now and did not then, or the other way round.
fn moved(considered: &Considered, asked: &Asked, plan: &Plan) -> Option<String> {
    let (_, moved) = steps(plan, &asked.candidates, 0);
    let name = |moved: &Moved| {
        let endpoint = asked.endpoints.get(moved.endpoint)?.name.clone();
        Some((endpoint, Demotion::from(moved.why)))
    };
    let now: Vec<_> = moved.iter().filter_map(name).collect();
    // Preferences may have put others last besides.
    let then = |(endpoint, reason): &(String, Demotion)| {
        considered.demoted.iter().any(|it| it.endpoint == *endpoint && it.reason == *reason)
    };
    let missing: Vec<String> =
        now.iter().filter(|one| !then(one)).map(|(endpoint, _)| endpoint.clone()).collect();
    (!missing.is_empty()).then(|| format!("the gateway puts {} last", missing.join(", ")))
}

fn impossible(reason: &str) -> Verdict {
    Verdict::Impossible { reason: reason.to_owned() }
}

fn line(plan: &Plan) -> String {
    // Plain numbers serialize without fail; a score that is no number becomes null on both
    // sides.
    serde_json::to_string(plan).unwrap_or_default()
}
