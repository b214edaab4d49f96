//! All sources against a scripted network, through the public interface. The key in
//! `test_key.pem` was made for these tests and opens nothing.

#![expect(clippy::unwrap_used, reason = "tests")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use ring::signature::KeyPair;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

use super::*;
use crate::upstream::credential::fake::{Network, answer, file, status};

const PEM: &str = include_str!("test_key.pem");
const EMAIL: &str = "gateway@project.iam.gserviceaccount.com";

fn service_account() -> Value {
    json!({ "type": "service_account", "project_id": "p", "private_key_id": "key-1",
        "private_key": PEM, "client_email": EMAIL,
        "token_uri": "https://oauth2.googleapis.com/token" })
}

fn user() -> Value {
    json!({ "type": "authorized_user", "client_id": "client", "client_secret": "the-secret",
        "refresh_token": "the-refresh-token" })
}

fn from_json(credential: &Value, network: &Network) -> Result<GoogleCredentials, CredentialError> {
    let source = GoogleSource::Json(Secret::new(credential.to_string()));
    GoogleCredentials::new(source, network.surroundings())
}

fn from_surroundings(network: &Network) -> GoogleCredentials {
    GoogleCredentials::new(GoogleSource::Default, network.surroundings()).unwrap()
}

fn form_of(request: &Request<Bytes>) -> Vec<(String, String)> {
    let decode = |text| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into();
    let body = str::from_utf8(request.body()).unwrap();
    let pairs = body.split('&').map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}

fn value<'a>(form: &'a [(String, String)], name: &str) -> &'a str {
    &form.iter().find(|(key, _)| key == name).unwrap().1
}

