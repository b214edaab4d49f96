//! A report as text: a table for terminals, rows of Markdown for documents.
//!
//! Terminals get the interval in a line of its own below the figure, so that the table stays
//! narrow; Markdown gets it behind the figure.

use std::fmt::Write;

use super::{Figures, Report};
use crate::bootstrap::Estimate;

const GAP: &str = "  ";
const ABSENT: &str = "–";

/// One column: what it says above, and where it comes from.
struct Column {
    title: [String; 2],
    decimals: usize,
    signed: bool,
    of: fn(&Figures) -> Option<Estimate>,
}

/// The table for people; ends with a line feed.
pub fn table(report: &Report) -> String {
    let columns = columns(report);
    let rows: Vec<&Figures> = report.policies.iter().chain([&report.oracle]).collect();
    let names = rows.iter().map(|row| width(&row.policy)).chain([width("policy")]).max();
    let names = names.unwrap_or_default();
    let widths: Vec<usize> = columns
        .iter()
        .map(|column| {
            let cells = rows.iter().flat_map(|row| [figure(column, row), interval(column, row)]);
            let titles = column.title.iter().cloned();
            cells.chain(titles).map(|text| width(&text)).max().unwrap_or_default()
        })
        .collect();
    let line = |first: &str, cells: &mut dyn Iterator<Item = String>| {
        let mut line = left(first, names);
        for (cell, width) in cells.zip(&widths) {
            line.push_str(GAP);
            line.push_str(&right(&cell, *width));
        }
        format!("{}\n", line.trim_end())
    };
    let mut text = headline(report);
    text.push('\n');
    let title = |half: usize| {
        columns
            .iter()
            .map(|column| column.title.get(half).cloned().unwrap_or_default())
            .collect::<Vec<_>>()
    };
    text.push_str(&line("", &mut title(0).into_iter()));
    text.push_str(&line("policy", &mut title(1).into_iter()));
    for row in rows {
        text.push_str(&line(&row.policy, &mut columns.iter().map(|column| figure(column, row))));
        if report.seeds > 1 {
            text.push_str(&line("", &mut columns.iter().map(|column| interval(column, row))));
        }
    }
    text.push_str(&notes(report));
    text
}

/// Rows of Markdown with their header; ends with a line feed.
pub fn markdown(report: &Report) -> String {
    let columns = columns(report);
    let mut text = String::from("| Policy |");
    for column in &columns {
        let [above, below] = &column.title;
        let title = format!("{above} {below}");
        push(&mut text, format_args!(" {} |", title.trim()));
    }
    text.push_str("\n|---|");
    text.push_str(&"---:|".repeat(columns.len()));
    text.push('\n');
    for row in report.policies.iter().chain([&report.oracle]) {
        push(&mut text, format_args!("| {} |", row.policy.replace('|', "\\|")));
        for column in &columns {
            let interval = interval(column, row);
            let gap = if interval.is_empty() { "" } else { " " };
            push(&mut text, format_args!(" {}{gap}{interval} |", figure(column, row)));
        }
        text.push('\n');
    }
    text
}

fn columns(report: &Report) -> Vec<Column> {
    let column = |above: &str, below: &str, decimals, of| Column {
        title: [above.to_owned(), below.to_owned()],
        decimals,
        signed: false,
        of,
    };
    let mut columns = vec![
        column("regret", "%", 1, |row| Some(row.regret_percent)),
        column("TTFT", "mean s", 2, |row| Some(row.ttft_mean_s)),
        column("brown-outs", "p99 s", 2, |row| row.brown_out_ttft_p99_s),
        column("brown-outs", &format!(">{} s %", report.slo_ttft_s), 2, |row| {
            row.brown_out_over_slo_percent
        }),
        column("cost", "$/1k", 3, |row| Some(row.cost_usd_per_1000)),
    ];
    if let Some(baseline) = &report.baseline {
        let versus = format!("vs {} %", baseline.strip_prefix("router-").unwrap_or(baseline));
        let relative = column("cost", &versus, 1, |row| row.cost_vs_baseline_percent);
        columns.push(Column { signed: true, ..relative });
    }
    columns.extend([
        column("attempts", "/request", 3, |row| Some(row.attempts_per_request)),
        column("success", "%", 2, |row| Some(row.success_percent)),
        column("harmed", "/outage", 1, |row| Some(row.outages?.harmed_before_opening)),
        column("back", "after s", 1, |row| row.outages?.readmitted_after_s),
    ]);
    columns
}

fn headline(report: &Report) -> String {
    let seeds = if report.seeds == 1 { "1 seed" } else { "seeds" };
    let intervals = "below each figure its 95 % interval";
    let requests = format!("{:.0} requests a run", report.requests);
    match report.seeds {
        1 => format!("{}: {requests}, {seeds}\n", report.scenario),
        count => format!("{}: {requests}, {count} {seeds}; {intervals}\n", report.scenario),
    }
}

/// What no column has room for and nobody may miss.
fn notes(report: &Report) -> String {
    let mut text = String::new();
    for row in &report.policies {
        if row.router_failures > 0 {
            let said =
                format_args!("\n{}: the policy failed {} times", row.policy, row.router_failures);
            push(&mut text, said);
        }
        if row.rate_limited_despite_room > 0 {
            let said = format_args!(
                "\n{}: {} clients got a 429 while an endpoint had room",
                row.policy, row.rate_limited_despite_room
            );
            push(&mut text, said);
        }
        if let Some(outages) = row.outages.filter(|outages| outages.not_readmitted > 0) {
            let said = format_args!(
                "\n{}: after {} of {} outages the endpoint was not used again",
                row.policy, outages.not_readmitted, outages.count
            );
            push(&mut text, said);
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn figure(column: &Column, row: &Figures) -> String {
    (column.of)(row).map_or_else(|| ABSENT.to_owned(), |estimate| number(column, estimate.mean))
}

fn interval(column: &Column, row: &Figures) -> String {
    let interval = (column.of)(row).and_then(|estimate| estimate.interval);
    interval.map_or_else(String::new, |interval| {
        format!("[{}, {}]", number(column, interval.low), number(column, interval.high))
    })
}

fn number(column: &Column, number: f64) -> String {
    let text = format!("{number:.*}", column.decimals);
    // A zero has no sign, whatever was rounded to it.
    let zero = text.chars().all(|digit| "-0.".contains(digit));
    match (zero, column.signed) {
        (true, _) => text.trim_start_matches('-').to_owned(),
        (false, true) if number > 0.0 => format!("+{text}"),
        (false, _) => text,
    }
}

fn push(text: &mut String, said: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = text.write_fmt(said);
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn left(text: &str, to: usize) -> String {
    format!("{text:<to$}")
}

fn right(text: &str, to: usize) -> String {
    format!("{text:>to$}")
}
