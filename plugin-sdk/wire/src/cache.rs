//! The marker for prompt caching as Anthropic spells it and others took over.

use serde::Serialize;

use crate::chat::CacheMarker;

/// `cache_control`.
#[derive(Serialize)]
pub(crate) struct CacheControl<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'a str>,
}

impl<'a> From<&'a CacheMarker> for CacheControl<'a> {
    fn from(marker: &'a CacheMarker) -> Self {
        Self { r#type: "ephemeral", ttl: marker.ttl.as_deref() }
    }
}
