//! The Anthropic Messages wire, towards the provider.
//!
//! Facts: Anthropic's API reference of 2026 and recorded traffic. Content of a kind that the
//! payload does not know (server tools, code execution …) passes as [`DIALECT`] blocks and
//! is sent back to Anthropic as it came.

pub mod error;
mod finish;
pub mod request;
pub mod response;
pub mod stream;
mod usage;

/// `dialect` of a content block or tool kept as it stood.
pub const DIALECT: &str = "anthropic-messages";
