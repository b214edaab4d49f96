//! Reads the `provider` object from JSON.
//!
//! Lenient in form where `OpenRouter` is: `null` is absent, prices may be numeric strings,
//! names may have capitals. Strict in substance. Reads on after a problem, so that a client
//! learns of all of them at once; what is quoted of its input is cut.

use serde_json::{Map, Value};

use super::{
    Cutoffs, DataCollection, InvalidPreference, MaxPrice, Partition, Preferences, Quantization,
    Sort, SortBy,
};

/// Items of one list: `OpenRouter` has about a hundred providers.
pub const MAX_ITEMS: usize = 100;

/// Bytes of one slug: the longest model names are half as long.
pub const MAX_SLUG_BYTES: usize = 256;

/// Problems told of: more advise nobody.
const MAX_PROBLEMS: usize = 10;

/// Characters quoted of a value.
const QUOTED: usize = 40;

/// Bytes of a price written as a string.
const MAX_NUMBER_BYTES: usize = 32;

const KEYS: [&str; 13] = [
    "order",
    "only",
    "ignore",
    "allow_fallbacks",
    "require_parameters",
    "data_collection",
    "zdr",
    "enforce_distillable_text",
    "quantizations",
    "sort",
    "max_price",
    "preferred_min_throughput",
    "preferred_max_latency",
];
const PRICE_KEYS: [&str; 5] = ["prompt", "completion", "request", "image", "audio"];
const PERCENTILES: [&str; 4] = ["p50", "p75", "p90", "p99"];
const DATA_COLLECTION: [(&str, DataCollection); 2] =
    [("allow", DataCollection::Allow), ("deny", DataCollection::Deny)];
const PARTITIONS: [(&str, Partition); 2] = [("model", Partition::Model), ("none", Partition::None)];

/// Reads the whole object.
pub(super) fn provider(provider: &Value) -> Result<Preferences, InvalidPreference> {
    let mut problems = Problems::default();
    let preferences = read(provider, &mut problems);
    problems.into_result(preferences)
}

pub(super) fn read(provider: &Value, problems: &mut Problems) -> Preferences {
    let Some(object) = problems.object("provider", provider, &KEYS) else {
        return Preferences::default();
    };
    let get = |key| object.get(key).unwrap_or(&Value::Null);
    Preferences {
        order: problems.slugs("provider.order", get("order")),
        only: problems.slugs("provider.only", get("only")),
        ignore: problems.slugs("provider.ignore", get("ignore")),
        allow_fallbacks: problems.boolean("provider.allow_fallbacks", get("allow_fallbacks")),
        require_parameters: problems
            .boolean("provider.require_parameters", get("require_parameters"))
            .unwrap_or(false),
        data_collection: problems.one_of(
            "provider.data_collection",
            get("data_collection"),
            &DATA_COLLECTION,
        ),
        zdr: problems.boolean("provider.zdr", get("zdr")).unwrap_or(false),
        enforce_distillable_text: problems
            .boolean("provider.enforce_distillable_text", get("enforce_distillable_text"))
            .unwrap_or(false),
        quantizations: problems.quantizations(get("quantizations")),
        sort: problems.sort(get("sort")),
        max_price: problems.max_price(get("max_price")),
        preferred_min_throughput: problems
            .cutoffs("provider.preferred_min_throughput", get("preferred_min_throughput")),
        preferred_max_latency: problems
            .cutoffs("provider.preferred_max_latency", get("preferred_max_latency")),
    }
}

/// What was wrong so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    first: Option<String>,
    messages: Vec<String>,
    unlisted: usize,
}

impl Problems {
    pub(super) fn into_result<T>(self, value: T) -> Result<T, InvalidPreference> {
        let Some(param) = self.first else { return Ok(value) };
        let mut message = self.messages.join("; ");
        if self.unlisted > 0 {
            message.push_str(&format!("; and {} more", self.unlisted));
        }
        Err(InvalidPreference { param, message })
    }

    /// Notes that `found` stands where `expected` should.
    pub(super) fn unexpected(&mut self, param: &str, found: &Value, expected: &str) {
        self.note(param, &format!("found {}, expected {expected}", quote(found)));
    }

    pub(super) fn note(&mut self, param: &str, what: &str) {
        if self.messages.len() < MAX_PROBLEMS {
            self.messages.push(format!("{param}: {what}"));
        } else {
            self.unlisted += 1;
        }
        self.first.get_or_insert_with(|| param.to_owned());
    }

