#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod bodies;
mod wishes;

use std::collections::BTreeSet;

use torana_wire::error::CallErrorKind;

use super::*;
use crate::config::{Content, UnsupportedParams};
use crate::request::decode::{CONTENT_HEADER, EPISODE_HEADER, UNSUPPORTED_HEADER};
use crate::request::paths::ROUTES;
use crate::request::tags::TAGS_HEADER;

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Every operation, with its method and path.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations.push((method.to_uppercase(), path.clone(), operation));
        }
    }
    operations
}

/// Every `$ref` in a value.
fn targets<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| targets(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| targets(value, found)),
        _ => {}
    }
}

#[test]
fn every_route_is_described_and_no_other() {
    let document = document().unwrap();
    let described: BTreeSet<(String, String)> =
        operations(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
    let routes = ROUTES.iter().map(|(method, path)| (method.to_string(), path.to_string()));
    assert_eq!(described, routes.collect());
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_led_to() {
    let document = document().unwrap();
    let mut found = Vec::new();
    targets(&document, &mut found);
    for target in &found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
    for kind in ["schemas", "responses", "parameters", "headers"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let target = format!("#/components/{kind}/{name}");
            assert!(found.contains(&target.as_str()), "nothing leads to {target}");
        }
    }
}

#[test]
fn every_header_of_a_reply_is_described_where_it_comes() {
    let document = document().unwrap();
    let source = include_str!("../request/reply.rs");
    let names: Vec<&str> = source
        .split("from_static(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .filter(|name| name.contains("request-id") || name.starts_with("x-"))
        .collect();
    assert!(names.len() > 10, "{names:?}");
    let answer = &document["paths"]["/v1/messages"]["post"]["responses"]["200"]["headers"];
    let failure = &document["components"]["responses"]["Anthropic400"]["headers"];
    for name in names {
        assert!(answer.get(name).is_some(), "{name}");
        let mut told = vec![];
        targets(&failure[name], &mut told);
        let of_answers_only = ["endpoint", "dropped", "estimated", "invalid"];
        let expected = !of_answers_only.iter().any(|part| name.contains(part));
        assert_eq!(!told.is_empty(), expected, "{name}");
    }
}

#[test]
fn headers_of_a_request_are_those_that_are_read() {
    let document = document().unwrap();
    let parameters = &document["components"]["parameters"];
    assert_eq!(parameters["EpisodeId"]["name"], EPISODE_HEADER);
    assert_eq!(parameters["UnsupportedParams"]["name"], UNSUPPORTED_HEADER);
    let policies: Vec<&str> = UnsupportedParams::NAMES.iter().map(|(name, _)| *name).collect();
    assert_eq!(parameters["UnsupportedParams"]["schema"]["enum"], json!(policies));
    assert_eq!(parameters["Tags"]["name"], TAGS_HEADER);
    assert_eq!(parameters["Content"]["name"], CONTENT_HEADER);
    let contents: Vec<&str> = Content::NAMES.iter().map(|(name, _)| *name).collect();
    assert_eq!(parameters["Content"]["schema"]["enum"], json!(contents));
}

/// String literals that a function's arms give.
fn literals<'a>(source: &'a str, function: &str, end: &str) -> Vec<&'a str> {
    let body = source.split(function).nth(1).unwrap().split(end).next().unwrap();
    body.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn codes_are_those_that_the_gateway_gives() {
    let kinds = [
        CallErrorKind::RateLimited,
        CallErrorKind::Overloaded,
        CallErrorKind::Timeout,
        CallErrorKind::Authentication,
        CallErrorKind::Permission,
        CallErrorKind::NotFound,
        CallErrorKind::InvalidRequest,
        CallErrorKind::Unsupported,
        CallErrorKind::ContextLength,
        CallErrorKind::ContentFilter,
        CallErrorKind::Server,
        CallErrorKind::MalformedResponse,
    ];
    let mut given: Vec<&str> = kinds.into_iter().map(CallErrorKind::as_str).collect();
    given.push("unsupported_feature");
    let reply = include_str!("../request/reply.rs");
    given.extend(literals(reply, "pub fn code(cause: &Cause)", "\n}\n"));
    given.extend(literals(include_str!("../error.rs"), "pub fn code(&self)", "\n    }\n"));
    given.sort_unstable();
    given.dedup();
    assert_eq!(failure::codes(), given);
}

/// What the specification demands beyond what a reader of JSON notices.
#[test]
fn it_is_openapi_by_the_rules_that_its_own_schema_cannot_tell() {
    let document = document().unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        assert!(METHODS.contains(&method.to_lowercase().as_str()));
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}");
        let mut names = BTreeSet::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let parameter = match parameter["$ref"].as_str() {
                Some(target) => document.pointer(target.trim_start_matches('#')).unwrap(),
                None => parameter,
            };
            assert!(parameter["schema"].is_object());
            let place = parameter["in"].as_str().unwrap();
            let name = parameter["name"].as_str().unwrap();
            assert!(names.insert((place, name)), "{name} twice at {method} {path}");
            if place == "path" {
                assert_eq!(parameter["required"], true);
                assert!(path.contains(&format!("{{{name}}}")), "{name} at {path}");
            }
        }
        let in_path = names.iter().filter(|(place, _)| *place == "path").count();
        assert_eq!(in_path, path.matches('{').count(), "{path}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.contains_key("401") && responses.contains_key("405"));
        assert!(responses.contains_key("200") || responses.contains_key("default"));
        for tag in operation["tags"].as_array().unwrap() {
            let tags = document["tags"].as_array().unwrap();
            assert!(tags.iter().any(|known| known["name"] == *tag), "{tag}");
        }
    }
    for (name, response) in document["components"]["responses"].as_object().unwrap() {
        assert!(!response["description"].as_str().unwrap().is_empty(), "{name}");
    }
    for requirement in document["security"].as_array().unwrap() {
        for scheme in requirement.as_object().unwrap().keys() {
            assert!(document["components"]["securitySchemes"].get(scheme).is_some(), "{scheme}");
        }
    }
}
