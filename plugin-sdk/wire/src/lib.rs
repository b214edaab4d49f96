//! The chat payload and the wire codecs of Torana, for the host and for its plugins.
//!
//! No wasm, no I/O, no clock: values in, values out. `chat`, `event` and `error` are the
//! terms everybody speaks; each other module is one provider's or client's wire. A codec
//! never panics on input and never makes a broken answer look whole.

pub mod anthropic;
pub mod assemble;
pub mod aws;
mod cache;
pub mod chat;
pub mod completions;
pub mod conformance;
pub mod effort;
pub mod embeddings;
pub mod encoded;
pub mod error;
pub mod event;
pub mod failure;
mod fields;
mod lenient;
pub mod openai;
pub mod origin;
mod parameters;
mod pointer;
pub mod responses;

pub use pointer::DecodeError;
