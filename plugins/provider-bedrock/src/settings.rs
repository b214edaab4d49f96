//! What the operator writes under `settings`.
//!
//! Everything but the region has a default. What depends on a model may also be written at
//! one endpoint, whose settings count before the provider's.

use serde::Deserialize;
use torana_plugin_sdk::SettingsError;
use torana_plugin_sdk::provider;

use crate::family::Family;

/// Longer than any name of a region, so that a host name stays one.
const MAX_REGION: usize = 32;

/// The provider's `settings` table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Such as `eu-central-1`: what requests are signed for.
    pub(crate) region: String,
    #[serde(default)]
    pub(crate) auth: Auth,
    /// `json-schema` where all models of this provider take `outputConfig.textFormat` and
    /// strict tools. Few did when this was written, so the default is a tool.
    #[serde(default)]
    pub(crate) structured_output: StructuredOutput,
    /// Whose model it is, where its id does not say so: an ARN of an inference profile, of
    /// provisioned throughput or of an imported model.
    #[serde(default)]
    pub(crate) family: Option<Family>,
    /// Cohere's embedding models: `input_type` where the request names none.
    #[serde(default = "search_document")]
    pub(crate) input_type: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Auth {
    #[default]
    Sigv4,
    /// A Bedrock API key.
    Bearer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StructuredOutput {
    #[default]
    Tool,
    JsonSchema,
}

impl From<StructuredOutput> for provider::StructuredOutput {
    fn from(stated: StructuredOutput) -> Self {
        match stated {
            StructuredOutput::Tool => Self::Tool,
            StructuredOutput::JsonSchema => Self::JsonSchema,
        }
    }
}

impl Settings {
    /// The region becomes part of a host name and of a signature.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let region = self.region.as_str();
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if region.is_empty() || region.len() > MAX_REGION || !region.bytes().all(is_name) {
            let message = format!("{region:?} is not an AWS region: write one like \"us-east-1\"");
            return Err(SettingsError::at("/region", message));
        }
        Ok(())
    }

    pub(crate) fn family(&self, model: &str) -> Family {
        self.family.unwrap_or_else(|| Family::of(model))
    }
}

fn search_document() -> String {
    "search_document".into()
}
