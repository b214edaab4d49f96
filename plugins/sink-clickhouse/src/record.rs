//! From a row of the journal to a line of JSON with the columns of its table.
//!
//! Reads leniently: a key that is missing, null or of another type becomes null. Only a row
//! that is no JSON object at all is refused. Every row of a kind has the same columns in the
//! same order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use torana_plugin_sdk::sink::words::Words;
use torana_plugin_sdk::sink::{Row, RowKind};

use crate::content::cut;

/// A row as it is inserted.
#[derive(Debug)]
pub(crate) struct Record {
    /// Names, separated by commas.
    pub(crate) columns: String,
    /// One JSON object and a line feed.
    pub(crate) line: Vec<u8>,
}

/// Whether what clients and models said is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Kept,
    /// Left out, as if it had expired.
    Blank,
}

/// The record of `row`.
///
/// # Errors
///
/// The row is no JSON object.
pub(crate) fn record(row: &Row, content: Content) -> Result<Record, serde_json::Error> {
    let members: Members<'_> = serde_json::from_slice(&row.json)?;
    // Valid: the decoder has seen every byte of it.
    let json = str::from_utf8(&row.json).unwrap_or_default();
    let mut line = Line::default();
    line.add("id", &row.id);
    line.add("time_unix_ms", &row.time_unix_ms);
    match row.kind {
        RowKind::Inference => inference(&mut line, json, &members, content),
        RowKind::ModelInference => {
            line.add("inference_id", &row.inference_id);
            attempt(&mut line, json, &members, content);
        }
        RowKind::Feedback => feedback(&mut line, row, json, &members),
        RowKind::Decision => {
            line.add("json", &json);
            line.add("inference_id", &row.inference_id);
        }
        RowKind::PluginEvent => {
            line.add("json", &json);
            line.texts(&members, &["plugin", "event", "reason"]);
            line.add("generation", &members.unsigned::<u64>("generation"));
        }
        RowKind::Snapshot => {
            line.add("json", &json);
            line.texts(&members, &["hash", "version"]);
            line.add("generation", &members.unsigned::<u64>("generation"));
        }
    }
    Ok(line.record())
}

impl Content {
    fn of(self, json: &str) -> &str {
        match self {
            Self::Kept => json,
            Self::Blank => "",
        }
    }
}

fn inference(line: &mut Line, json: &str, members: &Members<'_>, content: Content) {
    let said = ["request", "response"].map(|name| members.value(name));
    let cut = cut(json, said);
    let [request, response] = cut.pieces;
    line.add("frame", &cut.frame);
    line.add("request", &content.of(request.json));
    line.add("request_at", &request.at);
    line.add("response", &content.of(response.json));
    line.add("response_at", &response.at);
    let mut words = Words::default();
    said.into_iter().flatten().for_each(|said| words.add_json(content.of(said.get())));
    line.add("words", &words.sorted());
    line.add("tags", &members.tags());
    line.texts(members, &["dialect", "key", "function", "variant", "model", "endpoint", "outcome"]);
    line.texts(members, &["finish_reason", "content", "episode_id", "response_id", "snapshot"]);
    line.texts(members, &["trace_id", "span_id", "parent_span_id"]);
    line.add("attempts", &members.unsigned::<u32>("attempts"));
    line.add("generation", &members.unsigned::<u64>("generation"));
    line.add("overhead_us", &members.unsigned::<u64>("overhead_us"));
    // An older gateway says the cost where the provider reported it, in the usage.
    let reported = members.object("usage").and_then(|usage| usage.float("cost_usd"));
    call(line, members, members.float("cost_usd").or(reported));
}

fn attempt(line: &mut Line, json: &str, members: &Members<'_>, content: Content) {
    let cut = cut(json, ["raw_request", "raw_response"].map(|name| members.value(name)));
    let [request, response] = cut.pieces;
    line.add("frame", &cut.frame);
    line.add("raw_request", &content.of(request.json));
    line.add("raw_request_at", &request.at);
    line.add("raw_response", &content.of(response.json));
    line.add("raw_response_at", &response.at);
    line.texts(members, &["key", "function", "variant", "model", "endpoint", "outcome"]);
    line.texts(members, &["reason", "episode_id", "trace_id", "span_id"]);
    line.add("attempt", &members.unsigned::<u32>("attempt"));
    call(line, members, members.float("cost_usd"));
}

