//! Builds the test components of `guests/`, as the host's build script builds the bundled
//! plugins, and tells `src/guest.rs` where they are.

#![expect(clippy::expect_used, reason = "a build script fails by panicking")]

#[path = "../host/build/components.rs"]
mod components;

use std::fmt::Write as _;
use std::path::Path;

fn main() {
    let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
    let out = std::env::var("OUT_DIR").expect("set by cargo");
    for watched in ["guests", "../plugin-sdk", "../wit", "../host/build/components.rs"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    let guests = Path::new(&manifest).join("guests");
    let target = Path::new(&out).join("guests");
    let mut list = String::from("const GUESTS: &[(&str, &str)] = &[\n");
    for (name, path) in components::build(&guests, &target) {
        let _ = writeln!(list, "    ({name:?}, {path:?}),");
    }
    list.push_str("];\n");
    std::fs::write(Path::new(&out).join("guests.rs"), list).expect("OUT_DIR can be written");
}
