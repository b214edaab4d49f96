//! The order that a client's preferences make of the endpoints that are left.
//!
//! Takes the policy's order and changes it only as far as a preference says so; what is equal
//! under the preferences stays in the policy's order. Works over a flat list of endpoints of
//! one or many models. From what weighs most to what weighs least:
//!
//! 1. `tools`, `response_format` or `verbosity` is used and not honoured, and the same model
//!    has an endpoint left that does: to the end.
//! 2. `preferred_min_throughput`, `preferred_max_latency` are missed: to the end, whatever the
//!    model, so that a fallback model may come first. No observations miss nothing: or else a
//!    new endpoint would never be observed.
//! 3. Models in the order the client named them, unless `sort.partition` is `none`.
//! 4. Where `order` or a sort replaces the policy's order: endpoints that are down come last
//!    in their model, for a policy that knows of breakers is not there to see to it.
//! 5. `order`: the position of the first slug that means the endpoint; unlisted ones follow.
//! 6. `sort`, or the sorting suffix of the model's name. Unknown figures come last.
//!
//! Then, where fallbacks are off and neither `order` nor `only` says who may serve, only the
//! first endpoint of each model stays: models are the client's own fallbacks.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::{Demand, Exclusion, Profile, SOFT};
use crate::plan::Unusable;
use crate::preferences::{Cutoffs, Partition, SortBy};
use crate::statistics::{Percentiles, Summary};

/// Rates of broken tool calls are compared in steps of this: within one, speed decides.
const TOOL_CALL_STEP: f64 = 0.01;

/// An endpoint by the position of its model in the request, and its own in that model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub model: usize,
    pub endpoint: usize,
}

/// Figures of the last five minutes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Live {
    pub ttft_ms: Percentiles,
    /// Output tokens a second.
    pub throughput: Percentiles,
    /// Share of tool calls that were broken; absent where none was seen.
    pub tool_call_error_rate: Option<f64>,
    /// Why it is known to refuse.
    pub unusable: Option<Unusable>,
}

impl Live {
    /// Of an endpoint that is usable.
    pub fn new(summary: &Summary, tool_call_error_rate: Option<f64>) -> Self {
        Self {
            ttft_ms: summary.ttft_ms,
            throughput: summary.throughput,
            tool_call_error_rate,
            unusable: None,
        }
    }
}

/// An endpoint that may serve the request.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    pub place: Place,
    pub profile: &'a Profile,
    pub live: Live,
    /// From the suffix of the model's name; `provider.sort` counts before it.
    pub sort: Option<SortBy>,
}

/// What preferences made of the policy's order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arrangement {
    pub order: Vec<Place>,
    /// The preference that took the place of the policy's order: the outermost one.
    pub by: Option<&'static str>,
    /// What stands further behind than its preferences alone would have it, and why.
    pub demoted: Vec<Demoted>,
    /// What is not tried, for [`Exclusion::AllowFallbacks`].
    pub dropped: Vec<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demoted {
    pub place: Place,
    pub why: Demotion,
}

/// Why an endpoint is tried late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demotion {
    /// It does not honour a parameter that shapes the answer, and others do.
    Parameters,
    PreferredMinThroughput,
    PreferredMaxLatency,
    BreakerOpen,
    HalfOpen,
    AtCap,
    RetryAfter,
}

impl From<Unusable> for Demotion {
    fn from(why: Unusable) -> Self {
        match why {
            Unusable::BreakerOpen => Self::BreakerOpen,
            Unusable::HalfOpen => Self::HalfOpen,
            Unusable::AtCap => Self::AtCap,
            Unusable::RetryAfter => Self::RetryAfter,
        }
    }
}

impl Arrangement {
    /// The reason that a record gives for each of `dropped`.
    pub fn drop_reason() -> Exclusion {
        Exclusion::AllowFallbacks
    }
}

