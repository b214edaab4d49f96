//! For tests of adapters and codecs: what a stream of events must be.
//!
//! The rules are those of `stream-event` in `wit/provider/provider.wit`, which every consumer
//! of a stream relies upon. Assertions fail the test with the name of the case and the reason.
//! Nothing here is meant to run outside of a test.
//!
//! ```
//! use torana_wire::conformance::{assert_whole, in_batches};
//! use torana_wire::openai::stream::Decoder;
//!
//! let chunks = [
//!     r#"{"id":"1","model":"m","choices":[{"delta":{"content":"hi"}}]}"#,
//!     r#"{"id":"1","model":"m","choices":[{"delta":{},"finish_reason":"stop"}]}"#,
//!     "[DONE]",
//! ];
//! let decoded = |sizes: &[usize]| {
//!     let mut decoder = Decoder::default();
//!     let mut events =
//!         in_batches(&chunks, sizes, |chunk, events| decoder.push(chunk.as_bytes(), events));
//!     decoder.finish(&mut events);
//!     events
//! };
//! assert_whole("hi", &decoded(&[1]));
//! assert_eq!(decoded(&[2, 1]), decoded(&[1]));
//! ```

use crate::event::{BlockKind, StreamEvent};

/// Fails unless `events` obey the contract, whole or cut short: the start comes first and
/// once, unless all there is is a failure; blocks count from 0; a delta goes to an open block
/// of its kind; a block is stopped once; nothing follows the finish or a failure; and a
/// stream that finishes has stopped every block.
///
/// # Panics
///
/// If they do not.
pub fn assert_well_formed(name: &str, events: &[StreamEvent]) {
    let mut open: Vec<(u32, Holds)> = Vec::new();
    let mut next = 0;
    for (at, event) in events.iter().enumerate() {
        let delta = |index: u32, holds: Holds| {
            assert!(
                open.contains(&(index, holds)),
                "{name}: event {at} is a delta to no open block of its kind: {event:?}"
            );
        };
        match event {
            StreamEvent::BlockStart { index, kind } => {
                assert_eq!(*index, next, "{name}: event {at} starts a block out of turn");
                next += 1;
                open.push((*index, Holds::of(kind)));
            }
            StreamEvent::TextDelta { index, .. } => delta(*index, Holds::Text),
            StreamEvent::ReasoningDelta { index, .. }
            | StreamEvent::ReasoningSignature { index, .. } => delta(*index, Holds::Reasoning),
            StreamEvent::ToolCallDelta { index, .. } => delta(*index, Holds::Arguments),
            StreamEvent::BlockStop { index } => {
                let before = open.len();
                open.retain(|(block, _)| block != index);
                assert_ne!(open.len(), before, "{name}: event {at} stops a block not open");
            }
            StreamEvent::Finish(_) => {
                assert!(open.is_empty(), "{name}: the stream finishes with open blocks: {open:?}");
            }
            _ => {}
        }
    }
    assert_begins_and_ends_once(name, events);
}

/// Fails unless `events` are well formed (see [`assert_well_formed`]) and finish: a client
/// would get a whole answer.
///
/// # Panics
///
/// If they do not.
pub fn assert_whole(name: &str, events: &[StreamEvent]) {
    assert_well_formed(name, events);
    let last = events.last();
    assert!(matches!(last, Some(StreamEvent::Finish(_))), "{name}: the stream ends with {last:?}");
}

/// The events of a parser that is given `frames` as the host gives them: as many at once as
/// there are, here in batches of `sizes`, over and over (0 counts as 1), each with an empty
/// list of events. However they are cut, the events must be the same.
pub fn in_batches<Frame>(
    frames: &[Frame],
    sizes: &[usize],
    mut push: impl FnMut(&Frame, &mut Vec<StreamEvent>),
) -> Vec<StreamEvent> {
    let mut all = Vec::new();
    let mut sizes = sizes.iter().cycle();
    let mut rest = frames;
    while !rest.is_empty() {
        let size = sizes.next().map_or(1, |size| *size).max(1);
        let (batch, later) = rest.split_at_checked(size).unwrap_or((rest, &[]));
        let mut events = Vec::new();
        batch.iter().for_each(|frame| push(frame, &mut events));
        all.append(&mut events);
        rest = later;
    }
    all
}

/// The same answer in smaller pieces: each delta cut into ones of `characters`, of which
/// there is at least one. What an encoder makes of it must mean the same.
pub fn shredded(events: &[StreamEvent], characters: usize) -> Vec<StreamEvent> {
    let pieces = |text: &str| -> Vec<String> {
        let all: Vec<char> = text.chars().collect();
        all.chunks(characters.max(1)).map(|piece| piece.iter().collect()).collect()
    };
    let mut shreds = Vec::with_capacity(events.len());
    for event in events {
        match event {
            StreamEvent::TextDelta { index, text } => shreds.extend(
                pieces(text).into_iter().map(|text| StreamEvent::TextDelta { index: *index, text }),
            ),
            StreamEvent::ReasoningDelta { index, text } => shreds.extend(
                pieces(text)
                    .into_iter()
                    .map(|text| StreamEvent::ReasoningDelta { index: *index, text }),
            ),
            StreamEvent::ToolCallDelta { index, arguments } => shreds.extend(
                pieces(arguments)
                    .into_iter()
                    .map(|arguments| StreamEvent::ToolCallDelta { index: *index, arguments }),
            ),
            event => shreds.push(event.clone()),
        }
    }
    shreds
}

