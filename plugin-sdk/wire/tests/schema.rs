//! `wit/chat.schema.json` says what the types say. `TORANA_BLESS=1` writes it anew.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;

use schemars::SchemaGenerator;
use serde_json::json;
use torana_wire::chat::{Request, Response};

#[test]
fn schema_file_matches_types() {
    let mut generator = SchemaGenerator::default();
    let request = generator.subschema_for::<Request>();
    let response = generator.subschema_for::<Response>();
    let document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Torana chat payload",
        "description": "One request or one whole response. Generated from the types in plugin-sdk/wire; do not edit.",
        "oneOf": [request, response],
        "$defs": generator.take_definitions(true),
    });
    let expected = format!("{}\n", serde_json::to_string_pretty(&document).unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/chat.schema.json");
    if std::env::var_os("TORANA_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).expect("wit/chat.schema.json can be read");
    assert!(
        found == expected,
        "wit/chat.schema.json is out of date: run TORANA_BLESS=1 cargo test -p torana-wire --all-features"
    );
}
