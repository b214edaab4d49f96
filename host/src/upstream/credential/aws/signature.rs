//! AWS Signature Version 4 in headers, for services other than S3.
//!
//! Source: IAM user guide, "Create a signed AWS API request". The path is signed as it is on
//! the wire with every segment encoded once more: `%3A` in a Bedrock model id becomes
//! `%253A`. (S3 alone does not encode again, which is why it is refused here.) The golden
//! signatures in the tests are botocore's.

use std::fmt::Write;
use std::time::SystemTime;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, Scheme};
use http::{Request, Uri};
use percent_encoding::{percent_decode_str, percent_encode};
use ring::hmac;
use sha2::{Digest, Sha256};

use super::Keys;
use crate::upstream::credential::error::CredentialError;
use crate::upstream::credential::exchange::ESCAPED;

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
/// Of a service or a region; the longest region has 16 characters.
const LONGEST_NAME_BYTES: usize = 64;

/// What a signature is good for.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    service: &'a str,
    region: &'a str,
    /// `YYYYMMDD'T'HHMMSS'Z'`
    date: String,
}

impl<'a> Scope<'a> {
    /// # Errors
    /// For names that are not AWS's, for S3, and for a clock that is far off.
    pub(super) fn new(
        service: &'a str,
        region: &'a str,
        now: SystemTime,
    ) -> Result<Self, CredentialError> {
        if !is_name(service) || service.starts_with("s3") {
            let (what, value) = ("service", service.to_owned());
            return Err(CredentialError::Scope { what, value, example: "bedrock" });
        }
        check_region(region)?;
        let now = jiff::Timestamp::try_from(now).map_err(|_| CredentialError::Clock)?;
        if now < jiff::Timestamp::UNIX_EPOCH {
            return Err(CredentialError::Clock);
        }
        Ok(Self { service, region, date: now.strftime("%Y%m%dT%H%M%SZ").to_string() })
    }

    fn day(&self) -> &str {
        self.date.get(..8).unwrap_or_default()
    }

    fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.day(), self.region, self.service)
    }
}

/// # Errors
/// When the region is not one that may stand in a signature or a host.
pub(super) fn check_region(region: &str) -> Result<(), CredentialError> {
    if is_name(region) {
        return Ok(());
    }
    let (what, value) = ("region", region.to_owned());
    Err(CredentialError::Scope { what, value, example: "us-east-1" })
}

fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= LONGEST_NAME_BYTES && name.bytes().all(is_part)
}

/// Signs the request in place, see [`super::AwsCredentials::sign`].
pub(super) fn sign<B>(
    request: &mut Request<B>,
    body: &[u8],
    keys: &Keys,
    scope: &Scope<'_>,
) -> Result<(), CredentialError> {
    leave_out_default_port(request.uri_mut());
    let headers = request.headers_mut();
    headers.insert(DATE, header(&scope.date)?);
    headers.remove(SECURITY_TOKEN);
    if let Some(token) = &keys.session_token {
        let mut token = header(token.expose())?;
        token.set_sensitive(true);
        headers.insert(SECURITY_TOKEN, token);
    }
    let (names, canonical) = canonical_request(request, body)?;
    let digest = hex(&Sha256::digest(canonical.as_bytes()));
    let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{}\n{digest}", scope.date, scope.text());
    let signature = hex(hmac::sign(&signing_key(keys, scope), to_sign.as_bytes()).as_ref());
    let mut authorization = header(&format!(
        "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={names}, Signature={signature}",
        keys.access_key_id.expose(),
        scope.text(),
    ))?;
    authorization.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, authorization);
    Ok(())
}

fn header(text: &str) -> Result<HeaderValue, CredentialError> {
    HeaderValue::from_str(text)
        .ok()
        .filter(|value| value.to_str().is_ok())
        .ok_or(CredentialError::NotHeader { origin: "AWS" })
}

fn signing_key(keys: &Keys, scope: &Scope<'_>) -> hmac::Key {
    let first = format!("AWS4{}", keys.secret_access_key.expose());
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes());
    for part in [scope.day(), scope.region, scope.service, "aws4_request"] {
        key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
    }
    key
}

/// The names of the signed headers, and the canonical request.
fn canonical_request<B>(
    request: &Request<B>,
    body: &[u8],
) -> Result<(String, String), CredentialError> {
    let uri = request.uri();
    let headers = canonical_headers(uri, request.headers())?;
    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let canonical = format!(
        "{}\n{}\n{}\n{lines}\n{names}\n{}",
        request.method(),
        canonical_path(uri.path()),
        canonical_query(uri.query().unwrap_or_default()),
        hex(&Sha256::digest(body)),
    );
    Ok((names, canonical))
}

/// Host, content type and `x-amz-`, sorted by name. Everything else may be added or changed
/// on the way.
fn canonical_headers(
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Vec<(String, String)>, CredentialError> {
    let mut signed = Vec::new();
    for name in headers.keys() {
        if *name != HOST && *name != CONTENT_TYPE && !name.as_str().starts_with("x-amz-") {
            continue;
        }
        let mut values = Vec::new();
        for value in headers.get_all(name) {
            let value = value.to_str().map_err(|_| CredentialError::NotHeader { origin: "AWS" })?;
            values.push(value.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
        }
        signed.push((name.as_str().to_owned(), values.join(",")));
    }
    if !headers.contains_key(HOST) {
        signed.push((HOST.as_str().to_owned(), host(uri)?));
    }
    signed.sort();
    Ok(signed)
}

/// The host header that hyper makes of the URI.
fn host(uri: &Uri) -> Result<String, CredentialError> {
    let host = uri.host().filter(|host| !host.is_empty()).ok_or(CredentialError::NoHost)?;
    Ok(match uri.port_u16() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

fn leave_out_default_port(uri: &mut Uri) {
    let default = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => 443,
        Some(scheme) if *scheme == Scheme::HTTP => 80,
        _ => return,
    };
    if uri.port_u16() != Some(default) {
        return;
    }
    let mut parts = uri.clone().into_parts();
    parts.authority = uri.host().and_then(|host| host.parse::<Authority>().ok());
    if let Ok(without) = Uri::from_parts(parts) {
        *uri = without;
    }
}

/// The path without dot segments and empty segments, each segment encoded again.
fn canonical_path(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(percent_encode(segment.as_bytes(), ESCAPED).to_string()),
        }
    }
    let last = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{last}", segments.join("/"))
}

/// Name and value of each parameter encoded, sorted.
fn canonical_query(query: &str) -> String {
    let encode = |text: &str| {
        let bytes: Vec<u8> = percent_decode_str(text).collect();
        percent_encode(&bytes, ESCAPED).to_string()
    };
    let mut pairs: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
