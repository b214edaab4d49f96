//! Chat requests on Cohere's wire.
//!
//! What differs from the payload: `top_p` is `p` and `top_k` is `k`; a choice of one tool is
//! that tool alone with `REQUIRED`; each tool result is a message of its own; a JSON schema is
//! part of `json_object`; reasoning beside calls is `tool_plan`, or a part of the content for
//! models that think. Left out and named: parameters with no place. Refused: content with no
//! place.

mod encode;
mod message;

pub(crate) use encode::encode;
