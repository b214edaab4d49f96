//! Random histories on a disk that fails and loses power, against what the journal promises.
//!
//! The model keeps every call ever appended with what was promised for it, and for each consumer
//! what it has acknowledged and what of that is saved. It never looks into the journal's state:
//! everything is judged by what consumers are handed and by the counts.

use std::collections::{BTreeMap, HashMap};
use std::io;

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::recovery::list_segments;
use super::super::rows::decode_rows;
use super::super::segment::{Scanned, Scanner};
use super::simulation::{Fault, Sabotage, Simulation};
use super::*;

const MAX_BYTES: u64 = 8192;
const PATH: &str = "/var/data/journal";

type Checked = Result<(), TestCaseError>;

#[derive(Debug, Clone)]
enum Step {
    /// Calls appended at once, each of so many rows of so many bytes.
    Append(Vec<(usize, usize)>),
    Read {
        consumer: usize,
        max_rows: usize,
        ack: bool,
    },
    Flush {
        consumer: usize,
    },
    /// The second consumer comes.
    Join,
    /// Acknowledgements are saved again.
    Wait,
    Reopen,
    Kill,
    LosePower,
    /// The disk fails from an operation on, for some operations or until the process is gone.
    Fault(Fault),
    /// Opening meets a disk that fails at one operation.
    OpenFailing(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let call = (1..4_usize, 0..600_usize);
    let consumer = || 0..2_usize;
    let kind = prop_oneof![Just(io::ErrorKind::Other), Just(io::ErrorKind::StorageFull)];
    let times = prop_oneof![1..4_u32, Just(u32::MAX)];
    prop_oneof![
        8 => prop::collection::vec(call, 1..4).prop_map(Step::Append),
        6 => (consumer(), 1..12_usize, any::<bool>())
            .prop_map(|(consumer, max_rows, ack)| Step::Read { consumer, max_rows, ack }),
        2 => consumer().prop_map(|consumer| Step::Flush { consumer }),
        1 => Just(Step::Join),
        1 => Just(Step::Wait),
        1 => Just(Step::Reopen),
        2 => Just(Step::Kill),
        3 => Just(Step::LosePower),
        2 => (0..8_u32, times, kind)
            .prop_map(|(after, times, kind)| Step::Fault(Fault { after, times, kind })),
        1 => (0..30_u32).prop_map(Step::OpenFailing),
    ]
}

#[derive(Debug, Clone)]
struct History {
    steps: Vec<Step>,
    seed: u64,
    sync: SyncMode,
    when_full: WhenFull,
}

fn history() -> impl Strategy<Value = History> {
    let steps = prop::collection::vec(step(), 1..60);
    (steps, any::<u64>(), any::<bool>(), any::<bool>()).prop_map(|(steps, seed, always, shed)| {
        let sync = if always { SyncMode::Always } else { SyncMode::Os };
        let when_full = if shed { WhenFull::Shed } else { WhenFull::DropOldest };
        History { steps, seed, sync, when_full }
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    Nothing,
    /// Until the power is lost.
    Written,
    Durable,
}

struct Call {
    rows: Vec<Row>,
    promise: Promise,
    /// Its rows may have numbers on the disk, whether or not it was acknowledged.
    numbered: bool,
    /// It may have been written with others, cut off, and written alone.
    twice: bool,
    /// It was not taken: the numbers of its rows were given again.
    refused: bool,
}

/// What the model knows of a consumer. Calls by their index.
#[derive(Default)]
struct Reading {
    open: Option<Consumer>,
    /// Acknowledged at some time, or never owed.
    had: Vec<bool>,
    /// Acknowledged, and a cursor that says so is in the file system.
    saved: Vec<bool>,
    /// Acknowledged since the cursor was last saved.
    acked: Vec<usize>,
    /// The last that was handed out by this process.
    last: Option<usize>,
    lost_rows: u64,
}

struct Run {
    disk: Simulation,
    journal: Option<Arc<Journal>>,
    options: Options,
    calls: Vec<Call>,
    by_id: HashMap<Uuid, usize>,
    consumers: BTreeMap<usize, Reading>,
    faulty: bool,
    dead: bool,
    /// There was a loss of power or a fault, at some time.
    damaged: bool,
    /// There was a fault, at some time; and how often the power was lost.
    failed: bool,
    powerless: u32,
}

impl Run {
    fn new(history: &History, forgetful: Option<Sabotage>) -> Result<Self, TestCaseError> {
        let options = Options {
            path: PathBuf::from(PATH),
            segment_bytes: 1500,
            max_bytes: MAX_BYTES,
            when_full: history.when_full,
            sync: history.sync,
        };
        let mut run = Self {
            disk: Simulation::new(history.seed, forgetful),
            journal: None,
            options,
            calls: Vec::new(),
            by_id: HashMap::new(),
            consumers: BTreeMap::from([(0, Reading::default())]),
            faulty: false,
            dead: false,
            damaged: false,
            failed: false,
            powerless: 0,
        };
        run.open()?;
        Ok(run)
    }

    fn open(&mut self) -> Checked {
        let disk = Arc::new(self.disk.clone());
        let opened = Journal::open_on(disk, self.options.clone(), TUNING);
        prop_assert!(opened.is_ok(), "{:?}", opened.err());
        let journal = opened.map_err(|error| TestCaseError::fail(error.to_string()))?;
        for (id, reading) in &mut self.consumers {
            reading.open = Some(journal.consumer(&format!("consumer {id}")).unwrap());
            reading.last = None;
            reading.lost_rows = 0;
        }
        self.journal = Some(journal);
        Ok(())
    }

    fn journal(&self) -> Arc<Journal> {
        Arc::clone(self.journal.as_ref().unwrap())
    }

    /// Ends the process as it would end, on a disk that is used no more.
    fn end(&mut self) {
        for reading in self.consumers.values_mut() {
            reading.open = None;
            reading.acked.clear();
        }
        self.journal = None;
        self.faulty = false;
        self.dead = false;
    }

    /// Deletions are done by a thread of their own; a history is to be repeatable.
    fn settle(&self) {
        if let Some(journal) = &self.journal {
            settle(journal);
        }
    }

    async fn step(&mut self, step: Step) -> Checked {
        self.failed |= matches!(step, Step::Fault(_) | Step::OpenFailing(_));
        self.powerless += u32::from(matches!(step, Step::LosePower));
        self.damaged |= matches!(step, Step::LosePower | Step::Fault(_) | Step::OpenFailing(_));
        match step {
            Step::Append(calls) => self.append(&calls).await?,
            Step::Read { consumer, max_rows, ack } => self.read(consumer, max_rows, ack).await?,
            Step::Flush { consumer } => self.flush(consumer)?,
            Step::Join => self.join(),
            Step::Wait => tokio::time::advance(Duration::from_millis(250)).await,
            Step::Reopen => self.reopen()?,
            Step::Kill => {
                let disk = self.disk.killed();
                self.end();
                self.disk = disk;
                self.open()?;
                self.check_that_nothing_is_lost()?;
            }
            Step::LosePower => self.lose_power()?,
            Step::Fault(fault) => {
                self.disk.set_fault(Some(fault));
                self.faulty = true;
                self.dead = fault.times == u32::MAX;
            }
            Step::OpenFailing(after) => self.open_failing(after)?,
        }
        self.settle();
        Ok(())
    }

    async fn append(&mut self, sizes: &[(usize, usize)]) -> Checked {
        let journal = self.journal();
        let calls: Vec<Vec<Row>> = sizes.iter().map(|(n, bytes)| rows(*n, *bytes)).collect();
        let outcomes = join_all(calls.iter().map(|call| journal.append(call))).await;
        // What a failed write left may tell of the rows that it was to hold, be it the one for
        // all of them that came before.
        let together = self.faulty && self.options.sync == SyncMode::Os && calls.len() > 1;
        for (rows, outcome) in calls.into_iter().zip(outcomes) {
            let refused = !matches!(outcome, Ok(_) | Err(AppendError::Sync { .. }));
            let (promise, numbered) = match outcome {
                Ok(_) if self.options.sync == SyncMode::Always => (Promise::Durable, true),
                Ok(_) => (Promise::Written, true),
                Err(AppendError::Sync { .. }) => (Promise::Nothing, true),
                Err(AppendError::Full) => {
                    prop_assert_eq!(self.options.when_full, WhenFull::Shed);
                    (Promise::Nothing, together)
                }
                Err(error) => {
                    prop_assert!(self.faulty, "{}", error);
                    (Promise::Nothing, together || matches!(error, AppendError::Write { .. }))
                }
            };
            if promise != Promise::Nothing && !self.faulty {
                prop_assert!(journal.stats().bytes <= MAX_BYTES);
            }
            let index = self.calls.len();
            self.by_id.extend(rows.iter().map(|row| (row.id, index)));
            self.calls.push(Call { rows, promise, numbered, twice: together, refused });
        }
        Ok(())
    }

    async fn read(&mut self, id: usize, max_rows: usize, ack: bool) -> Checked {
        if self.dead {
            // It would wait for the disk until the end of the process.
            return Ok(());
        }
        let (failed_ones_are_back, others_are_back) = self.what_may_be_back();
        let refused = self.calls.iter().filter(|call| failed_ones_are_back && call.refused);
        let doubtful: u64 = refused.map(|call| call.rows.len() as u64).sum();
        let Some(reading) = self.consumers.get_mut(&id) else {
            return Ok(());
        };
        let consumer = reading.open.as_mut().unwrap();
        let Some(batch) = try_next_of(consumer, max_rows).await else {
            return Ok(());
        };
        let total = lost_rows(consumer);
        let lost = total - std::mem::replace(&mut reading.lost_rows, total);
        let handed = whole_calls(&batch.rows, &self.calls, &self.by_id)?;
        let before = reading.last.map_or(0, |last| last + 1);
        let mut next = before;
        let (mut owed, mut possible) = (0, 0);
        for index in &handed {
            if *index < next && self.calls[*index].twice && failed_ones_are_back {
                continue;
            }
            prop_assert!(*index >= next, "call {} is repeated or out of order", index);
            for skipped in next..*index {
                let call = &self.calls[skipped];
                let rows = call.rows.len() as u64;
                let had = is(&reading.had, skipped);
                if !had && call.promise != Promise::Nothing {
                    owed += rows;
                }
                // What an earlier process had acknowledged and not saved may be dropped at the
                // bound, and nobody knows any more that it was not lost by it.
                let drops = self.options.when_full == WhenFull::DropOldest;
                let forgotten = drops && had && !is(&reading.saved, skipped);
                // A loss of power may take a row and the cursor that was past it.
                let gone = call.promise == Promise::Nothing;
                if call.numbered && (!had || forgotten || gone) {
                    possible += rows;
                }
            }
            prop_assert!(!is(&reading.saved, *index), "call {} was saved as acknowledged", index);
            next = index + 1;
        }
        reading.last = Some(next - 1);
        prop_assert!(
            owed <= lost + doubtful,
            "{} rows lost, {} counted, before {:?}",
            owed,
            lost,
            handed
        );
        prop_assert!(
            lost <= possible || others_are_back,
            "{} rows counted, {} can be lost",
            lost,
            possible
        );
        if self.options.when_full == WhenFull::Shed {
            prop_assert_eq!(owed, 0);
        }
        if ack {
            consumer.ack(batch.position);
            // All before it is acknowledged too, and so is what was skipped.
            for index in 0..next {
                mark(&mut reading.had, index);
                reading.acked.push(index);
            }
        }
        Ok(())
    }

    /// Whether rows of appends that failed may be: their numbers were given again, so a count can
    /// be wrong by them. And whether rows may be that were counted as lost, and deleted: they
    /// count again.
    fn what_may_be_back(&self) -> (bool, bool) {
        let failed_ones = self.failed && self.powerless > 0;
        (failed_ones, failed_ones || self.powerless > 1)
    }

    fn flush(&mut self, id: usize) -> Checked {
        let Some(reading) = self.consumers.get_mut(&id) else {
            return Ok(());
        };
        let flushed = reading.open.as_mut().unwrap().flush();
        prop_assert!(flushed.is_ok() || self.faulty);
        if flushed.is_ok() {
            for index in std::mem::take(&mut reading.acked) {
                mark(&mut reading.saved, index);
            }
        }
        Ok(())
    }

    /// It is owed what is there when it comes.
    fn join(&mut self) {
        if self.consumers.contains_key(&1) || self.faulty {
            return;
        }
        let there = self.readable();
        let mut reading = Reading::default();
        for index in (0..self.calls.len()).filter(|index| !there.contains(index)) {
            mark(&mut reading.had, index);
        }
        reading.open = Some(self.journal().consumer("consumer 1").unwrap());
        self.consumers.insert(1, reading);
    }

    fn reopen(&mut self) -> Checked {
        if self.faulty {
            return Ok(());
        }
        for id in 0..2 {
            self.flush(id)?;
        }
        self.end();
        self.open()?;
        self.check_that_nothing_is_lost()
    }

    /// As long as there was neither a loss of power nor a fault.
    fn check_that_nothing_is_lost(&self) -> Checked {
        let recovery = *self.journal().recovery();
        let lost = recovery.rows_lost + recovery.damaged;
        prop_assert!(self.damaged || lost == 0, "{:?}", recovery);
        Ok(())
    }

    fn lose_power(&mut self) -> Checked {
        let disk = self.disk.without_power();
        self.end();
        self.disk = disk;
        for reading in self.consumers.values_mut() {
            reading.saved.clear();
        }
        // The rest is on the disk for good.
        let there = self.readable();
        for (index, call) in self.calls.iter_mut().enumerate() {
            if call.promise == Promise::Written || self.options.sync == SyncMode::Os {
                call.promise = Promise::Nothing;
            }
            if there.contains(&index) {
                call.promise = Promise::Durable;
            }
        }
        self.open()?;
        let recovery = *self.journal().recovery();
        let unsure =
            self.calls.iter().filter(|call| call.numbered && call.promise == Promise::Nothing);
        let unsure: usize = unsure.map(|call| call.rows.len()).sum();
        let (_, others_are_back) = self.what_may_be_back();
        if self.options.when_full == WhenFull::Shed && !others_are_back {
            prop_assert!(recovery.rows_lost <= unsure as u64, "{:?}, {} unsure", recovery, unsure);
        }
        Ok(())
    }

    /// May be refused, and costs nothing but repeated rows.
    fn open_failing(&mut self, after: u32) -> Checked {
        let disk = self.disk.killed();
        self.end();
        self.disk = disk;
        self.disk.set_fault(Some(Fault { after, times: 1, kind: io::ErrorKind::Other }));
        let opened = Journal::open_on(Arc::new(self.disk.clone()), self.options.clone(), TUNING);
        if let Err(error) = &opened {
            prop_assert!(matches!(error, JournalError::Directory { .. }), "{}", error);
        }
        drop(opened);
        self.disk.set_fault(None);
        for reading in self.consumers.values_mut() {
            reading.saved.clear();
        }
        self.open()
    }

    /// The calls that are whole on the disk, as everybody sees it.
    fn readable(&self) -> Vec<usize> {
        let path = Path::new(PATH);
        let mut there = Vec::new();
        for name in list_segments(&self.disk, path).unwrap_or_default() {
            let mut scanner = Scanner::open(&self.disk, path, name, 0).unwrap();
            let end = scanner.file_bytes().unwrap();
            loop {
                match scanner.next(end).unwrap() {
                    Scanned::End => break,
                    Scanned::Damage { .. } => {}
                    Scanned::Record { header, payload } => {
                        let rows = decode_rows(payload, header.rows).unwrap();
                        there.push(self.by_id[&rows[0].id]);
                    }
                }
            }
        }
        there
    }

    /// Every consumer comes to the end, having had or counted all that was promised.
    async fn finish(mut self) -> Checked {
        self.step(Step::Kill).await?;
        self.drain().await?;
        // What is missing at the end shows before this one.
        self.append(&[(1, 10)]).await?;
        let last = self.calls.last().map(|call| call.promise);
        prop_assert_ne!(last, Some(Promise::Nothing));
        self.drain().await?;
        for reading in self.consumers.values() {
            for (index, call) in self.calls.iter().enumerate() {
                let promised = call.promise != Promise::Nothing;
                prop_assert!(!promised || is(&reading.had, index), "call {} is lost", index);
            }
        }
        let stats = self.journal().stats();
        prop_assert!(stats.consumers.iter().all(|it| it.lag_rows == 0), "{:?}", stats);
        Ok(())
    }

    async fn drain(&mut self) -> Checked {
        for id in 0..2 {
            loop {
                let before = self.consumers.get(&id).and_then(|it| it.last);
                self.read(id, 100, true).await?;
                if self.consumers.get(&id).and_then(|it| it.last) == before {
                    break;
                }
            }
            self.flush(id)?;
        }
        self.settle();
        Ok(())
    }
}

/// The rows are those of whole calls.
fn whole_calls(
    rows: &[Row],
    calls: &[Call],
    by_id: &HashMap<Uuid, usize>,
) -> Result<Vec<usize>, TestCaseError> {
    let mut handed = Vec::new();
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let index = by_id[&first.id];
        let call = &calls[index].rows;
        prop_assert!(rest.starts_with(call), "call {} is not whole", index);
        rest = &rest[call.len()..];
        handed.push(index);
    }
    Ok(handed)
}

fn is(marks: &[bool], index: usize) -> bool {
    marks.get(index).copied().unwrap_or(false)
}

fn mark(marks: &mut Vec<bool>, index: usize) {
    if marks.len() <= index {
        marks.resize(index + 1, false);
    }
    marks[index] = true;
}

fn lost_rows(consumer: &Consumer) -> u64 {
    let name = &consumer.key.name;
    let stats = consumer.journal.stats().consumers;
    stats.iter().find(|it| it.name == *name).map_or(0, |it| it.lost_rows)
}

async fn try_next_of(consumer: &mut Consumer, max_rows: usize) -> Option<Batch> {
    let mut position = consumer.position;
    let more = consumer.journal.with_state(|state| state.locate(&mut position).is_some());
    if !more {
        return None;
    }
    // Only damage may be left, for which nothing is handed out. The clock stands still until
    // nothing else is to be done.
    let batch = consumer.next_batch(max_rows, 1 << 20);
    tokio::time::timeout(Duration::from_secs(60), batch).await.ok().flatten()
}

fn run(history: History, forgetful: Option<Sabotage>) -> Checked {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut run = Run::new(&history, forgetful)?;
        for step in history.steps {
            run.step(step).await?;
        }
        run.finish().await
    })
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(400) })]

    #[test]
    fn no_history_breaks_a_promise(history in history()) {
        run(history, None)?;
    }
}

/// The model notices what it is there for: a sync that was left out.
#[test]
fn model_notices_a_sync_that_is_left_out() {
    for forgetful in [Sabotage::File, Sabotage::Directory] {
        let config =
            Config { failure_persistence: None, max_shrink_iters: 0, ..Config::with_cases(400) };
        let outcome =
            TestRunner::new(config).run(&history(), |history| run(history, Some(forgetful)));
        assert!(outcome.is_err(), "{forgetful:?}");
    }
}
