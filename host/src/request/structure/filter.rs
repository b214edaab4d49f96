//! The JSON in a model's text, taken out as the text comes.
//!
//! Models put fences and remarks around the JSON they were asked for. [`Filter`] leaves out
//! what stands before the first JSON object and after its end, whatever it is; text without
//! JSON passes as it is. It holds back only what it cannot decide on yet, at most
//! [`MAX_REMARK_BYTES`] and some, and gives the same for every cut of the same text.
//! [`Unwrapper`] takes the one value out of `{"value": …}`.

use super::json_text::{Tracker, is_space, may_follow};

/// Remarks before the JSON; a text whose first that many bytes hold none is taken for an
/// answer in words. A second of a slow model's writing.
const MAX_REMARK_BYTES: usize = 2048;
/// White space between an opening bracket and what shows that it is JSON, or around the key
/// of the wrapper.
const MAX_SPACE_BYTES: usize = 64;

/// Which key holds the answer when the schema's own root cannot be asked for.
pub(super) const WRAPPER_KEY: &str = "value";
const QUOTED_WRAPPER_KEY: &[u8] = b"\"value\"";

/// Takes the JSON out of a text.
#[derive(Debug)]
pub(super) struct Filter {
    wrapped: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No JSON yet: what came so far, and up to where it holds no beginning.
    Seeking {
        held: Vec<u8>,
        seen: usize,
    },
    Json(Tracker),
    Wrapped(Unwrapper),
    /// The JSON has ended.
    Done,
    /// There is none.
    Words,
}

/// What a text's beginning shows.
enum Beginning {
    At(usize),
    Words,
    /// More is needed; up to there nothing begins.
    Open(usize),
}

impl Filter {
    /// `wrapped`: the answer was asked for as `{"value": …}`.
    pub(super) fn new(wrapped: bool) -> Self {
        Self { wrapped, state: State::Seeking { held: Vec::new(), seen: 0 } }
    }

    /// Takes more text and gives what of it is for the client.
    pub(super) fn push(&mut self, text: &str) -> String {
        let mut out = Vec::new();
        match &mut self.state {
            State::Seeking { held, seen } => {
                held.extend_from_slice(text.as_bytes());
                match beginning(held, *seen, self.wrapped) {
                    Beginning::Open(upto) => *seen = upto,
                    Beginning::Words => {
                        out = std::mem::take(held);
                        self.state = State::Words;
                    }
                    Beginning::At(at) => {
                        let json = held.split_off(at.min(held.len()));
                        self.begin(&json, &mut out);
                    }
                }
            }
            State::Words => out.extend_from_slice(text.as_bytes()),
            State::Done => {}
            State::Json(_) | State::Wrapped(_) => self.follow(text.as_bytes(), &mut out),
        }
        text_of(out)
    }

    /// What was held back, at the end of the text.
    pub(super) fn finish(&mut self) -> String {
        match &mut self.state {
            State::Seeking { held, seen } => {
                *seen = 0;
                text_of(std::mem::take(held))
            }
            State::Wrapped(unwrapper) => text_of(unwrapper.finish()),
            State::Json(_) | State::Done | State::Words => String::new(),
        }
    }

    /// Forgets what was held back: it was a remark.
    pub(super) fn discard(&mut self) {
        if let State::Seeking { held, seen } = &mut self.state {
            held.clear();
            *seen = 0;
        }
    }

    /// The JSON was given in another way; further text is remarks.
    pub(super) fn conclude(&mut self) {
        self.state = State::Done;
    }

    /// Something of the JSON was given.
    pub(super) fn has_begun(&self) -> bool {
        matches!(self.state, State::Json(_) | State::Wrapped(_) | State::Done)
    }

    fn begin(&mut self, json: &[u8], out: &mut Vec<u8>) {
        self.state = if self.wrapped && json.first() == Some(&b'{') {
            State::Wrapped(Unwrapper::default())
        } else {
            State::Json(Tracker::default())
        };
        self.follow(json, out);
    }

    fn follow(&mut self, json: &[u8], out: &mut Vec<u8>) {
        let ended = match &mut self.state {
            State::Json(tracker) => {
                let end = json.iter().position(|byte| tracker.ends_with(*byte));
                let end = end.map_or(json.len(), |end| end + 1);
                out.extend_from_slice(json.get(..end).unwrap_or_default());
                tracker.is_outermost()
            }
            State::Wrapped(unwrapper) => {
                unwrapper.push(json, out);
                unwrapper.is_done()
            }
            _ => false,
        };
        if ended {
            self.state = State::Done;
        }
    }
}

