//! Provider adapter: AWS SageMaker endpoints whose container speaks OpenAI's chat dialect.
//!
//! vLLM, SGLang and Amazon's own containers do, and so does TGI with its Messages API. The
//! body goes through SageMaker as it is; around it are SageMaker's paths, headers and errors,
//! and in a stream its event messages, which cut the container's SSE anywhere. That is why no
//! client's body is passed on untouched. Source: "Amazon SageMaker Runtime" in Amazon's API
//! reference.

mod body;
mod error;
mod settings;
mod stream;
#[cfg(test)]
mod tests;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use torana_plugin_sdk::chat::{Request, Response};
use torana_plugin_sdk::provider::{
    AwsService, Built, CredentialScheme, Endpoint, Framing, HttpRequest, HttpResponse, Info,
    Provider,
};
use torana_plugin_sdk::wire::openai;
use torana_plugin_sdk::{CallError, SettingsError};

use crate::settings::{Hosted, Settings};

/// All but the unreserved characters (RFC 3986, 2.3), which is what AWS signs.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

struct SageMaker;

impl Provider for SageMaker {
    type Settings = Settings;
    type Stream = stream::Decoder;

    fn describe(settings: &Settings) -> Result<Info, SettingsError> {
        settings.check()?;
        let credential = CredentialScheme::AwsSigv4(AwsService {
            service: "sagemaker".into(),
            region: settings.region.clone(),
        });
        Ok(Info {
            framing: Framing::AwsEventStream,
            structured_output: settings.structured_output(),
            embeddings: settings.hosted == Hosted::Openai,
            ..Info::new([], credential)
        })
    }

    fn build(endpoint: &Endpoint<Settings>, request: Request) -> Result<Built, CallError> {
        let stream = request.stream;
        let encoded = body::encode(request, endpoint)?;
        let operation = if stream { "invocations-response-stream" } else { "invocations" };
        let sent = HttpRequest::post_encoded(path(&endpoint.model, operation), encoded);
        // With a stream, `accept` is the event messages' and this header the container's.
        let sent = match stream {
            true => sent.header("x-amzn-sagemaker-accept", "text/event-stream"),
            false => sent.header("accept", "application/json"),
        };
        Ok(Built::Send(endpoint.settings.route(sent)))
    }

    fn parse(_: &Endpoint<Settings>, answer: &HttpResponse) -> Result<Response, CallError> {
        match answer.is_success() {
            true => openai::response::decode(&answer.body),
            false => Err(error::decode(answer)),
        }
    }

    fn build_embeddings(
        endpoint: &Endpoint<Settings>,
        request: Value,
    ) -> Result<HttpRequest, CallError> {
        let body = body::embeddings(request, endpoint)?;
        let sent = HttpRequest::post_json(path(&endpoint.model, "invocations"), body);
        Ok(endpoint.settings.route(sent.header("accept", "application/json")))
    }

    fn parse_embeddings(_: &Endpoint<Settings>, answer: &HttpResponse) -> Result<Value, CallError> {
        match answer.is_success() {
            true => body::decode_embeddings(&answer.body),
            false => Err(error::decode(answer)),
        }
    }

    fn stream(_: &Endpoint<Settings>) -> Self::Stream {
        Self::Stream::default()
    }
}

fn path(endpoint: &str, operation: &str) -> String {
    format!("/endpoints/{}/{operation}", utf8_percent_encode(endpoint, ESCAPED))
}

torana_plugin_sdk::export_provider!(SageMaker);
