//! A chat request to the body of `generateContent`.
//!
//! What differs from the payload: system and developer turns become `systemInstruction`;
//! turns of one speaker in a row become one; results of tools come first in the user's turn
//! and name their function, which is looked up from the call. Schemas go as they are, under
//! `parametersJsonSchema` and `responseJsonSchema`: both platforms take JSON Schema there for
//! every model that is still served, and the older OpenAPI subset would lose `$ref`, `const`
//! and more. Cache markers have no place: caching is implicit, or named by `cachedContent`.

mod body;
mod contents;
mod extra;
mod generation;
mod part;
mod result;
mod tool;

pub(crate) use body::encode;
