//! A provider whose wire was invented for this test: telegrams.
//!
//! Request, `POST /telegrams` (or `/telegrams/live` for a stream), plain text:
//!
//! ```text
//! STATION <model>
//! PRIORITY <settings.priority>
//! <ROLE>: <text with every newline written as " / ">
//! END
//! ```
//!
//! Whole answer: `{"wire":"<text>","tariff":{"sent":N,"received":M},"sign":"STOP"}`, where the
//! sign is `STOP`, or `PAPER OUT` when the roll ended. Streamed answer: one JSON object a
//! line, `{"tick":"<piece>"}`, at last `{"sign":…,"tariff":…}`. Failure: any other status with
//! `{"fault":N,"why":"…"}`; fault 17 is a busy line.

use serde::Deserialize;
use torana_plugin_sdk::chat::{Block, FinishReason, Request, Response, Role};
use torana_plugin_sdk::provider::{
    Built, CredentialScheme, Endpoint, Frame, Framing, HttpRequest, HttpResponse, Info, Provider,
    StreamParser,
};
use torana_plugin_sdk::{
    BlockKind, CallError, CallErrorKind, Header, SettingsError, StreamEvent, Usage,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    priority: String,
}

#[derive(Deserialize)]
struct Telegram {
    wire: String,
    tariff: Tariff,
    sign: String,
}

#[derive(Deserialize)]
struct Tariff {
    sent: u64,
    received: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Tick { tick: String },
    End { sign: String, tariff: Tariff },
}

#[derive(Deserialize)]
struct Fault {
    fault: u32,
    why: String,
}

struct Telegraph;

impl Provider for Telegraph {
    type Settings = Settings;
    type Stream = Ticker;

    fn describe(_: &Settings) -> Result<Info, SettingsError> {
        let credential = CredentialScheme::Header("x-telegraph-key".into());
        Ok(Info { framing: Framing::Ndjson, ..Info::new([], credential) })
    }

    fn build(endpoint: &Endpoint<Settings>, request: Request) -> Result<Built, CallError> {
        let path = if request.stream { "/telegrams/live" } else { "/telegrams" };
        Ok(Built::Send(HttpRequest {
            method: "POST".into(),
            path: path.into(),
            headers: vec![Header::new("content-type", "text/plain")],
            body: write(endpoint, &request)?.into_bytes(),
            dropped: Vec::new(),
        }))
    }

    fn parse(_: &Endpoint<Settings>, answer: &HttpResponse) -> Result<Response, CallError> {
        if !answer.is_success() {
            return Err(fault(answer));
        }
        let telegram: Telegram = serde_json::from_slice(&answer.body).map_err(unreadable)?;
        Ok(Response {
            blocks: vec![Block::text(telegram.wire)],
            finish_reason: Some(finish(&telegram.sign)),
            usage: Some(usage(&telegram.tariff)),
            ..Response::default()
        })
    }

    fn stream(endpoint: &Endpoint<Settings>) -> Ticker {
        Ticker { station: endpoint.model.clone(), state: State::Silent }
    }
}

struct Ticker {
    station: String,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Silent,
    Ticking,
    Signed,
}

impl StreamParser for Ticker {
    fn push(&mut self, frame: &Frame, events: &mut Vec<StreamEvent>) {
        if self.state == State::Silent {
            let (id, model) = (String::new(), self.station.clone());
            events.push(StreamEvent::Started { id, model });
            events.push(StreamEvent::BlockStart { index: 0, kind: BlockKind::Text });
            self.state = State::Ticking;
        }
        match serde_json::from_slice(&frame.data) {
            Ok(Line::Tick { tick }) => {
                events.push(StreamEvent::TextDelta { index: 0, text: tick });
            }
            Ok(Line::End { sign, tariff }) => {
                self.state = State::Signed;
                events.push(StreamEvent::BlockStop { index: 0 });
                events.push(StreamEvent::Usage(usage(&tariff)));
                events.push(StreamEvent::Finish(finish(&sign)));
            }
            Err(error) => events.push(StreamEvent::Failed(unreadable(error))),
        }
    }

    fn finish(&mut self, events: &mut Vec<StreamEvent>) {
        if self.state != State::Signed {
            let message = "the line went dead before the telegram was signed";
            let error = CallError::new(CallErrorKind::MalformedResponse, message);
            events.push(StreamEvent::Failed(error));
        }
    }
}

fn write(endpoint: &Endpoint<Settings>, request: &Request) -> Result<String, CallError> {
    let Endpoint { model, settings } = endpoint;
    let mut telegram = format!("STATION {model}\nPRIORITY {}\n", settings.priority);
    for message in &request.messages {
        let role = match message.role {
            Role::System | Role::Developer => "OFFICE",
            Role::User => "SENDER",
            Role::Assistant => "STATION",
            Role::Tool => return Err(refused("a telegraph runs no tools")),
        };
        for block in &message.blocks {
            let Block::Text { text, .. } = block else {
                return Err(refused("a telegraph carries text only"));
            };
            telegram.push_str(&format!("{role}: {}\n", text.replace('\n', " / ")));
        }
    }
    telegram.push_str("END\n");
    Ok(telegram)
}

fn refused(message: &str) -> CallError {
    CallError::new(CallErrorKind::InvalidRequest, message)
}

fn unreadable(error: serde_json::Error) -> CallError {
    CallError::new(CallErrorKind::MalformedResponse, format!("not a telegram: {error}"))
}

fn fault(answer: &HttpResponse) -> CallError {
    let (kind, message, code) = match serde_json::from_slice(&answer.body) {
        Ok(Fault { fault: 17, why }) => (CallErrorKind::Overloaded, why, Some("17".into())),
        Ok(Fault { fault, why }) => (CallErrorKind::InvalidRequest, why, Some(fault.to_string())),
        Err(error) => return unreadable(error),
    };
    CallError { status: Some(answer.status), provider_code: code, ..CallError::new(kind, message) }
}

fn finish(sign: &str) -> FinishReason {
    match sign {
        "STOP" => FinishReason::Stop,
        "PAPER OUT" => FinishReason::Length,
        other => FinishReason::Other(other.to_owned()),
    }
}

fn usage(tariff: &Tariff) -> Usage {
    Usage { input: tariff.sent, output: tariff.received, ..Usage::default() }
}

torana_plugin_sdk::export_provider!(Telegraph);
