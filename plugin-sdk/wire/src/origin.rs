//! Signatures of reasoning on their way through a client of another dialect.
//!
//! A client keeps `signature` and `encrypted_content` as opaque strings and sends them back.
//! Where they are not of the client's own dialect, the string says whose they are:
//! `torana.<dialect>.<signature>`. A provider never sees that form.

/// No provider's signature begins so: they are base64 or base64url.
const PREFIX: &str = "torana.";

/// What a client is given.
pub fn seal(dialect: &str, signature: &str) -> String {
    format!("{PREFIX}{dialect}.{signature}")
}

/// What a client sent back: the dialect, where it was sealed, and the signature.
pub fn open(sealed: &str) -> (Option<&str>, &str) {
    sealed
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once('.'))
        .map_or((None, sealed), |(dialect, signature)| (Some(dialect), signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_and_the_rest_stays_as_it_is() {
        assert_eq!(open(&seal("gemini", "a.b+/=")), (Some("gemini"), "a.b+/="));
        for plain in ["", "EqQB", "torana", "torana.x"] {
            assert_eq!(open(plain), (None, plain));
        }
    }
}
