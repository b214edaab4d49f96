//! A small map that outlives reloads, private to the plugin. Grant: `kv = { bytes = N }`.
//!
//! Natively it is empty and always full.

pub use crate::bindings::host::kv::Error;

/// The value of `key`.
pub fn get(key: &str) -> Option<Vec<u8>> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::host::kv::get(key);
    #[cfg(not(target_arch = "wasm32"))]
    {
        let _ = key;
        None
    }
}

/// Stores `value` under `key`.
///
/// # Errors
///
/// [`Error::Full`] when the granted bytes do not suffice; nothing was stored then.
pub fn set(key: &str, value: &[u8]) -> Result<(), Error> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::host::kv::set(key, value);
    #[cfg(not(target_arch = "wasm32"))]
    {
        let _ = (key, value);
        Err(Error::Full)
    }
}

/// Forgets `key`.
pub fn delete(key: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::host::kv::delete(key);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = key;
}

/// All keys that begin with `prefix`.
pub fn keys(prefix: &str) -> Vec<String> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::host::kv::keys(prefix);
    #[cfg(not(target_arch = "wasm32"))]
    {
        let _ = prefix;
        Vec::new()
    }
}
