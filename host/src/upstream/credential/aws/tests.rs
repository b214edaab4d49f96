//! All sources against a scripted network, through the public interface.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::SystemTime;

use http::header::AUTHORIZATION;

use super::*;
use crate::upstream::credential::fake::{Network, answer, file, status};

const KEYS: &str = r#"{"Code":"Success","AccessKeyId":"ASIAROLE","SecretAccessKey":"role-secret",
    "Token":"role-token","Expiration":"2026-11-22T18:30:05Z"}"#;

fn chain(network: &Network) -> AwsCredentials {
    AwsCredentials::new(AwsSource::Chain { profile: None }, network.surroundings())
}

async fn signed(credentials: &AwsCredentials) -> Result<Request<()>, CredentialError> {
    let mut request =
        Request::builder().method("POST").uri("https://bedrock.example/model/a%3A0/converse");
    request = request.header("content-type", "application/json");
    let mut request = request.body(()).unwrap();
    credentials.sign(&mut request, b"{}", "bedrock", "us-east-1").await.map(|()| request)
}

/// The id of the key that signed.
async fn signer(credentials: &AwsCredentials) -> String {
    let request = signed(credentials).await.unwrap();
    let authorization = request.headers()[AUTHORIZATION].to_str().unwrap().to_owned();
    let id = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=").unwrap();
    id.split('/').next().unwrap().to_owned()
}

async fn message(credentials: &AwsCredentials) -> String {
    signed(credentials).await.unwrap_err().to_string()
}

