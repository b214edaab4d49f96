//! Credentials that the gateway makes itself: AWS signatures and Google access tokens. What
//! reaches the provider proves who asks, what is missing is said in words that help, and no
//! secret is anywhere else.
//!
//! Sources: "Create a signed AWS API request" of the IAM user guide; "Using OAuth 2.0 for
//! server to server applications" of Google's documentation. Both proofs are checked here as
//! the provider checks them, from the bytes that it got.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use ring::{digest, hmac};
use serde_json::{Value, json};
use torana_tests::client::{Reply, Request};
use torana_tests::dialects::Dialect;
use torana_tests::eventually::eventually;
use torana_tests::gateway::{Config, Folder, Gateway};
use torana_tests::openai::TEXT;
use torana_tests::provider::{Asked, Provider, refusing_port};
use torana_tests::script::Script;
use torana_tests::{anthropic, bedrock, gemini, openai, repository};

use crate::setup::SINK;

const KEY_ID: &str = "AKIASCRIPTED00000001";
const SECRET_KEY: &str = "scripted/secret+access-key/0123456789abc";
const SESSION_TOKEN: &str = "IQoJscriptedSessionToken//////////wEaCXVz==";
const ACCESS_TOKEN: &str = "ya29.scripted-access-token";
const EMAIL: &str = "gateway@scripted.iam.gserviceaccount.com";

/// A name that is escaped on the wire, and once more where it is signed.
const MODEL: &str = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0";

/// There is no machine to ask and no home to look into: what is found is what a test sets.
const NOWHERE: [(&str, &str); 3] =
    [("AWS_EC2_METADATA_DISABLED", "true"), ("NO_GCE_CHECK", "true"), ("HOME", "/nonexistent")];

/// The model `claude` at a Bedrock of ours.
fn bedrock_tables(provider: &Provider, credential: &str) -> String {
    format!(
        "[providers.aws]\npreset = \"bedrock\"\nbase_url = \"http://{}\"\n{credential}\n\
         settings = {{ region = \"eu-central-1\" }}\n\
         [models.claude]\nrouter = \"priority\"\nendpoints = [\"aws/{MODEL}\"]\n{SINK}",
        provider.address()
    )
}

/// The models `gemini` and `claude` at a Vertex AI of ours.
fn vertex_tables(provider: &Provider, credential: &str) -> String {
    let place = "v1/projects/scripted/locations/europe-west4";
    let mut tables = SINK.to_owned();
    for (name, preset, model) in
        [("gemini", "vertex-gemini", "gemini-2.5-pro"), ("claude", "vertex-anthropic", "claude-x")]
    {
        tables.push_str(&format!(
            "[providers.{name}]\npreset = \"{preset}\"\n{credential}\n\
             base_url = \"http://{}/{place}\"\n\
             [models.{name}]\nendpoints = [\"{name}/{model}\"]\n",
            provider.address()
        ));
    }
    tables
}

fn converse(asked: &Asked) -> Script {
    let usage = json!({ "inputTokens": 11, "outputTokens": 7, "totalTokens": 18 });
    bedrock::respond(asked, &bedrock::answer(&[json!({ "text": TEXT })], "end_turn", &usage))
}

fn vertex(asked: &Asked) -> Script {
    if asked.path.contains("awPredict") {
        return anthropic::respond(asked, &[anthropic::text(TEXT)]);
    }
    let usage = json!({ "promptTokenCount": 11, "candidatesTokenCount": 7 });
    gemini::respond(asked, &gemini::answer(&[json!({ "text": TEXT })], "STOP", &usage))
}

fn keys_file(id: &str, session: Option<&str>) -> String {
    let mut keys = json!({ "Version": 1, "AccessKeyId": id, "SecretAccessKey": SECRET_KEY });
    if let Some(session) = session {
        keys["SessionToken"] = json!(session);
    }
    keys.to_string()
}

fn environment<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    NOWHERE.iter().chain(more).copied().collect()
}

