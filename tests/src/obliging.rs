//! A model that does what it is asked, without knowing anything: calls the tool it is given
//! with arguments that fit, writes JSON that fits the schema it is given, says which image it
//! saw, and otherwise says [`TEXT`]. Speaks OpenAI's chat dialect and Anthropic's Messages.
//!
//! For suites of other people, whose questions are not ours to choose. What it answers depends
//! on the question alone.

use serde_json::{Map, Value, json};

use crate::openai::{TEXT, sse_done};
use crate::provider::Asked;
use crate::script::Script;
use crate::{anthropic, openai};

/// What it thinks when it is told to think.
pub const THOUGHT: &str = "They greet me. I should greet back – höflich.";

/// Schemas may refer to themselves.
const MAX_DEPTH: usize = 16;

/// What is asked, in whichever dialect.
#[derive(Debug, Default)]
struct Question {
    /// Name and schema of every tool that may be called.
    tools: Vec<(String, Value)>,
    /// Answers to tool calls came last: time to say something, unless a call is forced.
    has_results: bool,
    is_forced: bool,
    schema: Option<Value>,
    wants_json: bool,
    wants_thought: bool,
    /// Media type and base64, or a URL.
    images: Vec<String>,
    /// The text of the last message.
    text: String,
}

enum Answer {
    Text(String),
    Call { name: String, arguments: Value },
}

/// Answers in OpenAI's chat dialect.
pub fn openai(asked: &Asked) -> Script {
    let body = asked.json();
    let question = of_openai(&body);
    let mut message = json!({ "role": "assistant", "content": null, "refusal": null });
    let finish = match question.answer() {
        Answer::Text(text) => {
            message["content"] = json!(text);
            "stop"
        }
        Answer::Call { name, arguments } => {
            let function = json!({ "name": name, "arguments": arguments.to_string() });
            message["tool_calls"] =
                json!([{ "id": "call_scripted", "type": "function", "function": function }]);
            "tool_calls"
        }
    };
    if question.wants_thought {
        message["reasoning_content"] = json!(THOUGHT);
    }
    if asked.streams() {
        return Script::sse().bytes(sse_done(&chunks(&body, &message, finish)));
    }
    let mut completion = openai::answer("");
    completion["model"] = body["model"].clone();
    completion["choices"][0]["message"] = message;
    completion["choices"][0]["finish_reason"] = json!(finish);
    Script::json(200, &completion)
}

/// Answers in Anthropic's Messages dialect.
pub fn anthropic(asked: &Asked) -> Script {
    if asked.path.contains("/count_tokens") {
        return Script::json(200, &json!({ "input_tokens": 23 }));
    }
    let question = of_anthropic(&asked.json());
    let mut blocks = Vec::new();
    if question.wants_thought {
        blocks.push(anthropic::thinking(THOUGHT));
    }
    blocks.push(match question.answer() {
        Answer::Text(text) => anthropic::text(&text),
        Answer::Call { name, arguments } => {
            anthropic::tool_use("toolu_scripted", &name, &arguments)
        }
    });
    anthropic::respond(asked, &blocks)
}

impl Question {
    fn answer(&self) -> Answer {
        let tool = self.tools.first().filter(|_| self.is_forced || !self.has_results);
        if let Some((name, schema)) = tool {
            let arguments = fitting(schema, schema, &self.text, 0);
            return Answer::Call { name: name.clone(), arguments };
        }
        if let Some(schema) = &self.schema {
            return Answer::Text(fitting(schema, schema, &self.text, 0).to_string());
        }
        if self.wants_json || self.text.contains("JSON") {
            let keys = quoted(&self.text).map(|key| (key.to_owned(), json!("something")));
            return Answer::Text(Value::Object(keys.collect()).to_string());
        }
        if self.images.is_empty() {
            return Answer::Text(TEXT.to_owned());
        }
        Answer::Text(format!("I see {}", self.images.join(" and ")))
    }

    /// Leaves the tools that `choice` allows: a mode, or the name of one.
    fn choose(&mut self, mode: Option<&str>, name: Option<&str>) {
        match (mode, name) {
            (Some("none"), _) => self.tools.clear(),
            (_, Some(name)) => self.tools.retain(|(it, _)| it == name),
            _ => {}
        }
        self.is_forced = name.is_some() || matches!(mode, Some("required" | "any"));
    }
}

fn of_openai(body: &Value) -> Question {
    let format = &body["response_format"];
    let last = list(&body["messages"]).last().unwrap_or(&Value::Null);
    let function = |tool: &Value| named(&tool["function"], "parameters");
    let mut question = Question {
        tools: list(&body["tools"]).iter().filter_map(function).collect(),
        has_results: last["role"] == "tool",
        schema: format["json_schema"].get("schema").cloned(),
        wants_json: format["type"] == "json_object",
        wants_thought: body["reasoning_effort"].is_string(),
        text: text_of(&last["content"]),
        ..Question::default()
    };
    for part in list(&body["messages"]).iter().flat_map(|message| list(&message["content"])) {
        if let Some(url) = part["image_url"]["url"].as_str() {
            question.images.push(url.trim_start_matches("data:").replace(";base64,", " "));
        }
    }
    let choice = &body["tool_choice"];
    question.choose(choice.as_str(), choice["function"]["name"].as_str());
    question
}

