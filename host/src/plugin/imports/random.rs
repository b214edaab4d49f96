//! `torana:host/random`: bytes from the operating system.

use super::GuestState;
use crate::plugin::bindings::host::torana::host::random::Host;

/// One call gives at most this much.
const MAX_BYTES: u32 = 64 * 1024;

/// Fills the buffer. Should the operating system have no randomness to give, which it only
/// lacks early in boot, the buffer stays as it was and the failure is logged.
pub(super) fn fill(buffer: &mut [u8]) {
    if let Err(error) = getrandom::fill(buffer) {
        tracing::error!(%error, "no randomness from the operating system");
    }
}

impl Host for GuestState {
    fn bytes(&mut self, length: u32) -> Vec<u8> {
        let mut buffer = vec![0; length.min(MAX_BYTES) as usize];
        fill(&mut buffer);
        buffer
    }

    fn u64(&mut self) -> u64 {
        let mut buffer = [0; 8];
        fill(&mut buffer);
        u64::from_le_bytes(buffer)
    }
}
