//! The OpenAI Responses wire, in both directions.
//!
//! An answer is a list of items here, each with an id: reasoning, message, call, and what the
//! provider's own tools did. The payload has blocks; [`ITEM_FIELDS`] among them marks where an
//! item begins and what it is called, so that ids reach the provider again (it refuses
//! reasoning under another id). Items without a place in the payload are kept as they stood.
//! Error bodies are those of [`crate::openai::error`]. Facts: OpenAI's API description, its
//! Python package's types, and recorded traffic of OpenAI, Azure, xAI and LM Studio.

mod failure;
mod item;
mod part;
mod reasoning;
pub mod request;
pub mod response;
pub mod stream;
mod tool;
mod usage;

pub use crate::openai::Identity;
pub use response::Echo;

/// `dialect` of an item, tool or tool choice kept as it stood, and of reasoning that only
/// this wire can read.
pub const DIALECT: &str = "openai-responses";
/// `dialect` of a content part kept as it stood.
pub const PART: &str = "openai-responses-part";
/// `dialect` of further fields of the block or tool just before.
pub const FIELDS: &str = "openai-responses-fields";
/// `dialect` of the block that begins an item: its `id` and further fields. The item's
/// content are the blocks that follow, up to the next item. Reasoning that is the model's own
/// text and no summary has a `reasoning_text: true` there.
pub const ITEM_FIELDS: &str = "openai-responses-item-fields";

/// Key in [`ITEM_FIELDS`], not of the wire: the reasoning stood under `content`.
const REASONING_TEXT: &str = "reasoning_text";
