#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use bytes::Bytes;
use proptest::prelude::*;

use super::{Frame, FrameKind, Framer, Framing, FramingError, MessagePart};

const LIMIT: usize = 4096;

/// Pushes `input` cut at `cuts` (each modulo the length).
fn cut(framing: Framing, input: &[u8], cuts: &[usize]) -> (Vec<Frame>, Result<(), FramingError>) {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    places.extend([0, input.len()]);
    places.sort_unstable();
    let mut framer = Framer::new(framing, LIMIT);
    let mut frames = Vec::new();
    for range in places.windows(2) {
        let chunk = Bytes::copy_from_slice(&input[range[0]..range[1]]);
        if let Err(error) = framer.push(chunk, &mut frames) {
            return (frames, Err(error));
        }
    }
    let outcome = framer.finish(&mut frames);
    (frames, outcome)
}

fn whole(framing: Framing, input: &[u8]) -> Vec<Frame> {
    let (frames, outcome) = cut(framing, input, &[]);
    outcome.unwrap();
    frames
}

fn events(frames: &[Frame]) -> Vec<(Option<&str>, String)> {
    frames
        .iter()
        .filter(|frame| frame.kind == FrameKind::Event && frame.complete)
        .map(|frame| {
            let data = String::from_utf8_lossy(&frame.data).into_owned();
            (frame.event.as_deref(), data)
        })
        .collect()
}

fn raw(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.raw.to_vec()).collect()
}

