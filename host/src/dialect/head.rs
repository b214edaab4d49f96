//! What the gateway itself decides on, read from a body without unfolding it.
//!
//! Borrowing and lenient: only the keys named here are looked at. Where one has the wrong
//! type, the dialect's full codec is asked for the place to name.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::Dialect;

/// A request, as far as the gateway looks into it.
#[derive(Debug, Default)]
pub struct Head {
    pub model: String,
    pub stream: bool,
    /// The client wants usage at the end of the stream.
    pub stream_usage: bool,
    pub max_output_tokens: Option<u64>,
    pub uses_tools: bool,
    pub uses_images: bool,
    pub uses_json_schema: bool,
    /// The answer shall be JSON, of a schema or any.
    pub uses_json: bool,
    /// Same text, same conversation: the client says so.
    pub session: Option<String>,
    /// Same number, likely the same conversation: it begins with the same words, for the same
    /// user. 0 where there is no conversation.
    pub opening: u64,
    /// The turn before, where the client leaves the conversation to us.
    pub previous_response: Option<String>,
    /// Where a conversation is that has no turn.
    pub empty: Option<&'static str>,
    /// `metadata` as it stands, where it holds names and values of the client's own.
    pub metadata: Option<Box<RawValue>>,
}

/// Reads the head.
///
/// # Errors
/// Not JSON, or a key of the wrong type.
pub fn read(dialect: Dialect, body: &[u8]) -> Result<Head, serde_json::Error> {
    Ok(match dialect {
        Dialect::OpenaiChat => chat(serde_json::from_slice(body)?),
        Dialect::OpenaiCompletions => completions(serde_json::from_slice(body)?),
        Dialect::OpenaiResponses => responses(serde_json::from_slice(body)?),
        Dialect::OpenaiEmbeddings => embeddings(serde_json::from_slice(body)?),
        Dialect::AnthropicMessages | Dialect::AnthropicCountTokens => {
            messages(serde_json::from_slice(body)?)
        }
    })
}

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

impl Typed<'_> {
    fn names(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }
}

/// Whether the answer shall fit a schema, and whether it shall be JSON at all.
fn structure(format: Option<Typed<'_>>) -> (bool, bool) {
    let schema = format.as_ref().is_some_and(|format| format.names("json_schema"));
    (schema, schema || format.is_some_and(|format| format.names("json_object")))
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct ChatHead<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    tools: Option<Vec<IgnoredAny>>,
    #[serde(borrow)]
    response_format: Option<Typed<'a>>,
    #[serde(borrow)]
    user: Option<Cow<'a, str>>,
    #[serde(borrow)]
    prompt_cache_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

fn chat(head: ChatHead<'_>) -> Head {
    let (uses_json_schema, uses_json) = structure(head.response_format);
    Head {
        uses_json_schema,
        uses_json,
        model: head.model.into_owned(),
        stream: head.stream.unwrap_or(false),
        stream_usage: wants_usage(head.stream_options),
        max_output_tokens: head.max_completion_tokens.or(head.max_tokens),
        uses_tools: head.tools.is_some_and(|tools| !tools.is_empty()),
        uses_images: head.messages.iter().any(|message| message.get().contains("\"image_url\"")),
        opening: opening([&text(head.user.as_deref())], &first_turn(&head.messages)),
        session: head.prompt_cache_key.map(Cow::into_owned),
        empty: head.messages.is_empty().then_some("messages"),
        metadata: head.metadata.map(RawValue::to_owned),
        ..Head::default()
    }
}

#[derive(Deserialize)]
struct CompletionsHead<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[expect(dead_code, reason = "must be there")]
    #[serde(borrow)]
    prompt: &'a RawValue,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<u64>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

fn completions(head: CompletionsHead<'_>) -> Head {
    Head {
        model: head.model.into_owned(),
        stream: head.stream.unwrap_or(false),
        stream_usage: wants_usage(head.stream_options),
        max_output_tokens: head.max_tokens,
        metadata: head.metadata.map(RawValue::to_owned),
        ..Head::default()
    }
}

#[derive(Deserialize)]
struct ResponsesHead<'a> {
    /// Absent where a stored prompt names it.
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    stream: Option<bool>,
    max_output_tokens: Option<u64>,
    tools: Option<Vec<IgnoredAny>>,
    #[serde(borrow)]
    text: Option<ResponsesText<'a>>,
    #[serde(borrow)]
    user: Option<Cow<'a, str>>,
    #[serde(borrow)]
    prompt_cache_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    previous_response_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ResponsesText<'a> {
    #[serde(borrow)]
    format: Option<Typed<'a>>,
}

