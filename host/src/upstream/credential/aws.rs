//! Requests to AWS: signed with Signature Version 4, with keys that are written or found.
//!
//! Keys that are found follow the order of AWS's own kits: environment, web identity (EKS),
//! profile, container (ECS, EKS Pod Identity), instance (EC2). The first source that is set
//! up decides: when it fails, that is the error, and no other identity is tried in its
//! place. Found keys are kept and renewed by `refresh.rs`; a request waits for them only
//! when there are none yet or the old ones have expired.
//!
//! Profiles that need a program or a browser (`credential_process`, SSO) or a second role
//! (`source_profile`) are refused with the way around.

mod chain;
mod metadata;
mod profile;
mod signature;
mod web_identity;

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use serde::Deserialize;

use super::error::CredentialError;
use super::exchange::Surroundings;
use super::refresh::{Fresh, Refreshing};
use crate::config::Secret;

/// The instance's metadata service has the next keys five minutes before the last ones
/// expire; the others give new ones at any time.
const LEAD: Duration = Duration::from_secs(300);

/// Where keys come from.
#[derive(Debug, Clone)]
pub enum AwsSource {
    /// As they are written.
    Keys { access_key_id: Secret, secret_access_key: Secret, session_token: Option<Secret> },
    /// As AWS's own kits find them. A profile that is named here is the only source.
    Chain { profile: Option<String> },
}

/// Signs requests. Meant to be made once for a provider and to outlive requests.
#[derive(Debug)]
pub struct AwsCredentials {
    surroundings: Surroundings,
    supply: Supply,
}

#[derive(Debug)]
enum Supply {
    Fixed(Keys),
    Found(Refreshing<Keys>),
}

/// Keys as a document has them. Cannot be printed.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    #[serde(alias = "access_key_id")]
    access_key_id: String,
    #[serde(alias = "secret_access_key")]
    secret_access_key: String,
    #[serde(alias = "session_token")]
    session_token: Option<String>,
}

/// What a request is signed with.
#[derive(Debug, Clone)]
struct Keys {
    access_key_id: Secret,
    secret_access_key: Secret,
    session_token: Option<Secret>,
}

impl AwsSource {
    /// Keys in one secret: the JSON that `aws configure export-credentials` writes, or the
    /// same members as `access_key_id`, `secret_access_key`, `session_token`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn read(document: &Secret) -> Result<Self, CredentialError> {
        let malformed = |_| CredentialError::Malformed {
            origin: "the AWS credential".to_owned(),
            expected: "a JSON object with AccessKeyId and SecretAccessKey",
            remedy: "write it as aws configure export-credentials does, or use what the \
                     environment gives (credential = \"ambient\")",
        };
        let keys: Document = serde_json::from_str(document.expose()).map_err(malformed)?;
        Ok(Self::Keys {
            access_key_id: Secret::new(keys.access_key_id),
            secret_access_key: Secret::new(keys.secret_access_key),
            session_token: keys.session_token.filter(|token| !token.is_empty()).map(Secret::new),
        })
    }
}

impl AwsCredentials {
    pub fn new(source: AwsSource, surroundings: Surroundings) -> Self {
        let supply = match source {
            AwsSource::Keys { access_key_id, secret_access_key, session_token } => {
                Supply::Fixed(Keys { access_key_id, secret_access_key, session_token })
            }
            AwsSource::Chain { profile } => {
                let (world, clock) = (surroundings.clone(), surroundings.clone());
                let profile: Option<Arc<str>> = profile.map(Arc::from);
                Supply::Found(Refreshing::new(
                    move || clock.now(),
                    move || {
                        let (world, profile) = (world.clone(), profile.clone());
                        Box::pin(async move { chain::find(&world, profile.as_deref()).await })
                    },
                ))
            }
        };
        Self { surroundings, supply }
    }

    /// Adds `authorization`, `x-amz-date` and, with temporary keys, `x-amz-security-token`.
    /// Signs the host as hyper sends it, the content type, every `x-amz-` header and `body`,
    /// so nothing of these may change afterwards. Signing again replaces the signature; a
    /// signature is good for five minutes, so every attempt is signed anew.
    ///
    /// A default port is taken out of the URI (`:443` under https): HTTP/1 leaves it out of
    /// the host header and HTTP/2 would send it.
    ///
    /// # Errors
    /// When there are no keys, or when service, region or URI cannot be signed for.
    pub async fn sign<B>(
        &self,
        request: &mut Request<B>,
        body: &[u8],
        service: &str,
        region: &str,
    ) -> Result<(), CredentialError> {
        let keys = match &self.supply {
            Supply::Fixed(keys) => keys.clone(),
            Supply::Found(keys) => keys.get().await?,
        };
        let scope = signature::Scope::new(service, region, self.surroundings.now())?;
        signature::sign(request, body, &keys, &scope)
    }
}

impl Keys {
    fn new(
        access_key_id: String,
        secret_access_key: String,
        session_token: Option<String>,
    ) -> Self {
        Self {
            access_key_id: Secret::new(access_key_id),
            secret_access_key: Secret::new(secret_access_key),
            session_token: session_token.filter(|token| !token.is_empty()).map(Secret::new),
        }
    }

    /// Keys of no known end, to be looked at again at `refresh`.
    fn lasting(self, refresh: Option<std::time::SystemTime>) -> Fresh<Self> {
        Fresh { value: self, expires: None, refresh }
    }
}

#[cfg(test)]
mod tests;
