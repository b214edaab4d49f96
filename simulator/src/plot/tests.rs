#![expect(clippy::unwrap_used, reason = "tests")]
use proptest::prelude::*;

use super::*;
use crate::fault::FaultKind;
use crate::fixture;

fn world() -> Scenario {
    let mut scenario = fixture::scenario(3, 600);
    scenario.faults = vec![
        fixture::fault(1, 10, 40, FaultKind::Error),
        fixture::fault(2, 60, 5_000, FaultKind::Slow { factor: 3.0 }),
        fixture::fault(0, 9_000, 9_100, FaultKind::Error),
    ];
    scenario
}

fn shares(bins: u32) -> Shares {
    Shares { bin_s: 10.0, answered: (0..bins).map(|bin| vec![bin, 5, 0]).collect() }
}

/// Names of elements in the order they open, if the text is well-formed: tags nest, quotes
/// close, and `<` and `&` stand nowhere else.
fn elements(xml: &str) -> Option<Vec<String>> {
    let (mut open, mut seen, mut rest) = (Vec::new(), Vec::new(), xml.trim());
    while let Some(start) = rest.find('<') {
        if !text_is_escaped(&rest[..start]) || (open.is_empty() && start > 0) {
            return None;
        }
        let mut quote = None;
        let end = rest[start..].char_indices().position(|(_, character)| {
            match (quote, character) {
                (None, '"' | '\'') => quote = Some(character),
                (Some(mark), _) if mark == character => quote = None,
                _ => {}
            }
            quote.is_none() && character == '>'
        })?;
        let tag: String = rest[start..].chars().take(end + 1).collect();
        rest = &rest[start + tag.len()..];
        let inner = tag.strip_prefix('<')?.strip_suffix('>')?;
        if inner.contains('<') || !text_is_escaped(inner) {
            return None;
        }
        let name: String =
            inner.chars().take_while(|letter| letter.is_ascii_alphanumeric()).collect();
        if let Some(closed) = inner.strip_prefix('/') {
            if open.pop()? != closed {
                return None;
            }
        } else {
            seen.push(name.clone());
            if !inner.ends_with('/') {
                open.push(name);
            }
        }
    }
    (open.is_empty() && rest.is_empty()).then_some(seen)
}

fn text_is_escaped(text: &str) -> bool {
    text.split('&').skip(1).all(|after| {
        ["amp;", "lt;", "gt;", "quot;", "apos;"].iter().any(|entity| after.starts_with(entity))
    })
}

#[test]
fn the_checker_knows_what_is_not_well_formed() {
    assert_eq!(elements("<a><b x=\"1>2\"/>t</a>"), Some(vec!["a".into(), "b".into()]));
    for wrong in ["<a>", "<a></b>", "<a>&</a>", "<a b=\"></a>", "<a/>x", "<a><b></a></b>"] {
        assert_eq!(elements(wrong), None, "{wrong}");
    }
}

#[test]
fn a_plot_has_an_area_for_each_endpoint_that_served_and_a_bar_for_each_fault() {
    let shares = shares(12);
    let svg = svg(&world(), &[("adaptive", &shares), ("balanced", &shares)]);
    let elements = elements(&svg).unwrap();
    let count = |name: &str| elements.iter().filter(|element| *element == name).count();
    // Two of three endpoints served anything; two panels.
    assert_eq!(count("path"), 4);
    // Ground; two spans in two panels and once in the lanes (the third is after the end);
    // a legend of three endpoints and the shade.
    assert_eq!(count("rect"), 1 + 2 * 3 + 4);
    assert!(svg.contains(">adaptive<") && svg.contains(">balanced<"));
    assert!(svg.contains("provider-1/model: error, 100 % of requests, 10 s to 40 s"));
    assert!(svg.contains(">1 min<") || svg.contains(">60 s<"), "{svg}");
}

#[test]
fn the_edges_of_the_areas_are_the_shares() {
    let mut scenario = fixture::scenario(2, 1);
    scenario.arrivals[0].at = Duration::from_secs(20);
    let shares = Shares { bin_s: 10.0, answered: vec![vec![1, 3], vec![0, 0]] };
    let svg = svg(&scenario, &[("p", &shares)]);
    let quarter = TOP + PANEL * 0.75;
    let (bottom, left, middle, right) = (TOP + PANEL, LEFT, LEFT + INNER / 2.0, LEFT + INNER);
    let first = format!(
        "M{left:.1} {quarter:.1}L{middle:.1} {quarter:.1}L{middle:.1} {bottom:.1}L{right:.1} {bottom:.1}"
    );
    assert!(svg.contains(&first), "{svg}");
    assert!(svg.contains(&format!("M{left:.1} {TOP:.1}L{middle:.1} {TOP:.1}")));
}

#[test]
fn a_long_run_is_drawn_in_columns_that_fit() {
    let columns = columns(&shares(10_001), 3);
    assert!(columns.len() <= MAX_COLUMNS);
    assert!((columns.last().unwrap().end_s - 100_010.0).abs() < 1e-6);
}

#[test]
fn nothing_served_and_no_policy_still_make_a_picture() {
    let empty = Shares::default();
    assert!(elements(&svg(&world(), &[("p", &empty)])).is_some());
    assert!(elements(&svg(&world(), &[])).is_some());
}

proptest! {
    #[test]
    fn any_name_leaves_the_picture_well_formed(name in any::<String>(), policy in any::<String>()) {
        let mut scenario = world();
        scenario.endpoints[1].name = name.clone();
        scenario.name = name;
        let svg = svg(&scenario, &[(&policy, &shares(5))]);
        prop_assert!(elements(&svg).is_some());
        let control = |letter: char| letter < ' ' && letter != '\n';
        prop_assert!(!svg.chars().any(control));
    }
}
