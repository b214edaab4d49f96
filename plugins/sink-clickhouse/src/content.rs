//! Cuts what clients and models said out of a row, so that it can expire alone.
//!
//! The row's other bytes stay as they came (the frame), and so does each piece; put back where
//! it stood, the row is the same byte for byte. The column `json` of the tables does that.

use serde_json::value::RawValue;

/// A row in pieces.
#[derive(Debug, PartialEq)]
pub(crate) struct Cut<'a, const PIECES: usize> {
    /// The row without the pieces.
    pub(crate) frame: String,
    pub(crate) pieces: [Piece<'a>; PIECES],
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Piece<'a> {
    /// JSON of a value; empty where the row has none.
    pub(crate) json: &'a str,
    /// Where in the frame it stood, in bytes; 0, where no value can stand, for none.
    pub(crate) at: usize,
}

/// Cuts `values`, which must be parts of `json`.
pub(crate) fn cut<'a, const PIECES: usize>(
    json: &'a str,
    values: [Option<&'a RawValue>; PIECES],
) -> Cut<'a, PIECES> {
    let mut places: Vec<(usize, usize, &str)> = Vec::with_capacity(PIECES);
    for (index, value) in values.into_iter().enumerate() {
        if let Some((start, value)) = value.and_then(|value| place(json, value.get())) {
            places.push((start, index, value));
        }
    }
    places.sort_unstable_by_key(|(start, ..)| *start);
    let cut_out: usize = places.iter().map(|(.., value)| value.len()).sum();
    let mut cut = Cut {
        frame: String::with_capacity(json.len().saturating_sub(cut_out)),
        pieces: [Piece { json: "", at: 0 }; PIECES],
    };
    let mut rest = 0;
    for (start, index, value) in places {
        cut.frame.push_str(json.get(rest..start).unwrap_or_default());
        if let Some(piece) = cut.pieces.get_mut(index) {
            *piece = Piece { json: value, at: cut.frame.len() };
        }
        rest = start + value.len();
    }
    cut.frame.push_str(json.get(rest..).unwrap_or_default());
    cut
}

/// Where in `json` its part `value` starts.
fn place<'a>(json: &str, value: &'a str) -> Option<(usize, &'a str)> {
    let start = value.as_ptr().addr().checked_sub(json.as_ptr().addr())?;
    (json.get(start..start + value.len()) == Some(value)).then_some((start, value))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn whole(cut: &Cut<'_, 2>) -> String {
        let [first, second] = cut.pieces;
        let mut pieces = [first, second];
        pieces.sort_by_key(|piece| piece.at);
        let (mut whole, mut done) = (String::new(), 0);
        for piece in pieces.iter().filter(|piece| piece.at > 0) {
            whole += &cut.frame[done..piece.at];
            whole += piece.json;
            done = piece.at;
        }
        whole + &cut.frame[done..]
    }

    fn cut_of(json: &str) -> Cut<'_, 2> {
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(json).unwrap();
        cut(json, ["request", "response"].map(|name| members.get(name).copied()))
    }

    #[test]
    fn pieces_are_cut_out_in_either_order_and_may_be_missing() {
        let json = r#"{"a":1, "response": {"é": [1.10]} ,"request":"q","z":2}"#;
        let cut = cut_of(json);
        assert_eq!(cut.frame, r#"{"a":1, "response":  ,"request":,"z":2}"#);
        assert_eq!(cut.pieces.map(|piece| piece.json), ["\"q\"", r#"{"é": [1.10]}"#]);
        assert_eq!(whole(&cut), json);
        let bare = cut_of(r#"{"a":1}"#);
        assert_eq!(bare.frame, r#"{"a":1}"#);
        assert_eq!(bare.pieces.map(|piece| piece.at), [0, 0]);
    }

    proptest! {
        #[test]
        fn pieces_put_back_make_the_row(
            names in proptest::sample::subsequence(vec!["request", "x", "response", "y"], 0..=4),
            values in proptest::collection::vec(".*", 4),
            spaces in proptest::collection::vec(" {0,3}", 4),
        ) {
            let members = names.iter().zip(&values).zip(&spaces).map(|((name, value), space)| {
                format!("{space}\"{name}\":{space}{}", serde_json::to_string(value).unwrap())
            });
            let json = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
            prop_assert_eq!(whole(&cut_of(&json)), json);
        }
    }
}
