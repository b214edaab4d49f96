//! Provider adapter: OpenAI's dialects, and every provider that speaks one of them.
//!
//! Requests, answers, streams and errors are `torana_wire`'s; this crate adds where to send
//! them and the things in which servers differ, which are declared in `settings.rs`. A client
//! that speaks a route which the server has itself is passed on: its body stays as it is,
//! but a streamed request asks for usage at the end, and the host takes that chunk out again
//! where the client did not want it. All else goes through the chat payload, to the chat
//! route or to Responses.

mod parameter;
mod path;
mod settings;
mod stream;

use serde_json::json;
use torana_plugin_sdk::chat::{Request, Response};
use torana_plugin_sdk::provider::{
    Built, CredentialScheme, Endpoint, ForwardHead, Forwarded, HttpRequest, HttpResponse, Info,
    Provider, Wire,
};
use torana_plugin_sdk::wire::encoded::unsupported;
use torana_plugin_sdk::wire::{openai, responses};
use torana_plugin_sdk::{CallError, SettingsError};

use settings::{Api, Route, Settings, UsageField};
use stream::Stream;

struct OpenAi;

impl Provider for OpenAi {
    type Settings = Settings;
    type Stream = Stream;

    fn describe(settings: &Settings) -> Result<Info, SettingsError> {
        settings.check()?;
        let credential = match &settings.credential_header {
            Some(name) => CredentialScheme::Header(name.clone()),
            None => CredentialScheme::Bearer,
        };
        let info = Info::new(settings.wires(), credential);
        Ok(Info { structured_output: settings.structured_output(), ..info })
    }

    fn build(endpoint: &Endpoint<Settings>, mut request: Request) -> Result<Built, CallError> {
        let settings = &endpoint.settings;
        let mut left_out = parameter::leave_out(&mut request, &settings.unsupported);
        parameter::rename(&mut request, &settings.renamed);
        let (route, mut encoded) = match settings.api {
            Api::Chat => {
                let options = settings.options();
                let encoded = openai::request::encode_with(&request, &endpoint.model, &options)?;
                (Route::Chat, encoded)
            }
            Api::Responses => {
                (Route::Responses, responses::request::encode(&request, &endpoint.model)?)
            }
        };
        left_out.extend(encoded.dropped);
        encoded.dropped = left_out.into_iter().collect();
        let path = path::path(settings, route, &endpoint.model);
        Ok(Built::Send(HttpRequest::post_encoded(path, encoded)))
    }

    fn parse(endpoint: &Endpoint<Settings>, answer: &HttpResponse) -> Result<Response, CallError> {
        if !answer.is_success() {
            let wait = answer.retry_after_ms();
            return Err(openai::error::decode(answer.status, wait, &answer.body));
        }
        let settings = &endpoint.settings;
        let mut response = match settings.api {
            Api::Chat => openai::response::decode(&answer.body)?,
            Api::Responses => responses::response::decode(&answer.body)?,
        };
        if settings.think_tags {
            openai::think::split(&mut response);
        }
        read_usage(settings, answer, &mut response);
        Ok(response)
    }

    fn forward(endpoint: &Endpoint<Settings>, head: ForwardHead) -> Result<Forwarded, CallError> {
        let settings = &endpoint.settings;
        let route = settings.wires.iter().find(|route| route.wire() == head.wire);
        let Some(route) = route else {
            return Err(unsupported("this route"));
        };
        let path = path::path(settings, *route, &endpoint.model);
        let forwarded = Forwarded::post_json(path);
        let has_options = matches!(head.wire, Wire::OpenaiChat | Wire::OpenaiCompletions);
        let asks = head.stream && !head.stream_usage && settings.stream_usage && has_options;
        Ok(match asks {
            true => forwarded.set("stream_options", json!({ "include_usage": true })),
            false => forwarded,
        })
    }

    fn stream(endpoint: &Endpoint<Settings>) -> Self::Stream {
        Stream::new(&endpoint.settings)
    }
}

/// Counts that stand in headers, where the body does not have them.
fn read_usage(settings: &Settings, answer: &HttpResponse, response: &mut Response) {
    for (field, header) in &settings.usage_headers {
        let count = answer.header(header).and_then(|count| count.trim().parse::<u64>().ok());
        let Some(count) = count else {
            continue;
        };
        let usage = response.usage.get_or_insert_default();
        let place = match field {
            UsageField::Input => &mut usage.input,
            UsageField::Output => &mut usage.output,
            UsageField::CachedInput => &mut usage.cached_input,
            UsageField::Reasoning => &mut usage.reasoning,
        };
        if *place == 0 {
            *place = count;
        }
    }
}

torana_plugin_sdk::export_provider!(OpenAi);

#[cfg(test)]
mod tests;
