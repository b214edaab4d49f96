//! Keys that the machine gives: containers (ECS, EKS Pod Identity) and instances (EC2).
//!
//! Sources: "Container credential provider" of the AWS SDK reference guide, "Use the Instance
//! Metadata Service" (version 2 only: version 1 can be reached through a careless proxy) of
//! the EC2 user guide. Whether there is an instance to ask can only be found out by asking,
//! so no answer means "absent".

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName};
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, Uri};
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;

use super::{Keys, LEAD};
use crate::upstream::credential::error::CredentialError;
use crate::upstream::credential::exchange::{
    ESCAPED, LARGEST_ANSWER_BYTES, METADATA_TIMEOUT, Service, Surroundings, get, is_loopback, json,
    malformed,
};
use crate::upstream::credential::refresh::Fresh;

const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
/// The only plain-text addresses, beside this machine's, that a token is sent to: the ECS
/// agent's and the EKS agent's.
const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
const EXPECTED: &str = "a document with temporary keys";

/// The instance's keys, or why there is no instance.
pub(super) enum Instance {
    Keys(Fresh<Keys>),
    Absent(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    access_key_id: String,
    secret_access_key: String,
    token: String,
    expiration: String,
}

/// The keys of the container's role. `None` when the environment names no endpoint.
pub(super) async fn container(
    world: &Surroundings,
) -> Result<Option<Fresh<Keys>>, CredentialError> {
    let (named_by, address) = match (world.variable(RELATIVE), world.variable(FULL)) {
        (Some(path), _) => (RELATIVE, format!("http://169.254.170.2{path}")),
        (None, Some(address)) => (FULL, address),
        (None, None) => return Ok(None),
    };
    let uri = agent_address(named_by, &address)?;
    let token = match world.variable(TOKEN_FILE) {
        Some(file) => {
            let limit = LARGEST_ANSWER_BYTES as u64;
            Some(world.read(&world.path(&file), TOKEN_FILE, limit).await?)
        }
        None => world.variable(TOKEN),
    };
    let mut headers = Vec::new();
    if let Some(token) = token {
        let origin = "the container's authorization token";
        headers.push((AUTHORIZATION, sensitive(token.trim(), origin)?));
    }
    let service = Service {
        name: &format!("the container's credential endpoint ({address})"),
        timeout: METADATA_TIMEOUT,
        remedy: "check the task's role (ECS) or the Pod Identity association (EKS)",
    };
    let answer = world.send(&service, get(uri, &headers)).await?;
    keys(world, &service, json(&service, &answer, EXPECTED)?).map(Some)
}

fn agent_address(named_by: &str, address: &str) -> Result<Uri, CredentialError> {
    let refused = || CredentialError::Address {
        origin: named_by.to_owned(),
        address: address.to_owned(),
        expected: "https://, this machine, 169.254.170.2, 169.254.170.23 or [fd00:ec2::23]",
    };
    let uri: Uri = address.parse().map_err(|_| refused())?;
    let host = uri.host().unwrap_or_default();
    let is_http = uri.scheme() == Some(&Scheme::HTTP);
    let is_known = is_http && (AGENTS.contains(&host) || is_loopback(&uri));
    let is_secure = uri.scheme() == Some(&Scheme::HTTPS) && !host.is_empty();
    if is_known || is_secure { Ok(uri) } else { Err(refused()) }
}

/// The keys of the instance's role.
pub(super) async fn instance(world: &Surroundings) -> Result<Instance, CredentialError> {
    if world.variable(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(Instance::Absent(format!("{DISABLED} is set")));
    }
    let base = world.variable(ENDPOINT).unwrap_or_else(|| "http://169.254.169.254".to_owned());
    let base = base.trim_end_matches('/');
    let service = Service {
        name: &format!("the EC2 metadata service ({base})"),
        timeout: METADATA_TIMEOUT,
        remedy: "check that a role is attached to the instance and that its metadata hop limit \
                 is 2 or more when the gateway runs in a container",
    };
    let token = match world.send(&service, session(&address(base, "api/token")?)).await {
        Ok(token) => token,
        // Other clouds have another service there, which refuses the question.
        Err(error) if error.is_transient() && matches!(error, CredentialError::Refused { .. }) => {
            return Err(error);
        }
        Err(error) => return Ok(Instance::Absent(error.to_string())),
    };
    let token = text(&service, token.body())?;
    let token = sensitive(&token, "the EC2 metadata service")?;
    let headers = [(HeaderName::from_static("x-aws-ec2-metadata-token"), token)];
    const ROLES: &str = "meta-data/iam/security-credentials/";
    let roles = world.send(&service, get(address(base, ROLES)?, &headers)).await?;
    let roles = text(&service, roles.body())?;
    let role = roles.lines().next().unwrap_or_default();
    if role.is_empty() {
        return Err(malformed(&service, "the name of a role"));
    }
    let role = utf8_percent_encode(role, ESCAPED);
    let document = address(base, &format!("{ROLES}{role}"))?;
    let answer = world.send(&service, get(document, &headers)).await?;
    keys(world, &service, json(&service, &answer, EXPECTED)?).map(Instance::Keys)
}

fn address(base: &str, path: &str) -> Result<Uri, CredentialError> {
    let address = format!("{base}/latest/{path}");
    address.parse().map_err(|_| CredentialError::Address {
        origin: ENDPOINT.to_owned(),
        address: base.to_owned(),
        expected: "one such as http://169.254.169.254",
    })
}

/// Asks for a session token. A minute is enough for the two questions that follow.
fn session(uri: &Uri) -> Request<Bytes> {
    let lifetime = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
    let mut request = get(uri.clone(), &[(lifetime, HeaderValue::from_static("60"))]);
    *request.method_mut() = Method::PUT;
    request
}

fn text(service: &Service<'_>, body: &Bytes) -> Result<String, CredentialError> {
    let text = str::from_utf8(body).map_err(|_| malformed(service, "text"))?;
    Ok(text.trim().to_owned())
}

fn sensitive(text: &str, origin: &'static str) -> Result<HeaderValue, CredentialError> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| CredentialError::NotHeader { origin })?;
    value.set_sensitive(true);
    Ok(value)
}

fn keys(
    world: &Surroundings,
    service: &Service<'_>,
    document: Document,
) -> Result<Fresh<Keys>, CredentialError> {
    let expires: jiff::Timestamp =
        document.expiration.parse().map_err(|_| malformed(service, EXPECTED))?;
    let keys = Keys::new(document.access_key_id, document.secret_access_key, Some(document.token));
    Ok(Fresh::until(keys, world.now(), SystemTime::from(expires), LEAD))
}
