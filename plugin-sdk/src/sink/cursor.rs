//! Where a page ended: the table, the order, the time and the id of its last row.
//!
//! Written as `c`, the table's letter, `n` (newest first) or `o` (oldest first), the time in
//! hexadecimal, `-`, the id. A cursor goes on only in the table and order that it came from. For
//! stores whose pages go by time and then id, as the contract wants it.

use super::{Order, Table};

/// Ids are UUIDs; a cursor with more is not ours.
const MAX_ID: usize = 64;

/// The last row of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    /// Where it came from.
    pub table: Table,
    /// How that was walked.
    pub order: Order,
    /// Of the row.
    pub time_unix_ms: u64,
    /// Of the row.
    pub id: String,
}

impl Cursor {
    /// What the caller hands back.
    pub fn encode(&self) -> String {
        let table = letter(self.table);
        let order = match self.order {
            Order::NewestFirst => 'n',
            Order::OldestFirst => 'o',
        };
        format!("c{table}{order}{:x}-{}", self.time_unix_ms, self.id)
    }

    /// None for what [`Cursor::encode`] cannot have written for this table and order.
    pub fn decode(cursor: &str, table: Table, order: Order) -> Option<Self> {
        let (time, id) = cursor.get(3..)?.split_once('-')?;
        let is_id = (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|it| it.is_ascii_graphic());
        let time_unix_ms = u64::from_str_radix(time, 16).ok()?;
        let decoded = Self { table, order, time_unix_ms, id: id.to_owned() };
        // Also refuses the other spellings of the number, such as a plus sign.
        (is_id && decoded.encode() == cursor).then_some(decoded)
    }
}

fn letter(table: Table) -> char {
    match table {
        Table::Inference => 'i',
        Table::ModelInference => 'm',
        Table::Feedback => 'f',
        Table::Decision => 'd',
        Table::PluginEvent => 'p',
        Table::Snapshot => 's',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: Order = Order::NewestFirst;

    #[test]
    fn cursor_of_another_table_order_or_of_nobody_is_refused() {
        let cursor = Cursor {
            table: Table::Feedback,
            order: ORDER,
            time_unix_ms: 1_700,
            id: "0190-ab".into(),
        };
        let text = cursor.encode();
        assert_eq!(Cursor::decode(&text, Table::Inference, ORDER), None);
        assert_eq!(Cursor::decode(&text, Table::Feedback, Order::OldestFirst), None);
        assert_eq!(Cursor::decode(&text, Table::Feedback, ORDER), Some(cursor));
        let long = format!("cfn1-{}", "x".repeat(65));
        for bad in ["", "c", "cfn", "cfn1", "cfnxyz-a", "cfn+1-a", "cfn1-", "éé1-a", &long] {
            assert_eq!(Cursor::decode(bad, Table::Feedback, ORDER), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn cursor_is_read_back_or_refused(
            time_unix_ms: u64,
            id in "[!-~]{1,64}",
            other in "(cfn)?[0-9a-f+-]{0,20}-?\\PC{0,5}",
        ) {
            let cursor = Cursor { table: Table::Feedback, order: ORDER, time_unix_ms, id };
            let read = Cursor::decode(&cursor.encode(), Table::Feedback, ORDER);
            proptest::prop_assert_eq!(read, Some(cursor));
            if let Some(decoded) = Cursor::decode(&other, Table::Feedback, ORDER) {
                proptest::prop_assert_eq!(decoded.encode(), other);
            }
        }
    }
}
