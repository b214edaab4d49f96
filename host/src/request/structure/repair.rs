//! Faults in a model's JSON that have one obvious remedy: fences and remarks around it, and
//! commas before a closing bracket. An answer that was cut off is not completed: nobody knows
//! what it would have said.

use serde_json::Value;

use super::json_text::{Tracker, is_space};

/// Brackets in a remark that are tried as the JSON's beginning.
const MAX_BEGINNINGS: usize = 8;

/// The JSON that was meant, if `is_good` takes it.
pub(super) fn repair(text: &str, is_good: impl Fn(&Value) -> bool) -> Option<String> {
    let good = |text: &str| serde_json::from_str(text).is_ok_and(|value| is_good(&value));
    let unfenced = unfenced(text);
    let beginnings = unfenced.match_indices(['{', '[']).map(|(at, _)| at).take(MAX_BEGINNINGS);
    let inner = beginnings.filter_map(|at| balanced(unfenced.get(at..)?));
    for candidate in std::iter::once(unfenced).chain(inner) {
        if good(candidate) {
            return Some(candidate.to_owned());
        }
        let without = without_trailing_commas(candidate);
        if good(&without) {
            return Some(without);
        }
    }
    None
}

/// What stands in the first code fence; without one, everything.
fn unfenced(text: &str) -> &str {
    let fenced = || {
        let (_, rest) = text.split_once("```")?;
        let (_, body) = rest.split_once('\n')?;
        Some(body.rsplit_once("```").map_or(body, |(body, _)| body))
    };
    // A fence within the JSON is the JSON's.
    let starts_as_json = text.trim_start().starts_with(['{', '[', '"']);
    if starts_as_json { text.trim() } else { fenced().unwrap_or(text).trim() }
}

/// From a bracket to the one that closes it.
fn balanced(text: &str) -> Option<&str> {
    let mut tracker = Tracker::default();
    let end = text.bytes().position(|byte| tracker.ends_with(byte))?;
    text.get(..=end)
}

fn without_trailing_commas(text: &str) -> String {
    let mut tracker = Tracker::default();
    let bytes = text.as_bytes();
    let mut kept = Vec::with_capacity(bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        let in_string = tracker.is_in_string();
        tracker.ends_with(*byte);
        let next = || bytes.get(at + 1..)?.iter().find(|byte| !is_space(**byte));
        if *byte == b',' && !in_string && matches!(next(), Some(b'}' | b']')) {
            continue;
        }
        kept.push(*byte);
    }
    super::filter::text_of(kept)
}
