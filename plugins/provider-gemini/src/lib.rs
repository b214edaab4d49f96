//! Provider adapter: Google's Gemini (`generateContent`), on AI Studio and on Vertex AI.
//!
//! This module owns the settings and where requests go; `request`, `answer`, `stream`,
//! `error` and `embeddings` map the values. Both platforms speak one wire. What differs is
//! the path, the credential, a few parameters and the call for embeddings.
//!
//! No client dialect is Gemini's, so nothing is passed on as it is. Of several candidates
//! only the first would have a place in an answer: no more than one is ever asked for.

mod answer;
mod embeddings;
mod error;
mod finish;
mod model;
mod request;
mod settings;
mod stream;
#[cfg(test)]
mod tests;
mod thinking;
mod usage;

use serde_json::Value;
use torana_plugin_sdk::chat::{Request, Response};
use torana_plugin_sdk::provider::{
    Built, CredentialScheme, Endpoint, Frame, HttpRequest, HttpResponse, Info, Provider,
    StreamParser,
};
use torana_plugin_sdk::{CallError, SettingsError, StreamEvent};

use settings::{Platform, Settings};

/// Whose signatures, tools and blocks are ours.
const DIALECT: &str = "gemini";

struct Gemini;

impl Provider for Gemini {
    type Settings = Settings;
    type Stream = stream::Decoder;

    fn describe(settings: &Settings) -> Result<Info, SettingsError> {
        let credential = match settings.platform {
            Platform::AiStudio => CredentialScheme::Header("x-goog-api-key".into()),
            Platform::Vertex => CredentialScheme::GoogleOauth,
        };
        Ok(Info { embeddings: true, ..Info::new([], credential) })
    }

    fn build(endpoint: &Endpoint<Settings>, request: Request) -> Result<Built, CallError> {
        let method =
            if request.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
        let path = endpoint.settings.path(&endpoint.model, method)?;
        let encoded = request::encode(&request, endpoint)?;
        Ok(Built::Send(HttpRequest::post_encoded(path, encoded)))
    }

    fn parse(_: &Endpoint<Settings>, answer: &HttpResponse) -> Result<Response, CallError> {
        if answer.is_success() {
            return answer::decode(&answer.body);
        }
        Err(error::decode(answer.status, answer.retry_after_ms(), &answer.body))
    }

    fn build_embeddings(
        endpoint: &Endpoint<Settings>,
        request: Value,
    ) -> Result<HttpRequest, CallError> {
        embeddings::build(endpoint, request)
    }

    fn parse_embeddings(
        endpoint: &Endpoint<Settings>,
        answer: &HttpResponse,
    ) -> Result<Value, CallError> {
        if answer.is_success() {
            return embeddings::parse(&endpoint.model, &answer.body);
        }
        Err(error::decode(answer.status, answer.retry_after_ms(), &answer.body))
    }

    fn stream(_: &Endpoint<Settings>) -> Self::Stream {
        Self::Stream::default()
    }
}

impl StreamParser for stream::Decoder {
    fn push(&mut self, frame: &Frame, events: &mut Vec<StreamEvent>) {
        Self::push(self, &frame.data, events);
    }

    fn finish(&mut self, events: &mut Vec<StreamEvent>) {
        Self::finish(self, events);
    }
}

torana_plugin_sdk::export_provider!(Gemini);
