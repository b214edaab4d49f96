//! `torana simulate`: the very component that the gateway runs, in virtual time.
//!
//! Seeds run beside each other on all cores; every policy meets the same arrivals, faults and
//! luck. What is printed is in `docs/simulation.md`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use torana_routing::policy::{Candidate, Facts, Outcome, Plan};
use torana_simulator::arrivals::Arrival;
use torana_simulator::history::{HistoryError, Replay};
use torana_simulator::report::{self, Report, ReportError, Runs};
use torana_simulator::router::{Router, RouterFailure};
use torana_simulator::scenario::{Scenario, ScenarioError};
use torana_simulator::tally::Tally;
use torana_simulator::{Options, RunError, oracle, plot, run};

use super::offline::{Offline, OfflineError};
use super::recorded::{self, RecordedError};
use crate::plugin::policy::Policy;

/// Rows of the plot, and of the shares in memory.
const MOST_BINS: u32 = 2_000;

/// More than a night's worth.
const MOST_SEEDS: u64 = 10_000;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The scenario: endpoints, arrivals and faults (docs/simulation.md).
    #[arg(long, required_unless_present = "from_journal")]
    scenario: Option<PathBuf>,
    /// Recorded traffic: a journal's directory, a file of `sink-jsonl`, or `store`, which is
    /// what the configuration reads back. Gives the arrivals and, without `--scenario`, the
    /// endpoints and faults as they were.
    #[arg(long, value_name = "SOURCE")]
    from_journal: Option<String>,
    /// The model of the recorded traffic, where there are several.
    #[arg(long, requires = "from_journal")]
    model: Option<String>,
    /// A router of the configuration, a bundled one, or a component; with settings behind it:
    /// `adaptive?hedge=true`.
    #[arg(long)]
    policy: String,
    /// Policies to compare with.
    #[arg(long, num_args = 1.., value_delimiter = ',')]
    compare: Vec<String>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, from the first upwards.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=MOST_SEEDS))]
    seeds: u64,
    /// Whose cost the others are compared with; `balanced` if it runs.
    #[arg(long)]
    baseline: Option<String>,
    /// Prints JSON instead of a table.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Prints the table as Markdown.
    #[arg(long)]
    markdown: bool,
    /// Draws each policy's shares over time, of the first seed, as SVG.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// The configuration whose routers and plugins may be named.
    #[arg(long, short, env = "TORANA_CONFIG")]
    config: Option<String>,
}

