//! Why an answer comes from where it comes from, for the client that asks.

use super::{LOST, OK, Record, milliseconds};
use crate::routing::decision::Decision;

/// Bytes of an explanation: common servers and clients take headers of 8 KiB in all.
const LONGEST_EXPLANATION: usize = 6 << 10;

impl Record {
    /// Why the answer comes from where it comes from, as one line of ASCII JSON; `None` unless
    /// the client asked. Shorter the longer it would be: a header has to fit.
    pub fn explanation(&self) -> Option<String> {
        let decision = self.decision.as_ref().filter(|_| self.explain)?;
        let attempts: Vec<serde_json::Value> = self
            .attempts
            .iter()
            .map(|attempt| {
                let finished = attempt.finished.as_ref();
                let outcome = match attempt.error() {
                    _ if attempt.is_lost() => LOST,
                    Some(error) => error.kind,
                    None => OK,
                };
                serde_json::json!({
                    "endpoint": &*attempt.endpoint,
                    "reason": attempt.reason,
                    "outcome": outcome,
                    "ms": finished.map(|finished| milliseconds(finished.total)),
                })
            })
            .collect();
        let mut decision = decision.clone();
        decision.strip();
        let text = |decision: &Decision| {
            ascii(&serde_json::json!({ "decision": decision, "attempts": attempts }).to_string())
        };
        let whole = text(&decision);
        if whole.len() <= LONGEST_EXPLANATION {
            return Some(whole);
        }
        decision.models.clear();
        Some(text(&decision)).filter(|short| short.len() <= LONGEST_EXPLANATION)
    }
}

/// JSON with escapes for what is not ASCII: other bytes of a header have no agreed meaning.
fn ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}
