//! The configuration as the gateway uses it: final types, defaults filled in, references
//! between tables checked.
//!
//! [`load`] reads the TOML file or files and gives either a [`Config`] or every problem found,
//! each with file, line and remedy. On the way: `source.rs` finds and reads files,
//! `document.rs` keeps where every value stands, `reader.rs` walks over it, `file.rs` knows
//! every key, `preset.rs` the catalog, `resolve.rs` checks what keys say about each other.
//! Nothing here opens a socket or compiles a plugin. Strings exist only where the value really
//! is text.

mod address;
mod database;
mod document;
mod file;
mod name;
mod nearest;
mod offer;
mod preset;
mod problem;
mod reader;
mod resolve;
pub mod secret;
mod sink;
mod source;
#[cfg(test)]
mod tests;
pub mod watch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

pub use crate::journal::{SyncMode, WhenFull};
pub use crate::request::bounds::Bounds;
pub use crate::request::redact::{Pointer, Redaction};
pub use address::AddressError;
pub use database::DatabaseUrl;
pub use offer::{DataPolicy, Modality, Offer, Quantization};
pub use problem::{Place, Problem, Problems, Severity};
pub use reader::KnownKey;
pub use resolve::{known_keys, load};
pub use secret::{Secret, SecretReference};
pub use sink::{Only, Sink, SinkHeader, SinkHeaderValue, SinkRows};
pub use torana_routing::price::Price;

/// Everything the operator decided.
#[derive(Debug, Clone)]
pub struct Config {
    pub server: Server,
    pub admin: Admin,
    pub journal: Journal,
    pub plugin_host: PluginHost,
    pub keys: Vec<ClientKey>,
    pub providers: BTreeMap<String, Provider>,
    pub models: BTreeMap<String, Model>,
    /// A name in [`Config::routers`]: the policy where no model says otherwise.
    pub default_router: String,
    /// Those that are written, and the bundled ones that are named.
    pub routers: BTreeMap<String, Router>,
    pub functions: BTreeMap<String, Function>,
    pub metrics: BTreeMap<String, Metric>,
    /// Every plugin that anything here names, and whatever else `[plugins]` has.
    pub plugins: BTreeMap<String, Plugin>,
    pub sinks: BTreeMap<String, Sink>,
    /// The sink that answers `GET /v1/inferences`; absent: the first by name that can.
    pub query_sink: Option<String>,
    /// A name in [`Config::providers`]: serves model names without a provider that nothing
    /// else has.
    pub default_provider: Option<String>,
    /// A name in [`Config::providers`]: routes about objects that live at a provider are
    /// passed on to it.
    pub resource_provider: Option<String>,
    pub structured_output: StructuredOutput,
    pub routing: Routing,
    /// Where each named table stands, by its dotted name such as `plugins.mine`.
    pub places: BTreeMap<String, Place>,
    /// What works but deserves a word, such as a preset whose key is not in the environment.
    pub notices: Vec<Problem>,
    /// Configuration files and templates as they were read: what the snapshot hash covers.
    pub sources: Vec<SourceFile>,
    /// What [`watch::Watcher`] has to watch: the configuration's own path, which may be a
    /// pattern, templates, secrets and components. May name a path twice.
    pub watched: Vec<PathBuf>,
}

/// A file the configuration was read from.
#[derive(Debug, Clone)]
pub struct SourceFile {
    pub path: PathBuf,
    pub sha256: [u8; 32],
}

/// `[server]`: the data plane.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    pub listen: SocketAddr,
    pub auth: Auth,
    pub body_limit_bytes: usize,
    /// Of a provider: a whole answer, or one frame of a streamed one.
    pub answer_limit_bytes: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub drain_timeout: Duration,
    /// Silence after which a stream gets a comment; absent: never.
    pub keep_alive_comment: Option<Duration>,
    pub max_connections: usize,
    pub on_disconnect: OnDisconnect,
    /// Bounds on the JSON of a request, checked before any of it is read.
    pub json: Bounds,
    /// Where neither key nor request says otherwise.
    pub unsupported_params: UnsupportedParams,
    pub trace_headers: TraceHeaders,
}

/// What becomes of parameters that an endpoint of another dialect cannot take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnsupportedParams {
    /// The next endpoint is tried; without one the request fails.
    Reject,
    /// They are left out and named in the header `x-torana-dropped-params`.
    DropAndReport,
    /// They are left out without a word.
    Ignore,
}

impl UnsupportedParams {
    /// By the names that configuration and requests use.
    pub const NAMES: [(&str, Self); 3] = [
        ("reject", Self::Reject),
        ("drop-and-report", Self::DropAndReport),
        ("ignore", Self::Ignore),
    ];
}

