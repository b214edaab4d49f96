//! Every metric of the gateway, in one place, for Prometheus.
//!
//! `docs/operating.md` documents each; a test holds it against what `/metrics` gives.

mod sinks;

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

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
use torana_routing::policy::Breaker;

use crate::gateway::{Ended, Gateway};
use crate::request::reply::{BodyError, ReplyBody};

pub use sinks::{SinkFigures, SinkMetrics};

type FloatGauge = Gauge<f64, AtomicU64>;

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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabels {
    plugin: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KillLabels {
    plugin: String,
    cause: &'static str,
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
    rows_lost: Counter,
    /// Kept by the deliveries.
    pub sinks: SinkMetrics,
    read: ReadAtScrape,
}

/// Values that others keep and a scrape reads.
#[derive(Default)]
struct ReadAtScrape {
    generation: Gauge,
    journal_bytes: Gauge,
    journal_rows: Counter,
    journal_dropped: Counter,
    journal_write_errors: Counter,
    journal_read_errors: Counter,
    journal_damaged_reads: Counter,
    journal_damaged_records: Gauge,
    journal_damaged_bytes: Gauge,
    journal_damaged_rows: Gauge,
    clock_steps_back: Counter,
    sink_lag: Family<SinkLabels, Gauge>,
    sink_lag_bytes: Family<SinkLabels, Gauge>,
    sink_oldest_row: Family<SinkLabels, FloatGauge>,
    sink_lost: Family<SinkLabels, Counter>,
    plugin_calls: Family<PluginLabels, Counter>,
    plugin_busy: Family<PluginLabels, Counter<f64, AtomicU64>>,
    plugin_kills: Family<KillLabels, Counter>,
    plugin_memory: Family<PluginLabels, Gauge>,
    plugin_quarantined: Family<PluginLabels, Gauge>,
    endpoint_error_rate: Family<EndpointLabels, FloatGauge>,
    endpoint_in_flight: Family<EndpointLabels, Gauge>,
    endpoint_breaker: Family<EndpointLabels, Gauge>,
    endpoint_cap: Family<EndpointLabels, Gauge>,
    endpoint_oldest: Family<EndpointLabels, FloatGauge>,
    endpoint_back_off: Family<EndpointLabels, FloatGauge>,
    endpoint_throughput: Family<EndpointLabels, FloatGauge>,
    endpoint_tool_call_errors: Family<EndpointLabels, FloatGauge>,
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
            rows_lost: Counter::default(),
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
        registry.register(
            "journal_rows_lost",
            "Rows that could not be written to the journal",
            self.rows_lost.clone(),
        );
        let read = &self.read;
        registry.register(
            "generation",
            "Generation of the current snapshot",
            read.generation.clone(),
        );
        registry.register(
            "journal_bytes",
            "Bytes of the journal on disk",
            read.journal_bytes.clone(),
        );
        registry.register("journal_rows", "Rows written to the journal", read.journal_rows.clone());
        registry.register(
            "journal_rows_dropped",
            "Rows dropped at the journal's bound before every sink had them",
            read.journal_dropped.clone(),
        );
        read.register_journal_health(registry);
        self.sinks.register(registry);
        registry.register("plugin_calls", "Calls into a plugin", read.plugin_calls.clone());
        registry.register_with_unit(
            "plugin_busy",
            "Time spent inside a plugin",
            Unit::Seconds,
            read.plugin_busy.clone(),
        );
        registry.register(
            "plugin_kills",
            "Calls ended by a trap or a bound",
            read.plugin_kills.clone(),
        );
        registry.register(
            "plugin_memory_peak_bytes",
            "Largest memory of any instance",
            read.plugin_memory.clone(),
        );
        registry.register(
            "plugin_quarantined",
            "1 while a plugin is out of service",
            read.plugin_quarantined.clone(),
        );
        registry.register(
            "endpoint_error_rate",
            "Share of failed calls of late",
            read.endpoint_error_rate.clone(),
        );
        registry.register(
            "endpoint_in_flight",
            "Requests running at an endpoint",
            read.endpoint_in_flight.clone(),
        );
        registry.register(
            "endpoint_breaker",
            "0 closed, 1 half open, 2 open",
            read.endpoint_breaker.clone(),
        );
        registry.register(
            "endpoint_learned_cap",
            "Concurrency an endpoint was seen to take; 0 while it never refused",
            read.endpoint_cap.clone(),
        );
        registry.register_with_unit(
            "endpoint_oldest_outstanding",
            "Age of the oldest call that has not given its first token",
            Unit::Seconds,
            read.endpoint_oldest.clone(),
        );
        registry.register_with_unit(
            "endpoint_back_off",
            "How long an endpoint yet asks to be left alone",
            Unit::Seconds,
            read.endpoint_back_off.clone(),
        );
        registry.register(
            "endpoint_tokens_per_second",
            "Output tokens a second after the first, of late",
            read.endpoint_throughput.clone(),
        );
        registry.register(
            "endpoint_tool_call_error_rate",
            "Share of answers whose tool calls did not fit their schemas",
            read.endpoint_tool_call_errors.clone(),
        );
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

    pub fn rows_lost(&self, rows: usize) {
        self.rows_lost.inc_by(rows as u64);
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

impl ReadAtScrape {
    /// What opening the journal found, how its disk does, and how far each sink is behind.
    fn register_journal_health(&self, registry: &mut Registry) {
        let counters = [
            (
                "journal_write_errors",
                "Appends and syncs that the disk failed",
                &self.journal_write_errors,
            ),
            (
                "journal_read_errors",
                "Reads of the journal that the disk failed",
                &self.journal_read_errors,
            ),
            (
                "journal_damaged_reads",
                "Damaged stretches that sinks were taken past",
                &self.journal_damaged_reads,
            ),
            (
                "clock_steps_back",
                "Times that the system's clock was set back",
                &self.clock_steps_back,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let gauges = [
            (
                "journal_damaged_records",
                "Damaged stretches that opening the journal found",
                &self.journal_damaged_records,
            ),
            ("journal_damaged_bytes", "Bytes in them", &self.journal_damaged_bytes),
            ("journal_damaged_rows", "Rows known to have been in them", &self.journal_damaged_rows),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let lag = "Rows a sink has not acknowledged";
        registry.register("sink_lag_rows", lag, self.sink_lag.clone());
        let lag_bytes = "Bytes of the journal a sink has not acknowledged";
        registry.register("sink_lag_bytes", lag_bytes, self.sink_lag_bytes.clone());
        let oldest = "Age of the oldest row a sink has not acknowledged";
        registry.register_with_unit(
            "sink_oldest_row",
            oldest,
            Unit::Seconds,
            self.sink_oldest_row.clone(),
        );
        let lost = "Rows a sink never got: dropped before it came to them, or damaged";
        registry.register("sink_lost_rows", lost, self.sink_lost.clone());
    }

    fn refresh(&self, gateway: &Gateway) {
        use std::sync::atomic::Ordering::Relaxed;
        let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let snapshot = gateway.snapshot();
        self.generation.set(signed(snapshot.generation));

        let journal = gateway.journal.stats();
        self.journal_bytes.set(signed(journal.bytes));
        self.journal_rows.inner().store(journal.appended_rows, Relaxed);
        self.journal_dropped.inner().store(journal.dropped_rows, Relaxed);
        self.journal_write_errors.inner().store(journal.write_errors, Relaxed);
        self.journal_read_errors.inner().store(journal.read_errors, Relaxed);
        self.journal_damaged_reads.inner().store(journal.damaged_reads, Relaxed);
        self.clock_steps_back.inner().store(journal.clock_steps_back, Relaxed);
        let recovery = gateway.journal.recovery();
        self.journal_damaged_records.set(signed(recovery.damaged));
        self.journal_damaged_bytes.set(signed(recovery.bytes_lost));
        self.journal_damaged_rows.set(signed(recovery.rows_lost));
        self.sink_lag.clear();
        self.sink_lag_bytes.clear();
        self.sink_oldest_row.clear();
        for consumer in journal.consumers {
            let labels = SinkLabels { sink: consumer.name };
            self.sink_lag.get_or_create(&labels).set(signed(consumer.lag_rows));
            self.sink_lag_bytes.get_or_create(&labels).set(signed(consumer.lag_bytes));
            let age = consumer.oldest_row_age.as_secs_f64();
            self.sink_oldest_row.get_or_create(&labels).set(age);
            self.sink_lost.get_or_create(&labels).inner().store(consumer.lost_rows, Relaxed);
        }

        for (plugin, account) in gateway.catalog.accounts() {
            let labels = PluginLabels { plugin };
            self.plugin_calls.get_or_create(&labels).inner().store(account.calls, Relaxed);
            #[expect(clippy::cast_precision_loss, reason = "microseconds below 2^52 are years")]
            let busy = account.busy_us as f64 / 1e6;
            self.plugin_busy.get_or_create(&labels).inner().store(busy.to_bits(), Relaxed);
            self.plugin_memory.get_or_create(&labels).set(signed(account.memory_peak_bytes));
        }
        for (plugin, cause, kills) in gateway.catalog.kills() {
            let labels = KillLabels { plugin, cause };
            self.plugin_kills.get_or_create(&labels).inner().store(kills, Relaxed);
        }
        self.plugin_quarantined.clear();
        for plugin in &snapshot.plugins {
            let labels = PluginLabels { plugin: plugin.name.to_string() };
            let closed = i64::from(plugin.quarantine.is_closed());
            self.plugin_quarantined.get_or_create(&labels).set(closed);
        }

        self.endpoint_error_rate.clear();
        self.endpoint_in_flight.clear();
        self.endpoint_breaker.clear();
        self.endpoint_cap.clear();
        self.endpoint_oldest.clear();
        self.endpoint_back_off.clear();
        self.endpoint_throughput.clear();
        self.endpoint_tool_call_errors.clear();
        let now = Instant::now();
        for endpoint in snapshot.models.values().flat_map(|model| &model.endpoints) {
            let labels = EndpointLabels { endpoint: endpoint.name.to_string() };
            let reading = endpoint.statistics.read(now);
            self.endpoint_error_rate.get_or_create(&labels).set(reading.error_rate);
            self.endpoint_in_flight.get_or_create(&labels).set(reading.in_flight.into());
            self.endpoint_cap.get_or_create(&labels).set(reading.learned_cap.into());
            let oldest = reading.oldest_outstanding.as_secs_f64();
            self.endpoint_oldest.get_or_create(&labels).set(oldest);
            self.endpoint_back_off.get_or_create(&labels).set(reading.back_off.as_secs_f64());
            self.endpoint_throughput.get_or_create(&labels).set(reading.throughput);
            let errors = reading.tool_call_error_rate;
            self.endpoint_tool_call_errors.get_or_create(&labels).set(errors);
            let breaker = match reading.breaker {
                Breaker::Closed => 0,
                Breaker::HalfOpen => 1,
                Breaker::Open => 2,
            };
            self.endpoint_breaker.get_or_create(&labels).set(breaker);
        }
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
