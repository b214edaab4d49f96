//! Builds a folder of plugin crates into components.
//!
//! Shared by `host/build.rs` (bundled plugins) and `tests/build.rs` (test guests), so that a
//! folder with a crate in it is all a plugin needs. Uses a target directory of its own: the
//! outer cargo holds the lock of the other.

use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "plugin";

/// Builds every crate in `folder`; gives names and component files, sorted by name.
pub(crate) fn build(folder: &Path, target_directory: &Path) -> Vec<(String, PathBuf)> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let names = crates_in(folder);
    if names.is_empty() {
        return Vec::new();
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(folder)
        .args(["build", "--locked", "--target", TARGET, "--profile", PROFILE, "--target-dir"])
        .arg(target_directory);
    for name in &names {
        cargo.args(["--package", name]);
    }
    // What the outer cargo decided about its own build must not leak into this one.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTC", "CARGO_BUILD_TARGET", "CARGO_MAKEFLAGS"] {
        cargo.env_remove(variable);
    }
    let output = cargo.output().unwrap_or_else(|error| panic!("cargo cannot be started: {error}"));
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        if text.contains("can't find crate for `core`") || text.contains("can't find crate for `std`") {
            panic!("\n\nthe WebAssembly target is missing; run:\n\n    rustup target add {TARGET}\n");
        }
        panic!("\n\nplugins in {} do not build:\n\n{text}", folder.display());
    }
    let built = target_directory.join(TARGET).join(PROFILE);
    names
        .into_iter()
        .map(|name| {
            let file = built.join(format!("{}.wasm", name.replace('-', "_")));
            assert!(file.exists(), "{name} built no component; its crate-type must be [\"cdylib\"]");
            (name, file)
        })
        .collect()
}

/// The folders that hold a crate. A folder's name is its package's name.
fn crates_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{} cannot be read: {error}", folder.display()));
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
