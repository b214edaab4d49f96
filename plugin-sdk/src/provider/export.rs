//! The exports of a provider component: generated types in, the trait's types inside.
//!
//! Promises that nothing follows a failure in a stream, and that settings which do not fit
//! an endpoint fail the call and not the component.

use std::cell::RefCell;
use std::marker::PhantomData;

use super::{Endpoint, ForwardHead, HttpResponse, Info, Provider, StreamParser, generated};
use crate::bindings::host::types;
use crate::chat::Request;
use crate::{CallError, CallErrorKind, SettingsError, StreamEvent, convert, instance, settings};

/// The exports of a component made of `P`.
#[derive(Debug)]
pub struct Component<P>(PhantomData<P>);

impl<P: Provider> generated::Guest for Component<P> {
    type StreamParser = Parser<P>;

    fn describe(settings: Vec<u8>) -> Result<Info, SettingsError> {
        instance::start();
        P::describe(&settings::decode(&settings)?)
    }

    fn build(
        endpoint: generated::Endpoint,
        request: Vec<u8>,
    ) -> Result<generated::Built, types::CallError> {
        instance::start();
        let build = || {
            let endpoint = decode_endpoint(endpoint)?;
            convert::built(P::build(&endpoint, decode_request(&request)?)?)
        };
        build().map_err(convert::call_error)
    }

    fn parse(
        endpoint: generated::Endpoint,
        response: HttpResponse,
    ) -> Result<Vec<u8>, types::CallError> {
        instance::start();
        let parse = || {
            let endpoint = decode_endpoint(endpoint)?;
            convert::json(&P::parse(&endpoint, &response)?)
        };
        parse().map_err(convert::call_error)
    }

    fn forward(
        endpoint: generated::Endpoint,
        head: ForwardHead,
    ) -> Result<generated::Forwarded, types::CallError> {
        instance::start();
        let forward = || {
            let endpoint = decode_endpoint(endpoint)?;
            convert::forwarded(P::forward(&endpoint, head)?)
        };
        forward().map_err(convert::call_error)
    }

    fn build_embeddings(
        endpoint: generated::Endpoint,
        request: Vec<u8>,
    ) -> Result<generated::HttpRequest, types::CallError> {
        instance::start();
        let build = || {
            let request = serde_json::from_slice(&request).map_err(|error| {
                CallError::new(CallErrorKind::InvalidRequest, error.to_string())
            })?;
            P::build_embeddings(&decode_endpoint(endpoint)?, request)
        };
        build().map_err(convert::call_error)
    }

    fn parse_embeddings(
        endpoint: generated::Endpoint,
        response: HttpResponse,
    ) -> Result<Vec<u8>, types::CallError> {
        instance::start();
        let parse = || convert::json(&P::parse_embeddings(&decode_endpoint(endpoint)?, &response)?);
        parse().map_err(convert::call_error)
    }
}

/// One stream of a provider `P`.
pub struct Parser<P: Provider>(RefCell<State<P::Stream>>);

enum State<S> {
    Reading(S),
    /// The endpoint's settings do not fit; said with the first frame.
    Refused(CallError),
    Failed,
}

impl<P: Provider> generated::GuestStreamParser for Parser<P> {
    fn new(endpoint: generated::Endpoint) -> Self {
        instance::start();
        let state = match decode_endpoint(endpoint) {
            Ok(endpoint) => State::Reading(P::stream(&endpoint)),
            Err(error) => State::Refused(error),
        };
        Self(RefCell::new(state))
    }

    fn push(&self, frames: Vec<generated::Frame>) -> Vec<generated::StreamEvent> {
        self.0.borrow_mut().read(|parser, events| {
            for frame in &frames {
                parser.push(frame, events);
            }
        })
    }

    fn finish(&self) -> Vec<generated::StreamEvent> {
        self.0.borrow_mut().read(StreamParser::finish)
    }
}

impl<S: StreamParser> State<S> {
    fn read(
        &mut self,
        step: impl FnOnce(&mut S, &mut Vec<StreamEvent>),
    ) -> Vec<generated::StreamEvent> {
        let mut events = Vec::new();
        match self {
            Self::Reading(parser) => step(parser, &mut events),
            Self::Refused(error) => events.push(StreamEvent::Failed(error.clone())),
            Self::Failed => {}
        }
        let failed = |event: &StreamEvent| matches!(event, StreamEvent::Failed(_));
        if let Some(failure) = events.iter().position(failed) {
            events.truncate(failure + 1);
            *self = Self::Failed;
        }
        events.into_iter().map(convert::stream_event).collect()
    }
}

/// A settings error here is the operator's, not the client's: another endpoint may do.
fn decode_endpoint<S: serde::de::DeserializeOwned>(
    endpoint: generated::Endpoint,
) -> Result<Endpoint<S>, CallError> {
    let settings = settings::decode(&endpoint.settings).map_err(|error| {
        let SettingsError { pointer, message } = error;
        CallError::new(
            CallErrorKind::Server,
            format!("settings of the endpoint, {pointer:?}: {message}"),
        )
    })?;
    Ok(Endpoint { model: endpoint.model, settings })
}