/// Arranges `items`, which come in the policy's order (or in priority order) and are eligible.
pub fn arrange(items: &[Item<'_>], demand: &Demand<'_>) -> Arrangement {
    let preferences = demand.preferences;
    let across = preferences.sort.partition == Some(Partition::None);
    // Figures of different kinds cannot be compared: across models, one sort is for all.
    let common = preferences.sort.by.or(if across { first_sort(items) } else { None });
    let lacking = lacking(items, demand.parameters);
    let mut arrangement = Arrangement { by: replaced_by(items, demand, across), ..<_>::default() };
    let mut rows: Vec<Row> = items
        .iter()
        .map(|item| {
            let lacks = lacking.contains(&item.place);
            let missed = missed(&item.live, demand);
            let sort = common.or(item.sort);
            // The host has put such endpoints last already; what takes the place of its order
            // must not bring them back.
            let replaces = sort.is_some() || !preferences.order.is_empty();
            let unusable = item.live.unusable.filter(|_| replaces);
            let down = unusable.is_some();
            let why = if lacks { Some(Demotion::Parameters) } else { missed };
            let why = why.or(unusable.map(Demotion::from));
            arrangement.demoted.extend(why.map(|why| Demoted { place: item.place, why }));
            Row {
                place: item.place,
                lacks,
                misses: missed.is_some(),
                model: if across { 0 } else { item.place.model },
                down,
                rank: rank(item.profile, &preferences.order),
                figures: figures(item, sort, demand),
            }
        })
        .collect();
    rows.sort_by(Row::compare);
    let first_only = !preferences.allows_fallbacks()
        && preferences.order.is_empty()
        && preferences.only.is_empty();
    for place in rows.into_iter().map(|row| row.place) {
        let is_fallback = arrangement.order.iter().any(|earlier| earlier.model == place.model);
        let list = if first_only && is_fallback {
            &mut arrangement.dropped
        } else {
            &mut arrangement.order
        };
        list.push(place);
    }
    arrangement
}

/// What decides over an endpoint's position, the weightiest first.
struct Row {
    place: Place,
    lacks: bool,
    misses: bool,
    model: usize,
    down: bool,
    rank: usize,
    /// Lower is better, and infinite where unknown.
    figures: [f64; 2],
}

impl Row {
    fn compare(&self, other: &Self) -> Ordering {
        let key = |row: &Self| (row.lacks, row.misses, row.model, row.down, row.rank);
        let [first, second] = self.figures;
        let [other_first, other_second] = other.figures;
        key(self)
            .cmp(&key(other))
            .then(first.total_cmp(&other_first))
            .then(second.total_cmp(&other_second))
    }
}

fn first_sort(items: &[Item<'_>]) -> Option<SortBy> {
    let first = items.iter().min_by_key(|item| item.place.model);
    first.and_then(|item| item.sort)
}

fn replaced_by(items: &[Item<'_>], demand: &Demand<'_>, across: bool) -> Option<&'static str> {
    let preferences = demand.preferences;
    let is_listed =
        |item: &Item<'_>| rank(item.profile, &preferences.order) < preferences.order.len();
    let has_suffix = || {
        let own = || items.iter().any(|item| item.sort.is_some());
        if across { first_sort(items).is_some() } else { own() }
    };
    if items.iter().any(is_listed) {
        Some("provider.order")
    } else if preferences.sort.by.is_some() {
        Some("provider.sort")
    } else {
        has_suffix().then_some("model suffix")
    }
}

/// The places that lack a soft parameter where the same model has one that lacks none.
fn lacking(items: &[Item<'_>], parameters: &[String]) -> Vec<Place> {
    let used: Vec<&str> =
        SOFT.into_iter().filter(|soft| parameters.iter().any(|used| used == soft)).collect();
    if used.is_empty() {
        return Vec::new();
    }
    let lacks = |item: &Item<'_>| used.iter().any(|parameter| !item.profile.honours(parameter));
    let (without, with): (Vec<&Item<'_>>, Vec<&Item<'_>>) =
        items.iter().partition(|item| lacks(item));
    without
        .into_iter()
        .map(|item| item.place)
        .filter(|place| with.iter().any(|other| other.place.model == place.model))
        .collect()
}

/// The preference that the figures miss.
fn missed(live: &Live, demand: &Demand<'_>) -> Option<Demotion> {
    let preferences = demand.preferences;
    let latency = &preferences.preferred_max_latency;
    let too_slow = |cutoff, ms| ms > cutoff * 1_000.0;
    if live.ttft_ms.count > 0 && one_misses(latency, within(&live.ttft_ms), too_slow) {
        return Some(Demotion::PreferredMaxLatency);
    }
    let throughput = &preferences.preferred_min_throughput;
    let too_few = |cutoff, rate| rate < cutoff;
    let missed =
        live.throughput.count > 0 && one_misses(throughput, reached(&live.throughput), too_few);
    missed.then_some(Demotion::PreferredMinThroughput)
}

/// The figures are of 50, 75, 90 and 99 % of answers.
fn one_misses(cutoffs: &Cutoffs, figures: [f64; 4], missed: impl Fn(f64, f64) -> bool) -> bool {
    [cutoffs.p50, cutoffs.p75, cutoffs.p90, cutoffs.p99]
        .into_iter()
        .zip(figures)
        .any(|(cutoff, figure)| cutoff.is_some_and(|cutoff| missed(cutoff, figure)))
}

/// The speed that a share of answers reached, by the share (50, 75, 90, 99 %): the 90 of `p90`
/// is the share that was at least so fast, which is the 10th percentile.
fn reached(throughput: &Percentiles) -> [f64; 4] {
    [throughput.p50, throughput.p25, throughput.p10, throughput.p1]
}

/// The time within which a share of answers began, by the share.
fn within(ttft: &Percentiles) -> [f64; 4] {
    [ttft.p50, ttft.p75, ttft.p90, ttft.p99]
}

/// The position of the first slug that means the endpoint; past the end where none does.
fn rank(profile: &Profile, order: &[String]) -> usize {
    order.iter().position(|slug| profile.matches(slug)).unwrap_or(order.len())
}

/// What the endpoint is sorted by: the first figure, and where that is equal the second.
fn figures(item: &Item<'_>, sort: Option<SortBy>, demand: &Demand<'_>) -> [f64; 2] {
    let Some(sort) = sort else { return [0.0; 2] };
    let median = |figure: &Percentiles| (figure.count > 0).then_some(figure.p50);
    let slowness = median(&item.live.throughput).map(|rate| -rate);
    let figures = match sort {
        SortBy::Price => {
            // Without tokens every price is the same.
            let cost = item.profile.price.map(|price| {
                price.expected(demand.input_tokens.max(1), demand.expected_output_tokens.max(1))
            });
            [cost, Some(0.0)]
        }
        SortBy::Throughput => [slowness, Some(0.0)],
        SortBy::Latency => [median(&item.live.ttft_ms), Some(0.0)],
        SortBy::Exacto => {
            let steps = |rate: f64| (rate / TOOL_CALL_STEP).round();
            [item.live.tool_call_error_rate.map(steps), slowness]
        }
    };
    figures.map(|figure| figure.filter(|figure| !figure.is_nan()).unwrap_or(f64::INFINITY))
}

#[cfg(test)]
mod tests;
