//! What a client asks beside `provider`: models to fall back to, suffixes of their names, the
//! deprecated `route`, and the session.
//!
//! A sorting suffix is a short form of `provider.sort`, and the long form counts where both
//! are written. Other suffixes belong to the name: `llama3:8b` is a model.

use serde_json::Value;

use super::decode::{self, Problems};
use super::{InvalidPreference, Partition, Preferences, SortBy};

/// Items of `models`: each may cost an attempt at every endpoint it has.
pub const MAX_MODELS: usize = 10;

/// As in `OpenRouter`'s schema.
pub const MAX_SESSION_BYTES: usize = 256;

/// Bytes of a model's name.
const MAX_NAME_BYTES: usize = 256;

const ROUTES: [(&str, Partition); 2] = [("fallback", Partition::Model), ("sort", Partition::None)];

/// Fields of a request as they came; absent is `None`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fields<'a> {
    /// Already known to be text.
    pub model: Option<&'a str>,
    pub models: Option<&'a Value>,
    pub route: Option<&'a Value>,
    pub provider: Option<&'a Value>,
    /// From the body, or else from `x-session-id`.
    pub session_id: Option<&'a Value>,
}

/// All that a client says about where its request shall go.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Asked {
    /// In the order to be tried: `model`, then `models`, none twice. Empty where neither is
    /// there.
    pub models: Vec<Named>,
    pub preferences: Preferences,
    pub session_id: Option<String>,
}

impl Asked {
    /// Reads the fields.
    ///
    /// # Errors
    /// Values that make no sense: all of them at once.
    pub fn decode(fields: &Fields<'_>) -> Result<Self, InvalidPreference> {
        let mut problems = Problems::default();
        let mut preferences = match fields.provider {
            Some(provider) => decode::read(provider, &mut problems),
            None => Preferences::default(),
        };
        let route = problems.one_of("route", fields.route.unwrap_or(&Value::Null), &ROUTES);
        preferences.sort.partition = preferences.sort.partition.or(route);
        let asked = Self {
            models: models(fields, &mut problems),
            preferences,
            session_id: session(fields.session_id, &mut problems),
        };
        problems.into_result(asked)
    }
}

/// A model as a client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// As it was written.
    pub name: String,
    /// Without sorting suffixes.
    pub model: String,
    /// What its last sorting suffix asks for.
    pub sort: Option<SortBy>,
}

impl Named {
    pub fn read(name: &str) -> Self {
        let (model, suffixes) = Suffix::split(name);
        let sort = suffixes.last().map(|suffix| suffix.sort());
        Self { name: name.to_owned(), model: model.to_owned(), sort }
    }
}

/// What may follow a model's name after a colon and is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suffix {
    Nitro,
    Floor,
    Exacto,
}

impl Suffix {
    const NAMES: [(&'static str, Self); 3] =
        [("nitro", Self::Nitro), ("floor", Self::Floor), ("exacto", Self::Exacto)];

    /// The name without its sorting suffixes, and those, as written from left to right; the
    /// last one counts. Only what stands at the end is split off, and never the whole name.
    pub fn split(name: &str) -> (&str, Vec<Self>) {
        let mut model = name;
        let mut suffixes = Vec::new();
        while let Some((rest, last)) = model.rsplit_once(':')
            && !rest.is_empty()
            && let Some((_, suffix)) = Self::NAMES.iter().find(|(name, _)| *name == last)
        {
            model = rest;
            suffixes.push(*suffix);
        }
        suffixes.reverse();
        (model, suffixes)
    }

    pub fn sort(self) -> SortBy {
        match self {
            Self::Nitro => SortBy::Throughput,
            Self::Floor => SortBy::Price,
            Self::Exacto => SortBy::Exacto,
        }
    }
}

fn models(fields: &Fields<'_>, problems: &mut Problems) -> Vec<Named> {
    let first = fields.model.map(Named::read);
    let mut models: Vec<Named> = first.into_iter().collect();
    let Some(value) = fields.models else { return models };
    for (param, item) in problems.items("models", value, MAX_MODELS, "model names") {
        let Some(name) = problems.text(&param, item, MAX_NAME_BYTES, "the name of a model") else {
            continue;
        };
        let named = Named::read(name);
        if !models.iter().any(|known| known.model == named.model) {
            models.push(named);
        }
    }
    models
}

fn session(value: Option<&Value>, problems: &mut Problems) -> Option<String> {
    let value = value.filter(|value| !value.is_null() && value.as_str() != Some(""))?;
    problems.text("session_id", value, MAX_SESSION_BYTES, "a string").map(str::to_owned)
}
