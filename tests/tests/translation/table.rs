//! The tables of `docs/translation.md`, between two marks in the text.

use std::path::PathBuf;

use torana_tests::repository;

use super::cell::{Cell, KnownLoss};
use super::client::Client;
use super::feature::Feature;

const BEGIN: &str = "<!-- measured: begin -->\n";
const END: &str = "<!-- measured: end -->\n";

/// All cells of one client: providers by features.
pub(crate) struct Table {
    pub(crate) client: Client,
    pub(crate) rows: Vec<(&'static str, Vec<(Feature, Cell)>)>,
}

pub(crate) fn document_path() -> PathBuf {
    repository().join("docs/translation.md")
}

/// What stands between the marks, and the document with something else there.
pub(crate) fn measured(document: &str) -> (&str, impl Fn(&str) -> String + use<'_>) {
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let (between, after) = rest.split_once(END).unwrap();
    (between, move |tables: &str| format!("{before}{BEGIN}{tables}{END}{after}"))
}

pub(crate) fn render(tables: &[Table], losses: &[KnownLoss]) -> String {
    let mut text = String::new();
    for table in tables {
        text.push_str(&table.render());
    }
    text.push_str("\n### What is lost without a word\n\n");
    for loss in losses {
        let KnownLoss { clients, providers, feature, reason } = loss;
        let clients: Vec<&str> = clients.iter().map(|client| client.title()).collect();
        let (title, clients, providers) =
            (feature.title(), clients.join(", "), providers.join(", "));
        text.push_str(&format!("- **{title}**, {clients} → {providers}: {reason}.\n"));
    }
    if losses.is_empty() {
        text.push_str("Nothing of what the tables measure.\n");
    }
    text.push('\n');
    text
}

impl Table {
    /// What matters to everybody, and the fine print.
    fn render(&self) -> String {
        let mut text = format!("\n### {}\n", self.client.title());
        for fine_print in [false, true] {
            text.push_str(&self.columns(|feature| feature.is_fine_print() == fine_print));
        }
        text
    }

    /// The columns of some features; nothing where there are none.
    fn columns(&self, is_wanted: impl Fn(Feature) -> bool) -> String {
        let wanted = |cells: &&(Feature, Cell)| is_wanted(cells.0);
        let line = |name: &str, words: Vec<&str>| format!("| {name} | {} |\n", words.join(" | "));
        let Some((_, first)) = self.rows.first() else { return String::new() };
        let titles: Vec<&str> =
            first.iter().filter(wanted).map(|(feature, _)| feature.title()).collect();
        if titles.is_empty() {
            return String::new();
        }
        let rule = format!("|---|{}\n", "---|".repeat(titles.len()));
        let rows = self.rows.iter().map(|(name, cells)| {
            line(name, cells.iter().filter(wanted).map(|(_, cell)| cell.word()).collect())
        });
        format!("\n{}{rule}{}", line("", titles), rows.collect::<String>())
    }
}
