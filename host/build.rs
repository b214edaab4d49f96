//! Builds the plugins in `plugins/` and embeds them with the catalog in `config/catalog/`.
//!
//! Whatever builds the host builds the plugins, so a stale one cannot exist, and a new
//! folder is bundled without a change here.

#[path = "build/components.rs"]
mod components;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Beside `plugins/` itself, what the components are made of.
const SOURCES: [&str; 8] = [
    "wit",
    "plugin-sdk/src",
    "plugin-sdk/wire/src",
    "plugin-sdk/sql-store/src",
    "plugin-sdk/Cargo.toml",
    "plugin-sdk/wire/Cargo.toml",
    "plugin-sdk/sql-store/Cargo.toml",
    "Cargo.lock",
];

fn main() -> ExitCode {
    components::finish(bundle())
}

fn bundle() -> Result<(), String> {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    let repository = host.parent().ok_or("the host crate has no parent folder")?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", repository.join(source).display());
    }
    println!("cargo::rerun-if-changed=build");

    let mut code = String::from("/// By name.\npub static PLUGINS: &[Bundled] = &[\n");
    for (name, file) in components::build(&repository.join("plugins"), &out.join("plugins"))? {
        code += &format!("    Bundled {{ name: {name:?}, bytes: include_bytes!({file:?}) }},\n");
    }
    code += "];\n\n/// The catalog's files: name and text.\n";
    code += "pub static CATALOG: &[(&str, &str)] = &[\n";
    for (name, file) in catalog(&repository.join("config/catalog"))? {
        code += &format!("    ({name:?}, include_str!({file:?})),\n");
    }
    code += "];\n";
    std::fs::write(out.join("bundled.rs"), code).map_err(|error| format!("bundled.rs: {error}"))
}

/// Every TOML file, by its path in the folder, such as `models/openai.toml`.
fn catalog(folder: &Path) -> Result<Vec<(String, PathBuf)>, String> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = toml_files(folder, "")?;
    files.extend(toml_files(&folder.join("models"), "models/")?);
    files.sort();
    Ok(files)
}

fn toml_files(folder: &Path, prefix: &str) -> Result<Vec<(String, PathBuf)>, String> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
    let named = entries
        .filter_map(Result::ok)
        .map(|entry| (format!("{prefix}{}", entry.file_name().to_string_lossy()), entry.path()));
    Ok(named.filter(|(name, _)| name.ends_with(".toml")).collect())
}
