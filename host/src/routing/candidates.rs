//! Which of a model's endpoints a request may go to, and the rows its policy sees.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use torana_routing::candidate;
use torana_routing::filter::{Demand, Exclusion, Modality, exclude};
use torana_routing::policy::{Candidate, Facts};
use torana_routing::statistics::Reading;

use crate::gateway::Gateway;
use crate::request::decode::Call;
use crate::request::estimate;
use crate::snapshot::Model;

/// What all models of a request have in common.
pub struct Question<'a> {
    pub call: &'a Call,
    /// Whatever the policy shall take for random; recorded, so that it can be replayed.
    pub seed: u64,
    pub now: Instant,
    pub now_unix_ms: u64,
    pub input_tokens: u64,
    /// In terms of `OpenAI`'s chat requests.
    pub parameters: Vec<String>,
    modalities: Vec<Modality>,
}

/// One model's part.
pub struct Candidates {
    pub facts: Facts,
    pub rows: Vec<Candidate>,
    /// By position; `None` for who may serve.
    pub exclusions: Vec<Option<Exclusion>>,
}

impl<'a> Question<'a> {
    pub fn of(call: &'a Call) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let shapes = [("tools", call.uses_tools), ("response_format", call.uses_json)];
        let used = shapes.iter().filter(|(_, used)| *used).map(|(name, _)| (*name).to_owned());
        let asked = &call.wishes.parameters;
        let names = asked.iter().map(|name| call.dialect.chat_parameter(name).to_owned());
        Self {
            call,
            seed: seed(),
            now: Instant::now(),
            now_unix_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            input_tokens: estimate::prompt(&call.body),
            parameters: used.chain(names).collect(),
            modalities: if call.uses_images { vec![Modality::Image] } else { Vec::new() },
        }
    }

    pub fn demand(&self, expected_output_tokens: u64) -> Demand<'_> {
        Demand {
            input_tokens: self.input_tokens,
            max_output_tokens: self.call.max_output_tokens,
            expected_output_tokens,
            parameters: &self.parameters,
            modalities: &self.modalities,
            generates: self.call.dialect.is_chat(),
            preferences: &self.call.wishes.asked.preferences,
        }
    }

    /// Reads the figures of the model's endpoints.
    pub fn candidates(&self, gateway: &Gateway, model: &Model) -> Candidates {
        let call = self.call;
        let readings: Vec<Reading> =
            model.endpoints.iter().map(|endpoint| endpoint.statistics.read(self.now)).collect();
        let facts = Facts {
            now_unix_ms: self.now_unix_ms,
            seed: self.seed,
            stream: call.stream,
            input_tokens: self.input_tokens,
            max_output_tokens: call.max_output_tokens,
            expected_output_tokens: candidate::expected_output(&readings, call.max_output_tokens),
            session: call.session,
            uses_tools: call.uses_tools,
            uses_images: call.uses_images,
            uses_json_schema: call.uses_json_schema,
        };
        let demand = self.demand(facts.expected_output_tokens);
        let mut rows = Vec::with_capacity(readings.len());
        let mut exclusions = Vec::with_capacity(readings.len());
        for ((position, endpoint), reading) in (0u32..).zip(&model.endpoints).zip(&readings) {
            let exclusion = exclude(&endpoint.profile, &demand);
            let remembered = gateway.affinity.cached_tokens(call.session, endpoint.id, self.now);
            let cached = candidate::likely_cached(remembered, reading);
            let price = endpoint.profile.price.as_ref();
            let eligible = exclusion.is_none();
            rows.push(candidate::row(position, eligible, reading, price, cached, &facts));
            exclusions.push(exclusion);
        }
        Candidates { facts, rows, exclusions }
    }
}

/// Random enough to spread load.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    if getrandom::fill(&mut bytes).is_err() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        return u64::from(now.subsec_nanos());
    }
    // JSON readers keep integers exactly only up to 2^53.
    u64::from_le_bytes(bytes) >> 11
}
