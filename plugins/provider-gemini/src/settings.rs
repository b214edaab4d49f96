//! The provider's settings, and the path of a model's method on each platform.
//!
//! A path stays below the base URL whatever the model is called: every segment is
//! percent-encoded, and a name with an empty segment, `.` or `..` in it is refused.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use torana_plugin_sdk::{CallError, CallErrorKind};

use crate::model::Model;

/// What may stand in a segment of a path as it is: RFC 3986's unreserved characters, and
/// the `@` before the version of a Vertex model.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@');

/// The provider's `settings` table.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) platform: Platform,
    /// The Google Cloud project. The host puts it into the base URL.
    #[serde(rename = "project")]
    pub(crate) _project: Option<String>,
    /// Such as `europe-west4` or `global`. The host puts it into the base URL.
    #[serde(rename = "location")]
    pub(crate) _location: Option<String>,
    /// Ask for the arguments of tool calls piece by piece (Vertex, Gemini 3 and later). Off
    /// unless wanted: Google's pieces cannot express an empty object or array, which then is
    /// missing from the arguments.
    pub(crate) stream_tool_arguments: bool,
}

/// Whose house the models are in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Platform {
    /// `generativelanguage.googleapis.com`, with an API key.
    #[default]
    AiStudio,
    /// `aiplatform.googleapis.com`, with a token of a Google account.
    Vertex,
}

impl Settings {
    /// The pieces come from Gemini 3 on Vertex only.
    pub(crate) fn streams_arguments(&self, model: Model<'_>) -> bool {
        let can = self.platform == Platform::Vertex && model.is_third_generation();
        self.stream_tool_arguments && can
    }

    /// `/…/{model}:{method}` below the base URL. A model with a slash in it is a resource
    /// name and stands for itself, such as `tunedModels/mine`, `endpoints/123` or
    /// `publishers/meta/models/…`.
    pub(crate) fn path(&self, model: &str, method: &str) -> Result<String, CallError> {
        let resource = resource(model);
        let prefix = match self.platform {
            _ if resource.contains('/') => "",
            Platform::AiStudio => "/models",
            Platform::Vertex => "/publishers/google/models",
        };
        let mut path = prefix.to_owned();
        for segment in resource.split('/') {
            if matches!(segment, "" | "." | "..") {
                let message = format!("{model:?} is not the name of a model");
                return Err(CallError::new(CallErrorKind::InvalidRequest, message));
            }
            path.push('/');
            path.extend(utf8_percent_encode(segment, ESCAPED));
        }
        path.push(':');
        path.push_str(method);
        Ok(path)
    }
}

/// Without the project and location that a full resource name begins with: they stand in
/// the base URL already.
fn resource(model: &str) -> &str {
    model
        .strip_prefix("projects/")
        .and_then(|rest| rest.split_once("/locations/"))
        .and_then(|(_, rest)| rest.split_once('/'))
        .map_or(model, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn settings(platform: Platform) -> Settings {
        Settings { platform, ..Settings::default() }
    }

    #[test]
    fn paths_are_those_of_the_platform() {
        let path = |platform, model| settings(platform).path(model, "generateContent").unwrap();
        let (studio, vertex) = (Platform::AiStudio, Platform::Vertex);
        assert_eq!(path(studio, "gemini-3-pro"), "/models/gemini-3-pro:generateContent");
        assert_eq!(path(studio, "tunedModels/a"), "/tunedModels/a:generateContent");
        let google = "/publishers/google/models/gemini@001:generateContent";
        assert_eq!(path(vertex, "gemini@001"), google);
        let full = "projects/p/locations/l/endpoints/123";
        assert_eq!(path(vertex, full), "/endpoints/123:generateContent");
    }

    #[test]
    fn no_model_leaves_the_base_url() {
        for model in ["", "a/", "/a", "../x", "a/../b", "a/./b", "projects/p/locations/l"] {
            match settings(Platform::Vertex).path(model, "m") {
                Ok(path) => assert_eq!(path, "/projects/p/locations/l:m", "{model}"),
                Err(error) => assert_eq!(error.kind, CallErrorKind::InvalidRequest),
            }
        }
        let odd = settings(Platform::AiStudio).path("a b?c#d%2e:e\u{e9}", "m").unwrap();
        assert_eq!(odd, "/models/a%20b%3Fc%23d%252e%3Ae%C3%A9:m");
    }

    #[test]
    fn settings_are_read_by_their_names() {
        let read = |json| serde_json::from_str::<Settings>(json);
        let vertex = read(r#"{"platform":"vertex","project":"p","location":"l"}"#).unwrap();
        assert_eq!(vertex.platform, Platform::Vertex);
        assert_eq!(read("{}").unwrap().platform, Platform::AiStudio);
        assert!(read(r#"{"platform":"bard"}"#).is_err());
        assert!(read(r#"{"projekt":"p"}"#).is_err());
    }
}
