//! The commands: `serve`, `check`, `plugin list`, `simulate`, `route replay`, `export`,
//! `openapi`.
//!
//! `serve` reads top to bottom: configuration → snapshot → listeners → wait for a signal →
//! drain → flush → exit.

mod export;
mod offline;
mod recorded;
mod route;
mod simulate;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::{Parser, Subcommand};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use torana_routing::statistics::Statistics;

use crate::bundled::PLUGINS;
use crate::config::Config;
use crate::error::chain;
use crate::gateway::{Gateway, SetupError, load_config};
use crate::shutdown::{Signal, Signals};
use crate::telemetry::{self, LogFormat};
use crate::{admin, openapi, request};

/// Torana, a self-hosted LLM gateway.
#[derive(Debug, Parser)]
#[command(name = "torana", version, about, disable_help_subcommand = true)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Runs the gateway.
    Serve {
        #[command(flatten)]
        config: ConfigArgument,
        /// How log lines on standard error look.
        #[arg(long, value_enum, default_value = "text")]
        log_format: LogFormat,
    },
    /// Checks configuration and plugins; prints every problem with its file and line.
    Check {
        #[command(flatten)]
        config: ConfigArgument,
    },
    /// Looks at plugins.
    Plugin {
        #[command(subcommand)]
        action: PluginAction,
    },
    /// Runs routing policies in virtual time: what they cost, and how fast they answer.
    Simulate(Box<simulate::Arguments>),
    /// Looks at routing decisions.
    Route {
        #[command(subcommand)]
        action: RouteAction,
    },
    /// Writes recorded calls, attempts, feedback and more into a file for analysts.
    Export(Box<export::Arguments>),
    /// Prints the OpenAPI description of the data plane.
    Openapi,
}

#[derive(Debug, Subcommand)]
enum PluginAction {
    /// Lists the plugins bundled with this binary.
    List,
}

#[derive(Debug, Subcommand)]
enum RouteAction {
    /// Makes a recorded decision again and compares, to the byte.
    Replay(route::Arguments),
}

#[derive(Debug, clap::Args)]
struct ConfigArgument {
    /// The configuration file, or a pattern whose files are read as one.
    #[arg(long, short, env = "TORANA_CONFIG", default_value = "config/torana.toml")]
    config: String,
}

/// The gateway ran and could not go on, or did not start.
const FAILED: u8 = 1;
/// The configuration or a plugin is wrong (`EX_CONFIG` of sysexits).
const MISCONFIGURED: u8 = 78;
/// A second signal came while draining.
const IMPATIENT: u8 = 130;

impl Command {
    pub fn run(self) -> ExitCode {
        match self.action {
            Action::Serve { config, log_format } => {
                telemetry::start(log_format);
                with_runtime(serve(config.config))
            }
            Action::Check { config } => {
                // A store that is not there is no mistake, and its sink says so.
                telemetry::start(LogFormat::Text);
                with_runtime(check(config.config))
            }
            Action::Plugin { action: PluginAction::List } => {
                for plugin in PLUGINS {
                    say(&format!("{} ({} KiB)", plugin.name, plugin.bytes.len() / 1024));
                }
                ExitCode::SUCCESS
            }
            Action::Simulate(arguments) => match simulate::simulate(&arguments) {
                Ok(simulated) => {
                    simulated.notices.iter().for_each(|notice| complain(notice));
                    say(&simulated.text);
                    ExitCode::SUCCESS
                }
                Err(error) => refuse(&error),
            },
            Action::Route { action: RouteAction::Replay(arguments) } => {
                with_runtime(replay(arguments))
            }
            Action::Export(arguments) => with_runtime(write_export(*arguments)),
            Action::Openapi => describe(),
        }
    }
}

