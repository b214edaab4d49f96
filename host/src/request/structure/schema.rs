//! A client's JSON Schema, ready to check answers against.
//!
//! Draft 2020-12 unless `$schema` says otherwise; `format` annotates, as the draft has it.
//! Nothing is ever fetched: a `$ref` must begin with `#`. Patterns run on the linear-time
//! engine, so lookaround and back references are refused. Size, patterns and the work of one
//! check are bounded: what cannot be checked within them is [`Validity::Unchecked`], which is
//! nobody's fault and must not fail an answer.

use std::collections::HashMap;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

use super::budget;
use super::subschemas::{follow, visit};

const REFERENCE: &str = "$ref";
/// Their targets depend on the way an evaluation took.
const DYNAMIC_REFERENCES: [&str; 2] = ["$dynamicRef", "$recursiveRef"];
/// The largest schema, as compact JSON. OpenAI's own limits (5,000 properties, 120,000
/// characters of names) end below it.
const MAX_SCHEMA_BYTES: usize = 256 * 1024;
/// Patterns in a schema. Each may take ten milliseconds to compile.
const MAX_PATTERNS: usize = 64;
/// References in a schema: a chain of them is as deep on the stack as it is long.
const MAX_REFERENCES: usize = 1000;
/// How deep the weight of a schema is counted, references followed.
const MAX_WEIGHED_DEPTH: usize = 256;
/// A compiled pattern.
const PATTERN_BYTES: usize = 1024 * 1024;
/// The largest text that is checked: eight times the longest answer of today's models.
pub const MAX_TEXT_BYTES: usize = 4 * 1024 * 1024;
/// Errors told of one answer: as many as a model can mend at once.
const MAX_ERRORS: usize = 8;
/// Of one error's message, which may quote the answer.
const MAX_MESSAGE_CHARS: usize = 300;
/// Evaluations at most for which all errors are collected, not only a verdict: collecting
/// cannot be stopped halfway.
const MAX_COLLECTED: u64 = 200_000;
/// Evaluations at most for which the first error is looked for.
const MAX_EXPLAINED: u64 = 5_000_000;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    /// Schema objects with references followed; `None` when it is recursive.
    weight: Option<u64>,
}

/// Why a schema cannot be used: the client's mistake.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("the schema has more than {MAX_SCHEMA_BYTES} bytes")]
    TooLarge,
    #[error("the schema has more than {MAX_PATTERNS} patterns")]
    TooManyPatterns,
    #[error("the schema has more than {MAX_REFERENCES} references")]
    TooManyReferences,
    #[error("`{0}`: only a `$ref` within the schema is followed; nothing is ever fetched")]
    Remote(String),
    #[error("the reference `{0}` leads to no schema")]
    Dangling(String),
    #[error("a schema within the schema has an `$id` of its own, `{0}`")]
    NestedId(String),
    /// The linear-time engine does not take the pattern.
    #[error("{message} that is checked here (no lookaround, no back references, a bounded size)")]
    Pattern {
        message: String,
        #[source]
        source: Box<jsonschema::ValidationError<'static>>,
    },
    #[error("it is not a valid JSON Schema: {message}")]
    Invalid {
        /// The library's message, shortened: it may quote the schema.
        message: String,
        #[source]
        source: Box<jsonschema::ValidationError<'static>>,
    },
}

/// What a check says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validity {
    Valid,
    /// At least one error, and only the first few.
    Invalid {
        errors: Vec<Mismatch>,
    },
    /// Too large or too much work to tell.
    Unchecked,
}

/// A place in an answer that is not as the schema has it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", if .path.is_empty() { "the value" } else { .path.as_str() })]
pub struct Mismatch {
    /// JSON pointer into the answer; empty for the whole of it.
    pub path: String,
    pub message: String,
}

impl Mismatch {
    pub(super) fn of_the_whole(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into() }
    }
}

