//! What is kept of rows: a few numbers each, and every name once.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};

use torana_routing::policy;
use torana_routing::price::Price;
use torana_wire::error::CallErrorKind;

use super::{MAX_ATTEMPTS, row};
use crate::arrivals::MAX_ARRIVALS;

/// More than configurations have; a journal of nonsense is not to fill the memory.
const MAX_NAMES: usize = 4_096;
/// As scenarios bound them: a policy is told all of them each time.
const MAX_ENDPOINTS: usize = 256;
/// Prices and weights beyond it are no figures.
const MAX_FIGURE: f64 = 1e9;

/// All that is kept.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) models: Names,
    pub(super) endpoints: Names,
    pub(super) inferences: Vec<Inference>,
    pub(super) attempts: Vec<Attempt>,
    /// By the number of the model: its endpoints, in the order of their mention.
    candidates: HashMap<u32, Vec<u32>>,
    listed: HashMap<u32, Listed>,
    /// Hashes of the ids of all rows. Two of three million are the same with a chance of one
    /// in four million; then one row is missing.
    ids: HashSet<u64>,
    /// Streams with more than one attempt, by the hash of their id.
    raced: HashSet<u64>,
}

/// What became of a row.
pub(super) enum Taken {
    Inference,
    Attempt,
    Unrouted,
    Twice,
    Beyond,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Inference {
    pub(super) model: u32,
    pub(super) time_unix_ms: u64,
    /// Absent where neither provider nor gateway counted.
    pub(super) input: Option<u64>,
    /// As far as it came.
    pub(super) output: u64,
    /// There is an answer, with its usage.
    pub(super) whole: bool,
    pub(super) session: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Attempt {
    pub(super) endpoint: u32,
    /// For whether it was a stream's, where it lost.
    pub(super) inference: u64,
    pub(super) started_unix_ms: u64,
    pub(super) ttft_ms: Option<f64>,
    pub(super) total_ms: f64,
    pub(super) end: End,
    pub(super) output: u64,
    /// Share of the prompt that came from the provider's cache.
    pub(super) cached: f64,
}

/// How an attempt ended, as the gateway's statistics tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum End {
    #[default]
    Answered,
    Failed,
    TimedOut,
    /// Rate-limited.
    Refused,
    /// A hedge was faster. Whether it was a stream's is settled by [`Ledger::settled`].
    Lost,
    /// The client went away, or its request was at fault: nothing is said of the endpoint.
    Untold,
}

/// What the catalog said of an endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    time_unix_ms: u64,
    pub(super) price: Option<Price>,
    pub(super) price_changed: bool,
    pub(super) weight: f64,
}

impl Attempt {
    pub(super) fn lasted_ms(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to a day"
        )]
        let lasted = self.total_ms.ceil() as u64;
        lasted
    }
}

impl Ledger {
    pub(super) fn inference(&mut self, row: row::Inference) -> Taken {
        if self.is_full() {
            return Taken::Beyond;
        }
        let id = row.id.as_deref().map(hash);
        if id.is_some_and(|id| !self.ids.insert(id)) {
            return Taken::Twice;
        }
        let first = row.decision.as_ref().and_then(|decision| decision.models.first());
        let asked_for = match (first, &row.endpoint) {
            (Some(considered), _) => Some(&considered.model),
            (None, Some(_)) => row.model.as_ref(),
            (None, None) => None,
        };
        let Some(model) = asked_for.and_then(|model| self.models.number(model)) else {
            return Taken::Unrouted;
        };
        let facts = first.and_then(|first| first.policy.as_ref()).map(|asked| asked.facts);
        let answered = row.outcome == row::Outcome::Ok;
        let counted = facts.map(|facts| facts.input_tokens).filter(|input| *input > 0);
        self.inferences.push(Inference {
            model,
            time_unix_ms: row.time_unix_ms,
            input: row.usage.map(|usage| usage.input).or(counted),
            output: row.usage.map_or(0, |usage| usage.output),
            whole: answered && row.usage.is_some(),
            session: facts.map_or(0, |facts| facts.session),
        });
        if row.stream == Some(true) && row.attempts.is_some_and(|attempts| attempts > 1) {
            self.raced.extend(id);
        }
        self.mentioned(model, &row);
        Taken::Inference
    }

    pub(super) fn attempt(&mut self, row: row::Attempt) -> Taken {
        if self.is_full() {
            return Taken::Beyond;
        }
        if row.id.as_deref().map(hash).is_some_and(|id| !self.ids.insert(id)) {
            return Taken::Twice;
        }
        let Some(endpoint) = self.endpoints.number(&row.endpoint) else { return Taken::Beyond };
        let usage = row.usage.unwrap_or_default();
        self.attempts.push(Attempt {
            endpoint,
            inference: row.inference_id.as_deref().map_or(0, hash),
            started_unix_ms: row.time_unix_ms,
            ttft_ms: row.ttft_ms,
            total_ms: row.total_ms,
            end: end(&row),
            output: usage.output,
            cached: (float(usage.cached_input) / float(usage.input.max(1))).min(1.0),
        });
        Taken::Attempt
    }