/// The standard's algorithm, line by line over the whole text: (event type, data).
fn standard(input: &str) -> Vec<(Option<String>, String)> {
    let text = input.strip_prefix('\u{feff}').unwrap_or(input);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    let (mut events, mut event, mut data) = (Vec::new(), String::new(), None::<String>);
    for line in lines {
        if line.is_empty() {
            let event = Some(std::mem::take(&mut event)).filter(|name| !name.is_empty());
            events.extend(data.take().map(|data| (event, data)));
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => event = value.to_owned(),
            "data" => match &mut data {
                Some(data) => *data = format!("{data}\n{value}"),
                None => data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
    events
}

#[test]
fn every_line_end_ends_a_line() {
    for end in ["\n", "\r\n", "\r"] {
        let input = format!("event: tick{end}data: 1{end}{end}data:2{end}data:  3{end}{end}");
        let frames = whole(Framing::Sse, input.as_bytes());
        let expected = vec![(Some("tick"), "1".to_owned()), (None, "2\n 3".to_owned())];
        assert_eq!(events(&frames), expected, "{end:?}");
    }
}

#[test]
fn comments_and_fields_without_data_are_passed_on_but_are_no_events() {
    let frames = whole(Framing::Sse, b": ping\n\nid: 7\nretry: 10\n\nevent: x\n\ndata\n\n");
    let kinds: Vec<FrameKind> = frames.iter().map(|frame| frame.kind).collect();
    assert_eq!(
        kinds,
        [FrameKind::Comment, FrameKind::Comment, FrameKind::Comment, FrameKind::Event]
    );
    assert_eq!(frames[2].event.as_deref(), Some("x"));
    assert_eq!(frames[3].data, "");
}

#[test]
fn last_event_without_blank_line_is_marked_incomplete() {
    for tail in ["data: [DONE]", "data: [DONE]\n", "data: [DONE]\r"] {
        let input = format!("data: 1\n\n{tail}");
        let frames = whole(Framing::Sse, input.as_bytes());
        assert_eq!(frames.len(), 2, "{tail:?}");
        assert_eq!(frames[1].data, "[DONE]");
        assert!(!frames[1].complete);
    }
}

#[test]
fn event_that_ends_with_carriage_returns_is_complete_at_the_end() {
    let frames = whole(Framing::Sse, b"data: 1\r\r");
    assert_eq!(events(&frames), [(None, "1".to_owned())]);
}

#[test]
fn json_error_instead_of_or_after_a_stream_is_foreign() {
    let error = "{\n  \"error\": {\"code\": 503}\n}\n";
    for (before, frames_before) in [("", 0), ("data: 1\n\n", 1), ("data: 1\n", 1)] {
        let frames = whole(Framing::Sse, format!("{before}{error}").as_bytes());
        assert_eq!(frames.len(), frames_before + 1, "{before:?}");
        let last = frames.last().unwrap();
        assert_eq!(last.kind, FrameKind::Foreign);
        assert_eq!(last.data, error);
    }
}

#[test]
fn unknown_fields_inside_an_event_are_ignored() {
    let frames = whole(Framing::Sse, b"data: 1\n{\"a\": 1}\ndata: 2\n\n");
    assert_eq!(events(&frames), [(None, "1\n2".to_owned())]);
}

#[test]
fn frame_inside_one_chunk_shares_its_memory() {
    let chunk = Bytes::from_static(b"data: one\n\ndata: two\n\n");
    let mut frames = Vec::new();
    let mut framer = Framer::new(Framing::Sse, LIMIT);
    framer.push(chunk.clone(), &mut frames).unwrap();
    for frame in &frames {
        assert!(chunk.as_ptr_range().contains(&frame.data.as_ptr()));
    }
    assert_eq!(frames.len(), 2);
}

#[test]
fn too_long_frame_is_an_error_in_every_framing_and_stays_one() {
    let long = vec![b'x'; LIMIT];
    for framing in [Framing::Sse, Framing::Ndjson] {
        let mut framer = Framer::new(framing, LIMIT);
        let mut frames = Vec::new();
        framer.push(Bytes::from(long.clone()), &mut frames).unwrap();
        let error = framer.push(Bytes::from_static(b"y"), &mut frames);
        assert_eq!(error, Err(FramingError::TooLong { limit: LIMIT }));
        assert_eq!(framer.finish(&mut frames), error);
        assert!(frames.is_empty());
    }
    let (_, error) = cut(Framing::AwsEventStream, &message(&[], &long), &[]);
    assert_eq!(error, Err(FramingError::TooLong { limit: LIMIT }));
}

#[test]
fn lines_are_values_and_what_is_no_json_is_foreign() {
    let frames = whole(Framing::Ndjson, b"\r\n{\"a\":1}\r\n\n[2]\n<html>\n{\"b\"");
    let seen: Vec<_> =
        frames.iter().map(|frame| (frame.kind, frame.complete, &frame.data[..])).collect();
    assert_eq!(
        seen,
        [
            (FrameKind::Event, true, &b"{\"a\":1}"[..]),
            (FrameKind::Event, true, b"[2]"),
            (FrameKind::Foreign, true, b"<html>\n"),
            (FrameKind::Event, false, b"{\"b\""),
        ]
    );
}

/// An AWS message with string headers.
fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for (name, value) in headers {
        encoded.push(u8::try_from(name.len()).unwrap());
        encoded.extend_from_slice(name.as_bytes());
        encoded.push(7);
        encoded.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        encoded.extend_from_slice(value.as_bytes());
    }
    let total = u32::try_from(16 + encoded.len() + payload.len()).unwrap();
    let mut message = total.to_be_bytes().to_vec();
    message.extend_from_slice(&u32::try_from(encoded.len()).unwrap().to_be_bytes());
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message.extend_from_slice(&encoded);
    message.extend_from_slice(payload);
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message
}

#[test]
fn messages_give_their_type_and_payload() {
    let mut input = message(&[(":message-type", "event"), (":event-type", "chunk")], b"{}");
    input.extend(message(
        &[(":message-type", "exception"), (":exception-type", "throttlingException")],
        b"{\"message\":\"slow down\"}",
    ));
    input.extend(message(
        &[(":message-type", "error"), (":error-code", "500"), (":error-message", "broken")],
        b"",
    ));
    let frames = whole(Framing::AwsEventStream, &input);
    let seen: Vec<_> =
        frames.iter().map(|frame| (frame.kind, frame.event.as_deref(), &frame.data[..])).collect();
    assert_eq!(
        seen,
        [
            (FrameKind::Event, Some("chunk"), &b"{}"[..]),
            (FrameKind::Exception, Some("throttlingException"), b"{\"message\":\"slow down\"}"),
            (FrameKind::Exception, Some("500"), b"broken"),
        ]
    );
    assert_eq!(raw(&frames), input);
}

#[test]
fn any_flipped_bit_of_a_message_is_noticed() {
    let good = message(&[(":event-type", "chunk")], b"{\"bytes\":\"aGk=\"}");
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let (frames, outcome) = cut(Framing::AwsEventStream, &bad, &[]);
        assert!(frames.is_empty() && outcome.is_err(), "bit {bit}");
    }
}

#[test]
fn json_body_and_cut_message_are_errors_of_an_event_stream() {
    let (_, outcome) = cut(Framing::AwsEventStream, b"{\"message\":\"denied\"}", &[]);
    let part = MessagePart::Prelude;
    assert_eq!(outcome, Err(FramingError::Checksum { part }));
    let good = message(&[], b"{}");
    let (_, outcome) = cut(Framing::AwsEventStream, &good[..good.len() - 1], &[]);
    let bytes = good.len() - 1;
    assert_eq!(outcome, Err(FramingError::Truncated { bytes }));
}

/// Text made of what matters to a stream, so that short inputs meet the corners.
fn stream_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        3 => prop_oneof![Just("data:"), Just("data: "), Just("data"), Just("event: ")],
        2 => prop_oneof![Just("{\"a\":1}"), Just("x"), Just("é"), Just(" "), Just(":")],
        1 => prop_oneof![Just(": ping"), Just("id: 1"), Just("\u{feff}"), Just("<p>")],
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn server_sent_events_are_those_of_the_standard(text in stream_text()) {
        let frames = whole(Framing::Sse, text.as_bytes());
        let seen: Vec<_> = events(&frames)
            .into_iter()
            .map(|(event, data)| (event.map(str::to_owned), data))
            .collect();
        prop_assert_eq!(seen, standard(&text));
    }

    #[test]
    fn frames_do_not_depend_on_the_chunks_and_lose_no_byte(
        text in stream_text(),
        cuts in prop::collection::vec(any::<usize>(), 0..30),
    ) {
        for framing in [Framing::Sse, Framing::Ndjson] {
            let frames = whole(framing, text.as_bytes());
            prop_assert_eq!(raw(&frames), text.as_bytes());
            let (other, outcome) = cut(framing, text.as_bytes(), &cuts);
            prop_assert_eq!(outcome, Ok(()));
            prop_assert_eq!(frames, other);
        }
    }

    #[test]
    fn messages_do_not_depend_on_the_chunks(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..6),
        cuts in prop::collection::vec(any::<usize>(), 0..30),
    ) {
        let input: Vec<u8> = payloads
            .iter()
            .flat_map(|payload| message(&[(":event-type", "chunk")], payload))
            .collect();
        let (frames, outcome) = cut(Framing::AwsEventStream, &input, &cuts);
        prop_assert_eq!(outcome, Ok(()));
        prop_assert_eq!(&frames, &whole(Framing::AwsEventStream, &input));
        prop_assert_eq!(raw(&frames), input);
        let data: Vec<_> = frames.iter().map(|frame| frame.data.to_vec()).collect();
        prop_assert_eq!(data, payloads);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        input in prop::collection::vec(any::<u8>(), 0..300),
        cuts in prop::collection::vec(any::<usize>(), 0..10),
    ) {
        for framing in [Framing::Sse, Framing::Ndjson, Framing::AwsEventStream] {
            let (frames, outcome) = cut(framing, &input, &cuts);
            prop_assert_eq!((frames, outcome), cut(framing, &input, &[]));
        }
    }

    #[test]
    fn arbitrary_headers_behind_right_checksums_never_panic(
        headers in prop::collection::vec(any::<u8>(), 0..80),
        claimed in 0_u32..100,
    ) {
        let mut input = u32::try_from(16 + headers.len()).unwrap().to_be_bytes().to_vec();
        input.extend_from_slice(&claimed.to_be_bytes());
        input.extend_from_slice(&crc32fast::hash(&input).to_be_bytes());
        input.extend_from_slice(&headers);
        input.extend_from_slice(&crc32fast::hash(&input).to_be_bytes());
        let (frames, outcome) = cut(Framing::AwsEventStream, &input, &[]);
        prop_assert_eq!(frames.len() == 1, outcome.is_ok());
    }
}
