//! URLs an operator writes: where a provider is, and which origins a plugin may call.
//!
//! Both are kept to what the gateway honours. A base URL has no query, fragment or user; an
//! origin has no path either and is brought to one spelling (lower case, no default port), so
//! that comparing two is comparing strings.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use http::uri::Scheme;

use super::BaseUrl;

/// Longest URL: far above any base URL, far below what hurts.
const LONGEST_BYTES: usize = 2048;

/// Why a URL is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("not a URL")]
    NotUrl,
    #[error("expected a URL that starts with http:// or https://")]
    Scheme,
    #[error("the port is not a number from 1 to 65535")]
    Port,
    #[error("a user or password in a URL is not sent; use credential")]
    User,
    #[error("a query or fragment is not kept; expected scheme, host, port and path")]
    Query,
    #[error("the path has empty, \".\" or \"..\" parts")]
    Path,
    #[error("expected an origin: scheme, host and port without a path")]
    NotOrigin,
}

impl FromStr for BaseUrl {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        // `Uri` drops a fragment without a word.
        if text.contains('#') {
            return Err(AddressError::Query);
        }
        if text.len() > LONGEST_BYTES {
            return Err(AddressError::NotUrl);
        }
        let uri: Uri = text.parse().map_err(|_| AddressError::NotUrl)?;
        let parts = uri.into_parts();
        let scheme = parts.scheme.ok_or(AddressError::Scheme)?;
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(AddressError::Scheme);
        }
        let authority = parts.authority.ok_or(AddressError::NotUrl)?;
        if authority.as_str().contains('@') {
            return Err(AddressError::User);
        }
        if authority.host().is_empty() {
            return Err(AddressError::NotUrl);
        }
        let has_port = authority.as_str().len() > authority.host().len();
        if has_port && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(AddressError::Port);
        }
        let (path, query) =
            parts.path_and_query.as_ref().map_or(("", None), |both| (both.path(), both.query()));
        if query.is_some() {
            return Err(AddressError::Query);
        }
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = path.split('/').skip(1);
        if segments.any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(AddressError::Path);
        }
        Ok(Self { path: path.to_owned(), scheme, authority })
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

impl BaseUrl {
    /// Scheme, host and port in one spelling: `https://api.openai.com`,
    /// `http://127.0.0.1:9999`.
    pub fn origin(&self) -> String {
        let host = self.authority.host().to_ascii_lowercase();
        let default = if self.scheme == Scheme::HTTP { 80 } else { 443 };
        match self.authority.port_u16() {
            Some(port) if port != default => format!("{}://{host}:{port}", self.scheme),
            _ => format!("{}://{host}", self.scheme),
        }
    }

    /// Whether what is sent there can be read on the way: not TLS, and not this machine.
    pub(super) fn is_readable_on_the_way(&self) -> bool {
        let host = self.authority.host();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let local = host.eq_ignore_ascii_case("localhost")
            || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        self.scheme == Scheme::HTTP && !local
    }
}

/// An origin in one spelling.
///
/// # Errors
/// As for a base URL; also when there is a path.
pub(super) fn origin(text: &str) -> Result<String, AddressError> {
    let url: BaseUrl = text.parse()?;
    if url.path.is_empty() { Ok(url.origin()) } else { Err(AddressError::NotOrigin) }
}

/// The origin of a URL that may have a path and a query.
///
/// # Errors
/// As for a base URL, but for what comes behind the origin.
pub(super) fn origin_of(url: &str) -> Result<String, AddressError> {
    // Up to the first of these behind the scheme.
    let scheme = url.find("://").ok_or(AddressError::Scheme)? + 3;
    let rest = url.get(scheme..).unwrap_or_default();
    let end = rest.find(['/', '?', '#']).map_or(url.len(), |end| scheme + end);
    // What the plugin will ask for has to be a URL as a whole.
    let _: Uri = url.parse().map_err(|_| AddressError::NotUrl)?;
    origin(url.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_base_url_loses_only_its_last_slash() {
        for (text, printed) in [
            ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
            ("http://127.0.0.1:9999", "http://127.0.0.1:9999"),
            ("http://[::1]:80/a/b", "http://[::1]:80/a/b"),
            ("https://h/", "https://h"),
        ] {
            assert_eq!(text.parse::<BaseUrl>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_would_be_lost_or_ignored_is_refused() {
        for (text, error) in [
            ("", AddressError::NotUrl),
            ("api.openai.com/v1", AddressError::NotUrl),
            ("/v1", AddressError::Scheme),
            ("ftp://h/v1", AddressError::Scheme),
            ("http://u:p@h/v1", AddressError::User),
            ("http://h:99999/v1", AddressError::Port),
            ("http://h:0/v1", AddressError::Port),
            ("http://h:/v1", AddressError::Port),
            ("http://h/v1?key=1", AddressError::Query),
            ("http://h/v1#top", AddressError::Query),
            ("http://h/a/../b", AddressError::Path),
            ("http://h//b", AddressError::Path),
            ("http://h /b", AddressError::NotUrl),
        ] {
            assert_eq!(text.parse::<BaseUrl>().unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn one_origin_has_one_spelling() {
        assert_eq!(origin("HTTPS://Scores.Internal:443/").unwrap(), "https://scores.internal");
        assert_eq!(origin("http://h:8443").unwrap(), "http://h:8443");
        assert_eq!(origin("http://h/path"), Err(AddressError::NotOrigin));
    }

    #[test]
    fn the_origin_of_a_url_leaves_path_and_query() {
        for (url, expected) in [
            ("http://CH:8123/?database=x", Ok("http://ch:8123")),
            ("https://h/a//b?c#d", Ok("https://h")),
            ("https://h?x", Ok("https://h")),
            ("https://h", Ok("https://h")),
            ("http://u:p@h/", Err(AddressError::User)),
            ("http://h:0/", Err(AddressError::Port)),
            ("ftp://h/", Err(AddressError::Scheme)),
            ("h/", Err(AddressError::Scheme)),
            ("http:///x", Err(AddressError::NotUrl)),
            ("http://h/a b", Err(AddressError::NotUrl)),
        ] {
            assert_eq!(origin_of(url).as_deref(), expected.as_deref(), "{url}");
        }
    }

    #[test]
    fn only_plain_http_to_elsewhere_is_readable_on_the_way() {
        for (text, readable) in [
            ("http://gpu:8000/v1", true),
            ("https://gpu:8000/v1", false),
            ("http://localhost:1", false),
            ("http://127.0.0.2:1", false),
            ("http://[::1]:1", false),
        ] {
            let url: BaseUrl = text.parse().unwrap();
            assert_eq!(url.is_readable_on_the_way(), readable, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_url_or_an_error_and_prints_as_itself(text in "(https?://)?[ -~]{0,40}") {
            if let Ok(url) = text.parse::<BaseUrl>() {
                prop_assert_eq!(url.to_string().parse::<BaseUrl>().unwrap(), url);
            }
        }
    }
}
