//! Bounded waiting for a state: asked again and again, never for an event that may have
//! passed already.

use std::time::{Duration, Instant};

/// Ten thousand times what anything here takes on an idle machine; reached only by failures.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Short beside anything that is waited for, long enough to leave the processor alone.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until there is an answer.
///
/// # Panics
///
/// With `what` if there is none within [`DEADLINE`].
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE, what, ask)
}

/// The same with another deadline, where the deadline is what is tested.
pub fn within<T>(deadline: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}
