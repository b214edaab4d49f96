//! Responses as objects that outlive their call: `previous_response_id` and
//! `GET /v1/responses/{id}`, served from the store.
//!
//! Only for responses that this gateway made itself, out of an answer in another dialect:
//! their ids are `resp_` and the inference's. Responses that a provider made are kept there,
//! under the provider's own ids, and named to it unchanged. The expanded conversation becomes
//! the call's body, so that it is recorded whole and one look is enough the next time. A key
//! sees the responses that were given to it and no other's.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use torana_wire::chat;
use torana_wire::openai::Identity;
use uuid::Uuid;

use super::decode::{self, Call};
use super::patch::patch;
use super::reply::{self, ReplyBody};
use super::{bounds, inferences, record};
use crate::dialect::{Dialect, encode};
use crate::error::Cause;
use crate::gateway::Gateway;
use crate::snapshot::Snapshot;

const PREFIX: &str = "resp_";

/// The id that a response of ours has.
pub fn response_id(inference: Uuid) -> String {
    format!("{PREFIX}{}", inference.simple())
}

/// Whether a response is one of ours, there or not.
pub fn is_ours(response: &str) -> bool {
    inference_id(response).is_some()
}

/// The inference that a response of ours was; `None` for ids of a provider's.
fn inference_id(response: &str) -> Option<Uuid> {
    let id = Uuid::try_parse(response.strip_prefix(PREFIX)?).ok()?;
    // Providers' ids may be hexadecimal as well, but are no UUIDs of this version.
    (id.get_version_num() == 7 && response == response_id(id)).then_some(id)
}

/// Puts the conversation before this turn into the call's body. Says whether it did.
///
/// # Errors
/// A response of ours that is not there, or not with its content.
pub async fn expand(
    gateway: &Gateway,
    snapshot: &Snapshot,
    key: Option<&str>,
    call: &mut Call,
) -> Result<bool, Cause> {
    let Some(previous) = call.previous_response.clone() else { return Ok(false) };
    let Some(id) = inference_id(&previous) else { return Ok(false) };
    let turn = Turn::load(gateway, snapshot, key, id).await?.ok_or_else(|| {
        let param = Some("previous_response_id");
        Cause::UnknownResponse { id: previous.clone(), param }
    })?;
    let new: Value = serde_json::from_slice(&call.body).map_err(Cause::InvalidJson)?;
    let mut items = items(turn.request.get("input"));
    items.extend(turn.output(id));
    items.extend(self::items(new.get("input")));
    let input = Value::Array(items).to_string();
    let input = ("input", Some(input.as_bytes()));
    let patched =
        |patches: &[_]| patch(&call.body, patches).map(Bytes::from).map_err(Cause::InvalidJson);
    let asked = patched(&[input])?;
    call.body = patched(&[input, ("previous_response_id", None)])?;
    call.asked = asked;
    if let Some(episode) = turn.episode.filter(|_| call.begins_episode) {
        call.episode = episode;
    }
    call.previous_response = None;
    // A conversation that has grown is held to what one that was sent at once is held to.
    let server = &snapshot.config.server;
    if call.body.len() > server.body_limit_bytes {
        return Err(Cause::BodyTooLarge { limit: server.body_limit_bytes });
    }
    bounds::check(&call.body, &server.json).map_err(Cause::JsonBound)?;
    call.sealed = decode::is_sealed(call.dialect, &call.body);
    Ok(true)
}

/// A response of ours as it was given; `None` for one that lives at a provider.
///
/// # Errors
/// It is ours, but not there or not with its content.
pub async fn response(
    gateway: &Gateway,
    snapshot: &Snapshot,
    key: Option<&str>,
    id: &str,
) -> Result<Option<Response<ReplyBody>>, Cause> {
    let Some(inference) = inference_id(id) else { return Ok(None) };
    let turn = Turn::load(gateway, snapshot, key, inference)
        .await?
        .ok_or_else(|| Cause::UnknownResponse { id: id.to_owned(), param: None })?;
    Ok(Some(reply::json(StatusCode::OK, turn.encoded(inference))))
}

/// A recorded call of the Responses route.
struct Turn {
    model: String,
    created: u64,
    episode: Option<Uuid>,
    request: Value,
    response: chat::Response,
}

impl Turn {
    async fn load(
        gateway: &Gateway,
        snapshot: &Snapshot,
        key: Option<&str>,
        id: Uuid,
    ) -> Result<Option<Self>, Cause> {
        #[derive(Deserialize)]
        struct Row {
            key: Option<String>,
            dialect: String,
            model: String,
            time_unix_ms: u64,
            outcome: String,
            episode_id: Option<Uuid>,
            #[serde(default)]
            redacted: bool,
            request: Option<Value>,
            /// Read only if nothing of it is hidden: then it may have another shape.
            response: Option<Value>,
        }
        let Some(row) = inferences::find(gateway, snapshot, &id.to_string()).await? else {
            return Ok(None);
        };
        let not_ours = |error: serde_json::Error| {
            Cause::StoreUnavailable(format!("its row is not ours: {error}"))
        };
        let row: Row = serde_json::from_slice(&row).map_err(not_ours)?;
        let ours = row.dialect == Dialect::OpenaiResponses.as_str()
            && row.outcome == record::OK
            && row.key.as_deref() == key;
        let response = row.response.filter(|_| !row.redacted);
        let response: Option<chat::Response> =
            response.map(serde_json::from_value).transpose().map_err(not_ours)?;
        Ok(match (row.request, response) {
            (Some(request), Some(response))
                if ours && request.get("store") != Some(&Value::Bool(false)) =>
            {
                let created = row.time_unix_ms / 1_000;
                let episode = row.episode_id;
                Some(Self { model: row.model, created, episode, request, response })
            }
            _ => None,
        })
    }

    fn encoded(&self, id: Uuid) -> Vec<u8> {
        let id = response_id(id);
        let identity = Identity { id: &id, model: &self.model, created: self.created };
        let body = self.request.to_string();
        encode::whole(Dialect::OpenaiResponses, &self.response, &identity, body.as_bytes())
    }

    /// The items that the answer gave.
    fn output(&self, id: Uuid) -> Vec<Value> {
        let response: Value = serde_json::from_slice(&self.encoded(id)).unwrap_or_default();
        let mut items = items(response.get("output"));
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            // Made up here: a provider would look it up in vain.
            item.shift_remove("id");
        }
        items
    }
}

/// Input in its long form.
fn items(input: Option<&Value>) -> Vec<Value> {
    match input {
        Some(Value::Array(items)) => items.clone(),
        Some(Value::String(text)) => vec![json!({ "role": "user", "content": text })],
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_ours_are_taken_for_ours() {
        let id = Uuid::now_v7();
        assert_eq!(inference_id(&response_id(id)).unwrap(), id);
        for foreign in [
            "resp_677efb5139a88190b512bc3fef8e535d",
            "resp_",
            "response_id",
            &format!("resp_{id}"),
            &id.simple().to_string(),
        ] {
            assert_eq!(inference_id(foreign), None, "{foreign}");
        }
    }
}
