//! Every key of the configuration, named once: what it is called, what it takes, what holds
//! when it is absent.
//!
//! One function for each table, by subject: `server.rs` (server, admin, journal, plugin
//! host), `routing.rs`, `provider.rs`, `model.rs` (models, routers, functions), `metric.rs`,
//! `plugin.rs` (plugins, client keys), `sink.rs`. They read; what keys say about each other is checked in `resolve.rs`, for
//! which they keep the spot of whatever names something else.

pub(super) mod metric;
pub(super) mod model;
pub(super) mod offer;
pub(super) mod plugin;
pub(super) mod provider;
mod routing;
pub(super) mod server;
pub(super) mod sink;

use std::collections::BTreeMap;

use super::name::NameRule;
use super::problem::Located;
use super::reader::Table;
use super::{Admin, Journal, Metric, PluginHost, Router, Routing, StructuredOutput};
use model::{WrittenFunction, WrittenModel};
use plugin::{WrittenKey, WrittenPlugin};
use provider::WrittenProvider;
use server::WrittenServer;
use sink::WrittenSink;

/// Tables whose entries may be spread over several files.
pub(super) const TABLES_BY_NAME: [&str; 8] =
    ["keys", "providers", "models", "routers", "functions", "metrics", "plugins", "sinks"];

/// The policy of models that name none: whoever lists several endpoints wants the best of
/// them; an order that has to be kept is worth a word.
const DEFAULT_ROUTER: &str = "adaptive";

/// A configuration as it stands in the files.
pub(super) struct Written {
    pub(super) server: WrittenServer,
    pub(super) admin: Located<Admin>,
    pub(super) journal: Journal,
    pub(super) plugin_host: PluginHost,
    pub(super) routing: Routing,
    pub(super) default_router: Located<String>,
    pub(super) query_sink: Option<Located<String>>,
    pub(super) default_provider: Option<Located<String>>,
    pub(super) resource_provider: Option<Located<String>>,
    pub(super) structured_output: StructuredOutput,
    pub(super) keys: BTreeMap<String, WrittenKey>,
    pub(super) providers: BTreeMap<String, WrittenProvider>,
    pub(super) models: BTreeMap<String, WrittenModel>,
    pub(super) routers: BTreeMap<String, Located<Router>>,
    pub(super) functions: BTreeMap<String, WrittenFunction>,
    pub(super) metrics: BTreeMap<String, Metric>,
    pub(super) plugins: BTreeMap<String, WrittenPlugin>,
    pub(super) sinks: BTreeMap<String, WrittenSink>,
}

/// Reads the top of a configuration.
pub(super) fn read(table: &Table<'_>) -> Written {
    Written {
        server: table.table("server", server::read_server),
        admin: table.table("admin", server::read_admin),
        journal: table.table("journal", server::read_journal),
        plugin_host: table.table("plugin_host", server::read_plugin_host),
        routing: table.table("routing", routing::read_routing),
        default_router: table.string_or("default_router", "the name of a router", DEFAULT_ROUTER),
        query_sink: table.string("query_sink", "the name of a sink"),
        default_provider: table.string("default_provider", "the name of a provider"),
        resource_provider: table.string("resource_provider", "the name of a provider"),
        structured_output: table.table("structured_output", server::read_structured_output),
        keys: table.named("keys", NameRule::Plain, |_, table| plugin::read_key(table)),
        providers: table
            .named("providers", NameRule::Plain, |_, table| provider::read_provider(table)),
        models: table.named("models", NameRule::Model, |_, table| model::read_model(table)),
        routers: table.named("routers", NameRule::Plain, model::read_router),
        functions: table
            .named("functions", NameRule::Plain, |_, table| model::read_function(table)),
        metrics: table.named("metrics", NameRule::Plain, metric::read_metric),
        plugins: table.named("plugins", NameRule::Plain, |_, table| plugin::read_plugin(table)),
        sinks: table.named("sinks", NameRule::Plain, |_, table| sink::read_sink(table)),
    }
}
