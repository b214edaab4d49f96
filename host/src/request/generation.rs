//! `GET /v1/generation?id=`: one recorded call, in the shape of OpenRouter's route of this
//! name.
//!
//! The id is any that a client may have in hand: the inference's, or the `id` of the answer,
//! whether the gateway made it or a provider did. Every field of the shape is there, `null`
//! where the gateway has nothing to say. Tokens and dollars are those of all attempts, which
//! is what the call has cost. A provider's own count is the only one: `tokens_*` and
//! `native_tokens_*` are the same.
//!
//! Shape: <https://openrouter.ai/docs/api/api-reference/generations/get-generation>.

use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::inferences::moment;
use super::inferences::parameters::{BadParameter, once, pairs};
use super::inferences::scope::Scope;
use super::inferences::store::Store;
use super::record::OK;
use super::reply::{self, ReplyBody};
use crate::error::Cause;
use crate::gateway::Gateway;
use crate::plugin::sink::{EVERYTHING, Order, PageRequest, RowFilter, Table};
use crate::snapshot::Snapshot;

/// Characters of a UUID in canonical form; without its hyphens it is a provider's id.
const CANONICAL: usize = 36;

/// A store may give empty pages before one with a row in it; not for ever.
const MOST_PAGES: usize = 100;

/// Fields of the shape that the gateway has nothing to say about.
const UNKNOWN: [&str; 18] = [
    "app_id",
    "cache_discount",
    "http_referer",
    "moderation_latency",
    "native_finish_reason",
    "native_tokens_completion_images",
    "num_fetches",
    "num_input_audio_prompt",
    "num_media_completion",
    "num_media_prompt",
    "num_search_results",
    "preset_id",
    "response_cache_source_id",
    "service_tier",
    "upstream_inference_cost",
    "user_agent",
    "web_search_engine",
    "workspace_id",
];

/// One call.
pub async fn generation(
    gateway: &Gateway,
    snapshot: &Snapshot,
    scope: Scope<'_>,
    query: &str,
) -> Result<Response<ReplyBody>, Cause> {
    let id = parse(query)?;
    let store = Store::of(gateway, snapshot)?;
    let found = find(&store, scope, &id).await?;
    let row = found.ok_or_else(|| Cause::UnknownGeneration(id.clone()))?;
    Ok(reply::json(StatusCode::OK, json!({ "data": row.described(&id) }).to_string()))
}

fn parse(query: &str) -> Result<String, BadParameter> {
    let expected = "the id of an inference or of an answer";
    let mut id = None;
    for pair in pairs(query) {
        let (name, value) = pair?;
        match name.as_str() {
            "id" if value.is_empty() => return Err(BadParameter::value(&name, &value, expected)),
            "id" => once(&mut id, &name, value)?,
            _ => return Err(BadParameter::unknown(&name, &[&["id"]])),
        }
    }
    id.ok_or(BadParameter::Missing { name: "id", expected })
}

async fn find(store: &Store<'_>, scope: Scope<'_>, id: &str) -> Result<Option<Row>, Cause> {
    if id.len() == CANONICAL
        && let Ok(inference) = Uuid::try_parse(id)
        && let Some(row) = load(store, &inference.to_string()).await?
    {
        return Ok(Some(row).filter(|row| scope.sees(row.key.as_deref())));
    }
    let mut filter = RowFilter { response_id: Some(id.to_owned()), ..EVERYTHING };
    scope.narrow(&mut filter)?;
    // A provider that gives an id twice means the last one.
    let mut page = PageRequest { order: Order::NewestFirst, limit: 1, cursor: None };
    let mut first = None;
    for _ in 0..MOST_PAGES {
        let found = store.rows(Table::Inference, &filter, &page).await?;
        match (found.items.into_iter().next(), found.next) {
            (Some(item), _) => {
                first = Some(item);
                break;
            }
            (None, None) => return Ok(None),
            (None, next) => page.cursor = next,
        }
    }
    let Some(first) = first else { return Ok(None) };
    let Listed { id } = serde_json::from_slice(&first).map_err(|error| store.broken(&error))?;
    load(store, &id).await
}

async fn load(store: &Store<'_>, id: &str) -> Result<Option<Row>, Cause> {
    let row = store.inference(id).await?;
    row.map(|row| serde_json::from_slice(&row).map_err(|error| store.broken(&error))).transpose()
}

#[derive(Deserialize)]
struct Listed {
    id: String,
}

