//! Holds what a component imports against what the operator granted.
//!
//! Deny by default: an import that is neither inert nor granted is refused before anything
//! runs, with its name and the line to write.

use wasmtime::Engine;
use wasmtime::component::Component;

use super::{CONTRACT_VERSION, Kind};
use crate::config::Grants;

/// WASI interfaces that the Rust standard library links whether used or not. They get
/// answers that reveal and change nothing (`imports/wasi.rs`).
pub(super) const INERT_WASI: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// A capability of `torana:host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capability {
    Log,
    Clock,
    Random,
    Http,
    Sql,
    File,
    Kv,
}

impl Capability {
    fn parse(interface: &str) -> Option<Self> {
        Some(match interface {
            "torana:host/log" => Self::Log,
            "torana:host/clock" => Self::Clock,
            "torana:host/random" => Self::Random,
            "torana:host/http" => Self::Http,
            "torana:host/sql" => Self::Sql,
            "torana:host/file" => Self::File,
            "torana:host/kv" => Self::Kv,
            _ => return None,
        })
    }

    fn granted(self, grants: &Grants) -> bool {
        match self {
            Self::Log => true,
            Self::Clock => grants.clock,
            Self::Random => grants.random,
            Self::Http => !grants.http.is_empty(),
            Self::Sql => grants.sql,
            Self::File => grants.file,
            Self::Kv => grants.kv_bytes.is_some(),
        }
    }

    /// What to write under `grants`.
    fn remedy(self) -> &'static str {
        match self {
            Self::Log => "log is granted to everybody",
            Self::Clock => "clock = true",
            Self::Random => "random = true",
            Self::Http => "http = [\"https://host:port\"]` or `http = [\"settings.url\"]",
            Self::Sql => "sql = true",
            Self::File => "file = true",
            Self::Kv => "kv = { bytes = 1048576 }",
        }
    }

    /// Capabilities that wait for the outside belong to the I/O engine: on the request path
    /// they would hold a worker.
    fn does_io(self) -> bool {
        matches!(self, Self::Http | Self::Sql | Self::File)
    }
}

/// Why an import was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GrantError {
    #[error(
        "it imports {import}, which is not granted; if you trust it, write `{remedy}` under [plugins.NAME.grants]"
    )]
    NotGranted { import: String, remedy: &'static str },
    #[error(
        "it imports {import}, which waits for the outside; only a sink may, a {kind} runs while a request waits"
    )]
    WrongKind { import: String, kind: &'static str },
    #[error(
        "it imports {import}; this gateway knows version {CONTRACT_VERSION} of that interface: rebuild it with the matching plugin SDK"
    )]
    Version { import: String },
    #[error(
        "it imports {import}, which no plugin can have here: plugins have no files, no sockets and no WASI beyond an inert minimum"
    )]
    Forbidden { import: String },
}

/// Every import of the component is inert or granted; gives the capabilities it uses.
pub(super) fn check(
    engine: &Engine,
    component: &Component,
    kind: Kind,
    grants: &Grants,
) -> Result<Vec<Capability>, GrantError> {
    let mut used = Vec::new();
    for (import, _) in component.component_type().imports(engine) {
        let (interface, version) = import.split_once('@').unwrap_or((import, ""));
        if INERT_WASI.contains(&interface) || interface == "torana:types/types" {
            continue;
        }
        let Some(capability) = Capability::parse(interface) else {
            return Err(GrantError::Forbidden { import: import.to_owned() });
        };
        if !is_compatible(version) {
            return Err(GrantError::Version { import: import.to_owned() });
        }
        if !capability.granted(grants) {
            let remedy = capability.remedy();
            return Err(GrantError::NotGranted { import: import.to_owned(), remedy });
        }
        if capability.does_io() && kind != Kind::Sink {
            return Err(GrantError::WrongKind { import: import.to_owned(), kind: kind.as_str() });
        }
        used.push(capability);
    }
    Ok(used)
}

/// `0.1.x` all match, as component linking sees it.
pub(super) fn is_compatible(version: &str) -> bool {
    let family = CONTRACT_VERSION.rsplit_once('.').map_or(CONTRACT_VERSION, |(family, _)| family);
    version.rsplit_once('.').is_some_and(|(theirs, _)| theirs == family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patch_versions_match_and_others_do_not() {
        assert!(is_compatible("0.1.0"));
        assert!(is_compatible("0.1.9"));
        assert!(!is_compatible("0.2.0"));
        assert!(!is_compatible("1.1.0"));
        assert!(!is_compatible(""));
    }
}
