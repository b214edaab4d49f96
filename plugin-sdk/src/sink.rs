//! Sinks: take the journal's rows to a store, and optionally read them back.
//!
//! The host hands over batches in order and goes on once one is acknowledged. Delivery is
//! at least once: [`Row::id`] tells a repeated row. The SDK keeps one sink per component
//! instance; opening again replaces it.
//!
//! ```
//! use torana_plugin_sdk::sink::{Outcome, Row, Sink};
//! use torana_plugin_sdk::{NoSettings, SettingsError, log};
//!
//! /// Writes the id of every row to the gateway's log.
//! struct ToLog;
//!
//! impl Sink for ToLog {
//!     type Settings = NoSettings;
//!
//!     fn open(_: NoSettings) -> Result<Self, SettingsError> {
//!         Ok(Self)
//!     }
//!
//!     fn write(&mut self, batch: &[Row]) -> Outcome {
//!         for row in batch {
//!             log::info!("{}", row.id);
//!         }
//!         Outcome::Ack
//!     }
//! }
//!
//! torana_plugin_sdk::export_sink!(ToLog);
//! ```

pub mod cursor;
pub mod receiver;
pub mod words;

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::bindings::sink::exports::torana::sink::delivery as generated;
use crate::bindings::sink_query::exports::torana::sink::query as generated_query;
use crate::{SettingsError, instance, settings};

pub use generated::{Outcome, Rejection, Row, RowKind};
pub use generated_query::{
    Comparison, Dimension, Error as QueryError, FeedbackRequest, FeedbackRow, MetricFilter, Order,
    Page, PageRequest, RowFilter, Spread, Table, UsageReport, UsageRequest, UsageRow,
};

/// How long a sink that was never opened puts the host off, in milliseconds.
const UNOPENED_RETRY_MS: u32 = 1_000;

/// A sink.
pub trait Sink: Sized + 'static {
    /// The sink's `settings` table.
    type Settings: DeserializeOwned;

    /// Once, before the first batch. May create or migrate the store.
    ///
    /// # Errors
    ///
    /// Why the settings, or the store they name, cannot be used.
    fn open(settings: Self::Settings) -> Result<Self, SettingsError>;

    /// Takes a batch. [`Outcome::Ack`] promises that every row is durable.
    fn write(&mut self, batch: &[Row]) -> Outcome;

    /// Before shutdown and before a swap. A sink that holds nothing back keeps the default.
    fn flush(&mut self) -> Outcome {
        Outcome::Ack
    }
}

/// A sink that can be asked for what it took. What each call promises stands in
/// `wit/sink/sink.wit`.
pub trait QueryableSink: Sink {
    /// Rows of one table, newest or oldest first, a page at a time. Everything that is set in
    /// `filter` must hold.
    ///
    /// # Errors
    ///
    /// A cursor of somebody else, or a store that does not answer.
    fn list_rows(
        &mut self,
        table: Table,
        filter: &RowFilter,
        page: &PageRequest,
    ) -> Result<Page, QueryError>;

    /// JSON of one inference with its `model_inferences` and `feedback`; absent when there is
    /// none.
    ///
    /// # Errors
    ///
    /// A store that does not answer.
    fn get_inference(&mut self, id: &str) -> Result<Option<Vec<u8>>, QueryError>;

    /// Tokens, cost and times, summed up.
    ///
    /// # Errors
    ///
    /// A table without usage, or a store that does not answer.
    fn usage(&mut self, request: &UsageRequest) -> Result<UsageReport, QueryError>;

    /// What a metric says of each variant.
    ///
    /// # Errors
    ///
    /// A store that does not answer.
    fn feedback_statistics(
        &mut self,
        request: &FeedbackRequest,
    ) -> Result<Vec<FeedbackRow>, QueryError>;
}

impl RowKind {
    /// The name in stores: `inference`, `model_inference`, `feedback`, `decision`,
    /// `plugin_event` or `snapshot`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::ModelInference => "model_inference",
            Self::Feedback => "feedback",
            Self::Decision => "decision",
            Self::PluginEvent => "plugin_event",
            Self::Snapshot => "snapshot",
        }
    }
}

/// The exports of a component made of `S`.
#[doc(hidden)]
#[derive(Debug)]
pub struct Component<S>(PhantomData<S>);

impl<S: Sink> generated::Guest for Component<S> {
    fn open(settings: Vec<u8>) -> Result<(), SettingsError> {
        instance::start();
        instance::set(S::open(settings::decode(&settings)?)?);
        Ok(())
    }

    fn write(batch: Vec<Row>) -> Outcome {
        instance::with(|sink: &mut S| sink.write(&batch))
            .unwrap_or(Outcome::Retry(UNOPENED_RETRY_MS))
    }

