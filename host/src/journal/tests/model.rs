//! Random histories against a plain list of rows.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append {
        rows: usize,
        json_bytes: usize,
    },
    /// Read up to so many rows; acknowledge or not.
    Read {
        max_rows: usize,
        ack: bool,
    },
    Flush,
    Reopen,
    /// As after `kill -9`.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4_usize, 0..400_usize)
            .prop_map(|(rows, json_bytes)| Step::Append { rows, json_bytes }),
        4 => (1..8_usize, any::<bool>()).prop_map(|(max_rows, ack)| Step::Read { max_rows, ack }),
        1 => Just(Step::Flush),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ]
}

/// The journal beside what it should contain. Positions count rows.
struct Run {
    directory: tempfile::TempDir,
    journal: Option<(Arc<Journal>, Consumer)>,
    when_full: WhenFull,
    written: Vec<Row>,
    next: usize,
    acked: usize,
    dropped: u64,
}

impl Run {
    fn new(when_full: WhenFull) -> Self {
        let mut run = Self {
            directory: tempfile::tempdir().unwrap(),
            journal: None,
            when_full,
            written: Vec::new(),
            next: 0,
            acked: 0,
            dropped: 0,
        };
        run.open();
        run
    }

    fn open(&mut self) {
        let options = Options {
            segment_bytes: 1000,
            max_bytes: 8192,
            when_full: self.when_full,
            ..options(self.directory.path())
        };
        let journal = Journal::open(options).unwrap();
        assert_eq!(journal.recovery().damaged, 0);
        assert_eq!(journal.recovery().rows_lost, 0);
        let consumer = journal.consumer("main").unwrap();
        self.journal = Some((journal, consumer));
    }

    fn parts(&mut self) -> (&Arc<Journal>, &mut Consumer) {
        let (journal, consumer) = self.journal.as_mut().unwrap();
        (journal, consumer)
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Append { rows: n, json_bytes } => self.append(rows(n, json_bytes)).await,
            Step::Read { max_rows, ack } => self.read(max_rows, ack).await,
            Step::Flush => self.parts().1.flush().unwrap(),
            Step::Reopen => {
                self.journal = None;
                self.open();
                self.next = self.acked;
            }
            Step::Crash => {
                let (journal, consumer) = self.journal.take().unwrap();
                let copy = crashed_copy(self.directory.path(), &journal);
                drop((consumer, journal));
                self.directory = copy;
                self.open();
                // At least once: back behind what was acknowledged, never ahead of it.
                let place = usize::try_from(self.parts().1.position.row).unwrap();
                assert!(place <= self.acked);
                self.acked = place;
                self.next = place;
            }
        }
        let journal = Arc::clone(self.parts().0);
        assert!(journal.stats().bytes <= 8192);
    }

    async fn append(&mut self, call: Vec<Row>) {
        let (journal, _) = self.parts();
        let before = journal.stats();
        let outcome = journal.append(&call).await;
        let after = journal.stats();
        self.dropped += after.dropped_rows - before.dropped_rows;
        match outcome {
            Ok(_) => self.written.extend(call),
            Err(AppendError::Full) => {
                assert_eq!(self.when_full, WhenFull::Shed);
                // Enough is there that was not saved as acknowledged.
                assert!(after.bytes > 8192 - 2100);
            }
            Err(error) => assert_eq!(error.to_string(), ""),
        }
    }

    async fn read(&mut self, max_rows: usize, ack: bool) {
        let (_, consumer) = self.parts();
        let lost_before = lost(consumer);
        let batch = consumer_batch(consumer, max_rows).await;
        let lost = usize::try_from(lost(consumer) - lost_before).unwrap();
        let Some(batch) = batch else {
            assert_eq!(self.next, self.written.len());
            return;
        };
        if ack {
            consumer.ack(batch.position);
        }
        if self.when_full == WhenFull::Shed {
            assert_eq!(lost, 0);
        }
        let start = self.next + lost;
        let end = start + batch.rows.len();
        assert_eq!(batch.rows, self.written[start..end]);
        self.next = end;
        if ack {
            self.acked = end;
        }
    }

    /// Every row is read in the end, or was counted.
    async fn finish(mut self) {
        self.step(Step::Reopen).await;
        while self.next < self.written.len() {
            self.read(100, true).await;
        }
        let stats = self.parts().0.stats();
        assert_eq!(stats.consumers[0].lag_rows, 0);
        if self.when_full == WhenFull::Shed {
            assert_eq!(self.dropped, 0);
        }
    }
}

fn lost(consumer: &Consumer) -> u64 {
    consumer.journal.stats().consumers[0].lost_rows
}

async fn consumer_batch(consumer: &mut Consumer, max_rows: usize) -> Option<Batch> {
    let mut position = consumer.position;
    let more = consumer.journal.with_state(|state| state.locate(&mut position).is_some());
    if !more {
        return None;
    }
    consumer.next_batch(max_rows, 1 << 20).await
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_history_delivers_every_row_in_order_or_counts_it(
        steps in prop::collection::vec(step(), 1..80),
        shed in any::<bool>(),
    ) {
        let when_full = if shed { WhenFull::Shed } else { WhenFull::DropOldest };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut run = Run::new(when_full);
            for step in steps {
                run.step(step).await;
            }
            run.finish().await;
        });
    }
}