impl Schema {
    /// Compiles a schema. Costs some microseconds a keyword.
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        // Written out to be measured: a schema is small or refused.
        if schema.to_string().len() > MAX_SCHEMA_BYTES {
            return Err(SchemaError::TooLarge);
        }
        let prepared = prepare(schema)?;
        let validator = jsonschema::options()
            .offline()
            .should_validate_formats(false)
            .with_pattern_options(
                PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES),
            )
            .with_keyword(budget::KEYWORD, budget::toll)
            .build(&prepared)
            .map_err(refused)?;
        let weight = Weigher::of(schema);
        Ok(Self { validator, weight })
    }

    /// Checks JSON text.
    pub fn validate(&self, text: &str) -> Validity {
        if text.len() > MAX_TEXT_BYTES {
            return Validity::Unchecked;
        }
        match serde_json::from_str(text) {
            Ok(value) => self.check(&value),
            Err(error) => Validity::Invalid {
                errors: vec![Mismatch::of_the_whole(format!("not valid JSON: {error}"))],
            },
        }
    }

    /// Checks a value. Its size is the caller's to bound.
    pub fn check(&self, value: &Value) -> Validity {
        match budget::within(|| self.validator.is_valid(value)) {
            Err(budget::Spent) => Validity::Unchecked,
            Ok(true) => Validity::Valid,
            Ok(false) => Validity::Invalid { errors: self.errors(value) },
        }
    }

    fn errors(&self, value: &Value) -> Vec<Mismatch> {
        let evaluations = self.weight.map(|weight| weight.saturating_mul(count(value)));
        let found = budget::within(|| match evaluations {
            Some(..=MAX_COLLECTED) => {
                let errors = self.validator.iter_errors(value).take(MAX_ERRORS);
                errors.map(|error| mismatch(&error)).collect()
            }
            Some(..=MAX_EXPLAINED) => {
                self.validator.validate(value).err().iter().map(mismatch).collect()
            }
            _ => Vec::new(),
        });
        found
            .ok()
            .filter(|errors| !errors.is_empty())
            .unwrap_or_else(|| vec![Mismatch::of_the_whole("it does not match the schema")])
    }
}

fn refused(error: jsonschema::ValidationError<'static>) -> SchemaError {
    let message = shortened(&error.to_string());
    match error.kind() {
        ValidationErrorKind::Format { format } if format == "regex" => {
            SchemaError::Pattern { message, source: Box::new(error) }
        }
        _ => SchemaError::Invalid { message, source: Box::new(error) },
    }
}

fn mismatch(error: &jsonschema::ValidationError<'_>) -> Mismatch {
    Mismatch {
        path: error.instance_path().as_str().to_owned(),
        message: shortened(&error.to_string()),
    }
}

fn shortened(message: &str) -> String {
    match message.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
        None => message.to_owned(),
    }
}

/// The schema with a toll everywhere. Refuses what would have to be fetched and what the
/// bounds could not see.
fn prepare(schema: &Value) -> Result<Value, SchemaError> {
    let dialect = schema.get("$schema").and_then(Value::as_str);
    let id_keyword = if dialect.is_some_and(|uri| uri.contains("draft-04")) { "id" } else { "$id" };
    let mut patterns = 0_usize;
    let mut references = 0_usize;
    let mut ids = Vec::new();
    let mut wrong = None;
    let mut prepared = schema.clone();
    visit(&mut prepared, &mut |object| {
        let named = object.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
        patterns += named + usize::from(object.contains_key("pattern"));
        ids.push(object.get(id_keyword).and_then(Value::as_str).map(str::to_owned));
        if let Some(dynamic) = DYNAMIC_REFERENCES.iter().find(|k| object.contains_key(**k)) {
            wrong = Some(SchemaError::Remote((*dynamic).to_owned()));
        }
        if let Some(Value::String(reference)) = object.get_mut(REFERENCE) {
            references += 1;
            match redirected(schema, reference) {
                Ok(redirected) => *reference = redirected,
                Err(error) => wrong = Some(error),
            }
        }
        budget::charge(object);
    });
    // The outermost object comes last; it alone may have a name.
    ids.pop();
    // Before draft 2019-09 an `$id` with a fragment alone is an anchor.
    let nested = ids.into_iter().flatten().find(|id| !id.starts_with('#'));
    if let Some(wrong) = wrong.or_else(|| nested.map(SchemaError::NestedId)) {
        return Err(wrong);
    }
    if patterns > MAX_PATTERNS {
        return Err(SchemaError::TooManyPatterns);
    }
    if references > MAX_REFERENCES {
        return Err(SchemaError::TooManyReferences);
    }
    hoist(&mut prepared, &["$schema", id_keyword]);
    Ok(prepared)
}

