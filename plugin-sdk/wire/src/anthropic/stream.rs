//! Streamed answers on the Anthropic wire.
//!
//! Block indices are given anew, as a provider may begin with blocks inside `message_start`.
//! Blocks of unknown kinds are gathered and given out whole. A second `message_start` after
//! content has come means that something before us began again: what was sent cannot be
//! taken back, so the stream fails rather than joining two answers.

mod block;
mod decoder;
mod wire;

pub use decoder::Decoder;
