//! The trace that a call belongs to: W3C Trace Context, <https://www.w3.org/TR/trace-context/>.
//!
//! A valid `traceparent` is gone on with: its trace, its sender as parent, its sampled flag,
//! and `tracestate` as it came. Anything else begins a trace of its own, as the
//! recommendation asks. Each call and each attempt is a span; a provider is told the
//! attempt's. Nothing but ids ever goes out. Refuses to be wrong about a broken header: it is
//! as good as none.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Characters of `tracestate` that are passed on: as many as everybody has to.
const LONGEST_STATE: usize = 512;

/// Members of `tracestate` that there may be.
const MOST_MEMBERS: usize = 32;

/// Longer members go first where a `tracestate` is too long.
const LONG_MEMBER: usize = 128;

/// The only flag of version 00: whoever sent it may have recorded it.
const SAMPLED: u8 = 0x01;

/// A trace; never all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

/// One span of a trace; never all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId(u64);

impl TraceId {
    fn random() -> Self {
        Self((u128::from(random()) << 64) | u128::from(random()))
    }
}

impl SpanId {
    /// A new one.
    pub fn random() -> Self {
        Self(random())
    }

    fn digits(self, room: &mut [u8; 32]) -> &str {
        digits(self.0.into(), room).get(16..).unwrap_or_default()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(digits(self.0, &mut [0; 32]))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.digits(&mut [0; 32]))
    }
}

impl serde::Serialize for TraceId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(digits(self.0, &mut [0; 32]))
    }
}

impl serde::Serialize for SpanId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.digits(&mut [0; 32]))
    }
}

/// 32 digits. `format!` takes several times as long, and each call needs some.
fn digits(value: u128, room: &mut [u8; 32]) -> &str {
    Uuid::from_u128(value).simple().encode_lower(room)
}

/// Where a call stands in its trace.
#[derive(Debug, Clone)]
pub struct Trace {
    pub id: TraceId,
    /// The call's own span.
    pub span: SpanId,
    /// The client's.
    pub parent: Option<SpanId>,
    sampled: bool,
    state: Option<HeaderValue>,
}

impl Trace {
    /// A trace that begins here. It is recorded, hence sampled.
    pub fn begin() -> Self {
        Self {
            id: TraceId::random(),
            span: SpanId::random(),
            parent: None,
            sampled: true,
            state: None,
        }
    }

    /// The trace that the headers name, else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut sent = headers.get_all(TRACEPARENT).iter();
        let parent = match (sent.next(), sent.next()) {
            (Some(only), None) => parse(only.as_bytes()),
            _ => None,
        };
        let Some((id, parent, sampled)) = parent else { return Self::begin() };
        let state = state(headers);
        Self { id, span: SpanId::random(), parent: Some(parent), sampled, state }
    }

    /// What a provider is told of an attempt.
    pub fn headers(&self, attempt: SpanId) -> TraceHeaders {
        let flags = if self.sampled { SAMPLED } else { 0 };
        let parent = format!("00-{}-{attempt}-{flags:02x}", self.id);
        TraceHeaders { parent: HeaderValue::try_from(parent).ok(), state: self.state.clone() }
    }
}

/// The headers of one request to a provider.
#[derive(Debug, Clone, Default)]
pub struct TraceHeaders {
    parent: Option<HeaderValue>,
    state: Option<HeaderValue>,
}

impl TraceHeaders {
    /// Sets the headers. They are no part of a signature: whoever is on the way may change
    /// them.
    pub fn put(&self, headers: &mut HeaderMap) {
        let Some(parent) = &self.parent else { return };
        headers.insert(TRACEPARENT, parent.clone());
        match &self.state {
            Some(state) => drop(headers.insert(TRACESTATE, state.clone())),
            None => drop(headers.remove(TRACESTATE)),
        }
    }
}

/// Never 0. SipHash under a key of its own each time, which the thread got from the operating
/// system: no system call, and ids only have to differ.
fn random() -> u64 {
    RandomState::new().hash_one(0u8).max(1)
}

/// `version-trace-parent-flags` in lower-case hexadecimal. Later versions may append fields.
fn parse(header: &[u8]) -> Option<(TraceId, SpanId, bool)> {
    let text = std::str::from_utf8(header).ok()?;
    let mut fields = text.split('-');
    let version = hexadecimal(fields.next()?, 2)?;
    let trace = hexadecimal(fields.next()?, 32)?;
    let parent = u64::try_from(hexadecimal(fields.next()?, 16)?).ok()?;
    let flags = u8::try_from(hexadecimal(fields.next()?, 2)?).ok()?;
    let is_longer = fields.next().is_some();
    let known = match version {
        0 => !is_longer,
        0xff => false,
        _ => true,
    };
    let valid = known && trace != 0 && parent != 0;
    valid.then_some((TraceId(trace), SpanId(parent), flags & SAMPLED != 0))
}

