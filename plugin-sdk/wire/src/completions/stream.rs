//! Streamed answers: chunks of `text_completion`.
//!
//! Only a stream that is known to be complete looks complete, as with
//! [`crate::openai::stream`], whose decoder reads these chunks too.

use serde::Serialize;

use super::response::reason;
use crate::chat::Usage;
use crate::error::CallError;
use crate::event::{BlockKind, StreamEvent};
use crate::openai::usage::UsageBody;
use crate::openai::{Identity, error};

/// Reads a provider's stream: text of the first choice, why it ended, usage.
pub use crate::openai::stream::Decoder;

pub(super) const OBJECT: &str = "text_completion";

/// Writes a client's stream, as SSE bytes.
#[derive(Debug)]
pub struct Encoder {
    /// Everything of a chunk up to its choices: the same in each.
    head: Vec<u8>,
    include_usage: bool,
    /// The blocks whose text is part of the answer.
    told: Vec<u32>,
    usage: Option<Usage>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Finished,
    /// Whatever there was to say has been said.
    Closed,
}

impl Encoder {
    /// With `include_usage`, usage comes in a chunk of its own at the end.
    pub fn new(identity: &Identity<'_>, include_usage: bool) -> Self {
        let mut head = b"data: {\"id\":".to_vec();
        write_json(&identity.id, &mut head);
        head.extend(b",\"object\":");
        write_json(&OBJECT, &mut head);
        head.extend(b",\"created\":");
        write_json(&identity.created, &mut head);
        head.extend(b",\"model\":");
        write_json(&identity.model, &mut head);
        Self { head, include_usage, told: Vec::new(), usage: None, state: State::Running }
    }

    /// Appends the bytes that an event means; nothing for many.
    pub fn push(&mut self, event: &StreamEvent, out: &mut Vec<u8>) {
        match event {
            StreamEvent::Usage(usage) => self.usage = Some(*usage),
            StreamEvent::Failed(error) => self.fail(error, out),
            _ if self.state != State::Running => {}
            StreamEvent::BlockStart { index, kind: BlockKind::Text | BlockKind::Refusal } => {
                self.told.push(*index);
            }
            StreamEvent::TextDelta { index, text } if self.told.contains(index) => {
                self.chunk(text, None, out);
            }
            StreamEvent::Finish(why) => {
                self.state = State::Finished;
                self.chunk("", Some(reason(why)), out);
            }
            _ => {}
        }
    }

    /// Appends usage and `[DONE]`, once, and only after `Finish`.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if self.state != State::Finished {
            return;
        }
        self.state = State::Closed;
        if let Some(usage) = self.usage.as_ref().filter(|_| self.include_usage) {
            out.extend(&self.head);
            out.extend(b",\"choices\":[],\"usage\":");
            write_json(&UsageBody::from(usage), out);
            out.extend(b"}\n\n");
        }
        out.extend(b"data: [DONE]\n\n");
    }

    /// Appends an error event, once. The stream will not look complete.
    pub fn fail(&mut self, error: &CallError, out: &mut Vec<u8>) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        out.extend(b"data: ");
        error::write(error, out);
        out.extend(b"\n\n");
    }

    fn chunk(&self, text: &str, finish_reason: Option<&str>, out: &mut Vec<u8>) {
        let choice = Choice { text, index: 0, logprobs: None, finish_reason };
        out.extend(&self.head);
        out.extend(b",\"choices\":[");
        write_json(&choice, out);
        out.extend(if self.include_usage { &b"],\"usage\":null}\n\n"[..] } else { &b"]}\n\n"[..] });
    }
}

#[derive(Serialize)]
struct Choice<'a> {
    text: &'a str,
    index: u32,
    logprobs: Option<()>,
    finish_reason: Option<&'a str>,
}

/// Into memory, and of types that always have a JSON form: there is nothing that can fail.
fn write_json(value: &impl Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend(b"null");
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::assemble::{Assembler, replay};
    use crate::chat::{Block, FinishReason, Response};
    use crate::error::CallErrorKind;

    const IDENTITY: Identity<'_> = Identity { id: "cmpl-1", model: "shown", created: 7 };

    fn encode(events: &[StreamEvent], include_usage: bool) -> String {
        let mut encoder = Encoder::new(&IDENTITY, include_usage);
        let mut out = Vec::new();
        events.iter().for_each(|event| encoder.push(event, &mut out));
        encoder.end(&mut out);
        encoder.end(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn answer() -> Response {
        Response {
            id: "cmpl-1".into(),
            model: "shown".into(),
            blocks: vec![Block::text("hi \"you\"")],
            finish_reason: Some(FinishReason::Length),
            usage: Some(Usage { input: 3, output: 1, ..Usage::default() }),
            ..Response::default()
        }
    }

    #[test]
    fn golden_stream() {
        let mut events = replay(&answer());
        events.insert(1, StreamEvent::BlockStart { index: 9, kind: BlockKind::Reasoning });
        events.insert(2, StreamEvent::ReasoningDelta { index: 9, text: "hm".into() });
        let head = r#"data: {"id":"cmpl-1","object":"text_completion","created":7,"model":"shown""#;
        let expected = [
            format!(
                r#"{head},"choices":[{{"text":"hi \"you\"","index":0,"logprobs":null,"finish_reason":null}}]}}"#
            ),
            format!(
                r#"{head},"choices":[{{"text":"","index":0,"logprobs":null,"finish_reason":"length"}}]}}"#
            ),
            "data: [DONE]\n\n".to_owned(),
        ];
        assert_eq!(encode(&events, false), expected.join("\n\n"));
    }

    #[test]
    fn stream_survives_the_way_out_and_in() {
        let mut decoder = Decoder::default();
        let mut assembler = Assembler::default();
        for frame in encode(&replay(&answer()), true).split_terminator("\n\n") {
            let mut events = Vec::new();
            decoder.push(frame.strip_prefix("data: ").unwrap().as_bytes(), &mut events);
            events.iter().for_each(|event| assembler.push(event));
        }
        assert_eq!(assembler.finish(), answer());
    }

    #[test]
    fn half_stream_and_failed_stream_have_no_done() {
        let text = [
            StreamEvent::BlockStart { index: 0, kind: BlockKind::Text },
            StreamEvent::TextDelta { index: 0, text: "a".into() },
        ];
        assert!(!encode(&text, true).contains("[DONE]"));
        let error = CallError::new(CallErrorKind::Overloaded, "busy");
        let failed = encode(&[StreamEvent::Failed(error)], true);
        assert!(failed.contains("\"overloaded\"") && !failed.contains("[DONE]"), "{failed}");
    }
}
