//! Proves to a provider who asks: the scheme that the adapter named, with the credential that
//! the operator bound to the provider and the adapter never sees.
//!
//! An [`Authenticator`] is made with the snapshot, so that what cannot work is found out then,
//! and applied to every request last. What the machine itself gives (`ambient`) is one for the
//! whole process and outlives snapshots; see [`Ambient`].

pub mod aws;
mod error;
pub mod exchange;
#[cfg(test)]
mod fake;
pub mod google;
mod refresh;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Uri};
use http_body_util::Full;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub use error::{CredentialError, TransportError};

use self::aws::{AwsCredentials, AwsSource};
use self::exchange::Surroundings;
use self::google::{GoogleCredentials, GoogleSource};
use crate::config::{Credential, Secret};
use crate::plugin::provider::CredentialScheme;

/// What RFC 3986 calls unreserved; the rest of a value in a query is escaped.
const QUERY_VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why scheme and credential do not go together. Found out when a snapshot is made.
#[derive(Debug, thiserror::Error)]
pub enum SchemeError {
    #[error("the adapter names the header {0:?}, which is not one")]
    HeaderName(String),
    #[error("the credential cannot be sent in a header: it has control or non-ASCII characters")]
    HeaderValue,
    #[error(
        "credential = \"ambient\" is for providers at AWS and Google; expected \"env:NAME\" or \
         \"file:PATH\""
    )]
    NotAmbient,
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

/// The identities that the machine and the environment give.
#[derive(Debug, Clone)]
pub struct Ambient {
    surroundings: Surroundings,
    aws: Arc<AwsCredentials>,
    google: Option<Arc<GoogleCredentials>>,
}

impl Ambient {
    pub fn new(surroundings: Surroundings) -> Self {
        let chain = AwsSource::Chain { profile: None };
        Self {
            aws: Arc::new(AwsCredentials::new(chain, surroundings.clone())),
            // Only a credential that is given as text can be refused here.
            google: GoogleCredentials::new(GoogleSource::Default, surroundings.clone())
                .ok()
                .map(Arc::new),
            surroundings,
        }
    }
}

/// Applies a provider's credential.
#[derive(Debug)]
pub enum Authenticator {
    /// The provider asks for none, or has none to give: then nothing is routed to it.
    None,
    Header(HeaderName, HeaderValue),
    Query(String, Secret),
    Aws {
        credentials: Arc<AwsCredentials>,
        service: String,
        region: String,
    },
    Google(Arc<GoogleCredentials>),
}

impl Authenticator {
    /// # Errors
    /// Scheme and credential do not go together.
    pub fn new(
        scheme: &CredentialScheme,
        credential: &Credential,
        ambient: &Ambient,
    ) -> Result<Self, SchemeError> {
        let secret = match credential {
            Credential::None | Credential::Missing(_) => return Ok(Self::None),
            Credential::Present(secret) => Some(secret),
            Credential::Ambient => None,
        };
        Ok(match (scheme, secret) {
            (CredentialScheme::None, _) => Self::None,
            (CredentialScheme::Bearer, Some(secret)) => {
                Self::header(AUTHORIZATION, format!("Bearer {}", secret.expose()))?
            }
            (CredentialScheme::Header(name), Some(secret)) => {
                let name = HeaderName::from_bytes(name.as_bytes())
                    .map_err(|_| SchemeError::HeaderName(name.clone()))?;
                Self::header(name, secret.expose().to_owned())?
            }
            (CredentialScheme::Query(name), Some(secret)) => {
                Self::Query(name.clone(), secret.clone())
            }
            (CredentialScheme::AwsSigv4(scope), secret) => Self::Aws {
                credentials: match secret {
                    Some(secret) => Arc::new(AwsCredentials::new(
                        AwsSource::read(secret)?,
                        ambient.surroundings.clone(),
                    )),
                    None => ambient.aws.clone(),
                },
                service: scope.service.clone(),
                region: scope.region.clone(),
            },
            (CredentialScheme::GoogleOauth, Some(secret)) => {
                let source = GoogleSource::Json(secret.clone());
                let surroundings = ambient.surroundings.clone();
                Self::Google(Arc::new(GoogleCredentials::new(source, surroundings)?))
            }
            (CredentialScheme::GoogleOauth, None) => match &ambient.google {
                Some(google) => Self::Google(google.clone()),
                None => return Err(SchemeError::NotAmbient),
            },
            (
                CredentialScheme::Bearer | CredentialScheme::Header(_) | CredentialScheme::Query(_),
                None,
            ) => return Err(SchemeError::NotAmbient),
        })
    }

    fn header(name: HeaderName, value: String) -> Result<Self, SchemeError> {
        let mut value = HeaderValue::try_from(value).map_err(|_| SchemeError::HeaderValue)?;
        value.set_sensitive(true);
        Ok(Self::Header(name, value))
    }

    /// Puts the proof into the request. Nothing of it may change afterwards.
    ///
    /// # Errors
    /// There is no credential now.
    pub async fn apply(
        &self,
        request: &mut Request<Full<Bytes>>,
        body: &Bytes,
    ) -> Result<(), CredentialError> {
        match self {
            Self::None => {}
            Self::Header(name, value) => {
                request.headers_mut().insert(name.clone(), value.clone());
            }
            Self::Query(name, secret) => {
                let uri = with_query(request.uri(), name, secret);
                *request.uri_mut() = uri.ok_or(CredentialError::NotHeader { origin: "query" })?;
            }
            Self::Aws { credentials, service, region } => {
                credentials.sign(request, body, service, region).await?;
            }
            Self::Google(credentials) => {
                let token = credentials.token().await?;
                request.headers_mut().insert(AUTHORIZATION, token);
            }
        }
        Ok(())
    }
}

fn with_query(uri: &Uri, name: &str, secret: &Secret) -> Option<Uri> {
    let value = utf8_percent_encode(secret.expose(), QUERY_VALUE);
    let separator = if uri.query().is_some() { '&' } else { '?' };
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let path = format!("{path}{separator}{name}={value}");
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_query_is_escaped_and_stands_last() {
        let uri: Uri = "https://a.example/v1/x?alt=sse".parse().unwrap();
        let with = with_query(&uri, "key", &Secret::new("a&b=c/ü")).unwrap();
        assert_eq!(with, "https://a.example/v1/x?alt=sse&key=a%26b%3Dc%2F%C3%BC");
    }
}
