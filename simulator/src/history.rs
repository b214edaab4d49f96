//! Recorded traffic as a scenario: what would another policy have made of your own requests?
//!
//! Rows as the gateway writes them (`docs/data-model.md`) go in, a [`Scenario`] comes out:
//! arrivals as they were, and endpoints and faults as far as attempts tell of them. Rows that
//! are of another kind or cannot be read are counted, never fatal; a row that comes twice
//! counts once. At most [`MAX_ATTEMPTS`] attempts and `MAX_ARRIVALS` inferences are kept, the
//! first; what is beyond is counted.
//!
//! What is estimated is no truth. An endpoint is known where it was asked, and the policy of
//! that time chose whom to ask: whatever could not be known stands in the [`Notice`]s. Every
//! request is replayed as a stream. Neither prompts nor answers are looked at.

mod capacity;
mod endpoint;
mod error;
mod faults;
mod ledger;
mod lines;
mod notice;
mod row;
mod survival;

use std::io::BufRead;
use std::time::Duration;

use serde::Serialize;

pub use error::{HistoryError, Known};
pub use notice::Notice;

use crate::arrivals::{self, Arrival, Record};
use crate::scenario::{Endpoint, Fault, Scenario};
use ledger::{Attempt, Inference, Ledger};

/// Two for each inference that is kept: 60 bytes each, with their ids 200 MB at most.
pub const MAX_ATTEMPTS: usize = 2_000_000;

/// A policy that has no choice cannot be compared.
const LEAST_ENDPOINTS: usize = 2;
/// As for `Scenario`s in files.
const CONGESTION_ABOVE: f64 = 0.6;

/// Rows of a journal, as they are collected.
#[derive(Debug, Default)]
pub struct History {
    ledger: Ledger,
    counts: Counts,
}

/// What became of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Inferences that were routed, and attempts: those that count.
    pub inferences: u64,
    pub attempts: u64,
    /// Inferences that never came to a decision: refused, or for a model nobody knows.
    pub unrouted: u64,
    /// Rows that were there already: delivery is at least once.
    pub twice: u64,
    pub other_kinds: u64,
    /// No JSON, or not what a row of its kind looks like; lines beyond the bound too.
    pub unreadable: u64,
    /// Left out, because as many rows as are kept were there.
    pub beyond: u64,
}

/// Recorded traffic, ready to be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    pub scenario: Scenario,
    /// When the first request came: for `Options::start_unix_ms`.
    pub start_unix_ms: u64,
    /// What the scenario cannot know, for people to read.
    pub notices: Vec<Notice>,
}

/// Where the requests lie in time.
#[derive(Debug, Clone, Copy)]
struct Span {
    start_unix_ms: u64,
    length: Duration,
}

impl History {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a row. `kind` is the journal's: `inference` and `model_inference` are of use.
    pub fn push(&mut self, kind: &str, json: &[u8]) {
        let counts = &mut self.counts;
        let taken = match kind {
            "inference" => row::inference(json).map(|row| self.ledger.inference(row)),
            "model_inference" => row::attempt(json).map(|row| self.ledger.attempt(row)),
            _ => {
                counts.other_kinds += 1;
                return;
            }
        };
        let count = match taken {
            None => &mut counts.unreadable,
            Some(ledger::Taken::Inference) => &mut counts.inferences,
            Some(ledger::Taken::Attempt) => &mut counts.attempts,
            Some(ledger::Taken::Unrouted) => &mut counts.unrouted,
            Some(ledger::Taken::Twice) => &mut counts.twice,
            Some(ledger::Taken::Beyond) => &mut counts.beyond,
        };
        *count += 1;
    }

