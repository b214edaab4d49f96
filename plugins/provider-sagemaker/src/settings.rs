//! What the operator writes under `settings`.
//!
//! The model of an endpoint of ours is the name of the SageMaker endpoint; everything but the
//! region may differ between endpoints of one provider.

use serde::Deserialize;
use torana_plugin_sdk::SettingsError;
use torana_plugin_sdk::provider::{self, HttpRequest};

/// Longer than any name of a region, so that a host name stays one.
const MAX_REGION: usize = 32;

/// The provider's `settings` table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Such as `eu-central-1`: what requests are signed for.
    pub(crate) region: String,
    /// What the container runs.
    #[serde(default)]
    pub(crate) hosted: Hosted,
    /// `model` in the body. Absent: `tgi` for TGI, which takes any, else the endpoint's name.
    #[serde(default)]
    model: Option<String>,
    /// One of several components that share the endpoint.
    #[serde(default)]
    inference_component: Option<String>,
    /// One of several variants of the endpoint.
    #[serde(default)]
    target_variant: Option<String>,
    /// One of several models of a multi-model endpoint.
    #[serde(default)]
    target_model: Option<String>,
    /// Absent: `json-schema`, for TGI `tool`.
    #[serde(default)]
    structured_output: Option<StructuredOutput>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Hosted {
    #[default]
    Openai,
    Tgi,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StructuredOutput {
    JsonSchema,
    Tool,
    JsonObject,
    Prompt,
}

impl Settings {
    /// The region becomes part of a host name and of a signature, the rest of headers.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        let region = self.region.as_str();
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if region.is_empty() || region.len() > MAX_REGION || !region.bytes().all(is_name) {
            let message = format!("{region:?} is not an AWS region: write one like \"us-east-1\"");
            return Err(SettingsError::at("/region", message));
        }
        for (key, _, value) in self.targets() {
            if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                let message = format!("{value:?} is not a name");
                return Err(SettingsError::at(format!("/{key}"), message));
            }
        }
        Ok(())
    }

    /// `model` in the body.
    pub(crate) fn model<'a>(&'a self, endpoint: &'a str) -> &'a str {
        match (&self.model, self.hosted) {
            (Some(model), _) => model,
            (None, Hosted::Tgi) => "tgi",
            (None, Hosted::Openai) => endpoint,
        }
    }

    /// Names what behind the endpoint is meant.
    pub(crate) fn route(&self, sent: HttpRequest) -> HttpRequest {
        self.targets().fold(sent, |sent, (_, header, value)| sent.header(header, value))
    }

    pub(crate) fn structured_output(&self) -> provider::StructuredOutput {
        use provider::StructuredOutput as To;
        match (self.structured_output, self.hosted) {
            (Some(StructuredOutput::JsonSchema), _) | (None, Hosted::Openai) => To::JsonSchema,
            (Some(StructuredOutput::Tool), _) | (None, Hosted::Tgi) => To::Tool,
            (Some(StructuredOutput::JsonObject), _) => To::JsonObject,
            (Some(StructuredOutput::Prompt), _) => To::Prompt,
        }
    }

    /// Keys here, headers there, and values.
    fn targets(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        let component = self.inference_component.as_deref();
        let (variant, model) = (self.target_variant.as_deref(), self.target_model.as_deref());
        [
            ("inference_component", "x-amzn-sagemaker-inference-component", component),
            ("target_variant", "x-amzn-sagemaker-target-variant", variant),
            ("target_model", "x-amzn-sagemaker-target-model", model),
        ]
        .into_iter()
        .filter_map(|(key, header, value)| Some((key, header, value?)))
    }
}
