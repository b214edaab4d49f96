//! Results of tools to `functionResponse`.
//!
//! Gemini wants an object: a text that is a JSON object goes as it is, any other under
//! `output`, an error under `error`, the keys that Google's own examples use. Media goes
//! inside from Gemini 3 on, and for older models right after the results.

use serde::Serialize;
use serde_json::value::RawValue;
use torana_plugin_sdk::CallError;
use torana_plugin_sdk::chat::Block;

use super::part::{Body, Target, media, object, refuse};

#[derive(Serialize)]
pub(super) struct FunctionResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    response: Output<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Body<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Output<'a> {
    Json(&'a RawValue),
    Text { output: String },
    Error { error: String },
}

impl<'a> FunctionResponse<'a> {
    /// The result, and the media of it that must stand beside.
    pub(super) fn of(
        id: &'a str,
        name: &'a str,
        blocks: &'a [Block],
        is_error: bool,
        target: Target<'_>,
    ) -> Result<(Self, Vec<Body<'a>>), CallError> {
        let mut texts = Vec::new();
        let mut parts = Vec::new();
        for block in blocks {
            match block {
                Block::Text { text, .. } | Block::Refusal { text } => texts.push(text.as_str()),
                Block::Media { .. } => parts.push(media(block, target)?),
                Block::Reasoning { .. } => {}
                block => refuse(block)?,
            }
        }
        let response = match texts.as_slice() {
            texts if is_error => Output::Error { error: texts.join("\n") },
            [text] => match object(text) {
                Some(json) => Output::Json(json),
                None => Output::Text { output: (*text).to_owned() },
            },
            texts => Output::Text { output: texts.join("\n") },
        };
        let newer = target.model.is_third_generation();
        let (parts, beside) = if newer { (parts, Vec::new()) } else { (Vec::new(), parts) };
        Ok((Self { id: Some(id).filter(|_| newer), name, response, parts }, beside))
    }
}
