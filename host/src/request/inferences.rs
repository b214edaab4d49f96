//! `GET /v1/inferences` and `GET /v1/inferences/{id}`: the record, read back through the
//! query interface of a sink.

use std::sync::Arc;

use http::{Response, StatusCode};

use super::reply::{self, ReplyBody};
use crate::delivery::{ReadError, SinkTarget};
use crate::error::Cause;
use crate::gateway::Gateway;
use crate::plugin::sink::{EVERYTHING, Order, Page, PageRequest, RowFilter, Table};
use crate::snapshot::Snapshot;

/// Inferences in one answer, unless `limit` says otherwise; and at most.
const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 1_000;

/// Newest first, filtered and paged by the query string.
pub async fn list(
    gateway: &Gateway,
    snapshot: &Snapshot,
    query: &str,
) -> Result<Response<ReplyBody>, Cause> {
    let (filter, page) = parse(query)?;
    let page = rows(gateway, snapshot, Table::Inference, &filter, &page).await?;
    let mut body = b"{\"object\":\"list\",\"data\":[".to_vec();
    for (position, item) in page.items.iter().enumerate() {
        if position > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item);
    }
    let next = serde_json::Value::from(page.next);
    body.extend_from_slice(format!("],\"next\":{next}}}").as_bytes());
    Ok(reply::json(StatusCode::OK, body))
}

/// One inference with its attempts.
pub async fn one(
    gateway: &Gateway,
    snapshot: &Snapshot,
    id: &str,
) -> Result<Response<ReplyBody>, Cause> {
    let found = find(gateway, snapshot, id).await?;
    let body = found.ok_or_else(|| Cause::UnknownInference(id.to_owned()))?;
    Ok(reply::json(StatusCode::OK, body))
}

/// A page of one table, from the sink that is read.
pub async fn rows(
    gateway: &Gateway,
    snapshot: &Snapshot,
    table: Table,
    filter: &RowFilter,
    page: &PageRequest,
) -> Result<Page, Cause> {
    sink(snapshot)?.list_rows(&gateway.journal, table, filter, page).await.map_err(failed)
}

/// The JSON of one inference, from the sink that is read.
pub async fn find(
    gateway: &Gateway,
    snapshot: &Snapshot,
    id: &str,
) -> Result<Option<Vec<u8>>, Cause> {
    sink(snapshot)?.get_inference(&gateway.journal, id).await.map_err(failed)
}

/// The sink that the operator named, or the first that can be asked.
fn sink(snapshot: &Snapshot) -> Result<&Arc<SinkTarget>, Cause> {
    let named = snapshot.config.query_sink.as_deref();
    snapshot
        .sinks
        .iter()
        .filter(|sink| named.is_none_or(|name| sink.identity.name == name))
        .find(|sink| sink.is_queryable())
        .ok_or(Cause::NoQuerySink)
}

fn failed(error: ReadError) -> Cause {
    match error {
        ReadError::InvalidCursor => invalid("cursor", "expected `next` of an earlier answer"),
        ReadError::Unavailable(reason) | ReadError::Unsupported(reason) => {
            Cause::StoreUnavailable(reason)
        }
    }
}

fn invalid(param: &str, message: &str) -> Cause {
    Cause::InvalidRequest { param: Some(param.to_owned()), message: format!("{param}: {message}") }
}

fn parse(query: &str) -> Result<(RowFilter, PageRequest), Cause> {
    let mut filter = EVERYTHING;
    let mut page = PageRequest { order: Order::NewestFirst, limit: DEFAULT_LIMIT, cursor: None };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value).ok_or_else(|| invalid(name, "expected percent-encoded UTF-8"))?;
        let time = |value: &str| {
            let expected = "expected milliseconds since 1970";
            value.parse::<u64>().map(Some).map_err(|_| invalid(name, expected))
        };
        match name {
            "function" => filter.function = Some(value),
            "variant" => filter.variant = Some(value),
            "model" => filter.model = Some(value),
            "endpoint" => filter.endpoint = Some(value),
            "episode_id" => filter.episode_id = Some(value),
            "outcome" => match value.as_str() {
                "ok" | "error" | "cancelled" => filter.outcome = Some(value),
                _ => return Err(invalid(name, "expected ok, error or cancelled")),
            },
            "since" => filter.since_unix_ms = time(&value)?,
            "until" => filter.until_unix_ms = time(&value)?,
            "cursor" => page.cursor = Some(value),
            "limit" => match value.parse() {
                Ok(limit @ 1..=MAX_LIMIT) => page.limit = limit,
                _ => return Err(invalid(name, "expected 1 to 1000")),
            },
            "order" => match value.as_str() {
                "newest" => page.order = Order::NewestFirst,
                "oldest" => page.order = Order::OldestFirst,
                _ => return Err(invalid(name, "expected newest or oldest")),
            },
            unknown => {
                return Err(invalid(
                    unknown,
                    "unknown parameter; there are function, variant, model, endpoint, \
                     episode_id, outcome, since, until, limit, cursor and order",
                ));
            }
        }
    }
    Ok((filter, page))
}

fn decode(value: &str) -> Option<String> {
    percent_encoding::percent_decode_str(&value.replace('+', " "))
        .decode_utf8()
        .ok()
        .map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_and_nonsense_is_named() {
        let (filter, page) =
            parse("model=a%2Fb+c&outcome=error&since=5&limit=7&order=oldest&cursor=x").unwrap();
        assert_eq!(filter.model.as_deref(), Some("a/b c"));
        assert_eq!(filter.outcome.as_deref(), Some("error"));
        assert_eq!(filter.since_unix_ms, Some(5));
        assert_eq!((page.limit, page.order), (7, Order::OldestFirst));
        for (query, param) in [
            ("limit=0", "limit"),
            ("limit=x", "limit"),
            ("outcome=bad", "outcome"),
            ("since=soon", "since"),
            ("colour=red", "colour"),
            ("model=%ff", "model"),
        ] {
            match parse(query) {
                Err(Cause::InvalidRequest { param: Some(found), .. }) => assert_eq!(found, param),
                other => unreachable!("{query}: {other:?}"),
            }
        }
    }
}