/// Asks whole and streamed; both have to answer.
#[track_caller]
fn ask(gateway: &Gateway, model: &str) {
    for body in [Dialect::Chat.body(model), Dialect::Chat.streaming(model)] {
        let reply = openai::completion(&body).stream(gateway.address()).into_reply().unwrap();
        let reply = reply.expect(200);
        let begin: String = TEXT.chars().take(5).collect();
        assert!(reply.text().contains(&begin), "{reply}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Checks a request as AWS does.
#[track_caller]
fn expect_signed(asked: &Asked, id: &str) {
    let header = |name: &str| {
        let value = asked.header(name);
        value.unwrap_or_else(|| panic!("no {name}: {asked:?}")).to_owned()
    };
    let authorization = header("authorization");
    let field = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}=")).unwrap();
        rest.split(',').next().unwrap().to_owned()
    };
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential="), "{authorization}");
    let date = header("x-amz-date");
    let scope = format!("{}/eu-central-1/bedrock/aws4_request", &date[..8]);
    assert_eq!(field("Credential"), format!("{id}/{scope}"));

    let names = field("SignedHeaders");
    for name in ["host", "x-amz-date", "content-type"] {
        assert!(names.split(';').any(|it| it == name), "{name} is not signed: {names}");
    }
    let lines: String = names.split(';').map(|it| format!("{it}:{}\n", header(it))).collect();
    // Services other than S3 escape the path once more.
    let path = asked.path.replace('%', "%25");
    let body = sha256(&asked.body);
    let canonical = format!("{}\n{path}\n\n{lines}\n{names}\n{body}", asked.method);
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let mut key = format!("AWS4{SECRET_KEY}").into_bytes();
    for part in scope.split('/').chain([to_sign.as_str()]) {
        let with = hmac::Key::new(hmac::HMAC_SHA256, &key);
        key = hmac::sign(&with, part.as_bytes()).as_ref().to_vec();
    }
    assert_eq!(field("Signature"), hex(&key), "of {canonical}");
}

#[test]
fn requests_to_aws_are_signed_with_the_keys_of_a_file() {
    let provider = Provider::start(converse);
    let config = Config::new(bedrock_tables(&provider, "credential = \"file:aws.json\""));
    let own = json!({ "access_key_id": KEY_ID, "secret_access_key": SECRET_KEY }).to_string();
    for (file, session) in [
        (keys_file(KEY_ID, None), None),
        (keys_file(KEY_ID, Some(SESSION_TOKEN)), Some(SESSION_TOKEN)),
        (own, None),
    ] {
        provider.forget();
        let folder = Folder::with_files(&config, &[("aws.json", &file)]);
        let gateway = Gateway::start_in(folder, &environment(&[]));
        ask(&gateway, "claude");
        let asked = provider.asked();
        let escaped = MODEL.replace(':', "%3A");
        let paths: Vec<&str> = asked.iter().map(|it| it.path.as_str()).collect();
        let under = format!("/model/{escaped}");
        assert_eq!(paths, [format!("{under}/converse"), format!("{under}/converse-stream")]);
        for asked in &asked {
            assert_eq!(asked.header("x-amz-security-token"), session);
            expect_signed(asked, KEY_ID);
        }
    }
}

#[test]
fn new_keys_in_the_file_are_used_without_a_restart() {
    let provider = Provider::start(converse);
    let config = Config::new(bedrock_tables(&provider, "credential = \"file:aws.json\""));
    let folder = Folder::with_files(&config, &[("aws.json", &keys_file(KEY_ID, None))]);
    let gateway = Gateway::start_in(folder, &environment(&[]));
    ask(&gateway, "claude");
    let generation = gateway.generation();
    gateway.folder.put("aws.json", keys_file("AKIASCRIPTED00000002", None).as_bytes());
    gateway.later_than(generation);
    provider.forget();
    ask(&gateway, "claude");
    for asked in provider.asked() {
        expect_signed(&asked, "AKIASCRIPTED00000002");
    }
}

#[test]
fn ambient_keys_of_aws_come_from_the_environment() {
    let provider = Provider::start(converse);
    let config = Config::new(bedrock_tables(&provider, "credential = \"ambient\""));
    let keys = [
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_SESSION_TOKEN", SESSION_TOKEN),
    ];
    let gateway = Gateway::start_in(Folder::new(&config), &environment(&keys));
    ask(&gateway, "claude");
    for asked in provider.asked() {
        assert_eq!(asked.header("x-amz-security-token"), Some(SESSION_TOKEN));
        expect_signed(&asked, KEY_ID);
    }
}

#[test]
fn ambient_keys_of_aws_come_from_a_profile() {
    let provider = Provider::start(converse);
    let config = Config::new(bedrock_tables(&provider, "credential = \"ambient\""));
    let profile = format!(
        "[default]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = other\n\
         [work]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET_KEY}\n"
    );
    let folder = Folder::with_files(&config, &[("profiles", &profile)]);
    let path = folder.path("profiles").display().to_string();
    let named = [("AWS_SHARED_CREDENTIALS_FILE", path.as_str()), ("AWS_PROFILE", "work")];
    let gateway = Gateway::start_in(folder, &environment(&named));
    ask(&gateway, "claude");
    for asked in provider.asked() {
        expect_signed(&asked, KEY_ID);
    }
}

#[test]
fn ambient_identity_of_a_preset_is_not_given_to_another_host() {
    let provider = Provider::start(converse);
    let config = Config::new(bedrock_tables(&provider, ""));
    let keys = [("AWS_ACCESS_KEY_ID", KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
    let gateway = Gateway::start_in(Folder::new(&config), &environment(&keys));
    gateway.chat(&Dialect::Chat.body("claude"));
    for asked in provider.asked() {
        assert_eq!(asked.header("authorization"), None, "{asked:?}");
        assert!(!format!("{asked:?}").contains(KEY_ID), "{asked:?}");
    }
    assert!(gateway.log().contains("not sent to another host"), "{}", gateway.log());
}

/// What a request fails with, and that it reached nobody.
#[track_caller]
fn refused(gateway: &Gateway, model: &str, provider: &Provider) -> (Reply, String) {
    let reply = gateway.chat(&Dialect::Chat.body(model)).expect(502);
    assert_eq!(reply.error("code"), "no_credential", "{reply}");
    assert!(provider.asked().is_empty(), "nothing goes out without a credential");
    let row = gateway.inference(reply.only_header("x-torana-inference-id"));
    assert_eq!(row["error"]["code"], "no_credential", "{row:#}");
    let message = reply.message();
    assert_eq!(row["error"]["message"], message.as_str(), "{row:#}");
    (reply, message)
}

#[test]
fn missing_keys_of_aws_are_an_error_that_says_where_they_were_looked_for() {
    let provider = Provider::start(converse);
    let config = Config::new(bedrock_tables(&provider, "credential = \"ambient\""));
    let gateway = Gateway::start_in(Folder::new(&config), &environment(&[]));
    let (_, message) = refused(&gateway, "claude", &provider);
    for place in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_PROFILE",
        "profile",
    ] {
        assert!(message.contains(place), "nothing of {place}: {message}");
    }
}

#[test]
fn machine_that_does_not_answer_is_named_and_not_waited_for() {
    let provider = Provider::start(converse);
    let config = Config::new(bedrock_tables(&provider, "credential = \"ambient\""));
    let service = format!("http://127.0.0.1:{}", refusing_port());
    let more = [
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.as_str()),
    ];
    let gateway = Gateway::start_in(Folder::new(&config), &environment(&more));
    let (_, message) = refused(&gateway, "claude", &provider);
    assert!(message.contains(&service), "{message}");
}

#[test]
fn half_of_a_pair_of_keys_is_told_by_its_name() {
    let provider = Provider::start(converse);
    let config = Config::new(bedrock_tables(&provider, "credential = \"ambient\""));
    let more = [("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
    let gateway = Gateway::start_in(Folder::new(&config), &environment(&more));
    let (_, message) = refused(&gateway, "claude", &provider);
    assert!(message.contains("AWS_ACCESS_KEY_ID"), "{message}");
    expect_no_secrets(&gateway, &[&message], &[SECRET_KEY]);
}

#[test]
fn endpoint_without_a_credential_is_passed_over_for_the_next() {
    let provider = Provider::start(converse);
    let tables = bedrock_tables(&provider, "credential = \"ambient\"")
        .replace(&format!("\"aws/{MODEL}\""), &format!("\"aws/{MODEL}\", \"sim/demo\""));
    let config = Config::new(tables).and("[providers.sim]");
    let gateway = Gateway::start_in(Folder::new(&config), &environment(&[]));
    let reply = gateway.chat(&Dialect::Chat.body("claude")).expect(200);
    assert_eq!(reply.only_header("x-torana-endpoint"), "sim/demo");
    assert_eq!(reply.only_header("x-torana-attempts"), "2");
    let row = gateway.inference(reply.only_header("x-torana-inference-id"));
    assert_eq!(row["model_inferences"][0]["error"]["code"], "no_credential", "{row:#}");
}

#[test]
fn credential_that_is_none_is_found_before_anything_is_asked() {
    let provider = Provider::start(converse);
    let token = Provider::start(|_| Script::json(200, &json!({})));
    let aws = bedrock_tables(&provider, "credential = \"file:credential.json\"");
    let google = vertex_tables(&provider, "credential = \"file:credential.json\"");
    let broken_key = service_account(&token).replace("MIIEvQIB", "MIIEvQXX");
    let cases = [
        (&aws, format!("{{\"SecretAccessKey\":\"{SECRET_KEY}\"}}"), "AccessKeyId"),
        (&aws, format!("{KEY_ID}:{SECRET_KEY}"), "AccessKeyId"),
        (&google, service_account(&token).replace("service_account", "gdch"), "gdch"),
        (&google, broken_key, "private_key"),
        (&google, service_account(&token).replace("127.0.0.1", "evil.example"), "https://"),
        (&google, format!("not JSON: {SECRET_KEY}"), "JSON"),
    ];
    for (tables, file, told) in cases {
        let config = Config::new(tables.clone());
        let folder = Folder::with_files(&config, &[("credential.json", &file)]);
        let (content, said) = folder.check();
        assert!(!content, "{file} was taken:\n{said}");
        assert!(said.contains(told), "nothing of {told}:\n{said}");
        for secret in [SECRET_KEY].into_iter().chain(key_lines().iter().map(String::as_str)) {
            assert!(!said.contains(secret), "a secret is told:\n{said}");
        }
    }
    let (content, said) = Folder::new(&Config::new(aws)).check();
    assert!(!content && said.contains("credential.json"), "a file that is not there:\n{said}");
    assert!(token.asked().is_empty() && provider.asked().is_empty());
}

/// The JSON key of a service account whose tokens come from `token`.
fn service_account(token: &Provider) -> String {
    json!({
        "type": "service_account", "project_id": "scripted", "private_key_id": "key-1",
        "private_key": private_key(), "client_email": EMAIL, "client_id": "1",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": format!("http://{}/token", token.address()),
    })
    .to_string()
}

/// A key of the gateway's own tests. It opens nothing.
fn private_key() -> String {
    let path = "host/src/upstream/credential/google/test_key.pem";
    std::fs::read_to_string(repository().join(path)).unwrap()
}

/// Its secret lines.
fn key_lines() -> Vec<String> {
    private_key().lines().filter(|line| !line.starts_with("-----")).map(str::to_owned).collect()
}

/// Gives tokens that are good for so many seconds, each another.
fn tokens(seconds: u64) -> Provider {
    let count = std::sync::atomic::AtomicUsize::new(0);
    Provider::start(move |_| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let token = format!("{ACCESS_TOKEN}-{number}");
        let answer =
            json!({ "access_token": token, "expires_in": seconds, "token_type": "Bearer" });
        Script::json(200, &answer)
    })
}

/// Checks a question for a token as Google does, and gives its claims.
#[track_caller]
fn expect_assertion(asked: &Asked) -> Value {
    let form = asked.text();
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/token"));
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer";
    assert!(form.split('&').any(|pair| pair == grant), "{form}");
    let (_, assertion) = form.split_once("assertion=").unwrap();
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();

    let pem: String = key_lines().concat();
    let key = RsaKeyPair::from_pkcs8(&STANDARD.decode(pem).unwrap()).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key());
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert!(public.verify(signed.as_bytes(), &signature).is_ok(), "not the key's signature");

    let read = |part: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    assert_eq!(read(header), json!({ "alg": "RS256", "typ": "JWT", "kid": "key-1" }));
    read(claims)
}

#[test]
fn requests_to_vertex_carry_a_token_for_the_service_account() {
    let (provider, token) = (Provider::start(vertex), tokens(3600));
    let config = Config::new(vertex_tables(&provider, "credential = \"file:google.json\""));
    let folder = Folder::with_files(&config, &[("google.json", &service_account(&token))]);
    let gateway = Gateway::start_in(folder, &environment(&[]));
    for _ in 0..2 {
        ask(&gateway, "gemini");
        ask(&gateway, "claude");
    }
    let place = "/v1/projects/scripted/locations/europe-west4/publishers";
    let paths = [
        format!("{place}/google/models/gemini-2.5-pro:generateContent"),
        format!("{place}/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse"),
        format!("{place}/anthropic/models/claude-x:rawPredict"),
        format!("{place}/anthropic/models/claude-x:streamRawPredict"),
    ];
    let asked = provider.asked();
    let found: Vec<&str> = asked.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(found, [&paths[..], &paths[..]].concat());
    for (asked, number) in asked.iter().zip([0, 0, 1, 1, 0, 0, 1, 1]) {
        let expected = format!("Bearer {ACCESS_TOKEN}-{number}");
        assert_eq!(asked.header("authorization"), Some(expected.as_str()), "{asked:?}");
        if asked.path.contains("anthropic") {
            let body = asked.json();
            assert_eq!(body["anthropic_version"], "vertex-2023-10-16", "{body:#}");
            assert_eq!(body.get("model"), None, "it is in the path: {body:#}");
        }
    }
    assert_eq!(token.asked().len(), 2, "a token is kept: one fetch for each provider");
    for asked in token.asked() {
        let claims = expect_assertion(&asked);
        assert_eq!(claims["iss"], EMAIL);
        assert_eq!(claims["aud"], format!("http://{}/token", token.address()).as_str());
        assert_eq!(claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
        let seconds = |name: &str| claims[name].as_u64().unwrap();
        assert_eq!(seconds("exp") - seconds("iat"), 3600, "{claims:#}");
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        assert!(now.abs_diff(seconds("iat")) < 120, "{claims:#}");
    }
}

#[test]
fn body_of_anthropics_own_dialect_is_forwarded_to_vertex_with_a_token() {
    let (provider, token) = (Provider::start(vertex), tokens(3600));
    let config = Config::new(vertex_tables(&provider, "credential = \"file:google.json\""));
    let folder = Folder::with_files(&config, &[("google.json", &service_account(&token))]);
    let gateway = Gateway::start_in(folder, &environment(&[]));
    let mut body = Dialect::Messages.body("claude");
    body["x_unknown"] = json!("kept");
    let request = Dialect::Messages.request(&body).header("x-api-key", "sk-client");
    let reply = gateway.send(&request).expect(200);
    assert_eq!(Dialect::Messages.said(&reply).text, TEXT);
    let asked = provider.only_asked();
    assert_eq!(asked.header("authorization"), Some(&*format!("Bearer {ACCESS_TOKEN}-0")));
    assert_eq!(asked.header("x-api-key"), None, "the client's own proof stays here");
    let body = asked.json();
    assert_eq!(body["x_unknown"], "kept", "it is the client's own body: {body:#}");
    assert_eq!(body["anthropic_version"], "vertex-2023-10-16", "{body:#}");
}

#[test]
fn token_that_has_expired_is_never_sent() {
    let (provider, token) = (Provider::start(vertex), tokens(0));
    let config = Config::new(vertex_tables(&provider, "credential = \"file:google.json\""));
    let folder = Folder::with_files(&config, &[("google.json", &service_account(&token))]);
    let gateway = Gateway::start_in(folder, &environment(&[]));
    for _ in 0..3 {
        gateway.chat(&Dialect::Chat.body("gemini")).expect(200);
    }
    let sent: Vec<String> =
        provider.asked().iter().map(|it| it.header("authorization").unwrap().to_owned()).collect();
    let mut distinct = sent.clone();
    distinct.dedup();
    assert_eq!(distinct.len(), 3, "each needs a new one: {sent:?}");
}

#[test]
fn ambient_identity_of_google_comes_from_the_file_that_the_environment_names() {
    let (provider, token) = (Provider::start(vertex), tokens(3600));
    let config = Config::new(vertex_tables(&provider, "credential = \"ambient\""));
    let folder = Folder::with_files(&config, &[("adc.json", &service_account(&token))]);
    let path = folder.path("adc.json").display().to_string();
    let named = [("GOOGLE_APPLICATION_CREDENTIALS", path.as_str())];
    let gateway = Gateway::start_in(folder, &environment(&named));
    ask(&gateway, "gemini");
    ask(&gateway, "claude");
    let expected = format!("Bearer {ACCESS_TOKEN}-0");
    for asked in provider.asked() {
        assert_eq!(asked.header("authorization"), Some(expected.as_str()));
    }
    expect_assertion(&token.only_asked());
}

#[test]
fn missing_identity_of_google_is_an_error_that_says_where_it_was_looked_for() {
    let provider = Provider::start(vertex);
    let config = Config::new(vertex_tables(&provider, "credential = \"ambient\""));
    let gateway = Gateway::start_in(Folder::new(&config), &environment(&[]));
    let (_, message) = refused(&gateway, "gemini", &provider);
    for place in [
        "GOOGLE_APPLICATION_CREDENTIALS is not set",
        "/nonexistent/.config/gcloud/application_default_credentials.json",
        "NO_GCE_CHECK",
        "gcloud auth application-default login",
    ] {
        assert!(message.contains(place), "nothing of {place}: {message}");
    }
    // A file that is named has to be there.
    let named = [("GOOGLE_APPLICATION_CREDENTIALS", "/nonexistent/key.json")];
    let gateway = Gateway::start_in(Folder::new(&config), &environment(&named));
    let (_, message) = refused(&gateway, "gemini", &provider);
    assert!(message.contains("/nonexistent/key.json"), "{message}");
    assert!(message.contains("GOOGLE_APPLICATION_CREDENTIALS"), "{message}");
}

#[test]
fn token_that_is_refused_is_told_by_its_code_alone() {
    let provider = Provider::start(vertex);
    let token = Provider::start(|asked| {
        // Some services repeat what they were sent.
        let description = format!("Invalid JWT: {}", asked.text());
        let body = json!({ "error": "invalid_grant", "error_description": description });
        Script::json(400, &body)
    });
    let config = Config::new(vertex_tables(&provider, "credential = \"file:google.json\""));
    let folder = Folder::with_files(&config, &[("google.json", &service_account(&token))]);
    let gateway = Gateway::start_in(folder, &environment(&[("RUST_LOG", "debug")]));
    let (reply, message) = refused(&gateway, "gemini", &provider);
    for told in ["invalid_grant", "400", "127.0.0.1", EMAIL] {
        assert!(message.contains(told), "nothing of {told}: {message}");
    }
    let sent = token.asked()[0].text();
    let (_, assertion) = sent.split_once("assertion=").unwrap();
    expect_no_secrets(&gateway, &[&reply.to_string()], &[assertion]);
}

/// Looks for secrets wherever the gateway says or keeps anything.
#[track_caller]
fn expect_no_secrets(gateway: &Gateway, replies: &[&str], secrets: &[&str]) {
    let rows = gateway.get("/v1/inferences?limit=1000").expect(200).text();
    let mut places = vec![
        ("the log", gateway.log()),
        ("the rows", rows),
        ("/status", gateway.admin("/status").text()),
        ("/metrics", gateway.metrics()),
        ("the models", gateway.get("/v1/models").text()),
    ];
    places.extend(replies.iter().map(|reply| ("a reply", (*reply).to_owned())));
    // All that was written, but for what the test itself put.
    let journal = std::fs::read_dir(gateway.folder.path("data/journal")).unwrap();
    let mut files: Vec<_> = journal.map(|file| file.unwrap().path()).collect();
    assert!(!files.is_empty(), "no journal to look into");
    files.push(gateway.folder.path("torana.db"));
    for file in files.iter().filter(|file| file.is_file()) {
        let bytes = std::fs::read(file).unwrap();
        places.push(("a file", String::from_utf8_lossy(&bytes).into_owned()));
    }
    // With a write-ahead log the newest rows are beside the database.
    if let Ok(bytes) = std::fs::read(gateway.folder.path("torana.db-wal")) {
        places.push(("a file", String::from_utf8_lossy(&bytes).into_owned()));
    }
    for (place, text) in &places {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret:.12}… is in {place}:\n{text:.4000}");
        }
    }
}

