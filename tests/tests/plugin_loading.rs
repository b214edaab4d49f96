//! A component that should not run is refused by `torana check` and by a reload, with its
//! name, the cause and the remedy; what is running goes on.

use torana_tests::gateway::{Config, Folder, Gateway, MISCONFIGURED, both};
use torana_tests::guest;
use torana_tests::openai;

use crate::setup::NEIGHBOUR;

/// A component that must not get in.
struct Unfit {
    what: &'static str,
    /// The file's bytes; absent: there is no file.
    bytes: Option<Vec<u8>>,
    /// What the configuration makes of the plugin `guest`.
    using: &'static str,
    /// Words that the refusal must have.
    words: &'static [&'static str],
}

const AS_PROVIDER: &str = "[providers.unfit]\nplugin = \"guest\"";
const AS_ROUTER: &str = "[routers.unfit]\nplugin = \"guest\"\n\
                         [models.unfit]\nrouter = \"unfit\"\nendpoints = [\"sim/demo\"]";
const GRANTED_HTTP: &str = "[plugins.guest.grants]\nhttp = [\"https://scores.internal\"]\n\
                            [providers.unfit]\nplugin = \"guest\"";
const DESCRIBE_TRAPS: &str = "[providers.unfit]\nplugin = \"guest\"\nsettings.describe = \"trap\"";
const DESCRIBE_LOOPS: &str = "[providers.unfit]\nplugin = \"guest\"\nsettings.describe = \"loop\"";
const ODD_SETTINGS: &str = "[providers.unfit]\nplugin = \"guest\"\nsettings.descripe = \"x\"";
const PREPARE_TRAPS: &str = "[routers.unfit]\nplugin = \"guest\"\nsettings.prepare = \"trap\"\n\
                             [models.unfit]\nrouter = \"unfit\"\nendpoints = [\"sim/demo\"]";

fn unfit() -> Vec<Unfit> {
    let component = |name: &str| Some(guest::component(name));
    let case = |what, bytes, using, words| Unfit { what, bytes, using, words };
    let truncated = guest::component("provider-versioned").into_iter().take(4_000).collect();
    let core_module = Some(b"\0asm\x01\0\0\0".to_vec());
    let not_a_component: &[&str] = &["not a WebAssembly component", "wasm32-wasip2"];
    vec![
        case("missing file", None, AS_PROVIDER, &["absent.wasm", "no file"]),
        case("text", Some(b"#!/bin/sh\n".to_vec()), AS_PROVIDER, not_a_component),
        case("empty file", Some(Vec::new()), AS_PROVIDER, not_a_component),
        case("core module", core_module, AS_PROVIDER, not_a_component),
        case("half a component", Some(truncated), AS_PROVIDER, not_a_component),
        case(
            "policy as provider",
            component("router-versioned"),
            AS_PROVIDER,
            &["no provider", "router"],
        ),
        case(
            "provider as policy",
            component("provider-versioned"),
            AS_ROUTER,
            &["no router", "provider"],
        ),
        case("later contract", Some(guest::from_the_future()), AS_PROVIDER, &["0.2.0", "0.1.0"]),
        case(
            "capability that is not granted",
            component("provider-with-http"),
            AS_PROVIDER,
            &["torana:host/http", "not granted", "grants"],
        ),
        case(
            "capability that a provider cannot have",
            component("provider-with-http"),
            GRANTED_HTTP,
            &["torana:host/http", "sink"],
        ),
        case("files", component("provider-with-files"), AS_PROVIDER, &["wasi:filesystem"]),
        case("sockets", component("provider-with-sockets"), AS_PROVIDER, &["wasi:sockets"]),
        case("trap in describe", component("provider-hostile"), DESCRIBE_TRAPS, &["describe"]),
        case(
            "loop in describe",
            component("provider-hostile"),
            DESCRIBE_LOOPS,
            &["describe", "CPU"],
        ),
        case(
            "settings it does not know",
            component("provider-hostile"),
            ODD_SETTINGS,
            &["descripe", "settings"],
        ),
        case("trap in prepare", component("router-hostile"), PREPARE_TRAPS, &["prepare"]),
    ]
}

