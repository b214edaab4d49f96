//! Builds a folder of plugin crates into components.
//!
//! Shared by `host/build.rs` (bundled plugins) and `tests/build.rs` (test guests), so that a
//! folder with a crate in it is all a plugin needs. Uses a target directory of its own: the
//! outer cargo holds the lock of the other.

use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "plugin";

/// Builds every crate in `folder`; gives names and component files, sorted by name. An error
/// is a text for the person who builds.
pub(crate) fn build(
    folder: &Path,
    target_directory: &Path,
) -> Result<Vec<(String, PathBuf)>, String> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let names = crates_in(folder)
        .map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let output = cargo(folder, target_directory, &names)
        .output()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(explain(folder, &String::from_utf8_lossy(&output.stderr)));
    }
    let built = target_directory.join(TARGET).join(PROFILE);
    names
        .into_iter()
        .map(|name| {
            let file = built.join(format!("{}.wasm", name.replace('-', "_")));
            if file.exists() {
                Ok((name, file))
            } else {
                Err(format!("{name} built no component: its crate-type must be [\"cdylib\"]"))
            }
        })
        .collect()
}

fn cargo(folder: &Path, target_directory: &Path, names: &[String]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(folder)
        .args(["build", "--locked", "--target", TARGET, "--profile", PROFILE, "--target-dir"])
        .arg(target_directory);
    for name in names {
        cargo.args(["--package", name]);
    }
    for variable in OUTER_CARGO {
        cargo.env_remove(variable);
    }
    cargo
}

/// What the outer cargo decided about its own build must not leak into this one.
const OUTER_CARGO: [&str; 7] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_TARGET",
    "CARGO_MAKEFLAGS",
];

fn explain(folder: &Path, output: &str) -> String {
    let missing_target = ["can't find crate for `core`", "can't find crate for `std`"];
    if missing_target.iter().any(|sign| output.contains(sign)) {
        return format!("the WebAssembly target is missing; run: rustup target add {TARGET}");
    }
    format!("plugins in {} do not build:\n{output}", folder.display())
}

/// The folders that hold a crate. A folder's name is its package's name.
fn crates_in(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names: Vec<String> = std::fs::read_dir(folder)?
        .filter_map(Result::ok)
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// Fails the build script with a text that cargo shows as its error.
pub(crate) fn finish(result: Result<(), String>) -> std::process::ExitCode {
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(message) => {
            for line in message.lines() {
                println!("cargo::error={line}");
            }
            std::process::ExitCode::FAILURE
        }
    }
}
