//! Time. Grant: `clock = true`.
//!
//! Policies need no clock: their time is an argument, so that decisions can be replayed.

/// Milliseconds since 1970-01-01T00:00:00Z.
pub fn now_unix_ms() -> u64 {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::host::clock::now_unix_ms();
    #[cfg(not(target_arch = "wasm32"))]
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

/// Nanoseconds since an arbitrary start; never goes backwards.
pub fn monotonic_ns() -> u64 {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::host::clock::monotonic_ns();
    #[cfg(not(target_arch = "wasm32"))]
    {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        let age = START.get_or_init(std::time::Instant::now).elapsed();
        u64::try_from(age.as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_never_goes_backwards() {
        let before = monotonic_ns();
        assert!(monotonic_ns() >= before);
        assert!(now_unix_ms() > 1_700_000_000_000);
    }
}
