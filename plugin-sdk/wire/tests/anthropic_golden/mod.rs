//! Golden files of the Anthropic wire, under `tests/golden`. `TORANA_BLESS=1` writes them anew.

/// `found` is what the file holds.
pub(crate) fn holds(name: &str, found: &str) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("TORANA_BLESS").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{path} is not what it was: see TORANA_BLESS");
}