impl Unfit {
    /// `name` is that of the plugin: one that was killed before is no test of the next.
    fn config(&self, name: &str) -> Config {
        let source = format!("[plugins.guest]\nsource = \"file:{}\"", self.file());
        Config::new(format!("{NEIGHBOUR}\n{source}\n{}", self.using)).replace("guest", name)
    }

    fn file(&self) -> &'static str {
        if self.bytes.is_some() { "guest.wasm" } else { "guest-absent.wasm" }
    }

    fn assert_told(&self, name: &str, told: &str) {
        assert!(told.contains(name), "{}: the plugin is not named: {told}", self.what);
        for word in self.words {
            assert!(told.contains(word), "{}: no {word:?} in: {told}", self.what);
        }
    }
}

#[test]
fn unfit_component_is_refused_by_check_and_by_reload_while_the_old_snapshot_serves() {
    let gateway = Gateway::start(&Config::new(NEIGHBOUR));
    let generation = gateway.generation();
    for (number, unfit) in unfit().into_iter().enumerate() {
        let name = format!("unfit-{number}");
        if let Some(bytes) = &unfit.bytes {
            gateway.folder.put(&format!("{name}.wasm"), bytes);
        }
        gateway.folder.configure(&unfit.config(&name));

        let (content, told) = gateway.folder.check();
        assert!(!content, "{}: check is content: {told}", unfit.what);
        unfit.assert_told(&name, &told);

        let refused = gateway.reload();
        assert_eq!(refused.status, 422, "{}: {refused}", unfit.what);
        unfit.assert_told(&name, &refused.text());
        assert_eq!(gateway.generation(), generation, "{}", unfit.what);
        let reply = gateway.chat(&openai::chat("neighbour")).expect(200);
        assert_eq!(reply.only_header("x-torana-generation"), generation.to_string());
    }
    gateway.admin("/health").expect(200);
    gateway.admin("/ready").expect(200);
}

#[test]
fn corrected_settings_are_accepted_at_once_however_often_the_plugin_was_killed_before() {
    let source = "[plugins.guest]\nsource = \"file:guest.wasm\"\n";
    let with = |using: &str| Config::new(format!("{NEIGHBOUR}{source}{using}"));
    let folder = Folder::new(&with(AS_PROVIDER));
    folder.put("guest.wasm", &guest::component("provider-hostile"));
    let gateway = Gateway::start_in(folder, &[]);
    gateway.folder.configure(&with(DESCRIBE_TRAPS));
    for _ in 0..4 {
        assert_eq!(gateway.reload().status, 422);
    }
    gateway.folder.configure(&with(AS_PROVIDER));
    gateway.reload().expect(200);
    gateway.chat(&openai::chat("unfit/behave")).expect(200);
}

#[test]
fn refused_component_is_told_with_its_place_in_the_configuration() {
    for unfit in unfit().into_iter().filter(|it| matches!(it.what, "text" | "trap in describe")) {
        let folder = Folder::new(&unfit.config("guest"));
        folder.put("guest.wasm", unfit.bytes.as_deref().unwrap());
        let (content, told) = folder.check();
        assert!(!content);
        assert!(told.contains("torana.toml:"), "{}: no place: {told}", unfit.what);
    }
}

#[test]
fn unfit_component_is_refused_at_the_start_with_the_same_words() {
    let unfit = unfit().into_iter().find(|it| it.what == "sockets").unwrap();
    let folder = Folder::new(&unfit.config("guest"));
    folder.put("guest.wasm", unfit.bytes.as_deref().unwrap());
    let output = folder.run(&["serve"]);
    assert_eq!(output.status.code(), Some(MISCONFIGURED), "{output:?}");
    unfit.assert_told("guest", &both(&output));
}

#[test]
fn component_that_fits_passes_the_check() {
    let gateway_config = Config::new(format!(
        "{NEIGHBOUR}\n[plugins.guest]\nsource = \"file:guest.wasm\"\n{AS_PROVIDER}"
    ));
    let folder = Folder::new(&gateway_config);
    folder.put("guest.wasm", &guest::component("provider-versioned"));
    let (content, told) = folder.check();
    assert!(content, "{told}");
    assert!(told.contains("ok"), "{told}");
}
