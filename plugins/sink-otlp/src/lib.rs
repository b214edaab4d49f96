//! Sink: OpenTelemetry traces, sent as protobuf over OTLP/HTTP.
//!
//! Rows become spans (`span`), a batch becomes a request. A span's ids follow from its row, so
//! that a batch which is sent twice gives the same spans. A request that the receiver refuses
//! is cut down to the row at fault; what it takes in part is never sent again, as
//! <https://github.com/open-telemetry/opentelemetry-proto/blob/main/docs/specification.md>
//! asks, and goes to the dead-letter file. Of its retry rules one is not kept: a 500 is tried
//! again too, since the rows are safe in the journal meanwhile. Prompts and answers are sent
//! only with `content = true`. Needs the grant `http`.

mod attribute;
mod content;
mod id;
mod protocol;
mod row;
mod span;

use std::collections::BTreeMap;
use std::io::Write as _;

use flate2::Compression as Level;
use flate2::write::GzEncoder;
use prost::Message as _;
use serde::Deserialize;
use serde_json::Value;
use torana_plugin_sdk::host::http::{self, Error, Request, Response};
use torana_plugin_sdk::sink::receiver::{Delivery, Sent, Verdict, words};
use torana_plugin_sdk::sink::{Outcome, Rejection, Row, Sink};
use torana_plugin_sdk::{Header, SettingsError};

use crate::attribute::{Attributes, of_json};
use crate::protocol::{
    ExportRequest, ExportResponse, Failure, KeyValue, Resource, ResourceSpans, Scope, ScopeSpans,
    Span,
};

/// Where receivers take traces unless they say otherwise.
const DEFAULT_PATH: &str = "/v1/traces";

/// The host allows requests of a minute.
const MOST_TIMEOUT_MS: u32 = 60_000;

/// The sink's `settings` table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Of the receiver; `/v1/traces` is added where it has no path.
    url: String,
    /// Attributes of the resource; `service.name` is `torana` unless it is here.
    #[serde(default)]
    resource: BTreeMap<String, Value>,
    /// Send prompts and answers.
    #[serde(default)]
    content: bool,
    #[serde(default)]
    compression: Compression,
    /// Of one request.
    #[serde(default = "default_timeout_ms")]
    timeout_ms: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compression {
    #[default]
    None,
    Gzip,
}

/// With what may pass before a request begins, within the host's 10 s for a call.
fn default_timeout_ms() -> u32 {
    5_000
}

/// Sends one request; a test hands in its own.
type Exchange = fn(&Request) -> Result<Response, Error>;

struct Otlp<E = Exchange> {
    exchange: E,
    url: String,
    resource: Vec<KeyValue>,
    content: bool,
    compression: Compression,
    timeout_ms: u32,
    delivery: Delivery,
    /// Rows of the batch at hand that give no spans: id and reason.
    unusable: BTreeMap<String, String>,
}

impl Sink for Otlp {
    type Settings = Settings;

    fn open(settings: Settings) -> Result<Self, SettingsError> {
        Self::over(http::send, &settings)
    }

    fn write(&mut self, batch: &[Row]) -> Outcome {
        self.take(batch)
    }
}

impl<E: FnMut(&Request) -> Result<Response, Error>> Otlp<E> {
    fn over(exchange: E, settings: &Settings) -> Result<Self, SettingsError> {
        if !(1..=MOST_TIMEOUT_MS).contains(&settings.timeout_ms) {
            let message = format!("expected 1 to {MOST_TIMEOUT_MS} milliseconds");
            return Err(SettingsError::at("/timeout_ms", message));
        }
        Ok(Self {
            exchange,
            url: traces_url(&settings.url)?,
            resource: resource(&settings.resource),
            content: settings.content,
            compression: settings.compression,
            timeout_ms: settings.timeout_ms,
            delivery: Delivery::default(),
            unusable: BTreeMap::new(),
        })
    }

    fn take(&mut self, batch: &[Row]) -> Outcome {
        let mut delivery = std::mem::take(&mut self.delivery);
        let mut warnings = Vec::new();
        let outcome = delivery.deliver(batch, |rows| self.send(rows, &mut warnings));
        for warning in warnings {
            delivery.complain(&warning);
        }
        self.delivery = delivery;
        match outcome {
            Outcome::Retry(pause) => Outcome::Retry(pause),
            Outcome::Ack => self.reject(batch, Vec::new()),
            Outcome::Reject(refused) => self.reject(batch, refused),
        }
    }

    /// One request with the spans of these rows. Rows that give none are settled already.
    fn send(&mut self, rows: &[Row], warnings: &mut Vec<String>) -> Sent {
        let mut spans = Vec::new();
        for row in rows {
            match span::of_row(row, self.content) {
                Ok(of_row) => spans.extend(of_row),
                Err(error) => {
                    self.unusable.insert(row.id.clone(), error.to_string());
                }
            }
        }
        if spans.is_empty() {
            return Sent::Taken;
        }
        let count = spans.len();
        let request = self.request(spans);
        let answer = (self.exchange)(&request);
        match (Verdict::of(&answer), answer) {
            (Verdict::Taken, Ok(response)) => self.taken(&response, count, rows.len(), warnings),
            (Verdict::TooLarge, Ok(response)) => Sent::TooLarge(reason(&response)),
            (Verdict::Refused, Ok(response)) => Sent::Refused(reason(&response)),
            (Verdict::Misdirected(advice), answer) => {
                Sent::Later(None, format!("traces wait: {}: {advice}", what(&answer)))
            }
            (Verdict::Later(pause), answer) => {
                Sent::Later(pause, format!("traces wait: {}", what(&answer)))
            }
            // A host error is never one of the first three.
            (_, Err(error)) => Sent::Later(None, format!("traces wait: {error:?}")),
        }
    }

