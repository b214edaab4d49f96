//! Metrics of the sinks: updated as things happen, by the delivery of each sink.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::{EncodeLabelSet, SinkLabels};

/// From a local file to a store that is about to be given up.
const BATCH_BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BatchLabels {
    sink: String,
    result: &'static str,
}

/// Of all sinks, by name.
#[derive(Clone)]
pub struct SinkMetrics {
    delivered: Family<SinkLabels, Counter>,
    skipped: Family<SinkLabels, Counter>,
    rejected: Family<SinkLabels, Counter>,
    batches: Family<BatchLabels, Counter>,
    duration: Family<SinkLabels, Histogram>,
    up: Family<SinkLabels, Gauge>,
    dead_letter_bytes: Family<SinkLabels, Gauge>,
    dead_letters_dropped: Family<SinkLabels, Counter>,
    dead_letter_errors: Family<SinkLabels, Counter>,
}

/// Of one sink.
#[derive(Debug, Clone)]
pub struct SinkFigures {
    pub delivered: Counter,
    pub skipped: Counter,
    pub rejected: Counter,
    pub acknowledged: Counter,
    pub put_off: Counter,
    pub partly_rejected: Counter,
    pub failed: Counter,
    /// Seconds.
    pub duration: Histogram,
    pub up: Gauge,
    pub dead_letter_bytes: Gauge,
    pub dead_letters_dropped: Counter,
    pub dead_letter_errors: Counter,
}

impl Default for SinkMetrics {
    fn default() -> Self {
        Self {
            delivered: Family::default(),
            skipped: Family::default(),
            rejected: Family::default(),
            batches: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(BATCH_BUCKETS)),
            up: Family::default(),
            dead_letter_bytes: Family::default(),
            dead_letters_dropped: Family::default(),
            dead_letter_errors: Family::default(),
        }
    }
}

impl SinkMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let rows = [
            ("sink_delivered_rows", "Rows a sink acknowledged", &self.delivered),
            ("sink_skipped_rows", "Rows a sink's rules leave out", &self.skipped),
            ("sink_rejected_rows", "Rows a sink can never take", &self.rejected),
            (
                "sink_dead_letters_dropped",
                "Dead letters beyond the bound",
                &self.dead_letters_dropped,
            ),
            (
                "sink_dead_letter_errors",
                "Dead letters that could not be written yet",
                &self.dead_letter_errors,
            ),
        ];
        for (name, help, family) in rows {
            registry.register(name, help, family.clone());
        }
        registry.register("sink_batches", "Batches by a sink's answer", self.batches.clone());
        registry.register_with_unit(
            "sink_batch_duration",
            "What a sink took to answer a batch",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register("sink_up", "0 from a failure to the next success", self.up.clone());
        registry.register(
            "sink_dead_letter_bytes",
            "Dead letters on disk",
            self.dead_letter_bytes.clone(),
        );
    }

    /// There from the start, so that an alert on their rate has a zero to rise from.
    pub fn of(&self, sink: &str) -> SinkFigures {
        let labels = SinkLabels { sink: sink.to_owned() };
        let batches = |result| {
            let labels = BatchLabels { sink: sink.to_owned(), result };
            self.batches.get_or_create(&labels).clone()
        };
        SinkFigures {
            delivered: self.delivered.get_or_create(&labels).clone(),
            skipped: self.skipped.get_or_create(&labels).clone(),
            rejected: self.rejected.get_or_create(&labels).clone(),
            acknowledged: batches("ack"),
            put_off: batches("retry"),
            partly_rejected: batches("reject"),
            failed: batches("failed"),
            duration: self.duration.get_or_create(&labels).clone(),
            up: self.up.get_or_create(&labels).clone(),
            dead_letter_bytes: self.dead_letter_bytes.get_or_create(&labels).clone(),
            dead_letters_dropped: self.dead_letters_dropped.get_or_create(&labels).clone(),
            dead_letter_errors: self.dead_letter_errors.get_or_create(&labels).clone(),
        }
    }

    /// The sink is no longer configured.
    pub fn forget(&self, sink: &str) {
        let labels = SinkLabels { sink: sink.to_owned() };
        for family in [
            &self.delivered,
            &self.skipped,
            &self.rejected,
            &self.dead_letters_dropped,
            &self.dead_letter_errors,
        ] {
            family.remove(&labels);
        }
        for result in ["ack", "retry", "reject", "failed"] {
            self.batches.remove(&BatchLabels { sink: sink.to_owned(), result });
        }
        self.duration.remove(&labels);
        self.up.remove(&labels);
        self.dead_letter_bytes.remove(&labels);
    }
}
