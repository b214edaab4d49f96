//! `GET /v1/activity`: what each endpoint was asked on each of the last 30 complete days
//! (UTC), in the shape of OpenRouter's route of this name.
//!
//! A request is an attempt at the endpoint, whatever became of it: tokens and dollars are then
//! those of the endpoint, too, where a call fell back. `usage` is what is known of the cost.
//! What OpenRouter asks for and the gateway does not have (users, workspaces) is refused, not
//! ignored.
//!
//! Shape: <https://openrouter.ai/docs/api/api-reference/analytics/get-user-activity>.

use std::time::{SystemTime, UNIX_EPOCH};

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::inferences::moment;
use super::inferences::parameters::{BadParameter, once, pairs};
use super::inferences::scope::Scope;
use super::inferences::store::Store;
use super::reply::{self, ReplyBody};
use crate::config::ClientKey;
use crate::error::Cause;
use crate::gateway::Gateway;
use crate::plugin::sink::{
    Dimension, EVERYTHING, RowFilter, Table, UsageReport, UsageRequest, UsageRow,
};
use crate::snapshot::Snapshot;

const DAY_MS: u64 = 86_400_000;
const DAYS: u64 = 30;

/// Endpoints, models and days in one question: the contract's bound.
const LIMIT: u32 = 10_000;

const NAMES: [&str; 2] = ["date", "api_key_hash"];

/// Days of activity.
pub async fn activity(
    gateway: &Gateway,
    snapshot: &Snapshot,
    scope: Scope<'_>,
    query: &str,
) -> Result<Response<ReplyBody>, Cause> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let asked = parse(query, now, &snapshot.config.keys)?;
    let mut filter = RowFilter { key: asked.key, ..EVERYTHING };
    scope.narrow(&mut filter)?;
    let store = Store::of(gateway, snapshot)?;
    let report = ask(&store, &filter, asked.since, asked.until).await?;
    let rows = if report.truncated {
        // Too much for one answer of the store: a day at a time.
        let mut rows = Vec::new();
        let mut day = asked.since;
        while day < asked.until {
            let report = ask(&store, &filter, day, day + DAY_MS).await?;
            if report.truncated {
                return Err(too_many(day));
            }
            rows.extend(report.rows);
            day += DAY_MS;
        }
        rows
    } else {
        report.rows
    };
    let data: Vec<Value> = rows.iter().filter_map(item).collect();
    Ok(reply::json(StatusCode::OK, json!({ "data": data }).to_string()))
}

async fn ask(
    store: &Store<'_>,
    filter: &RowFilter,
    since: u64,
    until: u64,
) -> Result<UsageReport, Cause> {
    let filter =
        RowFilter { since_unix_ms: Some(since), until_unix_ms: Some(until), ..filter.clone() };
    store
        .usage(&UsageRequest {
            of: Table::ModelInference,
            filter,
            by: vec![Dimension::Model, Dimension::Endpoint],
            interval_ms: Some(DAY_MS),
            limit: LIMIT,
        })
        .await
}