#[tokio::test(start_paused = true)]
async fn written_keys_sign_without_the_network() {
    let network = Network::silent();
    let source = AwsSource::Keys {
        access_key_id: Secret::new("AKIDFIXED".to_owned()),
        secret_access_key: Secret::new("hidden-value".to_owned()),
        session_token: None,
    };
    assert!(!format!("{source:?}").contains("hidden-value"));
    let credentials = AwsCredentials::new(source, network.surroundings());
    assert!(!format!("{credentials:?}").contains("hidden-value"));
    assert_eq!(signer(&credentials).await, "AKIDFIXED");
    assert!(network.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn keys_in_one_document_sign() {
    for document in [
        r#"{"Version":1,"AccessKeyId":"AKIDDOC","SecretAccessKey":"s","Expiration":"x"}"#,
        r#"{"access_key_id":"AKIDDOC","secret_access_key":"s","session_token":"t"}"#,
    ] {
        let source = AwsSource::read(&Secret::new(document)).unwrap();
        let credentials = AwsCredentials::new(source, Network::silent().surroundings());
        assert_eq!(signer(&credentials).await, "AKIDDOC");
    }
    for document in ["the-secret", r#"{"AccessKeyId":"the-secret"}"#] {
        let error = AwsSource::read(&Secret::new(document)).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("export-credentials") && !shown.contains("the-secret"), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_environment_comes_first_and_half_of_it_is_an_error() {
    let network = Network::silent()
        .with("AWS_ACCESS_KEY_ID", "AKIAENV")
        .with("AWS_SECRET_ACCESS_KEY", "s")
        .with("AWS_SESSION_TOKEN", "t")
        .with("AWS_PROFILE", "missing");
    let request = signed(&chain(&network)).await.unwrap();
    assert_eq!(request.headers()["x-amz-security-token"], "t");
    let network = Network::silent().with("AWS_ACCESS_KEY_ID", "AKIAENV");
    let error = message(&chain(&network)).await;
    assert_eq!(
        error,
        "AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not; set both or neither"
    );
}

#[tokio::test(start_paused = true)]
async fn a_profile_is_found_by_name_and_read_again() {
    let path = file("[default]\naws_access_key_id=AKIAONE\naws_secret_access_key=s\n");
    let network =
        Network::silent().with("AWS_SHARED_CREDENTIALS_FILE", path.path().to_str().unwrap());
    let credentials = chain(&network);
    assert_eq!(signer(&credentials).await, "AKIAONE");
    std::fs::write(path.path(), "[default]\naws_access_key_id=AKIATWO\naws_secret_access_key=s\n")
        .unwrap();
    assert_eq!(signer(&credentials).await, "AKIAONE");
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(signer(&credentials).await, "AKIAONE", "does not wait for the new one");
    // File reading is on real threads, so virtual time must not run ahead of it.
    while signer(&credentials).await != "AKIATWO" {
        tokio::task::yield_now().await;
    }
    let named = AwsSource::Chain { profile: Some("absent".to_owned()) };
    let error = message(&AwsCredentials::new(named, network.surroundings())).await;
    assert!(error.contains("\"absent\"") && error.contains("AWS_PROFILE"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_profile_that_needs_a_program_is_refused_with_the_way_around() {
    for settings in
        ["credential_process = x", "sso_session = x", "role_arn = x\nsource_profile = y"]
    {
        let path = file(&format!("[profile p]\n{settings}\n"));
        let network = Network::silent()
            .with("AWS_CONFIG_FILE", path.path().to_str().unwrap())
            .with("AWS_PROFILE", "p");
        let error = message(&chain(&network)).await;
        assert!(error.contains("aws configure export-credentials"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_web_identity_opens_its_role() {
    let path = file("the-web-token\n");
    let network = Network::new(|request| {
        assert_eq!(request.uri(), "https://sts.eu-west-1.amazonaws.com/");
        assert_eq!(request.headers()["accept"], "application/json");
        let body = str::from_utf8(request.body()).unwrap();
        assert_eq!(
            body,
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15\
             &RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=torana\
             &WebIdentityToken=the-web-token"
        );
        answer(
            r#"{"AssumeRoleWithWebIdentityResponse":{"AssumeRoleWithWebIdentityResult":{
            "Credentials":{"AccessKeyId":"ASIAWEB","SecretAccessKey":"s","SessionToken":"t",
            "Expiration":1.795372205E9}}}}"#,
        )
    })
    .with("AWS_WEB_IDENTITY_TOKEN_FILE", path.path().to_str().unwrap())
    .with("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
    .with("AWS_REGION", "eu-west-1");
    let credentials = chain(&network);
    assert_eq!(signer(&credentials).await, "ASIAWEB");
    assert_eq!(signer(&credentials).await, "ASIAWEB");
    assert_eq!(network.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_web_identity_is_not_replaced_by_another_identity() {
    let path = file("the-web-token");
    let network = Network::new(|_| {
        status(403, r#"{"Error":{"Code":"AccessDenied","Message":"the-web-token"}}"#)
    })
    .with("AWS_WEB_IDENTITY_TOKEN_FILE", path.path().to_str().unwrap())
    .with("AWS_ROLE_ARN", "arn:aws:iam::1:role/r");
    let error = signed(&chain(&network)).await.unwrap_err();
    assert!(!error.is_transient());
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("AccessDenied") && shown.contains("trust policy"), "{shown}");
    assert!(!shown.contains("the-web-token"), "{shown}");
    assert_eq!(network.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_container_asks_its_agent_with_its_token() {
    let path = file("pod-token\n");
    let network = Network::new(|request| {
        assert_eq!(request.uri(), "http://169.254.170.23/v1/credentials");
        assert_eq!(request.headers()[AUTHORIZATION], "pod-token");
        assert!(request.headers()[AUTHORIZATION].is_sensitive());
        answer(KEYS)
    })
    .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials")
    .with("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path.path().to_str().unwrap());
    assert_eq!(signer(&chain(&network)).await, "ASIAROLE");
    let network = Network::new(|request| {
        assert_eq!(request.uri(), "http://169.254.170.2/v2/x");
        answer(KEYS)
    })
    .with("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x");
    assert_eq!(signer(&chain(&network)).await, "ASIAROLE");
}

#[tokio::test(start_paused = true)]
async fn a_containers_token_is_not_sent_to_strangers() {
    for address in ["http://evil.example/", "http://169.254.170.2.evil.example/", "nonsense"] {
        let network = Network::silent()
            .with("AWS_CONTAINER_CREDENTIALS_FULL_URI", address)
            .with("AWS_CONTAINER_AUTHORIZATION_TOKEN", "t");
        let error = message(&chain(&network)).await;
        assert!(error.contains("169.254.170.23"), "{error}");
        assert!(network.asked().is_empty());
    }
}

/// An instance with a role.
fn instance() -> Network {
    Network::new(|request| match (request.method().as_str(), request.uri().path()) {
        ("PUT", "/latest/api/token") => {
            assert_eq!(request.headers()["x-aws-ec2-metadata-token-ttl-seconds"], "60");
            answer("session")
        }
        ("GET", path) => {
            assert_eq!(request.headers()["x-aws-ec2-metadata-token"], "session");
            match path {
                "/latest/meta-data/iam/security-credentials/" => answer("my-role\n"),
                "/latest/meta-data/iam/security-credentials/my-role" => answer(KEYS),
                _ => status(404, ""),
            }
        }
        _ => status(405, ""),
    })
}

#[tokio::test(start_paused = true)]
async fn an_instance_gives_its_roles_keys_and_the_next_ones_in_time() {
    let network = instance();
    let credentials = chain(&network);
    assert_eq!(signer(&credentials).await, "ASIAROLE");
    assert_eq!(network.asked().len(), 3);
    // 54 of 60 minutes: still good. 56: the next keys are fetched beside the request.
    tokio::time::sleep(Duration::from_secs(54 * 60)).await;
    assert_eq!(signer(&credentials).await, "ASIAROLE");
    assert_eq!(network.asked().len(), 3);
    tokio::time::sleep(Duration::from_secs(2 * 60)).await;
    assert_eq!(signer(&credentials).await, "ASIAROLE");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(network.asked().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_set_up_the_error_says_what_was_tried() {
    let network = Network::hanging();
    let before = tokio::time::Instant::now();
    let error = message(&chain(&network)).await;
    assert!(before.elapsed() < Duration::from_secs(3), "one metadata timeout");
    for part in ["AWS_ACCESS_KEY_ID", "169.254.169.254", "AWS_PROFILE", "within 2000 ms"] {
        assert!(error.contains(part), "{error}");
    }
    let network = Network::silent().with("AWS_EC2_METADATA_DISABLED", "true");
    let error = message(&chain(&network)).await;
    assert!(error.contains("AWS_EC2_METADATA_DISABLED is set"), "{error}");
    assert!(network.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_clouds_metadata_service_is_no_instance_and_a_broken_one_is_an_error() {
    let error = signed(&chain(&Network::new(|_| status(405, "")))).await.unwrap_err();
    assert!(matches!(error, CredentialError::NotFound { .. }), "{error}");
    let error = signed(&chain(&Network::new(|_| status(503, "")))).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_region_cannot_lead_the_web_token_elsewhere() {
    let path = file("the-web-token");
    let network = Network::silent()
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", path.path().to_str().unwrap())
        .with("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")
        .with("AWS_REGION", "evil.example/");
    let error = message(&chain(&network)).await;
    assert!(error.contains("region \"evil.example/\"") && error.contains("AWS_REGION"), "{error}");
    assert!(network.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_instance_without_a_role_is_told_so() {
    let network = Network::new(|request| match request.method().as_str() {
        "PUT" => answer("session"),
        _ => status(404, ""),
    });
    let error = message(&chain(&network)).await;
    assert!(error.contains("404") && error.contains("role is attached"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_signature_is_of_the_clock_handed_in() {
    let network = instance();
    let request = signed(&chain(&network)).await.unwrap();
    let date = request.headers()["x-amz-date"].to_str().unwrap();
    assert_eq!(date, "20261122T173005Z");
    let past = network.surroundings().with_clock(|| SystemTime::UNIX_EPOCH);
    let source = AwsSource::Chain { profile: None };
    let request = signed(&AwsCredentials::new(source, past)).await.unwrap();
    assert_eq!(request.headers()["x-amz-date"], "19700101T000000Z");
}
