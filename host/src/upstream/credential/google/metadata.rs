//! Tokens of the service account that is attached to the machine (Compute Engine, GKE, Cloud
//! Run).
//!
//! Source: "About VM metadata" of Google's documentation. Whether there is a metadata server
//! can only be found out by asking, so no answer means "absent", and so does an answer that
//! does not name Google: other clouds have theirs at the same address.

use http::header::HeaderName;
use http::{HeaderValue, Uri};
use serde::Deserialize;

use super::bearer;
use crate::upstream::credential::error::CredentialError;
use crate::upstream::credential::exchange::{METADATA_TIMEOUT, Service, Surroundings, get, json};
use crate::upstream::credential::refresh::Fresh;

const HOST: &str = "GCE_METADATA_HOST";
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");

/// The machine's token, or why the machine has none.
pub(super) enum Machine {
    Token(Fresh<HeaderValue>),
    Absent(String),
}

pub(super) async fn token(world: &Surroundings) -> Result<Machine, CredentialError> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: String,
        expires_in: u64,
    }
    if world.variable("NO_GCE_CHECK").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(Machine::Absent("NO_GCE_CHECK is set".to_owned()));
    }
    let host = world.variable(HOST).unwrap_or_else(|| "metadata.google.internal".to_owned());
    let address =
        format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
    let uri: Uri = address.parse().map_err(|_| CredentialError::Address {
        origin: HOST.to_owned(),
        address: host.clone(),
        expected: "a host, such as metadata.google.internal",
    })?;
    let service = Service {
        name: &format!("the metadata server ({host})"),
        timeout: METADATA_TIMEOUT,
        remedy: "check that a service account is attached to the machine",
    };
    let google = HeaderValue::from_static("Google");
    let answer = match world.send(&service, get(uri, &[(FLAVOR, google)])).await {
        Ok(answer) => answer,
        Err(error @ (CredentialError::Unreachable { .. } | CredentialError::TimedOut { .. })) => {
            return Ok(Machine::Absent(error.to_string()));
        }
        Err(error) => return Err(error),
    };
    if answer.headers().get(FLAVOR).is_none_or(|flavor| flavor != "Google") {
        return Ok(Machine::Absent(format!("{host} is not Google's metadata server")));
    }
    let answer: Answer = json(&service, &answer, "an access token with its lifetime")?;
    bearer(world, &answer.access_token, answer.expires_in).map(Machine::Token)
}
