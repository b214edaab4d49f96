//! Questions at random: every filter alone and with others, every table, order and size of
//! page. The same seed asks the same.

use torana::plugin::sink::{
    Comparison, Dimension, FeedbackRequest, MetricFilter, Order, RowFilter, Table, UsageRequest,
};

use torana::plugin::sink::EVERYTHING;

use crate::rows::{
    ENDPOINTS, FUNCTIONS, KEYS, METRICS, MODELS, NOW, OUTCOMES, Random, SENTENCES, TAGS, VARIANTS,
};

pub(crate) const TABLES: [Table; 6] = [
    Table::Inference,
    Table::ModelInference,
    Table::Feedback,
    Table::Decision,
    Table::PluginEvent,
    Table::Snapshot,
];

const DIMENSIONS: [Dimension; 7] = [
    Dimension::Key,
    Dimension::Function,
    Dimension::Variant,
    Dimension::Model,
    Dimension::Endpoint,
    Dimension::Outcome,
    Dimension::Dialect,
];

const COMPARISONS: [Comparison; 5] = [
    Comparison::Equal,
    Comparison::Less,
    Comparison::AtMost,
    Comparison::Greater,
    Comparison::AtLeast,
];

const HOUR: u64 = 3_600_000;

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) table: Table,
    pub(crate) filter: RowFilter,
    pub(crate) order: Order,
    pub(crate) limit: u32,
}

pub(crate) fn listing(random: &mut Random) -> Listing {
    // Half of the questions are about inferences, which can be asked most.
    let table = if random.once_in(2) { Table::Inference } else { random.one_of(&TABLES) };
    Listing {
        table,
        filter: filter(random, table),
        order: order(random),
        limit: random.one_of(&[1_000, 1_000, 400, 97]),
    }
}

pub(crate) fn order(random: &mut Random) -> Order {
    if random.once_in(2) { Order::NewestFirst } else { Order::OldestFirst }
}

/// Each key alone, with a value that is there and one that is not.
pub(crate) fn single_filters() -> Vec<RowFilter> {
    let mut filters = vec![EVERYTHING];
    let text = |value: &str| Some(value.to_owned());
    let any = |values: &[&str]| values.iter().map(|it| text(it)).chain([text("nobody")]).collect();
    let mut add = |values: Vec<Option<String>>, set: fn(&mut RowFilter, Option<String>)| {
        for value in values {
            let mut filter = EVERYTHING;
            set(&mut filter, value);
            filters.push(filter);
        }
    };
    add(any(&KEYS), |filter, value| filter.key = value);
    add(any(&FUNCTIONS), |filter, value| filter.function = value);
    add(any(&VARIANTS), |filter, value| filter.variant = value);
    add(any(&MODELS), |filter, value| filter.model = value);
    add(any(&ENDPOINTS), |filter, value| filter.endpoint = value);
    add(any(&OUTCOMES), |filter, value| filter.outcome = value);
    add(any(&["resp-7"]), |filter, value| filter.response_id = value);
    add(any(&["01980000-0000-7000-8000-000000000007"]), |filter, value| filter.episode_id = value);
    filters
}

/// Texts that are looked for: whole sentences, single words in another case, parts of words,
/// words that nobody said, no word at all, and what would be an operator elsewhere.
pub(crate) fn texts() -> Vec<String> {
    let mut texts: Vec<String> = SENTENCES.iter().map(|it| (*it).to_owned()).collect();
    texts.extend(SENTENCES.iter().flat_map(|it| [it.to_uppercase(), it.to_lowercase()]));
    let more = [
        "paris france",
        "pari",
        "s",
        "PARIS' OR 1=1",
        "straße",
        "STRASSE",
        "мир",
        "МИ",
        "日本語",
        "日本",
        "東京",
        "café",
        "cafe",
        "naïve",
        "under",
        "under_score",
        "between",
        "\u{1f600}",
        "",
        "  ,.",
        "null",
        "content",
        "text",
        "42",
        "NOT paris",
        "paris AND nobody",
        "paris*",
        "\"paris\"",
        "NEAR(paris)",
        "हिन्दी",
        "العربية",
        "é",
        "raw",
        "1",
        "-",
        "back\\slash",
        "') OR true --",
        "{p0:String}",
    ];
    texts.extend(more.iter().map(|it| (*it).to_owned()));
    texts
}

pub(crate) fn filter(random: &mut Random, table: Table) -> RowFilter {
    let mut filter = EVERYTHING;
    let some = |random: &mut Random, values: &[&str]| {
        random.once_in(7).then(|| random.one_of(values).to_owned())
    };
    filter.key = some(random, &KEYS);
    filter.function = some(random, &FUNCTIONS);
    filter.variant = some(random, &VARIANTS);
    filter.model = some(random, &MODELS);
    filter.endpoint = some(random, &ENDPOINTS);
    filter.outcome = some(random, &OUTCOMES);
    if random.once_in(6) {
        filter.since_unix_ms = Some(NOW - random.below(72) * HOUR);
    }
    if random.once_in(6) {
        filter.until_unix_ms = Some(NOW - random.below(72) * HOUR);
    }
    if random.once_in(5) && matches!(table, Table::Inference) {
        filter.text = Some(random.one_of(&texts()));
    }
    if random.once_in(4) {
        for _ in 0..=random.below(2) {
            let (name, values) = random.one_of(&TAGS);
            filter.tags.push((name.to_owned(), random.one_of(&values).to_owned()));
        }
    }
    if random.once_in(4) {
        filter.metrics.push(MetricFilter {
            metric: random.one_of(&METRICS).to_owned(),
            comparison: random.one_of(&COMPARISONS),
            value: random.one_of(&[0.0, 0.5, 1.0, 1.25, -3.0]),
        });
    }
    filter
}

pub(crate) fn usage(random: &mut Random) -> UsageRequest {
    let of = if random.once_in(3) { Table::ModelInference } else { Table::Inference };
    let mut by: Vec<Dimension> = Vec::new();
    for dimension in DIMENSIONS {
        if random.once_in(4) {
            by.insert(random.below(by.len() as u64 + 1) as usize, dimension);
        }
    }
    let filter = if random.once_in(2) { EVERYTHING } else { filter(random, of) };
    UsageRequest {
        of,
        filter,
        by,
        interval_ms: random.one_of(&[None, None, Some(1_000), Some(HOUR), Some(24 * HOUR)]),
        limit: random.one_of(&[10_000, 10_000, 10_000, 3]),
    }
}

pub(crate) fn statistics(random: &mut Random) -> FeedbackRequest {
    FeedbackRequest {
        function: random.once_in(3).then(|| random.one_of(&FUNCTIONS).to_owned()),
        metric: random.one_of(&[METRICS[0], METRICS[1], METRICS[2], "nobody's"]).to_owned(),
        since_unix_ms: random.once_in(4).then(|| NOW - random.below(72) * HOUR),
        until_unix_ms: random.once_in(4).then(|| NOW - random.below(72) * HOUR),
    }
}
