//! Posts each batch to `url` as a list of rows, and misbehaves the way its settings say: at
//! rows that contain a text, at batches that are too long, when it is opened, or when the
//! store answers 500. At 503 it asks to be tried again. What it sees of an answer it posts to
//! `url` followed by `/seen`, so that a test sees it too.

use std::collections::BTreeMap;
use std::hint::black_box;

use serde::Deserialize;
use torana_plugin_sdk::host::http::{self, Request, Response};
use torana_plugin_sdk::sink::{Outcome, Rejection, Row, Sink};
use torana_plugin_sdk::{Header, SettingsError};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    url: String,
    /// Texts in a row at which it does what the name says.
    trap: Option<String>,
    hang: Option<String>,
    memory: Option<String>,
    huge_result: Option<String>,
    /// Rejects a row that the batch does not have.
    nonsense: Option<String>,
    reject: Option<String>,
    /// Rows of a batch beyond which it traps.
    most_rows: Option<usize>,
    /// `hang` or `trap` when it is opened.
    open: String,
    headers: BTreeMap<String, String>,
    tell: bool,
}

struct Hostile(Settings);

impl Sink for Hostile {
    type Settings = Settings;

    fn open(settings: Settings) -> Result<Self, SettingsError> {
        match settings.open.as_str() {
            "hang" => hang(),
            "trap" => trap(),
            _ => Ok(Self(settings)),
        }
    }

    fn write(&mut self, batch: &[Row]) -> Outcome {
        let has = |text: &Option<String>| {
            text.as_ref().is_some_and(|text| batch.iter().any(|row| contains(row, text)))
        };
        if has(&self.0.trap) || self.0.most_rows.is_some_and(|most| batch.len() > most) {
            trap();
        }
        if has(&self.0.hang) {
            hang();
        }
        if has(&self.0.memory) {
            fill();
        }
        if has(&self.0.huge_result) {
            drop(self.post("", vec![b' '; 20 << 20]));
        }
        if has(&self.0.nonsense) {
            let row = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            return Outcome::Reject(vec![Rejection { row, reason: "nonsense".to_owned() }]);
        }
        self.store(batch)
    }
}

impl Hostile {
    fn store(&self, batch: &[Row]) -> Outcome {
        let is_bad = |row: &Row| self.0.reject.as_ref().is_some_and(|text| contains(row, text));
        let good: Vec<_> = batch.iter().filter(|row| !is_bad(row)).map(line).collect();
        if !good.is_empty() {
            let body = serde_json::Value::Array(good).to_string().into_bytes();
            match self.post("", body) {
                Ok(response) if response.status == 500 => trap(),
                Ok(response) if response.status == 200 => self.tell(&response),
                Ok(_) | Err(_) => return Outcome::Retry(10),
            }
        }
        let bad = (0..).zip(batch).filter(|(_, row)| is_bad(row));
        let rejections: Vec<Rejection> =
            bad.map(|(row, _)| Rejection { row, reason: "told to reject".to_owned() }).collect();
        if rejections.is_empty() { Outcome::Ack } else { Outcome::Reject(rejections) }
    }

    fn tell(&self, response: &Response) {
        if !self.0.tell {
            return;
        }
        let mut seen = response.body.clone();
        for header in &response.headers {
            seen.extend(format!("\n{}: {}", header.name, header.value).into_bytes());
        }
        drop(self.post("/seen", seen));
    }

    fn post(&self, path: &str, body: Vec<u8>) -> Result<Response, http::Error> {
        let headers = self.0.headers.iter();
        let headers =
            headers.map(|(name, value)| Header { name: name.clone(), value: value.clone() });
        http::send(&Request {
            method: "POST".to_owned(),
            url: format!("{}{path}", self.0.url),
            headers: headers.collect(),
            body,
            timeout_ms: 30_000,
        })
    }
}

fn contains(row: &Row, text: &str) -> bool {
    String::from_utf8_lossy(&row.json).contains(text)
}

fn line(row: &Row) -> serde_json::Value {
    let json: serde_json::Value = serde_json::from_slice(&row.json).unwrap_or_default();
    serde_json::json!({ "kind": row.kind.as_str(), "inference_id": row.inference_id, "row": json })
}

fn hang() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn fill() -> ! {
    let mut held = Vec::new();
    loop {
        held.push(black_box(vec![1_u8; 1 << 20]));
    }
}

#[expect(clippy::panic, reason = "this guest is here to trap")]
fn trap() -> ! {
    panic!("the guest was told to trap")
}

torana_plugin_sdk::export_sink!(Hostile);
