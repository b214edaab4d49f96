//! Structured output at every endpoint.
//!
//! What an endpoint cannot do itself the gateway asks for in a roundabout way ([`Plan`]): a
//! forced tool, JSON mode, or the prompt alone. The request is rewritten before the adapter
//! sees it, the answer after it, whole or as a stream, so that the client cannot tell.
//! Whether an answer matches, and what can be done when it does not, is [`Expected`]'s: check,
//! repair, ask again. Pure: no I/O, no clock; how often to ask again is the caller's to bound.

mod budget;
mod expected;
mod filter;
mod json_text;
mod repair;
mod schema;
mod stream;
mod subschemas;
mod wording;
mod wrapper;

use serde_json::Value;
use torana_wire::assemble::{Assembler, replay};
use torana_wire::chat::{
    Block, Message, OutputFormat, Reasoning, Request, Response, Role, Tool, ToolChoice,
};

pub use expected::{Expected, answer_text, reask, replace_text};
pub use schema::{MAX_TEXT_BYTES, Mismatch, Schema, SchemaError, Validity};
pub use stream::StreamRewriter;

/// The name of our tool; a number is added where the client has one of that name.
const TOOL_NAME: &str = "final_answer";

/// The best way to structured output that an endpoint has itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Native {
    JsonSchema,
    Tool,
    JsonObject,
    Prompt,
}

/// How a request is put so that the endpoint can take it, and how the answer is put back.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    way: Way,
    /// What the model is shown; absent when any object will do.
    schema: Option<Value>,
    /// The schema stands in `{"value": …}`.
    wrapped: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Way {
    /// Our tool, by its name.
    Tool(String),
    JsonMode,
    Prompt,
    /// A tool of the client's will be called: there is no answer to format.
    Unformatted,
}

impl Plan {
    /// `None` when the request goes as it is.
    ///
    /// A forced tool is no way when any object will do (models then call it with an empty
    /// one), while the model reasons (providers refuse that together), or beside a choice
    /// among tools that is of a dialect's own: then the prompt alone.
    pub fn of(request: &Request, native: Native) -> Option<Self> {
        let format = request.output_format.as_ref()?;
        let schema = match (format, native) {
            (OutputFormat::Text, _) | (_, Native::JsonSchema) => return None,
            (OutputFormat::JsonObject, Native::JsonObject) => return None,
            (OutputFormat::JsonObject, _) => None,
            (OutputFormat::JsonSchema { schema, .. }, _) => Some(schema),
        };
        let way = match (&request.tool_choice, native) {
            (Some(ToolChoice::Required | ToolChoice::Tool { .. }), _)
                if !request.tools.is_empty() =>
            {
                Way::Unformatted
            }
            (_, Native::JsonObject) => Way::JsonMode,
            (Some(ToolChoice::Other { .. }), _) => Way::Prompt,
            (_, Native::Tool) if schema.is_some() && !reasons(request.reasoning.as_ref()) => {
                Way::Tool(free_name(&request.tools))
            }
            _ => Way::Prompt,
        };
        let wrapped = schema.is_some_and(|schema| !wrapper::is_plain_object(schema));
        let schema =
            schema.map(|schema| if wrapped { wrapper::wrap(schema) } else { schema.clone() });
        Some(Self { way, schema, wrapped })
    }

    /// The request as the endpoint gets it.
    pub fn request(&self, request: &Request) -> Request {
        let mut request = request.clone();
        let format = request.output_format.take();
        match &self.way {
            Way::Unformatted => {}
            Way::Prompt => self.instruct(&mut request),
            Way::JsonMode => {
                request.output_format = Some(OutputFormat::JsonObject);
                self.instruct(&mut request);
            }
            Way::Tool(name) => self.force(name, format, &mut request),
        }
        request
    }

    /// A whole answer as the client expects it.
    pub fn response(&self, response: Response) -> Response {
        if self.way == Way::Unformatted {
            return response;
        }
        let mut rewriter = self.stream();
        let mut events = Vec::new();
        for event in replay(&response) {
            rewriter.push(event, &mut events);
        }
        rewriter.finish(&mut events);
        let mut assembler = Assembler::default();
        events.iter().for_each(|event| assembler.push(event));
        assembler.finish()
    }

    /// For one streamed answer.
    pub fn stream(&self) -> StreamRewriter {
        match &self.way {
            Way::Tool(name) => StreamRewriter::new(Some(name.clone()), self.wrapped),
            Way::JsonMode | Way::Prompt => StreamRewriter::new(None, self.wrapped),
            Way::Unformatted => StreamRewriter::passing(),
        }
    }

    fn force(&self, name: &str, format: Option<OutputFormat>, request: &mut Request) {
        let Some(OutputFormat::JsonSchema { name: format, description, strict, .. }) = format
        else {
            return;
        };
        // With tools of its own the client lets the model choose; it must choose something.
        let free = matches!(request.tool_choice, None | Some(ToolChoice::Auto));
        request.tool_choice = Some(if free && !request.tools.is_empty() {
            ToolChoice::Required
        } else {
            ToolChoice::Tool { name: name.to_owned() }
        });
        request.parallel_tool_calls = Some(false);
        request.tools.push(Tool::Function {
            name: name.to_owned(),
            description: Some(wording::tool(&format, description.as_deref())),
            parameters: self.schema.clone(),
            strict,
            cache: None,
        });
    }

    /// Puts the schema in the prompt, after the client's own instructions.
    fn instruct(&self, request: &mut Request) {
        let has_tools = !request.tools.is_empty() && request.tool_choice != Some(ToolChoice::None);
        let text = wording::prompt(self.schema.as_ref(), has_tools);
        let is_instruction =
            |message: &Message| matches!(message.role, Role::System | Role::Developer);
        let at = request.messages.iter().position(|message| !is_instruction(message));
        let at = at.unwrap_or(request.messages.len());
        let blocks = vec![Block::text(text)];
        request.messages.insert(at, Message { role: Role::System, blocks, name: None });
    }
}

fn reasons(reasoning: Option<&Reasoning>) -> bool {
    reasoning.is_some_and(|reasoning| match reasoning.budget_tokens {
        Some(tokens) => tokens > 0,
        None => reasoning.effort.as_deref().is_some_and(|effort| effort != "none"),
    })
}

fn free_name(tools: &[Tool]) -> String {
    let taken = |wanted: &str| {
        tools.iter().any(|tool| matches!(tool, Tool::Function { name, .. } if name == wanted))
    };
    let numbered = (2..).map(|number| format!("{TOOL_NAME}_{number}"));
    // One of as many names as there are tools, and one more, is free.
    std::iter::once(TOOL_NAME.to_owned())
        .chain(numbered)
        .take(tools.len() + 1)
        .find(|name| !taken(name))
        .unwrap_or_else(|| TOOL_NAME.to_owned())
}

#[cfg(test)]
mod tests;
