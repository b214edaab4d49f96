//! `POST /v1/feedback`: what somebody thinks of an inference or an episode.
//!
//! A value of a configured metric, a comment, or a demonstration of what the answer should
//! have been. What it is about has to be in the store, and given to the same key; without a
//! store that can be asked it is taken on trust. Recorded in the journal before the reply.

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::inferences::scope::Scope;
use super::inferences::store::Store;
use super::record::now_unix_ms;
use super::reply::{self, ReplyBody};
use super::tags::{self, LONGEST_NAME, LONGEST_VALUE, MOST_TAGS, Tags};
use super::{admit, bounds};
use crate::config::{ClientKey, Config, Level, MetricKind};
use crate::error::Cause;
use crate::gateway::Gateway;
use crate::journal::{Row, RowKind, Rows};
use crate::plugin::sink::{EVERYTHING, Order, PageRequest, RowFilter, Table};
use crate::snapshot::Snapshot;

/// Metrics that need no configuration.
const COMMENT: &str = "comment";
const DEMONSTRATION: &str = "demonstration";

/// Inferences of an episode that are asked for their function and variant.
const EPISODE_INFERENCES: u32 = 100;

/// The body; names as TensorZero has them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    metric_name: String,
    #[serde(default)]
    inference_id: Option<Uuid>,
    #[serde(default)]
    episode_id: Option<Uuid>,
    value: Value,
    #[serde(default)]
    tags: Tags,
    /// Checked, but not recorded.
    #[serde(default)]
    dryrun: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Inference(Uuid),
    Episode(Uuid),
}

/// What the store knows of a target.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
struct Known {
    key: Option<String>,
    function: Option<String>,
    variant: Option<String>,
    episode_id: Option<Uuid>,
}

/// A feedback row, as `docs/data-model.md` describes it.
#[derive(Serialize)]
struct FeedbackFields<'a> {
    id: Uuid,
    time_unix_ms: u64,
    target: &'static str,
    inference_id: Option<Uuid>,
    episode_id: Option<Uuid>,
    metric: &'a str,
    value: &'a Value,
    tags: &'a Tags,
    key: Option<&'a str>,
    function: Option<&'a str>,
    variant: Option<&'a str>,
}

/// Checks and records feedback.
///
/// # Errors
/// A body or value that is none, an unknown metric or target, a store or journal that fails.
pub async fn give(
    gateway: &Gateway,
    snapshot: &Snapshot,
    caller: Option<&ClientKey>,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Cause> {
    let server = &snapshot.config.server;
    let body = request.into_body();
    let body = admit::body(body, server.body_limit_bytes, server.body_timeout).await?;
    bounds::check(&body, &server.json).map_err(Cause::JsonBound)?;
    let given = parse(&body)?;
    let target = check(&given, &snapshot.config)?;
    let known = find(gateway, snapshot, Scope::of(caller), target).await?;
    let id = Uuid::now_v7();
    if !given.dryrun {
        if gateway.journal.is_full() {
            return Err(Cause::JournalFull);
        }
        let key = caller.map(|key| key.name.as_str());
        let row = row(id, &given, target, key, &known)?;
        gateway.append(Rows::of(&[row])).await.map_err(Cause::NotRecorded)?;
    }
    Ok(reply::json(StatusCode::OK, format!("{{\"feedback_id\":\"{id}\"}}")))
}

fn parse(body: &[u8]) -> Result<Given, Cause> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Cause::InvalidRequest {
            param: None,
            message: format!(
                "{error}; expected metric_name, inference_id or episode_id, value, and perhaps \
                 tags and dryrun"
            ),
        },
        _ => Cause::InvalidJson(error),
    })
}

fn check(given: &Given, config: &Config) -> Result<Target, Cause> {
    let target = match (given.inference_id, given.episode_id) {
        (Some(id), None) => Target::Inference(id),
        (None, Some(id)) => Target::Episode(id),
        _ => return Err(invalid("inference_id", "expected either inference_id or episode_id")),
    };
    let tags_fit = given.tags.len() <= MOST_TAGS
        && given.tags.iter().all(|(name, value)| tags::fits(name, value));
    if !tags_fit {
        let expected = format!(
            "expected at most {MOST_TAGS} texts of at most {LONGEST_VALUE} characters, with names \
             of at most {LONGEST_NAME}"
        );
        return Err(invalid("tags", &expected));
    }
    check_value(given, target, config)?;
    Ok(target)
}

