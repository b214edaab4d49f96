use proptest::prelude::*;

use super::*;

fn milliseconds(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn granted(budget: &RetryBudget, now: Instant) -> usize {
    (0..1_000_000).take_while(|_| budget.withdraw(now)).count()
}

#[test]
fn a_quiet_gateway_may_retry_from_the_reserve() {
    let now = Instant::now();
    let budget = RetryBudget::new(20.0, 10.0, now);
    assert_eq!(granted(&budget, now), 100, "10/s for 10 s");
    assert_eq!(granted(&budget, now + milliseconds(1_000)), 10);
    assert_eq!(granted(&budget, now + milliseconds(60_000)), 100, "no more than the reserve");
}

#[test]
fn the_reserve_is_granted_at_its_rate_for_as_long_as_everything_fails() {
    let now = Instant::now();
    let budget = RetryBudget::new(0.0, 10.0, now);
    let _reserve = granted(&budget, now);
    let asks = (1..=600).map(|tick| now + tick * TICK);
    let granted: usize = asks.map(|now| granted(&budget, now)).sum();
    assert!((590..=600).contains(&granted), "{granted} in 60 s");
}

#[test]
fn a_fifth_of_the_requests_may_be_retried_and_is_forgotten_after_ten_seconds() {
    let now = Instant::now();
    let busy = || {
        let budget = RetryBudget::new(20.0, 10.0, now);
        (0..1_000).for_each(|_| budget.deposit(now));
        budget
    };
    assert_eq!(granted(&busy(), now), 300);
    assert_eq!(granted(&busy(), now + milliseconds(5_000)), 200, "half of it leaked");
    assert_eq!(granted(&busy(), now + milliseconds(10_000)), 100);
}

#[test]
fn a_token_given_back_can_be_granted_again() {
    let now = Instant::now();
    let budgets = Budgets::new(&Settings::default(), now);
    let _all = granted(&budgets.retry, now);
    budgets.retry.give_back();
    assert_eq!(granted(&budgets.retry, now), 1);
    while budgets.hedge.withdraw(now) {}
    budgets.hedge.give_back();
    assert!(budgets.hedge.withdraw(now) && !budgets.hedge.withdraw(now));
}

#[test]
fn hedges_start_with_a_burst_and_are_then_a_twentieth_of_the_requests() {
    let now = Instant::now();
    let budget = HedgeBudget::new(5.0, 10.0);
    let granted = || (0..1_000).take_while(|_| budget.withdraw(now)).count();
    (0..100).for_each(|_| budget.deposit(now));
    assert_eq!(granted(), 10, "a full budget takes nothing more");
    (0..19).for_each(|_| budget.deposit(now));
    assert_eq!(granted(), 0);
    budget.deposit(now);
    assert_eq!(granted(), 1);
    (0..100_000).for_each(|_| budget.deposit(now));
    assert_eq!(granted(), 10);
}

#[test]
fn a_clock_that_steps_back_neither_fills_nor_empties() {
    let now = Instant::now();
    let budget = RetryBudget::new(20.0, 10.0, now);
    let later = now + milliseconds(30_000);
    assert_eq!(granted(&budget, later), 100);
    assert_eq!(granted(&budget, now), 0);
    assert_eq!(granted(&budget, later), 0, "the same seconds do not count twice");
    assert_eq!(granted(&budget, later + milliseconds(100)), 1);
}

#[test]
fn settings_without_sense_grant_nothing_and_too_much_is_cut() {
    let now = Instant::now();
    for nonsense in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
        let retry = RetryBudget::new(nonsense, nonsense, now);
        let hedge = HedgeBudget::new(nonsense, nonsense);
        (0..100).for_each(|_| retry.deposit(now));
        (0..100).for_each(|_| hedge.deposit(now));
        assert!(!retry.withdraw(now + milliseconds(60_000)), "{nonsense}");
        assert!(!hedge.withdraw(now), "{nonsense}");
    }
    let retry = RetryBudget::new(f64::INFINITY, f64::INFINITY, now);
    retry.deposit(now);
    assert_eq!(retry.balance(now + milliseconds(1)), u32::MAX / TOKEN);
    let hedge = HedgeBudget::new(f64::INFINITY, f64::INFINITY);
    hedge.deposit(now);
    assert_eq!(hedge.balance(), u32::MAX / TOKEN);
}

