//! Text that this wire keeps in one string and the payload in several blocks.

use std::borrow::Cow;

use crate::chat::Block;

/// What `pick` finds, one after the other; borrowed where there is only one piece.
pub(super) fn joined<'a>(
    blocks: &'a [Block],
    pick: impl Fn(&'a Block) -> Option<&'a String>,
) -> Option<Cow<'a, str>> {
    let mut pieces = blocks.iter().filter_map(pick);
    let mut text = Cow::Borrowed(pieces.next()?.as_str());
    for piece in pieces {
        text.to_mut().push_str(piece);
    }
    Some(text)
}