fn too_many(day: u64) -> Cause {
    let day = date(day);
    Cause::InvalidRequest {
        param: Some("date".into()),
        message: format!(
            "date: {day} has more than {LIMIT} pairs of model and endpoint; ask GET /v1/usage \
             with filters"
        ),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    since: u64,
    until: u64,
    key: Option<String>,
}

fn parse(query: &str, now: u64, keys: &[ClientKey]) -> Result<Asked, BadParameter> {
    let today = now - now % DAY_MS;
    let first = today.saturating_sub(DAYS * DAY_MS);
    let (mut day, mut key) = (None, None);
    for pair in pairs(query) {
        let (name, value) = pair?;
        let bad = |expected: String| BadParameter::value(&name, &value, expected);
        match name.as_str() {
            "date" => {
                let found = moment::date(&value).filter(|day| (first..today).contains(day));
                let (first, last) = (date(first), date(today.saturating_sub(DAY_MS)));
                let expected = format!("a complete day from {first} to {last} (UTC)");
                once(&mut day, &name, found.ok_or_else(|| bad(expected))?)?;
            }
            "api_key_hash" => {
                let found = keys.iter().find(|key| hex(&key.sha256).eq_ignore_ascii_case(&value));
                let expected = "the SHA-256 of a configured key, in hexadecimal".to_owned();
                once(&mut key, &name, found.ok_or_else(|| bad(expected))?.name.clone())?;
            }
            _ => return Err(BadParameter::unknown(&name, &[&NAMES])),
        }
    }
    let (since, until) = day.map_or((first, today), |day| (day, day + DAY_MS));
    Ok(Asked { since, until, key })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `2026-11-23`.
fn date(unix_ms: u64) -> String {
    let time = moment::rfc3339(unix_ms).unwrap_or_default();
    time.split('T').next().unwrap_or_default().to_owned()
}

/// `None` for a row without what this shape rests on.
fn item(row: &UsageRow) -> Option<Value> {
    let [model, endpoint] = row.group.as_slice() else { return None };
    let endpoint = endpoint.as_deref()?;
    let (provider, at_provider) = endpoint.split_once('/').unwrap_or((endpoint, endpoint));
    Some(json!({
        "date": date(row.start_unix_ms?),
        "model": model.as_deref().unwrap_or(at_provider),
        "model_permaslug": at_provider,
        "endpoint_id": endpoint,
        "provider_name": provider,
        "requests": row.rows,
        "usage": row.cost_usd,
        // Apart from `usage` where somebody else is charged: here nobody else is.
        "byok_usage_inference": 0.0,
        "prompt_tokens": row.input_tokens,
        "completion_tokens": row.output_tokens,
        "reasoning_tokens": row.reasoning_tokens,
    }))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::config::Reads;

    /// Within 2026-11-23.
    const NOW: u64 = 1_795_435_200_123;
    const TODAY: u64 = 1_795_392_000_000;

    #[test]
    fn complete_days_alone_are_shown() {
        let asked = parse("", NOW, &[]).unwrap();
        assert_eq!((asked.since, asked.until), (TODAY - 30 * DAY_MS, TODAY));
        let asked = parse("date=2026-11-22", NOW, &[]).unwrap();
        assert_eq!((asked.since, asked.until), (TODAY - DAY_MS, TODAY));
        assert!(parse("date=2026-10-24", NOW, &[]).is_ok());
        for bad in ["2026-11-23", "2026-10-23", "yesterday", "", "1795392000000"] {
            let found = parse(&format!("date={bad}"), NOW, &[]).unwrap_err().to_string();
            let expected = "expected a complete day from 2026-10-24 to 2026-11-22 (UTC)";
            assert!(found.ends_with(expected), "{found}");
        }
        assert!(parse("user_id=7", NOW, &[]).unwrap_err().to_string().starts_with("user_id:"));
        assert!(parse("date=2026-11-22", 5, &[]).is_err());
    }

    #[test]
    fn a_key_is_named_by_its_hash() {
        let sha256 = [0xab; 32];
        let reads = Reads::All;
        let key = ClientKey { name: "team".into(), sha256, unsupported_params: None, reads };
        let query = format!("api_key_hash={}", "aB".repeat(32));
        assert_eq!(parse(&query, NOW, &[key]).unwrap().key.as_deref(), Some("team"));
        assert!(parse(&query, NOW, &[]).is_err());
    }

    #[test]
    fn an_item_has_every_field_of_the_shape() {
        let row = UsageRow {
            start_unix_ms: Some(TODAY),
            group: vec![Some("fast".into()), Some("openai/gpt/5".into())],
            rows: 3,
            ok: 2,
            errors: 1,
            cancelled: 0,
            input_tokens: 10,
            cached_input_tokens: 4,
            cache_write_tokens: 1,
            output_tokens: 5,
            reasoning_tokens: 2,
            cost_usd: 0.25,
            unpriced: 1,
            ttft: None,
            total: None,
        };
        assert_eq!(
            item(&row).unwrap(),
            json!({
                "date": "2026-11-23", "model": "fast", "model_permaslug": "gpt/5",
                "endpoint_id": "openai/gpt/5", "provider_name": "openai", "requests": 3,
                "usage": 0.25, "byok_usage_inference": 0.0, "prompt_tokens": 10,
                "completion_tokens": 5, "reasoning_tokens": 2,
            })
        );
        assert!(item(&UsageRow { group: vec![None, None], ..row }).is_none());
    }
}
