//! Randomness from the operating system. Grant: `random = true`.
//!
//! Policies need none: their seed is an argument, so that decisions can be replayed.
//! Natively, numbers come from the seed of the standard library's hash maps.

/// 64 random bits.
pub fn next_u64() -> u64 {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::host::random::u64();
    #[cfg(not(target_arch = "wasm32"))]
    {
        use std::hash::{BuildHasher, RandomState};
        RandomState::new().hash_one(0_u8)
    }
}

/// `length` random bytes; at most 64 KiB, more is cut.
pub fn bytes(length: u32) -> Vec<u8> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::host::random::bytes(length);
    #[cfg(not(target_arch = "wasm32"))]
    {
        let length = (length as usize).min(64 << 10);
        let mut bytes: Vec<u8> =
            (0..length.div_ceil(8)).flat_map(|_| next_u64().to_le_bytes()).collect();
        bytes.truncate(length);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_the_length_asked_for_up_to_the_limit() {
        assert_eq!(bytes(13).len(), 13);
        assert_eq!(bytes(1 << 20).len(), 64 << 10);
        assert_ne!(next_u64(), next_u64());
    }
}
