//! Builds the plugins in `plugins/` and embeds them with the catalog in `config/catalog/`.
//!
//! Whatever builds the host builds the plugins, so a stale one cannot exist, and a new
//! folder is bundled without a change here.

#[path = "build/components.rs"]
mod components;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for changed in ["wit", "plugin-sdk/src", "plugin-sdk/wire/src", "plugin-sdk/Cargo.toml", "plugin-sdk/wire/Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", repository.join(changed).display());
    }
    println!("cargo::rerun-if-changed=build");

    let mut code = String::from("/// The bundled plugins, by name.\npub static PLUGINS: &[Bundled] = &[\n");
    for (name, file) in components::build(&repository.join("plugins"), &out.join("plugins")) {
        writeln!(code, "    Bundled {{ name: {name:?}, bytes: include_bytes!({file:?}) }},").expect("a string");
    }
    code.push_str("];\n\n/// The catalog's files: name and text.\npub static CATALOG: &[(&str, &str)] = &[\n");
    for file in toml_files(&repository.join("config/catalog")) {
        let name = file.file_name().expect("a file").to_string_lossy().into_owned();
        writeln!(code, "    ({name:?}, include_str!({file:?})),").expect("a string");
    }
    code.push_str("];\n");
    std::fs::write(out.join("bundled.rs"), code).expect("OUT_DIR can be written");
}

fn toml_files(folder: &Path) -> Vec<PathBuf> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the catalog")
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}
