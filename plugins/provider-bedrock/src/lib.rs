//! Provider adapter: AWS Bedrock.
//!
//! Chat goes to Converse and ConverseStream, which are one dialect for all of Bedrock's
//! models; embeddings go to InvokeModel, where Titan and Cohere each have their own. Nothing
//! is passed on as it is: no client speaks Converse. Requests are signed by the host (AWS
//! Signature Version 4) or carry a Bedrock API key as a bearer token.
//! Source: "Amazon Bedrock Runtime" in Amazon's API reference, and recorded traffic.

mod embeddings;
mod error;
mod family;
mod finish;
mod path;
mod request;
mod response;
mod settings;
mod stream;
#[cfg(test)]
mod tests;
mod usage;

use serde_json::Value;
use torana_plugin_sdk::chat::{Request, Response};
use torana_plugin_sdk::provider::{
    AwsService, Built, CredentialScheme, Endpoint, Framing, HttpRequest, HttpResponse, Info,
    Provider,
};
use torana_plugin_sdk::{CallError, SettingsError};

use crate::settings::{Auth, Settings};

/// `dialect` of blocks and signatures that only Converse accepts.
const DIALECT: &str = "bedrock-converse";

struct Bedrock;

impl Provider for Bedrock {
    type Settings = Settings;
    type Stream = stream::Decoder;

    fn describe(settings: &Settings) -> Result<Info, SettingsError> {
        settings.check()?;
        let credential = match settings.auth {
            Auth::Sigv4 => CredentialScheme::AwsSigv4(AwsService {
                service: "bedrock".into(),
                region: settings.region.clone(),
            }),
            Auth::Bearer => CredentialScheme::Bearer,
        };
        Ok(Info {
            framing: Framing::AwsEventStream,
            structured_output: settings.structured_output.into(),
            embeddings: true,
            ..Info::new([], credential)
        })
    }

    fn build(endpoint: &Endpoint<Settings>, request: Request) -> Result<Built, CallError> {
        let operation = if request.stream { "converse-stream" } else { "converse" };
        let encoded = request::encode(&request, &endpoint.model, &endpoint.settings)?;
        let path = path::of(&endpoint.model, operation);
        let accept = match request.stream {
            true => "application/vnd.amazon.eventstream",
            false => "application/json",
        };
        Ok(Built::Send(HttpRequest::post_encoded(path, encoded).header("accept", accept)))
    }

    fn parse(endpoint: &Endpoint<Settings>, answer: &HttpResponse) -> Result<Response, CallError> {
        if !answer.is_success() {
            return Err(error::decode(answer));
        }
        let id = answer.header("x-amzn-requestid").unwrap_or_default();
        response::decode(&answer.body, id, &endpoint.model)
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

torana_plugin_sdk::export_provider!(Bedrock);
