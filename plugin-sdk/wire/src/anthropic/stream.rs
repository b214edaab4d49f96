//! Streamed answers on the Anthropic wire, both ways.
//!
//! Reading: block indices are given anew, as a provider may begin with blocks inside
//! `message_start`. Blocks of unknown kinds are gathered and given out whole. A second
//! `message_start` after content has come means that something before us began again: what
//! was sent cannot be taken back, so the stream fails rather than joining two answers.
//! Writing: one block is open at a time, as clients expect; see [`Encoder`].

mod block;
mod decoder;
mod encoder;
mod json_end;
mod queue;
mod wire;
mod writer;

pub use decoder::Decoder;
pub use encoder::Encoder;