/// Why a simulation cannot be run.
#[derive(Debug, thiserror::Error)]
pub(super) enum SimulateError {
    #[error(transparent)]
    Offline(#[from] OfflineError),
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Recorded(#[from] RecordedError),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error("the report cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("{path} cannot be written: {source}")]
    Plot { path: PathBuf, source: std::io::Error },
    #[error("a thread of the simulation died")]
    Died,
}

/// What is to be printed, and said beside it.
pub(super) struct Simulated {
    pub(super) text: String,
    pub(super) notices: Vec<String>,
}

/// Runs everything.
pub(super) fn simulate(arguments: &Arguments) -> Result<Simulated, SimulateError> {
    let offline = Offline::open(arguments.config.as_deref())?;
    let mut names: Vec<&str> = vec![&arguments.policy];
    for name in &arguments.compare {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let source = Source::open(&offline, arguments)?;
    let seeds: Vec<u64> = (arguments.seed..).take(count(arguments.seeds)).collect();
    let runs = all_seeds(&offline, &source, &names, &seeds)?;
    let first = source.scenario(arguments.seed)?;

    let (oracles, tallies): (Vec<Tally>, Vec<Vec<Tally>>) = runs.into_iter().unzip();
    let policies: Vec<Runs> = names
        .iter()
        .enumerate()
        .map(|(position, name)| Runs {
            policy: (*name).to_owned(),
            tallies: tallies.iter().filter_map(|seed| seed.get(position).cloned()).collect(),
        })
        .collect();
    if let Some(path) = &arguments.plot {
        let shares: Vec<_> = policies
            .iter()
            .filter_map(|runs| Some((runs.policy.as_str(), &runs.tallies.first()?.shares)))
            .collect();
        std::fs::write(path, plot::svg(&first, &shares))
            .map_err(|source| SimulateError::Plot { path: path.clone(), source })?;
    }
    let report = Report::new(&first, &policies, &oracles, arguments.baseline.as_deref())?;
    let text = match (arguments.json, arguments.markdown) {
        (true, _) => serde_json::to_string_pretty(&report)?,
        (_, true) => report::markdown(&report),
        _ => report::table(&report),
    };
    Ok(Simulated { text, notices: source.notices().collect() })
}

/// Where scenarios come from.
enum Source {
    File(PathBuf),
    /// A file's world, with recorded arrivals.
    Arrivals(PathBuf, Vec<Arrival>),
    Recorded(Box<Replay>),
}

impl Source {
    fn open(offline: &Offline, arguments: &Arguments) -> Result<Self, SimulateError> {
        let model = arguments.model.as_deref();
        Ok(match (&arguments.from_journal, arguments.scenario.clone()) {
            (None, scenario) => Self::File(scenario.unwrap_or_default()),
            (Some(source), Some(scenario)) => {
                Self::Arrivals(scenario, recorded::read(offline, source)?.arrivals(model)?)
            }
            (Some(source), None) => {
                Self::Recorded(Box::new(recorded::read(offline, source)?.scenario(model)?))
            }
        })
    }

    fn scenario(&self, seed: u64) -> Result<Scenario, SimulateError> {
        Ok(match self {
            Self::File(path) => Scenario::load(path, seed)?,
            Self::Arrivals(path, arrivals) => {
                Scenario::load_with_arrivals(path, seed, arrivals.clone())?
            }
            Self::Recorded(replay) => replay.scenario.clone(),
        })
    }

    fn options(&self, scenario: &Scenario) -> Options {
        let mut options = Options::default();
        if let Self::Recorded(replay) = self {
            options.start_unix_ms = replay.start_unix_ms;
        }
        options.share_bin = options.share_bin.max(scenario.horizon() / MOST_BINS);
        options
    }

    /// What the records could not tell.
    fn notices(&self) -> impl Iterator<Item = String> {
        let notices = match self {
            Self::Recorded(replay) => replay.notices.as_slice(),
            Self::File(_) | Self::Arrivals(..) => &[],
        };
        notices.iter().map(ToString::to_string)
    }
}

/// For each seed the oracle's tally and the policies'.
fn all_seeds(
    offline: &Offline,
    source: &Source,
    names: &[&str],
    seeds: &[u64],
) -> Result<Vec<(Tally, Vec<Tally>)>, SimulateError> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(seeds.len()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(seeds.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let position = next.fetch_add(1, Ordering::Relaxed);
                    let Some(seed) = seeds.get(position) else { return };
                    let tallies = one_seed(offline, source, names, *seed);
                    let failed = tallies.is_err();
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push((position, tallies));
                    if failed {
                        // The others need not go on.
                        next.store(seeds.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(position, _)| *position);
    let tallies: Vec<_> = done.into_iter().map(|(_, tallies)| tallies).collect::<Result<_, _>>()?;
    if tallies.len() == seeds.len() { Ok(tallies) } else { Err(SimulateError::Died) }
}

fn one_seed(
    offline: &Offline,
    source: &Source,
    names: &[&str],
    seed: u64,
) -> Result<(Tally, Vec<Tally>), SimulateError> {
    let scenario = source.scenario(seed)?;
    let options = source.options(&scenario);
    let best = oracle(&scenario, seed, &options)?;
    let mut tallies = Vec::with_capacity(names.len());
    for name in names {
        let mut policy = Component(prepare(offline, name, &scenario)?);
        tallies.push(run(&scenario, seed, &mut policy, &options)?);
    }
    Ok((best, tallies))
}

fn prepare(offline: &Offline, name: &str, scenario: &Scenario) -> Result<Policy, OfflineError> {
    let (plugin, settings) = offline.policy(name)?;
    let endpoints = scenario.endpoints.iter().map(torana_simulator::scenario::Endpoint::row);
    Policy::prepare(plugin, &settings, endpoints.collect(), std::sync::Arc::default())
        .map_err(|source| OfflineError::Prepare { name: name.to_owned(), source })
}

/// A component in a simulated world.
struct Component(Policy);

impl Router for Component {
    fn route(&mut self, facts: &Facts, candidates: &[Candidate]) -> Result<Plan, RouterFailure> {
        self.0.route(facts, candidates).map(|routed| routed.plan).map_err(RouterFailure::new)
    }

    fn observe(&mut self, outcomes: &[Outcome]) -> Result<(), RouterFailure> {
        self.0.observe(outcomes).map_err(RouterFailure::new)
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
