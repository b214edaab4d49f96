//! The life of a request, one stage a file, in this order:
//!
//! | stage | does | can fail with |
//! |---|---|---|
//! | `accept` | connection, snapshot pinned, route found (`paths`) | no such route, method |
//! | `admit` | who calls; body read within its bound | key, size, time |
//! | `decode` | what is asked, from the client's dialect (`bounds`, `wishes`) | JSON, types |
//! | `history` | the turns before, where the client only names the last | no such response |
//! | `assign` | function → variant, by the experiment's shares | unknown model |
//! | `render` | variant's model, template and parameters put in | template |
//! | `route` | policy → plan | no endpoint |
//! | `attempt` | plan executed until an endpoint answers | every attempt |
//! | `relay` | the answer passed on, as it comes | cut streams |
//! | `resume` | a cut stream gone on with elsewhere | – |
//! | `reply` | the one place a cause becomes status and body | – |
//! | `record` | the one place rows are written, before the last byte | journal |
//!
//! Beside them: `structure`, `tool_calls` and `findings` (whether an answer is what was asked
//! for, and telling),
//! `estimate` (usage that nobody reported), `answer` (what an endpoint gave), `patch` (changes
//! to a body), `trace`, `tags` and `tape` (what a record says beside), `redact` (what it does not);
//! and the routes that ask no model: `models`, `endpoints`, `feedback`, `resource`, and those that
//! read the record: `inferences`, `generation`, `activity`, `usage`, `feedback_statistics`.

pub mod accept;
pub mod activity;
pub mod admit;
pub mod answer;
pub mod assign;
pub mod attempt;
pub mod bounds;
pub mod decode;
pub mod endpoints;
pub mod estimate;
pub mod feedback;
pub mod feedback_statistics;
pub mod findings;
pub mod generation;
pub mod history;
pub mod inferences;
pub mod models;
pub mod patch;
pub mod paths;
pub mod record;
pub mod redact;
pub mod relay;
pub mod render;
pub mod reply;
pub mod resource;
pub mod resume;
pub mod route;
pub mod structure;
pub mod tags;
pub mod tape;
pub mod tool_calls;
pub mod trace;
pub mod usage;
pub mod wishes;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response};

use crate::config::{Content, UnsupportedParams};
use crate::dialect::Dialect;
use crate::error::Cause;
use crate::gateway::Gateway;
use crate::snapshot::Snapshot;
use record::Record;
use reply::{ReplyBody, Shape};

/// A request whose body is there.
pub struct Asked {
    pub dialect: Dialect,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What the caller's key says about parameters that an endpoint cannot take.
    pub unsupported: Option<UnsupportedParams>,
}

/// Any route that asks a model, from the body to the answer or its first bytes.
///
/// Cancel safe: dropping the future, or the body it gives, cancels the call to the provider
/// and records the inference as cancelled.
pub async fn inference(
    gateway: Arc<Gateway>,
    snapshot: Arc<Snapshot>,
    asked: Asked,
    mut record: Record,
) -> Response<ReplyBody> {
    let shape = Shape::of_dialect(asked.dialect);
    match serve(&gateway, &snapshot, asked, &mut record).await {
        Ok(Served::Answer(answer)) => relay::relay(&gateway, &snapshot, *answer, record).await,
        Ok(Served::Counted(tokens)) => reply::counted(tokens, &record),
        Err(cause) => reply::failed(&cause, shape, record).await,
    }
}

enum Served {
    Answer(Box<answer::Answer>),
    /// Tokens of a prompt, counted here because no endpoint counts them.
    Counted(u64),
}

async fn serve(
    gateway: &Arc<Gateway>,
    snapshot: &Arc<Snapshot>,
    asked: Asked,
    record: &mut Record,
) -> Result<Served, Cause> {
    if gateway.journal.is_full() {
        return Err(Cause::JournalFull);
    }
    let content = decode::content(&asked.headers).inspect_err(|_| {
        // Whoever spells it wrong wants less kept than usual.
        record.keep_at_most(Some(Content::Metadata));
    });
    record.keep_at_most(content?);
    let server = &snapshot.config.server;
    let unsupported = asked.unsupported.unwrap_or(server.unsupported_params);
    let mut call =
        decode::call(asked.dialect, asked.body, &asked.headers, &server.json, unsupported)?;
    record.decoded(&call);
    if history::expand(gateway, snapshot, record.key(), &mut call).await? {
        record.decoded(&call);
    }
    let assigned = assign::assign(snapshot, &call, record);
    if let Some(assigned) = assigned {
        render::render(&assigned, &mut call)?;
        record.assigned(&assigned);
    }
    call.of_key(record.key());
    let plan = route::plan(gateway, snapshot, &call, record)?;
    if call.dialect == Dialect::AnthropicCountTokens && !attempt::can_count(&plan) {
        let read = call.dialect.decode(&call.body);
        read.map_err(|wrong| decode::wrong_type(call.dialect, &wrong))?;
        return Ok(Served::Counted(estimate::prompt(&call.body)));
    }
    let config = &snapshot.config;
    let answer = attempt::attempt(gateway, config, &plan, call, record).await?;
    Ok(Served::Answer(Box::new(answer)))
}