/// A reference into the schema, as it reads once the tolls are in.
fn redirected(root: &Value, reference: &str) -> Result<String, SchemaError> {
    let Some(fragment) = reference.strip_prefix('#') else {
        return Err(SchemaError::Remote(shortened(reference)));
    };
    if !(fragment.is_empty() || fragment.starts_with('/')) {
        return Ok(reference.to_owned());
    }
    let Some((_, tokens)) = follow(root, fragment) else {
        return Err(SchemaError::Dangling(shortened(reference)));
    };
    let mut redirected = String::from("#");
    for token in tokens {
        if token.of_schema {
            redirected.push_str(budget::DETOUR);
        }
        redirected.push('/');
        redirected.push_str(token.text);
    }
    Ok(redirected)
}

/// Moves what names a document back to its outermost object.
fn hoist(prepared: &mut Value, keywords: &[&str]) {
    for keyword in keywords {
        let inner = prepared.pointer_mut(budget::DETOUR).and_then(Value::as_object_mut);
        let moved = inner.and_then(|inner| inner.shift_remove(*keyword));
        if let (Some(moved), Some(outer)) = (moved, prepared.as_object_mut()) {
            outer.insert((*keyword).to_owned(), moved);
        }
    }
}

/// Counts what a schema means when its references are written out.
struct Weigher<'a> {
    root: &'a Value,
    /// By fragment; `None` while it is being weighed, so that a recursive one has no weight.
    known: HashMap<&'a str, Option<u64>>,
    depth: usize,
}

impl<'a> Weigher<'a> {
    /// `None` for a recursive schema, and for one too deep to tell.
    fn of(root: &'a Value) -> Option<u64> {
        Self { root, known: HashMap::new(), depth: 0 }.weigh(root)
    }

    fn weigh(&mut self, value: &'a Value) -> Option<u64> {
        self.depth += 1;
        if self.depth > MAX_WEIGHED_DEPTH {
            return None;
        }
        let mut weight = 1_u64;
        match value {
            Value::Array(items) => {
                for item in items {
                    weight = weight.saturating_add(self.weigh(item)?);
                }
            }
            Value::Object(entries) => {
                for (key, entry) in entries {
                    let part = match entry.as_str().filter(|_| key == REFERENCE) {
                        Some(reference) => self.refer(reference)?,
                        None => self.weigh(entry)?,
                    };
                    weight = weight.saturating_add(part);
                }
            }
            _ => {}
        }
        self.depth -= 1;
        Some(weight)
    }

    fn refer(&mut self, reference: &'a str) -> Option<u64> {
        // `#` is the root, which is being weighed; where an anchor is, nobody here knows.
        let fragment = reference.strip_prefix('#').filter(|fragment| fragment.starts_with('/'))?;
        if let Some(known) = self.known.get(fragment) {
            return *known;
        }
        self.known.insert(fragment, None);
        let weight = self.weigh(follow(self.root, fragment)?.0)?;
        self.known.insert(fragment, Some(weight));
        Some(weight)
    }
}

/// Values in `value`, itself included.
fn count(value: &Value) -> u64 {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(entries) => entries.values().map(count).sum::<u64>(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
