//! The router's `settings` table, and what of it is refused.

use serde::Deserialize;
use torana_plugin_sdk::SettingsError;

/// All of it may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// What a second until the first token is worth, US dollars. 0.0003 is about a dollar for
    /// an hour of waiting: people who watch wait dearer, batches cheaper.
    pub(crate) latency_value_usd_per_s: f64,
    /// What a second from the first token to the last is worth: a tenth of the former, for
    /// streams are read while they come.
    pub(crate) stream_value_usd_per_s: f64,
    /// A failed attempt is as bad as so many seconds of waiting.
    pub(crate) failure_s: f64,
    /// Share of the requests that try an endpoint whose figures may be out of date; 0 … 0.2.
    pub(crate) exploration: f64,
    /// Start a second attempt beside one whose first token is late.
    pub(crate) hedge: bool,
    /// Late is what so many per cent of the first tokens are not; 50 … 99.
    pub(crate) hedge_percentile: f64,
    /// Shortest time-out of a step, seconds.
    pub(crate) least_timeout_s: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            latency_value_usd_per_s: 3e-4,
            stream_value_usd_per_s: 3e-5,
            failure_s: 5.0,
            exploration: 0.02,
            hedge: false,
            hedge_percentile: 97.0,
            least_timeout_s: 1.5,
        }
    }
}

impl Settings {
    /// # Errors
    ///
    /// The first key out of its range.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        within("/latency_value_usd_per_s", self.latency_value_usd_per_s, 0.0, 1e3)?;
        within("/stream_value_usd_per_s", self.stream_value_usd_per_s, 0.0, 1e3)?;
        within("/failure_s", self.failure_s, 0.0, 3_600.0)?;
        within("/exploration", self.exploration, 0.0, 0.2)?;
        within("/hedge_percentile", self.hedge_percentile, 50.0, 99.0)?;
        within("/least_timeout_s", self.least_timeout_s, 0.01, 3_600.0)
    }
}

fn within(pointer: &str, found: f64, least: f64, most: f64) -> Result<(), SettingsError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    let message = format!("{found} is not a number from {least} to {most}");
    Err(SettingsError::at(pointer, message))
}
