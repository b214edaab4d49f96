//! The host's face of a provider component: wire types in, wire types out.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use torana_wire::chat::{Request, Response};
use torana_wire::error::{CallError, CallErrorKind};
use torana_wire::event::StreamEvent;
use wasmtime::component::ResourceAny;

use super::bindings::provider::exports::torana::provider::adapter as wit;
use super::bindings::provider::{Provider as Bindings, ProviderIndices};
use super::call::Purpose;
use super::catalog::LoadCause;
use super::instance::Instance;
use super::pool::{CheckedOut, Pool};
use super::{CallFailure, LoadedPlugin, convert};

pub use super::bindings::provider::exports::torana::provider::adapter::{
    AwsService, CredentialScheme, Endpoint, ForwardHead, Forwarded, Frame, Framing, Header,
    HttpRequest, HttpResponse, Info, StructuredOutput, Wire,
};

/// A provider component, ready for calls.
pub struct Provider {
    pool: Arc<Pool<Bindings>>,
    indices: ProviderIndices,
}

/// Why a provider call gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProviderFailure {
    /// The adapter's own, typed answer.
    #[error("{}", .0.message)]
    Call(CallError),
    #[error("provider plugin {plugin} failed: {source}")]
    Plugin { plugin: Arc<str>, source: CallFailure },
}

/// What an adapter made of a request.
pub enum Built {
    Send(HttpRequest),
    /// An answer without a provider.
    Answer {
        response: Response,
        after: Duration,
    },
    AnswerStream(Vec<PacedEvent>),
}

/// An event, and how long to wait for it after the one before.
pub struct PacedEvent {
    pub after: Duration,
    pub event: StreamEvent,
}

impl Provider {
    /// Makes the trial instance.
    pub fn new(plugin: Arc<LoadedPlugin>) -> Result<Self, LoadCause> {
        let indices = ProviderIndices::new(plugin.linked()).map_err(LoadCause::Link)?;
        let provider = Self { pool: Pool::new(plugin), indices };
        provider.check_out().map_err(LoadCause::Trial)?;
        Ok(provider)
    }

    pub fn plugin(&self) -> &Arc<LoadedPlugin> {
        self.pool.plugin()
    }

    pub fn describe(&self, settings: &Map<String, Value>) -> Result<Info, LoadCause> {
        let start = |source| LoadCause::Start { function: "describe", source };
        let settings = json(settings);
        self.check_out()
            .and_then(|mut instance| {
                instance.call(Purpose::SetUp, |Instance { store, bindings, .. }| {
                    bindings.torana_provider_adapter().call_describe(store, &settings)
                })
            })
            .map_err(start)?
            .map_err(|refused| LoadCause::Settings {
                pointer: refused.pointer,
                message: refused.message,
            })
    }

    pub fn build(&self, endpoint: &Endpoint, request: &Request) -> Result<Built, ProviderFailure> {
        let request = serde_json::to_vec(request).map_err(|error| self.malformed(&error))?;
        let built = self.call(|Instance { store, bindings, .. }| {
            bindings.torana_provider_adapter().call_build(store, endpoint, &request)
        })?;
        Ok(match built {
            wit::Built::Send(request) => Built::Send(request),
            wit::Built::Answer(answer) => Built::Answer {
                response: self.response(&answer.response)?,
                after: Duration::from_micros(answer.after_us),
            },
            wit::Built::AnswerStream(events) => Built::AnswerStream(
                events
                    .into_iter()
                    .map(|paced| PacedEvent {
                        after: Duration::from_micros(paced.after_us),
                        event: convert::event(paced.event),
                    })
                    .collect(),
            ),
        })
    }

    pub fn parse(
        &self,
        endpoint: &Endpoint,
        response: &HttpResponse,
    ) -> Result<Response, ProviderFailure> {
        let parsed = self.call(|Instance { store, bindings, .. }| {
            bindings.torana_provider_adapter().call_parse(store, endpoint, response)
        })?;
        self.response(&parsed)
    }

    pub fn forward(
        &self,
        endpoint: &Endpoint,
        head: &ForwardHead,
    ) -> Result<Forwarded, ProviderFailure> {
        self.call(|Instance { store, bindings, .. }| {
            bindings.torana_provider_adapter().call_forward(store, endpoint, head)
        })
    }

