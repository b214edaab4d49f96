//! Joins the events of several attempts to those of one answer.
//!
//! Promises: one `Started`, blocks numbered without a gap in the order they begin, the text
//! of an attempt that goes on in the block that the one before left open, and usage that
//! counts all attempts. To keep a block open, the end of a text block waits for what comes
//! after it. Refuses to be gone on with once there is more than text.

use std::collections::BTreeMap;

use serde_json::Value;
use torana_wire::chat::Usage;
use torana_wire::event::{BlockKind, StreamEvent};

use super::super::estimate;

/// Bytes of text that are sent back. The longest answers of today's models, of 128 thousand
/// tokens, have half of it.
const LONGEST_PREFILL: usize = 1 << 20;

/// Blocks remembered of one attempt.
const MAX_BLOCKS: usize = 4096;

/// One answer, whoever gives it.
#[derive(Debug, Default)]
pub struct Joint {
    /// What the client has; `None` when that cannot be gone on with.
    text: Option<String>,
    /// The text block that the client has open.
    open: Option<u32>,
    /// Its end came, and waits.
    held: bool,
    /// The number of the next block.
    next: u32,
    began: bool,
    resumed: bool,
    attempt: Attempt,
    /// Of the attempts before, as far as anybody knows.
    before: Option<Usage>,
}

/// What is known of the attempt that answers now.
#[derive(Debug, Default)]
struct Attempt {
    /// By the number the provider gave.
    blocks: BTreeMap<u32, u32>,
    /// No block has begun.
    fresh: bool,
    /// White space that the client has and the prefill lacked, as far as it may still repeat.
    withheld: String,
    /// Bytes of text that it gave.
    length: usize,
    /// As the provider reports it.
    usage: Option<Usage>,
    /// Tokens of its prompt, for one that reports nothing.
    prompt: u64,
}

impl Joint {
    /// `prompt`: estimated tokens of the request.
    pub fn new(prompt: u64) -> Self {
        let attempt = Attempt { fresh: true, prompt, ..Attempt::default() };
        Self { text: Some(String::new()), attempt, ..Self::default() }
    }

    /// What the client has, where it can be gone on with; possibly nothing yet.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The text to be sent back: providers refuse white space at its end.
    pub fn prefill(&self) -> Option<&str> {
        self.text().map(str::trim_end)
    }

    /// Tokens that the answer has so far, or about so many.
    pub fn output_tokens(&self) -> u64 {
        let all = estimate::tokens(self.text.as_ref().map_or(0, String::len));
        self.usage().map_or(all, |usage| usage.output.max(all))
    }

    /// From here on events are another attempt's, that got the prefill.
    pub fn go_on(&mut self) {
        self.before = self.broken_off();
        let prefill = self.prefill().map_or(0, str::len);
        let withheld = self.text().and_then(|text| text.get(prefill..)).unwrap_or_default();
        let prompt = self.attempt.prompt;
        self.attempt = Attempt {
            fresh: true,
            withheld: withheld.to_owned(),
            prompt: prompt.saturating_add(estimate::tokens(prefill)),
            ..Attempt::default()
        };
        self.held = false;
        self.resumed = true;
    }

    /// An attempt went on.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Of this attempt alone: as reported, else, for one that came to its end, as estimated.
    pub fn last_usage(&self, failed: bool) -> Option<Usage> {
        self.attempt.usage.or_else(|| (!failed).then(|| self.own_usage()))
    }

    fn own_usage(&self) -> Usage {
        self.attempt.usage.unwrap_or_else(|| Usage {
            input: self.attempt.prompt,
            output: estimate::tokens(self.attempt.length),
            estimated: true,
            ..Usage::default()
        })
    }

    /// Of all attempts; `None` where nothing was reported and nobody went on.
    pub fn usage(&self) -> Option<Usage> {
        match (self.before, self.attempt.usage) {
            (None, reported) => reported,
            (Some(before), _) => Some(joined(before, self.own_usage())),
        }
    }

