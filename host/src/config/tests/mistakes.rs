//! Every kind of mistake: the exact words, and the right line.

use proptest::prelude::*;

use super::*;

/// `line: key: message` of each problem.
fn problems(text: &str) -> Vec<String> {
    let problems = load_text(text).err().unwrap_or_else(|| Problems(Vec::new()));
    problems.0.iter().map(without_file).collect()
}

/// Text, and the one problem it has.
pub(super) fn assert_each(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(problems(text), [*expected], "{text}");
    }
}

#[test]
fn all_problems_are_listed_with_file_and_line() {
    let directory = written(
        "[server]\nlisten = \"here\"\nprot = 1\n\n[providers.mistrall]\n[providers.openai]\ncredential \
         = \"foo\"\n[models.m]\nendpoints = [\"opnai/a\", \"sim\"]\n",
    );
    let path = directory.path().join("torana.toml");
    let text = load_file(&path).unwrap_err().to_string();
    let text = text.replace(directory.path().to_str().unwrap(), "config");
    assert_eq!(
        text,
        r#"6 problems in the configuration
config/torana.toml:2: server.listen: found "here"; expected an IP address and port, such as "127.0.0.1:3000"
config/torana.toml:3: server.prot: unknown key; known: answer_limit_mib, auth, body_limit_mib, body_timeout_ms, drain_timeout_ms, header_timeout_ms, json_max_depth, json_max_values, keep_alive_comment_ms, listen, max_connections, on_disconnect, trace_headers, unsupported_params
config/torana.toml:5: providers.mistrall: "mistrall" is not the name of a preset (did you mean "mistral"?); expected preset or plugin to say what it is
config/torana.toml:7: providers.openai.credential: found "foo"; expected "env:NAME" or "file:PATH"; for AWS and Google also "ambient"
config/torana.toml:9: models.m.endpoints[0]: no provider "opnai"; did you mean "openai"?
config/torana.toml:9: models.m.endpoints[1]: found "sim"; expected "provider/model" or a table with provider and model"#
    );
}

#[test]
fn a_file_that_is_no_configuration_is_one_problem() {
    assert_each(&[
        ("", "-: the configuration is empty; was it being written?"),
        ("\n \n", "-: the configuration is empty; was it being written?"),
    ]);
    let syntax = problems("[server]\nlisten = \n");
    assert_eq!(syntax.len(), 1);
    assert!(syntax[0].starts_with("2: not TOML: "), "{syntax:?}");
}

#[test]
fn values_of_the_wrong_kind_or_size() {
    assert_each(&[
        ("server = 1", "1: server: found 1; expected a table"),
        ("[[server]]\nlisten = 1", "1: server: found a list; expected a table"),
        (
            "[server]\nbody_limit_mib = 0",
            "2: server.body_limit_mib: found 0; expected an integer from 1 to 1024 MiB",
        ),
        (
            "[server]\nbody_limit_mib = \"10\"",
            "2: server.body_limit_mib: found \"10\"; expected an integer from 1 to 1024 MiB",
        ),
        (
            "[server]\nbody_limit_mib = 1.5",
            "2: server.body_limit_mib: found 1.5; expected an integer from 1 to 1024 MiB",
        ),
        (
            "[server]\nheader_timeout_ms = -1",
            "2: server.header_timeout_ms: found -1; expected an integer from 1 to 3600000 \
             milliseconds",
        ),
        (
            "[server]\non_disconnect = \"wait\"",
            "2: server.on_disconnect: found \"wait\"; expected \"cancel\" or \"drain\"",
        ),
        (
            "[admin]\nallow_remote = \"yes\"",
            "2: admin.allow_remote: found \"yes\"; expected true or false",
        ),
        ("[journal]\npath = \"\"", "2: journal.path: found \"\"; expected a path"),
        (
            "[journal]\n\nsegment_mib = 1000",
            "1: journal: max_mib is less than twice segment_mib; expected room for two segments",
        ),
        (
            "[sinks.s]\nplugin = \"sink-jsonl\"\nsettings = { a = [nan] }",
            "3: sinks.s.settings: found a table; expected a table of settings with finite \
             numbers",
        ),
    ]);
}

