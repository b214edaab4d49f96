//! The provider's `settings` table.
//!
//! Which platform serves the dialect, and what differs there. Unknown keys are refused by
//! name, values that cannot work with their place.

use serde::Deserialize;
use torana_plugin_sdk::SettingsError;
use torana_plugin_sdk::provider::StructuredOutput;

/// `anthropic_version` of bodies on Vertex AI.
const VERTEX_VERSION: &str = "vertex-2023-10-16";
/// Where tokens are counted on Vertex AI, for every model.
const VERTEX_COUNT_PATH: &str = "/publishers/anthropic/models/count-tokens:rawPredict";
const DEFAULT_PATH: &str = "/messages";

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) platform: Platform,
    /// Where messages go, below the base URL. Tokens are counted at `/count_tokens` below it.
    /// On Vertex AI the base URL ends with `/locations/<region>` and this has no meaning.
    pub(crate) path: String,
    /// The header `anthropic-version`, unless the client sends its own.
    pub(crate) version: String,
    /// Names of beta features: the header `anthropic-beta`. The client's are added.
    pub(crate) beta: Vec<String>,
    /// How the models answer in JSON of a given schema: `json-schema` since Claude 4.5 (Opus
    /// 4.1), `tool` before that.
    pub(crate) structured_output: Structured,
    /// The Google Cloud project, on Vertex AI. The host puts it into the base URL.
    #[serde(rename = "project")]
    pub(crate) _project: Option<String>,
    /// The region there. The host puts it into the base URL.
    #[serde(rename = "location")]
    pub(crate) _location: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Platform {
    Anthropic,
    /// Google's Vertex AI.
    Vertex,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Structured {
    JsonSchema,
    Tool,
}

impl From<Structured> for StructuredOutput {
    fn from(structured: Structured) -> Self {
        match structured {
            Structured::JsonSchema => Self::JsonSchema,
            Structured::Tool => Self::Tool,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            platform: Platform::Anthropic,
            path: DEFAULT_PATH.into(),
            version: "2023-06-01".into(),
            beta: Vec::new(),
            structured_output: Structured::JsonSchema,
            _project: None,
            _location: None,
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        if !self.path.starts_with('/') {
            let found = &self.path;
            let message = format!("{found:?} is not a path: write it with a leading slash");
            return Err(SettingsError::at("/path", message));
        }
        if self.platform == Platform::Vertex && self.path != DEFAULT_PATH {
            let message = "Vertex AI has paths of its own: leave this out";
            return Err(SettingsError::at("/path", message.to_owned()));
        }
        Ok(())
    }

    /// Where tokens are counted.
    pub(crate) fn count_path(&self) -> String {
        match (self.platform, self.path.split_once('?')) {
            (Platform::Vertex, _) => VERTEX_COUNT_PATH.into(),
            (Platform::Anthropic, None) => format!("{}/count_tokens", self.path),
            (Platform::Anthropic, Some((path, query))) => format!("{path}/count_tokens?{query}"),
        }
    }

    /// `anthropic_version` in the body, where the platform wants it there.
    pub(crate) fn body_version(&self) -> &str {
        VERTEX_VERSION
    }
}
