//! Turns of the conversation to contents, with every thought signature where it was.

use std::collections::HashMap;

use serde::Serialize;
use torana_plugin_sdk::chat::{Block, Message, Role};
use torana_plugin_sdk::wire::encoded::{Dropped, unsupported};
use torana_plugin_sdk::{CallError, CallErrorKind};

use super::part::{Body, Part, Target, own, refuse};
use super::result::FunctionResponse;

/// What Google lets stand for the signature of a call that a client lost or another
/// provider's model made (ai.google.dev/gemini-api/docs/thought-signatures).
const UNSIGNED: &str = "skip_thought_signature_validator";

/// One turn.
#[derive(Serialize)]
pub(super) struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<Part<'a>>,
}

/// The conversation as Gemini wants it.
pub(super) struct Conversation<'a> {
    system: Vec<Part<'a>>,
    contents: Vec<Content<'a>>,
    /// Results of tools since the last answer. They come in one turn of their own, right
    /// after the calls: Gemini counts them there.
    results: Vec<Part<'a>>,
    /// What the user says beside them.
    said: Vec<Part<'a>>,
    /// Names of functions by the ids of calls so far; an id that comes again means the later.
    calls: HashMap<&'a str, &'a str>,
    /// Where the current turn begins: after the last content that the user said.
    turn: usize,
    target: Target<'a>,
}

impl<'a> Conversation<'a> {
    pub(super) fn of(
        messages: &'a [Message],
        target: Target<'a>,
        dropped: &mut Dropped,
    ) -> Result<Self, CallError> {
        let mut conversation = Self {
            system: Vec::new(),
            contents: Vec::new(),
            results: Vec::new(),
            said: Vec::new(),
            calls: HashMap::new(),
            turn: 0,
            target,
        };
        for message in messages {
            dropped.note_if(message.name.is_some(), "name");
            let is_marked = message.blocks.iter().any(is_marked);
            dropped.note_if(is_marked, "cache_control");
            match message.role {
                Role::System | Role::Developer => conversation.instruct(&message.blocks)?,
                Role::User | Role::Tool => conversation.user(&message.blocks)?,
                Role::Assistant => conversation.model(&message.blocks)?,
            }
        }
        conversation.end_of_user();
        conversation.sign_current_turn();
        Ok(conversation)
    }

    /// The instruction and the contents, of which there must be some: an instruction that
    /// stands alone is said by the user.
    pub(super) fn into_parts(self) -> (Option<Content<'a>>, Vec<Content<'a>>) {
        if self.system.is_empty() {
            return (None, self.contents);
        }
        if self.contents.is_empty() {
            return (None, vec![Content { role: Some("user"), parts: self.system }]);
        }
        (Some(Content { role: None, parts: self.system }), self.contents)
    }

    fn instruct(&mut self, blocks: &'a [Block]) -> Result<(), CallError> {
        for block in blocks {
            match block {
                Block::Text { text, .. } if text.is_empty() => {}
                Block::Text { text, .. } => self.system.push(Part::text(text)),
                Block::Media { .. } => return Err(unsupported("media in a system message")),
                Block::Reasoning { .. } => {}
                block => refuse(block)?,
            }
        }
        Ok(())
    }

    fn user(&mut self, blocks: &'a [Block]) -> Result<(), CallError> {
        for block in blocks {
            match block {
                Block::ToolResult { id, blocks, is_error, .. } => {
                    let Some(name) = self.calls.get(id.as_str()) else {
                        let message = format!("the tool result {id:?} answers no call before it");
                        return Err(CallError::new(CallErrorKind::InvalidRequest, message));
                    };
                    let (response, beside) =
                        FunctionResponse::of(id, name, blocks, *is_error, self.target)?;
                    self.results.push(Part::of(Body::FunctionResponse(response)));
                    self.said.extend(beside.into_iter().map(Part::of));
                }
                Block::Text { text, .. } if text.is_empty() => {}
                Block::Text { text, .. } | Block::Refusal { text } => {
                    self.said.push(Part::text(text));
                }
                Block::Media { .. } => self.said.push(Part::media(block, self.target)?),
                Block::Reasoning { .. } => {}
                Block::Other { dialect, value } => match own(dialect, value) {
                    Some(part) => self.said.push(part),
                    None => refuse(block)?,
                },
                Block::ToolCall { .. } => refuse(block)?,
            }
        }
        Ok(())
    }

