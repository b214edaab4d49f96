//! Rows by hand: everything that a journal may hold, and what it rather does not.
//!
//! The same seed makes the same rows. Names hold quotes, backslashes, line feeds, zeros and
//! letters of several scripts; keys are missing, null and of a wrong type; times are equal,
//! decades apart, and beyond what a calendar holds.

use serde_json::{Value, json};
use torana::plugin::sink::{Row, RowKind};

/// Monday 2026-11-23.
pub(crate) const NOW: u64 = 1_795_392_000_000;
pub(crate) const DAY: u64 = 86_400_000;

pub(crate) const KEYS: [&str; 3] = ["team", "ops", "it's \"mine\""];
pub(crate) const FUNCTIONS: [&str; 3] = ["extract", "über-funktion", "日本語 要約"];
pub(crate) const VARIANTS: [&str; 3] = ["a", "b", ""];
pub(crate) const MODELS: [&str; 5] =
    ["gpt-5", "x'; DROP TABLE inference; --", "back\\slash\n\ttab\\'", "{p0:String}", "ze\0ro"];
pub(crate) const ENDPOINTS: [&str; 3] = ["openai/gpt-5", "anthropic/claude", "sim/\u{1f600}"];
pub(crate) const OUTCOMES: [&str; 4] = ["ok", "error", "cancelled", "lost"];
pub(crate) const DIALECTS: [&str; 2] = ["openai-chat", "anthropic-messages"];
pub(crate) const METRICS: [&str; 3] = ["solved", "score", "comment"];
pub(crate) const TAGS: [(&str, [&str; 3]); 3] = [
    ("env", ["prod", "test", ""]),
    ("na'me\\\n", ["va'lue\\\n", "\0", "ü"]),
    ("user", ["1", "2", "3"]),
];

/// Sentences whose words are looked for.
pub(crate) const SENTENCES: [&str; 8] = [
    "What is the capital of France? It's PARIS!",
    "Größe und Straße: 42 km/h",
    "Привет, МИР",
    "日本語。東京",
    "ΟΔΥΣΣΕΥΣ naïve café\u{301}",
    "under_score back\\slash \"quoted\" {json: [1,2]}",
    "emoji \u{1f600}between\u{1f600}words",
    "हिन्दी العربية עברית",
];

/// Numbers that look random and are the same every time (SplitMix64, Vigna 2015).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn one_of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }

    /// Now and then nothing.
    pub(crate) fn maybe(&mut self, choices: &[&str]) -> Value {
        if self.once_in(4) { Value::Null } else { self.one_of(choices).into() }
    }

    fn milliseconds(&mut self) -> Value {
        match self.below(5) {
            0 => Value::Null,
            1 => json!(self.below(50)),
            _ => json!(self.below(5_000_000) as f64 / 1_000.0),
        }
    }

    fn cost(&mut self) -> Value {
        match self.below(4) {
            0 => Value::Null,
            1 => json!(0),
            _ => json!(self.below(1_000_000_000) as f64 / 1e9),
        }
    }

    /// Times are few, so that many rows share one.
    fn time(&mut self) -> u64 {
        match self.below(200) {
            0 => self.below(3),
            1 => 9_000_000_000_000_000 + self.below(3),
            2 => NOW - 10_000 * DAY + self.below(DAY),
            _ => NOW - self.below(3 * 24 * 60) * 60_000,
        }
    }
}

/// In canonical form; ordered by number.
pub(crate) fn id(number: u64) -> String {
    format!("01990000-{:04x}-7000-8000-{:012x}", number >> 24 & 0xffff, number & 0xff_ffff)
}

/// Episodes are few, so that inferences share them.
fn episode(random: &mut Random) -> String {
    format!("01980000-0000-7000-8000-{:012x}", random.below(60))
}

