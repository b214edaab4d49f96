//! Chat requests on the OpenAI wire.
//!
//! [`decode`] takes a client's body, [`encode`] makes a provider's. One after the other gives
//! a body that means the same and has every field, in this normal form: content of a single
//! plain text is a string, a single `stop` is an array, null is absence.
//!
//! Where a value has two possible names, `extra` keeps the client's name and the field keeps
//! the value: `extra.max_completion_tokens` (whatever it holds) makes [`encode`] write
//! `sampling.max_output_tokens` under that name instead of `max_tokens`, which is all that
//! most compatible servers know; an object `extra.reasoning` does the same for `reasoning`
//! against `reasoning_effort`.

//!
//! Servers differ in what they take: [`encode_with`] is told by [`Options`]. Left out without
//! a word, as the conversation means the same without: an error mark of a tool's result,
//! blocks of other dialects in the assistant's turns, and reasoning that the server has no
//! place for. Of several answers (`n`) the payload holds one, so more are not asked for.

mod content;
mod decode;
mod encode;
mod foreign;
mod format;
mod message_decode;
mod message_encode;
mod options;
mod tool;

pub use decode::decode;
pub use encode::{encode, encode_with};
pub use options::{Input, LimitName, Options, ReasoningPlace};

/// Top-level key of newer OpenAI models; in `extra` it asks for that name.
const MAX_COMPLETION_TOKENS: &str = "max_completion_tokens";
