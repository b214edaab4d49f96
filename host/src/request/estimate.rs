//! Usage where a provider reports none: characters counted, marked as an estimate.
//!
//! Four bytes of text make a token on the average of English and code with today's
//! tokenizers. Good to a third or so: enough to see what a call roughly cost, not to bill.

use torana_wire::chat::{Block, Response, Usage};

use super::decode::Call;

/// Bytes of UTF-8 that make a token.
pub const BYTES_PER_TOKEN: u64 = 4;

/// Tokens of so many bytes.
pub fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN)
}

/// What a call probably used.
pub fn usage(call: &Call, response: &Response) -> Usage {
    let output = response.blocks.iter().map(length).sum();
    let reasoning = response.blocks.iter().filter(|block| is_reasoning(block)).map(length).sum();
    Usage {
        input: tokens(call.body.len()),
        output: tokens(output),
        reasoning: tokens(reasoning),
        estimated: true,
        ..Usage::default()
    }
}

fn is_reasoning(block: &Block) -> bool {
    matches!(block, Block::Reasoning { .. })
}

fn length(block: &Block) -> usize {
    match block {
        Block::Text { text, .. } | Block::Reasoning { text, .. } | Block::Refusal { text } => {
            text.len()
        }
        Block::ToolCall { name, arguments, .. } => name.len() + arguments.len(),
        Block::ToolResult { .. } | Block::Media { .. } | Block::Other { .. } => 0,
    }
}
