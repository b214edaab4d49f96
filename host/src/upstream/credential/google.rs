//! Access tokens for Google Cloud, from a JSON credential or from the environment.
//!
//! The environment is searched as Google's own kits do ("application default credentials"):
//! the file of `GOOGLE_APPLICATION_CREDENTIALS`, the file that `gcloud auth
//! application-default login` writes, the metadata server of the machine. The first that is
//! set up decides. Tokens are kept and renewed by `refresh.rs`; a request waits for one only
//! when there is none yet or the old one has expired.
//!
//! Federated identities whose subject token comes from AWS, a program or a certificate are
//! refused with the way around.

mod federation;
mod identity;
mod metadata;
mod service_account;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use self::identity::Identity;
use super::error::CredentialError;
use super::exchange::Surroundings;
use super::refresh::{Fresh, Refreshing};
use crate::config::Secret;

/// What a token may be used for; what it can be used for is the account's roles.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The metadata server gives out the same token until four minutes before its end; earlier
/// than this it would be asked in vain.
const LEAD: Duration = Duration::from_secs(225);
/// A credential file has some 3 KiB.
const LARGEST_FILE_BYTES: u64 = 64 * 1024;
const VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// Where tokens come from.
#[derive(Debug, Clone)]
pub enum GoogleSource {
    /// The text of a JSON credential: a service account's key, a user's, a federated one.
    Json(Secret),
    /// As Google's own kits find it.
    Default,
}

/// Gives access tokens. Meant to be made once for a provider and to outlive requests.
#[derive(Debug)]
pub struct GoogleCredentials {
    tokens: Refreshing<HeaderValue>,
}

impl GoogleCredentials {
    /// # Errors
    /// When the JSON credential cannot be used; what is found later is only read when a
    /// token is wanted.
    pub fn new(source: GoogleSource, surroundings: Surroundings) -> Result<Self, CredentialError> {
        let identity = match source {
            GoogleSource::Json(json) => {
                Some(Arc::new(Identity::read("the Google credential", json.expose())?))
            }
            GoogleSource::Default => None,
        };
        let clock = surroundings.clone();
        let tokens = Refreshing::new(
            move || clock.now(),
            move || {
                let (world, identity) = (surroundings.clone(), identity.clone());
                Box::pin(async move {
                    match identity {
                        Some(identity) => identity.token(&world).await,
                        None => find(&world).await,
                    }
                })
            },
        );
        Ok(Self { tokens })
    }

    /// The value of the header `authorization`, marked as sensitive.
    ///
    /// # Errors
    /// When there is no token and none can be fetched.
    pub async fn token(&self) -> Result<HeaderValue, CredentialError> {
        self.tokens.get().await
    }
}

/// A token of the application default credentials.
async fn find(world: &Surroundings) -> Result<Fresh<HeaderValue>, CredentialError> {
    if let Some(path) = world.variable(VARIABLE) {
        let path = world.path(&path);
        let text = world.read(&path, VARIABLE, LARGEST_FILE_BYTES).await?;
        return Identity::read(&path.display().to_string(), &text)?.token(world).await;
    }
    let usual = well_known(world);
    match world.read(&usual, "gcloud's convention", LARGEST_FILE_BYTES).await {
        Ok(text) => {
            return Identity::read(&usual.display().to_string(), &text)?.token(world).await;
        }
        Err(CredentialError::Unreadable { source, .. })
            if source.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match metadata::token(world).await? {
        metadata::Machine::Token(token) => Ok(token),
        metadata::Machine::Absent(reason) => Err(CredentialError::NotFound {
            cloud: "Google",
            looked: format!("{VARIABLE} is not set, there is no {}, {reason}", usual.display()),
            remedy: "set GOOGLE_APPLICATION_CREDENTIALS to the path of a service account's JSON \
                     key, or run gcloud auth application-default login, or run the gateway \
                     where a service account is attached",
        }),
    }
}

fn well_known(world: &Surroundings) -> PathBuf {
    let directory = world.variable("CLOUDSDK_CONFIG").map(|path| world.path(&path));
    let directory = directory.unwrap_or_else(|| world.path("~/.config/gcloud"));
    directory.join("application_default_credentials.json")
}

/// `Bearer TOKEN`, good for `seconds`.
fn bearer(
    world: &Surroundings,
    token: &str,
    seconds: u64,
) -> Result<Fresh<HeaderValue>, CredentialError> {
    /// No token of Google's is good for longer; more is a mistake that would outlive a key.
    const LONGEST: Duration = Duration::from_secs(12 * 3600);
    let lifetime = Duration::from_secs(seconds).min(LONGEST);
    let value = bearer_value(token)?;
    let now = world.now();
    Ok(Fresh::until(value, now, now + lifetime, LEAD))
}

fn bearer_value(token: &str) -> Result<HeaderValue, CredentialError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| CredentialError::NotHeader { origin: "Google" })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
