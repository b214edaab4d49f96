//! Provider adapter: answers itself, with no key and no network.
//!
//! For first steps, tests and load tests: what it says, how fast and how often it fails is
//! set per endpoint. It honours tools, output formats, the limit on output tokens and
//! streaming, so that a client sees every shape of answer. It needs no grant.
//!
//! Tokens are counted simply: a word is one, with the space before it; of JSON, four
//! characters are one. An image or other media counts as one token of input.

use std::time::Duration;

use torana_plugin_sdk::CallErrorKind;
use torana_plugin_sdk::chat::{Request, Response, Usage};
use torana_plugin_sdk::provider::{Built, CredentialScheme, Endpoint, Info, NoStream, Provider};
use torana_plugin_sdk::{CallError, SettingsError};

mod answer;
mod chance;
mod pace;
mod schema;
mod settings;

use settings::Settings;

struct Sim;

impl Provider for Sim {
    type Settings = Settings;
    type Stream = NoStream;

    fn describe(settings: &Settings) -> Result<Info, SettingsError> {
        settings.check()?;
        Ok(Info::new([], CredentialScheme::None))
    }

    fn build(endpoint: &Endpoint<Settings>, request: Request) -> Result<Built, CallError> {
        let settings = &endpoint.settings;
        settings.check().map_err(|error| {
            let message = format!("settings of the endpoint: {error}");
            CallError::new(CallErrorKind::Server, message)
        })?;
        let fails = chance::happens(settings.failure_rate);
        let breaks_off = settings.fail_after_tokens.filter(|_| fails && request.stream);
        if fails && breaks_off.is_none() {
            return Err(settings.failure.error());
        }
        let answer = answer::to(&request, settings)?;
        let usage = Usage {
            input: answer::input_tokens(&request),
            output: answer.tokens.len() as u64,
            ..Usage::default()
        };
        let id = format!("sim-{:016x}", chance::identifier());
        if request.stream {
            let break_off = breaks_off.map(|after| (after, settings.failure.error()));
            let events = pace::events(id, &endpoint.model, answer, usage, settings, break_off);
            return Ok(Built::AnswerStream(events));
        }
        let after = pace::total(settings, answer.tokens.len());
        let response = Response {
            id,
            model: endpoint.model.clone(),
            finish_reason: Some(answer.finish_reason.clone()),
            blocks: vec![answer.into_block()],
            usage: Some(usage),
            ..Response::default()
        };
        Ok(Built::Answer { response, after })
    }

    fn stream(_: &Endpoint<Settings>) -> NoStream {
        NoStream
    }
}

/// From milliseconds; what is no duration is none at all.
fn milliseconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value / 1_000.0).unwrap_or_default()
}

torana_plugin_sdk::export_provider!(Sim);

#[cfg(test)]
mod tests;
