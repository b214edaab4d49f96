//! What every store must answer, in plain Rust: rows in a vector, questions by going through
//! it. Follows `wit/sink/sink.wit` sentence by sentence and knows nothing of any database.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use torana_plugin_sdk::sink::{
    Comparison, Dimension, FeedbackRequest, FeedbackRow, MetricFilter, Order, Row, RowFilter,
    RowKind, Spread, Table, UsageReport, UsageRequest, UsageRow,
};

/// Start of the bucket, and names.
type Group = (Option<u64>, Vec<Option<String>>);

/// All rows that were written, each once.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    rows: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    kind: RowKind,
    id: String,
    time_unix_ms: u64,
    json: Json,
}

impl Kept {
    fn text(&self, name: &str) -> Option<&str> {
        self.json[name].as_str()
    }

    fn age(&self) -> (u64, &str) {
        (self.time_unix_ms, &self.id)
    }

    fn is_on(&self, target: &str, id: Option<&str>) -> bool {
        let name = if target == "episode" { "episode_id" } else { "inference_id" };
        self.kind == RowKind::Feedback
            && self.text("target") == Some(target)
            && id.is_some()
            && self.text(name) == id
    }
}

impl Oracle {
    pub(crate) fn write(&mut self, batch: &[Row]) {
        for row in batch {
            if !self.rows.iter().any(|kept| kept.id == row.id && kept.kind == row.kind) {
                self.rows.push(Kept {
                    kind: row.kind,
                    id: row.id.clone(),
                    time_unix_ms: row.time_unix_ms,
                    json: serde_json::from_slice(&row.json).unwrap(),
                });
            }
        }
    }

    /// Every row of the table that passes, in order.
    pub(crate) fn list(&self, table: Table, filter: &RowFilter, order: Order) -> Vec<Json> {
        let mut rows: Vec<&Kept> = self.passing(table, filter).collect();
        rows.sort_by_key(|row| row.age());
        if order == Order::NewestFirst {
            rows.reverse();
        }
        rows.iter().map(|row| row.json.clone()).collect()
    }

    pub(crate) fn inference(&self, id: &str) -> Option<Json> {
        let mut whole = self.call(Some(id))?.json.clone();
        let episode = whole["episode_id"].as_str().map(str::to_owned);
        let mut attempts: Vec<&Kept> = self
            .of(RowKind::ModelInference)
            .filter(|row| row.text("inference_id") == Some(id))
            .collect();
        attempts.sort_by_key(|row| row.json["attempt"].as_u64());
        let mut feedback: Vec<&Kept> = self
            .of(RowKind::Feedback)
            .filter(|row| {
                row.is_on("inference", Some(id)) || row.is_on("episode", episode.as_deref())
            })
            .collect();
        feedback.sort_by_key(|row| row.age());
        whole["model_inferences"] = attempts.iter().map(|row| row.json.clone()).collect();
        whole["feedback"] = feedback.iter().map(|row| row.json.clone()).collect();
        Some(whole)
    }

    pub(crate) fn usage(&self, request: &UsageRequest) -> UsageReport {
        let mut groups: BTreeMap<Group, Vec<&Kept>> = BTreeMap::new();
        for row in self.passing(request.of, &request.filter) {
            let start = request.interval_ms.map(|width| row.time_unix_ms / width * width);
            let names = request.by.iter().map(|it| row.text(dimension(*it)).map(str::to_owned));
            groups.entry((start, names.collect())).or_default().push(row);
        }
        let truncated = groups.len() > request.limit as usize;
        let rows = groups.into_iter().take(request.limit as usize);
        UsageReport {
            rows: rows.map(|((start, group), rows)| sum(start, group, &rows)).collect(),
            truncated,
        }
    }

