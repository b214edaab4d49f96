//! What may be a name: of a provider, a model, a sink and so on.
//!
//! Names turn up in requests, headers, metric labels and file names; they are kept to
//! characters that need no escaping in any of those.

/// Longest name. Names are labels of metrics and columns of rows, not descriptions.
const LONGEST_BYTES: usize = 128;

/// Clients write `function::NAME` in the place of a model.
const FUNCTION_PREFIX: &str = "function::";

/// Which names a table takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameRule {
    /// Letters, digits, `-`, `_` and `.`.
    Plain,
    /// What clients call a model: `:` and `/` as well.
    Model,
}

impl NameRule {
    /// What is wrong with a name, if anything is.
    pub(super) fn objection(self, name: &str) -> Option<&'static str> {
        let (also, expected) = match self {
            Self::Plain => {
                ("-_.", "not a name; expected 1 to 128 letters, digits, '-', '_' or '.'")
            }
            Self::Model => (
                "-_.:/",
                "not a name; expected 1 to 128 letters, digits, '-', '_', '.', ':' or '/'",
            ),
        };
        let taken = |character: char| character.is_ascii_alphanumeric() || also.contains(character);
        if name.is_empty() || name.len() > LONGEST_BYTES || !name.chars().all(taken) {
            return Some(expected);
        }
        (self == Self::Model && name.starts_with(FUNCTION_PREFIX))
            .then_some("not a name for a model; \"function::\" is how clients name a function")
    }
}

/// A provider's own name for a model: whatever the provider likes, as long as it is one
/// visible word.
pub(super) fn is_provider_model(name: &str) -> bool {
    /// The longest known are paths of about 80 characters.
    const LONGEST_BYTES: usize = 256;
    !name.is_empty() && name.len() <= LONGEST_BYTES && name.bytes().all(|b| b.is_ascii_graphic())
}

/// A dotted key's last part, quoted when it would not read as one part.
pub(super) fn quoted_part(name: &str) -> String {
    let bare = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    if !name.is_empty() && name.chars().all(bare) {
        return name.to_owned();
    }
    /// A message stays a line.
    const SHOWN: usize = 80;
    format!("{:?}", name.chars().take(SHOWN).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_without_surprises() {
        for name in ["openai", "team-a", "v1.2_x", "A"] {
            assert_eq!(NameRule::Plain.objection(name), None, "{name}");
        }
        for name in ["", "a/b", "a b", "ü", "a\n", &"x".repeat(129)] {
            assert!(NameRule::Plain.objection(name).is_some(), "{name}");
        }
        assert_eq!(NameRule::Model.objection("openai/gpt-5:free"), None);
        assert!(NameRule::Model.objection("function::extract").is_some());
    }

    #[test]
    fn a_providers_model_is_one_visible_word() {
        assert!(is_provider_model("accounts/fireworks/models/x@1"));
        for name in ["", "two words", "line\n", &"x".repeat(257)] {
            assert!(!is_provider_model(name), "{name}");
        }
    }

    #[test]
    fn odd_parts_of_a_key_are_quoted() {
        assert_eq!(quoted_part("plain-1"), "plain-1");
        assert_eq!(quoted_part("a.b/c"), "\"a.b/c\"");
        assert_eq!(quoted_part("a\nb"), "\"a\\nb\"");
    }
}
