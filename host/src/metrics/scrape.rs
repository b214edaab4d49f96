//! Figures that others keep – journal, plugins, endpoints – as they are when somebody scrapes.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use torana_routing::policy::Breaker;

use super::{EndpointLabels, SinkLabels};
use crate::gateway::Gateway;
use crate::snapshot::Snapshot;

type FloatGauge = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabels {
    plugin: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KillLabels {
    plugin: String,
    cause: &'static str,
}

/// Values that others keep and a scrape reads.
#[derive(Default)]
pub(super) struct ReadAtScrape {
    generation: Gauge,
    journal_bytes: Gauge,
    journal_rows: Counter,
    journal_rows_lost: Counter,
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

impl ReadAtScrape {
    pub(super) fn register(&self, registry: &mut Registry) {
        self.register_journal(registry);
        self.register_journal_health(registry);
        self.register_plugins(registry);
        self.register_endpoints(registry);
    }

    pub(super) fn refresh(&self, gateway: &Gateway) {
        let snapshot = gateway.snapshot();
        self.generation.set(signed(snapshot.generation));
        self.refresh_journal(gateway);
        self.refresh_plugins(gateway, &snapshot);
        self.refresh_endpoints(&snapshot);
    }

    fn register_journal(&self, registry: &mut Registry) {
        registry.register(
            "generation",
            "Generation of the current snapshot",
            self.generation.clone(),
        );
        registry.register(
            "journal_bytes",
            "Bytes of the journal on disk",
            self.journal_bytes.clone(),
        );
        registry.register("journal_rows", "Rows written to the journal", self.journal_rows.clone());
        registry.register(
            "journal_rows_lost",
            "Rows that could not be written to the journal",
            self.journal_rows_lost.clone(),
        );
        registry.register(
            "journal_rows_dropped",
            "Rows dropped at the journal's bound before every sink had them",
            self.journal_dropped.clone(),
        );
    }

    /// What opening the journal found, how its disk does, and how far each sink is behind.
    fn register_journal_health(&self, registry: &mut Registry) {
        let counters = [
            (
                "journal_write_errors",
                "Writes and syncs that the disk failed",
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

    fn register_plugins(&self, registry: &mut Registry) {
        registry.register("plugin_calls", "Calls into a plugin", self.plugin_calls.clone());
        registry.register_with_unit(
            "plugin_busy",
            "Time spent inside a plugin",
            Unit::Seconds,
            self.plugin_busy.clone(),
        );
        registry.register(
            "plugin_kills",
            "Calls ended by a trap or a bound",
            self.plugin_kills.clone(),
        );
        registry.register(
            "plugin_memory_peak_bytes",
            "Largest memory of any instance",
            self.plugin_memory.clone(),
        );
        registry.register(
            "plugin_quarantined",
            "1 while a plugin is out of service",
            self.plugin_quarantined.clone(),
        );
    }

    fn register_endpoints(&self, registry: &mut Registry) {
        registry.register(
            "endpoint_error_rate",
            "Share of failed calls of late",
            self.endpoint_error_rate.clone(),
        );
        registry.register(
            "endpoint_in_flight",
            "Requests running at an endpoint",
            self.endpoint_in_flight.clone(),
        );
        registry.register(
            "endpoint_breaker",
            "0 closed, 1 half open, 2 open",
            self.endpoint_breaker.clone(),
        );
        registry.register(
            "endpoint_learned_cap",
            "Concurrency an endpoint was seen to take; 0 while it never refused",
            self.endpoint_cap.clone(),
        );
        registry.register_with_unit(
            "endpoint_oldest_outstanding",
            "Age of the oldest call that has not given its first token",
            Unit::Seconds,
            self.endpoint_oldest.clone(),
        );
        registry.register_with_unit(
            "endpoint_back_off",
            "How long an endpoint yet asks to be left alone",
            Unit::Seconds,
            self.endpoint_back_off.clone(),
        );
        registry.register(
            "endpoint_tokens_per_second",
            "Output tokens a second after the first, of late",
            self.endpoint_throughput.clone(),
        );
        registry.register(
            "endpoint_tool_call_error_rate",
            "Share of answers whose tool calls did not fit their schemas",
            self.endpoint_tool_call_errors.clone(),
        );
    }

    fn refresh_journal(&self, gateway: &Gateway) {
        let journal = gateway.journal.stats();
        self.journal_bytes.set(signed(journal.bytes));
        self.journal_rows.inner().store(journal.appended_rows, Relaxed);
        self.journal_dropped.inner().store(journal.dropped_rows, Relaxed);
        self.journal_rows_lost.inner().store(journal.unwritten_rows, Relaxed);
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
    }

    fn refresh_plugins(&self, gateway: &Gateway, snapshot: &Snapshot) {
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
    }

    fn refresh_endpoints(&self, snapshot: &Snapshot) {
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

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
