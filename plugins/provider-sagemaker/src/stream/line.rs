//! Payloads of server-sent events (or of JSON lines) from bytes that are cut anywhere.
//!
//! Source of the format: the HTML standard, "Server-sent events". A line ends with CR LF, LF
//! or CR; `data:` lines of one event are joined by LF; a blank line ends an event. Other fields
//! and comments are passed over. A line that is a JSON object itself is a payload: so some
//! containers stream, and so all of them put an error at the end.

use torana_plugin_sdk::CallError;

use super::too_long;

/// The longest event: far above any delta, and below what would trouble a component.
const MAX_EVENT: usize = 16 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Payloads {
    /// The line at hand, as far as it came.
    line: Vec<u8>,
    /// The payload at hand.
    data: Vec<u8>,
    /// A `data:` line belongs to the payload at hand.
    has_data: bool,
    /// The last byte was CR: an LF after it is no line of its own.
    after_return: bool,
}

impl Payloads {
    /// # Errors
    ///
    /// An event that is too long. Nothing more is to be pushed then.
    pub(super) fn push(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), CallError> {
        if let ([b'\n', rest @ ..], true) = (bytes, self.after_return) {
            bytes = rest;
        }
        if !bytes.is_empty() {
            self.after_return = false;
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (front, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
            self.extend(front)?;
            self.end_line(&mut take);
            bytes = match rest {
                [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => {
                    self.after_return = rest.is_empty() && bytes.last() == Some(&b'\r');
                    rest
                }
                [] => rest,
            };
        }
        self.extend(bytes)
    }

    /// What came after the last blank line, if it is whole in itself.
    pub(super) fn finish(&mut self) -> Option<Vec<u8>> {
        let mut last = None;
        self.end_line(&mut |payload: &[u8]| last = Some(payload.to_vec()));
        if last.is_none() && self.has_data {
            last = Some(std::mem::take(&mut self.data));
        }
        let is_whole = |payload: &Vec<u8>| {
            payload.trim_ascii() == b"[DONE]"
                || serde_json::from_slice::<serde::de::IgnoredAny>(payload).is_ok()
        };
        last.filter(is_whole)
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), CallError> {
        let length = self.line.len().saturating_add(bytes.len()).saturating_add(self.data.len());
        if length > MAX_EVENT {
            return Err(too_long(MAX_EVENT));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, take: &mut impl FnMut(&[u8])) {
        let line = std::mem::take(&mut self.line);
        let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
        if text.is_empty() {
            if std::mem::take(&mut self.has_data) {
                take(&self.data);
                self.data.clear();
            }
        } else if let Some(value) = text.strip_prefix(b"data:") {
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        } else if text.trim_ascii_start().starts_with(b"{") {
            take(text);
        }
        // The room is used again for the next line.
        self.line = line;
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn read(parts: &[&[u8]]) -> (Vec<String>, Option<String>) {
        let mut payloads = Payloads::default();
        let mut all = Vec::new();
        let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
        for part in parts {
            payloads.push(part, |payload| all.push(text(payload))).unwrap();
        }
        (all, payloads.finish().as_deref().map(text))
    }

    #[test]
    fn every_line_end_and_field_is_understood() {
        let stream = b"\xef\xbb\xbf: hello\r\nevent: x\ndata: a\ndata:b\n\ndata: c\r\rid: 1\r\n\r\ndata: [DONE]\n\n";
        assert_eq!(read(&[stream]), (vec!["a\nb".into(), "c".into(), "[DONE]".into()], None));
    }

    #[test]
    fn objects_on_lines_of_their_own_are_payloads() {
        assert_eq!(
            read(&[b"{\"a\":1}\n{\"b\":2}"]),
            (vec!["{\"a\":1}".into()], Some("{\"b\":2}".into()))
        );
    }

    #[test]
    fn remains_count_only_if_they_are_whole() {
        assert_eq!(read(&[b"data: [DONE]"]).1.as_deref(), Some("[DONE]"));
        assert_eq!(read(&[b"data: {\"a\":1}\n"]).1.as_deref(), Some("{\"a\":1}"));
        assert_eq!(read(&[b"data: {\"a\":"]).1, None);
        assert_eq!(read(&[b"data: {\"a\":1}\n\n"]).1, None);
    }

    #[test]
    fn endless_event_is_refused() {
        let mut payloads = Payloads::default();
        let part = vec![b'x'; 1 << 20];
        let refused = (0..17).find_map(|_| payloads.push(&part, |_| {}).err());
        assert!(refused.is_some());
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_payloads(
            stream in "(data: ?[a-z{}\": ]{0,6}|: c|event: x|\\{\"a\":1\\}|\r|\n|\r\n|\n\n){0,30}",
            cuts in proptest::collection::vec(0_usize..200, 0..12),
        ) {
            let bytes = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(&parts), read(&[bytes]));
        }
    }
}