fn token(text: &str) -> http::Response<Bytes> {
    answer(&format!(r#"{{"access_token":"{text}","expires_in":3599,"token_type":"Bearer"}}"#))
}

/// Checks the assertion as Google does and gives its claims.
fn verified(assertion: &str) -> Value {
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let PrivateKeyDer::Pkcs8(der) = PrivateKeyDer::from_pem_slice(PEM.as_bytes()).unwrap() else {
        unreachable!("the key is in PKCS#8");
    };
    let pair = ring::signature::RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
    let parameters = &ring::signature::RSA_PKCS1_2048_8192_SHA256;
    let public = ring::signature::UnparsedPublicKey::new(parameters, pair.public_key());
    public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let read = |part: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    assert_eq!(read(header), json!({ "alg": "RS256", "typ": "JWT", "kid": "key-1" }));
    read(claims)
}

#[tokio::test(start_paused = true)]
async fn a_service_accounts_assertion_is_signed_and_exchanged_once() {
    let network = Network::new(|request| {
        assert_eq!(request.uri(), "https://oauth2.googleapis.com/token");
        let form = form_of(request);
        assert_eq!(value(&form, "grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
        assert_eq!(
            verified(value(&form, "assertion")),
            json!({ "iss": EMAIL, "scope": SCOPE, "aud": "https://oauth2.googleapis.com/token",
                "iat": 1_795_368_605, "exp": 1_795_372_205 })
        );
        token("ya29.one")
    });
    let credentials = from_json(&service_account(), &network).unwrap();
    for _ in 0..3 {
        let header = credentials.token().await.unwrap();
        assert_eq!(header, "Bearer ya29.one");
        assert!(header.is_sensitive());
        assert!(!format!("{header:?} {credentials:?}").contains("ya29"));
    }
    assert_eq!(network.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_it_ends_and_no_request_waits() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let network = Network::new(move |_| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        token(&format!("ya29.{number}"))
    });
    let credentials = from_json(&user(), &network).unwrap();
    assert_eq!(credentials.token().await.unwrap(), "Bearer ya29.0");
    tokio::time::sleep(Duration::from_secs(3599 - 224)).await;
    assert_eq!(credentials.token().await.unwrap(), "Bearer ya29.0");
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(credentials.token().await.unwrap(), "Bearer ya29.1");
    assert_eq!(network.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_file_of_the_environment_decides() {
    let path = file(&user().to_string());
    let network = Network::new(|request| {
        let form = form_of(request);
        assert_eq!(value(&form, "client_secret"), "the-secret");
        assert_eq!(value(&form, "refresh_token"), "the-refresh-token");
        token("ya29.user")
    })
    .with("GOOGLE_APPLICATION_CREDENTIALS", path.path().to_str().unwrap());
    assert_eq!(from_surroundings(&network).token().await.unwrap(), "Bearer ya29.user");
    let network = Network::silent().with("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent/key.json");
    let error = from_surroundings(&network).token().await.unwrap_err().to_string();
    assert!(
        error.contains("/nonexistent/key.json, which GOOGLE_APPLICATION_CREDENTIALS"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn gclouds_own_file_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("application_default_credentials.json");
    std::fs::write(path, user().to_string()).unwrap();
    let network = Network::new(|_| token("ya29.gcloud"))
        .with("CLOUDSDK_CONFIG", directory.path().to_str().unwrap());
    assert_eq!(from_surroundings(&network).token().await.unwrap(), "Bearer ya29.gcloud");
}

#[tokio::test(start_paused = true)]
async fn the_machines_account_is_asked_last_and_only_google_is_believed() {
    let network = Network::new(|request| {
        assert_eq!(request.headers()["metadata-flavor"], "Google");
        let mut answer = token("ya29.machine");
        answer.headers_mut().insert("metadata-flavor", HeaderValue::from_static("Google"));
        answer
    });
    assert_eq!(from_surroundings(&network).token().await.unwrap(), "Bearer ya29.machine");
    let path = "/computeMetadata/v1/instance/service-accounts/default/token";
    assert_eq!(network.asked(), [format!("GET http://metadata.google.internal{path}")]);
    let network = Network::new(|_| token("ya29.stranger"));
    let error = from_surroundings(&network).token().await.unwrap_err().to_string();
    assert!(error.contains("is not Google's metadata server"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_set_up_the_error_says_what_to_do() {
    let error = from_surroundings(&Network::hanging()).token().await.unwrap_err().to_string();
    for part in [
        "GOOGLE_APPLICATION_CREDENTIALS is not set",
        "/nonexistent/.config/gcloud/application_default_credentials.json",
        "gcloud auth application-default login",
        "within 2000 ms",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

fn federated(source: &Value, impersonates: bool) -> Value {
    let mut credential = json!({ "type": "external_account", "audience": "//iam/pools/p",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token", "credential_source": source });
    if impersonates {
        credential["service_account_impersonation_url"] =
            "https://iamcredentials.googleapis.com/v1/x:generateAccessToken".into();
    }
    credential
}

#[tokio::test(start_paused = true)]
async fn a_federated_identity_becomes_a_service_account() {
    let path = file(r#"{"id_token":"subject"}"#);
    let network = Network::new(|request| match request.uri().host().unwrap() {
        "sts.googleapis.com" => {
            let form = form_of(request);
            assert_eq!(value(&form, "subject_token"), "subject");
            assert_eq!(value(&form, "audience"), "//iam/pools/p");
            token("federated")
        }
        _ => {
            assert_eq!(request.headers()["authorization"], "Bearer federated");
            let body: Value = serde_json::from_slice(request.body()).unwrap();
            assert_eq!(body["scope"], json!([SCOPE]));
            answer(r#"{"accessToken":"ya29.sa","expireTime":"2026-11-22T18:30:05.5Z"}"#)
        }
    });
    let source = json!({ "file": path.path(),
        "format": { "type": "json", "subject_token_field_name": "id_token" } });
    let credentials = from_json(&federated(&source, true), &network).unwrap();
    assert_eq!(credentials.token().await.unwrap(), "Bearer ya29.sa");
    credentials.token().await.unwrap();
    assert_eq!(network.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_subject_token_comes_from_an_address_with_its_headers() {
    let network = Network::new(|request| match request.uri().host().unwrap() {
        "169.254.169.254" => {
            assert_eq!(request.headers()["metadata"], "True");
            answer("subject\n")
        }
        _ => {
            assert_eq!(value(&form_of(request), "subject_token"), "subject");
            token("ya29.fed")
        }
    });
    let source =
        json!({ "url": "http://169.254.169.254/identity", "headers": { "Metadata": "True" } });
    let credentials = from_json(&federated(&source, false), &network).unwrap();
    assert_eq!(credentials.token().await.unwrap(), "Bearer ya29.fed");
}

#[tokio::test(start_paused = true)]
async fn a_user_may_become_a_service_account() {
    let network = Network::new(|request| match request.uri().host().unwrap() {
        "oauth2.googleapis.com" => token("user"),
        _ => answer(r#"{"accessToken":"ya29.sa","expireTime":"2026-11-22T18:30:05Z"}"#),
    });
    let credential = json!({ "type": "impersonated_service_account", "delegates": [],
        "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/x",
        "source_credentials": user() });
    let credentials = from_json(&credential, &network).unwrap();
    assert_eq!(credentials.token().await.unwrap(), "Bearer ya29.sa");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_used_is_refused_at_the_start_without_its_secrets() {
    let with = |key: &str, value: Value| {
        let mut credential = service_account();
        credential[key] = value;
        credential
    };
    let aws = json!({ "environment_id": "aws1" });
    let program = json!({ "executable": { "command": "x" } });
    for (credential, remedy) in [
        (json!("the-secret"), "JSON key"),
        (json!({ "type": "service_account", "private_key": 7 }), "JSON key"),
        (with("private_key", "the-secret".into()), "create a new JSON key"),
        (with("token_uri", "http://evil.example/".into()), "https://"),
        (with("type", "gdch_service_account".into()), "gcloud auth"),
        (federated(&aws, false), "file or url"),
        (federated(&program, false), "file or url"),
        (federated(&json!({ "url": "http://evil.example/" }), false), "https://"),
    ] {
        let error = from_json(&credential, &Network::silent()).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(remedy), "{shown}");
        assert!(!shown.contains("the-secret") && !shown.contains("PRIVATE KEY"), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_is_told_with_its_code_and_no_more() {
    let network = Network::new(|_| {
        status(400, r#"{"error":"invalid_grant","error_description":"the-refresh-token is bad"}"#)
    });
    let error = from_json(&user(), &network).unwrap().token().await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("invalid_grant") && shown.contains("gcloud auth"), "{shown}");
    assert!(!shown.contains("the-refresh-token"), "{shown}");
    assert!(!error.is_transient());
    let network = Network::new(|_| status(503, ""));
    let error = from_json(&user(), &network).unwrap().token().await.unwrap_err();
    assert!(error.is_transient());
}
