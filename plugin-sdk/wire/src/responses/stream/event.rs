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
    pub(super) output_index: Option<u64>,
    pub(super) content_index: Option<u64>,
    pub(super) summary_index: Option<u64>,
    #[serde(borrow)]
    pub(super) delta: Text<'a>,
    #[serde(borrow)]
    pub(super) text: Text<'a>,
    #[serde(borrow)]
    pub(super) refusal: Text<'a>,
    #[serde(borrow)]
    pub(super) arguments: Text<'a>,
    pub(super) logprobs: Option<Value>,
    pub(super) annotation: Option<Value>,
    pub(super) part: Option<Value>,
    pub(super) item: Option<Map<String, Value>>,
    pub(super) response: Option<Map<String, Value>>,
    pub(super) error: Option<Value>,
}