#[test]
fn threads_never_get_more_together_than_there_is() {
    let now = Instant::now();
    let retry = RetryBudget::new(20.0, 100.0, now);
    let hedge = HedgeBudget::new(5.0, 1_000.0);
    let granted = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    retry.deposit(now);
                    let tokens = [retry.withdraw(now), hedge.withdraw(now)];
                    let count = tokens.into_iter().filter(|token| *token).count();
                    granted.fetch_add(count, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(granted.into_inner(), 1_000 + 800 + 1_000, "reserve, share, hedges");
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Deposit,
    Withdraw,
    GiveBack,
}

fn event() -> impl Strategy<Value = (u64, u8, Event)> {
    let event = prop_oneof![3 => Just(Event::Deposit), 5 => Just(Event::Withdraw), 1 => Just(Event::GiveBack)];
    let pause = prop_oneof![4 => Just(0), 4 => 0..300_u64, 1 => 0..15_000_u64];
    (pause, 1..40_u8, event)
}

/// Sums of what happened up to a moment.
#[derive(Debug, Clone, Copy)]
struct Ledger {
    at: Duration,
    /// Upper bound of the balance at that moment.
    balance: f64,
    paid_in: f64,
    withdrawn: f64,
}

/// Runs the events against a budget. A deposit of long ago counts 0.99 for each tick since.
fn ledgers(
    events: &[(u64, u8, Event)],
    (share, reserve): (f64, f64),
    mut apply: impl FnMut(Event, Duration) -> bool,
) -> Vec<Ledger> {
    let start = Ledger { at: Duration::ZERO, balance: reserve, paid_in: 0.0, withdrawn: 0.0 };
    let (mut all, mut now, mut outstanding) = (vec![start], start, 0_u32);
    for (pause, count, event) in events {
        let ticks = |at: Duration| (at.as_millis() / TICK.as_millis()) as i32;
        let before = ticks(now.at);
        now.at += milliseconds(*pause);
        now.balance = reserve + (now.balance - reserve) * 0.99_f64.powi(ticks(now.at) - before);
        for _ in 0..*count {
            if matches!(event, Event::GiveBack) && outstanding == 0 {
                break;
            }
            let granted = apply(*event, now.at);
            let paid_in = match event {
                Event::Deposit => share,
                Event::GiveBack => 1.0,
                Event::Withdraw => 0.0,
            };
            now.paid_in += paid_in;
            now.balance += paid_in;
            match event {
                Event::Withdraw if granted => {
                    now.withdrawn += 1.0;
                    outstanding += 1;
                }
                Event::GiveBack => outstanding -= 1,
                _ => {}
            }
        }
        all.push(now);
    }
    all
}

/// Between any two moments; `slack` for what rounding leaves in the balance.
fn within_bounds(ledgers: &[Ledger], per_second: f64, slack: f64) -> Result<(), TestCaseError> {
    for (position, from) in ledgers.iter().enumerate() {
        for to in ledgers.iter().skip(position) {
            let seconds = (to.at - from.at + TICK).as_secs_f64();
            let paid_in = to.paid_in - from.paid_in;
            let bound = from.balance + paid_in + per_second * seconds + slack;
            prop_assert!(to.withdrawn - from.withdrawn <= bound, "{from:?} {to:?}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn retries_never_exceed_their_share_and_the_reserve_in_any_window(
        events in prop::collection::vec(event(), 1..60),
        percent in 0_u8..60,
        per_second in 0_u8..20,
    ) {
        let (percent, per_second) = (f64::from(percent), f64::from(per_second));
        let start = Instant::now();
        let budget = RetryBudget::new(percent, per_second, start);
        let apply = |event, at| match event {
            Event::Deposit => { budget.deposit(start + at); false }
            Event::Withdraw => budget.withdraw(start + at),
            Event::GiveBack => { budget.give_back(); false }
        };
        let all = ledgers(&events, (percent / 100.0, per_second * 10.0), apply);
        within_bounds(&all, per_second, 0.02)?;
    }

    #[test]
    fn hedges_never_exceed_their_share_and_the_burst_in_any_window(
        events in prop::collection::vec(event(), 1..60),
        percent in 0_u8..60,
        burst in 0_u8..20,
    ) {
        let start = Instant::now();
        let budget = HedgeBudget::new(f64::from(percent), f64::from(burst));
        let apply = |event, at| match event {
            Event::Deposit => { budget.deposit(start + at); false }
            Event::Withdraw => budget.withdraw(start + at),
            Event::GiveBack => { budget.give_back(); false }
        };
        let share = f64::from(percent) / 100.0;
        let mut all = ledgers(&events, (share, f64::from(burst)), apply);
        for ledger in &mut all {
            ledger.balance = f64::from(burst);
        }
        within_bounds(&all, 0.0, 1e-6)?;
    }
}
