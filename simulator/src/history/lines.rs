//! Lines of a file, within a bound: a line that is too long is passed over, not held.

use std::io::{BufRead, ErrorKind, Read};

use super::HistoryError;

/// A row holds the request and its answer as they came; this is more than gateways take.
pub(super) const MAX_LINE: usize = 64 << 20;

/// Calls with each line that is not empty, without its end; with `None` for one that is too
/// long.
pub(super) fn each(
    reader: impl BufRead,
    take: impl FnMut(Option<&[u8]>),
) -> Result<(), HistoryError> {
    each_within(reader, MAX_LINE, take)
}

fn each_within(
    mut reader: impl BufRead,
    most: usize,
    mut take: impl FnMut(Option<&[u8]>),
) -> Result<(), HistoryError> {
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let failed = |source| HistoryError::Read { line: number, source };
        // One more for the line feed.
        let bound = most as u64 + 1;
        let read = reader.by_ref().take(bound).read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 {
            return Ok(());
        }
        let ended = line.ends_with(b"\n");
        if !ended && read > most {
            pass_over(&mut reader).map_err(failed)?;
            take(None);
            continue;
        }
        let text = line.trim_ascii();
        if !text.is_empty() {
            take(Some(text));
        }
    }
    Ok(())
}

/// Up to and with the next line feed.
fn pass_over(reader: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = match reader.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn lines(text: &str, most: usize) -> Vec<Option<String>> {
        let mut lines = Vec::new();
        // A small buffer: a long line spans several.
        let reader = std::io::BufReader::with_capacity(3, text.as_bytes());
        each_within(reader, most, |line| {
            lines.push(line.map(|line| String::from_utf8(line.to_vec()).unwrap()));
        })
        .unwrap();
        lines
    }

    #[test]
    fn a_line_beyond_the_bound_is_passed_over_and_the_next_is_read() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(lines("abcd\nabcdefghijk\nxy\n", 4), [some("abcd"), None, some("xy")]);
        assert_eq!(lines("abcdefghijk", 4), [None]);
        assert_eq!(lines("abcd", 4), [some("abcd")]);
        assert_eq!(lines("\n\r\n a \r\n", 4), [some("a")]);
    }
}
