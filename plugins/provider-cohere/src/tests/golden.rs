//! Golden files.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/golden").join(name)
}

/// Holds `actual` against the file, or writes it where `TORANA_BLESS` is set.
pub(super) fn check(name: &str, actual: &str) {
    let path = path(name);
    if std::env::var_os("TORANA_BLESS").is_some() {
        std::fs::write(&path, actual).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(actual, expected, "{name}: TORANA_BLESS=1 writes it anew");
}

pub(super) fn lines<T: Debug>(items: &[T]) -> String {
    items.iter().map(|item| format!("{item:?}\n")).collect()
}
