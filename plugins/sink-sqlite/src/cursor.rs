//! Where a page ended: the order, the time and the id of its last row.
//!
//! Written as `n` (newest first) or `o` (oldest first), the time in hexadecimal, `-`, the
//! id. A cursor goes on only in the order that it came from.

use torana_plugin_sdk::sink::Order;

/// Ids are UUIDs; a cursor with more is not ours.
const MAX_ID: usize = 64;

/// The last row of a page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cursor {
    pub(crate) order: Order,
    pub(crate) time_unix_ms: i64,
    pub(crate) id: String,
}

impl Cursor {
    /// What the caller hands back.
    pub(crate) fn encode(&self) -> String {
        let order = match self.order {
            Order::NewestFirst => 'n',
            Order::OldestFirst => 'o',
        };
        format!("{order}{:x}-{}", self.time_unix_ms, self.id)
    }

    /// None for what [`Cursor::encode`] cannot have written.
    pub(crate) fn decode(cursor: &str) -> Option<Self> {
        let order = match cursor.chars().next()? {
            'n' => Order::NewestFirst,
            'o' => Order::OldestFirst,
            _ => return None,
        };
        let (time, id) = cursor.get(1..)?.split_once('-')?;
        let is_id = (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|it| it.is_ascii_graphic());
        let decoded =
            Self { order, time_unix_ms: i64::from_str_radix(time, 16).ok()?, id: id.to_owned() };
        // Also refuses the other spellings of the number, such as a plus sign.
        (is_id && decoded.encode() == cursor).then_some(decoded)
    }
}