/// At least `count` rows, of every kind, an inference's attempts before it.
pub(crate) fn rows(seed: u64, count: usize) -> Vec<Row> {
    let mut random = Random::new(seed);
    let mut rows = Vec::new();
    while rows.len() < count {
        let (number, time) = (rows.len() as u64, random.time());
        if random.once_in(20) {
            rows.push(other(&mut random, number, time));
        } else {
            call(&mut random, &mut rows, time);
        }
    }
    rows
}

/// A call with something to find, and with what not every database has in its text.
pub(crate) fn inference(number: u64, time_unix_ms: u64, model: &str) -> Row {
    let json = json!({ "id": id(number), "time_unix_ms": time_unix_ms, "model": model,
        "content": "full", "request": { "text": "secret words" }, "response": "said\0" });
    row(RowKind::Inference, &id(number), &json.to_string())
}

/// A row of this JSON.
pub(crate) fn row(kind: RowKind, inference_id: &str, json: &str) -> Row {
    let members: Value = serde_json::from_str(json).unwrap();
    let text = |name: &str| members[name].as_str().unwrap_or_default().to_owned();
    let time_unix_ms = members["time_unix_ms"].as_u64().unwrap();
    let json = json.as_bytes().to_vec();
    Row { id: text("id"), kind, inference_id: inference_id.to_owned(), time_unix_ms, json }
}

fn call(random: &mut Random, rows: &mut Vec<Row>, time: u64) {
    let mut number = rows.len() as u64;
    let inference_id = id(number);
    let facts = json!({
        "key": random.maybe(&KEYS), "function": random.maybe(&FUNCTIONS),
        "variant": random.maybe(&VARIANTS), "model": random.maybe(&MODELS),
        "episode_id": episode(random), "stream": random.once_in(2),
        "trace_id": format!("{:032x}", random.next()),
    });
    let attempts = random.below(4);
    for attempt in 1..=attempts {
        number += 1;
        let json =
            attempt_json(random, &facts, &id(number), &inference_id, time + attempt, attempt);
        rows.push(row(RowKind::ModelInference, &inference_id, &json));
    }
    let json = inference_json(random, &facts, &inference_id, time, attempts);
    rows.push(row(RowKind::Inference, &inference_id, &json));
    for _ in 0..random.below(3) {
        number += 1;
        let time = time + random.below(3);
        rows.push(feedback(random, &facts, &id(number), &inference_id, time));
    }
}

fn inference_json(
    random: &mut Random,
    facts: &Value,
    id: &str,
    time: u64,
    attempts: u64,
) -> String {
    let mut members = merged(&[
        ("id", id.into()),
        ("time_unix_ms", time.into()),
        ("dialect", random.maybe(&DIALECTS)),
        ("endpoint", random.maybe(&ENDPOINTS)),
        ("outcome", random.one_of(&OUTCOMES[..3]).into()),
        ("response_id", json!(format!("resp-{}", random.below(200)))),
        ("generation", 1.into()),
        ("attempts", attempts.into()),
        ("status", random.one_of(&[json!(200), json!(429), json!(-1), json!("x")])),
        ("usage", usage(random)),
        ("ttft_ms", random.milliseconds()),
        ("total_ms", random.milliseconds()),
        ("cost_usd", random.cost()),
        ("tags", tags(random)),
        ("content", "full".into()),
    ]);
    members.extend(facts.as_object().unwrap().clone());
    if random.once_in(3) {
        members.insert("error".into(), json!({ "kind": "timeout", "code": "connect_timeout" }));
    }
    with_content(random, members, ["request", "response"])
}

fn attempt_json(
    random: &mut Random,
    facts: &Value,
    id: &str,
    inference_id: &str,
    time: u64,
    attempt: u64,
) -> String {
    let mut members = merged(&[
        ("id", id.into()),
        ("inference_id", inference_id.into()),
        ("time_unix_ms", time.into()),
        ("endpoint", random.maybe(&ENDPOINTS)),
        // The second and third are told apart by time alone.
        ("attempt", attempt.min(2).into()),
        ("reason", "first".into()),
        ("outcome", random.one_of(&OUTCOMES).into()),
        ("usage", usage(random)),
        ("ttft_ms", random.milliseconds()),
        ("total_ms", random.milliseconds()),
        ("cost_usd", random.cost()),
    ]);
    members.extend(facts.as_object().unwrap().clone());
    with_content(random, members, ["raw_request", "raw_response"])
}

