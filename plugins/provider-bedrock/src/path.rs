//! Where an operation on a model is, below the base URL.
//!
//! A model id is one segment of the path: the `:` and `/` of versions and ARNs are escaped.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but the unreserved characters (RFC 3986, 2.3), which is what AWS signs.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `operation` is such as `converse`.
pub(crate) fn of(model: &str, operation: &str) -> String {
    format!("/model/{}/{operation}", utf8_percent_encode(model, ESCAPED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_arns_are_one_segment() {
        assert_eq!(
            of("anthropic.claude-3-haiku-20240307-v1:0", "converse"),
            "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse"
        );
        assert_eq!(
            of("arn:aws:bedrock:us-east-1:1:inference-profile/us.x?y", "invoke"),
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x%3Fy/invoke"
        );
    }
}
