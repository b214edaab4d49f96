//! OpenAI's Embeddings, as a client's dialect.
//!
//! An endpoint that has the route gets the body as it came and [`response::usage`] watches
//! what comes back. For any other endpoint the adapter gets the body too, and gives back
//! OpenAI's shape with floats, of which [`response::encode`] makes what the client asked for.
//! (openai-python asks for base64 unless told otherwise.)
//! Facts: OpenAI's API description.

pub mod request;
pub mod response;
