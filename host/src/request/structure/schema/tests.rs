//! What a schema says of answers, and what schemas cannot do to the gateway.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;

fn errors(schema: &Value, text: &str) -> Vec<(String, String)> {
    match Schema::compile(schema).unwrap().validate(text) {
        Validity::Invalid { errors } => {
            errors.into_iter().map(|error| (error.path, error.message)).collect()
        }
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn errors_name_the_place() {
    let schema = json!({
        "type": "object", "required": ["name"], "additionalProperties": false,
        "properties": {"name": {"type": "string"}, "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}}},
        "$defs": {"tag": {"enum": ["a", "b"]}},
    });
    let compiled = Schema::compile(&schema).unwrap();
    assert_eq!(compiled.validate(r#"{"name":"x","tags":["a","b"]}"#), Validity::Valid);
    let found = errors(&schema, r#"{"tags":["a","c",3],"other":1}"#);
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(paths.contains(&"/tags/1") && paths.contains(&"/tags/2") && paths.contains(&""));
    assert!(errors(&schema, "{").iter().all(|(_, message)| message.starts_with("not valid JSON")));
    let long = format!("[{}]", vec!["\"x\""; 100].join(","));
    assert_eq!(errors(&json!({"items": {"type": "integer"}}), &long).len(), MAX_ERRORS);
}

#[test]
fn of_a_long_answer_the_first_error_is_named() {
    let list = json!({"items": {"properties": {"a": {"type": "integer"}}}});
    let entries = vec![r#"{"a":1}"#; 20_000].join(",");
    let found = errors(&list, &format!(r#"[{entries},{{"a":"x"}},{{"a":"y"}}]"#));
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/20000/a"]);
}

#[test]
fn a_message_never_quotes_a_long_answer() {
    let found = errors(&json!({"type": "integer"}), &format!("\"{}\"", "é".repeat(10_000)));
    assert!(found.iter().all(|(_, message)| message.chars().count() <= MAX_MESSAGE_CHARS + 1));
}

#[test]
fn nothing_is_fetched() {
    for reference in [
        "http://localhost:1/x",
        "https://example.com/a.json#/b",
        "file:///etc/passwd",
        "other.json",
        "//host/x",
        "urn:x:y",
        "http://json-schema.org/draft-07/schema#",
    ] {
        for schema in [
            json!({"$ref": reference}),
            json!({"properties": {"a": {"items": [{"$dynamicRef": reference}]}}}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "x": {"$ref": reference}}),
        ] {
            assert!(matches!(Schema::compile(&schema), Err(SchemaError::Remote(_))), "{schema}");
        }
    }
    let foreign = json!({"$schema": "http://localhost:1/meta", "type": "object"});
    assert!(matches!(Schema::compile(&foreign), Err(SchemaError::Invalid { .. })));
}

#[test]
fn mistakes_of_the_client_are_told() {
    let kind = |schema: &Value| Schema::compile(schema).unwrap_err().to_string();
    assert!(kind(&json!({"type": "objekt"})).contains("not a valid JSON Schema"));
    assert!(kind(&json!(3)).contains("not a valid JSON Schema"));
    assert!(kind(&json!({"pattern": "("})).contains("is not a \"regex\""));
    assert!(kind(&json!({"pattern": "(?=a)b"})).contains("lookaround"));
    assert!(kind(&json!({"$ref": "#/$defs/no"})).contains("leads to no schema"));
    assert!(kind(&json!({"const": {"a": {}}, "$ref": "#/const/a"})).contains("no schema"));
    assert!(kind(&json!({"items": {"$id": "http://x/y"}})).contains("`$id` of its own"));
    let many: Vec<Value> = (0..200).map(|n| json!({"pattern": n.to_string()})).collect();
    assert!(kind(&json!({"allOf": many})).contains("patterns"));
    assert!(kind(&json!({"title": "x".repeat(MAX_SCHEMA_BYTES)})).contains("bytes"));
}

#[test]
fn data_that_looks_like_a_schema_is_left_alone() {
    let schema = json!({
        "$id": "https://example.com/root", "properties": {
            "const": {"const": {"$ref": "http://x", "pattern": "("}},
            "$ref": {"type": "integer"}, "pattern": {"enum": [{"id": 1}]},
        },
        "examples": [{"$id": "x", "$ref": "http://x"}], "default": {"$id": "y"},
    });
    let compiled = Schema::compile(&schema).unwrap();
    let good =
        json!({"const": {"$ref": "http://x", "pattern": "("}, "$ref": 3, "pattern": {"id": 1}});
    assert_eq!(compiled.check(&good), Validity::Valid);
    assert_ne!(compiled.check(&json!({"const": {"$ref": "http://x"}})), Validity::Valid);
}

/// Each definition refers twice to the next: two to the thirtieth evaluations.
fn doubling(draft: &str, keyword: &str) -> Value {
    let mut definitions = Map::new();
    for n in 0..30 {
        let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
        definitions.insert(format!("d{n}"), json!({keyword: [next, next]}));
    }
    definitions.insert("d30".into(), json!({"type": ["string", "array"]}));
    json!({"$schema": draft, "$ref": "#/$defs/d0", "$defs": definitions})
}

#[test]
fn an_exponential_schema_ends_unchecked() {
    for draft in
        ["https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"]
    {
        for (keyword, text) in [("allOf", "[]"), ("anyOf", "3"), ("oneOf", "[]")] {
            let schema = Schema::compile(&doubling(draft, keyword)).unwrap();
            assert_eq!(schema.validate(text), Validity::Unchecked, "{draft} {keyword}");
        }
    }
    // Valid whatever the answer, and twice the work a level: the answer is right or none.
    let both = json!({"allOf": [{"not": {"$ref": "#/$defs/n"}}, {"$ref": "#/$defs/n"}]});
    let recursive = json!({"$ref": "#/$defs/n",
        "$defs": {"n": {"properties": {"a": {"not": both}}}}});
    let schema = Schema::compile(&recursive).unwrap();
    let deep = format!("{}1{}", r#"{"a":"#.repeat(100), "}".repeat(100));
    assert!(!matches!(schema.validate(&deep), Validity::Invalid { .. }));
}

#[test]
fn recursion_without_end_ends() {
    for schema in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}]}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}),
        json!({"$schema": "http://json-schema.org/draft-07/schema#",
            "definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"not": {"$ref": "#/definitions/a"}}},
            "$ref": "#/definitions/a"}),
        json!({"$dynamicAnchor": "n", "anyOf": [{"$dynamicRef": "#n"}]}),
    ] {
        if let Ok(schema) = Schema::compile(&schema) {
            drop(schema.validate("{}"));
        }
    }
}

/// On as much stack as a tokio worker or a test thread has: two MiB.
#[test]
fn no_schema_and_no_answer_overflow_the_stack() {
    let deep = format!("{}1{}", r#"{"a":["#.repeat(60), "]}".repeat(60));
    for (draft, own) in [
        ("https://json-schema.org/draft/2020-12/schema", "$defs"),
        ("http://json-schema.org/draft-07/schema#", "definitions"),
    ] {
        let mut definitions = Map::new();
        for n in 0..MAX_REFERENCES - 2 {
            let next = json!({"$ref": format!("#/{own}/d{}", n + 1)});
            definitions
                .insert(format!("d{n}"), if n % 7 == 0 { json!({"not": next}) } else { next });
        }
        definitions.insert(
            format!("d{}", MAX_REFERENCES - 2),
            json!({"type": "object", "properties": {"a": {"items": {"$ref": "#"}}}}),
        );
        let schema =
            json!({"$schema": draft, "allOf": [{"$ref": format!("#/{own}/d0")}], own: definitions});
        let schema = Schema::compile(&schema).unwrap();
        drop(schema.validate(&deep));
        drop(schema.validate("{}"));
    }
    let mut nested = json!({"properties": {"a": {"items": {"$ref": "#"}}}});
    for _ in 0..60 {
        nested = json!({"allOf": [{"not": nested}]});
    }
    drop(Schema::compile(&nested).unwrap().validate(&deep));
}
