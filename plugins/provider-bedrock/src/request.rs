//! Chat requests on the Converse dialect.
//!
//! What differs from the payload: system and developer turns leave the conversation and
//! become `system`; turns of one speaker in a row become one; tool results are part of the
//! user's turn and come first in it; what Converse has no field for goes to the model's maker
//! under `additionalModelRequestFields`, where that maker is known. Left out and named:
//! parameters with no place. Refused: content with no place.

mod encode;
mod media;
mod message;
mod thinking;
mod tool;

pub(crate) use encode::encode;
