//! One event, borrowed from the bytes it stands in.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::lenient::Text;

/// The fields of all events, of which each has a few.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Event<'a> {
    #[serde(borrow)]
    pub(super) r#type: Text<'a>,
    pub(super) index: u64,
    #[serde(borrow)]
    pub(super) delta: Option<Delta<'a>>,
    pub(super) message: Option<Map<String, Value>>,
    pub(super) content_block: Option<Map<String, Value>>,
    pub(super) usage: Option<Map<String, Value>>,
    pub(super) error: Option<Value>,
}

/// The deltas of the kinds of block that have events of their own.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Delta<'a> {
    #[serde(borrow)]
    pub(super) text: Text<'a>,
    #[serde(borrow)]
    pub(super) thinking: Text<'a>,
    #[serde(borrow)]
    pub(super) partial_json: Text<'a>,
    #[serde(borrow)]
    pub(super) signature: Text<'a>,
    pub(super) citation: Option<Value>,
}

/// A delta of whatever kind, with what stands beside it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct AnyDelta {
    pub(super) delta: Map<String, Value>,
    #[serde(flatten)]
    pub(super) beside: Map<String, Value>,
}
