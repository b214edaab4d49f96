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

mod decode;
mod encode;
mod message_decode;
mod message_encode;
mod tool;

pub use decode::decode;
pub use encode::encode;

/// Top-level key of newer OpenAI models; in `extra` it asks for that name.
const MAX_COMPLETION_TOKENS: &str = "max_completion_tokens";