    /// Takes an event and appends what the client is to get for it.
    pub fn push(&mut self, event: StreamEvent, out: &mut Vec<StreamEvent>) {
        match event {
            StreamEvent::Started { .. } => {
                if !std::mem::replace(&mut self.began, true) {
                    out.push(event);
                }
            }
            StreamEvent::BlockStart { index, kind } => self.start(index, kind, out),
            StreamEvent::TextDelta { index, text } => self.say(index, text, out),
            StreamEvent::ReasoningDelta { index, text } => {
                let delta = |index| StreamEvent::ReasoningDelta { index, text };
                out.extend(self.number(index).map(delta));
            }
            StreamEvent::ReasoningSignature { index, signature, dialect } => {
                let signed = |index| StreamEvent::ReasoningSignature { index, signature, dialect };
                out.extend(self.number(index).map(signed));
            }
            StreamEvent::ToolCallDelta { index, arguments } => {
                let delta = |index| StreamEvent::ToolCallDelta { index, arguments };
                out.extend(self.number(index).map(delta));
            }
            StreamEvent::BlockStop { index } => {
                let number = self.number(index);
                if number.is_some() && number == self.open {
                    self.held = true;
                } else {
                    out.extend(number.map(|index| StreamEvent::BlockStop { index }));
                }
            }
            StreamEvent::Usage(usage) => {
                self.attempt.usage = Some(usage);
                out.extend(self.usage().map(StreamEvent::Usage));
            }
            StreamEvent::Finish(_) => {
                self.close(self.attempt.fresh, out);
                self.text = None;
                out.push(event);
            }
            StreamEvent::Failed(_) => out.push(event),
            StreamEvent::Other(value) => self.other(value, out),
        }
    }

    fn start(&mut self, index: u32, kind: BlockKind, out: &mut Vec<StreamEvent>) {
        let fresh = std::mem::replace(&mut self.attempt.fresh, false);
        let continued = self.open.filter(|_| fresh && kind == BlockKind::Text);
        let number = continued.unwrap_or_else(|| {
            self.attempt.withheld.clear();
            self.close(fresh, out);
            let number = self.next;
            self.next = number.saturating_add(1);
            match kind {
                BlockKind::Text => self.open = Some(number),
                _ => self.text = None,
            }
            out.push(StreamEvent::BlockStart { index: number, kind });
            number
        });
        let blocks = &mut self.attempt.blocks;
        if blocks.len() >= MAX_BLOCKS {
            blocks.pop_first();
        }
        blocks.insert(index, number);
    }

    fn say(&mut self, index: u32, text: String, out: &mut Vec<StreamEvent>) {
        let Some(number) = self.number(index) else { return };
        self.attempt.length = self.attempt.length.saturating_add(text.len());
        let text = self.without_repeated(text);
        if text.is_empty() {
            return;
        }
        match &mut self.text {
            Some(told) if told.len().saturating_add(text.len()) <= LONGEST_PREFILL => {
                told.push_str(&text);
            }
            told => *told = None,
        }
        out.push(StreamEvent::TextDelta { index: number, text });
    }

    /// The client has the white space at the end of what it has: only more of it is news.
    fn without_repeated(&mut self, text: String) -> String {
        let withheld = std::mem::take(&mut self.attempt.withheld);
        let pairs = text.chars().zip(withheld.chars());
        let same: usize =
            pairs.take_while(|(one, other)| one == other).map(|(one, _)| one.len_utf8()).sum();
        if same == text.len() {
            withheld.get(same..).unwrap_or_default().clone_into(&mut self.attempt.withheld);
        }
        text.get(same..).unwrap_or_default().to_owned()
    }

    /// Ends the text block that the client has open, if its end came or, for a block of an
    /// attempt before (`inherited`), can no more come.
    fn close(&mut self, inherited: bool, out: &mut Vec<StreamEvent>) {
        let ended = std::mem::take(&mut self.held) || inherited;
        if let Some(index) = self.open.take().filter(|_| ended) {
            out.push(StreamEvent::BlockStop { index });
        }
    }

    /// Fields of a block go where its text went.
    fn other(&mut self, mut value: Value, out: &mut Vec<StreamEvent>) {
        if let Some(index) = value.get_mut("index") {
            let given = index.as_u64().and_then(|index| u32::try_from(index).ok());
            let Some(number) = given.and_then(|index| self.number(index)) else { return };
            *index = number.into();
        }
        out.push(StreamEvent::Other(value));
    }

    fn number(&self, index: u32) -> Option<u32> {
        self.attempt.blocks.get(&index).copied()
    }

    /// Of all attempts, when this one does not come to its end. What it reported by then does
    /// not count the text that came since.
    fn broken_off(&self) -> Option<Usage> {
        if self.attempt.length == 0 && self.attempt.usage.is_none() {
            return self.before;
        }
        let own = self.own_usage();
        let output = own.output.max(estimate::tokens(self.attempt.length));
        let own = Usage { output, estimated: true, ..own };
        Some(self.before.map_or(own, |before| joined(before, own)))
    }
}

/// The client asked once: the input is the first attempt's, the output everybody's.
fn joined(first: Usage, more: Usage) -> Usage {
    Usage {
        output: first.output.saturating_add(more.output),
        reasoning: first.reasoning.saturating_add(more.reasoning),
        cost_usd: first.cost_usd.zip(more.cost_usd).map(|(one, other)| one + other),
        estimated: first.estimated || more.estimated,
        ..first
    }
}

#[cfg(test)]
mod tests;
