//! The life of a request, one stage a file, in this order:
//!
//! | stage | does | can fail with |
//! |---|---|---|
//! | `accept` | connection, snapshot pinned, route found | no such route, method |
//! | `admit` | who calls; body read within its bound | key, size, time |
//! | `decode` | what is asked, from the client's dialect | JSON, types |
//! | `assign` | function → variant, by the experiment's shares | unknown model |
//! | `render` | variant's model, template and parameters put in | template |
//! | `route` | policy → plan | no endpoint |
//! | `attempt` | plan executed until an endpoint answers | every attempt |
//! | `relay` | the answer passed on, as it comes | cut streams |
//! | `reply` | the one place a cause becomes status and body | – |
//! | `record` | the one place rows are written, before the last byte | journal |

pub mod accept;
pub mod admit;
pub mod answer;
pub mod assign;
pub mod attempt;
pub mod decode;
pub mod inferences;
pub mod models;
pub mod record;
pub mod relay;
pub mod render;
pub mod reply;
pub mod route;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response};

use crate::error::Cause;
use crate::gateway::Gateway;
use crate::snapshot::Snapshot;
use record::Record;
use reply::ReplyBody;

/// `POST /v1/chat/completions`, from the body to the answer or its first bytes.
///
/// Cancel safe: dropping the future, or the body it gives, cancels the call to the provider
/// and records the inference as cancelled.
pub async fn chat_completion(
    gateway: Arc<Gateway>,
    snapshot: Arc<Snapshot>,
    headers: HeaderMap,
    body: Bytes,
    mut record: Record,
) -> Response<ReplyBody> {
    match serve(&gateway, &snapshot, &headers, body, &mut record).await {
        Ok(answer) => relay::relay(&gateway, &snapshot, answer, record).await,
        Err(cause) => reply::failed(&cause, record).await,
    }
}

async fn serve(
    gateway: &Arc<Gateway>,
    snapshot: &Arc<Snapshot>,
    headers: &HeaderMap,
    body: Bytes,
    record: &mut Record,
) -> Result<answer::Answer, Cause> {
    if gateway.journal.is_full() {
        return Err(Cause::JournalFull);
    }
    let mut call = decode::chat(body, headers)?;
    record.decoded(&call);
    let assigned = assign::assign(snapshot, &call, record);
    if let Some(assigned) = assigned {
        render::render(&assigned, &mut call)?;
        record.assigned(&assigned);
    }
    let model = route::model(gateway, snapshot, &call.model)?;
    let plan = route::plan(&model, &call)?;
    record.routed(&plan);
    attempt::attempt(gateway, &model, &plan, &call, record).await
}
