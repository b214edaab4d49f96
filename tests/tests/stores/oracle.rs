//! The contract of `wit/sink/sink.wit` in its plainest form: all rows in memory, every question
//! answered by going through them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use torana::plugin::sink::{
    Comparison, Dimension, FeedbackRequest, FeedbackRow, MetricFilter, Order, Row, RowFilter,
    RowKind, Spread, Table, UsageReport, UsageRequest, UsageRow,
};

/// A row and what it says.
pub(crate) struct Known {
    kind: RowKind,
    id: String,
    inference_id: String,
    time: u64,
    text: String,
    json: Value,
}

/// Start of the bucket, and names.
type Group = (Option<u64>, Vec<Option<String>>);

pub(crate) struct Oracle {
    /// By time and id.
    rows: Vec<Known>,
}

impl Oracle {
    /// A row that is there twice counts once.
    pub(crate) fn of(rows: &[Row]) -> Self {
        let mut seen = BTreeSet::new();
        let once = rows.iter().filter(|row| seen.insert(row.id.clone()));
        let mut rows: Vec<Known> = once.map(known).collect();
        rows.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        Self { rows }
    }

    /// JSON of each row, in order.
    pub(crate) fn list(&self, table: Table, filter: &RowFilter, order: Order) -> Vec<String> {
        let mut found: Vec<String> =
            self.matching(table, filter).map(|row| row.text.clone()).collect();
        if matches!(order, Order::NewestFirst) {
            found.reverse();
        }
        found
    }

    pub(crate) fn inference(&self, id: &str) -> Option<Value> {
        let inference = self.of_kind(RowKind::Inference).find(|row| row.id == id)?;
        let mut attempts: Vec<&Known> =
            self.of_kind(RowKind::ModelInference).filter(|row| row.inference_id == id).collect();
        attempts.sort_by_key(|row| (row.json["attempt"].as_u64(), row.time, row.id.clone()));
        let feedback = self.of_kind(RowKind::Feedback).filter(|row| {
            let episode = row.json["episode_id"].as_str();
            match row.json["target"].as_str() {
                Some("episode") => episode == inference.json["episode_id"].as_str(),
                _ => row.json["inference_id"] == id,
            }
        });
        let mut whole = inference.json.clone();
        whole["model_inferences"] = attempts.iter().map(|row| row.json.clone()).collect();
        whole["feedback"] = feedback.map(|row| row.json.clone()).collect();
        Some(whole)
    }

    pub(crate) fn usage(&self, request: &UsageRequest) -> UsageReport {
        let mut groups: BTreeMap<Group, Vec<&Known>> = BTreeMap::new();
        for row in self.matching(request.of, &request.filter) {
            let start = request.interval_ms.map(|interval| row.time / interval * interval);
            let names = request.by.iter().map(|by| row.text_at(dimension(*by, request.of)));
            groups.entry((start, names.collect())).or_default().push(row);
        }
        let truncated = groups.len() > request.limit as usize;
        let rows = groups.into_iter().take(request.limit as usize);
        UsageReport { rows: rows.map(|(name, rows)| sums(name, &rows)).collect(), truncated }
    }

    pub(crate) fn feedback_statistics(&self, request: &FeedbackRequest) -> Vec<FeedbackRow> {
        let mut last: BTreeMap<(bool, String), &Known> = BTreeMap::new();
        for row in self.of_kind(RowKind::Feedback) {
            let function = row.text_at("function");
            let is_meant = row.json["metric"] == request.metric.as_str()
                && row.number().is_some()
                && request.function.as_ref().is_none_or(|wanted| function.as_ref() == Some(wanted))
                && request.since_unix_ms.is_none_or(|since| row.time >= since)
                && request.until_unix_ms.is_none_or(|until| row.time < until);
            if is_meant {
                let is_episode = row.json["target"] == "episode";
                let subject = if is_episode { "episode_id" } else { "inference_id" };
                last.insert((is_episode, row.text_at(subject).unwrap()), row);
            }
        }
        let mut groups: BTreeMap<_, Vec<f64>> = BTreeMap::new();
        for row in last.values() {
            let group = (row.text_at("function"), row.text_at("variant"));
            groups.entry(group).or_default().push(row.number().unwrap());
        }
        groups
            .into_iter()
            .map(|((function, variant), values)| {
                let count = values.len() as f64;
                let mean = values.iter().sum::<f64>() / count;
                let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
                let variance = if values.len() > 1 { squares / (count - 1.0) } else { 0.0 };
                FeedbackRow { function, variant, count: values.len() as u64, mean, variance }
            })
            .collect()
    }

    /// Ids of all inferences.
    pub(crate) fn inference_ids(&self) -> Vec<String> {
        self.of_kind(RowKind::Inference).map(|row| row.id.clone()).collect()
    }

    fn of_kind(&self, kind: RowKind) -> impl Iterator<Item = &Known> {
        self.rows.iter().filter(move |row| row.kind == kind)
    }

    fn matching(&self, table: Table, filter: &RowFilter) -> impl Iterator<Item = &Known> {
        self.of_kind(kind(table)).filter(move |row| self.matches(row, filter))
    }

    fn matches(&self, row: &Known, filter: &RowFilter) -> bool {
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
        let has_keys = keys.iter().all(|(name, wanted)| {
            wanted.as_ref().is_none_or(|wanted| row.json[*name].as_str() == Some(wanted))
        });
        has_keys
            && filter.since_unix_ms.is_none_or(|since| row.time >= since)
            && filter.until_unix_ms.is_none_or(|until| row.time < until)
            && filter.text.as_ref().is_none_or(|text| row.has_words(text))
            && self.matches_inference(row, filter)
    }