    /// What the receiver refused, and what could not be sent to it; each row once, in order.
    fn reject(&mut self, batch: &[Row], refused: Vec<Rejection>) -> Outcome {
        let unusable = std::mem::take(&mut self.unusable);
        let mut by_row: BTreeMap<u32, Rejection> =
            refused.into_iter().map(|rejection| (rejection.row, rejection)).collect();
        by_row.extend((0..).zip(batch).filter_map(|(row, it)| {
            let reason = unusable.get(&it.id)?.clone();
            Some((row, Rejection { row, reason }))
        }));
        let rejected: Vec<Rejection> = by_row.into_values().collect();
        if rejected.is_empty() { Outcome::Ack } else { Outcome::Reject(rejected) }
    }

    /// The receiver answered 200, which need not mean that it took everything.
    fn taken(
        &self,
        response: &Response,
        spans: usize,
        rows: usize,
        warnings: &mut Vec<String>,
    ) -> Sent {
        let partial =
            ExportResponse::decode(&*response.body).ok().and_then(|it| it.partial_success);
        let Some(partial) = partial else { return Sent::Taken };
        let said = words(&partial.error_message);
        if partial.rejected_spans > 0 {
            let refused = partial.rejected_spans;
            warnings.push(format!("the receiver refused {refused} of {spans} spans for good"));
            return Sent::Lost(format!(
                "the receiver refused {refused} of the {spans} spans of {rows} rows, and does not \
                 say which: {said}"
            ));
        }
        // Its words may quote an attribute, and so a prompt, if it was sent any.
        if !said.is_empty() && !self.content {
            warnings.push(format!("the receiver warns: {said}"));
        }
        Sent::Taken
    }

    fn request(&self, spans: Vec<Span>) -> Request {
        let scope = Scope { name: "torana".into(), version: env!("CARGO_PKG_VERSION").into() };
        let message = ExportRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource { attributes: self.resource.clone() }),
                scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
            }],
        };
        let plain = message.encode_to_vec();
        let mut headers = vec![Header::new("content-type", "application/x-protobuf")];
        let compressed = match self.compression {
            Compression::None => None,
            Compression::Gzip => gzip(&plain).ok(),
        };
        if compressed.is_some() {
            headers.push(Header::new("content-encoding", "gzip"));
        }
        Request {
            method: "POST".into(),
            url: self.url.clone(),
            headers,
            body: compressed.unwrap_or(plain),
            timeout_ms: self.timeout_ms,
        }
    }
}

/// The URL to post to.
fn traces_url(url: &str) -> Result<String, SettingsError> {
    let wrong = |message: &str| SettingsError::at("/url", format!("{message}, found {url:?}"));
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let rest = rest.ok_or_else(|| wrong("expected http:// or https://"))?;
    if rest.contains(['?', '#']) {
        return Err(wrong("expected a url without a query"));
    }
    match rest.split_once('/') {
        Some(("", _)) => Err(wrong("expected a host")),
        None if rest.is_empty() => Err(wrong("expected a host")),
        None => Ok(format!("{url}{DEFAULT_PATH}")),
        Some((host, "")) => {
            let scheme = url.strip_suffix(&format!("{host}/")).unwrap_or_default();
            Ok(format!("{scheme}{host}{DEFAULT_PATH}"))
        }
        Some(_) => Ok(url.to_owned()),
    }
}

fn resource(settings: &BTreeMap<String, Value>) -> Vec<KeyValue> {
    let mut attributes = Attributes::default();
    if !settings.contains_key("service.name") {
        attributes.set("service.name", Some("torana"));
    }
    for (name, value) in settings {
        attributes.set(name, of_json(value));
    }
    attributes.into_list()
}

/// For the dead-letter file: the status and the receiver's own words.
fn reason(response: &Response) -> String {
    let failure = Failure::decode(&*response.body).map(|failure| failure.message);
    let said = failure.ok().filter(|message| !message.is_empty());
    let said = said.unwrap_or_else(|| String::from_utf8_lossy(&response.body).into_owned());
    format!("the receiver refused it: HTTP {}: {}", response.status, words(&said))
}

/// For the log: without the receiver's words.
fn what(answer: &Result<Response, Error>) -> String {
    match answer {
        Ok(response) => format!("the receiver answered HTTP {}", response.status),
        Err(error) => format!("the receiver cannot be asked: {error:?}"),
    }
}

fn gzip(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
    encoder.write_all(plain)?;
    encoder.finish()
}

torana_plugin_sdk::export_sink!(Otlp);

#[cfg(test)]
mod tests;