    /// Takes the lines of a file as `sink-jsonl` writes it. Several files may follow each
    /// other. A line beyond the bound, or that is none of the sink's, counts as unreadable.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Read`] if the reader fails; the lines before it are taken.
    pub fn read_jsonl(&mut self, reader: impl BufRead) -> Result<(), HistoryError> {
        lines::each(reader, |line| match line.and_then(row::line) {
            Some(line) => self.push(&line.kind, line.row.get().as_bytes()),
            None => self.counts.unreadable += 1,
        })
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The requests alone, for endpoints and faults that are written by hand: one model may do
    /// with any number of endpoints.
    ///
    /// # Errors
    ///
    /// [`HistoryError`] where there are none, or of several models and none was chosen.
    pub fn arrivals(&self, model: Option<&str>) -> Result<Vec<Arrival>, HistoryError> {
        let model = self.choose(model, 0)?;
        Ok(self.replayed(model).0)
    }

    /// Requests, endpoints and faults. `model` may be absent where the journal has one only
    /// that has a choice of endpoints.
    ///
    /// # Errors
    ///
    /// [`HistoryError`] where there are no requests, where a model has to be chosen, or where
    /// fewer than two of its endpoints ever answered.
    pub fn scenario(self, model: Option<&str>) -> Result<Replay, HistoryError> {
        let model = self.choose(model, LEAST_ENDPOINTS)?;
        let (arrivals, assumed) = self.replayed(model);
        let length = arrivals.last().map(|arrival| arrival.at).unwrap_or_default();
        let span = Span { start_unix_ms: self.start(model), length };
        let mut notices = self.notices(assumed, &arrivals);
        let (endpoints, mut faults) = self.endpoints(model, span, &mut notices);
        let name = self.ledger.models.name(model);
        if endpoints.len() < LEAST_ENDPOINTS {
            let answered = endpoints.into_iter().map(|endpoint| endpoint.name).collect();
            return Err(HistoryError::TooFewAnswered { model: name.to_owned(), answered });
        }
        faults.sort_by_key(|fault| (fault.start, fault.endpoint));
        let mut scenario = Scenario::new(name, endpoints, arrivals)?;
        scenario.faults = faults;
        Ok(Replay { scenario, start_unix_ms: span.start_unix_ms, notices })
    }

    /// The model whose requests are replayed: one that has at least so many endpoints.
    fn choose(&self, wanted: Option<&str>, least: usize) -> Result<u32, HistoryError> {
        let known = self.known();
        if known.is_empty() {
            return Err(HistoryError::NoRequests(self.counts));
        }
        let position = |known: &Known| self.ledger.models.position(&known.model);
        if let Some(wanted) = wanted {
            let Some(found) = known.iter().find(|known| known.model == wanted) else {
                return Err(HistoryError::UnknownModel { model: wanted.to_owned(), known });
            };
            if found.endpoints < least {
                return Err(HistoryError::NoChoice(vec![found.clone()]));
            }
            return position(found).ok_or(HistoryError::NoRequests(self.counts));
        }
        let fit: Vec<Known> =
            known.iter().filter(|known| known.endpoints >= least).cloned().collect();
        match fit.as_slice() {
            [] => Err(HistoryError::NoChoice(known)),
            [one] => position(one).ok_or(HistoryError::NoRequests(self.counts)),
            _ => Err(HistoryError::SeveralModels(fit)),
        }
    }

    /// Models that were asked for, the most asked for first.
    fn known(&self) -> Vec<Known> {
        let mut requests = vec![0; self.ledger.models.len()];
        for inference in &self.ledger.inferences {
            if let Some(count) = requests.get_mut(inference.model as usize) {
                *count += 1;
            }
        }
        let mut known: Vec<Known> = (0..)
            .zip(requests)
            .filter(|(_, requests)| *requests > 0)
            .map(|(model, requests)| Known {
                model: self.ledger.models.name(model).to_owned(),
                requests,
                endpoints: self.ledger.endpoints_of(model).len(),
            })
            .collect();
        known.sort_by(|one, other| {
            other.requests.cmp(&one.requests).then_with(|| one.model.cmp(&other.model))
        });
        known
    }

    fn of(&self, model: u32) -> impl Iterator<Item = &Inference> {
        self.ledger.inferences.iter().filter(move |inference| inference.model == model)
    }

    fn start(&self, model: u32) -> u64 {
        self.of(model).map(|inference| inference.time_unix_ms).min().unwrap_or_default()
    }

    /// The requests, and how many of them got a length that is assumed. Who was not answered
    /// asked nevertheless: left out, the worst times would be the quietest.
    fn replayed(&self, model: u32) -> (Vec<Arrival>, usize) {
        let outputs = self.of(model).filter(|inference| inference.whole);
        let output = middle(outputs.map(|inference| inference.output).collect());
        let input = middle(self.of(model).filter_map(|inference| inference.input).collect());
        let mut assumed = 0;
        let record = |inference: &Inference| {
            assumed += usize::from(!inference.whole || inference.input.is_none());
            Record {
                at: Duration::from_millis(inference.time_unix_ms),
                input_tokens: inference.input.unwrap_or(input),
                output_tokens: match inference.whole {
                    true => inference.output,
                    false => inference.output.max(output),
                },
                session: inference.session,
            }
        };
        let records = self.of(model).map(record).collect();
        (arrivals::from_records(records, 1.0), assumed)
    }

    fn notices(&self, assumed: usize, arrivals: &[Arrival]) -> Vec<Notice> {
        let mut notices = Vec::new();
        if self.counts.beyond > 0 {
            notices.push(Notice::Beyond { rows: self.counts.beyond });
        }
        if self.counts.unreadable > 0 {
            notices.push(Notice::Unreadable { rows: self.counts.unreadable });
        }
        if assumed > 0 {
            notices.push(Notice::LengthsAssumed { requests: assumed, of: arrivals.len() });
        }
        if arrivals.iter().all(|arrival| arrival.session == 0) {
            notices.push(Notice::NoSessions);
        }
        notices
    }

    /// In the order of the configuration, as far as decisions tell it. An endpoint that never
    /// answered is left out: nothing is known of how it would.
    fn endpoints(
        &self,
        model: u32,
        span: Span,
        notices: &mut Vec<Notice>,
    ) -> (Vec<Endpoint>, Vec<Fault>) {
        let mut endpoints = Vec::new();
        let mut faults = Vec::new();
        for &number in self.ledger.endpoints_of(model) {
            let name = self.ledger.endpoints.name(number).to_owned();
            let attempts = self.ledger.attempts.iter().filter(|one| one.endpoint == number);
            let mut attempts: Vec<Attempt> =
                attempts.map(|attempt| self.ledger.settled(attempt)).collect();
            attempts.sort_by_key(|attempt| attempt.started_unix_ms);
            let Some(found) = endpoint::estimate(&name, &attempts, span, notices) else {
                let attempts = attempts.len();
                notices.push(Notice::NeverAnswered { endpoint: name, attempts });
                continue;
            };
            let listed = self.ledger.listed(number);
            if listed.price.is_none() {
                notices.push(Notice::UnknownPrice { endpoint: name.clone() });
            } else if listed.price_changed {
                notices.push(Notice::PriceChanged { endpoint: name.clone() });
            }
            let here = endpoints.len();
            faults.extend(found.faults.into_iter().map(|fault| Fault { endpoint: here, ..fault }));
            endpoints.push(Endpoint {
                name,
                region: None,
                price: listed.price.unwrap_or_default(),
                ttft_ms: found.ttft_ms,
                tokens_per_s: found.tokens_per_s,
                error_rate: found.error_rate,
                concurrency: found.concurrency,
                congestion_above: CONGESTION_ABOVE,
                weight: listed.weight,
            });
        }
        (endpoints, faults)
    }
}

/// The upper median; 0 of none.
fn middle(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