    /// Tags and metrics, of the inference that the row is or belongs to.
    fn matches_inference(&self, row: &Known, filter: &RowFilter) -> bool {
        if filter.tags.is_empty() && filter.metrics.is_empty() {
            return true;
        }
        let id = match row.kind {
            RowKind::Inference => Some(row.id.as_str()),
            RowKind::ModelInference => Some(row.inference_id.as_str()),
            RowKind::Feedback => row.json["inference_id"].as_str(),
            _ => None,
        };
        let inference = self.of_kind(RowKind::Inference).find(|it| Some(it.id.as_str()) == id);
        inference.is_some_and(|inference| {
            let mut tags = filter.tags.iter();
            tags.all(|(name, value)| inference.json["tags"][name].as_str() == Some(value))
                && filter.metrics.iter().all(|metric| self.compares(inference, metric))
        })
    }

    fn compares(&self, inference: &Known, filter: &MetricFilter) -> bool {
        let last = |target: &str, name: &str, id: Option<&str>| {
            let of_metric = self.of_kind(RowKind::Feedback).filter(|row| {
                row.json["metric"] == filter.metric.as_str() && row.json["target"] == target
            });
            of_metric.filter(|row| id.is_some() && row.json[name].as_str() == id).last()
        };
        let said = last("inference", "inference_id", Some(&inference.id))
            .or_else(|| last("episode", "episode_id", inference.json["episode_id"].as_str()));
        let Some(value) = said.and_then(Known::number) else { return false };
        match filter.comparison {
            Comparison::Equal => value == filter.value,
            Comparison::Less => value < filter.value,
            Comparison::AtMost => value <= filter.value,
            Comparison::Greater => value > filter.value,
            Comparison::AtLeast => value >= filter.value,
        }
    }
}

impl Known {
    fn text_at(&self, name: &str) -> Option<String> {
        self.json[name].as_str().map(str::to_owned)
    }

    /// The value of feedback.
    fn number(&self) -> Option<f64> {
        let value = &self.json["value"];
        value.as_f64().or_else(|| value.as_bool().map(|it| f64::from(u8::from(it))))
    }

    fn has_words(&self, text: &str) -> bool {
        let mut said = BTreeSet::new();
        for part in ["request", "response"] {
            strings(&self.json[part], &mut |text| said.extend(words(text)));
        }
        words(text).is_subset(&said)
    }
}

fn known(row: &Row) -> Known {
    let text = String::from_utf8(row.json.clone()).unwrap();
    let json = serde_json::from_str(&text).unwrap();
    let (id, inference_id) = (row.id.clone(), row.inference_id.clone());
    Known { kind: row.kind, id, inference_id, time: row.time_unix_ms, text, json }
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

fn dimension(by: Dimension, of: Table) -> &'static str {
    match by {
        Dimension::Key => "key",
        Dimension::Function => "function",
        Dimension::Variant => "variant",
        Dimension::Model => "model",
        Dimension::Endpoint => "endpoint",
        Dimension::Outcome => "outcome",
        Dimension::Dialect if matches!(of, Table::Inference) => "dialect",
        Dimension::Dialect => "attempts have none",
    }
}

fn words(text: &str) -> BTreeSet<String> {
    let runs = text.split(|it: char| !it.is_alphanumeric());
    runs.filter(|run| !run.is_empty()).map(str::to_lowercase).collect()
}

fn strings(json: &Value, found: &mut impl FnMut(&str)) {
    match json {
        Value::String(text) => found(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(members) => members.values().for_each(|value| strings(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn sums((start, group): Group, rows: &[&Known]) -> UsageRow {
    let outcomes =
        |outcome: &str| rows.iter().filter(|row| row.json["outcome"] == outcome).count() as u64;
    let tokens =
        |name: &str| rows.iter().filter_map(|row| row.json["usage"][name].as_u64()).sum::<u64>();
    let cost = |row: &&&Known| row.json["cost_usd"].as_f64();
    UsageRow {
        start_unix_ms: start,
        group,
        rows: rows.len() as u64,
        ok: outcomes("ok"),
        errors: outcomes("error"),
        cancelled: outcomes("cancelled"),
        input_tokens: tokens("input"),
        cached_input_tokens: tokens("cached_input"),
        cache_write_tokens: tokens("cache_write"),
        output_tokens: tokens("output"),
        reasoning_tokens: tokens("reasoning"),
        cost_usd: rows.iter().filter_map(|row| cost(&row)).sum(),
        unpriced: rows
            .iter()
            .filter(|row| row.json["usage"].is_object() && cost(row).is_none())
            .count() as u64,
        ttft: spread(rows, "ttft_ms"),
        total: spread(rows, "total_ms"),
    }
}

fn spread(rows: &[&Known], name: &str) -> Option<Spread> {
    let ok = rows.iter().filter(|row| row.json["outcome"] == "ok");
    let mut values: Vec<f64> = ok.filter_map(|row| row.json[name].as_f64()).collect();
    values.sort_by(f64::total_cmp);
    let at = |percent: usize| values[values.len() * percent / 100];
    let mean_ms = values.iter().sum::<f64>() / values.len() as f64;
    (!values.is_empty()).then(|| Spread { mean_ms, p50_ms: at(50), p95_ms: at(95) })
}
