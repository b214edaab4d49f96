//! The encrypted form of reasoning: whose it is, and how it travels through a client.
//!
//! The wire has one field, `encrypted_content`. The payload has two: where the reasoning can
//! be read, the blob is its `signature` (so that it streams, and so that a client of another
//! dialect gets text and proof together); where it cannot, the blob is `encrypted`. What
//! other dialects sign is sealed for the client, and the seal tells the two apart as well:
//! a signature may stand without text there.

use crate::chat::Block;
use crate::origin;

use super::DIALECT;

/// Follows the dialect in a seal when the blob is `encrypted` and no signature.
const ENCRYPTED: &str = "+encrypted";

/// A block of the wire's own reasoning.
pub(super) fn own(text: String, blob: Option<String>) -> Block {
    let dialect = blob.is_some().then(|| DIALECT.to_owned());
    match text.is_empty() {
        true => Block::Reasoning { text, signature: None, encrypted: blob, dialect },
        false => Block::Reasoning { text, signature: blob, encrypted: None, dialect },
    }
}

/// A block of what a client sent back.
pub(super) fn opened(text: String, blob: Option<String>) -> Block {
    let Some(sealed) = blob else {
        return own(text, None);
    };
    let (whose, inner) = origin::open(&sealed);
    let Some(whose) = whose else {
        return own(text, Some(sealed));
    };
    let inner = Some(inner.to_owned());
    match whose.strip_suffix(ENCRYPTED) {
        Some(whose) => {
            let dialect = Some(whose.to_owned());
            Block::Reasoning { text, signature: None, encrypted: inner, dialect }
        }
        None => {
            let dialect = Some(whose.to_owned());
            Block::Reasoning { text, signature: inner, encrypted: None, dialect }
        }
    }
}

/// `encrypted_content` for a client; a foreign blob is sealed. Absent where there is none.
pub(super) fn sealed(
    signature: Option<&str>,
    encrypted: Option<&str>,
    dialect: Option<&str>,
) -> Option<String> {
    let whose = dialect.filter(|whose| !whose.is_empty() && *whose != DIALECT);
    match (signature, encrypted, whose) {
        (_, Some(blob), None) | (Some(blob), None, None) => Some(blob.to_owned()),
        (_, Some(blob), Some(whose)) => Some(origin::seal(&format!("{whose}{ENCRYPTED}"), blob)),
        (Some(blob), None, Some(whose)) => Some(origin::seal(whose, blob)),
        (None, None, _) => None,
    }
}

/// Nobody else's: a provider of this wire may be sent it.
pub(super) fn is_own(dialect: Option<&str>) -> bool {
    dialect.is_none_or(|whose| whose.is_empty() || whose == DIALECT)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn reasoning(text: &str, signature: Option<&str>, encrypted: Option<&str>) -> Block {
        Block::Reasoning {
            text: text.into(),
            signature: signature.map(str::to_owned),
            encrypted: encrypted.map(str::to_owned),
            dialect: Some("anthropic-messages".into()),
        }
    }

    #[test]
    fn foreign_signatures_and_blobs_come_back_as_what_they_were() {
        let all = [
            reasoning("hm", Some("s.i=g"), None),
            reasoning("", Some("sig"), None),
            reasoning("", None, Some("blob")),
        ];
        for block in all {
            let Block::Reasoning { text, signature, encrypted, dialect } = &block else {
                continue;
            };
            let blob = sealed(signature.as_deref(), encrypted.as_deref(), dialect.as_deref());
            assert!(blob.as_ref().unwrap().starts_with("torana.anthropic-messages"));
            assert_eq!(opened(text.clone(), blob), block);
        }
    }

    #[test]
    fn own_blobs_are_not_sealed() {
        assert_eq!(sealed(Some("a"), None, Some(DIALECT)).as_deref(), Some("a"));
        assert_eq!(sealed(None, Some("a"), None).as_deref(), Some("a"));
        assert_eq!(opened("t".into(), Some("a".into())), own("t".into(), Some("a".into())));
    }
}
