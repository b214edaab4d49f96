//! Where the JSON object of a call's arguments ends, seen piece by piece.

/// Reads JSON text as it comes.
#[derive(Debug, Default)]
pub(super) struct JsonEnd {
    depth: u32,
    begun: bool,
    in_string: bool,
    escaped: bool,
}

impl JsonEnd {
    pub(super) fn read(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' | b'[' if !self.in_string => {
                    self.depth = self.depth.saturating_add(1);
                    self.begun = true;
                }
                b'}' | b']' if !self.in_string => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// The object is whole: nothing but white space can follow.
    pub(super) fn is_reached(&self) -> bool {
        self.begun && self.depth == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_is_the_last_brace_and_none_inside_a_string() {
        let text = r#"{"a": ["}", "\"}"], "b": {}}"#;
        let mut end = JsonEnd::default();
        for (position, character) in text.char_indices() {
            assert!(!end.is_reached(), "{position}");
            end.read(&character.to_string());
        }
        assert!(end.is_reached());
    }
}
