//! Whatever attempts an answer is made of, the client gets one.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use torana_wire::assemble::assemble;
use torana_wire::chat::{Block, FinishReason, Response};
use torana_wire::error::{CallError, CallErrorKind};

use super::*;

/// How one attempt says its text, and how far it comes.
#[derive(Debug, Clone)]
struct Said {
    /// Characters of a delta.
    piece: usize,
    /// Its blocks begin with this number.
    index: u32,
    /// An end of the block comes before the break.
    stops: bool,
    usage: bool,
}

fn said() -> impl Strategy<Value = Said> {
    (1..5_usize, 0..3_u32, any::<bool>(), any::<bool>())
        .prop_map(|(piece, index, stops, usage)| Said { piece, index, stops, usage })
}

/// Text with white space where it hurts, of more than one byte too.
fn text() -> impl Strategy<Value = String> {
    let characters = prop::sample::select(vec!['a', 'b', ' ', ' ', '\n', '\u{a0}', 'é', '👋']);
    prop::collection::vec(characters, 0..24).prop_map(|characters| characters.into_iter().collect())
}

impl Said {
    fn events(&self, text: &str, is_last: bool) -> Vec<StreamEvent> {
        let index = self.index;
        let started = StreamEvent::Started { id: format!("id-{index}"), model: "m".into() };
        let mut events = vec![started, StreamEvent::BlockStart { index, kind: BlockKind::Text }];
        if self.usage {
            events.push(StreamEvent::Usage(Usage { input: 5, output: 1, ..Usage::default() }));
        }
        let characters: Vec<char> = text.chars().collect();
        events.extend(
            characters
                .chunks(self.piece)
                .map(|piece| StreamEvent::TextDelta { index, text: piece.iter().collect() }),
        );
        if self.stops || is_last {
            events.push(StreamEvent::BlockStop { index });
        }
        if is_last {
            events.push(StreamEvent::Finish(FinishReason::Stop));
        }
        events
    }
}

/// What the client gets of attempts, each given the prefill and saying what it says then.
fn join(attempts: &[Vec<StreamEvent>]) -> (Joint, Vec<StreamEvent>) {
    let mut joint = Joint::new(7);
    let mut out = Vec::new();
    for (number, events) in attempts.iter().enumerate() {
        if number > 0 {
            joint.go_on();
        }
        events.iter().cloned().for_each(|event| joint.push(event, &mut out));
    }
    (joint, out)
}

fn delta(index: u32, text: &str) -> StreamEvent {
    StreamEvent::TextDelta { index, text: text.into() }
}

fn begin(index: u32) -> StreamEvent {
    StreamEvent::BlockStart { index, kind: BlockKind::Text }
}

/// Text after `before` was told and `after` came for its prefill.
fn continued(before: &str, after: &[&str]) -> String {
    let first = vec![begin(0), delta(0, before)];
    let mut second = vec![begin(0)];
    second.extend(after.iter().map(|text| delta(0, text)));
    second.push(StreamEvent::Finish(FinishReason::Stop));
    text_of(&assemble(&join(&[first, second]).1))
}

fn text_of(response: &Response) -> String {
    let text = |block: &Block| match block {
        Block::Text { text, .. } => text.clone(),
        other => unreachable!("{other:?}"),
    };
    response.blocks.iter().map(text).collect()
}

fn count(events: &[StreamEvent], is: impl Fn(&StreamEvent) -> bool) -> usize {
    events.iter().filter(|event| is(event)).count()
}

proptest! {
    #[test]
    fn answer_broken_off_anywhere_is_the_whole_text_once_in_one_block(
        whole in text(),
        breaks in prop::collection::vec((0..25_usize, said()), 0..4),
        last in said(),
    ) {
        let ends: Vec<usize> = whole.char_indices().map(|(at, _)| at).chain([whole.len()]).collect();
        let mut joint = Joint::new(7);
        let mut out = Vec::new();
        for (number, (far, said)) in breaks.iter().enumerate() {
            // Every attempt says the same text, from its prefill on.
            let from = joint.prefill().unwrap().len();
            let to = ends[far % ends.len()].max(from);
            if number > 0 {
                joint.go_on();
            }
            let events = said.events(&whole[from..to], false);
            events.into_iter().for_each(|event| joint.push(event, &mut out));
        }
        let from = joint.prefill().unwrap().len();
        if !breaks.is_empty() {
            joint.go_on();
        }
        let events = last.events(&whole[from..], true);
        events.into_iter().for_each(|event| joint.push(event, &mut out));

        prop_assert_eq!(text_of(&assemble(&out)), whole);
        prop_assert_eq!(count(&out, |it| matches!(it, StreamEvent::Started { .. })), 1);
        prop_assert_eq!(count(&out, |it| matches!(it, StreamEvent::BlockStart { .. })), 1);
        prop_assert_eq!(count(&out, |it| matches!(it, StreamEvent::BlockStop { .. })), 1);
        prop_assert_eq!(count(&out, |it| matches!(it, StreamEvent::Finish(_))), 1);
        let open = out.iter().position(|it| matches!(it, StreamEvent::BlockStart { .. }));
        let end = out.iter().position(|it| matches!(it, StreamEvent::BlockStop { .. }));
        let (open, end) = (open.unwrap(), end.unwrap());
        for (place, event) in out.iter().enumerate() {
            if let StreamEvent::TextDelta { index, text } = event {
                prop_assert!(open < place && place < end && *index == 0 && !text.is_empty());
            }
        }
        prop_assert!(joint.text().is_none(), "what has come to its end is not gone on with");
    }

    #[test]
    fn text_that_repeats_no_white_space_is_told_as_it_comes(
        before in text(), after in "[a-z][a-z \n]{0,9}", piece in 1..4_usize,
    ) {
        let characters: Vec<char> = after.chars().collect();
        let pieces: Vec<String> = characters.chunks(piece).map(|it| it.iter().collect()).collect();
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        prop_assert_eq!(continued(&before, &pieces), format!("{before}{after}"));
    }
}

