//! Provider adapters: how one kind of provider wants to be asked, and how it answers.
//!
//! An adapter maps values and does no I/O: the host owns sockets, deadlines and
//! credentials. A path that it returns is appended to the operator's base URL and cannot
//! leave it. Functions are pure: an instance serves many requests, or only one.
//!
//! A whole adapter for providers that speak OpenAI's chat dialect:
//!
//! ```
//! use torana_plugin_sdk::provider::{
//!     Built, CredentialScheme, Endpoint, ForwardHead, Forwarded, HttpRequest, HttpResponse,
//!     Info, Provider, Wire,
//! };
//! use torana_plugin_sdk::chat::{Request, Response};
//! use torana_plugin_sdk::{CallError, NoSettings, SettingsError};
//! use torana_plugin_sdk::wire::openai;
//!
//! struct OpenAiCompatible;
//!
//! impl Provider for OpenAiCompatible {
//!     type Settings = NoSettings;
//!     type Stream = openai::stream::Decoder;
//!
//!     fn describe(_: &NoSettings) -> Result<Info, SettingsError> {
//!         Ok(Info::new([Wire::OpenaiChat], CredentialScheme::Bearer))
//!     }
//!
//!     fn build(endpoint: &Endpoint<NoSettings>, request: Request) -> Result<Built, CallError> {
//!         let encoded = openai::request::encode(&request, &endpoint.model)?;
//!         Ok(Built::Send(HttpRequest::post_encoded("/chat/completions", encoded)))
//!     }
//!
//!     fn parse(_: &Endpoint<NoSettings>, answer: &HttpResponse) -> Result<Response, CallError> {
//!         if answer.is_success() {
//!             return openai::response::decode(&answer.body);
//!         }
//!         let wait = answer.retry_after_ms();
//!         Err(openai::error::decode(answer.status, wait, &answer.body))
//!     }
//!
//!     fn forward(_: &Endpoint<NoSettings>, _: ForwardHead) -> Result<Forwarded, CallError> {
//!         Ok(Forwarded::post_json("/chat/completions"))
//!     }
//!
//!     fn stream(_: &Endpoint<NoSettings>) -> Self::Stream {
//!         Self::Stream::default()
//!     }
//! }
//!
//! torana_plugin_sdk::export_provider!(OpenAiCompatible);
//! ```

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::provider::exports::torana::provider::adapter as generated;
use crate::chat::{Request, Response};
use crate::wire::encoded::Encoded;
use crate::{CallError, CallErrorKind, Header, SettingsError, StreamEvent};

mod export;
mod stream;

#[doc(hidden)]
pub use export::Component;
pub use generated::{
    AwsService, CredentialScheme, ForwardHead, Frame, Framing, HttpRequest, HttpResponse, Info,
    StructuredOutput, Wire,
};
pub use stream::{NoStream, StreamParser};

/// A provider adapter.
pub trait Provider: Sized + 'static {
    /// The endpoint's settings merged over the provider's.
    type Settings: DeserializeOwned;
    /// How a streamed answer is read; [`NoStream`] for an adapter that never sends.
    type Stream: StreamParser + 'static;

    /// Says what the provider is, once a snapshot, from the provider's own settings.
    ///
    /// # Errors
    ///
    /// Why the settings cannot be used.
    fn describe(settings: &Self::Settings) -> Result<Info, SettingsError>;

    /// Turns a chat request into the provider's HTTP request, or answers it right away.
    ///
    /// # Errors
    ///
    /// Why the provider cannot take this request.
    fn build(endpoint: &Endpoint<Self::Settings>, request: Request) -> Result<Built, CallError>;

    /// Reads the provider's whole answer. Gets every status: a failure of the provider
    /// becomes a call error here. The default is for an adapter that never sends.
    ///
    /// # Errors
    ///
    /// The provider's failure, or an answer that makes no sense.
    fn parse(
        _endpoint: &Endpoint<Self::Settings>,
        _answer: &HttpResponse,
    ) -> Result<Response, CallError> {
        Err(CallError::new(
            CallErrorKind::MalformedResponse,
            "this adapter expects no answer over HTTP",
        ))
    }

    /// Passes a request on that already speaks one of [`Info::wires`]. The default is for an adapter
    /// without [`Info::wires`], which is never asked.
    ///
    /// # Errors
    ///
    /// Why the provider cannot take this request.
    fn forward(
        _endpoint: &Endpoint<Self::Settings>,
        _head: ForwardHead,
    ) -> Result<Forwarded, CallError> {
        Err(CallError::new(
            CallErrorKind::InvalidRequest,
            "this adapter does not pass requests on as they are",
        ))
    }

    /// Turns an OpenAI embeddings request into the provider's HTTP request. The default is
    /// for an adapter whose [`Info::embeddings`] is false, which is never asked.
    ///
    /// # Errors
    ///
    /// Why the provider cannot take this request.
    fn build_embeddings(
        _endpoint: &Endpoint<Self::Settings>,
        _request: Value,
    ) -> Result<HttpRequest, CallError> {
        Err(crate::wire::encoded::unsupported("embedding text"))
    }

    /// Reads the provider's answer to an embeddings request, into OpenAI's shape with floats.
    /// Gets every status.
    ///
    /// # Errors
    ///
    /// The provider's failure, or an answer that makes no sense.
    fn parse_embeddings(
        _endpoint: &Endpoint<Self::Settings>,
        _answer: &HttpResponse,
    ) -> Result<Value, CallError> {
        Err(crate::wire::encoded::unsupported("embedding text"))
    }

    /// Begins to read one streamed answer.
    fn stream(endpoint: &Endpoint<Self::Settings>) -> Self::Stream;
}

