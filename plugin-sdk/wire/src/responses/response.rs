//! Whole answers on the Responses wire.
//!
//! An item becomes its blocks behind a marker with its id, and the items come back from
//! that. The decoder is tolerant: null and absent are the same. `status` of an item is not
//! kept, it follows from how the answer ended. What a response repeats of the request is not
//! kept either: [`Echo`] says it to the client, from the client's own request.

mod decode;
mod echo;
mod encode;
pub(super) mod output;

pub use decode::decode;
pub(super) use decode::{extra, finish_reason};
pub use echo::Echo;
pub use encode::encode;
pub(super) use encode::{State, body};
