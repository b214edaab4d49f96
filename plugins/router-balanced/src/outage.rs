//! What failed of late: calls and failures of each endpoint in slots of one second.
//!
//! What counts follows OpenRouter's uptime: failures of the endpoint, and calls that worked.
//! Rate limits and requests that the endpoint rightly refused are neither. Memory is fixed:
//! one slot a second of the window and endpoint. Slots are found by the second's remainder,
//! so an old one is overwritten by the first call that needs its place.
//!
//! Saved bytes carry endpoint names: after a reload the window of those still there goes on.

use torana_plugin_sdk::CallErrorKind;
use torana_plugin_sdk::router::{Endpoint, Outcome};

/// Of the saved form; a change of it is a change of this.
const VERSION: u8 = 1;

/// Calls of all endpoints within the window.
pub(super) struct Outages {
    window_s: u32,
    endpoints: Vec<Window>,
}

struct Window {
    name: String,
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    /// Unix time.
    second: u64,
    calls: u32,
    errors: u32,
}

impl Outages {
    pub(super) fn new(window_s: u32, endpoints: Vec<Endpoint>) -> Self {
        let slots = vec![Slot::default(); window_s as usize];
        let window = |endpoint: Endpoint| Window { name: endpoint.name, slots: slots.clone() };
        Self { window_s, endpoints: endpoints.into_iter().map(window).collect() }
    }

    pub(super) fn observe(&mut self, outcome: &Outcome) {
        let errors = match outcome.error {
            None => 0,
            Some(kind) if is_outage(kind) => 1,
            Some(_) => return,
        };
        if let Some(window) = self.endpoints.get_mut(outcome.endpoint as usize) {
            window.add(Slot { second: outcome.now_unix_ms / 1_000, calls: 1, errors });
        }
    }

    /// Failures and calls of the endpoint within the window before `now_unix_ms`.
    pub(super) fn recent(&self, endpoint: u32, now_unix_ms: u64) -> (u32, u32) {
        let now = now_unix_ms / 1_000;
        let Some(window) = self.endpoints.get(endpoint as usize) else { return (0, 0) };
        let recent = |slot: &&Slot| now.abs_diff(slot.second) < u64::from(self.window_s);
        window.slots.iter().filter(recent).fold((0, 0), |(errors, calls), slot| {
            (u32::saturating_add(errors, slot.errors), u32::saturating_add(calls, slot.calls))
        })
    }

    /// Version; then for each endpoint with calls: length of the name (u16), name, number of
    /// slots (u16), and for each slot second (u64), calls and errors (u32). Little endian.
    pub(super) fn save(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for window in &self.endpoints {
            let used: Vec<&Slot> = window.slots.iter().filter(|slot| slot.calls > 0).collect();
            let lengths = (u16::try_from(window.name.len()), u16::try_from(used.len()));
            let (Ok(name), Ok(count @ 1..)) = lengths else { continue };
            bytes.extend(name.to_le_bytes());
            bytes.extend(window.name.as_bytes());
            bytes.extend(count.to_le_bytes());
            for slot in used {
                bytes.extend(slot.second.to_le_bytes());
                bytes.extend(slot.calls.to_le_bytes());
                bytes.extend(slot.errors.to_le_bytes());
            }
        }
        bytes
    }

    /// All or nothing: bytes that do not read to their end change nothing. Names of other
    /// endpoints are skipped.
    pub(super) fn restore(&mut self, state: &[u8]) {
        let Some((&VERSION, rest)) = state.split_first() else { return };
        let Some(read) = read(rest) else { return };
        for (name, slots) in read {
            let here = self.endpoints.iter_mut().find(|it| it.name.as_bytes() == name);
            if let Some(window) = here {
                slots.into_iter().for_each(|slot| window.add(slot));
            }
        }
    }
}

impl Window {
    fn add(&mut self, more: Slot) {
        let place = more.second % (self.slots.len() as u64).max(1);
        let Some(slot) = self.slots.get_mut(place as usize) else { return };
        if slot.second != more.second {
            *slot = Slot { second: more.second, ..Slot::default() };
        }
        slot.calls = slot.calls.saturating_add(more.calls);
        slot.errors = slot.errors.saturating_add(more.errors).min(slot.calls);
    }
}

/// Whether such a failure says that the endpoint is not well.
fn is_outage(kind: CallErrorKind) -> bool {
    use CallErrorKind as Kind;
    match kind {
        Kind::Overloaded
        | Kind::Timeout
        | Kind::Server
        | Kind::MalformedResponse
        | Kind::Authentication
        | Kind::NotFound => true,
        Kind::RateLimited
        | Kind::Permission
        | Kind::InvalidRequest
        | Kind::Unsupported
        | Kind::ContextLength
        | Kind::ContentFilter => false,
    }
}

/// The bytes bound what is read: each slot needs sixteen of them.
fn read(mut bytes: &[u8]) -> Option<Vec<(&[u8], Vec<Slot>)>> {
    let mut windows = Vec::new();
    while !bytes.is_empty() {
        let length = u16::from_le_bytes(take(&mut bytes)?);
        let (name, rest) = bytes.split_at_checked(usize::from(length))?;
        bytes = rest;
        let count = u16::from_le_bytes(take(&mut bytes)?);
        let slot = |_| {
            Some(Slot {
                second: u64::from_le_bytes(take(&mut bytes)?),
                calls: u32::from_le_bytes(take(&mut bytes)?),
                errors: u32::from_le_bytes(take(&mut bytes)?),
            })
        };
        windows.push((name, (0..count).map(slot).collect::<Option<_>>()?));
    }
    Some(windows)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}
