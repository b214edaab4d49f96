//! Where a JSON value ends, byte by byte.
//!
//! Knows strings, escapes and brackets, nothing else: what stands between them is checked by
//! the parser afterwards.

/// Follows one object or array from its first byte.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tracker {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Tracker {
    /// Takes a byte; true when it is the last of the value.
    pub(super) fn ends_with(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }

    /// Outside of strings, with nothing open.
    pub(super) fn is_outermost(&self) -> bool {
        !self.in_string && self.depth == 0
    }

    /// Within a string.
    pub(super) fn is_in_string(&self) -> bool {
        self.in_string
    }
}

/// JSON white space.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// May follow `open` in JSON: prose has brackets too.
pub(super) fn may_follow(open: u8, next: u8) -> bool {
    match open {
        b'{' => matches!(next, b'"' | b'}'),
        _ => matches!(next, b'"' | b'{' | b'[' | b']' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'),
    }
}
