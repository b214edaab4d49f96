//! Ids of traces and spans: those of the row, or ids that follow from its UUIDs.
//!
//! A row that is sent twice gives the same ids, so that a receiver can tell. Derived ids need
//! no other row: an attempt finds its parent even where the inference is in another batch.
//!
//! - A trace without an id of its own has the 16 bytes of the inference's UUID.
//! - A span without one has the last 8 bytes of its row's UUID: 62 random bits.
//! - The span `model inference`, which no row names, has FNV-1a (64 bits,
//!   <http://www.isthe.com/chongo/tech/comp/fnv/>) of its name and the inference's UUID.

/// Trace of a row: 32 hexadecimal digits, or the UUID of its inference.
pub(crate) fn trace(given: Option<&str>, inference_id: &str) -> Option<Vec<u8>> {
    given.and_then(|given| bytes(given, 16)).or_else(|| bytes(inference_id, 16))
}

/// Span of a row: 16 hexadecimal digits, or from the row's own UUID.
pub(crate) fn span(given: Option<&str>, id: &str) -> Option<Vec<u8>> {
    given.and_then(|given| bytes(given, 8)).or_else(|| {
        let tail = bytes(id, 16)?.split_off(8);
        is_valid(&tail).then_some(tail)
    })
}

/// Parent of a row's span, where it has one.
pub(crate) fn parent(given: Option<&str>) -> Option<Vec<u8>> {
    given.and_then(|given| bytes(given, 8))
}

/// The span that stands between a request and the attempts made for it.
pub(crate) fn model_inference(inference_id: &str) -> Vec<u8> {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = b"model inference"
        .iter()
        .chain(inference_id.as_bytes())
        .fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
    hash.max(1).to_be_bytes().to_vec()
}

/// `length` bytes in hexadecimal, hyphens aside; not all zero, which W3C and OTLP forbid.
fn bytes(text: &str, length: usize) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|letter| *letter != '-')
        .map(|letter| letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, it| byte << 4 | it)).collect();
    (digits.len() == 2 * length && is_valid(&bytes)).then_some(bytes)
}

fn is_valid(id: &[u8]) -> bool {
    id.iter().any(|byte| *byte != 0)
}
