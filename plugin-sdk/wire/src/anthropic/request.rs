//! Chat requests on the Anthropic wire.
//!
//! What differs from the payload: system and developer turns leave the conversation and
//! become `system`, in order; turns of one speaker in a row become one; tool results are
//! part of the user's turn and come first in it. Left out because Anthropic refuses them:
//! empty texts and blank stop sequences, unsigned reasoning, blocks and parameters of other
//! dialects, `seed` and the penalties. `json_object` has no counterpart here and is left to the
//! prompt. Audio and video are sent under their own names, for Anthropic to refuse: leaving
//! them out would change the question.

mod encode;
mod message;
mod thinking;
mod tool;

pub use encode::{betas, encode};
