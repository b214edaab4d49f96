//! What the simulator says: a text, a tool call or JSON, as the request asks.
//!
//! An answer is made as tokens, so that whole and streamed answers are the same and a limit
//! cuts both at the same place. A tool that must be called but is not offered is refused.

use serde_json::{Map, Value, json};
use torana_plugin_sdk::chat::{Block, FinishReason, OutputFormat, Request, Role, Tool, ToolChoice};
use torana_plugin_sdk::{CallError, CallErrorKind};

use crate::settings::{MAX_TOKENS, Settings};
use crate::{chance, schema};

/// Characters of the question that are repeated: enough to know it by.
const MAX_ECHO: usize = 500;
/// Characters of JSON that count as one token.
const JSON_TOKEN: usize = 4;

/// An answer, cut into tokens.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) kind: Kind,
    pub(crate) tokens: Vec<String>,
    pub(crate) finish_reason: FinishReason,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Kind {
    Text,
    ToolCall { id: String, name: String },
}

impl Answer {
    /// The answer as one block of content.
    pub(crate) fn into_block(self) -> Block {
        let text = self.tokens.concat();
        match self.kind {
            Kind::Text => Block::text(text),
            Kind::ToolCall { id, name } => {
                Block::ToolCall { id, name, arguments: text, cache: None }
            }
        }
    }
}

/// Answers `request`.
///
/// # Errors
///
/// The request demands a tool that it does not offer.
pub(crate) fn to(request: &Request, settings: &Settings) -> Result<Answer, CallError> {
    let mut answer = match tool(request, settings)? {
        Some((name, parameters)) => Answer {
            kind: Kind::ToolCall {
                id: format!("call_{:016x}", chance::identifier()),
                name: name.to_owned(),
            },
            tokens: json_tokens(&parameters.map_or_else(|| json!({}), schema::instance)),
            finish_reason: FinishReason::ToolCalls,
        },
        None => Answer {
            kind: Kind::Text,
            tokens: content(request, settings),
            finish_reason: FinishReason::Stop,
        },
    };
    let limit = request.sampling.max_output_tokens.unwrap_or(u64::MAX);
    let limit = limit.min(u64::from(MAX_TOKENS));
    if answer.tokens.len() as u64 > limit {
        answer.tokens.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        answer.finish_reason = FinishReason::Length;
    }
    Ok(answer)
}

/// Tokens of the prompt.
pub(crate) fn input_tokens(request: &Request) -> u64 {
    let blocks = request.messages.iter().flat_map(|message| &message.blocks);
    blocks.map(block_tokens).sum()
}

fn block_tokens(block: &Block) -> u64 {
    match block {
        Block::Text { text, .. } | Block::Reasoning { text, .. } | Block::Refusal { text } => {
            text.split_whitespace().count() as u64
        }
        Block::ToolCall { arguments, .. } => arguments.len().div_ceil(JSON_TOKEN) as u64,
        Block::ToolResult { blocks, .. } => blocks.iter().map(block_tokens).sum(),
        Block::Media { .. } | Block::Other { .. } => 1,
    }
}

/// The tool to call and the schema of its arguments.
fn tool<'a>(
    request: &'a Request,
    settings: &Settings,
) -> Result<Option<(&'a str, Option<&'a Value>)>, CallError> {
    let mut functions = request.tools.iter().filter_map(|tool| match tool {
        Tool::Function { name, parameters, .. } => Some((name.as_str(), parameters.as_ref())),
        Tool::Other { .. } => None,
    });
    let answers_tool = request.messages.last().is_some_and(|it| it.role == Role::Tool);
    match &request.tool_choice {
        Some(ToolChoice::Tool { name }) => {
            let found = functions.find(|(offered, _)| offered == name);
            let refusal = || invalid(format!("there is no tool {name:?} to call"));
            found.map(Some).ok_or_else(refusal)
        }
        Some(ToolChoice::Required) => {
            let refusal = || invalid("a tool must be called, but none is offered".to_owned());
            functions.next().map(Some).ok_or_else(refusal)
        }
        Some(ToolChoice::None | ToolChoice::Other { .. }) => Ok(None),
        Some(ToolChoice::Auto) | None if settings.tool_call && !answers_tool => {
            Ok(functions.next())
        }
        Some(ToolChoice::Auto) | None => Ok(None),
    }
}

fn content(request: &Request, settings: &Settings) -> Vec<String> {
    match &request.output_format {
        Some(OutputFormat::JsonSchema { schema, .. }) => json_tokens(&schema::instance(schema)),
        Some(OutputFormat::JsonObject) => {
            let text = words(&text(request, settings), settings.tokens).concat();
            json_tokens(&Value::Object(Map::from_iter([("answer".to_owned(), text.into())])))
        }
        Some(OutputFormat::Text) | None => words(&text(request, settings), settings.tokens),
    }
}

fn text(request: &Request, settings: &Settings) -> String {
    if let Some(text) = &settings.text {
        return text.clone();
    }
    let what = "This is Torana's simulated provider: no model has read your message, and \
                no network was used.";
    let question: String = question(request).chars().take(MAX_ECHO).collect();
    if question.is_empty() { what.to_owned() } else { format!("{what} You wrote: {question}") }
}

fn question(request: &Request) -> &str {
    let mut messages = request.messages.iter().rev();
    let last = messages.find(|message| message.role == Role::User);
    let blocks = last.map_or(&[][..], |message| &message.blocks);
    let texts = blocks.iter().rev().find_map(|block| match block {
        Block::Text { text, .. } => Some(text.as_str()),
        _ => None,
    });
    texts.unwrap_or_default()
}

/// `count` words, or the text once; each word but the first with the white space before it.
fn words(text: &str, count: Option<u32>) -> Vec<String> {
    let mut once: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|it: char| !it.is_whitespace()) {
        let word = rest.get(start..).unwrap_or_default();
        let end = start + word.find(char::is_whitespace).unwrap_or(word.len());
        let (token, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        once.push(token);
        rest = after;
    }
    let count = count.map_or(once.len(), |count| count as usize);
    let repeated = once.iter().cycle().take(count.min(MAX_TOKENS as usize));
    repeated
        .enumerate()
        .map(|(index, word)| match (index, word.starts_with(char::is_whitespace)) {
            (0, _) => word.trim_start().to_owned(),
            (_, true) => (*word).to_owned(),
            (_, false) => format!(" {word}"),
        })
        .collect()
}

fn json_tokens(value: &Value) -> Vec<String> {
    let text: Vec<char> = value.to_string().chars().collect();
    text.chunks(JSON_TOKEN).map(String::from_iter).collect()
}

fn invalid(message: String) -> CallError {
    CallError { status: Some(400), ..CallError::new(CallErrorKind::InvalidRequest, message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_white_space_and_give_the_text_back() {
        let tokens = words("  a bc\n\nd ", None);
        assert_eq!(tokens, ["a", " bc", "\n\nd"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_back_but_for_its_margins(text in "[a-zé\\s]{0,40}") {
            proptest::prop_assert_eq!(words(&text, None).concat(), text.trim());
        }
    }

    #[test]
    fn words_are_repeated_up_to_the_count() {
        assert_eq!(words("a b", Some(5)).concat(), "a b a b a");
        assert_eq!(words("a b", Some(1)).concat(), "a");
        assert_eq!(words("", Some(5)), [""; 0]);
        assert_eq!(words("x", Some(u32::MAX)).len(), MAX_TOKENS as usize);
    }

    #[test]
    fn json_is_cut_between_characters() {
        let value = json!("ééééé");
        assert_eq!(json_tokens(&value).concat(), value.to_string());
    }
}
