//! Sink: batches of rows as JSON, posted to a URL.
//!
//! A row is `{"id", "kind", "inference_id", "time_unix_ms", "row"}` with the journal's row as
//! it came: `{"rows": […]}` or one a line. 2xx is the receiver's word that it has all of them
//! for good. The header `x-torana-delivery` is the same when the same rows are sent again. No
//! secret enters this plugin: what the receiver wants to know its sender by are `headers` of
//! the sink, which the host adds. Needs the grant `http`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use torana_plugin_sdk::host::http::{self, Error, Request, Response};
use torana_plugin_sdk::sink::receiver::{Delivery, Sent, Verdict, words};
use torana_plugin_sdk::sink::{Outcome, Rejection, Row, Sink};
use torana_plugin_sdk::{Header, SettingsError};

/// The host allows requests of a minute.
const MOST_TIMEOUT_MS: u32 = 60_000;

/// The sink's `settings` table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    url: String,
    #[serde(default)]
    format: Format,
    /// Of one request.
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// `{"rows": […]}`.
    #[default]
    Json,
    /// A row on each line.
    Ndjson,
}

/// With what may pass before a request begins, within the host's 10 s for a call.
fn default_timeout_ms() -> u32 {
    5_000
}

/// A row as it is sent.
#[derive(Serialize)]
struct Item<'a> {
    id: &'a str,
    kind: &'a str,
    inference_id: &'a str,
    time_unix_ms: u64,
    row: &'a RawValue,
}

/// Sends one request; a test hands in its own.
type Exchange = fn(&Request) -> Result<Response, Error>;

struct Webhook<E = Exchange> {
    exchange: E,
    settings: Settings,
    delivery: Delivery,
}

impl Sink for Webhook {
    type Settings = Settings;

    fn open(settings: Settings) -> Result<Self, SettingsError> {
        Self::over(http::send, settings)
    }

    fn write(&mut self, batch: &[Row]) -> Outcome {
        self.take(batch)
    }
}

impl<E: FnMut(&Request) -> Result<Response, Error>> Webhook<E> {
    fn over(exchange: E, settings: Settings) -> Result<Self, SettingsError> {
        let url = &settings.url;
        if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
            let message = format!("expected http:// or https://, found {url:?}");
            return Err(SettingsError::at("/url", message));
        }
        if !(1..=MOST_TIMEOUT_MS).contains(&settings.timeout_ms) {
            let message = format!("expected 1 to {MOST_TIMEOUT_MS} milliseconds");
            return Err(SettingsError::at("/timeout_ms", message));
        }
        Ok(Self { exchange, settings, delivery: Delivery::default() })
    }

    fn take(&mut self, batch: &[Row]) -> Outcome {
        let Self { exchange, settings, delivery } = self;
        let broken: Vec<Rejection> = (0..)
            .zip(batch)
            .filter_map(|(row, it)| {
                let error = item(it).err()?;
                Some(Rejection { row, reason: format!("not a JSON document: {error}") })
            })
            .collect();
        match delivery.deliver(batch, |rows| send(exchange, settings, rows)) {
            Outcome::Ack if broken.is_empty() => Outcome::Ack,
            Outcome::Ack => Outcome::Reject(broken),
            Outcome::Retry(pause) => Outcome::Retry(pause),
            Outcome::Reject(mut refused) => {
                refused.retain(|it| broken.iter().all(|other| other.row != it.row));
                refused.extend(broken);
                refused.sort_by_key(|rejection| rejection.row);
                Outcome::Reject(refused)
            }
        }
    }
}

/// One request with these rows, but for those that are no JSON.
fn send(
    exchange: &mut impl FnMut(&Request) -> Result<Response, Error>,
    settings: &Settings,
    rows: &[Row],
) -> Sent {
    let items: Vec<Item<'_>> = rows.iter().filter_map(|row| item(row).ok()).collect();
    let (Some(first), Some(last)) = (items.first(), items.last()) else { return Sent::Taken };
    let (content_type, body) = match settings.format {
        Format::Json => ("application/json", json(&items)),
        Format::Ndjson => ("application/x-ndjson", lines(&items)),
    };
    let delivery = delivery_id(first.id, last.id, items.len());
    let request = Request {
        method: "POST".into(),
        url: settings.url.clone(),
        headers: vec![
            Header::new("content-type", content_type),
            Header::new("x-torana-delivery", delivery),
        ],
        body,
        timeout_ms: settings.timeout_ms,
    };
    let answer = exchange(&request);
    match (Verdict::of(&answer), &answer) {
        (Verdict::Taken, _) => Sent::Taken,
        (Verdict::TooLarge, Ok(response)) => Sent::TooLarge(reason(response)),
        (Verdict::Refused, Ok(response)) => Sent::Refused(reason(response)),
        (Verdict::Misdirected(advice), _) => {
            Sent::Later(None, format!("rows wait: {}: {advice}", what(&answer)))
        }
        (Verdict::Later(pause), _) => Sent::Later(pause, format!("rows wait: {}", what(&answer))),
        // A host error is never one of those two.
        (_, Err(_)) => Sent::Later(None, format!("rows wait: {}", what(&answer))),
    }
}

fn item(row: &Row) -> Result<Item<'_>, serde_json::Error> {
    Ok(Item {
        id: &row.id,
        kind: row.kind.as_str(),
        inference_id: &row.inference_id,
        time_unix_ms: row.time_unix_ms,
        row: serde_json::from_slice(&row.json)?,
    })
}

fn json(items: &[Item<'_>]) -> Vec<u8> {
    let mut body = b"{\"rows\":[".to_vec();
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend(text(item));
    }
    body.extend(b"]}");
    body
}

fn lines(items: &[Item<'_>]) -> Vec<u8> {
    let mut body = Vec::new();
    for item in items {
        // In valid JSON a line feed is white space: strings have it escaped.
        let line = text(item).into_iter();
        body.extend(line.map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
        body.push(b'\n');
    }
    body
}

/// Strings, a number and JSON that was read: these serialize without fail.
fn text(item: &Item<'_>) -> Vec<u8> {
    serde_json::to_vec(item).unwrap_or_default()
}

/// The same for the same rows: FNV-1a, 64 bits
/// (<http://www.isthe.com/chongo/tech/comp/fnv/>), of what tells them from others.
fn delivery_id(first: &str, last: &str, count: usize) -> String {
    let hash =
        format!("{first} {last} {count}").bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    format!("{hash:016x}")
}

/// For the dead-letter file: the status and the receiver's own words.
fn reason(response: &Response) -> String {
    let said = String::from_utf8_lossy(&response.body);
    format!("the receiver refused it: HTTP {}: {}", response.status, words(&said))
}

/// For the log: without the receiver's words, which may quote a row.
fn what(answer: &Result<Response, Error>) -> String {
    match answer {
        Ok(response) => format!("the receiver answered HTTP {}", response.status),
        Err(error) => format!("the receiver cannot be asked: {error:?}"),
    }
}

torana_plugin_sdk::export_sink!(Webhook);

#[cfg(test)]
mod tests;