#[test]
fn names_and_keys_nobody_knows() {
    assert_each(&[
        ("[provider.x]", "1: provider: unknown key; did you mean \"providers\"?"),
        (
            "[providers.sim]\nbase-url = \"http://x\"",
            "2: providers.sim.base-url: unknown key; did you mean \"base_url\"?",
        ),
        (
            "[providers.\"a/b\"]",
            "1: providers.\"a/b\": not a name; expected 1 to 128 letters, digits, '-', '_' or '.'",
        ),
        (
            "[providers.sim]\n[models.\"function::x\"]\nendpoints = [\"sim/x\"]",
            "2: models.\"function::x\": not a name for a model; \"function::\" is how clients \
             name a function",
        ),
        (
            "[providers.sim]\npreset = \"olama\"",
            "2: providers.sim.preset: no preset \"olama\"; did you mean \"ollama\"?",
        ),
        (
            "[providers.a]\nplugin = \"provider-opnai\"",
            "2: providers.a.plugin: no plugin \"provider-opnai\"; did you mean \
             \"provider-openai\"?",
        ),
        (
            "[providers.a]\nplugin = \"router-priority\"",
            "2: providers.a.plugin: \"router-priority\" is not a provider; expected a plugin that \
             is one",
        ),
        (
            "default_router = \"weigthed\"",
            "1: default_router: no router \"weigthed\"; did you mean \"weighted\"?",
        ),
        (
            "[providers.sim]\n[models.m]\nendpoints = [\"sim/x\"]\nrouter = \"fastest\"",
            "4: models.m.router: no router \"fastest\"; known: adaptive, balanced, latency, priority, weighted",
        ),
        ("query_sink = \"store\"", "1: query_sink: no sink \"store\"; there is none yet"),
        (
            "[providers.sim]\n[functions.f.variants.v]\nmodel = \"smal\"\n[models.small]\n\
             endpoints = [\"sim/x\"]",
            "3: functions.f.variants.v.model: no model \"smal\" and no such provider; did you \
             mean \"small\"?",
        ),
    ]);
}

#[test]
fn what_is_missing() {
    assert_each(&[
        ("[keys.a]", "1: keys.a: no secret; expected secret = \"env:NAME\" or \"file:PATH\""),
        ("[sinks.s]", "1: sinks.s.plugin: missing; expected the name of a plugin"),
        (
            "[models.m]",
            "1: models.m.endpoints: missing; expected a list of \"provider/model\" or a table \
             with provider and model",
        ),
        (
            "[models.m]\nendpoints = []",
            "2: models.m.endpoints: found an empty list; expected a list of \"provider/model\" or \
             a table with provider and model",
        ),
        (
            "[providers.sim]\n[models.m]\nendpoints = [{ provider = \"sim\" }]",
            "3: models.m.endpoints[0].model: missing; expected the provider's name of a model",
        ),
        (
            "[providers.sim]\n[models.m]\nendpoints = [\n  { provider = \"sim\", model = \"x\",\n \
             price = { input = 1 } }]",
            "5: models.m.endpoints[0].price.output: missing; expected a number from 0 to 100000",
        ),
        ("[functions.f]", "1: functions.f: no variants; expected [functions.f.variants.NAME]"),
        (
            "[providers.x]\npreset = \"openai-compatible\"",
            "1: providers.x: no base_url; expected one, such as \"http://127.0.0.1:8000/v1\"",
        ),
    ]);
}

#[test]
fn what_contradicts_itself() {
    assert_each(&[
        (
            "[server]\nauth = \"keys\"",
            "2: server.auth: \"keys\" without any key; expected a [keys.NAME] table, or nobody \
             can call",
        ),
        (
            "[keys.a]\nsecret = \"env:KEY_A\"\n[keys.b]\nsecret = \"env:KEY_A\"",
            "4: keys.b.secret: the same secret as keys.a; expected one of its own",
        ),
        (
            "[providers.sim]\n[models.m]\nendpoints = [\"sim/x\",\n\"sim/x\"]",
            "4: models.m.endpoints[1]: sim/x is already an endpoint of this model",
        ),
        (
            "[providers.sim]\n[models.m]\nendpoints = [{ provider = \"sim\", model = \"x\", \
             weight = 0 }]",
            "2: models.m: every endpoint has weight 0; expected one that may be called",
        ),
    ]);
}

#[test]
fn what_would_expose_the_gateway() {
    assert_each(&[
        (
            "[server]\nlisten = \"0.0.0.0:3000\"",
            "2: server.listen: 0.0.0.0:3000 can be reached from elsewhere and no key is \
             configured; expected a [keys.NAME] table, a loopback address, or auth = \"none\"",
        ),
        (
            "[admin]\nlisten = \"[::]:3001\"",
            "2: admin.listen: [::]:3001 can be reached from elsewhere, and whoever reaches it \
             controls the gateway; expected a loopback address, or allow_remote = true",
        ),
    ]);
    let open = config(
        "[server]\nlisten = \"0.0.0.0:1\"\nauth = \"none\"\n[admin]\nlisten = \
                       \"0.0.0.0:2\"\nallow_remote = true\n",
    );
    assert_eq!(open.server.auth, Auth::None);
    let unused = config("[server]\nauth = \"none\"\n[keys.a]\nsecret = \"env:KEY_A\"\n");
    assert_eq!(
        notices(&unused),
        ["2: server.auth: \"none\": anybody may call, and [keys] are not asked for"]
    );
}

