//! What one validation may cost.
//!
//! A schema is the client's: references can make a small one mean an exponential amount of
//! work, or recursion deeper than the stack. So every schema object `S` is checked as
//! `{"allOf": [{toll}, S]}`: the toll, a keyword of our own, pays for `S` and fails once the
//! budget is spent, which ends the evaluation before it goes into `S`. (A keyword inside `S`
//! would not do: the library runs custom keywords last.)

use std::cell::Cell;

use jsonschema::paths::Location;
use jsonschema::{Keyword, ValidationError};
use serde_json::{Map, Value, json};

/// The keyword that pays. In a client's schema it would pay too, which does no harm.
pub(super) const KEYWORD: &str = "x-torana-budget";

/// Steps of one validation: some hundred milliseconds at worst. An answer of a thousand
/// values and a schema of fifty keywords take fifty thousand at most.
const STEPS: u64 = 4_000_000;

/// Stack of one validation: a quarter of what a tokio worker has.
const STACK_BYTES: usize = 512 * 1024;

/// Bytes of a string that count as one step, patterns apart.
const BYTES_PER_STEP: usize = 16;

thread_local! {
    static STEPS_LEFT: Cell<u64> = const { Cell::new(0) };
    static STACK_BASE: Cell<usize> = const { Cell::new(0) };
}

/// The budget was spent before there was a result.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spent;

/// Runs a validation within a fresh budget.
pub(super) fn within<T>(validation: impl FnOnce() -> T) -> Result<T, Spent> {
    STACK_BASE.set(stack_position());
    STEPS_LEFT.set(STEPS);
    let result = validation();
    if STEPS_LEFT.get() == 0 { Err(Spent) } else { Ok(result) }
}

/// Puts the toll before a schema object.
pub(super) fn charge(schema: &mut Map<String, Value>) {
    let entries = |keyword: &str| match schema.get(keyword) {
        Some(Value::Object(entries)) => entries.len(),
        Some(Value::Array(entries)) => entries.len(),
        _ => 0,
    };
    let patterns = if schema.contains_key("pattern") { BYTES_PER_STEP } else { 0 };
    let steps = 1 + schema.len() + entries("patternProperties") + entries("enum") + patterns;
    let charged = std::mem::take(schema);
    schema.insert("allOf".into(), json!([{KEYWORD: steps}, charged]));
}

/// What [`charge`] puts between a schema object and its keywords, as part of a reference.
pub(super) const DETOUR: &str = "/allOf/1";

/// Makes the toll of one schema object.
pub(super) fn toll<'a>(
    _schema: &'a Map<String, Value>,
    steps: &'a Value,
    _location: Location,
) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>> {
    Ok(Box::new(Toll { steps: steps.as_u64().unwrap_or(1) }))
}

/// Pays for one schema object, by the size of the instance.
struct Toll {
    steps: u64,
}

impl Toll {
    fn pay(&self, instance: &Value) -> bool {
        let size = match instance {
            Value::String(text) => text.len() / BYTES_PER_STEP,
            Value::Array(items) => items.len(),
            Value::Object(entries) => entries.len(),
            _ => 0,
        };
        let size = u64::try_from(size).unwrap_or(u64::MAX).saturating_add(1);
        let deep = STACK_BASE.get().abs_diff(stack_position()) > STACK_BYTES;
        let left = if deep { 0 } else { STEPS_LEFT.get() };
        let left = left.saturating_sub(self.steps.saturating_mul(size));
        STEPS_LEFT.set(left);
        left > 0
    }
}

impl<'i> Keyword<'i> for Toll {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if self.pay(instance) {
            Ok(())
        } else {
            Err(ValidationError::custom("the schema takes too many steps to check"))
        }
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        self.pay(instance)
    }
}

/// Roughly where the top of the stack is.
#[inline(never)]
fn stack_position() -> usize {
    let here = 0_u8;
    std::hint::black_box(&raw const here).addr()
}
