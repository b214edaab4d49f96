//! The gateway's own log: to standard error, filtered by `RUST_LOG`, as text for people or
//! JSON for machines. Prompts, answers and secrets are never logged at any level.
//!
//! Every line that is written while a request is worked on ends with its `inference_id` and
//! `trace_id`. They are not a span of `tracing`: making and entering one costs each request
//! more than all its counters do, whether a line is written or not. Instead the future of a
//! request tells the thread that polls it whom it works for ([`about`]), and the formatter
//! asks. That costs two writes to the thread's memory a poll.
//!
//! What other crates say below `debug` shows what goes over their connections; it is not
//! logged, whatever `RUST_LOG` asks for. A panic is logged by its place alone: its message may
//! quote what the code stumbled over.

use std::fmt;
use std::panic::PanicHookInfo;

use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use uuid::Uuid;

use crate::request::trace::TraceId;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// What is logged unless `RUST_LOG` says otherwise: ours, and plugins' own lines.
const DEFAULT_FILTER: &str = "warn,torana=info,plugin=info";

/// Whom a line of the log is about.
#[derive(Debug, Clone, Copy)]
pub struct About {
    pub inference: Uuid,
    pub trace: TraceId,
}

tokio::task_local! {
    static ABOUT: About;
}

/// Runs a future whose log lines are about this request.
pub fn about<F: Future>(about: About, future: F) -> impl Future<Output = F::Output> {
    ABOUT.scope(about, future)
}

/// Starts logging. Called once; a second call changes nothing.
pub fn start(format: LogFormat) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => {
            use std::io::IsTerminal as _;
            let builder = builder.with_ansi(std::io::stderr().is_terminal());
            let lines = builder.map_event_format(|format| Attributed { format, end: "\n" });
            lines.finish().with(filter_fn(is_allowed)).try_init()
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true);
            let lines = builder.map_event_format(|format| Attributed { format, end: "}\n" });
            lines.finish().with(filter_fn(is_allowed)).try_init()
        }
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(panicked));
    }
}

/// Below `debug` other crates show bytes of connections.
fn is_allowed(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let is_ours = target == "plugin" || target == "torana" || target.starts_with("torana::");
    is_ours || *metadata.level() <= Level::DEBUG
}

fn panicked(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "a task panicked");
}

/// Puts the request that a line is about before the end that `format` gives it.
struct Attributed<F> {
    format: F,
    end: &'static str,
}

impl<S, N, F> FormatEvent<S, N> for Attributed<F>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Ok(About { inference, trace }) = ABOUT.try_with(|about| *about) else {
            return self.format.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        let (line, end) = match line.strip_suffix(self.end) {
            Some(line) => (line, self.end),
            None => (line.as_str(), ""),
        };
        writer.write_str(line)?;
        match end {
            "}\n" => {
                write!(writer, r#","inference_id":"{inference}","trace_id":"{trace}""#)?;
            }
            _ => write!(writer, " inference_id={inference} trace_id={trace}")?,
        }
        writer.write_str(end)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::request::trace::Trace;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn one() -> About {
        About { inference: Uuid::now_v7(), trace: Trace::begin().id }
    }

    #[tokio::test]
    async fn a_line_of_a_request_names_it_and_another_does_not() {
        let lines = Lines::default();
        let builder = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false);
        let format = builder.map_event_format(|format| Attributed { format, end: "\n" });
        let one = one();
        let _guard = tracing::subscriber::set_default(format.finish());
        about(one, async { tracing::info!(n = 1, "inside") }).await;
        tracing::info!("outside");
        let text = lines.text();
        let ends: Vec<&str> = text.lines().collect();
        let ids = format!(" inference_id={} trace_id={}", one.inference, one.trace);
        assert!(ends[0].contains("inside") && ends[0].ends_with(&ids), "{text}");
        assert!(ends[1].ends_with("outside"), "{text}");
    }

    #[tokio::test]
    async fn a_line_of_json_stays_json() {
        let lines = Lines::default();
        let builder = tracing_subscriber::fmt().with_writer(lines.clone());
        let builder = builder.json().flatten_event(true);
        let format = builder.map_event_format(|format| Attributed { format, end: "}\n" });
        let one = one();
        let _guard = tracing::subscriber::set_default(format.finish());
        about(one, async { tracing::warn!(n = 1, "a }} in \"it\"") }).await;
        let line: serde_json::Value = serde_json::from_str(lines.text().trim()).unwrap();
        assert_eq!(line["inference_id"], one.inference.to_string());
        assert_eq!(line["trace_id"], one.trace.to_string());
        assert_eq!(
            (line["n"].as_u64(), line["message"].as_str()),
            (Some(1), Some("a } in \"it\""))
        );
    }

    #[tokio::test]
    async fn a_request_that_waits_lends_its_name_to_nobody() {
        let (one, other) = (one(), one());
        let seen = || ABOUT.try_with(|about| about.inference).ok();
        let first = about(one, async {
            tokio::task::yield_now().await;
            seen()
        });
        let second = about(other, async { seen() });
        let (first, second) = tokio::join!(first, second);
        assert_eq!((first, second), (Some(one.inference), Some(other.inference)));
        assert_eq!(seen(), None);
    }
}
