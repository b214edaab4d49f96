#![expect(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::fixture;
use crate::tally::Latency;

fn outage(harmed: u32, readmitted_after_s: Option<f64>, wanted: bool) -> Outage {
    Outage {
        fault: 0,
        endpoint: 0,
        harmed_before_opening: harmed,
        harmed: harmed + 2,
        opened_after_s: Some(1.0),
        readmitted_after_s,
        wanted,
    }
}

fn tally(utility_usd: f64, cost: f64) -> Tally {
    let brown_outs =
        Latency { requests: 10, ttft_p99_s: 2.0, over_slo: 0.005, ..Latency::default() };
    Tally {
        requests: 1_000,
        success: 0.999,
        utility_usd,
        cost_usd_per_1000: cost,
        brown_outs,
        attempts_per_request: 1.01,
        servable: 1_000,
        failed_despite_room: 1,
        ..Tally::default()
    }
}

fn runs(policy: &str, tallies: Vec<Tally>) -> Runs {
    Runs { policy: policy.to_owned(), tallies }
}

fn report(policies: &[Runs], oracle: &[Tally]) -> Report {
    Report::new(&fixture::scenario(2, 1), policies, oracle, None).unwrap()
}

#[test]
fn figures_are_means_over_seeds_and_pairs_stay_pairs() {
    let adaptive = runs("adaptive", vec![tally(1.05, 0.9), tally(2.10, 1.8)]);
    let balanced = runs("balanced", vec![tally(1.25, 1.0), tally(2.50, 2.0)]);
    let report = report(&[adaptive, balanced], &[tally(1.0, 0.8), tally(2.0, 1.6)]);
    let figures = &report.policies[0];
    assert_eq!(report.baseline.as_deref(), Some("balanced"));
    assert!((figures.regret_percent.mean - 5.0).abs() < 1e-9);
    let against = figures.regret_vs_baseline_points.unwrap();
    assert!((against.mean + 20.0).abs() < 1e-9);
    let cost = figures.cost_vs_baseline_percent.unwrap();
    assert!((cost.mean + 10.0).abs() < 1e-9);
    // Seeds differ by a factor of two, pairs do not differ at all.
    let interval = cost.interval.unwrap();
    assert!(interval.high - interval.low < 1e-9);
    assert!((figures.success_with_room_percent.mean - 99.9).abs() < 1e-9);
    assert!(report.oracle.regret_percent.mean.abs() < 1e-9);
}

#[test]
fn outages_count_where_the_endpoint_was_in_use() {
    let mut tally = tally(1.0, 1.0);
    tally.outages =
        vec![outage(2, Some(4.0), true), outage(4, None, true), outage(0, Some(0.1), false)];
    let report = report(&[runs("p", vec![tally.clone()])], &[tally]);
    let outages = report.policies[0].outages.unwrap();
    assert_eq!((outages.count, outages.not_readmitted), (2, 1));
    assert!((outages.harmed_before_opening.mean - 3.0).abs() < 1e-9);
    assert!((outages.harmed.mean - 5.0).abs() < 1e-9);
    assert_eq!(outages.harmed_before_opening_worst, 4);
    assert_eq!(outages.readmitted_after_worst_s, Some(4.0));
}

#[test]
fn runs_that_do_not_compare_are_refused() {
    let scenario = fixture::scenario(1, 1);
    let one = runs("p", vec![tally(1.0, 1.0)]);
    let of = |policies: &[Runs], oracle: &[Tally], baseline| {
        Report::new(&scenario, policies, oracle, baseline).unwrap_err().to_string()
    };
    let oracle = [tally(1.0, 1.0)];
    assert_eq!(of(&[], &[], None), "there are no runs to report; expected at least one seed");
    assert_eq!(
        of(&[runs("p", Vec::new())], &oracle, None),
        "policy `p` has 0 runs; expected 1, one for each seed of the oracle"
    );
    assert_eq!(of(&[one], &oracle, Some("q")), "no policy is called `q`; expected one of: p");
}

