//! Where a page ended: the table, the order, the time and the id of its last row.
//!
//! Written as `n` (newest first) or `o` (oldest first), a letter for the table, the time in
//! hexadecimal, `-`, the id. A cursor goes on only in the table and order that it came from.

use torana_plugin_sdk::sink::{Order, Table};

/// Ids are UUIDs; a cursor with more is not ours.
const MAX_ID: usize = 64;

/// The last row of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    pub order: Order,
    pub table: Table,
    pub time_unix_ms: i64,
    pub id: String,
}

impl Cursor {
    /// What the caller hands back.
    pub fn encode(&self) -> String {
        let order = match self.order {
            Order::NewestFirst => 'n',
            Order::OldestFirst => 'o',
        };
        let table = match self.table {
            Table::Inference => 'i',
            Table::ModelInference => 'm',
            Table::Feedback => 'f',
            Table::Decision => 'd',
            Table::PluginEvent => 'p',
            Table::Snapshot => 's',
        };
        format!("{order}{table}{:x}-{}", self.time_unix_ms, self.id)
    }

    /// None for what [`Cursor::encode`] cannot have written.
    pub fn decode(cursor: &str) -> Option<Self> {
        let mut letters = cursor.chars();
        let order = match letters.next()? {
            'n' => Order::NewestFirst,
            'o' => Order::OldestFirst,
            _ => return None,
        };
        let table = match letters.next()? {
            'i' => Table::Inference,
            'm' => Table::ModelInference,
            'f' => Table::Feedback,
            'd' => Table::Decision,
            'p' => Table::PluginEvent,
            's' => Table::Snapshot,
            _ => return None,
        };
        let (time, id) = letters.as_str().split_once('-')?;
        let is_id = (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|it| it.is_ascii_graphic());
        let time_unix_ms = i64::from_str_radix(time, 16).ok()?;
        let decoded = Self { order, table, time_unix_ms, id: id.to_owned() };
        // Also refuses the other spellings of the number, such as a plus sign.
        (is_id && decoded.encode() == cursor).then_some(decoded)
    }
}
