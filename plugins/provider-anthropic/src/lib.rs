//! Provider adapter: Anthropic's messages dialect, at Anthropic, at Google's Vertex AI and at
//! servers that took it over.
//!
//! Request, answer, stream and errors are `torana_wire::anthropic`'s; this crate adds where
//! to send them, the version and the beta features. A client that speaks the dialect itself
//! is passed on with its body untouched, as is its question how many tokens that is.

mod settings;
#[cfg(test)]
mod tests;

use settings::{Platform, Settings};
use torana_plugin_sdk::chat::{Request, Response};
use torana_plugin_sdk::provider::{
    Built, CredentialScheme, Endpoint, ForwardHead, Forwarded, HttpRequest, HttpResponse, Info,
    Patch, Provider, Wire,
};
use torana_plugin_sdk::wire::anthropic;
use torana_plugin_sdk::{CallError, CallErrorKind, Header, SettingsError};

struct Anthropic;

impl Provider for Anthropic {
    type Settings = Settings;
    type Stream = anthropic::stream::Decoder;

    fn describe(settings: &Settings) -> Result<Info, SettingsError> {
        settings.check()?;
        let credential = match settings.platform {
            Platform::Anthropic => CredentialScheme::Header("x-api-key".into()),
            Platform::Vertex => CredentialScheme::GoogleOauth,
        };
        let mut info = Info::new([Wire::AnthropicMessages, Wire::AnthropicCountTokens], credential);
        info.structured_output = settings.structured_output.into();
        Ok(info)
    }

    fn build(endpoint: &Endpoint<Settings>, request: Request) -> Result<Built, CallError> {
        let settings = &endpoint.settings;
        let path = messages_path(endpoint, request.stream)?;
        let encoded = match settings.platform {
            Platform::Anthropic => anthropic::request::encode(&request, &endpoint.model)?,
            Platform::Vertex => {
                let version = settings.body_version();
                anthropic::request::encode_hosted(&request, &endpoint.model, version)?
            }
        };
        let mut sent = HttpRequest::post_encoded(path, encoded);
        let betas = anthropic::request::betas(&request);
        sent.headers.extend(headers(settings, None, &betas));
        Ok(Built::Send(sent))
    }

    fn parse(_: &Endpoint<Settings>, answer: &HttpResponse) -> Result<Response, CallError> {
        if answer.is_success() {
            return anthropic::response::decode(&answer.body);
        }
        let wait = answer.retry_after_ms();
        Err(anthropic::error::decode(answer.status, wait, &answer.body))
    }

    fn forward(endpoint: &Endpoint<Settings>, head: ForwardHead) -> Result<Forwarded, CallError> {
        let settings = &endpoint.settings;
        let counts = head.wire == Wire::AnthropicCountTokens;
        let path = match counts {
            true => settings.count_path(),
            false => messages_path(endpoint, head.stream)?,
        };
        let mut forwarded = Forwarded::post_json(path);
        let stated = |name: &'static str| {
            head.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name))
        };
        let version = stated("anthropic-version").map(|header| header.value.as_str()).next();
        let betas: Vec<&str> =
            stated("anthropic-beta").flat_map(|header| header.value.split(',')).collect();
        forwarded.headers.extend(headers(settings, version, &betas));
        if settings.platform == Platform::Vertex {
            forwarded = forwarded.set("anthropic_version", settings.body_version().into());
            if !counts {
                // The model is in the path, and Vertex refuses it in the body.
                forwarded.patches.push(Patch { key: "model".into(), value: None });
            }
        }
        Ok(forwarded)
    }

    fn stream(_: &Endpoint<Settings>) -> Self::Stream {
        Self::Stream::default()
    }
}

/// Where messages go. On Vertex the model's name is part of the path.
fn messages_path(endpoint: &Endpoint<Settings>, stream: bool) -> Result<String, CallError> {
    let settings = &endpoint.settings;
    if settings.platform == Platform::Anthropic {
        return Ok(settings.path.clone());
    }
    let model = &endpoint.model;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._@".contains(&byte);
    if model.is_empty() || !model.bytes().all(is_plain) {
        let message = format!("{model:?} is no name of a model on Vertex AI");
        return Err(CallError::new(CallErrorKind::InvalidRequest, message));
    }
    let method = if stream { "streamRawPredict" } else { "rawPredict" };
    Ok(format!("/publishers/anthropic/models/{model}:{method}"))
}

/// The client's version wins; its beta features join those of the settings.
fn headers(settings: &Settings, version: Option<&str>, betas: &[&str]) -> Vec<Header> {
    let mut headers = Vec::new();
    if settings.platform == Platform::Anthropic {
        headers.push(Header::new("anthropic-version", version.unwrap_or(&settings.version)));
    }
    let mut names: Vec<&str> = Vec::new();
    for name in settings.beta.iter().map(String::as_str).chain(betas.iter().copied()) {
        let name = name.trim();
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    if !names.is_empty() {
        headers.push(Header::new("anthropic-beta", names.join(",")));
    }
    headers
}

torana_plugin_sdk::export_provider!(Anthropic);