#[test]
fn one_seed_makes_a_narrow_table_without_intervals() {
    let text = table(&report(&[runs("mine", vec![tally(1.1, 1.0)])], &[tally(1.0, 0.9)]));
    let expected = "\
test: 1000 requests a run, 1 seed

        regret    TTFT  brown-outs  brown-outs   cost  attempts  success   harmed     back
policy       %  mean s       p99 s      >3 s %   $/1k  /request        %  /outage  after s
mine      10.0    0.00        2.00        0.50  1.000     1.010    99.90        –        –
oracle     0.0    0.00        2.00        0.50  0.900     1.010    99.90        –        –
";
    assert_eq!(text, expected);
}

#[test]
fn columns_stay_aligned_whatever_the_names_and_intervals_stand_below() {
    let seeds = |from: f64| vec![tally(from, 1.0), tally(from * 1.1, 1.2), tally(from, 1.1)];
    let policies = [runs("größte-policy", seeds(1.2)), runs("balanced", seeds(1.3))];
    let report = report(&policies, &[tally(1.0, 0.9), tally(1.0, 0.9), tally(1.0, 0.9)]);
    let text = table(&report);
    let lines: Vec<&str> = text.lines().collect();
    let end = |line: &str, of: &str| {
        let byte = line.find(of).unwrap() + of.len();
        line[..byte].chars().count()
    };
    assert_eq!(end(lines[3], "%"), end(lines[4], "24.0"));
    assert!(lines[5].trim_start().starts_with("[20.0, 32.0]"), "{text}");
    assert!(lines[3].contains("vs balanced %"));
}

#[test]
fn what_nobody_may_miss_stands_below_the_table() {
    let mut bad = tally(1.1, 1.0);
    bad.router_failures = 3;
    bad.rate_limited_despite_room = 2;
    bad.outages = vec![outage(1, None, true)];
    let text = table(&report(&[runs("p", vec![bad])], &[tally(1.0, 0.9)]));
    assert!(text.contains("p: the policy failed 3 times\n"));
    assert!(text.contains("p: 2 clients got a 429 while an endpoint had room\n"));
    assert!(text.ends_with("p: after 1 of 1 outages the endpoint was not used again\n"));
}

#[test]
fn markdown_has_a_cell_for_each_column_in_each_row() {
    let policies = [runs("a|b", vec![tally(1.1, 1.0), tally(1.2, 1.0)])];
    let text = markdown(&report(&policies, &[tally(1.0, 0.9), tally(1.0, 0.9)]));
    let cells: Vec<usize> =
        text.lines().map(|line| line.replace("\\|", "").matches('|').count()).collect();
    assert_eq!(cells, [11, 11, 11, 11]);
    assert!(text.contains("| a\\|b | 15.0 [10.0, 20.0] |"), "{text}");
}

#[test]
fn a_gain_of_nothing_has_no_sign() {
    let same = runs("balanced", vec![tally(1.1, 1.0)]);
    let dearer = runs("dear", vec![tally(1.1, 1.25)]);
    let text = table(&report(&[same, dearer], &[tally(1.0, 0.9)]));
    assert!(text.contains(" +25.0 "), "{text}");
    assert!(!text.contains("-0.0") && !text.contains("+0.0"), "{text}");
}

#[test]
fn the_json_has_the_documented_names_and_leaves_out_what_is_not_known() {
    let json =
        serde_json::to_value(report(&[runs("p", vec![tally(1.1, 1.0)])], &[tally(1.0, 0.9)]))
            .unwrap();
    let policy = &json["policies"][0];
    assert!((policy["regret_percent"]["mean"].as_f64().unwrap() - 10.0).abs() < 1e-9);
    assert!(policy["regret_percent"].get("interval").is_none());
    assert!(policy.get("outages").is_none());
    // docs/simulation.md promises each of them.
    let documents = include_str!("../../../docs/simulation.md");
    for name in policy.as_object().unwrap().keys().chain(json.as_object().unwrap().keys()) {
        assert!(documents.contains(&format!("`{name}`")), "`{name}` is not documented");
    }
}