    pub(crate) fn feedback_statistics(&self, request: &FeedbackRequest) -> Vec<FeedbackRow> {
        let mut last: BTreeMap<(&str, &str), &Kept> = BTreeMap::new();
        let mut rows: Vec<&Kept> = self
            .of(RowKind::Feedback)
            .filter(|row| row.text("metric") == Some(&request.metric))
            .filter(|row| number(&row.json["value"]).is_some())
            .filter(|row| is_or_open(request.function.as_deref(), row.text("function")))
            .filter(|row| request.since_unix_ms.is_none_or(|since| row.time_unix_ms >= since))
            .filter(|row| request.until_unix_ms.is_none_or(|until| row.time_unix_ms < until))
            .collect();
        rows.sort_by_key(|row| row.age());
        for row in rows {
            let target = row.text("target").unwrap();
            let id = if target == "episode" { "episode_id" } else { "inference_id" };
            last.insert((target, row.text(id).unwrap()), row);
        }
        let mut groups: BTreeMap<(Option<&str>, Option<&str>), Vec<f64>> = BTreeMap::new();
        for row in last.values() {
            let group = (row.text("function"), row.text("variant"));
            groups.entry(group).or_default().push(number(&row.json["value"]).unwrap());
        }
        let statistics =
            |((function, variant), values): ((Option<&str>, Option<&str>), Vec<f64>)| {
                let count = values.len() as f64;
                let mean = values.iter().sum::<f64>() / count;
                let squares: f64 = values.iter().map(|it| (it - mean) * (it - mean)).sum();
                FeedbackRow {
                    function: function.map(str::to_owned),
                    variant: variant.map(str::to_owned),
                    count: values.len() as u64,
                    mean,
                    variance: if values.len() > 1 { squares / (count - 1.0) } else { 0.0 },
                }
            };
        groups.into_iter().map(statistics).collect()
    }

    fn of(&self, kind: RowKind) -> impl Iterator<Item = &Kept> {
        self.rows.iter().filter(move |row| row.kind == kind)
    }

    fn call(&self, id: Option<&str>) -> Option<&Kept> {
        self.of(RowKind::Inference).find(|row| Some(row.id.as_str()) == id)
    }

    fn passing(&self, table: Table, filter: &RowFilter) -> impl Iterator<Item = &Kept> {
        self.of(kind(table)).filter(|row| self.passes(row, filter))
    }

    fn passes(&self, row: &Kept, filter: &RowFilter) -> bool {
        let keys = [
            ("key", &filter.key),
            ("function", &filter.function),
            ("variant", &filter.variant),
            ("model", &filter.model),
            ("endpoint", &filter.endpoint),
            ("outcome", &filter.outcome),
            ("episode_id", &filter.episode_id),
            ("response_id", &filter.response_id),
        ];
        let keys_are_equal =
            keys.iter().all(|(name, wanted)| is_or_open(wanted.as_deref(), row.text(name)));
        let owner = match row.kind {
            RowKind::Inference => Some(row),
            RowKind::ModelInference | RowKind::Feedback => self.call(row.text("inference_id")),
            RowKind::Decision | RowKind::PluginEvent | RowKind::Snapshot => None,
        };
        let has_tag = |(name, value): &(String, String)| {
            owner.is_some_and(|it| it.json["tags"][name.as_str()].as_str() == Some(value))
        };
        keys_are_equal
            && filter.tags.iter().all(has_tag)
            && filter.metrics.iter().all(|it| owner.is_some_and(|owner| self.compares(owner, it)))
            && filter.text.as_deref().is_none_or(|text| contains(&row.json, text))
            && filter.since_unix_ms.is_none_or(|since| row.time_unix_ms >= since)
            && filter.until_unix_ms.is_none_or(|until| row.time_unix_ms < until)
    }

