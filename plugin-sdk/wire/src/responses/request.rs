//! Chat requests on the Responses wire.
//!
//! [`decode`] takes a client's body, [`encode`] makes a provider's. One after the other gives
//! a body that means the same and has every field, in this normal form: `input` is an array
//! of items that name their type; content of a single plain text is a string, except in
//! messages of the model that have an id; `instructions` is the first message if that is
//! plain text of the system and no item of the client's; null is absence; web citations have
//! `annotations` even when there are none.
//!
//! Items of one turn of the model become one message of the payload, so that other dialects
//! find text, reasoning and calls together; what the client's other items are by their
//! nature, such as results of tools that this dialect alone has, is [`crate::chat::Block::Other`].

mod decode;
mod encode;
mod item_decode;
mod item_encode;

pub use decode::decode;
pub use encode::encode;
pub(super) use encode::{instructions, reasoning, text_or_default};
