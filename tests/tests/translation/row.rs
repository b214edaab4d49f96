//! The providers, each a row: as a preset whose address is moved to this machine.

use super::feature::Feature;
use super::saying::Saying;
use super::upstream::{ThoughtPlace, Upstream};

/// A provider and what it has.
pub(crate) struct Row {
    /// `[providers.NAME]`, and the first part of a model's name.
    pub(crate) name: &'static str,
    /// Empty: the name.
    pub(crate) preset: &'static str,
    /// More keys of the table.
    pub(crate) keys: &'static str,
    pub(crate) model: &'static str,
    /// Empty: the provider has none.
    pub(crate) embedding_model: &'static str,
    pub(crate) place: ThoughtPlace,
    /// What nothing can be lost of, because the provider has no such thing.
    pub(crate) lacks: &'static [Feature],
}

/// A row at work.
pub(crate) struct Running {
    pub(crate) row: &'static Row,
    pub(crate) upstream: Upstream,
}

const PLAIN: Row = Row {
    name: "",
    preset: "",
    keys: "",
    model: "scripted",
    embedding_model: "",
    place: ThoughtPlace::Nowhere,
    lacks: &[],
};

/// Nothing to be sent back, and nothing that proves whose it is.
const UNSIGNED: &[Feature] = &[Feature::Signature];
const SILENT: &[Feature] = &[Feature::Reasoning, Feature::Signature];
const WHOLE_ARGUMENTS: &[Feature] = &[Feature::StreamedArguments];
const NO_TOOLS: &[Feature] =
    &[Feature::Signature, Feature::ParallelCalls, Feature::StreamedArguments];

pub(crate) const ROWS: &[Row] = &[
    Row { name: "openai", embedding_model: "scripted-embedding", lacks: SILENT, ..PLAIN },
    Row {
        name: "openai-responses",
        preset: "openai",
        keys: "settings = { api = \"responses\", wires = [\"responses\"] }",
        ..PLAIN
    },
    Row { name: "anthropic", model: "claude-sonnet-4-5", ..PLAIN },
    Row {
        name: "gemini",
        model: "gemini-3-pro-preview",
        embedding_model: "gemini-embedding-001",
        lacks: WHOLE_ARGUMENTS,
        ..PLAIN
    },
    Row {
        name: "vertex-gemini",
        keys: "settings = { project = \"scripted\", location = \"europe-west4\" }",
        model: "gemini-2.5-flash",
        embedding_model: "text-embedding-005",
        lacks: WHOLE_ARGUMENTS,
        ..PLAIN
    },
    Row {
        name: "vertex-anthropic",
        keys: "settings = { project = \"p\", location = \"us-east5\" }",
        model: "claude-sonnet-4-5@20250929",
        ..PLAIN
    },
    Row {
        name: "bedrock",
        keys: "settings = { region = \"eu-central-1\" }",
        model: "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
        embedding_model: "cohere.embed-v4:0",
        ..PLAIN
    },
    Row {
        name: "sagemaker",
        keys: "settings = { region = \"eu-central-1\" }",
        embedding_model: "scripted-embedding",
        place: ThoughtPlace::ReasoningContent,
        lacks: UNSIGNED,
        ..PLAIN
    },
    Row { name: "azure", embedding_model: "scripted-embedding", lacks: SILENT, ..PLAIN },
    Row {
        name: "mistral",
        embedding_model: "scripted-embedding",
        place: ThoughtPlace::Part,
        lacks: UNSIGNED,
        ..PLAIN
    },
    Row {
        name: "cohere",
        model: "command-a-reasoning-08-2025",
        embedding_model: "embed-v4.0",
        lacks: UNSIGNED,
        ..PLAIN
    },
    Row { name: "groq", place: ThoughtPlace::Reasoning, lacks: UNSIGNED, ..PLAIN },
    Row { name: "deepseek", place: ThoughtPlace::ReasoningContent, lacks: UNSIGNED, ..PLAIN },
    Row { name: "xai", place: ThoughtPlace::ReasoningContent, lacks: UNSIGNED, ..PLAIN },
    Row {
        name: "together",
        embedding_model: "scripted-embedding",
        place: ThoughtPlace::Tags,
        lacks: UNSIGNED,
        ..PLAIN
    },
    Row {
        name: "fireworks",
        embedding_model: "scripted-embedding",
        place: ThoughtPlace::ReasoningContent,
        lacks: UNSIGNED,
        ..PLAIN
    },
    Row { name: "hyperbolic", place: ThoughtPlace::Tags, lacks: NO_TOOLS, ..PLAIN },
    Row {
        name: "openrouter",
        embedding_model: "scripted-embedding",
        place: ThoughtPlace::Details,
        ..PLAIN
    },
    Row { name: "perplexity", place: ThoughtPlace::Tags, lacks: NO_TOOLS, ..PLAIN },
    Row { name: "cerebras", place: ThoughtPlace::Reasoning, lacks: UNSIGNED, ..PLAIN },
    Row {
        name: "vllm",
        embedding_model: "scripted-embedding",
        place: ThoughtPlace::Reasoning,
        lacks: UNSIGNED,
        ..PLAIN
    },
    Row {
        name: "sglang",
        embedding_model: "scripted-embedding",
        place: ThoughtPlace::ReasoningContent,
        lacks: UNSIGNED,
        ..PLAIN
    },
    Row { name: "tgi", place: ThoughtPlace::Tags, lacks: UNSIGNED, ..PLAIN },
    Row {
        name: "ollama",
        embedding_model: "scripted-embedding",
        place: ThoughtPlace::Reasoning,
        lacks: UNSIGNED,
        ..PLAIN
    },
];

impl Row {
    pub(crate) fn start(&'static self) -> Running {
        let upstream = Upstream::start(self.place);
        upstream.say(&Saying::text());
        Running { row: self, upstream }
    }
}

impl Running {
    /// `[providers.NAME]`. A preset's credential is not sent to another host than the preset's
    /// unless it is written.
    pub(crate) fn table(&self, catalog: &str) -> String {
        let Row { name, preset, keys, .. } = self.row;
        let preset = if preset.is_empty() { name } else { preset };
        let url = self.upstream.provider.url();
        let (_, rest) = catalog.split_once(&format!("[presets.{preset}]\n")).unwrap();
        let own = rest.split("\n[presets.").next().unwrap_or_default();
        let credential = own.lines().find(|line| line.starts_with("credential =")).unwrap_or("");
        format!(
            "[providers.{name}]\npreset = \"{preset}\"\nbase_url = \"{url}\"\n\
             {credential}\n{keys}\n\n"
        )
    }
}