fn of_anthropic(body: &Value) -> Question {
    let messages = list(&body["messages"]);
    let last = messages.last().unwrap_or(&Value::Null);
    let format = [&body["output_config"]["format"], &body["output_format"]];
    let is_result = |block: &Value| block["type"] == "tool_result";
    let thinking = &body["thinking"]["type"];
    let mut question = Question {
        tools: list(&body["tools"]).iter().filter_map(|it| named(it, "input_schema")).collect(),
        has_results: list(&last["content"]).iter().any(is_result),
        schema: format.iter().find_map(|format| format.get("schema")).cloned(),
        wants_thought: thinking == "enabled" || thinking == "adaptive",
        text: text_of(&last["content"]),
        ..Question::default()
    };
    for block in messages.iter().flat_map(|message| list(&message["content"])) {
        let source = &block["source"];
        let text = |key: &str| source[key].as_str().unwrap_or_default();
        match source["type"].as_str() {
            Some("base64") => {
                question.images.push(format!("{} {}", text("media_type"), text("data")));
            }
            Some("url") => question.images.push(text("url").to_owned()),
            _ => {}
        }
    }
    let choice = &body["tool_choice"];
    question.choose(choice["type"].as_str(), choice["name"].as_str());
    question
}

/// The chunks of a streamed completion, usage last where it is asked for.
fn chunks(body: &Value, message: &Value, finish: &str) -> Vec<String> {
    let chunk = |choices: Value, usage: Value| {
        json!({ "id": "chatcmpl-scripted", "object": "chat.completion.chunk",
                "created": 1_700_000_000, "model": body["model"], "choices": choices,
                "usage": usage })
        .to_string()
    };
    let delta = |delta: Value, finish: Value| {
        chunk(json!([{ "index": 0, "delta": delta, "finish_reason": finish }]), Value::Null)
    };
    let mut chunks = vec![delta(json!({ "role": "assistant", "content": "" }), Value::Null)];
    for key in ["reasoning_content", "content"] {
        for piece in pieces(message[key].as_str().unwrap_or_default()) {
            chunks.push(delta(json!({ key: piece }), Value::Null));
        }
    }
    for (index, call) in list(&message["tool_calls"]).iter().enumerate() {
        let mut start = call.clone();
        start["index"] = json!(index);
        start["function"]["arguments"] = json!("");
        chunks.push(delta(json!({ "tool_calls": [start] }), Value::Null));
        for piece in pieces(call["function"]["arguments"].as_str().unwrap_or_default()) {
            let more = json!([{ "index": index, "function": { "arguments": piece } }]);
            chunks.push(delta(json!({ "tool_calls": more }), Value::Null));
        }
    }
    chunks.push(delta(json!({}), json!(finish)));
    if body["stream_options"]["include_usage"] == true {
        chunks.push(chunk(json!([]), openai::answer("")["usage"].clone()));
    }
    chunks
}

fn pieces(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(4).map(|piece| piece.iter().collect()).collect()
}

/// A value that fits `schema`; words and numbers are the question's, where it has some.
fn fitting(schema: &Value, root: &Value, text: &str, depth: usize) -> Value {
    let within = |schema: &Value| fitting(schema, root, text, depth + 1);
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    if let Some(path) = schema["$ref"].as_str().and_then(|it| it.strip_prefix('#')) {
        return within(root.pointer(path).unwrap_or(&Value::Null));
    }
    if let Some(value) = schema.get("const").or_else(|| list(&schema["enum"]).first()) {
        return value.clone();
    }
    let choices = [&schema["anyOf"], &schema["oneOf"], &schema["allOf"]];
    let mut choices = choices.into_iter().flat_map(list).filter(|it| it["type"] != "null");
    if let Some(choice) = choices.next() {
        return within(choice);
    }
    let kinds = list(&schema["type"]).iter().chain([&schema["type"]]);
    match kinds.filter_map(Value::as_str).find(|kind| *kind != "null") {
        Some("string") => json!(quoted(text).next().unwrap_or("something")),
        Some("integer" | "number") => json!(number(text).unwrap_or(1)),
        Some("boolean") => json!(true),
        Some("array") => json!([within(&schema["items"])]),
        Some("object") | None if schema["properties"].is_object() => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let fitted = properties.map(|(name, schema)| (name.clone(), within(schema)));
            Value::Object(fitted.collect())
        }
        Some("object") => Value::Object(Map::new()),
        _ => Value::Null,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Name and schema of a tool.
fn named(tool: &Value, schema: &str) -> Option<(String, Value)> {
    Some((tool["name"].as_str()?.to_owned(), tool[schema].clone()))
}

/// Text of a message's content, which is a string or a list of parts.
fn text_of(content: &Value) -> String {
    let parts = list(content).iter().map(|part| &part["text"]).chain([content]);
    parts.filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

/// What stands 'in quotes'.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('\'').skip(1).step_by(2)
}

fn number(text: &str) -> Option<i64> {
    text.split(|it: char| !it.is_ascii_digit()).find_map(|digits| digits.parse().ok())
}
