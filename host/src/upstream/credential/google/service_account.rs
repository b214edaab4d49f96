//! Tokens for a service account's key: a signed assertion for an access token.
//!
//! Source: "Using OAuth 2.0 for server to server applications" of Google's documentation and
//! RFC 7523. The key is parsed when the credential is read, so a broken one is found at the
//! start and not in a request.

use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, Uri};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;

use super::SCOPE;
use super::identity::{exchange, token_uri};
use crate::upstream::credential::error::CredentialError;
use crate::upstream::credential::exchange::Surroundings;
use crate::upstream::credential::refresh::Fresh;

/// The longest that Google takes.
const ASSERTION_SECONDS: u64 = 3600;

/// What is used of the file. It holds the key, so it cannot be printed.
#[derive(Deserialize)]
pub(super) struct File {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: Option<String>,
}

pub(super) struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    key: RsaKeyPair,
    token_uri: Uri,
}

impl ServiceAccount {
    pub(super) fn new(origin: &str, file: File) -> Result<Self, CredentialError> {
        Ok(Self {
            key: key_pair(file.private_key.as_bytes()).ok_or_else(|| {
                CredentialError::Malformed {
                    origin: format!("private_key in {origin}"),
                    expected: "an RSA key of 2048 bits or more in PEM",
                    remedy: "create a new JSON key for the service account; if it comes through \
                             an environment variable, its \\n must be left as they are",
                }
            })?,
            token_uri: token_uri(origin, file.token_uri.as_deref())?,
            email: file.client_email,
            key_id: file.private_key_id,
        })
    }

    pub(super) async fn token(
        &self,
        world: &Surroundings,
    ) -> Result<Fresh<HeaderValue>, CredentialError> {
        let assertion = self.assertion(world)?;
        let pairs = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", &assertion),
        ];
        let purpose = format!("for {}", self.email);
        let remedy = "check that the key has not been deleted and that this machine's clock is \
                      right";
        exchange(world, &self.token_uri, &purpose, remedy, &pairs).await
    }

    fn assertion(&self, world: &Surroundings) -> Result<String, CredentialError> {
        let now = world.now().duration_since(UNIX_EPOCH).map_err(|_| CredentialError::Clock)?;
        let now = now.as_secs();
        let mut header = json!({ "alg": "RS256", "typ": "JWT" });
        if let (Some(key_id), Some(header)) = (&self.key_id, header.as_object_mut()) {
            header.insert("kid".to_owned(), key_id.as_str().into());
        }
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_uri.to_string(),
            "iat": now,
            "exp": now + ASSERTION_SECONDS,
        });
        let encode = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| CredentialError::Key)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// PKCS#8, which Google gives out, or PKCS#1.
fn key_pair(pem: &[u8]) -> Option<RsaKeyPair> {
    match PrivateKeyDer::from_pem_slice(pem).ok()? {
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).ok(),
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()).ok(),
        _ => None,
    }
}
