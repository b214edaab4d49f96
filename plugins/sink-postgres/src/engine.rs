//! What PostgreSQL says in its own way.
//!
//! Its text has no zero character, which clients may send in a name. Such a one is kept as two
//! characters, U+0001 U+0001, and U+0001 itself, which nobody sends, as U+0001 U+0002: text
//! comes back as it was, and in the order of its bytes.

use std::borrow::Cow;

use torana_plugin_sdk::host::sql::{Database, Error, Rows, Statement};
use torana_plugin_sdk::sink::words::Words;
use torana_sql_store::engine::{Columns, Engine};

use crate::tables::Name;

/// Longer words do not fit into the index of words, which takes 2,700 bytes. They are cut, with
/// a hash of the rest in its place.
const LONGEST_WORD: usize = 1_024;

/// Columns whose index has the beginning alone.
const LONG: [&str; 6] = ["key", "function", "model", "endpoint", "episode_id", "response_id"];

/// A PostgreSQL database.
pub(crate) struct Postgres<D> {
    pub(crate) database: D,
    pub(crate) schema: Name,
    pub(crate) has_text_index: bool,
}

impl<D: Database> Database for Postgres<D> {
    fn execute(&mut self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        self.database.execute(statements)
    }

    fn query(&mut self, statement: &Statement) -> Result<Rows, Error> {
        self.database.query(statement)
    }
}

impl<D: Database> Engine for Postgres<D> {
    const FORGET_WORDS: &'static str = ", words = '{}'";

    const NOW_UNIX_MS: &'static str = "CAST(extract(epoch FROM now()) * 1000 AS bigint)";

    fn table(&self, name: &str) -> String {
        self.schema.table(name)
    }

    fn place(&self, number: usize) -> String {
        format!("${number}")
    }

    fn stored<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !text.contains(['\0', '\u{1}']) {
            return Cow::Borrowed(text);
        }
        Cow::Owned(text.replace('\u{1}', "\u{1}\u{2}").replace('\0', "\u{1}\u{1}"))
    }

    fn restored(&self, text: String) -> String {
        if !text.contains('\u{1}') {
            return text;
        }
        let mut restored = String::with_capacity(text.len());
        let mut rest = text.chars();
        while let Some(next) = rest.next() {
            restored.push(match next {
                '\u{1}' if rest.next() == Some('\u{1}') => '\0',
                other => other,
            });
        }
        restored
    }

    fn is(&self, column: &str, place: &str) -> String {
        if LONG.contains(&column) {
            return format!("left({column}, 256) = left({place}, 256) AND {column} = {place}");
        }
        format!("{column} = {place}")
    }

    fn numbers(&self, place: &str) -> String {
        format!("SELECT CAST(value AS bigint) FROM json_array_elements_text(CAST({place} AS json))")
    }

    fn json_array(&self, items: &str) -> String {
        format!("CAST(json_build_array({items}) AS text)")
    }

    fn whole_sum(&self, column: &str) -> String {
        format!("CAST(least(coalesce(sum(CAST({column} AS double precision)), 0), 9e18) AS bigint)")
    }

    fn is_tagged(&self, call: &str, name: &str, value: &str) -> String {
        format!("{call}.tags @> jsonb_build_object(CAST({name} AS text), CAST({value} AS text))")
    }

    fn has_text_index(&self) -> bool {
        self.has_text_index
    }

    fn sought(&self, words: &Words) -> String {
        array(words)
    }

    fn has_words(&self, place: &str) -> String {
        format!("words @> CAST({place} AS text[])")
    }

    fn keep_words(&self, words: &Words, columns: &mut Columns) -> Option<Statement> {
        columns.push(("words", array(words).into()));
        None
    }
}

/// A literal of an array. Words are letters and digits, so that none has to be escaped; each is
/// quoted, since one of them may be `null`.
fn array(words: &Words) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{}\"", fitting(word))).collect();
    format!("{{{}}}", quoted.join(","))
}

/// A word that the index takes, and no other becomes.
fn fitting(word: &str) -> Cow<'_, str> {
    if word.len() <= LONGEST_WORD {
        return Cow::Borrowed(word);
    }
    let cut = (0..=LONGEST_WORD).rev().find(|place| word.is_char_boundary(*place)).unwrap_or(0);
    // FNV-1a, 64 bits (Fowler, Noll, Vo): short, and the same in every version.
    let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Cow::Owned(format!("{}{hash:016x}", word.get(..cut).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use torana_plugin_sdk::host::sql::Own;

    use super::*;

    fn engine() -> Postgres<Own> {
        let Ok(schema) = Name::of("torana") else { unreachable!("a good name") };
        Postgres { database: Own, schema, has_text_index: true }
    }

    proptest::proptest! {
        #[test]
        fn text_comes_back_as_it_was_and_in_its_order(
            first in "[\0\u{1}\u{2}a]{0,8}", second in "[\0\u{1}\u{2}a]{0,8}"
        ) {
            let engine = engine();
            let kept = [&first, &second].map(|text| engine.stored(text).into_owned());
            proptest::prop_assert!(!kept[0].contains('\0'));
            proptest::prop_assert_eq!(kept[0].cmp(&kept[1]), first.cmp(&second));
            proptest::prop_assert_eq!(engine.restored(kept[0].clone()), first);
        }

        #[test]
        fn words_that_are_too_long_stay_different(text in "[a-zé]{0,4}", times in 1_usize..2_000) {
            let (one, other) = (text.repeat(times) + "a", text.repeat(times) + "b");
            let (one, other) = (fitting(&one), fitting(&other));
            proptest::prop_assert!(one.len() <= LONGEST_WORD + 16 && one != other);
        }
    }

    #[test]
    fn a_word_that_means_something_to_the_server_is_a_word() {
        assert_eq!(array(&Words::of("NULL")), "{\"null\"}");
        assert_eq!(array(&Words::of("")), "{}");
    }
}
