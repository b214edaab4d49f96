//! Tokens for identities of elsewhere: a subject token of another provider is exchanged at
//! Google's token service, and may then take on a service account's identity.
//!
//! Sources: AIP-4117 (external accounts, RFC 8693) and `generateAccessToken` of the IAM
//! credentials API. The subject token comes from a file or from an address; it is read for
//! every exchange, since it is short-lived. AIP-4117's other sources (AWS, a program, a
//! certificate) are refused.

use std::path::PathBuf;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Method, Uri};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::identity::exchange;
use super::{LARGEST_FILE_BYTES, LEAD, SCOPE, bearer_value};
use crate::upstream::credential::error::CredentialError;
use crate::upstream::credential::exchange::{
    Service, Surroundings, TOKEN_SERVICE_TIMEOUT, get, json, malformed, secure_address,
};
use crate::upstream::credential::refresh::Fresh;

/// Metadata services of other clouds, which only speak plain HTTP.
const LINK_LOCAL: [&str; 1] = ["169.254.169.254"];

/// `external_account`.
#[derive(Deserialize)]
pub(super) struct File {
    audience: String,
    subject_token_type: String,
    token_url: String,
    credential_source: Map<String, Value>,
    service_account_impersonation_url: Option<String>,
}

/// Holds request headers that may be secret, so it cannot be printed.
pub(super) struct Federated {
    audience: String,
    subject_token_type: String,
    token_url: Uri,
    source: SubjectSource,
    /// The member of a JSON document that holds the token; without one the text is the token.
    field: Option<String>,
}

enum SubjectSource {
    File(PathBuf),
    Address(Uri, Vec<(HeaderName, HeaderValue)>),
}

/// A service account to become.
pub(super) struct Impersonation {
    url: Uri,
    delegates: Vec<String>,
}

impl Federated {
    pub(super) fn new(
        origin: &str,
        file: File,
    ) -> Result<(Self, Option<Impersonation>), CredentialError> {
        let impersonation = file.service_account_impersonation_url.as_deref();
        let impersonation =
            impersonation.map(|url| Impersonation::new(origin, url, Vec::new())).transpose()?;
        let federated = Self {
            audience: file.audience,
            subject_token_type: file.subject_token_type,
            token_url: secure_address(&format!("token_url in {origin}"), &file.token_url)?,
            field: field(&file.credential_source),
            source: SubjectSource::new(origin, &file.credential_source)?,
        };
        Ok((federated, impersonation))
    }

    pub(super) async fn token(
        &self,
        world: &Surroundings,
    ) -> Result<Fresh<HeaderValue>, CredentialError> {
        let subject = self.subject(world).await?;
        let pairs = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", self.audience.as_str()),
            ("scope", SCOPE),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token_type", self.subject_token_type.as_str()),
            ("subject_token", &subject),
        ];
        let remedy = "check the workload identity pool's provider and that the subject token is \
                      still valid";
        exchange(world, &self.token_url, "for the federated identity", remedy, &pairs).await
    }

    async fn subject(&self, world: &Surroundings) -> Result<String, CredentialError> {
        const EXPECTED: &str = "a subject token";
        let service = Service {
            name: "the credential_source of the Google credential",
            timeout: TOKEN_SERVICE_TIMEOUT,
            remedy: "check credential_source and its format",
        };
        let text = match &self.source {
            SubjectSource::File(path) => {
                world.read(path, "credential_source.file", LARGEST_FILE_BYTES).await?
            }
            SubjectSource::Address(uri, headers) => {
                let answer = world.send(&service, get(uri.clone(), headers)).await?;
                String::from_utf8(answer.into_body().into())
                    .map_err(|_| malformed(&service, EXPECTED))?
            }
        };
        let token = match &self.field {
            Some(field) => serde_json::from_str::<Map<String, Value>>(&text)
                .ok()
                .and_then(|document| document.get(field)?.as_str().map(str::to_owned)),
            None => Some(text.trim().to_owned()),
        };
        token.filter(|token| !token.is_empty()).ok_or_else(|| malformed(&service, EXPECTED))
    }
}

