//! Proofs of reasoning in the one string that this wire has for them.
//!
//! Anthropic's own are that string. Those of others are sealed (see [`crate::origin`]), and so
//! is what has no proof at all: what a client sends back is then known by its first letters,
//! and nothing that Anthropic did not sign reaches it. Reasoning with text beside an encrypted
//! form has both parts in one string, as a block must not become two.

use std::borrow::Cow;

use super::DIALECT;
use crate::chat::Block;
use crate::origin;

/// In place of a dialect: nobody signed this.
const UNSIGNED: &str = "unsigned";
/// Follows the dialect where the string holds `<length>.<signature><encrypted>`.
const PAIR: &str = "+encrypted";

/// For reasoning that nobody signed.
pub(super) fn unsigned() -> String {
    origin::seal(UNSIGNED, "")
}

/// As it is, or sealed where it is not Anthropic's.
pub(super) fn single<'a>(dialect: Option<&str>, signature: &'a str) -> Cow<'a, str> {
    match dialect {
        None | Some(DIALECT) => Cow::Borrowed(signature),
        Some(dialect) => Cow::Owned(origin::seal(dialect, signature)),
    }
}

/// An encrypted form, and perhaps a signature.
pub(super) fn pair(dialect: Option<&str>, signature: Option<&str>, encrypted: &str) -> String {
    let dialect = format!("{}{PAIR}", dialect.unwrap_or(DIALECT));
    let signature = signature.unwrap_or_default();
    origin::seal(&dialect, &format!("{}.{signature}{encrypted}", signature.len()))
}

/// The block of a `thinking` as it came back.
pub(super) fn thinking(text: String, sealed: &str) -> Block {
    let (dialect, proof) = origin::open(sealed);
    let owned = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (signature, encrypted) = match dialect.and_then(|dialect| dialect.strip_suffix(PAIR)) {
        Some(_) => parts(proof).unwrap_or((proof, "")),
        None => (proof, ""),
    };
    let (signature, encrypted) = (owned(signature), owned(encrypted));
    let dialect = dialect.map_or(DIALECT, |dialect| dialect.trim_end_matches(PAIR));
    let is_signed = signature.is_some() || encrypted.is_some();
    let dialect = is_signed.then(|| dialect.to_owned());
    Block::Reasoning { text, signature, encrypted, dialect }
}

/// The block of a `redacted_thinking` as it came back.
pub(super) fn redacted(sealed: &str) -> Block {
    let (dialect, data) = origin::open(sealed);
    Block::Reasoning {
        text: String::new(),
        signature: None,
        encrypted: Some(data.to_owned()),
        dialect: Some(dialect.unwrap_or(DIALECT).to_owned()),
    }
}

fn parts(proof: &str) -> Option<(&str, &str)> {
    let (length, rest) = proof.split_once('.')?;
    rest.split_at_checked(length.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasoning(signature: Option<&str>, encrypted: Option<&str>, dialect: Option<&str>) -> Block {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Block::Reasoning {
            text: "t".into(),
            signature: owned(signature),
            encrypted: owned(encrypted),
            dialect: owned(dialect),
        }
    }

    #[test]
    fn every_proof_comes_back_with_its_owner() {
        let opened = |sealed: &str| thinking("t".into(), sealed);
        assert_eq!(opened(&unsigned()), reasoning(None, None, None));
        assert_eq!(opened(""), reasoning(None, None, None));
        assert_eq!(opened(&single(None, "s")), reasoning(Some("s"), None, Some(DIALECT)));
        let gemini = single(Some("gemini"), "s.1");
        assert_eq!(opened(&gemini), reasoning(Some("s.1"), None, Some("gemini")));
        for signature in [None, Some("rs_1")] {
            let both = pair(Some("openai-responses"), signature, "e.2");
            let expected = reasoning(signature, Some("e.2"), Some("openai-responses"));
            assert_eq!(opened(&both), expected);
        }
    }

    #[test]
    fn broken_pair_stays_a_foreign_signature() {
        let opened = thinking("t".into(), "torana.x+encrypted.9.short");
        assert_eq!(opened, reasoning(Some("9.short"), None, Some("x")));
    }
}