/// `[structured_output]`: whole, translated answers that do not fit the schema that was asked
/// for. What an endpoint of the client's own dialect answers is passed on and only flagged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StructuredOutput {
    /// Mend what can be mended without asking: fences, words around the JSON, stray commas.
    pub repair: bool,
    /// Ask again at most so often, telling what was wrong. Whole answers only.
    pub max_reasks: u32,
}

/// `[routing]`: bounds on what all requests together may try.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Routing {
    /// Attempts of one request, hedges included.
    pub max_attempts: usize,
    pub budgets: torana_routing::budget::Settings,
    /// Conversations whose endpoint is remembered.
    pub affinity_sessions: usize,
    /// How long after its last use a provider's prompt cache is thought to hold a prompt.
    pub affinity_ttl: Duration,
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Whoever shows one of `[keys]`.
    Keys,
    /// Anybody who reaches the listener.
    None,
}

/// What becomes of the call to the provider when the client goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisconnect {
    Cancel,
    /// Read the answer to its end, for the record.
    Drain,
}

/// `[admin]`: health, metrics, reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    pub listen: SocketAddr,
    /// The listener may be reached from other machines.
    pub allow_remote: bool,
}

/// `[journal]`: the durable record of every call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    pub path: PathBuf,
    pub segment_bytes: u64,
    pub max_bytes: u64,
    pub when_full: WhenFull,
    pub sync: SyncMode,
    pub content: Content,
    /// Values of requests and answers that rows do not show.
    pub redaction: Redaction,
    /// Of each body as it went to a provider and came from there; 0: none.
    pub raw_bytes: usize,
    pub decisions: Decisions,
    /// Of each sink: rows that it can never take.
    pub dead_letter_bytes: u64,
}

/// What a row keeps of a routing decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decisions {
    /// All that the policy was told: the decision can be replayed.
    Full,
    /// The plan, scores and who was left out.
    Plan,
}

/// What is kept of a call. Journal, key, function and the call itself may each say so; the
/// strictest of them, the least in this order, counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Content {
    /// No rows at all.
    None,
    /// Everything but prompts and answers.
    Metadata,
    Full,
}

impl Content {
    /// By the names that configuration, rows and requests use; the first is the default.
    pub const NAMES: [(&str, Self); 3] =
        [("full", Self::Full), ("metadata", Self::Metadata), ("none", Self::None)];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Metadata => "metadata",
            Self::None => "none",
        }
    }
}

/// Which trace headers of W3C are heeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceHeaders {
    /// Taken from clients and sent to providers.
    Both,
    /// Taken from clients.
    In,
    None,
}

/// `[plugin_host]`: bounds on all plugins together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginHost {
    /// Compiled components, by digest and engine version. Readable and writable by us alone.
    pub cache: PathBuf,
    /// Instances alive at a time: one for each running guest call and each translated stream.
    pub instances: u32,
}

/// `[keys.NAME]`.
#[derive(Debug, Clone)]
pub struct ClientKey {
    pub name: String,
    /// SHA-256 of the secret; the secret itself is not kept.
    pub sha256: [u8; 32],
    pub unsupported_params: Option<UnsupportedParams>,
    /// Of calls with this key.
    pub content: Option<Content>,
    pub reads: Reads,
}

/// Whose records a key may read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// Those of its own calls.
    Own,
    All,
}

/// `[providers.NAME]`, with its preset filled in.
#[derive(Debug, Clone)]
pub struct Provider {
    pub plugin: String,
    /// What its block started from: clients may mean it by that name.
    pub preset: Option<String>,
    /// Absent for adapters that answer themselves.
    pub base_url: Option<BaseUrl>,
    pub credential: Credential,
    /// Headers the operator adds to every call, such as an organization.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    pub settings: Map<String, Value>,
    /// Pass bodies on untouched when the client speaks the provider's dialect.
    pub forward: bool,
    /// Clients may name `provider/model` for models that no `[models]` entry lists.
    pub any_model: bool,
    pub timeouts: Timeouts,
    /// Of every model that says nothing else.
    pub data_policy: DataPolicy,
    /// What the catalog knows of the preset's models, by the provider's own names.
    pub catalog: Arc<BTreeMap<String, Offer>>,
}

impl Provider {
    /// What is known of a model that no `[models]` entry describes.
    pub fn offer(&self, model: &str) -> Offer {
        let mut offer = self.catalog.get(model).cloned().unwrap_or_default();
        offer.data_policy = offer.data_policy.or(self.data_policy);
        offer
    }
}

/// Where a provider is: scheme, host, port and a path without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    pub scheme: http::uri::Scheme,
    pub authority: http::uri::Authority,
    /// Empty, or starts with `/` and does not end with one.
    pub path: String,
}