fn hexadecimal(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let valid = text.len() == digits && text.bytes().all(lower);
    if valid { u128::from_str_radix(text, 16).ok() } else { None }
}

/// All `tracestate` headers as one, shortened as the recommendation says where it is too long.
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut members = Vec::new();
    for header in headers.get_all(TRACESTATE) {
        let text = header.to_str().ok()?;
        members.extend(text.split(',').map(str::trim).filter(|member| !member.is_empty()));
    }
    let is_member = |member: &&str| {
        let pair = member.split_once('=');
        pair.is_some_and(|(key, value)| !key.is_empty() && !value.is_empty())
    };
    if members.len() > MOST_MEMBERS || !members.iter().all(is_member) {
        return None;
    }
    let length = |members: &[&str]| members.iter().map(|it| it.len() + 1).sum::<usize>();
    if length(&members) > LONGEST_STATE + 1 {
        members.retain(|member| member.len() <= LONG_MEMBER);
    }
    while length(&members) > LONGEST_STATE + 1 {
        // The newest stand first.
        members.pop();
    }
    if members.is_empty() { None } else { HeaderValue::try_from(members.join(",")).ok() }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(of: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in of {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn sent(trace: &Trace, span: SpanId) -> HeaderMap {
        let mut headers = HeaderMap::new();
        trace.headers(span).put(&mut headers);
        headers
    }

    #[test]
    fn a_valid_trace_is_gone_on_with() {
        let trace = Trace::of(&headers(&[
            (TRACEPARENT, PARENT),
            (TRACESTATE, "a=1,b=2"),
            (TRACESTATE, "c=3"),
        ]));
        assert_eq!(trace.id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.parent.unwrap().to_string(), "00f067aa0ba902b7");
        let span = SpanId(0xab);
        let sent = sent(&trace, span);
        let parent = format!("00-{}-00000000000000ab-01", trace.id);
        assert_eq!(sent[TRACEPARENT], parent);
        assert_eq!(sent[TRACESTATE], "a=1,b=2,c=3");
    }

    #[test]
    fn the_sampled_flag_is_kept_and_others_are_not() {
        for (flags, kept) in [("00", "00"), ("01", "01"), ("ff", "01"), ("02", "00")] {
            let parent = format!("{}{flags}", PARENT.strip_suffix("01").unwrap());
            let trace = Trace::of(&headers(&[(TRACEPARENT, &parent)]));
            assert!(trace.parent.is_some(), "{parent}");
            let sent = sent(&trace, trace.span);
            assert!(sent[TRACEPARENT].to_str().unwrap().ends_with(&format!("-{kept}")), "{flags}");
        }
    }

    #[test]
    fn what_is_not_valid_begins_a_trace_of_its_own() {
        for broken in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            let trace = Trace::of(&headers(&[(TRACEPARENT, broken), (TRACESTATE, "a=1")]));
            assert_eq!(trace.parent, None, "{broken}");
            assert!(!sent(&trace, trace.span).contains_key(TRACESTATE), "{broken}");
        }
        let twice = Trace::of(&headers(&[(TRACEPARENT, PARENT), (TRACEPARENT, PARENT)]));
        assert_eq!(twice.parent, None);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-will-be";
        let trace = Trace::of(&headers(&[(TRACEPARENT, later)]));
        assert_eq!(trace.id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(sent(&trace, trace.span)[TRACEPARENT].to_str().unwrap().starts_with("00-"));
    }

    #[test]
    fn a_state_that_is_too_long_loses_its_longest_then_its_oldest() {
        let long = format!("long={}", "x".repeat(200));
        let many: Vec<String> = (0..30).map(|it| format!("k{it:02}={}", "y".repeat(15))).collect();
        let state = format!("{long},{}", many.join(","));
        let trace = Trace::of(&headers(&[(TRACEPARENT, PARENT), (TRACESTATE, &state)]));
        let kept = sent(&trace, trace.span)[TRACESTATE].to_str().unwrap().to_owned();
        assert!(kept.len() <= LONGEST_STATE && kept.starts_with("k00=") && !kept.contains("long"));
        assert_eq!(kept.split(',').count(), 25);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_on_is_valid(header in "[0-9a-f-]{0,70}", state in "[ -~]{0,700}") {
            let trace = Trace::of(&headers(&[(TRACEPARENT, &header), (TRACESTATE, &state)]));
            let sent = sent(&trace, SpanId::random());
            prop_assert!(parse(sent[TRACEPARENT].as_bytes()).is_some());
            if let Some(state) = sent.get(TRACESTATE) {
                prop_assert!(state.len() <= LONGEST_STATE);
            }
        }
    }
}
