//! What is known of a model at a provider, as endpoints and the catalog write it.

use torana_routing::price::LongPrice;

use super::super::reader::Table;
use super::super::{DataPolicy, Modality, Offer, Price, Quantization};

/// Dollars for a million tokens. The dearest model there is costs some hundred.
const HIGHEST_PRICE: f64 = 100_000.0;

/// Dollars for one request. The dearest fee there is, for a search, is some cents.
const HIGHEST_FEE: f64 = 1_000.0;

/// Tokens. The largest window there is has ten million.
pub(super) const MOST_TOKENS: u64 = 1_000_000_000;

/// A hundred years.
const LONGEST_RETENTION_DAYS: u64 = 36_525;

/// A chat request has some forty parameters.
const MOST_PARAMETERS: usize = 100;

/// The longest name is some twenty characters.
const LONGEST_PARAMETER_BYTES: usize = 64;

pub(in super::super) fn read_offer(table: &Table<'_>) -> Offer {
    Offer {
        price: table.optional_table("price", read_price).flatten(),
        context_window: table.integer("context_window", 1..=MOST_TOKENS),
        max_output: table.integer("max_output", 1..=MOST_TOKENS),
        inputs: table.choices("inputs", &Modality::NAMES),
        outputs: table.choices("outputs", &Modality::NAMES),
        parameters: read_parameters(table),
        quantization: table
            .choice("quantization", &Quantization::NAMES)
            .map(|quantization| quantization.value),
        data_policy: read_data_policy(table),
        distillable: table.optional_boolean("distillable"),
        prefill: table.optional_boolean("prefill"),
        prefill_parameters: table.settings("prefill_parameters"),
    }
}

pub(in super::super) fn read_data_policy(table: &Table<'_>) -> DataPolicy {
    table.table("data_policy", |table| DataPolicy {
        training: table.optional_boolean("training"),
        retention_days: table
            .integer("retention_days", 0..=LONGEST_RETENTION_DAYS)
            .and_then(|days| u32::try_from(days).ok()),
    })
}

fn read_price(table: &Table<'_>) -> Option<Price> {
    let input = table.required_number("input", 0.0..=HIGHEST_PRICE);
    let output = table.required_number("output", 0.0..=HIGHEST_PRICE);
    let cached_input = table.number("cached_input", 0.0..=HIGHEST_PRICE);
    let cache_write = table.number("cache_write", 0.0..=HIGHEST_PRICE);
    let audio_input = table.number("audio_input", 0.0..=HIGHEST_PRICE);
    let reasoning = table.number("reasoning", 0.0..=HIGHEST_PRICE);
    let request = table.number("request", 0.0..=HIGHEST_FEE);
    let long = table.optional_table("long", read_long_price).flatten();
    let (input, output) = (input?, output?);
    let classes = Price { cached_input, cache_write, audio_input, reasoning, ..Price::default() };
    Some(Price { input, output, request, long, ..classes })
}

fn read_long_price(table: &Table<'_>) -> Option<LongPrice> {
    let above = table.required_integer("above", 1..=MOST_TOKENS);
    let input = table.required_number("input", 0.0..=HIGHEST_PRICE);
    let output = table.required_number("output", 0.0..=HIGHEST_PRICE);
    let cached_input = table.number("cached_input", 0.0..=HIGHEST_PRICE);
    let cache_write = table.number("cache_write", 0.0..=HIGHEST_PRICE);
    Some(LongPrice { above: above?, input: input?, output: output?, cached_input, cache_write })
}

fn read_parameters(table: &Table<'_>) -> Option<Vec<String>> {
    let expected = "a list of names of parameters such as \"temperature\"";
    let found = table.list("parameters", expected, |item| {
        let Some(name) = item.string() else {
            return item.table("the name of a parameter", |_| None);
        };
        if is_parameter(name) {
            return Some(name.to_owned());
        }
        let message = format!(
            "found {name:?}; expected the name of a parameter: 1 to {LONGEST_PARAMETER_BYTES} \
             lower-case letters, digits or '_'"
        );
        item.report(item.spot().error(message));
        None
    })?;
    if found.value.len() > MOST_PARAMETERS {
        let count = found.value.len();
        let message = format!("found {count} names; expected at most {MOST_PARAMETERS}");
        table.report(found.spot.error(message));
        return None;
    }
    Some(found.value)
}

fn is_parameter(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.len() <= LONGEST_PARAMETER_BYTES && name.bytes().all(allowed)
}