    fn flush() -> Outcome {
        instance::with(|sink: &mut S| sink.flush()).unwrap_or(Outcome::Ack)
    }
}

impl<S: QueryableSink> generated_query::Guest for Component<S> {
    fn list_rows(table: Table, filter: RowFilter, page: PageRequest) -> Result<Page, QueryError> {
        ask(|sink: &mut S| sink.list_rows(table, &filter, &page))
    }

    fn get_inference(id: String) -> Result<Option<Vec<u8>>, QueryError> {
        ask(|sink: &mut S| sink.get_inference(&id))
    }

    fn usage(request: UsageRequest) -> Result<UsageReport, QueryError> {
        ask(|sink: &mut S| sink.usage(&request))
    }

    fn feedback_statistics(request: FeedbackRequest) -> Result<Vec<FeedbackRow>, QueryError> {
        ask(|sink: &mut S| sink.feedback_statistics(&request))
    }
}

fn ask<S: 'static, R>(
    question: impl FnOnce(&mut S) -> Result<R, QueryError>,
) -> Result<R, QueryError> {
    instance::with(question).unwrap_or_else(|| Err(unopened()))
}

fn unopened() -> QueryError {
    QueryError::Unavailable("the sink is not open".into())
}

/// Compiles when the export macro is given a sink.
#[doc(hidden)]
pub const fn is_sink<S: Sink>() {}

/// Compiles when the export macro is given a queryable sink.
#[doc(hidden)]
pub const fn is_queryable_sink<S: QueryableSink>() {}

/// Makes the component a sink: `export_sink!(MySink);` for a [`Sink`].
#[macro_export]
macro_rules! export_sink {
    ($sink:ty) => {
        const _: () = {
            $crate::sink::is_sink::<$sink>();
            #[cfg(target_arch = "wasm32")]
            type Exported = $crate::sink::Component<$sink>;
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::sink::export_component!(
                Exported with_types_in $crate::bindings::sink
            );
        };
    };
}

/// Makes the component a sink that can be asked: `export_queryable_sink!(MySink);` for a
/// [`QueryableSink`].
#[macro_export]
macro_rules! export_queryable_sink {
    ($sink:ty) => {
        $crate::export_sink!($sink);
        const _: () = {
            $crate::sink::is_queryable_sink::<$sink>();
            #[cfg(target_arch = "wasm32")]
            type Exported = $crate::sink::Component<$sink>;
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::sink_query::export_component!(
                Exported with_types_in $crate::bindings::sink_query
            );
        };
    };
}

#[cfg(test)]
mod tests {
    use generated::Guest as _;
    use generated_query::Guest as _;

    use super::*;
    use crate::NoSettings;

    struct Holding(Vec<String>);

    impl Sink for Holding {
        type Settings = NoSettings;

        fn open(_: NoSettings) -> Result<Self, SettingsError> {
            Ok(Self(Vec::new()))
        }

        fn write(&mut self, batch: &[Row]) -> Outcome {
            self.0.extend(batch.iter().map(|row| row.id.clone()));
            Outcome::Ack
        }
    }

    impl QueryableSink for Holding {
        fn list_rows(
            &mut self,
            _: Table,
            _: &RowFilter,
            _: &PageRequest,
        ) -> Result<Page, QueryError> {
            Err(QueryError::InvalidCursor)
        }

        fn usage(&mut self, _: &UsageRequest) -> Result<UsageReport, QueryError> {
            Ok(UsageReport { rows: Vec::new(), truncated: false })
        }

        fn feedback_statistics(
            &mut self,
            request: &FeedbackRequest,
        ) -> Result<Vec<FeedbackRow>, QueryError> {
            Err(QueryError::Unsupported(request.metric.clone()))
        }

        fn get_inference(&mut self, id: &str) -> Result<Option<Vec<u8>>, QueryError> {
            Ok(self.0.iter().any(|it| it == id).then(Vec::new))
        }
    }

    type Exported = Component<Holding>;

    #[test]
    fn unopened_sink_takes_nothing_and_opened_one_keeps_what_it_took() {
        let row = Row {
            id: "a".into(),
            kind: RowKind::Inference,
            inference_id: "a".into(),
            time_unix_ms: 1,
            json: b"{}".to_vec(),
        };
        assert_eq!(Exported::write(vec![row.clone()]), Outcome::Retry(UNOPENED_RETRY_MS));
        assert_eq!(Exported::get_inference("a".into()), Err(unopened()));
        assert_eq!(Exported::open(b"{}".to_vec()), Ok(()));
        assert_eq!(Exported::write(vec![row]), Outcome::Ack);
        assert_eq!(Exported::flush(), Outcome::Ack);
        assert_eq!(Exported::get_inference("a".into()), Ok(Some(vec![])));
        assert_eq!(Exported::get_inference("b".into()), Ok(None));
    }
}
