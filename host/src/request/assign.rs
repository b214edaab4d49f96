//! Which variant of a function serves the call.
//!
//! `function::NAME` in place of a model names a function. The experiment's shares were
//! asked for when the snapshot was made; here a hash of function and episode picks a point
//! in `0..1`, so an episode keeps its variant with nothing stored.

use sha2::{Digest as _, Sha256};

use super::decode::Call;
use super::record::Record;
use crate::config::Variant;
use crate::snapshot::{Function, Snapshot};

/// What clients write before the name of a function.
pub const FUNCTION_PREFIX: &str = "function::";

/// The variant that serves the call.
#[derive(Debug)]
pub struct Assigned<'a> {
    pub function: String,
    pub variant: String,
    pub settings: &'a Variant,
}

/// `None` for a call that names a model or an endpoint.
pub fn assign<'a>(
    snapshot: &'a Snapshot,
    call: &Call,
    record: &mut Record,
) -> Option<Assigned<'a>> {
    let name = call.model.strip_prefix(FUNCTION_PREFIX)?;
    // Named even if unknown: the record should say what was asked for.
    record.function(name);
    let function = snapshot.functions.get(name)?;
    let variant = sample(function, point(name, call.episode.as_bytes()))?;
    let settings = function.variants.get(variant)?;
    Some(Assigned { function: name.to_owned(), variant: variant.to_owned(), settings })
}

fn sample(function: &Function, point: f64) -> Option<&str> {
    let share = function.shares.iter().find(|(_, end)| point < *end);
    // Rounding may leave the last end a hair below 1.
    share.or(function.shares.last()).map(|(name, _)| name.as_str())
}

/// Uniform in `0..1`.
fn point(function: &str, episode: &[u8]) -> f64 {
    let mut hasher = Sha256::new();
    hasher.update(function.as_bytes());
    hasher.update([0]);
    hasher.update(episode);
    let [a, b, c, d, e, f, ..] = <[u8; 32]>::from(hasher.finalize());
    let bits = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    #[expect(clippy::cast_precision_loss, reason = "48 bits are exact in an f64")]
    let point = bits as f64 / (1u64 << 48) as f64;
    point
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_met_and_an_episode_keeps_its_variant() {
        let function = Function {
            variants: Default::default(),
            shares: vec![("a".into(), 0.25), ("b".into(), 1.0)],
            reason: String::new(),
        };
        let mut a = 0;
        for episode in 0..10_000u32 {
            let point = point("f", &episode.to_be_bytes());
            assert!((0.0..1.0).contains(&point));
            a += u32::from(sample(&function, point) == Some("a"));
        }
        assert!((2_300..2_700).contains(&a), "{a}");
        assert!((point("f", b"x") - point("f", b"x")).abs() < f64::EPSILON);
    }
}
