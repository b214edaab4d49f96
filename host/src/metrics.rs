//! Every metric of the gateway, in one place, for Prometheus.
//!
//! `docs/operating.md` documents each; a test holds it against what `/metrics` gives.

mod scrape;
mod sinks;

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use torana_routing::execution::Reason;

use crate::gateway::{Ended, Gateway};
use crate::request::reply::{BodyError, ReplyBody};

use scrape::ReadAtScrape;
pub use sinks::{SinkFigures, SinkMetrics};

/// What the gateway itself adds lies between ten microseconds and a bad millisecond.
const OVERHEAD_BUCKETS: [f64; 13] =
    [1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 1e-1];

/// Providers answer in tens of milliseconds to minutes.
const LATENCY_BUCKETS: [f64; 13] =
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    outcome: &'static str,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    endpoint: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    endpoint: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    endpoint: String,
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabels {
    sink: String,
}

/// All metrics. The fields are cheap to update from any thread.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    in_flight: Gauge,
    duration: Histogram,
    overhead: Histogram,
    attempts: Family<AttemptLabels, Counter>,
    ttft: Family<EndpointLabels, Histogram>,
    attempt_duration: Family<EndpointLabels, Histogram>,
    tokens: Family<TokenLabels, Counter>,
    cost: Family<EndpointLabels, Counter<f64, AtomicU64>>,
    fallbacks: Counter,
    hedges: Counter,
    resumes: Counter,
    reloads: Family<ResultLabels, Counter>,
    /// Kept by the deliveries.
    pub sinks: SinkMetrics,
    read: ReadAtScrape,
}

fn latency() -> Histogram {
    Histogram::new(LATENCY_BUCKETS)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("torana"),
            requests: Family::default(),
            in_flight: Gauge::default(),
            duration: latency(),
            overhead: Histogram::new(OVERHEAD_BUCKETS),
            attempts: Family::default(),
            ttft: Family::new_with_constructor(latency),
            attempt_duration: Family::new_with_constructor(latency),
            tokens: Family::default(),
            cost: Family::default(),
            fallbacks: Counter::default(),
            hedges: Counter::default(),
            resumes: Counter::default(),
            reloads: Family::default(),
            sinks: SinkMetrics::default(),
            read: ReadAtScrape::default(),
        };
        metrics.register();
        for result in ["accepted", "refused"] {
            // There from the start, so that an alert on their rate has a zero to rise from.
            metrics.reloads.get_or_create(&ResultLabels { result }).inc_by(0);
        }
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Inferences by outcome and status", self.requests.clone());
        registry.register(
            "requests_in_flight",
            "Chat requests being served",
            self.in_flight.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From the request to the last byte",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register_with_unit(
            "overhead",
            "What the gateway itself took",
            Unit::Seconds,
            self.overhead.clone(),
        );
        registry.register("attempts", "Attempts at endpoints by outcome", self.attempts.clone());
        registry.register_with_unit(
            "time_to_first_token",
            "From the attempt to the first content",
            Unit::Seconds,
            self.ttft.clone(),
        );
        registry.register_with_unit(
            "attempt_duration",
            "From the start of an attempt to its end",
            Unit::Seconds,
            self.attempt_duration.clone(),
        );
        registry.register("tokens", "Tokens by endpoint and class", self.tokens.clone());
        registry.register("cost_usd", "What calls cost, as reported or priced", self.cost.clone());
        registry.register("fallbacks", "Attempts after one that failed", self.fallbacks.clone());
        registry.register("hedges", "Attempts beside one that was slow", self.hedges.clone());
        registry.register(
            "resumes",
            "Attempts to go on with a stream that broke off",
            self.resumes.clone(),
        );
        registry.register("reloads", "Reloads by result", self.reloads.clone());
        self.sinks.register(registry);
        self.read.register(registry);
    }

    pub fn request_finished(
        &self,
        outcome: &'static str,
        status: u16,
        duration: Duration,
        overhead: Duration,
    ) {
        self.requests.get_or_create(&RequestLabels { outcome, status }).inc();
        self.duration.observe(duration.as_secs_f64());
        self.overhead.observe(overhead.as_secs_f64());
    }

    /// A request is served until the guard, or the body it goes into, is dropped.
    pub fn running(&self) -> Running {
        self.in_flight.inc();
        Running(self.in_flight.clone())
    }

    /// Why an attempt was made: each fallback and hedge costs somebody.
    pub fn attempt_started(&self, reason: Reason) {
        match reason {
            Reason::First => {}
            Reason::Fallback => drop(self.fallbacks.inc()),
            Reason::Hedge => drop(self.hedges.inc()),
            Reason::Resume => drop(self.resumes.inc()),
        }
    }

    /// An attempt was cancelled because another endpoint answered first.
    pub fn hedge_lost(&self, endpoint: &str) {
        let labels = AttemptLabels { endpoint: endpoint.to_owned(), outcome: "lost" };
        self.attempts.get_or_create(&labels).inc();
    }

    pub fn attempt_finished(
        &self,
        endpoint: &str,
        total: Duration,
        ended: &Ended,
        cost_usd: Option<f64>,
    ) {
        let endpoint = endpoint.to_owned();
        let outcome = ended.error.map_or("ok", torana_wire::error::CallErrorKind::as_str);
        let labels = AttemptLabels { endpoint: endpoint.clone(), outcome };
        self.attempts.get_or_create(&labels).inc();
        let labels = EndpointLabels { endpoint: endpoint.clone() };
        self.attempt_duration.get_or_create(&labels).observe(total.as_secs_f64());
        if let Some(ttft) = ended.ttft {
            self.ttft.get_or_create(&labels).observe(ttft.as_secs_f64());
        }
        if let Some(cost) = cost_usd {
            self.cost.get_or_create(&labels).inc_by(cost);
        }
        let Some(usage) = ended.usage else { return };
        for (class, tokens) in [
            ("input", usage.input),
            ("output", usage.output),
            ("cached_input", usage.cached_input),
            ("cache_write", usage.cache_write),
            ("reasoning", usage.reasoning),
        ] {
            let labels = TokenLabels { endpoint: endpoint.clone(), class };
            self.tokens.get_or_create(&labels).inc_by(tokens);
        }
    }

    pub fn reloaded(&self, accepted: bool) {
        let result = if accepted { "accepted" } else { "refused" };
        self.reloads.get_or_create(&ResultLabels { result }).inc();
    }

    /// The text that Prometheus scrapes.
    pub fn encode(&self, gateway: &Gateway) -> String {
        self.read.refresh(gateway);
        let mut text = String::new();
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            // Writing to a string fails only when a metric refuses to encode itself.
            let _infallible = writeln!(text, "# a metric could not be encoded");
        }
        text
    }
}

/// Counts a request as running.
pub struct Running(Gauge<i64, AtomicI64>);

impl Running {
    /// Keeps counting until the body was sent or dropped.
    pub fn until_the_end_of(self, body: ReplyBody) -> ReplyBody {
        Counted { body, _running: self }.boxed_unsync()
    }
}

/// A body that counts as running.
struct Counted {
    body: ReplyBody,
    _running: Running,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}
