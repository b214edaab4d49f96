//! Streamed answers: chunks of `streamGenerateContent` to events.
//!
//! A thought signature belongs to the part it came on and must go back with it. It becomes
//! an empty reasoning block right before that part's block, or at the end if its part says
//! nothing; a text that carries one therefore begins a block of its own.
//!
//! `Finish` comes once, last, when the provider closed the stream after it gave its reason:
//! grounding and usage may follow the reason. Without a reason the answer is not whole, and
//! nothing makes it look so. After `Failed` nothing comes.

mod arguments;
mod decoder;
mod part;

pub(crate) use decoder::Decoder;
