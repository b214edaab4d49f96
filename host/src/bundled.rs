//! What is built into the binary: plugins and catalog, gathered by `build.rs`.

use crate::plugin::catalog::Bundled;

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));