fn decode_request(json: &[u8]) -> Result<Request, CallError> {
    serde_json::from_slice(json).map_err(|error| {
        CallError::new(
            CallErrorKind::InvalidRequest,
            format!("the chat payload is not one this adapter knows: {error}"),
        )
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use std::time::Duration;

    use serde_json::json;

    use super::generated::{Guest as _, GuestStreamParser as _};
    use super::*;
    use crate::chat::{FinishReason, Response};
    use crate::provider::{Built, CredentialScheme, Forwarded};
    use crate::{BlockKind, Usage};

    struct Fake;

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        fail_at: u8,
    }

    /// Fails with the frame of that number, and goes on as a careless parser might.
    struct Careless(u8);

    impl StreamParser for Careless {
        fn push(&mut self, _: &generated::Frame, events: &mut Vec<StreamEvent>) {
            if self.0 == 0 {
                let error = CallError::new(CallErrorKind::Overloaded, "busy");
                events.push(StreamEvent::Failed(error));
            }
            self.0 = self.0.wrapping_sub(1);
            events.push(StreamEvent::BlockStop { index: 0 });
        }

        fn finish(&mut self, events: &mut Vec<StreamEvent>) {
            events.push(StreamEvent::Finish(FinishReason::Stop));
        }
    }

    impl Provider for Fake {
        type Settings = Settings;
        type Stream = Careless;

        fn describe(_: &Settings) -> Result<Info, SettingsError> {
            Ok(Info::new([], CredentialScheme::None))
        }

        fn build(_: &Endpoint<Settings>, request: Request) -> Result<Built, CallError> {
            Ok(Built::Answer {
                response: Response { model: request.model, ..Response::default() },
                after: Duration::from_millis(2),
            })
        }

        fn forward(_: &Endpoint<Settings>, _: ForwardHead) -> Result<Forwarded, CallError> {
            Ok(Forwarded::post_json("/x").header("a", "b").set("k", json!([1])))
        }

        fn stream(endpoint: &Endpoint<Settings>) -> Careless {
            Careless(endpoint.settings.fail_at)
        }
    }

    fn endpoint(settings: &str) -> generated::Endpoint {
        generated::Endpoint { model: "m".into(), settings: settings.as_bytes().to_vec() }
    }

    fn frames(count: usize) -> Vec<generated::Frame> {
        let frame = generated::Frame { event: None, data: Vec::new() };
        vec![frame; count]
    }

    #[test]
    fn nothing_follows_a_failure_however_frames_are_batched() {
        use generated::StreamEvent::{BlockStop, Failed};
        let parser = Parser::<Fake>::new(endpoint(r#"{"fail_at":2}"#));
        assert_eq!(parser.push(frames(1)), [BlockStop(0)]);
        let events = parser.push(frames(3));
        assert!(matches!(events.as_slice(), [BlockStop(0), Failed(_)]), "{events:?}");
        assert_eq!(parser.push(frames(1)), []);
        assert_eq!(parser.finish(), []);
    }

    #[test]
    fn settings_that_do_not_fit_fail_the_call_and_the_stream_once() {
        let parser = Parser::<Fake>::new(endpoint(r#"{"fail_at":"x"}"#));
        let events = parser.push(frames(2));
        let [generated::StreamEvent::Failed(error)] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert!(error.message.contains("/fail_at"), "{error:?}");
        assert_eq!(parser.finish(), []);
        let error = Component::<Fake>::build(endpoint("{}"), b"{}".to_vec()).unwrap_err();
        assert_eq!(error.kind, types::CallErrorKind::Server);
    }

    #[test]
    fn payload_that_is_no_request_is_an_invalid_request() {
        let endpoint = endpoint(r#"{"fail_at":0}"#);
        let error = Component::<Fake>::build(endpoint, b"{}".to_vec()).unwrap_err();
        assert_eq!(error.kind, types::CallErrorKind::InvalidRequest);
    }

    #[test]
    fn answers_and_patches_cross_as_json() {
        let endpoint = || endpoint(r#"{"fail_at":0}"#);
        let request = br#"{"model":"asked","messages":[]}"#.to_vec();
        let built = Component::<Fake>::build(endpoint(), request).unwrap();
        let generated::Built::Answer(answer) = built else {
            panic!("{built:?}");
        };
        assert_eq!(answer.after_us, 2_000);
        let response: Response = serde_json::from_slice(&answer.response).unwrap();
        assert_eq!(response.model, "asked");
        let head = ForwardHead {
            wire: generated::Wire::OpenaiChat,
            stream: true,
            stream_usage: true,
            headers: Vec::new(),
        };
        let forwarded = Component::<Fake>::forward(endpoint(), head).unwrap();
        let patch = forwarded.patches.first().unwrap();
        assert_eq!((patch.key.as_str(), patch.value.as_deref()), ("k", Some(&b"[1]"[..])));
    }

    #[test]
    fn events_keep_every_field() {
        use generated::StreamEvent as To;
        let usage = Usage {
            input: 1,
            output: 2,
            cached_input: 3,
            cache_write: 4,
            reasoning: 5,
            audio: 6,
            cost_usd: Some(0.5),
            estimated: false,
        };
        let To::Usage(crossed) = convert::stream_event(StreamEvent::Usage(usage)) else {
            panic!("no usage");
        };
        let fields = (crossed.input, crossed.output, crossed.cached_input, crossed.cache_write);
        assert_eq!(fields, (1, 2, 3, 4));
        let fields = (crossed.reasoning, crossed.audio, crossed.cost_usd);
        assert_eq!(fields, (5, 6, Some(0.5)));
        let call = BlockKind::ToolCall { id: "i".into(), name: "n".into() };
        let start = StreamEvent::BlockStart { index: 3, kind: call };
        let To::BlockStart(start) = convert::stream_event(start) else {
            panic!("no start");
        };
        assert_eq!(start.index, 3);
        let generated::BlockKind::ToolCall(call) = start.kind else {
            panic!("no call");
        };
        assert_eq!((call.id.as_str(), call.name.as_str()), ("i", "n"));
    }
}
