//! Test components: built from `tests/guests` by the build script, and bent into other
//! versions by overwriting bytes.

use std::path::PathBuf;

/// Markers that guests carry in their bytes; each pair has one length.
const VERSION_ONE: &str = "torana-test-marker-version-one";
const VERSION_TWO: &str = "torana-test-marker-version-two";
const FORWARDS: &str = "torana-test-order-forwards-----";
const BACKWARDS: &str = "torana-test-order-backwards----";

include!(concat!(env!("OUT_DIR"), "/guests.rs"));

/// The component of `tests/guests/<name>`.
pub fn component(name: &str) -> Vec<u8> {
    let path = path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Where the component of `tests/guests/<name>` is.
pub fn path(name: &str) -> PathBuf {
    let found = GUESTS.iter().find(|(it, _)| *it == name);
    PathBuf::from(found.unwrap_or_else(|| panic!("no guest {name}: {GUESTS:?}")).1)
}

/// A provider that answers with its marker: version one or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

impl Version {
    /// What this version answers.
    pub fn marker(self) -> &'static str {
        match self {
            Self::One => VERSION_ONE,
            Self::Two => VERSION_TWO,
        }
    }

    pub fn component(self) -> Vec<u8> {
        overwritten(component("provider-versioned"), VERSION_ONE, self.marker())
    }
}

/// A policy that tries endpoints in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Forwards,
    Backwards,
}

impl Order {
    pub fn component(self) -> Vec<u8> {
        let order = match self {
            Self::Forwards => FORWARDS,
            Self::Backwards => BACKWARDS,
        };
        overwritten(component("router-versioned"), FORWARDS, order)
    }
}

/// A component of a contract that does not exist yet.
pub fn from_the_future() -> Vec<u8> {
    let mut bytes = component("provider-versioned");
    for interface in ["torana:provider/adapter", "torana:types/types", "torana:host/log"] {
        let (old, new) = (format!("{interface}@0.1.0"), format!("{interface}@0.2.0"));
        overwrite(&mut bytes, &old, &new);
    }
    bytes
}

fn overwritten(mut bytes: Vec<u8>, old: &str, new: &str) -> Vec<u8> {
    let found = overwrite(&mut bytes, old, new);
    assert!(found > 0, "the component does not carry {old:?}");
    bytes
}

/// Gives how often `old` was there.
fn overwrite(bytes: &mut [u8], old: &str, new: &str) -> usize {
    assert_eq!(old.len(), new.len());
    let is_here = |window: &[u8]| window == old.as_bytes();
    let places: Vec<usize> = bytes
        .windows(old.len())
        .enumerate()
        .filter_map(|(place, window)| is_here(window).then_some(place))
        .collect();
    for place in &places {
        bytes[*place..place + new.len()].copy_from_slice(new.as_bytes());
    }
    places.len()
}