fn feedback(random: &mut Random, facts: &Value, id: &str, inference_id: &str, time: u64) -> Row {
    let metric = random.one_of(&METRICS);
    let value = match (metric, random.below(8)) {
        (_, 0) => json!("a word\nor two"),
        (_, 1) => json!({ "role": "assistant", "content": "better" }),
        ("solved", it) => json!(it % 2 == 0),
        (_, it) => json!(it as f64 / 4.0),
    };
    let on_episode = random.once_in(3);
    let episode = &facts["episode_id"];
    let members = merged(&[
        ("id", id.into()),
        ("time_unix_ms", time.into()),
        ("target", if on_episode { "episode" } else { "inference" }.into()),
        ("inference_id", if on_episode { Value::Null } else { inference_id.into() }),
        ("episode_id", episode.clone()),
        ("metric", metric.into()),
        ("value", value),
        ("tags", tags(random)),
        ("key", facts["key"].clone()),
        ("function", facts["function"].clone()),
        ("variant", facts["variant"].clone()),
    ]);
    let typed = if on_episode { episode.as_str().unwrap() } else { inference_id };
    row(RowKind::Feedback, typed, &Value::Object(members).to_string())
}

fn other(random: &mut Random, number: u64, time: u64) -> Row {
    let id = id(number);
    let (kind, json) = match random.below(3) {
        0 => (RowKind::Decision, json!({ "id": id, "time_unix_ms": time, "plan": ["a/b"] })),
        1 => {
            let json = json!({ "id": id, "time_unix_ms": time, "plugin": "p", "event": "killed",
                "reason": "it trapped: \"x'\\", "generation": 3 });
            (RowKind::PluginEvent, json)
        }
        _ => {
            let json = json!({ "id": id, "time_unix_ms": time, "generation": 2, "hash": "ab",
                "version": "0.1.0", "files": [], "plugins": [], "models": {}, "functions": {} });
            (RowKind::Snapshot, json)
        }
    };
    row(kind, &id, &json.to_string())
}

fn usage(random: &mut Random) -> Value {
    match random.below(6) {
        0 => Value::Null,
        1 => json!({}),
        2 => json!({ "input": null, "output": 1.5, "reasoning": -3 }),
        _ => json!({
            "input": random.below(1 << 40), "output": random.below(1_000),
            "cached_input": random.below(100), "cache_write": random.below(10),
            "reasoning": random.below(500),
        }),
    }
}

fn tags(random: &mut Random) -> Value {
    let mut tags = serde_json::Map::new();
    for (name, values) in TAGS {
        if random.once_in(2) {
            tags.insert(name.to_owned(), random.one_of(&values).into());
        }
    }
    Value::Object(tags)
}

fn merged(members: &[(&str, Value)]) -> serde_json::Map<String, Value> {
    members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// What was said, somewhere in the row, in JSON as it came: with spaces, in any notation of
/// numbers and characters.
fn with_content(
    random: &mut Random,
    members: serde_json::Map<String, Value>,
    names: [&str; 2],
) -> String {
    let mut parts: Vec<String> =
        members.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
    for name in names {
        let content = match random.below(4) {
            0 => "null".to_owned(),
            1 => format!("{:?}", "\\\"raw\\\" text"),
            _ => {
                let (first, second) = (random.one_of(&SENTENCES), random.one_of(&SENTENCES));
                format!(
                    "{{ \"content\":[{}, {{\"text\" : {}}}],\"n\":[1.10,1E2,-0.0],\"e\":\"\\u00e9\\/\" }}",
                    json!(first),
                    json!(second)
                )
            }
        };
        let place = random.below(parts.len() as u64) as usize;
        parts.insert(place, format!("\"{name}\": {content}"));
    }
    format!("{{{}}}", parts.join(","))
}
