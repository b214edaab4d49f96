//! Whose model it is: Converse is one dialect, but parameters beyond it differ by maker.
//!
//! Read from the model's id, also inside an ARN or behind the prefix of an inference profile
//! (`us.anthropic.claude-…`). An id that says nothing is [`Family::Other`], for which only
//! what Converse itself defines is sent.

use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Family {
    Claude,
    Nova,
    Titan,
    Cohere,
    Mistral,
    GptOss,
    Other,
}

impl Family {
    pub(crate) fn of(model: &str) -> Self {
        let model = model.to_ascii_lowercase();
        let signs = [
            ("anthropic.", Self::Claude),
            ("claude-", Self::Claude),
            ("amazon.nova", Self::Nova),
            ("amazon.titan", Self::Titan),
            ("cohere.", Self::Cohere),
            ("mistral.", Self::Mistral),
            ("openai.gpt-oss", Self::GptOss),
        ];
        signs
            .iter()
            .find(|(sign, _)| model.contains(sign))
            .map_or(Self::Other, |(_, family)| *family)
    }

    /// The model takes `cachePoint`; any other refuses the whole request over one.
    pub(crate) fn caches(self) -> bool {
        matches!(self, Self::Claude | Self::Nova)
    }
}

/// Major and minor version in a name such as `us.anthropic.claude-sonnet-4-5-20250929-v1:0`.
/// Absent where there is none: a new model, presumably.
pub(crate) fn claude_version(model: &str) -> Option<(u32, u32)> {
    let (_, name) = model.split_once("claude-")?;
    // A number of more than two digits is a date.
    let is_version = |piece: &&str| {
        matches!(piece.len(), 1 | 2) && piece.bytes().all(|byte| byte.is_ascii_digit())
    };
    let mut numbers = name
        .split(['-', '.', ':', '@'])
        .skip_while(|piece| !is_version(piece))
        .take_while(is_version)
        .filter_map(|piece| piece.parse().ok());
    let major = numbers.next()?;
    Some((major, numbers.next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn family_is_read_from_ids_profiles_and_arns() {
        let expected = [
            ("anthropic.claude-3-haiku-20240307-v1:0", Family::Claude),
            ("global.anthropic.claude-opus-4-6-v1", Family::Claude),
            (
                "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0",
                Family::Titan,
            ),
            ("eu.amazon.nova-2-lite-v1:0", Family::Nova),
            ("cohere.embed-v4:0", Family::Cohere),
            ("openai.gpt-oss-120b-1:0", Family::GptOss),
            ("mistral.mistral-large-2407-v1:0", Family::Mistral),
            ("arn:aws:bedrock:us-east-1:1:application-inference-profile/x1", Family::Other),
            ("us.deepseek.r1-v1:0", Family::Other),
        ];
        for (model, family) in expected {
            assert_eq!(Family::of(model), family, "{model}");
        }
    }

    #[test]
    fn version_of_claude_is_read_from_its_name() {
        assert_eq!(claude_version("us.anthropic.claude-sonnet-4-5-20250929-v1:0"), Some((4, 5)));
        assert_eq!(claude_version("anthropic.claude-3-7-sonnet-20250219-v1:0"), Some((3, 7)));
        assert_eq!(claude_version("anthropic.claude-sonnet-4-20250514-v1:0"), Some((4, 0)));
        assert_eq!(claude_version("anthropic.claude-opus-4-6-v1"), Some((4, 6)));
        assert_eq!(claude_version("anthropic.claude-next"), None);
        assert_eq!(claude_version("amazon.nova-pro-v1:0"), None);
    }
}
