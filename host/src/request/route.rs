//! From a name to a plan: which model is meant, and in which order its endpoints are tried.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::assign::FUNCTION_PREFIX;
use super::decode::Call;
use crate::config::SecretReference;
use crate::error::Cause;
use crate::gateway::Gateway;
use crate::plugin::policy::Candidate;
use crate::routing::candidate;
use crate::routing::plan::{self, Decision, LeftOut, Plan, Scored};
use crate::snapshot::{Endpoint, Model, Snapshot};

/// Names listed in an error; more would not be read.
const MAX_NAMES: usize = 30;

/// A model by its name, `provider/model` made into one, or a bare name that only a provider
/// knows.
pub fn model(gateway: &Gateway, snapshot: &Snapshot, name: &str) -> Result<Arc<Model>, Cause> {
    if let Some(model) = snapshot.models.get(name) {
        return Ok(model.clone());
    }
    direct(gateway, snapshot, name)
        .or_else(|| bare(gateway, snapshot, name))
        .ok_or_else(|| Cause::UnknownModel { name: name.to_owned(), known: known(snapshot) })
}

/// A name without a provider, as SDKs use it: the one endpoint that is configured for it, else
/// whatever the default provider makes of it.
fn bare(gateway: &Gateway, snapshot: &Snapshot, name: &str) -> Option<Arc<Model>> {
    let mut listed = snapshot
        .models
        .values()
        .flat_map(|model| &model.endpoints)
        .filter(|endpoint| endpoint.target.model == name);
    let first = listed.next();
    let only = first.filter(|first| listed.all(|other| other.name == first.name)).cloned();
    let by_default = || {
        let provider = snapshot.config.default_provider.as_ref()?;
        endpoint(gateway, snapshot, provider, name)
    };
    let endpoint = only.or_else(by_default)?;
    Some(Arc::new(Model { name: name.to_owned(), endpoints: vec![endpoint], policy: None }))
}

/// The endpoint that `provider/model` names.
fn direct(gateway: &Gateway, snapshot: &Snapshot, name: &str) -> Option<Arc<Model>> {
    let (provider, model) = name.split_once('/').filter(|(_, model)| !model.is_empty())?;
    let endpoint = endpoint(gateway, snapshot, provider, model)?;
    Some(Arc::new(Model { name: name.to_owned(), endpoints: vec![endpoint], policy: None }))
}

/// A provider's model: as `[models]` lists it, else made up for the call.
fn endpoint(
    gateway: &Gateway,
    snapshot: &Snapshot,
    provider: &str,
    model: &str,
) -> Option<Arc<Endpoint>> {
    let provider = snapshot.providers.get(provider)?;
    let listed = snapshot
        .models
        .values()
        .flat_map(|model| &model.endpoints)
        .find(|listed| listed.provider.name == provider.name && listed.target.model == model)
        .cloned();
    let unlisted =
        || Arc::new(Endpoint::unlisted(provider.clone(), model, |name| gateway.statistics(name)));
    listed.or_else(|| provider.config.any_model.then(unlisted))
}

/// What a client could have asked for.
pub fn known(snapshot: &Snapshot) -> String {
    let models = snapshot.models.keys().cloned();
    let functions = snapshot.functions.keys().map(|name| format!("{FUNCTION_PREFIX}{name}"));
    let open = snapshot.providers.values().filter(|provider| provider.config.any_model);
    let providers = open.map(|provider| format!("{}/…", provider.name));
    let names: Vec<String> = models.chain(functions).chain(providers).collect();
    let shown: Vec<&str> = names.iter().take(MAX_NAMES).map(String::as_str).collect();
    let more = names.len().saturating_sub(MAX_NAMES);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// Asks the model's policy; should it fail, the endpoints in the order they are written.
pub fn plan(model: &Model, call: &Call) -> Result<Plan, Cause> {
    let facts = candidate::facts(call, seed());
    let candidates: Vec<Candidate> = (0u32..)
        .zip(&model.endpoints)
        .map(|(position, endpoint)| candidate::candidate(position, endpoint, &facts))
        .collect();
    let eligible: Vec<bool> = candidates.iter().map(|candidate| candidate.eligible).collect();
    let mut decision = Decision {
        router: model.policy.as_ref().map_or("endpoint", |policy| &policy.router).to_owned(),
        seed: facts.seed,
        time_unix_ms: facts.now_unix_ms,
        left_out: left_out(model, &facts),
        ..Decision::default()
    };
    if !eligible.contains(&true) {
        return Err(Cause::NoEndpoint {
            model: model.name.clone(),
            reasons: reasons(model, &decision.left_out),
        });
    }
    let steps = match model.policy.as_ref().map(|policy| policy.policy.route(&facts, &candidates)) {
        None => plan::priority(&eligible),
        Some(Ok(plan)) => {
            decision.scores = plan
                .scores
                .iter()
                .filter_map(|score| {
                    let endpoint = model.endpoints.get(score.endpoint as usize)?;
                    Some(Scored { endpoint: endpoint.name.to_string(), score: score.score })
                })
                .collect();
            plan::steps(&plan, &eligible)
        }
        Some(Err(failure)) => {
            decision.fallback = Some(failure.to_string());
            plan::priority(&eligible)
        }
    };
    decision.plan = steps
        .iter()
        .filter_map(|step| model.endpoints.get(step.endpoint))
        .map(|endpoint| endpoint.name.to_string())
        .collect();
    Ok(Plan { steps, decision })
}

fn left_out(model: &Model, facts: &crate::plugin::policy::RequestFacts) -> Vec<LeftOut> {
    model
        .endpoints
        .iter()
        .filter_map(|endpoint| {
            let reason = candidate::eligibility(endpoint, facts).err()?;
            Some(LeftOut { endpoint: endpoint.name.to_string(), reason })
        })
        .collect()
}

fn reasons(model: &Model, left_out: &[LeftOut]) -> String {
    let lines: Vec<String> = left_out
        .iter()
        .zip(&model.endpoints)
        .map(|(left, endpoint)| match (&left.reason, &endpoint.provider.config.credential) {
            (
                candidate::Ineligible::NoCredential,
                crate::config::Credential::Missing(reference),
            ) => {
                format!("{} has no credential ({})", left.endpoint, remedy(reference))
            }
            (candidate::Ineligible::ContextWindow, _) => {
                format!("{} has a context window too small for this prompt", left.endpoint)
            }
            (candidate::Ineligible::NoCredential, _) => {
                format!("{} has no credential", left.endpoint)
            }
        })
        .collect();
    lines.join("; ")
}

fn remedy(reference: &SecretReference) -> String {
    match reference {
        SecretReference::Environment(name) => {
            format!("set {name} in the gateway's environment and restart it")
        }
        SecretReference::File(path) => format!("write it to {} and reload", path.display()),
        SecretReference::Ambient => "set the environment that its own tools use".to_owned(),
    }
}

/// Random enough to spread load, recorded so that the decision can be replayed.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    if getrandom::fill(&mut bytes).is_err() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        return u64::from(now.subsec_nanos());
    }
    // JSON readers keep integers exactly only up to 2^53.
    u64::from_le_bytes(bytes) >> 11
}
