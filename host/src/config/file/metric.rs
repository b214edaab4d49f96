//! `[metrics.NAME]`: what feedback can say in figures.

use super::super::reader::Table;
use super::super::{Level, Metric, MetricKind, Optimize};

/// What feedback can say without being configured; no metric can be called so.
pub(in super::super) const RESERVED: [&str; 2] = ["comment", "demonstration"];

pub(super) fn read_metric(name: &str, table: &Table<'_>) -> Metric {
    if RESERVED.contains(&name) {
        let message = format!("{name:?} is there for every inference; expected another name");
        table.report(table.spot().error(message));
    }
    if !table.has("type") {
        let message = "no type; expected type = \"boolean\" or \"float\"";
        table.report(table.spot().error(message));
    }
    let kind =
        table.choice("type", &[("boolean", MetricKind::Boolean), ("float", MetricKind::Float)]);
    Metric {
        kind: kind.map_or(MetricKind::Boolean, |kind| kind.value),
        optimize: table.choice_or("optimize", ("max", Optimize::Max), &[("min", Optimize::Min)]),
        level: table.choice_or(
            "level",
            ("inference", Level::Inference),
            &[("episode", Level::Episode)],
        ),
    }
}