    /// Once all rows are there: attempts that lost for a whole answer say nothing of when
    /// their first token would have come.
    pub(super) fn settled(&self, attempt: &Attempt) -> Attempt {
        let untold = attempt.end == End::Lost && !self.raced.contains(&attempt.inference);
        Attempt { end: if untold { End::Untold } else { attempt.end }, ..*attempt }
    }

    pub(super) fn endpoints_of(&self, model: u32) -> &[u32] {
        self.candidates.get(&model).map_or(&[], Vec::as_slice)
    }

    pub(super) fn listed(&self, endpoint: u32) -> Listed {
        let unknown = Listed { time_unix_ms: 0, price: None, price_changed: false, weight: 1.0 };
        self.listed.get(&endpoint).copied().unwrap_or(unknown)
    }

    /// Both kinds stop together: so they tell of the same time.
    fn is_full(&self) -> bool {
        self.inferences.len() >= MAX_ARRIVALS || self.attempts.len() >= MAX_ATTEMPTS
    }

    /// Endpoints that a decision tells to be the model's.
    fn mentioned(&mut self, model: u32, row: &row::Inference) {
        let Some(decision) = &row.decision else {
            return self.candidate(model, row.endpoint.as_deref());
        };
        if let Some(considered) = decision.models.first() {
            for endpoint in considered.policy.iter().flat_map(|asked| &asked.endpoints) {
                self.candidate(model, Some(&endpoint.name));
                self.list(endpoint, row.time_unix_ms);
            }
            for left_out in &considered.left_out {
                self.candidate(model, Some(&left_out.endpoint));
            }
        }
        // With models to fall back to, the plan has theirs too.
        if decision.models.len() <= 1 {
            for name in decision.plan.iter().chain(&row.endpoint) {
                self.candidate(model, Some(name));
            }
        }
    }

    fn candidate(&mut self, model: u32, name: Option<&str>) {
        let Some(endpoint) = name.and_then(|name| self.endpoints.number(name)) else { return };
        let candidates = self.candidates.entry(model).or_default();
        if candidates.len() < MAX_ENDPOINTS && !candidates.contains(&endpoint) {
            candidates.push(endpoint);
        }
    }

    fn list(&mut self, endpoint: &policy::Endpoint, time_unix_ms: u64) {
        let Some(number) = self.endpoints.number(&endpoint.name) else { return };
        let figure = |figure: f64| (0.0..=MAX_FIGURE).contains(&figure).then_some(figure);
        let price =
            endpoint.price_input.and_then(figure).zip(endpoint.price_output.and_then(figure));
        let price = price.map(|(input, output)| Price {
            input,
            output,
            cached_input: endpoint.price_cached_input.and_then(figure),
            ..Price::default()
        });
        let weight = figure(endpoint.weight).filter(|weight| *weight > 0.0).unwrap_or(1.0);
        let now = Listed { time_unix_ms, price, price_changed: false, weight };
        let listed = self.listed.entry(number).or_insert(now);
        let changed = listed.price_changed || listed.price != price;
        if listed.time_unix_ms <= time_unix_ms {
            *listed = now;
        }
        listed.price_changed = changed;
    }
}

/// Names by number.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<String, u32>,
    names: Vec<String>,
}

impl Names {
    /// `None`: there are as many as are kept.
    fn number(&mut self, name: &str) -> Option<u32> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let number = u32::try_from(self.names.len()).ok().filter(|_| self.len() < MAX_NAMES)?;
        self.numbers.insert(name.to_owned(), number);
        self.names.push(name.to_owned());
        Some(number)
    }

    pub(super) fn position(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    pub(super) fn name(&self, number: u32) -> &str {
        self.names.get(number as usize).map_or("", String::as_str)
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}

/// The same classes as the gateway's statistics: what is the client's fault says nothing of
/// the endpoint.
fn end(row: &row::Attempt) -> End {
    let kind = match row.error.as_ref().map(|error| &error.kind) {
        Some(row::Kind::Call(kind)) => Some(*kind),
        _ if row.status == Some(429) => Some(CallErrorKind::RateLimited),
        _ => None,
    };
    match (row.outcome, kind) {
        (row::Outcome::Ok, _) => End::Answered,
        (row::Outcome::Lost, _) => End::Lost,
        (row::Outcome::Cancelled | row::Outcome::Other, _) => End::Untold,
        (row::Outcome::Error, Some(kind)) => match kind {
            CallErrorKind::RateLimited => End::Refused,
            CallErrorKind::Timeout => End::TimedOut,
            CallErrorKind::Server
            | CallErrorKind::Overloaded
            | CallErrorKind::MalformedResponse
            | CallErrorKind::Authentication
            | CallErrorKind::Permission => End::Failed,
            CallErrorKind::NotFound
            | CallErrorKind::InvalidRequest
            | CallErrorKind::Unsupported
            | CallErrorKind::ContextLength
            | CallErrorKind::ContentFilter => End::Untold,
        },
        (row::Outcome::Error, None) => End::Failed,
    }
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

#[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
fn float(tokens: u64) -> f64 {
    tokens as f64
}
