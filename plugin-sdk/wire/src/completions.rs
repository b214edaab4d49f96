//! OpenAI's older Completions (`/completions`), as a client's dialect.
//!
//! An endpoint that has the route gets the body as it came, and [`response::decode`] and
//! [`stream::Decoder`] watch what comes back. For any other endpoint a prompt becomes a
//! message of the user. Refused then, with the field's name, as a chat has nothing like it:
//! several prompts, prompts in tokens, `echo`, `suffix`, `logprobs`, `best_of` above 1.
//! An answer has one place for text: reasoning is left out of it and tool calls cannot be.
//! The dialect's own limit of 16 tokens, where the client sets none, is not carried over.
//! Facts: OpenAI's API description and recorded traffic. Errors are those of
//! [`crate::openai::error`].

pub mod request;
pub mod response;
pub mod stream;
