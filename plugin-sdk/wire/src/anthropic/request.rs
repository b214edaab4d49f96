//! Chat requests on the Anthropic wire, both ways.
//!
//! What differs from the payload: system and developer turns leave the conversation and
//! become `system`, in order, unless the client itself put them into `messages`; turns of one
//! speaker in a row become one; tool results are part of the user's turn and come first in it.
//! Left out because Anthropic refuses them: empty texts and blank stop sequences, reasoning it
//! did not sign, blocks of other dialects in an assistant's turn. Parameters without a place
//! are named in `dropped`; content without a place fails with `Unsupported`.
//!
//! A body that a client sent comes out as it went in, in this normal form: content and
//! `system` as arrays of blocks, nulls, empty texts and defaults (`strict: false`,
//! `is_error: false`, a tool's `type: custom`) left out, arguments of calls in compact JSON,
//! `output_format` as `output_config.format`, `thinking` in the form that the model's age asks
//! for, an effort with `thinking`.

mod decode;
mod encode;
mod media;
mod message;
mod message_decode;
mod model;
mod parameters;
mod thinking;
mod tool;

pub use decode::{decode, decode_to_count};
pub use encode::{betas, encode, encode_hosted};
