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

#[test]
fn a_database_is_named_by_a_reference_and_never_shown() {
    let postgres = |keys: &str| format!("[sinks.s]\nplugin = \"sink-postgres\"\n{keys}\n");
    let config = config(&postgres("database = \"env:DATABASE_URL\""));
    let database = config.sinks["s"].database.as_ref().unwrap();
    assert_eq!(database.address().get_user(), Some("u"));
    assert!(!format!("{config:?}").contains("secret-a"));
    assert_eq!(notices(&config), [""; 0]);
    let far = super::config(&postgres("database = \"env:FAR_DATABASE_URL\""));
    let readable = "3: sinks.s.database: password and rows may go there unencrypted; write \
                    sslmode=require into the URL";
    assert_eq!(notices(&far), [readable]);
    let sqlite = "[sinks.s]\nplugin = \"sink-sqlite\"\n";
    let unnamed = "2: sinks.s.plugin: sink-postgres keeps rows in a database, and none is named; \
                   expected settings.path for a file, or, of a server, database = \
                   \"env:DATABASE_URL\"";
    assert_each(&[
        (&postgres(""), unnamed),
        (sqlite, &unnamed.replace("sink-postgres", "sink-sqlite")),
        (
            &postgres("database = \"postgres://u:secret-a@h/x\""),
            "3: sinks.s.database: found \"pos\"…; expected \"env:NAME\" or \"file:PATH\"; for AWS \
             and Google also \"ambient\"",
        ),
        (
            &postgres("database = \"env:KEY_A\""),
            "3: sinks.s.database: what it names is no URL of a PostgreSQL database; expected one \
             such as postgres://user:password@host:5432/database?sslmode=require, with % in front \
             of what is not a letter or a digit in user and password (RFC 3986)",
        ),
        (
            &format!("{sqlite}settings = {{ path = \"x\" }}\ndatabase = \"env:DATABASE_URL\"\n"),
            "4: sinks.s.database: a database beside settings.path, which names another; expected \
             one of the two",
        ),
    ]);
}

#[test]
fn a_database_that_nobody_may_use_deserves_a_word() {
    let text = "[sinks.s]\nplugin = \"sink-jsonl\"\nsettings = { path = \"x\" }\n\
                database = \"env:DATABASE_URL\"\n";
    let unused = "4: sinks.s.database: is never used: its plugin has no sql grant";
    assert_eq!(notices(&config(text)), [unused]);
}