/// What the deltas of a block are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Text,
    Reasoning,
    Arguments,
    Nothing,
}

impl Holds {
    fn of(kind: &BlockKind) -> Self {
        match kind {
            BlockKind::Text | BlockKind::Refusal => Self::Text,
            BlockKind::Reasoning => Self::Reasoning,
            BlockKind::ToolCall { .. } => Self::Arguments,
            BlockKind::Other(_) => Self::Nothing,
        }
    }
}

fn assert_begins_and_ends_once(name: &str, events: &[StreamEvent]) {
    let is_start = |event: &StreamEvent| matches!(event, StreamEvent::Started { .. });
    let is_end =
        |event: &StreamEvent| matches!(event, StreamEvent::Finish(_) | StreamEvent::Failed(_));
    match events {
        [] | [StreamEvent::Failed(_)] => {}
        [first, rest @ ..] => {
            assert!(is_start(first), "{name}: the stream begins with {first:?}");
            assert!(!rest.iter().any(is_start), "{name}: the stream starts again");
        }
    }
    if let Some(end) = events.iter().position(is_end) {
        let after = events.get(end + 1);
        assert!(after.is_none(), "{name}: {after:?} follows the end of the stream");
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::chat::FinishReason;
    use crate::error::{CallError, CallErrorKind};

    fn good() -> Vec<StreamEvent> {
        let call = BlockKind::ToolCall { id: "c".into(), name: "f".into() };
        vec![
            StreamEvent::Started { id: "i".into(), model: "m".into() },
            StreamEvent::BlockStart { index: 0, kind: BlockKind::Text },
            StreamEvent::TextDelta { index: 0, text: "hällo".into() },
            StreamEvent::BlockStart { index: 1, kind: call },
            StreamEvent::BlockStop { index: 0 },
            StreamEvent::ToolCallDelta { index: 1, arguments: "{}".into() },
            StreamEvent::BlockStop { index: 1 },
            StreamEvent::Finish(FinishReason::ToolCalls),
        ]
    }

    fn complaint(events: &[StreamEvent]) -> Option<String> {
        let run = catch_unwind(AssertUnwindSafe(|| assert_well_formed("case", events)));
        run.err().map(|message| message.downcast_ref::<String>().unwrap().clone())
    }

    #[test]
    fn good_stream_passes_whole_cut_short_and_in_shreds() {
        let good = good();
        assert_whole("good", &good);
        assert_whole("shredded", &shredded(&good, 2));
        assert_eq!(shredded(&good, 2).len(), good.len() + 2);
        for length in 0..good.len() {
            assert_eq!(complaint(&good[..length]), None, "{length}");
        }
        let failed = StreamEvent::Failed(CallError::new(CallErrorKind::Server, "no"));
        assert_eq!(complaint(std::slice::from_ref(&failed)), None);
        assert!(catch_unwind(|| assert_whole("failed", &[failed])).is_err());
    }

    #[test]
    fn every_event_is_missed_or_noticed_where_it_does_not_belong() {
        let good = good();
        for (left_out, reason) in [
            (0, "begins with"),
            (1, "is a delta to no open block"),
            (3, "is a delta to no open block"),
            (4, "finishes with open blocks"),
            (6, "finishes with open blocks"),
        ] {
            let mut events = good.clone();
            events.remove(left_out);
            let said = complaint(&events).unwrap_or_default();
            assert!(said.contains(reason) || said.contains("out of turn"), "{left_out}: {said}");
        }
        for (twice, reason) in [
            (0, "starts again"),
            (1, "out of turn"),
            (4, "stops a block not open"),
            (7, "follows the end"),
        ] {
            let mut events = good.clone();
            events.insert(twice, good[twice].clone());
            let said = complaint(&events).unwrap_or_default();
            assert!(said.contains(reason), "{twice}: {said}");
        }
        let mut events = good;
        events[2] = StreamEvent::ReasoningDelta { index: 0, text: "x".into() };
        assert!(complaint(&events).unwrap().contains("of its kind"));
    }

    #[test]
    fn batches_hold_every_frame_once_and_in_order() {
        let frames = ["a", "b", "c", "d", "e"];
        for sizes in [&[][..], &[0], &[1], &[2, 1], &[9]] {
            let mut seen = Vec::new();
            in_batches(&frames, sizes, |frame, _| seen.push(*frame));
            assert_eq!(seen, frames, "{sizes:?}");
        }
    }
}
