//! Reasoning that a server leaves in the text, between `<think>` and `</think>`.
//!
//! Only tags at the very start of the answer count: later ones are talk about tags. Blank
//! space before the first tag and after the second is not part of the answer. A stream is
//! split wherever its pieces are cut, and nothing waits but what could be a tag.

use serde_json::{Value, json};

use crate::chat::{Block, Response};
use crate::event::{BlockKind, StreamEvent};

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";
/// Blank space before a tag; more than that is the model's own layout.
const MAX_BLANK: usize = 64;

/// Splits the first block, if that is text which begins with the tag.
pub fn split(response: &mut Response) {
    let Some(Block::Text { text, extra, cache }) = response.blocks.first_mut() else {
        return;
    };
    let Some(inside) = after_tag(text) else {
        return;
    };
    let (thought, said) = inside.split_once(CLOSE).unwrap_or((inside, ""));
    let reasoning = Block::reasoning(thought);
    let said = said.trim_start().to_owned();
    let text = (!said.is_empty()).then(|| Block::Text {
        text: said,
        extra: std::mem::take(extra),
        cache: cache.take(),
    });
    response.blocks.splice(..1, [reasoning].into_iter().chain(text));
}

fn after_tag(text: &str) -> Option<&str> {
    let inside = text.trim_start();
    let blank = text.len() - inside.len();
    inside.strip_prefix(OPEN).filter(|_| blank <= MAX_BLANK)
}

/// Splits a stream: takes the events of a decoder and gives the events that they become.
#[derive(Debug, Default)]
pub struct Splitter {
    state: State,
    /// Blocks behind the split have an index higher by that.
    shift: u32,
    /// Text that could be, or begin, a tag.
    held: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing came yet.
    #[default]
    Before,
    /// A text block began that could begin with the tag.
    Undecided(u32),
    Thinking(u32),
    /// After the second tag, before any text.
    Thought(u32),
    /// The text after the reasoning goes on.
    Speaking(u32),
    /// The rest passes as it is.
    Passing,
}

impl Splitter {
    /// Takes one event and appends what it becomes.
    pub fn push(&mut self, event: StreamEvent, events: &mut Vec<StreamEvent>) {
        match (event, self.state) {
            (StreamEvent::BlockStart { index, kind: BlockKind::Text }, State::Before) => {
                self.state = State::Undecided(index);
            }
            (StreamEvent::BlockStart { index, kind }, _) => {
                self.settle(events);
                self.state = match self.state {
                    State::Before => State::Passing,
                    state => state,
                };
                events.push(StreamEvent::BlockStart { index: index + self.shift, kind });
            }
            (StreamEvent::TextDelta { index, text }, state) if state.is_at(index) => {
                self.text(index, &text, events);
            }
            (StreamEvent::BlockStop { index }, state) if state.is_at(index) => {
                self.settle(events);
            }
            (StreamEvent::Finish(reason), _) => {
                self.settle(events);
                events.push(StreamEvent::Finish(reason));
            }
            (StreamEvent::Failed(error), _) => {
                self.settle(events);
                events.push(StreamEvent::Failed(error));
            }
            (event, _) => events.push(shifted(event, self.shift)),
        }
    }

    /// The stream ended, whole or not: appends what was held back.
    pub fn finish(&mut self, events: &mut Vec<StreamEvent>) {
        let held = std::mem::take(&mut self.held);
        match self.state {
            State::Undecided(index) => {
                self.state = State::Passing;
                events.push(StreamEvent::BlockStart { index, kind: BlockKind::Text });
                push_text(index, held, events);
            }
            State::Thinking(index) => push_reasoning(index, held, events),
            _ => {}
        }
    }

    fn text(&mut self, index: u32, text: &str, events: &mut Vec<StreamEvent>) {
        match self.state {
            State::Undecided(_) => {
                self.held.push_str(text);
                self.decide(index, events);
            }
            State::Thinking(_) => {
                self.held.push_str(text);
                self.think(index, events);
            }
            State::Thought(_) => self.speak(index, text, events),
            _ => push_text(index + self.shift, text.to_owned(), events),
        }
    }