fn check_value(given: &Given, target: Target, config: &Config) -> Result<(), Cause> {
    let value = &given.value;
    let found = |expected: &str| {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        Err(invalid("value", &format!("expected {expected}, found {kind}")))
    };
    match given.metric_name.as_str() {
        COMMENT => return if value.is_string() { Ok(()) } else { found("text") },
        DEMONSTRATION => {
            if matches!(target, Target::Episode(_)) {
                let expected = "a demonstration is of one answer; expected inference_id";
                return Err(invalid("episode_id", expected));
            }
            let fits = value.is_string() || value.is_object();
            return if fits { Ok(()) } else { found("text or an object") };
        }
        _ => {}
    }
    let Some(metric) = config.metrics.get(&given.metric_name) else {
        let names = config.metrics.keys().map(String::as_str);
        let known: Vec<&str> = names.chain([COMMENT, DEMONSTRATION]).collect();
        let message = format!(
            "no metric {:?}; there are {}; configure [metrics.NAME]",
            given.metric_name,
            known.join(", ")
        );
        return Err(invalid("metric_name", &message));
    };
    match (metric.level, target) {
        (Level::Inference, Target::Episode(_)) => {
            return Err(invalid("episode_id", "this metric is about inferences"));
        }
        (Level::Episode, Target::Inference(_)) => {
            return Err(invalid("inference_id", "this metric is about episodes"));
        }
        _ => {}
    }
    match metric.kind {
        MetricKind::Boolean if !value.is_boolean() => found("true or false"),
        MetricKind::Float if !value.is_number() => found("a number"),
        _ => Ok(()),
    }
}

/// What the store knows of the target, as far as the caller may see it.
async fn find(
    gateway: &Gateway,
    snapshot: &Snapshot,
    scope: Scope<'_>,
    target: Target,
) -> Result<Known, Cause> {
    let store = match Store::of(gateway, snapshot) {
        Err(Cause::NoQuerySink) => return Ok(Known::default()),
        store => store?,
    };
    let known: Vec<Known> = match target {
        Target::Inference(id) => {
            let found = store.inference(&id.to_string()).await?;
            found.as_deref().and_then(read).into_iter().collect()
        }
        Target::Episode(id) => {
            let mut filter = RowFilter { episode_id: Some(id.to_string()), ..EVERYTHING };
            scope.narrow(&mut filter)?;
            let page =
                PageRequest { order: Order::NewestFirst, limit: EPISODE_INFERENCES, cursor: None };
            let page = store.rows(Table::Inference, &filter, &page).await?;
            page.items.iter().filter_map(|row| read(row)).collect()
        }
    };
    let own = known.into_iter().filter(|known| scope.sees(known.key.as_deref()));
    let unknown = || match target {
        Target::Inference(id) => Cause::UnknownInference(id.to_string()),
        Target::Episode(id) => Cause::UnknownEpisode(id),
    };
    common(own).ok_or_else(unknown)
}

fn read(row: &[u8]) -> Option<Known> {
    serde_json::from_slice(row).ok()
}

/// What all say alike; `None` of nobody.
fn common(known: impl Iterator<Item = Known>) -> Option<Known> {
    known.reduce(|mut first, other| {
        if (&first.function, &first.variant) != (&other.function, &other.variant) {
            (first.function, first.variant) = (None, None);
        }
        first
    })
}

fn row(
    id: Uuid,
    given: &Given,
    target: Target,
    key: Option<&str>,
    known: &Known,
) -> Result<Row, Cause> {
    let time_unix_ms = now_unix_ms();
    let (word, about) = match target {
        Target::Inference(id) => ("inference", id),
        Target::Episode(id) => ("episode", id),
    };
    let fields = FeedbackFields {
        id,
        time_unix_ms,
        target: word,
        inference_id: given.inference_id,
        episode_id: given.episode_id.or(known.episode_id),
        metric: &given.metric_name,
        value: &given.value,
        tags: &given.tags,
        key,
        function: known.function.as_deref(),
        variant: known.variant.as_deref(),
    };
    let json = serde_json::to_vec(&fields).map_err(Cause::InvalidJson)?;
    Ok(Row { id, kind: RowKind::Feedback, inference_id: about, time_unix_ms, json })
}

fn invalid(param: &str, message: &str) -> Cause {
    Cause::InvalidRequest { param: Some(param.to_owned()), message: format!("{param}: {message}") }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn known(key: &str, function: &str, variant: &str) -> Known {
        Known {
            key: Some(key.into()),
            function: Some(function.into()),
            variant: Some(variant.into()),
            episode_id: None,
        }
    }

    #[test]
    fn an_episode_of_one_variant_is_of_that_variant_and_of_several_of_none() {
        let one = known("a", "f", "v");
        assert_eq!(common([one.clone(), one.clone()].into_iter()), Some(one.clone()));
        let mixed = common([one.clone(), known("a", "f", "w"), one].into_iter()).unwrap();
        assert_eq!((mixed.function, mixed.variant), (None, None));
        assert_eq!(common(std::iter::empty()), None);
    }

    #[test]
    fn a_body_of_another_shape_says_what_is_expected() {
        for (body, word) in [
            ("{}", "metric_name"),
            ("{\"metric_name\":1}", "string"),
            ("{\"metric_name\":\"m\",\"value\":1,\"colour\":2}", "colour"),
            ("{\"metric_name\":\"m\",\"value\":1,\"inference_id\":\"x\"}", "UUID"),
        ] {
            match parse(body.as_bytes()) {
                Err(Cause::InvalidRequest { message, .. }) => {
                    assert!(message.contains(word), "{message}");
                }
                other => unreachable!("{body}: {other:?}"),
            }
        }
        assert!(matches!(parse(b"{"), Err(Cause::InvalidJson(_))));
    }
}
