#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;

use super::super::parameters::pairs;
use super::*;

fn parse(query: &str, table: Table) -> Result<RowFilter, BadParameter> {
    let mut filters = Filters::default();
    for pair in pairs(query) {
        let (name, value) = pair?;
        assert!(filters.take(&name, &value)?, "{name}");
    }
    filters.finish(table)
}

/// What is said of a query that is refused.
fn refused(query: &str, table: Table) -> String {
    parse(query, table).unwrap_err().to_string()
}

#[test]
fn every_filter_arrives_where_the_contract_has_it() {
    let id = "0193a9f2-0000-7000-8000-00000000002a";
    let query = format!(
        "key=team&function=extract&variant=b&model=a%2Fb+c&endpoint=sim%2Fdemo&outcome=error\
         &episode_id={id}&response_id=chatcmpl-1&tag=customer:4:2&tag=empty:\
         &metric=score%3E=0.5&metric=good=true&text=gr%C3%BCn+Haus&since=5&until=2026-11-23"
    );
    let filter = parse(&query, Table::Inference).unwrap();
    assert_eq!(filter.key.as_deref(), Some("team"));
    assert_eq!(filter.function.as_deref(), Some("extract"));
    assert_eq!(filter.variant.as_deref(), Some("b"));
    assert_eq!(filter.model.as_deref(), Some("a/b c"));
    assert_eq!(filter.endpoint.as_deref(), Some("sim/demo"));
    assert_eq!(filter.outcome.as_deref(), Some("error"));
    assert_eq!(filter.episode_id.as_deref(), Some(id));
    assert_eq!(filter.response_id.as_deref(), Some("chatcmpl-1"));
    assert_eq!(filter.tags, [("customer".into(), "4:2".into()), ("empty".into(), String::new())]);
    assert_eq!(filter.text.as_deref(), Some("grün Haus"));
    assert_eq!(filter.since_unix_ms, Some(5));
    assert_eq!(filter.until_unix_ms, Some(1_795_392_000_000));
    assert_eq!(filter.metrics.len(), 2);
    assert_eq!(filter.metrics[1].metric, "good");
}

#[test]
fn a_metric_is_a_name_a_comparison_and_a_number() {
    for (text, comparison, value) in [
        ("score=1", Comparison::Equal, 1.0),
        ("score<-2.5e3", Comparison::Less, -2500.0),
        ("score<=true", Comparison::AtMost, 1.0),
        ("score>false", Comparison::Greater, 0.0),
        ("score >= 0.25", Comparison::AtLeast, 0.25),
    ] {
        let metric = metric(text).unwrap();
        assert_eq!((metric.metric.as_str(), metric.comparison), ("score", comparison), "{text}");
        assert!((metric.value - value).abs() < f64::EPSILON, "{text}");
    }
    for text in
        ["", "score", ">1", "score>", "score==1", "score=yes", "score=NaN", "score=inf", "score=>1"]
    {
        assert!(metric(text).is_none(), "{text}");
    }
}

#[test]
fn what_is_wrong_is_named_with_what_was_found_and_what_is_expected() {
    for (query, said) in [
        ("outcome=bad", "outcome: found \"bad\"; expected one of ok, error, cancelled, lost"),
        ("episode_id=7", "episode_id: found \"7\"; expected a UUID"),
        ("tag=customer", "tag: found \"customer\"; expected a name, a colon and a value"),
        ("tag=:42", "tag: found \":42\"; expected a name"),
        ("metric=score", "metric: found \"score\"; expected a metric, one of"),
        ("text=+%2C!", "text: found \" ,!\"; expected at least one word"),
        ("since=soon", "since: found \"soon\"; expected Unix milliseconds, RFC 3339"),
        ("since=9&until=9", "until: found \"1970-01-01T00:00:00.009Z\"; expected a time after"),
        ("model=", "model: found \"\"; expected a value"),
        ("model=a&model=b", "model: there is already one"),
        ("model=%ff", "model: found \"%ff\"; expected percent-encoded UTF-8"),
        ("outcome=lost", "outcome: found \"lost\"; expected one of ok, error, cancelled;"),
    ] {
        let found = refused(query, Table::Inference);
        assert!(found.starts_with(said), "{query}: {found}");
    }
    assert!(parse("outcome=lost", Table::ModelInference).is_ok());
    for (query, table) in [
        ("text=word", Table::ModelInference),
        ("model=m", Table::Feedback),
        ("key=k", Table::Snapshot),
        ("metric=a=1", Table::PluginEvent),
    ] {
        let found = refused(query, table);
        assert!(found.contains(": rows of this kind have none; expected one of "), "{found}");
        assert!(parse("since=1&until=2", table).is_ok());
    }
    for (one, name) in [("tag=a:b", "tag"), ("metric=a=1", "metric")] {
        let most = vec![one; MOST].join("&");
        assert!(parse(&most, Table::Inference).is_ok());
        let more = refused(&format!("{most}&{one}"), Table::Inference);
        assert!(more.starts_with(name) && more.contains("no more than 16"), "{more}");
    }
}

#[test]
fn a_long_value_is_repeated_in_part() {
    let found = refused(&format!("episode_id={}", "ü".repeat(500)), Table::Inference);
    assert!(found.contains(&format!("{}…", "ü".repeat(80))), "{found}");
}

proptest! {
    #[test]
    fn no_query_is_too_strange(query in "[a-z_]{0,10}[=&%+:<>0-9a-zü\\PC]{0,60}") {
        let mut filters = Filters::default();
        for (name, value) in pairs(&query).flatten() {
            for known in NAMES.into_iter().chain([name.as_str()]) {
                drop(filters.take(known, &value));
            }
        }
        drop(filters.finish(Table::Inference));
    }

    #[test]
    fn every_name_is_a_filter(value in "[a-z]{1,8}") {
        for name in NAMES {
            prop_assert!(Filters::default().take(name, &value) != Ok(false), "{}", name);
        }
    }
}
