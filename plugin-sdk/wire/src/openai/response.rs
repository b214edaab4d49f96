//! Whole answers on the OpenAI wire.
//!
//! Only the first choice has a place in the payload. The decoder is tolerant: null and
//! absent are the same, content may be a string or parts, reasoning may have either name.
//! Several blocks of one kind become one string on the way out, as this wire has one.

mod decode;
mod encode;

pub use decode::decode;
pub use encode::encode;