/// Where a call goes: one model at one provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint<S> {
    /// The provider's own name for the model.
    pub model: String,
    /// The endpoint's settings merged over the provider's.
    pub settings: S,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Built {
    /// Ask the provider.
    Send(HttpRequest),
    /// No provider is needed: here is the answer. For requests that do not stream.
    Answer {
        /// The whole answer.
        response: Response,
        /// How long it takes to be there.
        after: Duration,
    },
    /// Here is the answer, as a stream.
    AnswerStream(Vec<PacedEvent>),
}

/// An event of a streamed answer and when it comes.
#[derive(Debug, Clone, PartialEq)]
pub struct PacedEvent {
    /// How long to wait after the event before.
    pub after: Duration,
    /// What comes then.
    pub event: StreamEvent,
}

/// A request passed on: its head, and what changes in its body.
#[derive(Debug, Clone, PartialEq)]
pub struct Forwarded {
    /// `POST` nearly always.
    pub method: String,
    /// Appended to the operator's base URL; starts with `/`.
    pub path: String,
    /// No credential, no `host`, no hop-by-hop header: the host refuses those.
    pub headers: Vec<Header>,
    /// The host always sets `model`; this is for whatever else must differ.
    pub patches: Vec<Patch>,
}

/// A change to one top-level key of a body. The rest passes byte for byte.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// A top-level key of the body.
    pub key: String,
    /// Its new value; absent removes the key.
    pub value: Option<Value>,
}

impl Info {
    /// A provider that streams server-sent events, honours every parameter and holds itself
    /// to a JSON Schema. `wires` are the routes that clients' bodies can be passed on to.
    pub fn new(wires: impl Into<Vec<Wire>>, credential: CredentialScheme) -> Self {
        Self {
            wires: wires.into(),
            framing: Framing::Sse,
            credential,
            structured_output: StructuredOutput::JsonSchema,
            embeddings: false,
            supported_parameters: Vec::new(),
        }
    }
}

impl HttpRequest {
    /// A `POST` of JSON to `path` below the operator's base URL.
    pub fn post_json(path: impl Into<String>, body: Vec<u8>) -> Self {
        Self {
            method: "POST".into(),
            path: path.into(),
            headers: vec![json_content()],
            body,
            dropped: Vec::new(),
        }
    }

    /// A `POST` of what a codec of [`crate::wire`] made of a request.
    pub fn post_encoded(path: impl Into<String>, encoded: Encoded) -> Self {
        Self { dropped: encoded.dropped, ..Self::post_json(path, encoded.body) }
    }

    /// Adds a header; `name` in lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push(Header::new(name, value));
        self
    }
}

impl Forwarded {
    /// A `POST` of the client's JSON to `path` below the operator's base URL.
    pub fn post_json(path: impl Into<String>) -> Self {
        Self {
            method: "POST".into(),
            path: path.into(),
            headers: vec![json_content()],
            patches: Vec::new(),
        }
    }

    /// Adds a header; `name` in lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push(Header::new(name, value));
        self
    }

    /// Sets one top-level key of the body.
    #[must_use]
    pub fn set(mut self, key: &str, value: Value) -> Self {
        self.patches.push(Patch { key: key.into(), value: Some(value) });
        self
    }
}

impl HttpResponse {
    /// The status is one of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of that name, which is to be in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|header| header.name == name)?;
        Some(&found.value)
    }

    /// How long the provider asks to be left alone: `retry-after-ms`, else `retry-after` in
    /// seconds (RFC 9110, 10.2.3). Its form as a date is not read: there is no clock here.
    pub fn retry_after_ms(&self) -> Option<u64> {
        let number = |name: &str| self.header(name)?.trim().parse::<f64>().ok();
        let milliseconds =
            number("retry-after-ms").or_else(|| Some(number("retry-after")? * 1_000.0))?;
        // The cast saturates; NaN fails the comparison.
        (milliseconds >= 0.0).then_some(milliseconds.ceil() as u64)
    }
}

impl Header {
    /// `name` in lower case.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

fn json_content() -> Header {
    Header::new("content-type", "application/json")
}

/// Compiles when the export macro is given a provider.
#[doc(hidden)]
pub const fn is_provider<P: Provider>() {}

/// Makes the component a provider: `export_provider!(MyProvider);` for a
/// [`Provider`](crate::provider::Provider).
#[macro_export]
macro_rules! export_provider {
    ($provider:ty) => {
        const _: () = {
            $crate::provider::is_provider::<$provider>();
            #[cfg(target_arch = "wasm32")]
            type Exported = $crate::provider::Component<$provider>;
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::provider::export_component!(
                Exported with_types_in $crate::bindings::provider
            );
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(&str, &str)]) -> HttpResponse {
        let header = |&(name, value): &(&str, &str)| Header::new(name, value);
        HttpResponse {
            status: 429,
            headers: headers.iter().map(header).collect(),
            body: Vec::new(),
        }
    }

    #[test]
    fn retry_after_is_read_in_seconds_unless_given_in_milliseconds() {
        assert_eq!(answer(&[("retry-after", "2")]).retry_after_ms(), Some(2_000));
        let both = answer(&[("retry-after", "2"), ("retry-after-ms", "1500.2")]);
        assert_eq!(both.retry_after_ms(), Some(1_501));
    }

    #[test]
    fn senseless_retry_after_is_none() {
        for value in ["", "-1", "NaN", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(answer(&[("retry-after", value)]).retry_after_ms(), None);
        }
        assert_eq!(answer(&[]).retry_after_ms(), None);
    }
}
