//! JSON credentials: who one is, and the token one gets for it.
//!
//! Source: "Application default credentials" of Google's documentation and AIP-4110 to 4117.
//! A credential is read once; every address in it that is sent a secret has to be `https`
//! (or this machine), because the file may have come from a third party.

use std::fmt;

use futures_util::future::BoxFuture;
use http::{HeaderValue, Uri};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bearer;
use super::federation::{Federated, Impersonation};
use super::service_account::ServiceAccount;
use crate::config::Secret;
use crate::upstream::credential::error::CredentialError;
use crate::upstream::credential::exchange::{
    Service, Surroundings, TOKEN_SERVICE_TIMEOUT, form, json, secure_address,
};
use crate::upstream::credential::refresh::Fresh;

const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const NEW_KEY: &str = "download a new JSON key, or write the credential again with gcloud";

/// Who asks for tokens.
pub(super) enum Identity {
    ServiceAccount(ServiceAccount),
    User(User),
    Federated(Federated),
    /// One identity that takes on a service account's.
    Impersonating(Box<Identity>, Impersonation),
}

/// What `gcloud auth application-default login` writes.
pub(super) struct User {
    client_id: String,
    client_secret: Secret,
    refresh_token: Secret,
    token_uri: Uri,
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ServiceAccount(_) => "ServiceAccount",
            Self::User(_) => "User",
            Self::Federated(_) => "Federated",
            Self::Impersonating(..) => "Impersonating",
        })
    }
}

#[derive(Deserialize)]
struct Kind {
    r#type: String,
}

#[derive(Deserialize)]
struct UserFile {
    client_id: String,
    client_secret: String,
    refresh_token: String,
    token_uri: Option<String>,
}

#[derive(Deserialize)]
struct ImpersonatingFile {
    service_account_impersonation_url: String,
    #[serde(default)]
    delegates: Vec<String>,
    source_credentials: Box<serde_json::value::RawValue>,
}

impl Identity {
    /// Reads a JSON credential. `origin` says in messages where it stands.
    pub(super) fn read(origin: &str, text: &str) -> Result<Self, CredentialError> {
        let kind: Kind = part(origin, text, "a JSON object with a \"type\"")?;
        if kind.r#type != "impersonated_service_account" {
            return Self::read_own(origin, text, &kind.r#type);
        }
        const EXPECTED: &str = "a JSON credential of an impersonated service account";
        let file: ImpersonatingFile = part(origin, text, EXPECTED)?;
        let source = file.source_credentials.get();
        let kind: Kind = part(origin, source, EXPECTED)?;
        // One level: an impersonating source is refused as an unknown type.
        let source = Self::read_own(origin, source, &kind.r#type)?;
        let url = &file.service_account_impersonation_url;
        let impersonation = Impersonation::new(origin, url, file.delegates)?;
        Ok(Self::Impersonating(Box::new(source), impersonation))
    }

    fn read_own(origin: &str, text: &str, kind: &str) -> Result<Self, CredentialError> {
        match kind {
            "service_account" => {
                const EXPECTED: &str = "a service account's JSON key";
                ServiceAccount::new(origin, part(origin, text, EXPECTED)?).map(Self::ServiceAccount)
            }
            "authorized_user" => {
                const EXPECTED: &str = "a JSON credential as gcloud writes it";
                let file: UserFile = part(origin, text, EXPECTED)?;
                let token_uri = token_uri(origin, file.token_uri.as_deref())?;
                Ok(Self::User(User {
                    client_id: file.client_id,
                    client_secret: Secret::new(file.client_secret),
                    refresh_token: Secret::new(file.refresh_token),
                    token_uri,
                }))
            }
            "external_account" => {
                const EXPECTED: &str = "a JSON credential of a workload identity federation";
                let file = part(origin, text, EXPECTED)?;
                let (federated, impersonation) = Federated::new(origin, file)?;
                Ok(match impersonation {
                    Some(impersonation) => {
                        Self::Impersonating(Box::new(Self::Federated(federated)), impersonation)
                    }
                    None => Self::Federated(federated),
                })
            }
            other => Err(CredentialError::Unsupported {
                origin: origin.to_owned(),
                feature: format!("the credential type {:?}", shortened(other)),
                remedy: "use a service account's JSON key, or run gcloud auth \
                         application-default login",
            }),
        }
    }

    /// A new token.
    pub(super) fn token<'a>(
        &'a self,
        world: &'a Surroundings,
    ) -> BoxFuture<'a, Result<Fresh<HeaderValue>, CredentialError>> {
        Box::pin(async move {
            match self {
                Self::ServiceAccount(account) => account.token(world).await,
                Self::User(user) => user.token(world).await,
                Self::Federated(federated) => federated.token(world).await,
                Self::Impersonating(source, impersonation) => {
                    let source = source.token(world).await?;
                    impersonation.token(world, source.value).await
                }
            }
        })
    }
}

impl User {
    async fn token(&self, world: &Surroundings) -> Result<Fresh<HeaderValue>, CredentialError> {
        let pairs = [
            ("grant_type", "refresh_token"),
            ("client_id", &self.client_id),
            ("client_secret", self.client_secret.expose()),
            ("refresh_token", self.refresh_token.expose()),
        ];
        let remedy = "run gcloud auth application-default login again";
        exchange(world, &self.token_uri, "for the user's refresh token", remedy, &pairs).await
    }
}

/// Sends a grant to a token endpoint and takes the access token out of the answer.
pub(super) async fn exchange(
    world: &Surroundings,
    uri: &Uri,
    purpose: &str,
    remedy: &'static str,
    pairs: &[(&str, &str)],
) -> Result<Fresh<HeaderValue>, CredentialError> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: String,
        expires_in: u64,
    }
    let service = Service {
        name: &format!("the token endpoint {} {purpose}", uri.host().unwrap_or_default()),
        timeout: TOKEN_SERVICE_TIMEOUT,
        remedy,
    };
    let answer = world.send(&service, form(uri.clone(), pairs)).await?;
    let answer: Answer = json(&service, &answer, "an access token with its lifetime")?;
    bearer(world, &answer.access_token, answer.expires_in)
}

/// The endpoint that a credential names, or Google's.
pub(super) fn token_uri(origin: &str, written: Option<&str>) -> Result<Uri, CredentialError> {
    secure_address(&format!("token_uri in {origin}"), written.unwrap_or(TOKEN_URI))
}

/// Reads JSON without telling what is in it: the parser's messages quote.
fn part<T: DeserializeOwned>(
    origin: &str,
    text: &str,
    expected: &'static str,
) -> Result<T, CredentialError> {
    serde_json::from_str(text).map_err(|error| CredentialError::Malformed {
        origin: format!("{origin} (line {}, column {})", error.line(), error.column()),
        expected,
        remedy: NEW_KEY,
    })
}

/// What a message may repeat of a file.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}