/// `credential_source.format`
fn field(source: &Map<String, Value>) -> Option<String> {
    let format = source.get("format")?;
    if format.get("type")?.as_str()? != "json" {
        return None;
    }
    Some(format.get("subject_token_field_name")?.as_str()?.to_owned())
}

impl SubjectSource {
    fn new(origin: &str, source: &Map<String, Value>) -> Result<Self, CredentialError> {
        if source.contains_key("environment_id") {
            return Err(unsupported(origin, "an AWS subject token"));
        }
        if let Some(file) = source.get("file").and_then(Value::as_str) {
            return Ok(Self::File(PathBuf::from(file)));
        }
        let Some(address) = source.get("url").and_then(Value::as_str) else {
            return Err(unsupported(origin, "a credential_source without file or url"));
        };
        let what = format!("credential_source.url in {origin}");
        let is_link_local = |uri: &Uri| uri.host().is_some_and(|host| LINK_LOCAL.contains(&host));
        let uri = match address.parse::<Uri>() {
            Ok(uri) if is_link_local(&uri) && uri.scheme().is_some() => uri,
            _ => secure_address(&what, address)?,
        };
        let mut headers = Vec::new();
        for (name, value) in source.get("headers").and_then(Value::as_object).into_iter().flatten()
        {
            let invalid = || CredentialError::Malformed {
                origin: format!("credential_source.headers in {origin}"),
                expected: "a record of header names and values",
                remedy: "write the credential again with gcloud iam workload-identity-pools",
            };
            let name: HeaderName = name.parse().map_err(|_| invalid())?;
            let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
            let mut value = value.ok_or_else(invalid)?;
            value.set_sensitive(true);
            headers.push((name, value));
        }
        Ok(Self::Address(uri, headers))
    }
}

fn unsupported(origin: &str, feature: &str) -> CredentialError {
    CredentialError::Unsupported {
        origin: origin.to_owned(),
        feature: feature.to_owned(),
        remedy: "use a credential_source with file or url, or a service account's JSON key",
    }
}

impl Impersonation {
    pub(super) fn new(
        origin: &str,
        url: &str,
        delegates: Vec<String>,
    ) -> Result<Self, CredentialError> {
        let what = format!("service_account_impersonation_url in {origin}");
        Ok(Self { url: secure_address(&what, url)?, delegates })
    }

    /// A token of the service account, for one of the identity that may become it.
    pub(super) async fn token(
        &self,
        world: &Surroundings,
        source: HeaderValue,
    ) -> Result<Fresh<HeaderValue>, CredentialError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            access_token: String,
            expire_time: String,
        }
        const EXPECTED: &str = "an access token with its end";
        let host = self.url.host().unwrap_or_default();
        let service = Service {
            name: &format!("{host} for the impersonated service account"),
            timeout: TOKEN_SERVICE_TIMEOUT,
            remedy: "grant roles/iam.serviceAccountTokenCreator on the service account",
        };
        let body = serde_json::json!({
            "scope": [SCOPE], "delegates": self.delegates, "lifetime": "3600s",
        });
        let json_type = HeaderValue::from_static("application/json");
        let headers = [(AUTHORIZATION, source), (CONTENT_TYPE, json_type)];
        let mut request = get(self.url.clone(), &headers).map(|_| Bytes::from(body.to_string()));
        *request.method_mut() = Method::POST;
        let answer = world.send(&service, request).await?;
        let answer: Answer = json(&service, &answer, EXPECTED)?;
        let expires: jiff::Timestamp =
            answer.expire_time.parse().map_err(|_| malformed(&service, EXPECTED))?;
        let token = bearer_value(&answer.access_token)?;
        Ok(Fresh::until(token, world.now(), expires.into(), LEAD))
    }
}
