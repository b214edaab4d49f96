#![expect(clippy::unwrap_used, reason = "tests")]
use std::io::Cursor;

use proptest::prelude::*;

use super::*;

fn lines(text: &[u8]) -> Lines<'static, Cursor<Vec<u8>>> {
    let reader = Cursor::new(text.to_vec());
    Lines { path: Path::new("trace.csv"), reader, line: 0, text: String::new() }
}

fn azure_of(text: &str) -> Result<Vec<Record>, TraceError> {
    azure(&mut lines(text.as_bytes()), 100)
}

#[test]
fn an_azure_trace_gives_times_with_seven_decimals_and_both_lengths() {
    let records = azure_of(
        "TIMESTAMP,ContextTokens,GeneratedTokens\r\n\
         2023-11-16 18:15:46.6805900,374,44\r\n\
         2023-11-16 18:15:50.9951690,396,109\r\n",
    )
    .unwrap();
    assert_eq!(records[1].at - records[0].at, Duration::from_nanos(4_314_579_000));
    assert_eq!((records[1].input_tokens, records[1].output_tokens), (396, 109));
}

#[test]
fn columns_may_come_in_any_order_and_times_with_an_offset() {
    let records = azure_of(
        "GeneratedTokens,model,TIMESTAMP,ContextTokens\n\
         1,x,2024-05-10 00:00:00.009930+00:00,2\n\n\
         3,x,2024-05-10T00:00:01Z,4\n",
    )
    .unwrap();
    assert_eq!((records[0].input_tokens, records[0].output_tokens), (2, 1));
    assert_eq!(records[1].at - records[0].at, Duration::from_micros(990_070));
}

#[test]
fn a_missing_column_is_named() {
    let error = azure_of("TIMESTAMP,Context,GeneratedTokens\n").unwrap_err();
    let expected = "trace.csv:1: the columns are `TIMESTAMP,Context,GeneratedTokens`; expected \
                    `ContextTokens` among them";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_cell_that_makes_no_sense_is_reported_with_line_and_column() {
    let of = |row: &str| {
        let header = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,1,1\n";
        azure_of(&format!("{header}{row}\n")).unwrap_err().to_string()
    };
    assert_eq!(
        of("2023-11-16 18:15:50,many,1"),
        "trace.csv:3: `ContextTokens` is `many`; expected a number of tokens"
    );
    assert_eq!(
        of("2023-11-16 18:15:50,1"),
        "trace.csv:3: `GeneratedTokens` is ``; expected a number of tokens"
    );
    assert!(of("yesterday,1,1").starts_with("trace.csv:3: `TIMESTAMP` is `yesterday`"));
}

#[test]
fn a_line_without_end_is_refused_instead_of_read() {
    let text = vec![b'x'; usize::try_from(MAX_LINE).unwrap() + 10];
    let error = azure(&mut lines(&text), 1).unwrap_err();
    assert!(matches!(error, TraceError::LongLine { .. }), "{error}");
}

#[test]
fn what_is_not_text_is_refused_with_its_line() {
    let error =
        azure(&mut lines(b"TIMESTAMP,ContextTokens,GeneratedTokens\n\xff\xfe\n"), 1).unwrap_err();
    assert!(error.to_string().starts_with("trace.csv:2: "), "{error}");
}

#[test]
fn mooncake_sessions_begin_after_the_blocks_that_all_prompts_share() {
    let line = |at: u64, blocks: &str| {
        format!(
            "{{\"timestamp\":{at},\"input_length\":9,\"output_length\":5,\"hash_ids\":[{blocks}]}}\n"
        )
    };
    let text = [line(0, "0,1,2"), line(500, "0,7"), line(900, "0,1,2,3"), line(950, "0")].concat();
    let records = mooncake(&mut lines(text.as_bytes()), 10).unwrap();
    let sessions: Vec<u64> = records.iter().map(|record| record.session).collect();
    assert_eq!(sessions, [2, 8, 2, 0]);
    assert_eq!(records[1].at, Duration::from_millis(500));
    assert_eq!(mooncake(&mut lines(text.as_bytes()), 1).unwrap().len(), 1);
}

#[test]
fn a_mooncake_line_that_is_none_is_reported_with_its_number() {
    let error = mooncake(&mut lines(b"{\"timestamp\":0}\n"), 10).unwrap_err();
    assert!(error.to_string().starts_with("trace.csv:1: the line is not one"), "{error}");
}

#[test]
fn a_trace_that_is_not_there_is_named_with_its_hint() {
    let path = Path::new("/nowhere/azure.csv");
    let error = read(path, Format::Azure, 1, 1.0, Some("get it from X")).unwrap_err();
    assert_eq!(error.to_string(), "cannot open the trace /nowhere/azure.csv; get it from X");
}

#[test]
fn a_trace_without_requests_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.csv");
    std::fs::write(&path, "TIMESTAMP,ContextTokens,GeneratedTokens\n").unwrap();
    let error = read(&path, Format::of(&path), 9, 1.0, None).unwrap_err();
    assert!(matches!(error, TraceError::Empty { .. }), "{error}");
    assert_eq!(Format::of(Path::new("a.JSONL")), Format::Mooncake);
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), rows in any::<bool>()) {
        let mut text = Vec::new();
        if rows {
            text.extend_from_slice(b"TIMESTAMP,ContextTokens,GeneratedTokens\n");
        }
        text.extend_from_slice(&bytes);
        let _ = azure(&mut lines(&text), 100);
        let _ = mooncake(&mut lines(&text), 100);
    }
}
