//! Usage where a provider reports none: characters counted, marked as an estimate.
//!
//! Four bytes of text make a token on the average of English and code with today's
//! tokenizers. Good to a third or so: enough to see what a call roughly cost, not to bill.

use torana_wire::chat::{Block, Response, Usage};

use super::decode::Call;

/// Bytes of UTF-8 that make a token.
const BYTES_PER_TOKEN: u64 = 4;

/// What a picture or a document stands for, whatever its bytes: the most that Anthropic counts
/// for a picture, and about a page of a document.
const TOKENS_PER_MEDIUM: u64 = 1_600;

/// A run of base64 of this many bytes is data, not text.
const SHORTEST_DATA: usize = 2_048;

/// Where base64 begins at the latest in such a run, after `data:` and a media type; and where
/// looking at it may stop.
const LOOKED_AT: std::ops::Range<usize> = 128..1_024;

/// Tokens of a request. Inline data is not text: it counts by the piece.
pub fn prompt(body: &[u8]) -> u64 {
    let mut data = 0;
    let mut pieces = 0;
    let mut rest = body;
    // From quote to quote, whichever opens and whichever closes: base64 has none in it.
    while let Some(quote) = memchr::memchr(b'"', rest) {
        rest = rest.get(quote + 1..).unwrap_or_default();
        let length = memchr::memchr(b'"', rest).unwrap_or(rest.len());
        if length >= SHORTEST_DATA && rest.get(LOOKED_AT).is_some_and(is_base64) {
            data += length;
            pieces += 1;
        }
    }
    tokens(body.len() - data) + pieces * TOKENS_PER_MEDIUM
}

/// Either alphabet of RFC 4648.
fn is_base64(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte))
}

/// Tokens of so many bytes of text.
pub fn tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN)
}

/// What a call probably used.
pub fn usage(call: &Call, response: &Response) -> Usage {
    let output = response.blocks.iter().map(length).sum();
    let reasoning = response.blocks.iter().filter(|block| is_reasoning(block)).map(length).sum();
    Usage {
        input: prompt(&call.body),
        output: tokens(output),
        reasoning: tokens(reasoning),
        estimated: true,
        ..Usage::default()
    }
}

/// Of an answer that nobody waited for to its end. What was reported by then does not count the
/// text that came since.
pub fn cut_off(reported: Usage, response: &Response) -> Usage {
    let output = tokens(response.blocks.iter().map(length).sum());
    let more = output > reported.output;
    Usage { output: output.max(reported.output), estimated: reported.estimated || more, ..reported }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_counts_by_its_length_and_data_by_the_piece() {
        let text = format!(r#"{{"content":"{}"}}"#, "a word and another ".repeat(1_000));
        assert_eq!(prompt(text.as_bytes()), tokens(text.len()));
        let chinese = format!(r#"{{"content":"{}"}}"#, "無空格的文字".repeat(1_000));
        assert_eq!(prompt(chinese.as_bytes()), tokens(chinese.len()));
        let numbers = format!(r#"{{"input":[{}1]}}"#, "1234,".repeat(5_000));
        assert_eq!(prompt(numbers.as_bytes()), tokens(numbers.len()));
        let data = "iVBORw0KGgo/".repeat(100_000);
        let body =
            format!(r#"{{"a b":"c d","url":"data:image/png;base64,{data}","data": "{data}"}}"#);
        let around = tokens(body.len() - 2 * data.len());
        let counted = prompt(body.as_bytes());
        assert!(counted <= around + 2 * TOKENS_PER_MEDIUM, "{counted}");
        assert!(counted >= 2 * TOKENS_PER_MEDIUM, "{counted}");
        for odd in ["", "\"", "\\", "\"\\", "no quotes"] {
            assert_eq!(prompt(odd.as_bytes()), tokens(odd.len()), "{odd}");
        }
    }
}
