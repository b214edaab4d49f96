//! `GET /v1/inferences` and `GET /v1/inferences/{id}`: the record, read back through the
//! query interface of a sink.
//!
//! Below it stands what all routes that read share: filters (`filter`), times (`moment`),
//! parameters (`parameters`), whose records a caller may see (`scope`), and the sink that is
//! asked (`store`).

pub mod filter;
pub mod moment;
pub mod parameters;
pub mod scope;
pub mod store;

use http::{Response, StatusCode};
use serde::Deserialize;

use super::reply::{self, ReplyBody};
use crate::error::Cause;
use crate::gateway::Gateway;
use crate::plugin::sink::{Order, PageRequest, RowFilter, Table};
use crate::snapshot::Snapshot;
use filter::Filters;
use parameters::{BadParameter, bounded, choice, once, pairs};
use scope::Scope;
use store::Store;

/// Inferences in one answer, unless `limit` says otherwise; and at most, which is the
/// contract's bound.
const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 1_000;

/// Beside the filters.
const PAGE_NAMES: [&str; 3] = ["order", "limit", "cursor"];

const ORDERS: [(&str, Order); 2] = [("newest", Order::NewestFirst), ("oldest", Order::OldestFirst)];

/// Newest first, filtered and paged by the query string.
pub async fn list(
    gateway: &Gateway,
    snapshot: &Snapshot,
    scope: Scope<'_>,
    query: &str,
) -> Result<Response<ReplyBody>, Cause> {
    let (mut filter, page) = parse(query)?;
    scope.narrow(&mut filter)?;
    let store = Store::of(gateway, snapshot)?;
    let page = store.rows(Table::Inference, &filter, &page).await?;
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

/// One inference with its attempts, its decision and its feedback.
pub async fn one(
    gateway: &Gateway,
    snapshot: &Snapshot,
    scope: Scope<'_>,
    id: &str,
) -> Result<Response<ReplyBody>, Cause> {
    let store = Store::of(gateway, snapshot)?;
    let unknown = || Cause::UnknownInference(id.to_owned());
    let body = store.inference(id).await?.ok_or_else(unknown)?;
    let Owner { key } = serde_json::from_slice(&body).map_err(|error| store.broken(&error))?;
    if !scope.sees(key.as_deref()) {
        return Err(unknown());
    }
    Ok(reply::json(StatusCode::OK, body))
}

/// The JSON of one inference, from the sink that is read, whoever may see it.
pub async fn find(
    gateway: &Gateway,
    snapshot: &Snapshot,
    id: &str,
) -> Result<Option<Vec<u8>>, Cause> {
    Store::of(gateway, snapshot)?.inference(id).await
}

#[derive(Deserialize)]
struct Owner {
    key: Option<String>,
}

fn parse(query: &str) -> Result<(RowFilter, PageRequest), BadParameter> {
    let mut filters = Filters::default();
    let (mut order, mut limit, mut cursor) = (None, None, None);
    for pair in pairs(query) {
        let (name, value) = pair?;
        if filters.take(&name, &value)? {
            continue;
        }
        match name.as_str() {
            "order" => once(&mut order, &name, choice(&name, &value, &ORDERS)?)?,
            "limit" => once(&mut limit, &name, bounded(&name, &value, 1..=MAX_LIMIT)?)?,
            "cursor" => once(&mut cursor, &name, value)?,
            _ => return Err(BadParameter::unknown(&name, &[&filter::NAMES, &PAGE_NAMES])),
        }
    }
    let page = PageRequest {
        order: order.unwrap_or(Order::NewestFirst),
        limit: limit.unwrap_or(DEFAULT_LIMIT),
        cursor,
    };
    Ok((filters.finish(Table::Inference)?, page))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_was_asked_for() {
        let (filter, page) = parse("model=m&limit=7&order=oldest&cursor=x").unwrap();
        assert_eq!(filter.model.as_deref(), Some("m"));
        assert_eq!((page.limit, page.order), (7, Order::OldestFirst));
        assert_eq!(page.cursor.as_deref(), Some("x"));
        let (_, page) = parse("").unwrap();
        assert_eq!((page.limit, page.order), (50, Order::NewestFirst));
        assert_eq!(page.cursor, None);
    }

    #[test]
    fn nonsense_is_named() {
        for (query, said) in [
            ("limit=0", "limit: found \"0\"; expected an integer from 1 to 1000"),
            ("limit=x", "limit: found \"x\"; expected an integer"),
            ("limit=5&limit=5", "limit: there is already one"),
            ("order=best", "order: found \"best\"; expected one of newest, oldest"),
            ("colour=red", "colour: unknown parameter; there are key, function,"),
        ] {
            match Cause::from(parse(query).unwrap_err()) {
                Cause::InvalidRequest { param: Some(param), message } => {
                    assert!(query.starts_with(&param), "{query}: {param}");
                    assert!(message.starts_with(said), "{query}: {message}");
                }
                other => unreachable!("{query}: {other:?}"),
            }
        }
    }
}
