//! What a model's name tells about what it takes.
//!
//! Google changes the wire with the generation of a model, and refuses what the model does
//! not know. A name without a number that ends in `latest` is a model of the newest kind; a
//! name that is no Gemini's gets nothing that any model could refuse.

/// How a model is told how long to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// By a level.
    Level {
        /// `MINIMAL` is one of them.
        minimal: bool,
        /// `MEDIUM` is one of them.
        medium: bool,
    },
    /// By tokens, from the least to the most that the model accepts.
    Budget {
        least: u64,
        most: u64,
        /// A budget of 0 is accepted.
        can_be_off: bool,
    },
    /// It thinks as it pleases.
    Fixed,
    /// Thinking cannot be asked for.
    Never,
}

/// A model by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Model<'a> {
    /// Without the resource it stands in.
    name: &'a str,
    /// Major and minor; the highest for `latest`. Absent for other families.
    version: Option<(u32, u32)>,
}

impl<'a> Model<'a> {
    pub(crate) fn of(model: &'a str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        Self { name, version: name.strip_prefix("gemini-").and_then(version) }
    }

    /// Gives every call an id, wants it back with the result, and refuses calls of the
    /// current turn without their thought signature; takes media inside a tool's result.
    pub(crate) fn is_third_generation(self) -> bool {
        self.version.is_some_and(|version| version >= (3, 0))
    }

    /// Refuses JSON mode together with function declarations.
    pub(crate) fn has_tools_or_json(self) -> bool {
        self.version.is_some_and(|version| version < (3, 0))
    }

    /// From the tables at ai.google.dev/gemini-api/docs/thinking.
    pub(crate) fn thinking(self) -> Thinking {
        let is = |word: &str| self.name.contains(word);
        match self.version {
            Some(version) if version >= (3, 0) && is("image") => Thinking::Fixed,
            // Flash models up to 3.5 can do with hardly any thinking, Pro and later ones refuse.
            Some(version) if version >= (3, 0) => Thinking::Level {
                minimal: version <= (3, 5) && is("flash"),
                medium: version != (3, 0) || is("flash"),
            },
            Some((2, 5)) if is("image") || is("tts") => Thinking::Never,
            Some((2, 5)) if is("pro") => {
                Thinking::Budget { least: 128, most: 32_768, can_be_off: false }
            }
            Some((2, 5)) if is("lite") => {
                Thinking::Budget { least: 512, most: 24_576, can_be_off: true }
            }
            Some((2, 5)) => Thinking::Budget { least: 1, most: 24_576, can_be_off: true },
            _ => Thinking::Never,
        }
    }

    /// On Vertex: embeds through `embedContent` and not through `predict`.
    pub(crate) fn embeds_content(self) -> bool {
        let generation = self.name.strip_prefix("gemini-embedding-").unwrap_or_default();
        // The first is called 001.
        generation.starts_with(|first: char| first.is_ascii_digit() && first != '0')
    }
}

/// Of `2.5-flash`, `3-pro-preview` or `flash-latest`.
fn version(name: &str) -> Option<(u32, u32)> {
    let number = name.split('-').next().unwrap_or(name);
    let mut pieces = number.splitn(2, '.').map(|piece| piece.parse::<u32>().ok());
    match pieces.next().flatten() {
        Some(major) => Some((major, pieces.next().flatten().unwrap_or(0))),
        None => name.ends_with("latest").then_some((u32::MAX, u32::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_read_from_names() {
        for model in ["gemini-3-pro-preview", "gemini-3.8-flash", "gemini-flash-latest"] {
            assert!(Model::of(model).is_third_generation(), "{model}");
        }
        for model in ["gemini-2.5-pro", "gemma-3-27b-it", "endpoints/123", "gemini-exp-1206"] {
            assert!(!Model::of(model).is_third_generation(), "{model}");
        }
        assert!(Model::of("publishers/google/models/gemini-2.0-flash-001").has_tools_or_json());
        assert!(!Model::of("endpoints/123").has_tools_or_json());
    }

    #[test]
    fn thinking_is_asked_for_as_the_model_takes_it() {
        let thinking = |model| Model::of(model).thinking();
        let level = |minimal, medium| Thinking::Level { minimal, medium };
        assert_eq!(thinking("gemini-3-pro-preview"), level(false, false));
        assert_eq!(thinking("gemini-3-flash-preview"), level(true, true));
        assert_eq!(thinking("gemini-3.1-pro-preview"), level(false, true));
        assert_eq!(thinking("gemini-3.8-flash"), level(false, true));
        assert_eq!(thinking("gemini-flash-latest"), level(false, true));
        assert_eq!(thinking("gemini-3-pro-image-preview"), Thinking::Fixed);
        assert!(matches!(thinking("gemini-2.5-pro"), Thinking::Budget { least: 128, .. }));
        assert!(matches!(thinking("gemini-2.5-flash-lite"), Thinking::Budget { least: 512, .. }));
        assert_eq!(thinking("gemini-2.5-flash-image"), Thinking::Never);
        assert_eq!(thinking("gemini-2.0-flash"), Thinking::Never);
    }

    #[test]
    fn newer_embedding_models_are_told_from_the_first() {
        assert!(Model::of("gemini-embedding-2-preview").embeds_content());
        assert!(!Model::of("gemini-embedding-001").embeds_content());
        assert!(!Model::of("gemini-embedding-exp-03-07").embeds_content());
        assert!(!Model::of("text-embedding-005").embeds_content());
    }
}
