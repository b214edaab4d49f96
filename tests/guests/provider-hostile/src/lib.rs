//! Misbehaves: `settings.describe` says how when it is asked what it is, and the endpoint's
//! model says how in a call. `stream-…` models ask an upstream and misbehave at the second
//! frame of its answer. `blab` writes the whole request to the log, `blab-trap` panics with it.
//! Any other model is answered well.

use std::hint::black_box;
use std::time::Duration;

use serde::Deserialize;
use torana_plugin_sdk::bindings::provider::exports::torana::provider::adapter;
use torana_plugin_sdk::chat::{Block, FinishReason, Request, Response};
use torana_plugin_sdk::provider::{
    Built, Component, CredentialScheme, Endpoint, Frame, HttpRequest, Info, Provider, StreamParser,
};
use torana_plugin_sdk::{BlockKind, CallError, SettingsError, StreamEvent, Usage, log};

/// More than any budget lets one result have.
const HUGE_BYTES: usize = 20 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    describe: String,
}

struct Hostile;

impl Provider for Hostile {
    type Settings = Settings;
    type Stream = HostileStream;

    fn describe(settings: &Settings) -> Result<Info, SettingsError> {
        misbehave(&settings.describe);
        Ok(Info::new([], CredentialScheme::None))
    }

    fn build(endpoint: &Endpoint<Settings>, request: Request) -> Result<Built, CallError> {
        if endpoint.model.starts_with("blab") {
            blab(&request, endpoint.model.ends_with("trap"));
        }
        if endpoint.model.starts_with("stream-") {
            return Ok(Built::Send(HttpRequest::post_json("/stream", b"{}".to_vec())));
        }
        if endpoint.model == "huge-result" {
            return Ok(answer("x".repeat(HUGE_BYTES)));
        }
        misbehave(&endpoint.model);
        Ok(answer("well behaved".into()))
    }

    fn stream(endpoint: &Endpoint<Settings>) -> HostileStream {
        let behaviour = endpoint.model.trim_start_matches("stream-").to_owned();
        HostileStream { behaviour, frames: 0 }
    }
}

struct HostileStream {
    behaviour: String,
    frames: u32,
}

impl StreamParser for HostileStream {
    fn push(&mut self, _: &Frame, events: &mut Vec<StreamEvent>) {
        self.frames += 1;
        if self.frames == 1 {
            events.push(StreamEvent::Started { id: "hostile".into(), model: "hostile".into() });
            events.push(StreamEvent::BlockStart { index: 0, kind: BlockKind::Text });
        } else {
            misbehave(&self.behaviour);
        }
        events.push(StreamEvent::TextDelta { index: 0, text: "first words".into() });
    }

    fn finish(&mut self, events: &mut Vec<StreamEvent>) {
        events.push(StreamEvent::BlockStop { index: 0 });
        events.push(StreamEvent::Usage(Usage::default()));
        events.push(StreamEvent::Finish(FinishReason::Stop));
    }
}

fn answer(text: String) -> Built {
    Built::Answer {
        response: Response {
            id: "hostile".into(),
            model: "hostile".into(),
            blocks: vec![Block::text(text)],
            finish_reason: Some(FinishReason::Stop),
            usage: Some(Usage::default()),
            ..Response::default()
        },
        after: Duration::ZERO,
    }
}

fn misbehave(how: &str) {
    match how {
        "loop" => spin(),
        "memory" => hoard(),
        "recursion" => {
            black_box(descend(0));
        }
        "trap" => trap(),
        "log-flood" => loop {
            log::info!("one line of a flood");
        },
        "handles" => leak_handles(),
        _ => {}
    }
}

fn spin() {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Asks for memory and never touches it, so that memory runs out before the CPU budget.
fn hoard() {
    loop {
        std::mem::forget(black_box(Vec::<u8>::with_capacity(8 << 20)));
    }
}

#[inline(never)]
fn descend(depth: u64) -> u64 {
    if depth == u64::MAX { 0 } else { black_box(descend(depth + 1)).wrapping_add(1) }
}

#[expect(clippy::panic, reason = "this guest is here to trap")]
fn blab(request: &Request, traps: bool) {
    log::warn!("I was asked {request:?}");
    eprintln!("really: {request:?}");
    if traps {
        panic!("too much: {request:?}");
    }
}

#[expect(clippy::panic, reason = "this guest is here to trap")]
fn trap() {
    panic!("the guest was told to trap");
}

/// Resource handles that are never given back.
fn leak_handles() {
    type Parser = <Component<Hostile> as adapter::Guest>::StreamParser;
    loop {
        let endpoint = adapter::Endpoint { model: "leak".into(), settings: b"{}".to_vec() };
        let parser = <Parser as adapter::GuestStreamParser>::new(endpoint);
        std::mem::forget(adapter::StreamParser::new(parser));
    }
}

torana_plugin_sdk::export_provider!(Hostile);
