//! What a model takes, which depends on its age.
//!
//! | from | change |
//! |---|---|
//! | 3.7 | thinks, by budget |
//! | 4.1 | `temperature` or `top_p`, not both |
//! | 4.6 | thinks adaptively, with an effort; still takes a budget |
//! | 4.7 | no budget, no sampling parameters at all; the text of thinking is left out unless asked for |
//!
//! A name with `claude` and no version is taken for a new model. Any other name is that of a
//! server that took over the wire: those take what Claude 4 took.

/// A model's version and what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    Claude(Option<(u32, u32)>),
    Other,
}

impl Model {
    pub(super) fn of(name: &str) -> Self {
        match name.split_once("claude") {
            Some((_, rest)) => Self::Claude(version(rest)),
            None => Self::Other,
        }
    }

    pub(super) fn thinks(self) -> bool {
        self.is_from((3, 7)) || self == Self::Other
    }

    pub(super) fn takes_budget(self) -> bool {
        !self.is_from((4, 7))
    }

    pub(super) fn takes_effort(self) -> bool {
        self.is_from((4, 6))
    }

    /// It knows the effort `xhigh`.
    pub(super) fn takes_xhigh(self) -> bool {
        self.is_from((4, 7))
    }

    /// It must be asked for the text of its thinking.
    pub(super) fn hides_thinking(self) -> bool {
        self.is_from((4, 7))
    }

    pub(super) fn takes_sampling(self) -> bool {
        !self.is_from((4, 7))
    }

    /// `temperature` excludes `top_p`.
    pub(super) fn takes_one_of_temperature_and_top_p(self) -> bool {
        self.is_from((4, 1))
    }

    fn is_from(self, first: (u32, u32)) -> bool {
        match self {
            Self::Claude(version) => version.is_none_or(|version| version >= first),
            Self::Other => false,
        }
    }
}

/// Of what follows `claude` in a name such as `claude-opus-4-7-20260416`,
/// `claude-3-7-sonnet-latest`, `anthropic.claude-sonnet-5-v1:0` or `claude-opus-4.6`. A
/// number of more than two digits is a date.
fn version(rest: &str) -> Option<(u32, u32)> {
    let mut numbers = rest
        .split(['-', '.', '@', ':'])
        .skip_while(|piece| !is_version(piece))
        .take_while(|piece| is_version(piece))
        .filter_map(|piece| piece.parse().ok());
    let major = numbers.next()?;
    Some((major, numbers.next().unwrap_or(0)))
}

fn is_version(piece: &str) -> bool {
    matches!(piece.len(), 1 | 2) && piece.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_names() {
        for (name, version) in [
            ("claude-opus-4-7-20260416", Some((4, 7))),
            ("claude-sonnet-4-20250514", Some((4, 0))),
            ("claude-3-7-sonnet-latest", Some((3, 7))),
            ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", Some((4, 5))),
            ("claude-opus-4-1@20250805", Some((4, 1))),
            ("claude-opus-5", Some((5, 0))),
            ("claude-mythos-preview", None),
        ] {
            assert_eq!(Model::of(name), Model::Claude(version), "{name}");
        }
        assert_eq!(Model::of("MiniMax-M2.5"), Model::Other);
    }

    #[test]
    fn new_models_take_effort_and_no_sampling() {
        for name in ["claude-opus-4-7", "claude-sonnet-5", "claude-mythos-preview"] {
            let model = Model::of(name);
            assert!(model.takes_effort() && !model.takes_sampling() && !model.takes_budget());
        }
        let between = Model::of("claude-opus-4-6");
        assert!(between.takes_effort() && between.takes_budget() && between.takes_sampling());
        let other = Model::of("deepseek-chat");
        assert!(other.thinks() && other.takes_budget() && other.takes_sampling());
        assert!(!Model::of("claude-3-5-haiku-latest").thinks());
    }
}