/// Looks for an object's beginning in `text`, from `from` on. An array counts where a wrapped
/// value was asked for: the model may have left the wrapper out.
fn beginning(text: &[u8], from: usize, arrays: bool) -> Beginning {
    let mut at = from;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let is_open = |byte: &u8| *byte == b'{' || (arrays && *byte == b'[');
        let Some(found) = rest.iter().position(is_open) else {
            let upto = text.len();
            return if upto > MAX_REMARK_BYTES { Beginning::Words } else { Beginning::Open(upto) };
        };
        at += found;
        if at >= MAX_REMARK_BYTES {
            return Beginning::Words;
        }
        let open = text.get(at).copied().unwrap_or_default();
        let after = text.get(at + 1..).unwrap_or_default();
        match after.iter().take(MAX_SPACE_BYTES).find(|byte| !is_space(**byte)) {
            Some(next) if may_follow(open, *next) => return Beginning::At(at),
            None if after.len() < MAX_SPACE_BYTES => return Beginning::Open(at),
            _ => at += 1,
        }
    }
}

/// Takes the value out of `{"value": …}`, byte by byte. Text that begins otherwise passes as
/// it is: the model left the wrapper out.
#[derive(Debug)]
pub(super) struct Unwrapper {
    step: Step,
    /// The beginning, as long as it may be the wrapper's.
    held: Vec<u8>,
    tracker: Tracker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    BeforeKey,
    Key,
    BeforeColon,
    BeforeValue,
    Value,
    Done,
    /// There is no wrapper.
    Plain,
}

impl Default for Unwrapper {
    fn default() -> Self {
        Self { step: Step::BeforeKey, held: Vec::new(), tracker: Tracker::default() }
    }
}

impl Unwrapper {
    pub(super) fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for byte in text {
            self.take(*byte, out);
        }
    }

    /// What was held back, at the end of the text.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        if !self.held.is_empty() {
            self.step = Step::Plain;
        }
        std::mem::take(&mut self.held)
    }

    pub(super) fn is_done(&self) -> bool {
        self.step == Step::Done
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self.step {
            Step::Done => {}
            Step::Plain => self.pass(byte, out),
            Step::Value => self.value(byte, out),
            Step::BeforeKey if self.held.is_empty() && is_space(byte) => {}
            Step::BeforeKey | Step::Key | Step::BeforeColon | Step::BeforeValue => {
                self.held.push(byte);
                self.open(byte, out);
            }
        }
    }

    /// `{`, the key, the colon, and white space between them.
    fn open(&mut self, byte: u8, out: &mut Vec<u8>) {
        let first = self.held.len() == 1;
        let spaces = self.held.iter().filter(|byte| is_space(**byte)).count();
        self.step = match self.step {
            Step::BeforeKey if first && byte == b'{' => Step::BeforeKey,
            Step::BeforeKey | Step::BeforeColon | Step::BeforeValue
                if is_space(byte) && !first && spaces <= MAX_SPACE_BYTES =>
            {
                self.step
            }
            Step::BeforeKey if !first && byte == b'"' => Step::Key,
            Step::Key => self.key(),
            Step::BeforeColon if byte == b':' => Step::BeforeValue,
            Step::BeforeValue if !matches!(byte, b'}' | b',' | b':') && !is_space(byte) => {
                self.held.clear();
                self.step = Step::Value;
                return self.value(byte, out);
            }
            _ => Step::Plain,
        };
        if self.step == Step::Plain {
            for held in std::mem::take(&mut self.held) {
                self.take(held, out);
            }
        }
    }

    fn key(&self) -> Step {
        let start = self.held.iter().position(|byte| *byte == b'"').unwrap_or(0);
        let key = self.held.get(start..).unwrap_or_default();
        if key == QUOTED_WRAPPER_KEY {
            Step::BeforeColon
        } else if QUOTED_WRAPPER_KEY.starts_with(key) {
            Step::Key
        } else {
            Step::Plain
        }
    }

    fn value(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.tracker.is_outermost() && (is_space(byte) || matches!(byte, b'}' | b',')) {
            // Of the wrapper: its end, or something beside the value that nobody asked for.
            if !is_space(byte) {
                self.step = Step::Done;
            }
            return;
        }
        self.tracker.ends_with(byte);
        out.push(byte);
    }

    fn pass(&mut self, byte: u8, out: &mut Vec<u8>) {
        out.push(byte);
        if self.tracker.ends_with(byte) {
            self.step = Step::Done;
        }
    }
}

/// The pieces are cut at ASCII bytes only, so that this never replaces anything.
pub(super) fn text_of(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
