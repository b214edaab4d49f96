//! From a name to a plan: which model is meant, and in which order its endpoints are tried.

use std::sync::Arc;
use std::time::Instant;

use torana_routing::candidate;
use torana_routing::execution::Step;
use torana_routing::filter::{Arrangement, Exclusion, Item, Live, Place, arrange, explain};
use torana_routing::plan::{self, Moved};
use torana_routing::policy::{Facts, Score};
use torana_routing::preferences::{Named, Preferences, SortBy};
use torana_routing::statistics::{Statistics, Window};

use super::assign::FUNCTION_PREFIX;
use super::decode::Call;
use super::record::Record;
use crate::config::{Credential, SecretReference};
use crate::error::Cause;
use crate::gateway::Gateway;
use crate::plugin::policy::Routed;
use crate::routing::candidates::{Candidates, Question};
use crate::routing::decision::{Asked, Considered, Decision, Demoted, Learned, LeftOut, Scored};
use crate::routing::plan::Plan;
use crate::snapshot::{Endpoint, Model, ModelPolicy, Snapshot};

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
    Some(Arc::new(Model::direct(name, endpoint)))
}

/// The endpoint that `provider/model` names.
fn direct(gateway: &Gateway, snapshot: &Snapshot, name: &str) -> Option<Arc<Model>> {
    let (provider, model) = name.split_once('/').filter(|(_, model)| !model.is_empty())?;
    let endpoint = endpoint(gateway, snapshot, provider, model)?;
    Some(Arc::new(Model::direct(name, endpoint)))
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

/// A model, with what the suffix of its name asks for.
type Sorted = (Arc<Model>, Option<SortBy>);

/// Asks the policy of each model that may serve, then lets the client's preferences have their
/// say. What was decided is on record even where it leaves nobody.
pub fn plan(
    gateway: &Gateway,
    snapshot: &Snapshot,
    call: &Call,
    record: &mut Record,
) -> Result<Plan, Cause> {
    let question = Question::of(call);
    let models = models(gateway, snapshot, call)?;
    let preferences = &call.wishes.asked.preferences;
    let mut decision = Decision {
        preferences: call.wishes.provider.clone(),
        unmatched: unmatched(preferences, &models),
        ..Decision::default()
    };
    let mut steps = Vec::new();
    let mut expected = 0;
    let mut nobody = Vec::new();
    for (position, (model, _)) in models.iter().enumerate() {
        let candidates = question.candidates(gateway, model);
        expected = candidates.facts.expected_output_tokens.max(expected);
        if candidates.rows.iter().any(|row| row.eligible) {
            let (considered, own) = consider(model, candidates, position);
            steps.extend(own);
            decision.models.push(considered);
        } else {
            decision.models.push(left_out(model, &candidates));
            nobody.push((model, candidates));
        }
    }
    if steps.is_empty() {
        record.decided(decision);
        return Err(no_endpoint(&nobody));
    }
    let steps = arranged(&question, &models, steps, expected, &mut decision);
    let models = models.into_iter().map(|(model, _)| model).collect();
    let plan = Plan { models, steps };
    decision.plan = plan.endpoints().map(|endpoint| endpoint.name.to_string()).collect();
    record.decided(decision);
    Ok(plan)
}

/// Slugs that mean none of the endpoints there are: a provider that does not serve these
/// models, or a typing error.
fn unmatched(preferences: &Preferences, models: &[Sorted]) -> Vec<String> {
    let lists = [&preferences.order, &preferences.only, &preferences.ignore];
    let known = |slug: &str| {
        let mut endpoints = models.iter().flat_map(|(model, _)| &model.endpoints);
        endpoints.any(|endpoint| endpoint.profile.matches(slug))
    };
    lists.into_iter().flatten().filter(|slug| !known(slug)).cloned().collect()
}

/// The model asked for and those to fall back to, with what the suffix of its name asks for.
fn models(gateway: &Gateway, snapshot: &Snapshot, call: &Call) -> Result<Vec<Sorted>, Cause> {
    let mut models = vec![sorted(gateway, snapshot, &Named::read(&call.model))?];
    for (position, fallback) in call.wishes.fallbacks() {
        let param = format!("models[{position}]");
        let invalid = |message| Cause::InvalidRequest { param: Some(param.clone()), message };
        if fallback.name.starts_with(FUNCTION_PREFIX) {
            let name = &fallback.name;
            return Err(invalid(format!(
                "{param}: found {name:?}, expected a model: a function cannot be fallen back to"
            )));
        }
        let next = sorted(gateway, snapshot, fallback)?;
        if !models.iter().any(|(known, _)| known.name == next.0.name) {
            models.push(next);
        }
    }
    Ok(models)
}

/// A model may be called `fast:nitro`: a name that is configured is taken whole.
fn sorted(gateway: &Gateway, snapshot: &Snapshot, named: &Named) -> Result<Sorted, Cause> {
    if named.sort.is_none() || snapshot.models.contains_key(&named.name) {
        return Ok((model(gateway, snapshot, &named.name)?, None));
    }
    Ok((model(gateway, snapshot, &named.model)?, named.sort))
}

/// Asks the model's policy; should it fail, the endpoints in the order they are written.
fn consider(model: &Model, candidates: Candidates, position: usize) -> (Considered, Vec<Step>) {
    let mut considered = left_out(model, &candidates);
    let Candidates { facts, rows, .. } = candidates;
    let Some(ModelPolicy { policy, .. }) = &model.policy else {
        let (steps, moved) = plan::priority(&rows, position);
        considered.demoted = demoted(model, &moved);
        return (considered, steps);
    };
    let mut asked = Asked {
        plugin: policy.plugin().name.to_string(),
        digest: policy.plugin().digest.to_string(),
        settings: policy.settings().clone(),
        endpoints: policy.endpoints().clone(),
        learned: Learned::default(),
        facts,
        candidates: rows,
        said: None,
    };
    let (steps, moved) = match policy.route(&facts, &asked.candidates) {
        Ok(Routed { plan, learned }) => {
            asked.learned = Learned::of(&learned);
            let scored = |score: &Score| {
                let endpoint = model.endpoints.get(score.endpoint as usize)?;
                Some(Scored { endpoint: endpoint.name.to_string(), score: score.score })
            };
            considered.scores = plan.scores.iter().filter_map(scored).collect();
            let steps = plan::steps(&plan, &asked.candidates, position);
            asked.said = Some(plan);
            steps
        }
        Err(failure) => {
            considered.fallback = Some(failure.to_string());
            plan::priority(&asked.candidates, position)
        }
    };
    considered.policy = Some(asked);
    considered.demoted = demoted(model, &moved);
    (considered, steps)
}

/// What the host itself puts last.
fn demoted(model: &Model, moved: &[Moved]) -> Vec<Demoted> {
    let one = |moved: &Moved| {
        let endpoint = model.endpoints.get(moved.endpoint)?.name.to_string();
        Some(Demoted { endpoint, reason: moved.why.into() })
    };
    moved.iter().filter_map(one).collect()
}

fn left_out(model: &Model, candidates: &Candidates) -> Considered {
    let left_out = model.endpoints.iter().zip(&candidates.exclusions);
    Considered {
        model: model.name.clone(),
        router: model.policy.as_ref().map_or("endpoint", |policy| &policy.router).to_owned(),
        policy: None,
        left_out: left_out
            .filter_map(|(endpoint, exclusion)| {
                let exclusion = exclusion.clone()?;
                Some(LeftOut { endpoint: endpoint.name.to_string(), exclusion })
            })
            .collect(),
        demoted: Vec::new(),
        scores: Vec::new(),
        fallback: None,
    }
}

/// The steps in the order that the client's preferences make of them.
fn arranged(
    question: &Question<'_>,
    models: &[Sorted],
    steps: Vec<Step>,
    expected_output_tokens: u64,
    decision: &mut Decision,
) -> Vec<Step> {
    let demand = question.demand(expected_output_tokens);
    // Percentiles of five minutes are not had for nothing.
    let preferences = demand.preferences;
    let compares = !preferences.order.is_empty()
        || !preferences.preferred_max_latency.is_none()
        || !preferences.preferred_min_throughput.is_none()
        || preferences.sort.by.is_some()
        || models.iter().any(|(_, sort)| sort.is_some());
    let item = |step: &Step| {
        let (model, sort) = models.get(step.model)?;
        let endpoint = model.endpoints.get(step.endpoint)?;
        let place = Place { model: step.model, endpoint: step.endpoint };
        let live = if compares {
            live(&endpoint.statistics, false, question.now)
        } else {
            Live::default()
        };
        Some(Item { place, profile: &endpoint.profile, live, sort: *sort })
    };
    let items: Vec<Item<'_>> = steps.iter().filter_map(item).collect();
    let arrangement = arrange(&items, &demand);
    decision.order = arrangement.by.unwrap_or("policy").to_owned();
    let name = |place: &Place| {
        let endpoint = models.get(place.model)?.0.endpoints.get(place.endpoint)?;
        Some(endpoint.name.to_string())
    };
    for dropped in &arrangement.dropped {
        if let (Some(considered), Some(endpoint)) =
            (decision.models.get_mut(dropped.model), name(dropped))
        {
            considered.left_out.push(LeftOut { endpoint, exclusion: Arrangement::drop_reason() });
        }
    }
    for demoted in &arrangement.demoted {
        if let (Some(considered), Some(endpoint)) =
            (decision.models.get_mut(demoted.place.model), name(&demoted.place))
        {
            considered.demoted.push(Demoted { endpoint, reason: demoted.why });
        }
    }
    let step = |place: &Place| {
        let of = |step: &&Step| step.model == place.model && step.endpoint == place.endpoint;
        steps.iter().find(of).copied()
    };
    arrangement.order.iter().filter_map(step).collect()
}

fn live(statistics: &Statistics, first: bool, now: Instant) -> Live {
    let reading = statistics.read(now);
    let rate = (reading.tool_calls > 0).then_some(reading.tool_call_error_rate);
    let row = candidate::row(0, true, &reading, None, 0, &Facts::default());
    let unusable = plan::unusable(&row, first);
    Live { unusable, ..Live::new(&statistics.summary(Window::FiveMinutes, now), rate) }
}

/// Who was left out of all models, by what; and what the operator can do about it.
fn no_endpoint(nobody: &[(&Arc<Model>, Candidates)]) -> Cause {
    let mut by_request = false;
    let mut reasons = Vec::new();
    let mut remedies: Vec<String> = Vec::new();
    for (model, candidates) in nobody {
        let excluded: Vec<(&str, &Exclusion)> = model
            .endpoints
            .iter()
            .zip(&candidates.exclusions)
            .filter_map(|(endpoint, exclusion)| Some((&*endpoint.name, exclusion.as_ref()?)))
            .collect();
        by_request |= excluded.iter().any(|(_, it)| !matches!(it, Exclusion::NoCredential));
        reasons.push(explain(&model.name, excluded.into_iter()));
        for endpoint in &model.endpoints {
            if let Credential::Missing(reference) = &endpoint.provider.config.credential {
                let remedy = remedy(reference);
                if !remedies.contains(&remedy) && remedies.len() < MAX_NAMES {
                    remedies.push(remedy);
                }
            }
        }
    }
    reasons.extend(remedies);
    Cause::NoEndpoint { reasons: reasons.join("; "), by_request }
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
