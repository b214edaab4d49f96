//! The arguments of a call on their way.
//!
//! A function without parameters gets none, or `null`, where everybody else expects an empty
//! object. So pieces are held back for as long as they may still become `null`.

use torana_plugin_sdk::StreamEvent;

#[derive(Debug, Default)]
pub(super) struct Call {
    /// A beginning of `null`.
    held: String,
    fed: bool,
}

impl Call {
    pub(super) fn push(&mut self, more: &str, index: u32, events: &mut Vec<StreamEvent>) {
        if more.is_empty() {
            return;
        }
        if !self.fed {
            self.held.push_str(more);
            if "null".starts_with(self.held.trim()) && self.held.len() <= 16 {
                return;
            }
        }
        let first = std::mem::take(&mut self.held);
        let arguments = if self.fed { more.to_owned() } else { first };
        self.fed = true;
        events.push(StreamEvent::ToolCallDelta { index, arguments });
    }

    pub(super) fn finish(self, index: u32, events: &mut Vec<StreamEvent>) {
        if !self.fed {
            let arguments = crate::response::arguments(&self.held).to_owned();
            events.push(StreamEvent::ToolCallDelta { index, arguments });
        }
    }
}