#[test]
fn no_secret_is_in_logs_rows_or_error_bodies() {
    let aws = Provider::start(|asked| match asked.text().contains("fail") {
        true => bedrock::error(403, "AccessDeniedException", &json!({ "message": "no access" })),
        false => converse(asked),
    });
    let google = Provider::start(|asked| match asked.text().contains("fail") {
        true => Script::json(403, &gemini::error(403, "PERMISSION_DENIED", "no access")),
        false => vertex(asked),
    });
    let token = tokens(3600);
    let aws_tables = bedrock_tables(&aws, "credential = \"file:aws.json\"")
        .replace("[models.claude]", "[models.bedrock]")
        .replace(SINK, "");
    let google_tables = vertex_tables(&google, "credential = \"file:google.json\"");
    let files = [
        ("aws.json", keys_file(KEY_ID, Some(SESSION_TOKEN))),
        ("google.json", service_account(&token)),
    ];
    let files = files.each_ref().map(|(name, text)| (*name, text.as_str()));
    let config = Config::new(google_tables).and(&aws_tables);
    let folder = Folder::with_files(&config, &files);
    let more = environment(&[("RUST_LOG", "trace")]);
    let gateway = Gateway::start_in(folder, &more);
    let mut replies = Vec::new();
    for model in ["bedrock", "gemini", "claude"] {
        ask(&gateway, model);
        let mut body = Dialect::Chat.body(model);
        body["messages"][0]["content"] = json!("fail");
        let reply = openai::completion(&body).send(gateway.address()).expect(403);
        gateway.inference(reply.only_header("x-torana-inference-id"));
        replies.push(reply.to_string());
    }
    let generation = gateway.generation();
    gateway.folder.put("aws.json", b"{\"AccessKeyId\":\"x\"}");
    eventually("a word about the broken file", || {
        gateway.log().contains("AccessKeyId").then_some(())
    });
    assert_eq!(gateway.generation(), generation, "it changed nothing");
    replies.push(gateway.reload().to_string());
    replies.push(gateway.send(&Request::get("/v1/nowhere")).to_string());

    let signature = aws.asked()[0].header("authorization").unwrap().to_owned();
    let assertion = token.asked()[0].text();
    let (_, assertion) = assertion.split_once("assertion=").unwrap();
    let mut secrets = vec![SECRET_KEY, SESSION_TOKEN, ACCESS_TOKEN, &signature, assertion];
    let lines = key_lines();
    secrets.extend(lines.iter().map(String::as_str));
    let replies: Vec<&str> = replies.iter().map(String::as_str).collect();
    assert!(google.asked()[0].header("authorization").unwrap().contains(ACCESS_TOKEN));
    expect_no_secrets(&gateway, &replies, &secrets);
}