fn responses(head: ResponsesHead<'_>) -> Head {
    let input = head.input.map_or("", RawValue::get);
    let (uses_json_schema, uses_json) = structure(head.text.and_then(|text| text.format));
    Head {
        uses_json_schema,
        uses_json,
        model: head.model.map(Cow::into_owned).unwrap_or_default(),
        stream: head.stream.unwrap_or(false),
        stream_usage: true,
        max_output_tokens: head.max_output_tokens,
        uses_tools: head.tools.is_some_and(|tools| !tools.is_empty()),
        uses_images: input.contains("\"input_image\""),
        opening: opening(
            [&text(head.user.as_deref()), &raw(head.instructions)],
            &first_item(input),
        ),
        session: head.prompt_cache_key.map(Cow::into_owned),
        previous_response: head.previous_response_id.map(Cow::into_owned),
        empty: None,
        metadata: head.metadata.map(RawValue::to_owned),
    }
}

#[derive(Deserialize)]
struct EmbeddingsHead<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[expect(dead_code, reason = "must be there")]
    #[serde(borrow)]
    input: &'a RawValue,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

fn embeddings(head: EmbeddingsHead<'_>) -> Head {
    let metadata = head.metadata.map(RawValue::to_owned);
    Head { model: head.model.into_owned(), metadata, ..Head::default() }
}

#[derive(Deserialize)]
struct MessagesHead<'a> {
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(borrow)]
    system: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
    stream: Option<bool>,
    max_tokens: Option<u64>,
    tools: Option<Vec<IgnoredAny>>,
    #[serde(borrow)]
    output_config: Option<OutputConfig<'a>>,
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
}

#[derive(Deserialize)]
struct OutputConfig<'a> {
    #[serde(borrow)]
    format: Option<Typed<'a>>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    user_id: Option<Cow<'a, str>>,
}

fn messages(head: MessagesHead<'_>) -> Head {
    let user = head.metadata.and_then(|metadata| metadata.user_id);
    let format = head.output_config.and_then(|config| config.format);
    let (uses_json_schema, uses_json) = structure(format);
    Head {
        uses_json_schema,
        uses_json,
        model: head.model.into_owned(),
        stream: head.stream.unwrap_or(false),
        stream_usage: true,
        max_output_tokens: head.max_tokens,
        uses_tools: head.tools.is_some_and(|tools| !tools.is_empty()),
        uses_images: head.messages.iter().any(|message| message.get().contains("\"image\"")),
        opening: opening(
            [&text(user.as_deref()), &raw(head.system)],
            head.messages.get(..1).unwrap_or_default(),
        ),
        empty: head.messages.is_empty().then_some("messages"),
        ..Head::default()
    }
}

/// System messages looked past for the first turn.
const MOST_SYSTEM_MESSAGES: usize = 8;

/// A chat up to its first message that is no instruction.
fn first_turn<'a>(messages: &[&'a RawValue]) -> Vec<&'a RawValue> {
    #[derive(Deserialize)]
    struct Role<'a> {
        #[serde(borrow)]
        role: Option<Cow<'a, str>>,
    }
    let instructs = |message: &&&RawValue| {
        serde_json::from_str::<Role<'_>>(message.get())
            .is_ok_and(|it| matches!(it.role.as_deref(), Some("system" | "developer")))
    };
    let instructions = messages.iter().take(MOST_SYSTEM_MESSAGES).take_while(instructs).count();
    messages.iter().take(instructions + 1).copied().collect()
}

/// The first item of an input that is a list, else all of it.
fn first_item(input: &str) -> Vec<&RawValue> {
    let items = serde_json::from_str::<Vec<&RawValue>>(input);
    let items = items.or_else(|_| serde_json::from_str::<&RawValue>(input).map(|all| vec![all]));
    items.unwrap_or_default().into_iter().take(1).collect()
}

fn text(text: Option<&str>) -> Cow<'_, str> {
    Cow::Borrowed(text.unwrap_or_default())
}

fn raw(value: Option<&RawValue>) -> Cow<'_, str> {
    Cow::Borrowed(value.map_or("", RawValue::get))
}

/// A number for the words a conversation begins with; never 0.
fn opening<const N: usize>(about: [&Cow<'_, str>; N], first: &[&RawValue]) -> u64 {
    let mut hasher = DefaultHasher::new();
    about.hash(&mut hasher);
    for message in first {
        message.get().hash(&mut hasher);
    }
    hasher.finish().max(1)
}

fn wants_usage(options: Option<StreamOptions>) -> bool {
    options.and_then(|options| options.include_usage).unwrap_or(false)
}
