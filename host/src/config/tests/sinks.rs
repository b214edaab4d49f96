//! `[sinks.NAME]`: what is read, and what every kind of mistake is answered with.

use super::mistakes::assert_each;
use super::*;
use crate::journal::RowKind;

const CALLS_OUT: &str =
    "[plugins.p]\nsource = \"sink-jsonl\"\ngrants = { http = [\"settings.url\"] }\n";

/// A sink that may call its `url`, with these keys.
fn sink(keys: &str) -> String {
    format!("[sinks.s]\nplugin = \"p\"\n{keys}\n{CALLS_OUT}")
}

#[test]
fn a_sink_that_says_nothing_gets_all_there_is() {
    let config = config("[sinks.s]\nplugin = \"sink-jsonl\"\n");
    let rows = &config.sinks["s"].rows;
    assert_eq!(*rows, SinkRows { content: Content::Full, sample: 1.0, only: Only::default() });
    assert!(config.sinks["s"].headers.is_empty());
}

#[test]
fn rules_and_headers_are_as_written_and_secrets_fetched() {
    let config = config(
        &(sink(
            "settings = { url = \"http://127.0.0.1:8123/?database=x\" }\nsample = 0.25\n\
             content = \"metadata\"\n\
             only = { kinds = [\"inference\", \"plugin_event\"], keys = [\"k\"], outcomes = [\"error\"] }\n\
             headers = { X-Key = \"env:KEY_A\", x-tenant = \"literal\" }",
        ) + "[keys.k]\nsecret = \"env:KEY_B\"\n"),
    );
    let sink = &config.sinks["s"];
    assert_eq!((sink.rows.content, sink.rows.sample), (Content::Metadata, 0.25));
    let kinds = vec![RowKind::Inference, RowKind::PluginEvent];
    let words = |word: &str| Some(vec![word.to_owned()]);
    let (keys, outcomes) = (words("k"), words("error"));
    assert_eq!(sink.rows.only, Only { kinds: Some(kinds), keys, outcomes, ..Only::default() });
    let exposed: Vec<(&str, &[u8])> =
        sink.headers.iter().map(|header| (header.name.as_str(), header.value.expose())).collect();
    assert_eq!(exposed, [("x-key", &b"secret-a"[..]), ("x-tenant", b"literal")]);
    assert!(!format!("{config:?}").contains("secret-a"));
    assert_eq!(config.plugins["p"].grants.http, [HttpGrant::SettingsUrl]);
    assert_eq!(notices(&config), [""; 0]);
}

#[test]
fn a_file_with_a_secret_is_watched() {
    let directory =
        written(&sink("settings = { url = \"https://h\" }\nheaders = { X-Key = \"file:key\" }"));
    let key = directory.path().join("key");
    std::fs::write(&key, "of-a-file\n").unwrap();
    let config = load_file(&directory.path().join("torana.toml")).unwrap();
    assert_eq!(config.sinks["s"].headers[0].value.expose(), b"of-a-file");
    assert!(config.watched.contains(&key));
}

#[test]
fn what_deserves_a_word() {
    let readable = config(&sink(
        "settings = { url = \"http://ch:8123\" }\nheaders = { X-Key = \"env:KEY_A\" }",
    ));
    let expected = "4: sinks.s.headers.X-Key: is sent to http://ch:8123 unencrypted";
    assert_eq!(notices(&readable), [expected]);
    let useless =
        config("[sinks.s]\nplugin = \"sink-jsonl\"\nheaders = { X-Key = \"env:KEY_A\" }\n");
    let expected = "3: sinks.s.headers.X-Key: is sent with what the sink sends by HTTP; its plugin \
                    has no http grant";
    assert_eq!(notices(&useless), [expected]);
}

#[test]
fn headers_that_cannot_be() {
    let url = "settings = { url = \"https://h\" }\n";
    let header = |header: &str| sink(&format!("{url}headers = {{ {header} }}"));
    let cases = [
        (
            header("Host = \"x\""),
            "Host: not a header to add: it is set by the gateway or by the plugin",
        ),
        (
            header("Transfer-Encoding = \"x\""),
            "Transfer-Encoding: not a header to add: it is set by the gateway or by the plugin",
        ),
        (header("\"a b\" = \"x\""), "\"a b\": not the name of a header"),
        (header("a = \"x\\ny\""), "a: not a value for a header; expected visible ASCII characters"),
        (header("a = \"env:UNSET\""), "a: the environment variable UNSET is not set"),
        (header("a = \"env:EMPTY\""), "a: env:EMPTY is empty"),
        (header("a = \"env:s e c\""), "a: expected \"env:NAME\" or \"file:PATH\""),
        (
            header("Authorization = \"Bearer sk-1\""),
            "Authorization: a credential does not stand in a configuration; expected \"env:NAME\" \
             or \"file:PATH\", whose value is the whole header, such as \"Bearer …\"",
        ),
        (
            header("X-A = \"1\", x-a = \"2\""),
            "x-a: the same header twice; their case does not count",
        ),
    ];
    for (text, expected) in cases {
        assert_each(&[(text.as_str(), format!("4: sinks.s.headers.{expected}").as_str())]);
    }
}

#[test]
fn urls_that_cannot_be() {
    for (settings, line, expected) in [
        (
            "",
            1,
            "no url; p calls the origin of its url, expected one such as \
             \"https://clickhouse.internal:8443\"",
        ),
        (
            "settings = { url = 1 }",
            3,
            "no url; p calls the origin of its url, expected one such as \
             \"https://clickhouse.internal:8443\"",
        ),
        (
            "settings = { url = \"ch:8123\" }",
            3,
            "url: expected a URL that starts with http:// or https://",
        ),
        (
            "settings = { url = \"http://u:secret@h\" }",
            3,
            "url: a user or password in a URL is not sent; use credential",
        ),
    ] {
        let expected = format!("{line}: sinks.s.settings: {expected}");
        assert_each(&[(sink(settings).as_str(), expected.as_str())]);
    }
}

#[test]
fn rules_that_cannot_be() {
    let jsonl = |keys: &str| format!("[sinks.s]\nplugin = \"sink-jsonl\"\n{keys}\n");
    for (keys, expected) in [
        ("sample = 1.5", "sample: found 1.5; expected a number from 0 to 1"),
        ("content = \"none\"", "content: found \"none\"; expected \"full\" or \"metadata\""),
        (
            "only = { kinds = [] }",
            "only.kinds: found an empty list, which lets no row pass; leave it out to let all",
        ),
        ("only = { keys = [\"k\"] }", "only.keys[0]: no key \"k\"; there is none yet"),
        (
            "only = { functions = [\"f\"] }",
            "only.functions[0]: no function \"f\"; there is none yet",
        ),
        (
            "only = { outcomes = [\"lost\"] }",
            "only.outcomes[0]: found \"lost\"; expected \"ok\" or \"error\" or \"cancelled\"",
        ),
    ] {
        let expected = format!("3: sinks.s.{expected}");
        assert_each(&[(jsonl(keys).as_str(), expected.as_str())]);
    }
    assert_each(&[(
        "[sinks.a]\nplugin = \"sink-jsonl\"\nsettings = { path = \"x\" }\n\
         [sinks.b]\nplugin = \"sink-sqlite\"\nsettings = { path = \"x\" }\n",
        "6: sinks.b.settings: path is the file of sinks.a; expected one of its own",
    )]);
}