/// A provider's credential.
#[derive(Debug, Clone)]
pub enum Credential {
    /// The provider asks for none.
    None,
    Present(Secret),
    /// What the machine or the environment gives: AWS's and Google's own chains.
    Ambient,
    /// The preset names a variable that is not set: the provider is there but cannot be
    /// called. Carries the reference, for the error message.
    Missing(SecretReference),
}

/// How long to wait for a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    pub connect: Duration,
    /// From sending the request to the first byte of the answer's body.
    pub first_byte: Duration,
    /// Between two reads of the answer.
    pub idle: Duration,
    pub total: Duration,
}

/// `[models.NAME]`: what clients call a model.
#[derive(Debug, Clone)]
pub struct Model {
    /// At least one.
    pub endpoints: Vec<Endpoint>,
    /// A name in [`Config::routers`].
    pub router: String,
    /// Streams that break off are gone on with at another endpoint.
    pub resume: bool,
}

/// One model at one provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// A name in [`Config::providers`].
    pub provider: String,
    /// The provider's own name for the model.
    pub model: String,
    pub weight: f64,
    /// What is written, else what the catalog knows.
    pub offer: Offer,
    /// Merged over the provider's settings.
    pub settings: Map<String, Value>,
}

impl Endpoint {
    /// One that no `[models]` entry lists.
    pub fn unlisted(provider: &str, model: &str, offer: Offer) -> Self {
        Self {
            provider: provider.to_owned(),
            model: model.to_owned(),
            weight: 1.0,
            offer,
            settings: Map::new(),
        }
    }

    /// `provider/model`: the endpoint's identity across snapshots.
    pub fn name(&self) -> String {
        format!("{}/{}", self.provider, self.model)
    }
}

/// `[routers.NAME]`: a policy with its settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Router {
    pub plugin: String,
    pub settings: Map<String, Value>,
}

/// `[functions.NAME]`: a named task.
#[derive(Debug, Clone)]
pub struct Function {
    /// Of calls of this function.
    pub content: Option<Content>,
    pub experiment: Experiment,
    /// At least one.
    pub variants: BTreeMap<String, Variant>,
}

/// Who decides which variant gets how much.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    pub plugin: String,
    pub settings: Map<String, Value>,
}

/// `[functions.NAME.variants.NAME]`: model, template and parameters.
#[derive(Debug, Clone)]
pub struct Variant {
    /// A name in [`Config::models`], or `provider/model`.
    pub model: String,
    pub weight: Option<f64>,
    /// Text of a minijinja template for the system message.
    pub system: Option<Template>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub max_output_tokens: Option<u64>,
}

/// `[metrics.NAME]`: what feedback can say in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    pub kind: MetricKind,
    pub optimize: Optimize,
    pub level: Level,
}

/// What values a metric has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    Boolean,
    Float,
}

/// Which values are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Optimize {
    Max,
    Min,
}

/// What feedback is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Inference,
    Episode,
}

/// A template read from a file.
#[derive(Debug, Clone)]
pub struct Template {
    pub path: PathBuf,
    pub text: String,
}

/// `[plugins.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    pub source: PluginSource,
    pub grants: Grants,
    pub limits: Limits,
    pub isolation: Isolation,
    /// Its lines are logged even if they may quote a call.
    pub log_content: bool,
}

impl Plugin {
    /// With the usual limits and no grants.
    pub fn ungranted(source: PluginSource) -> Self {
        Self {
            source,
            grants: Grants::default(),
            limits: file::plugin::default_limits(),
            isolation: Isolation::Pooled,
            log_content: false,
        }
    }
}

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PluginSource {
    /// By name, embedded in this binary.
    Bundled(String),
    File(PathBuf),
}

/// What a plugin may import beyond `log`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    pub clock: bool,
    pub random: bool,
    pub http: Vec<HttpGrant>,
    pub sql: bool,
    /// Appending to the file that is the `path` of its settings.
    pub file: bool,
    pub kv_bytes: Option<u64>,
}

/// Where a plugin may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpGrant {
    /// Such as `https://scores.internal:8443`.
    Origin(String),
    /// `settings.url`: the origin of the `url` that stands in the settings of the very sink.
    SettingsUrl,
}

/// Bounds on one plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of one instance.
    pub memory_bytes: usize,
    /// CPU of one call on the request path.
    pub cpu: Duration,
    /// Wall clock of one call of a sink.
    pub io: Duration,
    /// What one call may hand back.
    pub result_bytes: usize,
    /// Calls after which a pooled instance is replaced.
    pub calls: u64,
}

/// Whether instances serve more than one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    Pooled,
    Fresh,
}