async fn replay(arguments: route::Arguments) -> ExitCode {
    match route::run(&arguments).await {
        Ok((report, same)) => {
            say(&report);
            if same { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
        }
        Err(error) => refuse(&error),
    }
}

/// Words go to standard error: rows may go to standard output.
async fn write_export(arguments: export::Arguments) -> ExitCode {
    match export::run(&arguments).await {
        Ok(exported) => {
            exported.notices.iter().for_each(|notice| complain(notice));
            ExitCode::SUCCESS
        }
        Err(error) if error.is_misconfigured() => refuse(&error),
        Err(error) => {
            complain(&chain(&error));
            ExitCode::from(if error.is_interrupted() { IMPATIENT } else { FAILED })
        }
    }
}

fn refuse(error: &dyn std::error::Error) -> ExitCode {
    complain(&chain(error));
    ExitCode::from(MISCONFIGURED)
}

fn describe() -> ExitCode {
    match openapi::document() {
        Ok(document) => {
            say(&format!("{document:#}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&chain(&error));
            ExitCode::from(FAILED)
        }
    }
}

fn with_runtime(future: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(future);
            // What still runs has had its drain time.
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            complain(&format!("the runtime cannot be started: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Everything that `serve` would do before it listens.
async fn check(config: String) -> ExitCode {
    let path = config.clone();
    let checked = tokio::task::spawn_blocking(move || check_blocking(&path));
    match checked.await {
        Ok(Ok(summary)) => {
            say(&summary);
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => {
            complain(&chain(&error));
            ExitCode::from(MISCONFIGURED)
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(FAILED)
        }
    }
}

fn check_blocking(path: &str) -> Result<String, SetupError> {
    use crate::gateway::ambient;
    use crate::plugin::Catalog;
    use crate::plugin::engine::Engines;
    use crate::snapshot::build::{Surroundings, build};
    use crate::upstream::pool::UpstreamPool;

    let config = load_config(path, PLUGINS)?;
    for notice in &config.notices {
        complain(&notice.to_string());
    }
    let engines = Engines::new(&config.plugin_host.cache, config.plugin_host.instances)?;
    let catalog = Catalog::new(engines, PLUGINS);
    let runtime = tokio::runtime::Handle::current();
    let upstream = Arc::new(UpstreamPool::new()?);
    let surroundings = Surroundings {
        catalog: &catalog,
        statistics: &|_| Arc::new(Statistics::new(Instant::now())),
        learned: &|_, _| Arc::default(),
        running_sink: &|_| None,
        runtime: &runtime,
        ambient: &ambient(&upstream),
    };
    let snapshot = build(config, 0, &surroundings)?;
    Ok(format!(
        "{path}: ok ({} models, {} providers, {} functions, {} sinks, {} plugins)",
        snapshot.models.len(),
        snapshot.providers.len(),
        snapshot.functions.len(),
        snapshot.sinks.len(),
        snapshot.plugins.len(),
    ))
}

async fn serve(config: String) -> ExitCode {
    match run(config).await {
        Ok(code) => code,
        Err(error) => {
            complain(&chain(&error));
            let misconfigured =
                matches!(error, StartError::Setup(SetupError::Config(_) | SetupError::Build(_)));
            ExitCode::from(if misconfigured { MISCONFIGURED } else { FAILED })
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("{key} = \"{address}\": cannot listen there")]
    Listen { key: &'static str, address: std::net::SocketAddr, source: std::io::Error },
    #[error("signals cannot be received")]
    Signals(#[source] std::io::Error),
}

async fn run(config: String) -> Result<ExitCode, StartError> {
    let mut signals = Signals::listen().map_err(StartError::Signals)?;
    let gateway = Gateway::start(config, PLUGINS).await?;
    let snapshot = gateway.snapshot();
    let data = listen("server.listen", snapshot.config.server.listen).await?;
    let control = listen("admin.listen", snapshot.config.admin.listen).await?;
    announce(&data, &control, &snapshot.config);
    drop(snapshot);

    let tasks = gateway.tasks.clone();
    let admin_stop = CancellationToken::new();
    let serving = tasks.spawn("accept", request::accept::serve(gateway.clone(), data));
    tasks.spawn("admin", admin::serve(gateway.clone(), control, admin_stop.clone()));
    tasks.spawn("watch", gateway.clone().watch());

    loop {
        match signals.next().await {
            Signal::Stop => break,
            // Logged, counted and kept for `/status` by `reload` itself.
            Signal::Reload => drop(gateway.reload().await),
        }
    }
    tracing::info!("stopping: no new requests, running ones may finish");
    tasks.stopping().cancel();
    let drained = async {
        serving.ended().await;
        gateway.deliveries.stop().await;
        admin_stop.cancel();
        let rest = tasks.all_ended();
        // Only what does not listen to the end is left, such as a query that hangs.
        drop(tokio::time::timeout(std::time::Duration::from_secs(1), rest).await);
    };
    tokio::select! {
        () = drained => {
            tracing::info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        () = second_stop(&mut signals) => {
            tracing::warn!("second signal: stopping at once");
            Ok(ExitCode::from(IMPATIENT))
        }
    }
}

async fn second_stop(signals: &mut Signals) {
    while signals.next().await != Signal::Stop {}
}

async fn listen(
    key: &'static str,
    address: std::net::SocketAddr,
) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { key, address, source })
}

/// Where it listens, and what to try first.
fn announce(data: &TcpListener, control: &TcpListener, config: &Config) {
    let (Ok(data), Ok(control)) = (data.local_addr(), control.local_addr()) else { return };
    say(&format!("listening on http://{data} (data plane)"));
    say(&format!("admin on http://{control}"));
    let function = || config.functions.keys().next().map(|name| format!("function::{name}"));
    let Some(model) = config.models.keys().next().cloned().or_else(function) else { return };
    say(&format!(
        "try it:\n  curl http://{data}/v1/chat/completions -H 'content-type: application/json' \\\n    \
         -d '{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello!\"}}]}}'\n  \
         curl http://{data}/v1/inferences"
    ));
}

/// A closed standard output must not end the gateway.
fn say(line: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stdout(), "{line}"));
}

fn complain(line: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stderr(), "{line}"));
}