    /// The last feedback on the inference, or else on its episode.
    fn compares(&self, inference: &Kept, filter: &MetricFilter) -> bool {
        let last = |target: &str, id: Option<&str>| {
            self.of(RowKind::Feedback)
                .filter(|row| row.text("metric") == Some(&filter.metric))
                .filter(|row| row.is_on(target, id))
                .max_by_key(|row| row.age())
        };
        let said = last("inference", Some(&inference.id))
            .or_else(|| last("episode", inference.text("episode_id")));
        let Some(value) = said.and_then(|row| number(&row.json["value"])) else { return false };
        match filter.comparison {
            Comparison::Equal => value == filter.value,
            Comparison::Less => value < filter.value,
            Comparison::AtMost => value <= filter.value,
            Comparison::Greater => value > filter.value,
            Comparison::AtLeast => value >= filter.value,
        }
    }
}

fn kind(table: Table) -> RowKind {
    match table {
        Table::Inference => RowKind::Inference,
        Table::ModelInference => RowKind::ModelInference,
        Table::Feedback => RowKind::Feedback,
        Table::Decision => RowKind::Decision,
        Table::PluginEvent => RowKind::PluginEvent,
        Table::Snapshot => RowKind::Snapshot,
    }
}

fn dimension(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Key => "key",
        Dimension::Function => "function",
        Dimension::Variant => "variant",
        Dimension::Model => "model",
        Dimension::Endpoint => "endpoint",
        Dimension::Outcome => "outcome",
        Dimension::Dialect => "dialect",
    }
}

fn is_or_open(wanted: Option<&str>, found: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| found == Some(wanted))
}

fn number(json: &Json) -> Option<f64> {
    json.as_f64().or_else(|| json.as_bool().map(|it| if it { 1.0 } else { 0.0 }))
}

fn contains(row: &Json, text: &str) -> bool {
    let mut found = BTreeSet::new();
    for part in ["request", "response"] {
        words_within(&row[part], &mut found);
    }
    words(text).is_subset(&found)
}

fn words_within(json: &Json, found: &mut BTreeSet<String>) {
    match json {
        Json::String(text) => found.extend(words(text)),
        Json::Array(items) => items.iter().for_each(|it| words_within(it, found)),
        Json::Object(entries) => entries.values().for_each(|it| words_within(it, found)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

fn words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut word = String::new();
    for letter in text.chars().chain([' ']) {
        if letter.is_alphanumeric() {
            word.push(letter);
        } else if !word.is_empty() {
            words.insert(std::mem::take(&mut word).to_lowercase());
        }
    }
    words
}

fn sum(start: Option<u64>, group: Vec<Option<String>>, rows: &[&Kept]) -> UsageRow {
    let outcome = |word: &str| rows.iter().filter(|it| it.text("outcome") == Some(word)).count();
    let tokens = |name: &str| rows.iter().filter_map(|it| it.json["usage"][name].as_u64()).sum();
    let has_no_price =
        |row: &&&Kept| row.json["usage"].is_object() && row.json["cost_usd"].is_null();
    UsageRow {
        start_unix_ms: start,
        group,
        rows: rows.len() as u64,
        ok: outcome("ok") as u64,
        errors: outcome("error") as u64,
        cancelled: outcome("cancelled") as u64,
        input_tokens: tokens("input"),
        cached_input_tokens: tokens("cached_input"),
        cache_write_tokens: tokens("cache_write"),
        output_tokens: tokens("output"),
        reasoning_tokens: tokens("reasoning"),
        cost_usd: rows.iter().filter_map(|row| row.json["cost_usd"].as_f64()).sum(),
        unpriced: rows.iter().filter(has_no_price).count() as u64,
        ttft: spread(rows, "ttft_ms"),
        total: spread(rows, "total_ms"),
    }
}

fn spread(rows: &[&Kept], name: &str) -> Option<Spread> {
    let is_ok = |row: &&&Kept| row.text("outcome") == Some("ok");
    let mut values: Vec<f64> =
        rows.iter().filter(is_ok).filter_map(|row| row.json[name].as_f64()).collect();
    values.sort_by(f64::total_cmp);
    let at = |percent: usize| values.get(values.len() * percent / 100).copied();
    Some(Spread {
        mean_ms: values.iter().sum::<f64>() / values.len() as f64,
        p50_ms: at(50)?,
        p95_ms: at(95)?,
    })
}
