//! What the gateway itself finds out about an answer that came to its end: usage that nobody
//! reported, tool calls and output that are not what was asked for.
//!
//! It is told, never mended here: in headers of a whole answer, in comments before the end of
//! a stream, whose headers are gone, and in the record.

use http::{HeaderMap, HeaderName, HeaderValue};
use torana_wire::chat;

use super::decode::Call;
use super::estimate;
use super::record::Record;
use super::reply::header;
use super::structure::{self, Expected, Validity};
use super::tool_calls::{self, InvalidToolCall, Reason};

/// A header that lists names; none where there are none.
pub fn list(headers: &mut HeaderMap, name: HeaderName, values: &[String]) {
    if !values.is_empty()
        && let Ok(value) = HeaderValue::from_str(&values.join(", "))
    {
        headers.insert(name, value);
    }
}

/// What the gateway itself found out about an answer.
#[derive(Default)]
pub struct Findings {
    calls_tools: bool,
    invalid_tool_calls: Vec<InvalidToolCall>,
    invalid_output: Vec<String>,
    estimated: bool,
}

impl Findings {
    /// Looks at an answer that came to its end.
    pub fn of(call: &Call, response: &mut chat::Response) -> Self {
        let mut findings = Self::default();
        if !call.dialect.is_chat() {
            return findings;
        }
        if response.usage.is_none() {
            response.usage = Some(estimate::usage(call, response));
        }
        findings.estimated = response.usage.is_some_and(|usage| usage.estimated);
        let is_call = |block: &chat::Block| matches!(block, chat::Block::ToolCall { .. });
        let calls = response.blocks.iter().any(is_call);
        findings.calls_tools = calls;
        // The payload is needed only where there is something to hold against it.
        if (calls || call.uses_json)
            && let Ok(request) = call.dialect.decode(&call.body)
        {
            // Milliseconds as a rule; a client's schema can make it much more.
            tokio::task::block_in_place(|| {
                findings.invalid_output = misfits(&request, response);
                findings.invalid_tool_calls = tool_calls::invalid_calls(&request, response)
                    .into_iter()
                    .filter(|call| call.reason != Reason::Unchecked)
                    .collect();
            });
        }
        findings
    }

    /// Whether all its tool calls fit their schemas; `None` where it has none.
    pub fn valid_tool_calls(&self) -> Option<bool> {
        self.calls_tools.then_some(self.invalid_tool_calls.is_empty())
    }

    fn tool_calls(&self) -> Vec<String> {
        self.invalid_tool_calls.iter().map(|call| call.name.clone()).collect()
    }

    pub fn headers(&self, headers: &mut HeaderMap) {
        list(headers, header::INVALID_TOOL_CALLS, &self.tool_calls());
        if !self.invalid_output.is_empty() {
            headers.insert(header::INVALID_OUTPUT, HeaderValue::from_static("schema"));
        }
        if self.estimated {
            headers.insert(header::ESTIMATED, HeaderValue::from_static("usage"));
        }
    }

    /// The same for a stream.
    pub fn comments(&self) -> String {
        let mut comments = String::new();
        if !self.invalid_tool_calls.is_empty() {
            let names = self.tool_calls().join(", ").replace(['\n', '\r'], " ");
            comments.push_str(&format!(": {}: {names}\n\n", header::INVALID_TOOL_CALLS));
        }
        if !self.invalid_output.is_empty() {
            comments.push_str(&format!(": {}: schema\n\n", header::INVALID_OUTPUT));
        }
        if self.estimated {
            comments.push_str(&format!(": {}: usage\n\n", header::ESTIMATED));
        }
        comments
    }

    pub fn note(self, record: &mut Record) {
        record.invalid_tool_calls(self.invalid_tool_calls);
        record.invalid_output(self.invalid_output);
    }
}

/// What keeps an answer from matching the schema that was asked for.
fn misfits(request: &chat::Request, response: &chat::Response) -> Vec<String> {
    let (Ok(Some(expected)), Some(text)) =
        (Expected::of(request), structure::answer_text(response))
    else {
        return Vec::new();
    };
    match expected.validate(&text) {
        Validity::Invalid { errors } => errors.iter().map(ToString::to_string).collect(),
        Validity::Valid | Validity::Unchecked => Vec::new(),
    }
}
