//! `GET /v1/models`: what a client may name, in the shape that its SDK understands.

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::assign::FUNCTION_PREFIX;
use super::reply::{self, ReplyBody, Shape};
use crate::config::Offer;
use crate::error::Cause;
use crate::snapshot::{Model, Snapshot};

/// Entries on a page of Anthropic's list, unless `limit` says otherwise; and at most.
const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 1_000;

/// Anthropic's shape asks for a time of creation; a configured model has none.
const NO_TIME: &str = "1970-01-01T00:00:00Z";

/// All models and functions; Anthropic's list comes in pages.
///
/// # Errors
/// A page that cannot be.
pub fn list(snapshot: &Snapshot, query: &str, shape: Shape) -> Result<Response<ReplyBody>, Cause> {
    let models = snapshot.models.values().map(|model| entry(model, shape));
    let functions = snapshot.functions.keys().map(|name| function(name, shape));
    let data: Vec<Value> = models.chain(functions).collect();
    // What makes no sense is told, even where the list has no pages.
    let page = page(&data, query)?;
    let body = match shape {
        Shape::Openai | Shape::Openrouter => json!({ "object": "list", "data": data }),
        Shape::Anthropic => page,
    };
    Ok(reply::json(StatusCode::OK, body.to_string()))
}

/// One of them; `None` for a name that is not configured.
pub fn one(snapshot: &Snapshot, name: &str, shape: Shape) -> Option<Response<ReplyBody>> {
    let entry = match (snapshot.models.get(name), name.strip_prefix(FUNCTION_PREFIX)) {
        (Some(model), _) => entry(model, shape),
        (None, Some(name)) if snapshot.functions.contains_key(name) => function(name, shape),
        _ => return None,
    };
    Some(reply::json(StatusCode::OK, entry.to_string()))
}

fn entry(model: &Model, shape: Shape) -> Value {
    let endpoints: Vec<&str> = model.endpoints.iter().map(|endpoint| &*endpoint.name).collect();
    let router = model.policy.as_ref().map(|policy| policy.router.as_str());
    let mut entry = named(&model.name, shape);
    if let Some(fields) = entry.as_object_mut() {
        fields.insert("torana".into(), json!({ "endpoints": endpoints, "router": router }));
        fields.extend(limits(model, shape));
    }
    entry
}

/// By the names that clients of either shape look for: OpenRouter's and Anthropic's. What does
/// not fit an endpoint goes to another one, so the widest limit is the model's.
fn limits(model: &Model, shape: Shape) -> impl Iterator<Item = (String, Value)> {
    let widest = |limit: fn(&Offer) -> Option<u64>| {
        model.endpoints.iter().filter_map(|endpoint| limit(&endpoint.offer)).max()
    };
    let window = widest(|offer| offer.context_window);
    let answer = widest(|offer| offer.max_output);
    let named = match shape {
        Shape::Openai | Shape::Openrouter => {
            [("context_length", window), ("max_completion_tokens", answer)]
        }
        Shape::Anthropic => [("max_input_tokens", window), ("max_tokens", answer)],
    };
    named.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?.into())))
}

fn function(name: &str, shape: Shape) -> Value {
    named(&format!("{FUNCTION_PREFIX}{name}"), shape)
}

fn named(id: &str, shape: Shape) -> Value {
    match shape {
        Shape::Openai | Shape::Openrouter => {
            json!({ "id": id, "object": "model", "created": 0, "owned_by": "torana" })
        }
        Shape::Anthropic => {
            json!({
                "type": "model",
                "id": id,
                "display_name": id,
                "created_at": NO_TIME,
                "lifecycle": "active",
            })
        }
    }
}

/// `limit`, `after_id` and `before_id` as Anthropic's API has them.
fn page(data: &[Value], query: &str) -> Result<Value, Cause> {
    let mut limit = DEFAULT_LIMIT;
    let (mut start, mut end) = (0, data.len());
    let mut backwards = false;
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
        let position = || {
            let found = data.iter().position(|entry| entry.get("id") == Some(&json!(value)));
            found.ok_or_else(|| invalid(name, "expected the id of a model"))
        };
        match name {
            "limit" => {
                limit = value
                    .parse()
                    .ok()
                    .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                    .ok_or_else(|| invalid(name, "expected 1 to 1000"))?;
            }
            "after_id" => start = position()? + 1,
            "before_id" => {
                end = position()?;
                backwards = true;
            }
            _ => {}
        }
    }
    let all = data.get(start..end).unwrap_or_default();
    let shown = match backwards {
        true => all.get(all.len().saturating_sub(limit)..),
        false => all.get(..limit.min(all.len())),
    };
    let shown = shown.unwrap_or_default();
    let id = |entry: Option<&Value>| entry.and_then(|entry| entry.get("id")).cloned();
    Ok(json!({
        "data": shown,
        "has_more": shown.len() < all.len(),
        "first_id": id(shown.first()),
        "last_id": id(shown.last()),
    }))
}

fn invalid(param: &str, expected: &str) -> Cause {
    Cause::InvalidRequest { param: Some(param.into()), message: format!("{param}: {expected}") }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn pages_meet_and_cover_everything() {
        let data: Vec<Value> = (0..5).map(|n| named(&format!("m{n}"), Shape::Anthropic)).collect();
        let mut query = "limit=2".to_owned();
        let mut seen = Vec::new();
        loop {
            let page = page(&data, &query).unwrap();
            seen.extend(page["data"].as_array().unwrap().clone());
            if page["has_more"] == false {
                break;
            }
            query = format!("limit=2&after_id={}", page["last_id"].as_str().unwrap());
        }
        assert_eq!(seen, data);
        let before = page(&data, "limit=2&before_id=m4").unwrap();
        assert_eq!((&before["first_id"], &before["has_more"]), (&json!("m2"), &json!(true)));
        assert!(page(&data, "limit=0").is_err());
        assert!(page(&data, "after_id=m9").is_err());
    }
}