    fn decide(&mut self, index: u32, events: &mut Vec<StreamEvent>) {
        if let Some(inside) = after_tag(&self.held).map(str::to_owned) {
            self.held = inside;
            self.state = State::Thinking(index);
            events.push(StreamEvent::BlockStart { index, kind: BlockKind::Reasoning });
            self.think(index, events);
            return;
        }
        let start = self.held.trim_start();
        let could_be = OPEN.starts_with(start) && self.held.len() - start.len() <= MAX_BLANK;
        if !could_be {
            self.state = State::Passing;
            events.push(StreamEvent::BlockStart { index, kind: BlockKind::Text });
            push_text(index, std::mem::take(&mut self.held), events);
        }
    }

    fn think(&mut self, index: u32, events: &mut Vec<StreamEvent>) {
        if let Some((thought, said)) = self.held.split_once(CLOSE) {
            let (thought, said) = (thought.to_owned(), said.to_owned());
            self.held.clear();
            push_reasoning(index, thought, events);
            events.push(StreamEvent::BlockStop { index });
            self.state = State::Thought(index);
            self.speak(index, &said, events);
            return;
        }
        let kept = longest_start_of_tag(&self.held);
        let rest = self.held.split_off(self.held.len() - kept);
        push_reasoning(index, std::mem::replace(&mut self.held, rest), events);
    }

    fn speak(&mut self, index: u32, text: &str, events: &mut Vec<StreamEvent>) {
        let text = text.trim_start();
        if text.is_empty() {
            return;
        }
        self.state = State::Speaking(index);
        self.shift = 1;
        events.push(StreamEvent::BlockStart { index: index + 1, kind: BlockKind::Text });
        push_text(index + 1, text.to_owned(), events);
    }

    /// Ends the block that is being split, if one is.
    fn settle(&mut self, events: &mut Vec<StreamEvent>) {
        let state = self.state;
        self.finish(events);
        match state {
            State::Undecided(index) | State::Thinking(index) => {
                events.push(StreamEvent::BlockStop { index });
            }
            State::Speaking(index) => events.push(StreamEvent::BlockStop { index: index + 1 }),
            State::Thought(_) | State::Before | State::Passing => {}
        }
        if !matches!(state, State::Before) {
            self.state = State::Passing;
        }
    }
}

impl State {
    fn is_at(self, block: u32) -> bool {
        match self {
            Self::Undecided(index)
            | Self::Thinking(index)
            | Self::Thought(index)
            | Self::Speaking(index) => index == block,
            Self::Before | Self::Passing => false,
        }
    }
}

/// Bytes at the end of `text` with which the closing tag may begin.
fn longest_start_of_tag(text: &str) -> usize {
    (1..CLOSE.len())
        .rev()
        .find(|length| CLOSE.get(..*length).is_some_and(|start| text.ends_with(start)))
        .unwrap_or_default()
}

fn push_text(index: u32, text: String, events: &mut Vec<StreamEvent>) {
    if !text.is_empty() {
        events.push(StreamEvent::TextDelta { index, text });
    }
}

fn push_reasoning(index: u32, text: String, events: &mut Vec<StreamEvent>) {
    if !text.is_empty() {
        events.push(StreamEvent::ReasoningDelta { index, text });
    }
}