    fn end_of_user(&mut self) {
        for parts in [std::mem::take(&mut self.results), std::mem::take(&mut self.said)] {
            if parts.is_empty() {
                continue;
            }
            let is_said = !parts.iter().any(Part::is_result);
            self.contents.push(Content { role: Some("user"), parts });
            if is_said {
                self.turn = self.contents.len();
            }
        }
    }

    fn model(&mut self, blocks: &'a [Block]) -> Result<(), CallError> {
        self.end_of_user();
        let mut parts = Vec::with_capacity(blocks.len());
        let mut signature = None;
        for (position, block) in blocks.iter().enumerate() {
            if let Block::Reasoning { text, signature: found, dialect, .. } = block {
                let is_own = dialect.as_ref().is_none_or(|dialect| dialect == crate::DIALECT);
                let found = found.as_deref().filter(|found| is_own && !found.is_empty());
                // Some clients make one of a thought and the signature after it.
                let is_for_next = text.is_empty() || is_call(blocks.get(position + 1));
                if let (Some(_), Some(earlier)) = (found, signature.filter(|_| is_for_next)) {
                    parts.push(Part::text("").signed(earlier));
                }
                if !text.is_empty() {
                    let thought = Part::thought(text);
                    parts.push(match found.filter(|_| !is_for_next) {
                        Some(found) => thought.signed(found),
                        None => thought,
                    });
                }
                if is_for_next {
                    signature = found.or(signature);
                }
                continue;
            }
            let Some(part) = self.answer_part(block, signature.is_some())? else {
                continue;
            };
            parts.push(match signature.take() {
                Some(signature) => part.signed(signature),
                None => part,
            });
        }
        // A stream ends with a signature on an empty text.
        parts.extend(signature.map(|signature| Part::text("").signed(signature)));
        match self.contents.last_mut() {
            _ if parts.is_empty() => {}
            Some(last) if last.role == Some("model") => last.parts.extend(parts),
            _ => self.contents.push(Content { role: Some("model"), parts }),
        }
        Ok(())
    }

    /// A block of another dialect in an answer is left out: its own provider alone can read
    /// it, and the answer was understood without it.
    fn answer_part(
        &mut self,
        block: &'a Block,
        is_signed: bool,
    ) -> Result<Option<Part<'a>>, CallError> {
        Ok(match block {
            Block::Text { text, .. } | Block::Refusal { text } => {
                (!text.is_empty() || is_signed).then(|| Part::text(text))
            }
            Block::Media { .. } => Some(Part::media(block, self.target)?),
            Block::ToolCall { id, name, arguments, .. } => {
                self.calls.insert(id, name);
                Some(Part::call(id, name, arguments, self.target))
            }
            Block::Other { dialect, value } => own(dialect, value),
            Block::ToolResult { .. } => {
                refuse(block)?;
                None
            }
            Block::Reasoning { .. } => None,
        })
    }

    /// The first call of every step of the current turn has to be signed.
    fn sign_current_turn(&mut self) {
        if !self.target.model.is_third_generation() {
            return;
        }
        for content in self.contents.iter_mut().skip(self.turn) {
            if let Some(call) = content.parts.iter_mut().find(|part| part.is_call()) {
                call.sign_if_unsigned(UNSIGNED);
            }
        }
    }
}

fn is_call(block: Option<&Block>) -> bool {
    matches!(block, Some(Block::ToolCall { .. }))
}

fn is_marked(block: &Block) -> bool {
    match block {
        Block::ToolResult { cache, blocks, .. } => cache.is_some() || blocks.iter().any(is_marked),
        Block::Text { cache, .. } | Block::Media { cache, .. } | Block::ToolCall { cache, .. } => {
            cache.is_some()
        }
        Block::Reasoning { .. } | Block::Refusal { .. } | Block::Other { .. } => false,
    }
}
