//! Provider adapter: Cohere, version 2 of chat and of embed.
//!
//! No client speaks this dialect, so nothing is passed on as it is. (Cohere's "compatibility
//! API" speaks OpenAI's: that is `provider-openai` with another base URL, which has neither
//! documents nor citations.) Source: Cohere's API reference and recorded traffic.

mod embeddings;
mod error;
mod finish;
mod request;
mod response;
mod stream;
#[cfg(test)]
mod tests;
mod usage;

use serde::Deserialize;
use serde_json::Value;
use torana_plugin_sdk::chat::{Request, Response};
use torana_plugin_sdk::provider::{
    Built, CredentialScheme, Endpoint, HttpRequest, HttpResponse, Info, Provider,
};
use torana_plugin_sdk::{CallError, SettingsError};

/// `dialect` of blocks that only Cohere accepts.
const DIALECT: &str = "cohere-chat";

/// The provider's `settings` table. All but the paths may also be written at one endpoint.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Where chat requests go, below the base URL.
    path: String,
    /// Where embeddings requests go, below the base URL.
    embed_path: String,
    /// `input_type` of embeddings where the request names none.
    input_type: String,
    /// The model takes `thinking`, as a parameter and in the conversation. Absent: its name
    /// says so.
    reasoning: Option<bool>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: "/v2/chat".into(),
            embed_path: "/v2/embed".into(),
            input_type: "search_document".into(),
            reasoning: None,
        }
    }
}

impl Settings {
    fn reasons(&self, model: &str) -> bool {
        self.reasoning.unwrap_or_else(|| model.contains("reasoning"))
    }
}

struct Cohere;

impl Provider for Cohere {
    type Settings = Settings;
    type Stream = stream::Decoder;

    fn describe(settings: &Settings) -> Result<Info, SettingsError> {
        for (key, path) in [("/path", &settings.path), ("/embed_path", &settings.embed_path)] {
            if !path.starts_with('/') {
                let message = format!("{path:?} is not a path: write it with a leading slash");
                return Err(SettingsError::at(key, message));
            }
        }
        Ok(Info { embeddings: true, ..Info::new([], CredentialScheme::Bearer) })
    }

    fn build(endpoint: &Endpoint<Settings>, request: Request) -> Result<Built, CallError> {
        let reasons = endpoint.settings.reasons(&endpoint.model);
        let encoded = request::encode(&request, &endpoint.model, reasons)?;
        Ok(Built::Send(HttpRequest::post_encoded(&endpoint.settings.path, encoded)))
    }

    fn parse(endpoint: &Endpoint<Settings>, answer: &HttpResponse) -> Result<Response, CallError> {
        match answer.is_success() {
            true => response::decode(&answer.body, &endpoint.model),
            false => Err(error::decode(answer)),
        }
    }

    fn build_embeddings(
        endpoint: &Endpoint<Settings>,
        request: Value,
    ) -> Result<HttpRequest, CallError> {
        embeddings::build(endpoint, &request)
    }

    fn parse_embeddings(
        endpoint: &Endpoint<Settings>,
        answer: &HttpResponse,
    ) -> Result<Value, CallError> {
        embeddings::parse(endpoint, answer)
    }

    fn stream(endpoint: &Endpoint<Settings>) -> Self::Stream {
        Self::Stream::new(endpoint.model.clone())
    }
}

torana_plugin_sdk::export_provider!(Cohere);
