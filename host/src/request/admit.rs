//! Who calls, and the body within its bounds.
//!
//! Keys are compared by their SHA-256, in constant time and against every configured key,
//! so that neither the time nor the error tells how close a guess was.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use crate::config::{Auth, ClientKey, Config};
use crate::error::Cause;

/// The key that the client showed; `None` where no key is asked for.
pub fn caller<'a>(config: &'a Config, headers: &HeaderMap) -> Result<Option<&'a ClientKey>, Cause> {
    if config.server.auth == Auth::None {
        return Ok(None);
    }
    let shown = bearer(headers)
        .or_else(|| headers.get("x-api-key").map(http::HeaderValue::as_bytes))
        .ok_or(Cause::MissingKey)?;
    find(&config.keys, shown).map(Some).ok_or(Cause::UnknownKey)
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(key)
}

fn find<'a>(keys: &'a [ClientKey], shown: &[u8]) -> Option<&'a ClientKey> {
    let digest: [u8; 32] = Sha256::digest(shown).into();
    let mut found = u32::MAX;
    for (position, key) in (0u32..).zip(keys) {
        found = u32::conditional_select(&found, &position, key.sha256.ct_eq(&digest));
    }
    keys.get(found as usize)
}

/// The whole body, or why not.
pub async fn body(incoming: Incoming, limit: usize, timeout: Duration) -> Result<Bytes, Cause> {
    if incoming.size_hint().lower() > limit as u64 {
        return Err(Cause::BodyTooLarge { limit });
    }
    let collected = tokio::time::timeout(timeout, Limited::new(incoming, limit).collect())
        .await
        .map_err(|_| Cause::BodyTimeout(timeout.as_millis()))?;
    match collected {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Cause::BodyTooLarge { limit }),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(error) => Err(Cause::BodyBroken(*error)),
            Err(_) => Err(Cause::BodyTooLarge { limit }),
        },
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_right_key_is_found_and_no_other() {
        let key = |name: &str, secret: &str| ClientKey {
            name: name.into(),
            sha256: Sha256::digest(secret).into(),
            unsupported_params: None,
            content: None,
            reads: crate::config::Reads::Own,
        };
        let keys = [key("a", "alpha"), key("b", "beta")];
        assert_eq!(find(&keys, b"beta").unwrap().name, "b");
        assert_eq!(find(&keys, b"alpha").unwrap().name, "a");
        for wrong in ["", "alph", "alpha ", "ALPHA", "gamma"] {
            assert!(find(&keys, wrong.as_bytes()).is_none(), "{wrong}");
        }
        assert!(find(&[], b"alpha").is_none());
    }
}
