//! Builds the test components of `guests/`, as the host's build script builds the bundled
//! plugins, and tells `src/guest.rs` where they are.

#[path = "../host/build/components.rs"]
mod components;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    components::finish(guests())
}

fn guests() -> Result<(), String> {
    for source in ["guests", "../plugin-sdk", "../wit", "../host/build"] {
        println!("cargo::rerun-if-changed={source}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);
    let mut code = String::from("const GUESTS: &[(&str, &str)] = &[\n");
    for (name, path) in components::build(&folder, &out.join("guests"))? {
        code += &format!("    ({name:?}, {path:?}),\n");
    }
    code += "];\n";
    std::fs::write(out.join("guests.rs"), code).map_err(|error| format!("guests.rs: {error}"))
}
