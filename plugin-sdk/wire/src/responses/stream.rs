//! Streamed answers on the Responses wire.
//!
//! [`Decoder`] reads a provider's events, [`Encoder`] writes a client's. Both keep the one
//! promise that matters: only a stream that is known to be complete looks complete. Items are
//! told apart by their place, as some servers give an item another id in every event. What
//! the provider's own tools report of their progress is left out; what they did comes as the
//! whole item.

mod blocks;
mod decoder;
mod encoder;
mod event;
mod open;
mod sse;

pub use decoder::Decoder;
pub use encoder::Encoder;
