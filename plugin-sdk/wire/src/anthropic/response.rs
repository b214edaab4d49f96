//! Whole answers on the Anthropic wire, both ways.
//!
//! Towards a client: signatures that are not Anthropic's are sealed (see [`crate::origin`]), refusals are texts, arguments that are no object
//! become one with the raw text under `arguments`. Log probabilities, annotations and the
//! blocks of other dialects have no place here.

mod content;
mod decode;
mod encode;

pub(in crate::anthropic) use content::{Shape, citations, shape};
pub use decode::decode;
pub(in crate::anthropic) use decode::{block, is_nothing, keep, take_citations};
pub use encode::encode;