/// What this shape takes of an inference.
#[derive(Deserialize)]
struct Row {
    id: Uuid,
    time_unix_ms: u64,
    key: Option<String>,
    dialect: Option<String>,
    model: String,
    endpoint: Option<String>,
    outcome: String,
    response_id: Option<String>,
    stream: bool,
    finish_reason: Option<String>,
    total_ms: Option<f64>,
    request: Option<Value>,
    decision: Option<Value>,
    #[serde(default)]
    model_inferences: Vec<Attempt>,
}

#[derive(Deserialize)]
struct Attempt {
    id: Uuid,
    endpoint: String,
    outcome: String,
    status: Option<u16>,
    ttft_ms: Option<f64>,
    total_ms: Option<f64>,
    usage: Option<Usage>,
    cost_usd: Option<f64>,
}

#[derive(Deserialize)]
struct Usage {
    input: u64,
    output: u64,
    #[serde(default)]
    cached_input: u64,
    #[serde(default)]
    reasoning: u64,
}

impl Row {
    /// Named by the id that was asked for.
    fn described(&self, id: &str) -> Value {
        let said =
            |key: &str| self.request.as_ref().and_then(|it| it.get(key)).and_then(Value::as_str);
        let prompt = self.tokens(|usage| usage.input);
        let completion = self.tokens(|usage| usage.output);
        let cost: f64 = self.model_inferences.iter().filter_map(|attempt| attempt.cost_usd).sum();
        let responses: Vec<Value> = self.model_inferences.iter().map(Attempt::described).collect();
        let is_error = self.outcome == "error";
        let known = json!({
            "id": id,
            "request_id": self.id,
            "session_id": said("session_id"),
            "upstream_id": self.upstream_id(),
            "model": self.model,
            "router": self.router(),
            "provider_name": self.endpoint.as_deref().map(|endpoint| parts(endpoint).0),
            "provider_responses": responses,
            "api_type": self.api_type(),
            "created_at": moment::rfc3339(self.time_unix_ms),
            "latency": self.total_ms,
            "generation_time": self.generation_ms(),
            "streamed": self.stream,
            "cancelled": self.outcome == "cancelled",
            "finish_reason": if is_error { Some("error") } else { self.finish_reason.as_deref() },
            "tokens_prompt": prompt,
            "tokens_completion": completion,
            "native_tokens_prompt": prompt,
            "native_tokens_completion": completion,
            "native_tokens_reasoning": self.tokens(|usage| usage.reasoning),
            "native_tokens_cached": self.tokens(|usage| usage.cached_input),
            // Both are numbers by the shape: what nobody knows counts as 0.
            "usage": cost,
            "total_cost": cost,
            "is_byok": false,
            "data_region": "global",
            "external_user": said("user"),
            "origin": "",
        });
        let unknown = UNKNOWN.iter().map(|name| ((*name).to_owned(), Value::Null));
        let mut fields: Map<String, Value> = unknown.collect();
        if let Value::Object(known) = known {
            fields.extend(known);
        }
        fields.into()
    }

    /// The provider's own, where the client got it: ours has the inference's id in it.
    fn upstream_id(&self) -> Option<&str> {
        let ours = self.id.simple().to_string();
        self.response_id.as_deref().filter(|id| !id.contains(&ours))
    }

    /// The policy that was asked first.
    fn router(&self) -> Option<&str> {
        let router = self.decision.as_ref()?.pointer("/models/0/router")?.as_str();
        router.filter(|router| *router != "endpoint")
    }

    fn api_type(&self) -> &'static str {
        if self.dialect.as_deref() == Some("openai-embeddings") {
            "embeddings"
        } else {
            "completions"
        }
    }

    /// `None` where no attempt has any.
    fn tokens(&self, class: fn(&Usage) -> u64) -> Option<u64> {
        let known = self.model_inferences.iter().filter_map(|attempt| attempt.usage.as_ref());
        known.map(class).reduce(u64::saturating_add)
    }

    /// Of the attempt that answered: from its first content to its end, or all of it where it
    /// came whole.
    fn generation_ms(&self) -> Option<f64> {
        let answered = self.model_inferences.iter().rfind(|attempt| attempt.outcome == OK)?;
        let total = answered.total_ms?;
        Some((total - answered.ttft_ms.unwrap_or(0.0)).max(0.0))
    }
}

impl Attempt {
    fn described(&self) -> Value {
        let (provider, model) = parts(&self.endpoint);
        json!({
            "id": self.id,
            "endpoint_id": self.endpoint,
            "model_permaslug": model,
            "provider_name": provider,
            "status": self.status,
            "latency": self.ttft_ms.or(self.total_ms),
            "is_byok": false,
        })
    }
}

/// Provider and model of `provider/model`.
fn parts(endpoint: &str) -> (&str, &str) {
    endpoint.split_once('/').unwrap_or((endpoint, endpoint))
}

#[cfg(test)]
mod tests;
