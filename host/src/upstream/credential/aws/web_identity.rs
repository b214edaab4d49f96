//! Keys of a role for a web identity: what EKS mounts into a pod (IRSA).
//!
//! Source: `AssumeRoleWithWebIdentity` of the STS API reference. STS answers in JSON when it
//! is asked to, which saves an XML parser. The token's file is read for every call, since
//! the kubelet replaces it.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use super::signature::check_region;
use super::{Keys, LEAD};
use crate::upstream::credential::error::CredentialError;
use crate::upstream::credential::exchange::{
    LARGEST_ANSWER_BYTES, Service, Surroundings, TOKEN_SERVICE_TIMEOUT, form, json, malformed,
    secure_address,
};
use crate::upstream::credential::refresh::Fresh;

const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const ROLE: &str = "AWS_ROLE_ARN";
const EXPECTED: &str = "STS's answer with temporary keys";

/// A role, and the file whose token opens it.
pub(super) struct Role {
    pub(super) role_arn: String,
    pub(super) token_file: PathBuf,
    pub(super) session_name: Option<String>,
    pub(super) named_by: &'static str,
}

impl Role {
    /// The role that the environment names.
    pub(super) fn of_environment(world: &Surroundings) -> Result<Option<Self>, CredentialError> {
        // A role without a token's file is used by kits for other ends.
        let Some(file) = world.variable(TOKEN_FILE) else {
            return Ok(None);
        };
        let role_arn = world
            .variable(ROLE)
            .ok_or(CredentialError::HalfSet { found: TOKEN_FILE, missing: ROLE })?;
        let session_name = world.variable("AWS_ROLE_SESSION_NAME");
        let token_file = world.path(&file);
        Ok(Some(Self { role_arn, token_file, session_name, named_by: TOKEN_FILE }))
    }

    pub(super) async fn assume(self, world: &Surroundings) -> Result<Fresh<Keys>, CredentialError> {
        let limit = LARGEST_ANSWER_BYTES as u64;
        let token = world.read(&self.token_file, self.named_by, limit).await?;
        let address = endpoint(world)?;
        let service = Service {
            name: &format!("AWS STS ({address}) for the role {}", self.role_arn),
            timeout: TOKEN_SERVICE_TIMEOUT,
            remedy: "check the role's trust policy and AWS_ROLE_ARN, AWS_REGION and \
                     AWS_WEB_IDENTITY_TOKEN_FILE",
        };
        let request = form(
            secure_address("AWS_ENDPOINT_URL_STS or AWS_REGION", &address)?,
            &[
                ("Action", "AssumeRoleWithWebIdentity"),
                ("Version", "2011-06-15"),
                ("RoleArn", &self.role_arn),
                ("RoleSessionName", self.session_name.as_deref().unwrap_or("torana")),
                ("WebIdentityToken", token.trim()),
            ],
        );
        let answer = world.send(&service, request).await?;
        let answer: Answer = json(&service, &answer, EXPECTED)?;
        let found = answer.response.result.credentials;
        let expires = found.expiration.time().ok_or_else(|| malformed(&service, EXPECTED))?;
        let keys =
            Keys::new(found.access_key_id, found.secret_access_key, Some(found.session_token));
        Ok(Fresh::until(keys, world.now(), expires, LEAD))
    }
}

/// The region's own endpoint, which is nearer and stays up when another region is down.
fn endpoint(world: &Surroundings) -> Result<String, CredentialError> {
    if let Some(address) = world.variable("AWS_ENDPOINT_URL_STS") {
        return Ok(address);
    }
    let region = world.variable("AWS_REGION").or_else(|| world.variable("AWS_DEFAULT_REGION"));
    let Some(region) = region else {
        return Ok("https://sts.amazonaws.com/".to_owned());
    };
    check_region(&region)?;
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    Ok(format!("https://sts.{region}.amazonaws.com{china}/"))
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "AssumeRoleWithWebIdentityResponse")]
    response: AnswerResponse,
}

#[derive(Deserialize)]
struct AnswerResponse {
    #[serde(rename = "AssumeRoleWithWebIdentityResult")]
    result: AnswerResult,
}

#[derive(Deserialize)]
struct AnswerResult {
    #[serde(rename = "Credentials")]
    credentials: AnswerKeys,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AnswerKeys {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: Expiration,
}

/// Seconds since 1970 from STS itself, a date from services that imitate it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Expiration {
    Seconds(f64),
    Date(String),
}

impl Expiration {
    fn time(&self) -> Option<SystemTime> {
        match self {
            Self::Seconds(seconds) => {
                UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(*seconds).ok()?)
            }
            Self::Date(date) => date.parse::<jiff::Timestamp>().ok().map(SystemTime::from),
        }
    }
}
