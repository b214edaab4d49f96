//! The provider's `settings` table: in what a server differs from OpenAI.
//!
//! Everything here is declared by the operator or a preset of `config/catalog/providers.toml`;
//! nothing is guessed from names of models or hosts.

use std::collections::BTreeMap;

use serde::Deserialize;
use torana_plugin_sdk::SettingsError;
use torana_plugin_sdk::provider::{StructuredOutput, Wire};
use torana_plugin_sdk::wire::openai::request::{Input, LimitName, Options, ReasoningPlace};

/// The table. Names of parameters are those of the chat payload, or keys of its `extra`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Routes that the server has itself: clients that speak them are passed on.
    pub(crate) wires: Vec<Route>,
    /// The route that everything else is translated to.
    pub(crate) api: Api,
    /// Where chat requests go, below the base URL.
    pub(crate) path: String,
    /// Azure's older routes: `/deployments/MODEL/chat/completions`.
    pub(crate) deployment_paths: bool,
    /// Azure's query parameter `api-version`.
    pub(crate) api_version: Option<String>,
    /// The header that carries the bare credential, such as `api-key`. Absent:
    /// `authorization: Bearer …`.
    pub(crate) credential_header: Option<String>,
    /// What the limit on output tokens is called. Absent: as the client called it.
    max_tokens_field: Option<LimitField>,
    /// Streamed requests ask for usage at the end. Off for servers that refuse
    /// `stream_options`.
    pub(crate) stream_usage: bool,
    structured_output: StructuredOutputName,
    /// Where the model's earlier reasoning goes. Absent: the server does not want it back.
    reasoning_field: Option<ReasoningField>,
    /// The wish to reason is OpenRouter's object `reasoning`.
    reasoning_object: bool,
    /// Reasoning comes in the text, between `<think>` and `</think>` at its start.
    pub(crate) think_tags: bool,
    /// `cache_control` at parts and tools, as Anthropic spells it.
    cache_control: bool,
    /// `strict` of a function.
    strict_tools: bool,
    /// The role `developer`; off, it is sent as `system`.
    developer_role: bool,
    /// Media in a tool's result; off, they follow in a message of the user.
    tool_media: bool,
    /// Media that the server reads.
    inputs: Vec<InputName>,
    /// Parameters that are otherwise another dialect's, such as `thinking`.
    accepts: Vec<String>,
    /// Parameters that the server refuses: left out and reported.
    pub(crate) unsupported: Vec<String>,
    /// Parameters that have another name here.
    pub(crate) renamed: BTreeMap<String, String>,
    /// Headers of a whole answer with token counts that its body lacks.
    pub(crate) usage_headers: BTreeMap<UsageField, String>,
}

/// A route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Route {
    Chat,
    Completions,
    Responses,
    Embeddings,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Api {
    Chat,
    Responses,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LimitField {
    MaxTokens,
    /// OpenAI's reasoning models take no other.
    MaxCompletionTokens,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReasoningField {
    ReasoningContent,
    Reasoning,
    ReasoningDetails,
    /// Mistral's content part.
    Thinking,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StructuredOutputName {
    JsonSchema,
    Tool,
    JsonObject,
    Prompt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum InputName {
    Image,
    Audio,
    AudioUrl,
    Video,
    File,
    FileUrl,
}

/// A count of the payload's usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UsageField {
    Input,
    Output,
    CachedInput,
    Reasoning,
}

impl Default for Settings {
    fn default() -> Self {
        use InputName::{Audio, AudioUrl, File, FileUrl, Image, Video};
        Self {
            wires: vec![Route::Chat],
            api: Api::Chat,
            path: "/chat/completions".into(),
            deployment_paths: false,
            api_version: None,
            credential_header: None,
            max_tokens_field: None,
            stream_usage: true,
            structured_output: StructuredOutputName::JsonSchema,
            reasoning_field: None,
            reasoning_object: false,
            think_tags: false,
            cache_control: false,
            strict_tools: true,
            developer_role: false,
            tool_media: false,
            inputs: vec![Image, Audio, AudioUrl, Video, File, FileUrl],
            accepts: Vec::new(),
            unsupported: Vec::new(),
            renamed: BTreeMap::new(),
            usage_headers: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// # Errors
    /// The key whose value cannot be used.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        if !self.path.starts_with('/') {
            let found = &self.path;
            let message = format!("{found:?} is not a path: write it with a leading slash");
            return Err(SettingsError::at("/path", message));
        }
        let is_plain = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        };
        if let Some(found) = self.api_version.as_ref().filter(|version| !is_plain(version)) {
            let message = format!("{found:?} is not a version: write one such as 2024-10-21");
            return Err(SettingsError::at("/api_version", message));
        }
        Ok(())
    }

    pub(crate) fn wires(&self) -> Vec<Wire> {
        self.wires.iter().map(|route| route.wire()).collect()
    }

    pub(crate) fn structured_output(&self) -> StructuredOutput {
        match self.structured_output {
            StructuredOutputName::JsonSchema => StructuredOutput::JsonSchema,
            StructuredOutputName::Tool => StructuredOutput::Tool,
            StructuredOutputName::JsonObject => StructuredOutput::JsonObject,
            StructuredOutputName::Prompt => StructuredOutput::Prompt,
        }
    }

    /// What the chat codec has to know.
    pub(crate) fn options(&self) -> Options {
        Options {
            limit: match self.max_tokens_field {
                None => LimitName::AsWritten,
                Some(LimitField::MaxTokens) => LimitName::MaxTokens,
                Some(LimitField::MaxCompletionTokens) => LimitName::MaxCompletionTokens,
            },
            stream_options: self.stream_usage,
            reasoning: match self.reasoning_field {
                None => ReasoningPlace::Nowhere,
                Some(ReasoningField::ReasoningContent) => ReasoningPlace::ReasoningContent,
                Some(ReasoningField::Reasoning) => ReasoningPlace::Reasoning,
                Some(ReasoningField::ReasoningDetails) => ReasoningPlace::ReasoningDetails,
                Some(ReasoningField::Thinking) => ReasoningPlace::Thinking,
            },
            reasoning_object: self.reasoning_object,
            cache_control: self.cache_control,
            strict_tools: self.strict_tools,
            developer_role: self.developer_role,
            tool_media: self.tool_media,
            inputs: self.inputs.iter().map(|input| input.input()).collect(),
            accepts: self.accepts.clone(),
        }
    }
}

impl Route {
    pub(crate) fn wire(self) -> Wire {
        match self {
            Self::Chat => Wire::OpenaiChat,
            Self::Completions => Wire::OpenaiCompletions,
            Self::Responses => Wire::OpenaiResponses,
            Self::Embeddings => Wire::OpenaiEmbeddings,
        }
    }
}

impl InputName {
    fn input(self) -> Input {
        match self {
            Self::Image => Input::Image,
            Self::Audio => Input::Audio,
            Self::AudioUrl => Input::AudioUrl,
            Self::Video => Input::Video,
            Self::File => Input::File,
            Self::FileUrl => Input::FileUrl,
        }
    }
}