    /// An embeddings request in OpenAI's shape to the provider's.
    pub fn build_embeddings(
        &self,
        endpoint: &Endpoint,
        request: &[u8],
    ) -> Result<HttpRequest, ProviderFailure> {
        let request = request.to_vec();
        self.call(|Instance { store, bindings, .. }| {
            bindings.torana_provider_adapter().call_build_embeddings(store, endpoint, &request)
        })
    }

    /// The provider's answer to that, as OpenAI's JSON with floats.
    pub fn parse_embeddings(
        &self,
        endpoint: &Endpoint,
        response: &HttpResponse,
    ) -> Result<Vec<u8>, ProviderFailure> {
        self.call(|Instance { store, bindings, .. }| {
            bindings.torana_provider_adapter().call_parse_embeddings(store, endpoint, response)
        })
    }

    /// A parser for one stream; holds an instance until it is dropped.
    pub fn stream_parser(&self, endpoint: &Endpoint) -> Result<StreamParser, ProviderFailure> {
        let name = self.plugin().name.clone();
        let failed = |source| ProviderFailure::Plugin { plugin: name.clone(), source };
        let mut instance = self.check_out().map_err(failed)?;
        let parser = instance
            .call(Purpose::SetUp, |Instance { store, bindings, .. }| {
                bindings.torana_provider_adapter().stream_parser().call_constructor(store, endpoint)
            })
            .map_err(failed)?;
        Ok(StreamParser { instance, parser, plugin: name })
    }

    fn call<R>(
        &self,
        call: impl FnOnce(&mut Instance<Bindings>) -> wasmtime::Result<Result<R, wit::CallError>>,
    ) -> Result<R, ProviderFailure> {
        self.check_out()
            .and_then(|mut instance| instance.call(Purpose::Work, call))
            .map_err(|source| ProviderFailure::Plugin {
                plugin: self.plugin().name.clone(),
                source,
            })?
            .map_err(|error| ProviderFailure::Call(error.into()))
    }

    fn check_out(&self) -> Result<CheckedOut<Bindings>, CallFailure> {
        self.pool.check_out(|| {
            self.plugin().instantiate(self.plugin().capabilities(), |store, component| {
                self.indices.load(store, component)
            })
        })
    }

    fn response(&self, json: &[u8]) -> Result<Response, ProviderFailure> {
        serde_json::from_slice(json).map_err(|error| self.malformed(&error))
    }

    fn malformed(&self, error: &serde_json::Error) -> ProviderFailure {
        ProviderFailure::Call(CallError::new(
            CallErrorKind::MalformedResponse,
            format!("plugin {} broke the chat payload's schema: {error}", self.plugin().name),
        ))
    }
}

/// Turns frames into events, in an instance of its own.
pub struct StreamParser {
    instance: CheckedOut<Bindings>,
    parser: ResourceAny,
    plugin: Arc<str>,
}

impl StreamParser {
    pub fn push(
        &mut self,
        frames: &[Frame],
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), ProviderFailure> {
        let parser = self.parser;
        let parsed = self.instance.call(Purpose::Work, |Instance { store, bindings, .. }| {
            bindings.torana_provider_adapter().stream_parser().call_push(store, parser, frames)
        });
        self.collect(parsed, events)
    }

    pub fn finish(&mut self, events: &mut Vec<StreamEvent>) -> Result<(), ProviderFailure> {
        let parser = self.parser;
        let parsed = self.instance.call(Purpose::Work, |Instance { store, bindings, .. }| {
            bindings.torana_provider_adapter().stream_parser().call_finish(store, parser)
        });
        self.collect(parsed, events)
    }

    fn collect(
        &self,
        parsed: Result<Vec<wit::StreamEvent>, CallFailure>,
        events: &mut Vec<StreamEvent>,
    ) -> Result<(), ProviderFailure> {
        let parsed = parsed
            .map_err(|source| ProviderFailure::Plugin { plugin: self.plugin.clone(), source })?;
        events.extend(parsed.into_iter().map(convert::event));
        Ok(())
    }
}

impl Drop for StreamParser {
    fn drop(&mut self) {
        let parser = self.parser;
        // The guest's destructor runs under the budget like any call; a failure was logged
        // and spends the instance, which is all that can be done.
        drop(
            self.instance
                .call(Purpose::SetUp, |Instance { store, .. }| parser.resource_drop(store)),
        );
    }
}

pub(super) fn json(settings: &Map<String, Value>) -> Vec<u8> {
    Value::Object(settings.clone()).to_string().into_bytes()
}
