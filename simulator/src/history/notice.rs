//! What a scenario out of recorded traffic cannot know.

use std::fmt;

use serde::Serialize;

/// Something to bear in mind when the figures are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum Notice {
    /// More rows came than are kept.
    Beyond {
        rows: u64,
    },
    Unreadable {
        rows: u64,
    },
    /// Requests without an answer or its usage: their lengths are the median's at least.
    LengthsAssumed {
        requests: usize,
        of: usize,
    },
    /// Prompt caches play no part.
    NoSessions,
    /// The endpoint is left out.
    NeverAnswered {
        endpoint: String,
        attempts: usize,
    },
    FewSamples {
        endpoint: String,
        attempts: usize,
    },
    /// Taken as free.
    UnknownPrice {
        endpoint: String,
    },
    /// The last recorded is taken for all the time.
    PriceChanged {
        endpoint: String,
    },
    /// No streams: how long answers take by length tells the speed.
    SpeedFromWholeAnswers {
        endpoint: String,
    },
    /// Nothing tells the speed.
    SpeedAssumed {
        endpoint: String,
        tokens_per_s: u32,
    },
    /// It never refused a request for being full.
    CapacityAssumed {
        endpoint: String,
        seen: u32,
        taken: u32,
    },
    /// Survivor bias: an endpoint that nobody asks looks healthy.
    Unwatched {
        endpoint: String,
        windows: u64,
        of: u64,
        window_s: u64,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beyond { rows } => {
                write!(formatter, "{rows} rows came after as many as are kept, and are left out")
            }
            Self::Unreadable { rows } => {
                write!(formatter, "{rows} rows or lines could not be read, and are left out")
            }
            Self::LengthsAssumed { requests, of } => write!(
                formatter,
                "{requests} of {of} requests have no whole answer or no usage: their lengths are \
                 assumed to be the median"
            ),
            Self::NoSessions => formatter.write_str(
                "no conversations are recorded (journal.decisions = \"plan\" leaves them out): \
                 prompt caches play no part",
            ),
            Self::NeverAnswered { endpoint, attempts } => write!(
                formatter,
                "{endpoint}: none of {attempts} attempts was answered; it is left out"
            ),
            Self::FewSamples { endpoint, attempts } => {
                write!(formatter, "{endpoint}: {attempts} attempts tell little")
            }
            Self::UnknownPrice { endpoint } => {
                write!(formatter, "{endpoint}: no price is recorded; it is taken as free")
            }
            Self::PriceChanged { endpoint } => write!(
                formatter,
                "{endpoint}: its price changed; the last one is taken for all the time"
            ),
            Self::SpeedFromWholeAnswers { endpoint } => write!(
                formatter,
                "{endpoint}: it never streamed; first token and speed are told apart by how much \
                 longer long answers take"
            ),
            Self::SpeedAssumed { endpoint, tokens_per_s } => write!(
                formatter,
                "{endpoint}: nothing tells its speed; {tokens_per_s} tokens a second are assumed"
            ),
            Self::CapacityAssumed { endpoint, seen, taken } => write!(
                formatter,
                "{endpoint}: it was not seen full with {seen} requests at once; room for {taken} \
                 is assumed"
            ),
            Self::Unwatched { endpoint, windows, of, window_s } => write!(
                formatter,
                "{endpoint}: in {windows} of {of} windows of {window_s} s it was hardly asked; it \
                 is assumed to have been healthy there, and a policy that asks it there may meet \
                 better luck than it would have had"
            ),
        }
    }
}
