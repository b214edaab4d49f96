//! Headers that the host adds to a sink's requests, and keeps from the sink.
//!
//! They are added after the guest's own, in whose place they come where the names are the
//! same. Where an answer repeats a secret value to the letter, the guest sees `***` instead;
//! of `Bearer SECRET` the second word alone counts too. A server that sends a secret back in
//! another form – encoded, compressed, cut in two – is not found out; compression is therefore
//! neither asked for nor accepted.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use memchr::memmem;

use crate::config::{SinkHeader, SinkHeaderValue};

const HIDDEN: &[u8] = b"***";

/// The headers of one sink.
#[derive(Default)]
pub(crate) struct OwnHeaders {
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Longest first: one may be a part of another.
    secrets: Vec<Vec<u8>>,
}

impl std::fmt::Debug for OwnHeaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.headers.iter().map(|(name, _)| name)).finish()
    }
}

impl OwnHeaders {
    pub(crate) fn new(headers: &[SinkHeader]) -> Self {
        let mut own = Self::default();
        for header in headers {
            let value = header.value.expose();
            // The configuration took nothing else.
            let Ok(mut content) = HeaderValue::from_bytes(value) else { continue };
            if matches!(header.value, SinkHeaderValue::Secret(_)) {
                content.set_sensitive(true);
                own.secrets.push(value.to_vec());
                // `Bearer SECRET`: a message may name the secret alone.
                let credential = value.splitn(2, |byte| *byte == b' ').nth(1);
                own.secrets.extend(credential.map(<[u8]>::to_vec));
            }
            own.headers.push((header.name.clone(), content));
        }
        own.secrets.retain(|secret| !secret.is_empty());
        own.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        own
    }

    /// The last word on what is sent.
    pub(super) fn put(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        if !self.secrets.is_empty() {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
    }

    /// Whether secrets could hide in such an answer.
    pub(super) fn cannot_read(&self, headers: &HeaderMap) -> bool {
        let encoded = headers.get_all(header::CONTENT_ENCODING).iter();
        let mut encoded = encoded.filter(|encoding| *encoding != "identity");
        !self.secrets.is_empty() && encoded.next().is_some()
    }

    /// The bytes without any secret.
    pub(crate) fn redact(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.secrets.iter().fold(bytes, |bytes, secret| replace(bytes, secret))
    }
}

fn replace(bytes: Vec<u8>, secret: &[u8]) -> Vec<u8> {
    let finder = memmem::Finder::new(secret);
    let mut found = finder.find_iter(&bytes).peekable();
    if found.peek().is_none() {
        return bytes;
    }
    let mut redacted = Vec::with_capacity(bytes.len());
    let mut rest = 0;
    for at in found {
        redacted.extend_from_slice(bytes.get(rest..at).unwrap_or_default());
        redacted.extend_from_slice(HIDDEN);
        rest = at + secret.len();
    }
    redacted.extend_from_slice(bytes.get(rest..).unwrap_or_default());
    redacted
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Secret;

    fn own(values: &[&str]) -> OwnHeaders {
        let secret = |value: &&str| SinkHeader {
            name: HeaderName::from_static("x-key"),
            value: SinkHeaderValue::Secret(Secret::new(*value)),
        };
        OwnHeaders::new(&values.iter().map(secret).collect::<Vec<_>>())
    }

    #[test]
    fn the_guests_header_of_the_same_name_loses() {
        let mut headers = HeaderMap::new();
        headers.append("x-key", HeaderValue::from_static("mine"));
        headers.append("x-key", HeaderValue::from_static("mine too"));
        headers.append("accept-encoding", HeaderValue::from_static("gzip"));
        own(&["theirs"]).put(&mut headers);
        let values: Vec<_> = headers.get_all("x-key").iter().collect();
        assert_eq!(values, ["theirs"]);
        assert_eq!(headers["accept-encoding"], "identity");
        assert!(!format!("{headers:?}").contains("theirs"));
    }

    #[test]
    fn a_secret_is_hidden_whole_and_without_its_scheme() {
        let own = own(&["Bearer s3cret", "s3cret-and-more"]);
        let text = b"got Bearer s3cret, knows s3cret and s3cret-and-more".to_vec();
        assert_eq!(own.redact(text), b"got ***, knows *** and ***");
        assert_eq!(own.redact(b"nothing here".to_vec()), b"nothing here");
        assert!(!format!("{own:?}").contains("s3cret"));
    }

    #[test]
    fn an_answer_that_is_compressed_in_spite_of_all_cannot_be_read() {
        let mut headers = HeaderMap::new();
        assert!(!own(&["secret"]).cannot_read(&headers));
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(own(&["secret"]).cannot_read(&headers));
        assert!(!OwnHeaders::default().cannot_read(&headers), "nothing to hide");
    }

    proptest! {
        #[test]
        fn no_secret_is_left(secret in "[ab]{3,6}", text in "[abc]{0,60}") {
            let redacted = own(&[&secret]).redact(text.into_bytes());
            let redacted = String::from_utf8(redacted).unwrap();
            prop_assert!(!redacted.contains(&secret), "{redacted}");
        }
    }
}
