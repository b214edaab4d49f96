//! `response_format`: the shape of the answer.

use serde::Serialize;
use serde_json::Value;

use crate::chat::OutputFormat;
use crate::fields::Fields;

#[derive(Serialize)]
pub(super) struct WireFormat<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<WireSchema<'a>>,
    #[serde(flatten)]
    fields: Fields<'a>,
}

#[derive(Serialize)]
struct WireSchema<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    schema: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(flatten)]
    fields: Fields<'a>,
}

impl<'a> WireFormat<'a> {
    pub(super) fn of(format: &'a OutputFormat, fields: Fields<'a>) -> Self {
        let (r#type, json_schema) = match format {
            OutputFormat::Text => ("text", None),
            OutputFormat::JsonObject => ("json_object", None),
            OutputFormat::JsonSchema { name, description, schema, strict } => (
                "json_schema",
                Some(WireSchema {
                    name,
                    description: description.as_deref(),
                    schema,
                    strict: *strict,
                    fields: fields.nested("json_schema").except(&[
                        "name",
                        "description",
                        "schema",
                        "strict",
                    ]),
                }),
            ),
        };
        Self { r#type, json_schema, fields: fields.except(&["type", "json_schema"]) }
    }
}
