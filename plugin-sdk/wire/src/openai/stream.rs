//! Streamed answers on the OpenAI wire.
//!
//! [`Decoder`] reads a provider's `chat.completion.chunk`s, [`Encoder`] writes a client's.
//! Both keep the one promise that matters: only a stream that is known to be complete looks
//! complete. The decoder is on the host's path for every byte that passes: chunks are read
//! into borrowed, typed values and unknown keys are skipped.

mod chunk;
mod decoder;
mod details;
mod encoder;
mod tool_calls;

pub use decoder::Decoder;
pub use encoder::Encoder;