#[test]
fn secrets_that_are_not_there_and_secrets_that_should_not_be() {
    assert_each(&[
        (
            "[keys.a]\nsecret = \"env:NOT_SET\"",
            "2: keys.a.secret: the environment variable NOT_SET is not set",
        ),
        ("[keys.a]\nsecret = \"env:EMPTY\"", "2: keys.a.secret: env:EMPTY is empty"),
        (
            "[providers.openai]\ncredential = \"env:OPENAI_API_KEY\"",
            "2: providers.openai.credential: the environment variable OPENAI_API_KEY is not set",
        ),
        (
            "[providers.openai]\ncredential = \"sk-proj-1234567890\"",
            "2: providers.openai.credential: found \"sk-\"…; expected \"env:NAME\" or \
             \"file:PATH\"; for AWS and Google also \"ambient\"",
        ),
        (
            "[providers.ollama]\nheaders = { Authorization = \"Bearer sk-1\" }",
            "2: providers.ollama.headers.Authorization: not a header to add; a credential goes \
             into credential, and the rest is set by the gateway",
        ),
        (
            "[providers.ollama]\nbase_url = \"http://user:pass@host\"",
            "2: providers.ollama.base_url: found a URL with a user; a user or password in a URL \
             is not sent; use credential",
        ),
    ]);
    let plain = config(
        "[providers.vllm]\nbase_url = \"http://gpu:8000/v1\"\ncredential = \
                        \"env:KEY_A\"\n",
    );
    assert_eq!(
        notices(&plain),
        ["3: providers.vllm.credential: is sent to http://gpu:8000/v1 unencrypted"]
    );
}

#[test]
fn addresses_and_headers_that_cannot_be_used() {
    assert_each(&[
        (
            "[providers.ollama]\nbase_url = \"localhost:11434\"",
            "2: providers.ollama.base_url: found \"localhost:11434\"; expected a URL that starts \
             with http:// or https://",
        ),
        (
            "[providers.ollama]\nheaders = { \"a b\" = \"x\" }",
            "2: providers.ollama.headers.\"a b\": not the name of a header",
        ),
        (
            "[providers.ollama]\nheaders = { a = \"x\\ny\" }",
            "2: providers.ollama.headers.a: not a value for a header; expected visible ASCII \
             characters",
        ),
        (
            "[plugins.sink-jsonl]\ngrants = { http = [\"https://h/path\"] }",
            "2: plugins.sink-jsonl.grants.http[0]: found \"https://h/path\"; expected an origin: \
             scheme, host and port without a path",
        ),
    ]);
}

#[test]
fn plugins_that_are_not_there() {
    assert_each(&[
        (
            "[plugins.p]\nsource = \"oci://ghcr.io/x/y:1\"",
            "2: plugins.p.source: oci:// is not supported yet; fetch the component and write \
             \"file:PATH\"",
        ),
        (
            "[plugins.p]\nsource = \"sink-jsonI\"",
            "2: plugins.p.source: found \"sink-jsonI\"; expected \"file:PATH\" or the name of a \
             bundled plugin; did you mean \"sink-jsonl\"?",
        ),
        (
            "[plugins.sink-jsnol]",
            "1: plugins.sink-jsnol: \"sink-jsnol\" is not a bundled plugin (did you mean \
             \"sink-jsonl\"?); expected source = \"file:PATH\"",
        ),
        (
            // The sink that uses it is not to blame.
            "[sinks.s]\nplugin = \"p\"\n[plugins.p]\nsource = \"file:/nowhere/p.wasm\"",
            "4: plugins.p.source: there is no file /nowhere/p.wasm",
        ),
    ]);
}

#[test]
fn files_that_a_key_names_and_that_are_not_there() {
    let found = problems(
        "[providers.sim]\n[functions.f.variants.v]\nmodel = \"sim/x\"\nsystem = \"/nowhere\"",
    );
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with(
            "4: functions.f.variants.v.system: the template /nowhere: cannot be read: "
        ),
        "{found:?}"
    );
    let found = problems("[keys.a]\nsecret = \"file:/nowhere\"");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("2: keys.a.secret: cannot read /nowhere: "), "{found:?}");
}

#[test]
fn two_files_that_write_the_same_table_are_both_named() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("1.toml"), "\n[providers.sim]\n").unwrap();
    std::fs::write(at("2.toml"), "[providers.sim]\n").unwrap();
    let problems = load_file(&at("*.toml")).unwrap_err();
    assert_eq!(
        problems.to_string(),
        format!(
            "1 problem in the configuration\n{}:1: providers.sim: already written at {}:2; \
             expected in one file only",
            at("2.toml").display(),
            at("1.toml").display()
        )
    );
}

#[test]
fn a_large_file_of_garbage_is_answered_quickly_and_briefly() {
    let garbage: String = (0..10_000).map(|line| format!("\u{1}{line} = = [[ \"\n")).collect();
    assert_eq!(problems(&garbage).len(), 1);
    let unknown: String = (0..10_000).map(|line| format!("key-{line} = {line}\n")).collect();
    let text = load_text(&unknown).unwrap_err().to_string();
    assert!(text.lines().count() < 300, "{}", text.lines().count());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_makes_it_panic(text in "([a-z_.]{0,12}( = |\\[|\\]|\"|\\n|\\{|\\}|#|[0-9.-]{1,4}|ü){0,4}){0,20}") {
        let _ = load_text(&text);
    }
}