/// What an inference and an attempt have in common.
fn call(line: &mut Line, members: &Members<'_>, cost_usd: Option<f64>) {
    let error = members.object("error").unwrap_or_default();
    line.add("error_kind", &error.text("kind"));
    line.add("error_code", &error.text("code"));
    line.add("status", &members.unsigned::<u16>("status"));
    line.add("stream", &members.boolean("stream"));
    line.add("ttft_ms", &members.float("ttft_ms"));
    line.add("total_ms", &members.float("total_ms"));
    line.add("cost_usd", &cost_usd);
    line.add("cost_source", &members.text("cost_source"));
    let usage = members.object("usage");
    line.add("has_usage", &usage.is_some());
    let usage = usage.unwrap_or_default();
    line.add("estimated", &usage.boolean("estimated").unwrap_or(false));
    for (column, name) in [
        ("input_tokens", "input"),
        ("cached_input_tokens", "cached_input"),
        ("cache_write_tokens", "cache_write"),
        ("output_tokens", "output"),
        ("reasoning_tokens", "reasoning"),
        ("audio_tokens", "audio"),
    ] {
        line.add(column, &usage.unsigned::<u64>(name));
    }
}

fn feedback(line: &mut Line, row: &Row, json: &str, members: &Members<'_>) {
    line.add("json", &json);
    let is_episode = members.text("target").is_some_and(|target| target == "episode");
    let (inference, episode) = (members.text("inference_id"), members.text("episode_id"));
    let typed = (!row.inference_id.is_empty()).then(|| row.inference_id.clone());
    // The typed id is that of the target, whichever it is.
    let (target, inference, episode) = if is_episode {
        ("episode", inference, episode.or(typed))
    } else {
        ("inference", inference.or(typed), episode)
    };
    line.add("target", &target);
    line.add("inference_id", &inference);
    line.add("episode_id", &episode);
    line.texts(members, &["metric"]);
    let boolean = members.boolean("value").map(|it| f64::from(u8::from(it)));
    line.add("value", &members.float("value").or(boolean));
    line.add("text", &members.text("value"));
    line.add("tags", &members.tags());
    line.texts(members, &["key", "function", "variant"]);
}

/// The members of an object, not decoded yet.
#[derive(Debug, Default, Deserialize)]
struct Members<'a>(#[serde(borrow)] BTreeMap<String, &'a RawValue>);

impl<'a> Members<'a> {
    /// Absent also where it is null.
    fn value(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied().filter(|value| value.get() != "null")
    }

    fn decoded<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.value(name)?.get()).ok()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.decoded(name)
    }

    fn boolean(&self, name: &str) -> Option<bool> {
        self.decoded(name)
    }

    fn float(&self, name: &str) -> Option<f64> {
        self.decoded(name)
    }

    /// Absent also where it is more than the column can hold.
    fn unsigned<N: TryFrom<u64>>(&self, name: &str) -> Option<N> {
        self.decoded::<u64>(name).and_then(|number| N::try_from(number).ok())
    }

    fn object(&self, name: &str) -> Option<Self> {
        self.decoded(name)
    }

    /// Those that are text.
    fn tags(&self) -> BTreeMap<String, String> {
        let tags = self.object("tags").unwrap_or_default();
        tags.0.keys().filter_map(|name| Some((name.clone(), tags.text(name)?))).collect()
    }
}

/// A line under construction.
#[derive(Debug, Default)]
struct Line {
    columns: String,
    bytes: Vec<u8>,
}

impl Line {
    fn add(&mut self, column: &str, value: &impl Serialize) {
        if !self.columns.is_empty() {
            self.columns.push(',');
        }
        self.columns.push_str(column);
        self.bytes.push(if self.bytes.is_empty() { b'{' } else { b',' });
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(column.as_bytes());
        self.bytes.extend_from_slice(b"\":");
        // Text, numbers and lists of them: there is nothing that could not be written.
        drop(serde_json::to_writer(&mut self.bytes, value));
    }

    /// Columns that are called as the row calls them.
    fn texts(&mut self, members: &Members<'_>, names: &[&str]) {
        for name in names {
            self.add(name, &members.text(name));
        }
    }

    fn record(mut self) -> Record {
        self.bytes.extend_from_slice(b"}\n");
        Record { columns: self.columns, line: self.bytes }
    }
}
