//! Whether a model's tool calls are what the client's tools take.
//!
//! Calls are delivered as the model wrote them, whatever this says: it flags, it never drops
//! or mends. Only tools that were called are looked at, and the work is bounded; a tool whose
//! schema cannot be used is not the model's fault.

use std::collections::HashMap;

use serde_json::Value;
use torana_wire::chat::{Block, Request, Response, Tool, is_carrier};

use super::structure::{MAX_TEXT_BYTES, Mismatch, Schema, Validity};

/// Calls of one answer that are checked; the rest is [`Reason::Unchecked`].
const MAX_CALLS: usize = 64;
/// Tools of one answer whose schemas are compiled: some milliseconds.
const MAX_SCHEMAS: usize = 16;

/// A call that the client should look at twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidToolCall {
    pub id: String,
    /// The tool's.
    pub name: String,
    pub reason: Reason,
}

/// What is wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error("the arguments are not valid JSON: {0}")]
    NotJson(String),
    #[error("the request has no such tool")]
    UnknownTool,
    /// The first error.
    #[error("the arguments do not match the tool's schema: {0}")]
    Schema(Mismatch),
    /// Nothing can be said: the tool's schema cannot be used, or there is too much to check.
    #[error("the arguments were not checked")]
    Unchecked,
}

impl Reason {
    /// A word for programs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "not_json",
            Self::UnknownTool => "unknown_tool",
            Self::Schema(_) => "schema",
            Self::Unchecked => "unchecked",
        }
    }
}

/// The calls of a finished answer that are not as they should be, in their order. Calls of a
/// dialect's own tools are not among them.
pub fn invalid_calls(request: &Request, response: &Response) -> Vec<InvalidToolCall> {
    let mut checker = Checker { request, schemas: HashMap::new() };
    let calls = response.blocks.iter().filter_map(|block| match block {
        Block::ToolCall { id, name, arguments, .. } => Some((id, name, arguments)),
        _ => None,
    });
    calls
        .enumerate()
        .filter_map(|(position, (id, name, arguments))| {
            let reason = if position < MAX_CALLS {
                checker.check(name, arguments)?
            } else {
                Reason::Unchecked
            };
            Some(InvalidToolCall { id: id.clone(), name: name.clone(), reason })
        })
        .collect()
}

struct Checker<'a> {
    request: &'a Request,
    /// By tool; `None` where it cannot be used.
    schemas: HashMap<&'a str, Option<Schema>>,
}

impl<'a> Checker<'a> {
    fn check(&mut self, called: &str, arguments: &str) -> Option<Reason> {
        let tool = self.request.tools.iter().find_map(|tool| match tool {
            Tool::Function { name, parameters, .. } if name == called => {
                Some((name.as_str(), parameters.as_ref()))
            }
            _ => None,
        });
        let Some((name, parameters)) = tool else {
            // A tool of a dialect's own may well be called by a name that is not in the list.
            let foreign =
                |tool: &Tool| matches!(tool, Tool::Other { dialect, .. } if !is_carrier(dialect));
            let has_foreign = self.request.tools.iter().any(foreign);
            return Some(if has_foreign { Reason::Unchecked } else { Reason::UnknownTool });
        };
        if arguments.len() > MAX_TEXT_BYTES {
            return Some(Reason::Unchecked);
        }
        // Providers say so for a tool without parameters.
        let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
        let value: Value = match serde_json::from_str(arguments) {
            Ok(value) => value,
            Err(error) => return Some(Reason::NotJson(error.to_string())),
        };
        let Some(schema) = self.schema(name, parameters?) else { return Some(Reason::Unchecked) };
        match schema.check(&value) {
            Validity::Valid => None,
            Validity::Unchecked => Some(Reason::Unchecked),
            Validity::Invalid { errors } => errors.into_iter().next().map(Reason::Schema),
        }
    }

    fn schema(&mut self, name: &'a str, parameters: &Value) -> Option<&Schema> {
        if !self.schemas.contains_key(name) {
            let allowed = self.schemas.len() < MAX_SCHEMAS;
            let compiled = allowed.then(|| Schema::compile(parameters).ok()).flatten();
            self.schemas.insert(name, compiled);
        }
        self.schemas.get(name)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(name: &str, parameters: Option<Value>) -> Tool {
        let name = name.to_owned();
        Tool::Function { name, description: None, parameters, strict: None, cache: None }
    }

    fn request(tools: Vec<Tool>) -> Request {
        Request { tools, ..Request::default() }
    }

    fn answer(calls: &[(&str, &str)]) -> Response {
        let block = |(position, (name, arguments)): (usize, &(&str, &str))| Block::ToolCall {
            id: format!("call_{position}"),
            name: (*name).to_owned(),
            arguments: (*arguments).to_owned(),
            cache: None,
        };
        let blocks = calls.iter().enumerate().map(block).collect();
        Response { blocks, ..Response::default() }
    }

    #[test]
    fn each_fault_is_told_and_good_calls_are_not() {
        let schema = json!({"type": "object", "required": ["city"], "properties":
            {"city": {"type": "string"}, "days": {"type": "array", "items": {"type": "integer"}}}});
        let request = request(vec![tool("weather", Some(schema)), tool("now", None)]);
        let found = invalid_calls(
            &request,
            &answer(&[
                ("weather", r#"{"city":"Kraków","days":[1]}"#),
                ("weather", r#"{"city":"Kraków"#),
                ("weather", r#"{"city":"Kraków","days":[1,"x"]}"#),
                ("weather", ""),
                ("now", " "),
                ("now", r#"{"any":"thing"}"#),
                ("snow", "{}"),
            ]),
        );
        let told: Vec<(&str, &str)> =
            found.iter().map(|call| (call.id.as_str(), call.reason.as_str())).collect();
        assert_eq!(
            told,
            [
                ("call_1", "not_json"),
                ("call_2", "schema"),
                ("call_3", "schema"),
                ("call_6", "unknown_tool")
            ]
        );
        assert!(matches!(&found[1].reason, Reason::Schema(error) if error.path == "/days/1"));
    }

    #[test]
    fn a_schema_that_cannot_be_used_is_not_the_models_fault() {
        let tools = vec![
            tool("bad", Some(json!({"type": "objekt"}))),
            tool("remote", Some(json!({"$ref": "https://example.com/x"}))),
        ];
        let found = invalid_calls(
            &request(tools),
            &answer(&[("bad", "{}"), ("remote", "{}"), ("bad", "{")]),
        );
        let told: Vec<&str> = found.iter().map(|call| call.reason.as_str()).collect();
        assert_eq!(told, ["unchecked", "unchecked", "not_json"]);
        let foreign = Tool::Other { dialect: "openai-responses".into(), value: json!({}) };
        let found = invalid_calls(&request(vec![foreign]), &answer(&[("web_search", "{}")]));
        assert_eq!(found[0].reason, Reason::Unchecked);
    }

    #[test]
    fn an_answer_of_many_calls_costs_a_bounded_amount() {
        let names: Vec<String> = (0..MAX_CALLS + 50).map(|n| format!("t{n}")).collect();
        let tools = names.iter().map(|name| tool(name, Some(json!({"type": "object"})))).collect();
        let calls: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "{}")).collect();
        let found = invalid_calls(&request(tools), &answer(&calls));
        assert_eq!(found.len(), MAX_CALLS + 50 - MAX_SCHEMAS);
        assert!(found.iter().all(|call| call.reason == Reason::Unchecked));
    }
}