/// The event, of a block whose index is higher by `shift`.
fn shifted(mut event: StreamEvent, shift: u32) -> StreamEvent {
    match &mut event {
        StreamEvent::TextDelta { index, .. }
        | StreamEvent::ReasoningDelta { index, .. }
        | StreamEvent::ReasoningSignature { index, .. }
        | StreamEvent::ToolCallDelta { index, .. }
        | StreamEvent::BlockStop { index } => *index += shift,
        StreamEvent::Other(value) => {
            let place = value.get("index").and_then(Value::as_u64);
            if let (Some(index), Some(fields)) = (place, value.as_object_mut()) {
                fields.insert("index".into(), json!(index + u64::from(shift)));
            }
        }
        _ => {}
    }
    event
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::assemble::assemble;
    use crate::chat::FinishReason;

    /// An answer of that text, cut into pieces of so many characters, and a tool call.
    fn stream(text: &str, size: usize, with_call: bool) -> Vec<StreamEvent> {
        let characters: Vec<char> = text.chars().collect();
        let mut events = Vec::new();
        if !text.is_empty() {
            events.push(StreamEvent::BlockStart { index: 0, kind: BlockKind::Text });
            events.extend(
                characters
                    .chunks(size)
                    .map(|piece| StreamEvent::TextDelta { index: 0, text: piece.iter().collect() }),
            );
            events.push(StreamEvent::BlockStop { index: 0 });
        }
        if with_call {
            let index = u32::from(!text.is_empty());
            let kind = BlockKind::ToolCall { id: "c".into(), name: "f".into() };
            events.push(StreamEvent::BlockStart { index, kind });
            events.push(StreamEvent::ToolCallDelta { index, arguments: "{}".into() });
            events.push(StreamEvent::BlockStop { index });
        }
        events.push(StreamEvent::Finish(FinishReason::Stop));
        events
    }

    fn streamed(events: Vec<StreamEvent>) -> Vec<StreamEvent> {
        let mut splitter = Splitter::default();
        let mut out = Vec::new();
        events.into_iter().for_each(|event| splitter.push(event, &mut out));
        splitter.finish(&mut out);
        out
    }

    fn blocks(text: &str) -> Vec<Block> {
        let mut response = assemble(&stream(text, 1, false));
        split(&mut response);
        response.blocks
    }

    #[test]
    fn tags_at_the_start_split_the_text() {
        let both = vec![Block::reasoning("a\n"), Block::text("b </think> c")];
        assert_eq!(blocks("\n<think>a\n</think>\n\nb </think> c"), both);
        assert_eq!(blocks("<think>only"), vec![Block::reasoning("only")]);
        assert_eq!(blocks("<think></think>said"), vec![Block::reasoning(""), Block::text("said")]);
        for plain in ["said <think>a</think>", "<thin", "<thinking>x"] {
            assert_eq!(blocks(plain), vec![Block::text(plain)]);
        }
    }

    #[test]
    fn broken_stream_gives_what_was_held_back() {
        let mut splitter = Splitter::default();
        let mut events = Vec::new();
        for event in stream("<think>abc</thi", 3, false).into_iter().take(6) {
            splitter.push(event, &mut events);
        }
        splitter.finish(&mut events);
        assert_eq!(assemble(&events).blocks, vec![Block::reasoning("abc</thi")]);
    }

    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("<think>".to_owned()),
            Just("</think>".to_owned()),
            Just("</thi".to_owned()),
            Just("\n ".to_owned()),
            "[a-z<> ü]{0,6}",
        ];
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn any_cut_of_the_stream_gives_what_the_whole_text_gives(text in text(), size in 1usize..9, with_call in any::<bool>()) {
            let events = stream(&text, size, with_call);
            let mut whole = assemble(&events);
            split(&mut whole);
            let out = streamed(events);
            let mut open = Vec::new();
            for event in &out {
                match event {
                    StreamEvent::BlockStart { index, .. } => open.push(*index),
                    StreamEvent::TextDelta { index, .. } | StreamEvent::ReasoningDelta { index, .. } => {
                        prop_assert!(open.contains(index));
                    }
                    StreamEvent::BlockStop { index } => open.retain(|block| block != index),
                    _ => {}
                }
            }
            prop_assert!(open.is_empty());
            prop_assert_eq!(assemble(&out), whole);
        }
    }
}
