//! The gateway's own log: to standard error, filtered by `RUST_LOG`, as text for people or
//! JSON for machines. Prompts, answers and secrets are never logged at any level.

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// What is logged unless `RUST_LOG` says otherwise: ours, and plugins' own lines.
const DEFAULT_FILTER: &str = "warn,torana=info,plugin=info";

/// Starts logging. Called once; a second call changes nothing.
pub fn start(format: LogFormat) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => {
            use std::io::IsTerminal as _;
            builder.with_ansi(std::io::stderr().is_terminal()).try_init()
        }
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(started);
}