    /// The object, with each key it should not have noted; nothing where it is `null`.
    fn object<'a>(
        &mut self,
        param: &str,
        value: &'a Value,
        known: &[&str],
    ) -> Option<&'a Map<String, Value>> {
        let object = match value {
            Value::Object(object) => object,
            Value::Null => return None,
            other => {
                let expected = format!("an object with any of {}", known.join(", "));
                self.unexpected(param, other, &expected);
                return None;
            }
        };
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            let key = cut(key);
            self.note(
                &format!("{param}.{key}"),
                &format!("unknown key, expected any of {}", known.join(", ")),
            );
        }
        Some(object)
    }

    fn boolean(&mut self, param: &str, value: &Value) -> Option<bool> {
        match value {
            Value::Bool(value) => Some(*value),
            Value::Null => None,
            other => {
                self.unexpected(param, other, "true or false");
                None
            }
        }
    }

    pub(super) fn one_of<T: Copy>(
        &mut self,
        param: &str,
        value: &Value,
        names: &[(&str, T)],
    ) -> Option<T> {
        if value.is_null() {
            return None;
        }
        let named = value.as_str().and_then(|text| {
            names.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, named)| *named)
        });
        if named.is_none() {
            self.unexpected(param, value, &alternatives(names));
        }
        named
    }

    /// The items of a list, each with its name; none where it is `null` or too long.
    pub(super) fn items<'a>(
        &mut self,
        param: &str,
        value: &'a Value,
        limit: usize,
        what: &str,
    ) -> Vec<(String, &'a Value)> {
        let items = match value {
            Value::Array(items) => items,
            Value::Null => return Vec::new(),
            other => {
                self.unexpected(param, other, &format!("a list of {what}"));
                return Vec::new();
            }
        };
        if items.len() > limit {
            self.note(param, &format!("found {} items, expected at most {limit}", items.len()));
            return Vec::new();
        }
        items.iter().enumerate().map(|(at, item)| (format!("{param}[{at}]"), item)).collect()
    }

    /// Text that is not empty.
    pub(super) fn text<'a>(
        &mut self,
        param: &str,
        value: &'a Value,
        limit: usize,
        what: &str,
    ) -> Option<&'a str> {
        match value {
            Value::String(text) if text.trim().is_empty() => {
                self.note(param, &format!("found an empty string, expected {what}"));
                None
            }
            Value::String(text) if text.len() > limit => {
                let found = text.len();
                self.note(
                    param,
                    &format!("found {found} bytes, expected {what} of at most {limit}"),
                );
                None
            }
            Value::String(text) => Some(text.trim()),
            other => {
                self.unexpected(param, other, what);
                None
            }
        }
    }

    fn slugs(&mut self, param: &str, value: &Value) -> Vec<String> {
        self.items(param, value, MAX_ITEMS, "provider or endpoint names")
            .into_iter()
            .filter_map(|(param, item)| {
                self.text(&param, item, MAX_SLUG_BYTES, "the name of a provider or endpoint")
            })
            .map(str::to_owned)
            .collect()
    }

    fn quantizations(&mut self, value: &Value) -> Vec<Quantization> {
        const PARAM: &str = "provider.quantizations";
        let names = &Quantization::NAMES;
        let items = self.items(PARAM, value, MAX_ITEMS, "quantizations such as \"fp8\"");
        let mut quantizations = Vec::with_capacity(items.len());
        for (param, item) in items {
            match self.one_of(&param, item, names) {
                Some(quantization) => quantizations.push(quantization),
                None if item.is_null() => self.unexpected(&param, item, &alternatives(names)),
                None => {}
            }
        }
        quantizations
    }

    fn sort(&mut self, value: &Value) -> Sort {
        match value {
            Value::Null => Sort::default(),
            Value::Object(_) => {
                let Some(object) = self.object("provider.sort", value, &["by", "partition"]) else {
                    return Sort::default();
                };
                let get = |key| object.get(key).unwrap_or(&Value::Null);
                Sort {
                    by: self.one_of("provider.sort.by", get("by"), &SortBy::NAMES),
                    partition: self.one_of(
                        "provider.sort.partition",
                        get("partition"),
                        &PARTITIONS,
                    ),
                }
            }
            Value::String(_) => {
                Sort { by: self.one_of("provider.sort", value, &SortBy::NAMES), partition: None }
            }
            other => {
                let names = alternatives(&SortBy::NAMES);
                self.unexpected("provider.sort", other, &format!("{names}, or {{by, partition}}"));
                Sort::default()
            }
        }
    }

    fn max_price(&mut self, value: &Value) -> MaxPrice {
        let Some(object) = self.object("provider.max_price", value, &PRICE_KEYS) else {
            return MaxPrice::default();
        };
        let mut price = |key: &str| {
            let value = object.get(key).filter(|value| !value.is_null())?;
            let number = match value {
                Value::String(text) if text.len() <= MAX_NUMBER_BYTES => text.trim().parse().ok(),
                other => other.as_f64(),
            };
            let number = number.filter(|number: &f64| number.is_finite() && *number >= 0.0);
            if number.is_none() {
                let param = format!("provider.max_price.{key}");
                self.unexpected(&param, value, "US dollars, as a number from 0 or such a string");
            }
            number
        };
        MaxPrice {
            prompt: price("prompt"),
            completion: price("completion"),
            request: price("request"),
            image: price("image"),
            audio: price("audio"),
        }
    }

    fn cutoffs(&mut self, param: &str, value: &Value) -> Cutoffs {
        match value {
            Value::Object(_) => {
                let Some(object) = self.object(param, value, &PERCENTILES) else {
                    return Cutoffs::default();
                };
                let mut cutoff = |key: &str| {
                    let value = object.get(key).filter(|value| !value.is_null())?;
                    self.positive(&format!("{param}.{key}"), value, "a number above 0")
                };
                Cutoffs {
                    p50: cutoff("p50"),
                    p75: cutoff("p75"),
                    p90: cutoff("p90"),
                    p99: cutoff("p99"),
                }
            }
            Value::Null => Cutoffs::default(),
            other => {
                let expected = "a number above 0 for the median, or {p50, p75, p90, p99}";
                Cutoffs { p50: self.positive(param, other, expected), ..Cutoffs::default() }
            }
        }
    }

    fn positive(&mut self, param: &str, value: &Value, expected: &str) -> Option<f64> {
        let number = value.as_f64().filter(|number| number.is_finite() && *number > 0.0);
        if number.is_none() {
            self.unexpected(param, value, expected);
        }
        number
    }
}

/// The names as a list for people: `"a", "b" or "c"`.
pub(super) fn alternatives<T>(names: &[(&str, T)]) -> String {
    let quoted: Vec<String> = names.iter().map(|(name, _)| format!("{name:?}")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

/// A value as it may stand in a message.
fn quote(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("{:?}", cut(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