#[test]
fn only_white_space_that_the_client_has_is_left_out() {
    assert_eq!(continued("one \n", &[" \ntwo"]), "one \ntwo");
    assert_eq!(continued("one ", &[" ", "two"]), "one two");
    assert_eq!(continued("one\n", &["\n\ntwo"]), "one\n\ntwo");
    assert_eq!(continued("one\n\n", &["\ntwo"]), "one\n\ntwo");
    assert_eq!(continued("one ", &["two  ", " "]), "one two   ");
    assert_eq!(continued("one", &[" two"]), "one two");
}

#[test]
fn nothing_but_text_is_gone_on_with() {
    let kinds = [
        BlockKind::Reasoning,
        BlockKind::Refusal,
        BlockKind::ToolCall { id: "c".into(), name: "t".into() },
        BlockKind::Other(Value::Null),
    ];
    for kind in kinds {
        let start = StreamEvent::BlockStart { index: 1, kind: kind.clone() };
        let (joint, _) = join(&[vec![begin(0), delta(0, "a"), start]]);
        assert_eq!(joint.text(), None, "{kind:?}");
    }
    let (joint, _) = join(&[vec![begin(0), delta(0, "a \n")]]);
    assert_eq!((joint.text(), joint.prefill()), (Some("a \n"), Some("a")));
    let long = "a".repeat(LONGEST_PREFILL);
    let (joint, _) = join(&[vec![begin(0), delta(0, &long)]]);
    assert!(joint.text().is_some());
    let (joint, _) = join(&[vec![begin(0), delta(0, &long), delta(0, "a")]]);
    assert!(joint.text().is_none());
}

#[test]
fn tool_call_of_the_one_that_goes_on_follows_the_text() {
    let call = BlockKind::ToolCall { id: "c".into(), name: "t".into() };
    let (_, out) = join(&[
        vec![begin(0), delta(0, "a "), StreamEvent::BlockStop { index: 0 }],
        vec![
            StreamEvent::BlockStart { index: 0, kind: call.clone() },
            StreamEvent::ToolCallDelta { index: 0, arguments: "{}".into() },
            StreamEvent::BlockStop { index: 0 },
            StreamEvent::Finish(FinishReason::ToolCalls),
        ],
    ]);
    let expected = [
        begin(0),
        delta(0, "a "),
        StreamEvent::BlockStop { index: 0 },
        StreamEvent::BlockStart { index: 1, kind: call },
        StreamEvent::ToolCallDelta { index: 1, arguments: "{}".into() },
        StreamEvent::BlockStop { index: 1 },
        StreamEvent::Finish(FinishReason::ToolCalls),
    ];
    assert_eq!(out, expected);
}

#[test]
fn blocks_of_one_attempt_keep_their_ends() {
    let events = vec![
        begin(0),
        delta(0, "a"),
        begin(1),
        delta(1, "b"),
        delta(0, "c"),
        StreamEvent::BlockStop { index: 0 },
        StreamEvent::Other(serde_json::json!({"index": 1, "extra": {"k": 1}})),
        StreamEvent::Other(serde_json::json!({"extra": {"k": 2}})),
        StreamEvent::BlockStop { index: 1 },
        StreamEvent::Failed(CallError::new(CallErrorKind::Server, "no")),
    ];
    let mut expected = events.clone();
    // The last end waits for what follows it, and what follows goes on.
    expected.remove(8);
    assert_eq!(join(&[events]).1, expected);
}

#[test]
fn usage_has_the_first_input_and_the_output_of_all() {
    let usage = |input, output| Usage { input, output, cached_input: 1, ..Usage::default() };
    let first = vec![StreamEvent::Usage(usage(10, 1)), begin(0), delta(0, "twelve bytes")];
    let second = vec![begin(0), delta(0, "more"), StreamEvent::Usage(usage(13, 4))];
    let (joint, out) = join(&[first, second]);
    let expected = Usage { estimated: true, ..usage(10, 3 + 4) };
    assert_eq!(joint.usage(), Some(expected));
    assert_eq!(out.last(), Some(&StreamEvent::Usage(expected)));
    assert_eq!(joint.last_usage(false), Some(usage(13, 4)), "of the attempt alone");
}

#[test]
fn usage_that_nobody_reports_is_counted() {
    let (joint, _) = join(&[vec![begin(0), delta(0, "twelve bytes")]]);
    assert_eq!((joint.usage(), joint.output_tokens()), (None, 3));
    let (joint, _) =
        join(&[vec![begin(0), delta(0, "twelve bytes")], vec![begin(0), delta(0, "and 8 by")]]);
    let counted = |input, output| Usage { input, output, estimated: true, ..Usage::default() };
    assert_eq!(joint.usage(), Some(counted(7, 3 + 2)));
    assert_eq!(joint.last_usage(false), Some(counted(7 + 3, 2)), "its prompt had the prefill");
    assert_eq!(joint.last_usage(true), None);
}

#[test]
fn attempt_that_said_nothing_leaves_no_trace_in_usage() {
    let usage = Usage { input: 9, output: 2, ..Usage::default() };
    let (joint, _) = join(&[Vec::new(), vec![StreamEvent::Usage(usage)]]);
    assert_eq!(joint.usage(), Some(usage));
    assert!(joint.is_resumed());
}
