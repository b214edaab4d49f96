//! How much extra load retries and hedges may add.
//!
//! Owns two counters that all requests share: what came in pays in, what is sent a second time
//! takes out. Promises: a granted token is never granted twice, whatever the threads; a clock
//! that steps back does no harm; nothing locks. Refuses, once a budget is empty, every further
//! token: when all endpoints fail, retries would multiply the very load that makes them fail.
//!
//! The retry budget follows Finagle's `RetryBudget` (20 % of the requests of 10 s, and 10/s
//! whatever the load, so that a gateway with few requests may retry at all). Finagle counts in
//! ten slices; here one number leaks towards the reserve, which is exact under contention.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is paid in and out, in parts of a token: percents stay whole numbers to the hundredth.
const TOKEN: u32 = 10_000;
/// Paid in stays usable about this long, as in Finagle.
const RETRY_WINDOW_TICKS: u64 = 100;
/// 32 bits of it are 13 years.
const TICK: Duration = Duration::from_millis(100);

/// What may be sent beyond the requests themselves. Figures below 0 count as 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Retries in percent of the requests.
    pub retry_percent: f64,
    /// Retries a second that are granted whatever the load.
    pub retries_per_second: f64,
    /// Hedges in percent of the requests.
    pub hedge_percent: f64,
    /// Hedges in a row after a time without any.
    pub hedge_burst: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retry_percent: 20.0,
            retries_per_second: 10.0,
            hedge_percent: 5.0,
            hedge_burst: 10.0,
        }
    }
}

/// Both budgets. A clone draws on the same budgets.
#[derive(Debug, Clone)]
pub struct Budgets {
    pub retry: Arc<RetryBudget>,
    pub hedge: Arc<HedgeBudget>,
}

impl Budgets {
    pub fn new(settings: &Settings, now: Instant) -> Self {
        let retry = RetryBudget::new(settings.retry_percent, settings.retries_per_second, now);
        let hedge = HedgeBudget::new(settings.hedge_percent, settings.hedge_burst);
        Self { retry: Arc::new(retry), hedge: Arc::new(hedge) }
    }

    /// One request came in.
    pub fn deposit(&self, now: Instant) {
        self.retry.deposit(now);
        self.hedge.deposit(now);
    }
}

/// Tokens for fallbacks.
///
/// Of its balance above the reserve (`per_second` × 10 s) a hundredth leaks at each tick of
/// 100 ms, and a hundredth of what it lacks below the reserve comes back. So it holds at most
/// what Finagle's would: the reserve and the percentage of the last 10 s. Between any two
/// moments the withdrawals are at most the balance at the first, the percentage of the
/// deposits, and `per_second` × the seconds.
#[derive(Debug)]
pub struct RetryBudget {
    /// Upper half: the tick of the last leak. Lower half: the balance in parts of a token.
    state: AtomicU64,
    start: Instant,
    deposit: u32,
    reserve: u32,
}

impl RetryBudget {
    /// Starts with its reserve.
    pub fn new(percent: f64, per_second: f64, now: Instant) -> Self {
        let seconds = TICK.as_secs_f64() * RETRY_WINDOW_TICKS as f64;
        let reserve = parts(per_second * seconds);
        Self {
            state: AtomicU64::new(u64::from(reserve)),
            start: now,
            deposit: parts(percent / 100.0),
            reserve,
        }
    }

    /// One request came in.
    pub fn deposit(&self, now: Instant) {
        self.update(|state| {
            let (tick, balance) = self.leaked(state, now);
            Some(pack(tick, balance.saturating_add(self.deposit)))
        });
    }

    /// Takes one token, if there is one.
    #[must_use = "a retry without a token must not be sent"]
    pub fn withdraw(&self, now: Instant) -> bool {
        self.update(|state| {
            let (tick, balance) = self.leaked(state, now);
            Some(pack(tick, balance.checked_sub(TOKEN)?))
        })
    }

    /// Brings a withdrawn token back that was not used.
    pub fn give_back(&self) {
        self.update(|state| {
            let (tick, balance) = unpack(state);
            Some(pack(tick, balance.saturating_add(TOKEN)))
        });
    }

    /// Whole tokens left.
    pub fn balance(&self, now: Instant) -> u32 {
        self.leaked(self.state.load(Ordering::Relaxed), now).1 / TOKEN
    }

    fn leaked(&self, state: u64, now: Instant) -> (u32, u32) {
        let (last, balance) = unpack(state);
        let passed = now.saturating_duration_since(self.start).as_millis() / TICK.as_millis();
        let tick = u32::try_from(passed).unwrap_or(u32::MAX).max(last);
        let ticks = u64::from(tick - last).min(RETRY_WINDOW_TICKS);
        let share = |of: u32| {
            let share = u64::from(of) * ticks / RETRY_WINDOW_TICKS;
            u32::try_from(share).unwrap_or(of)
        };
        let above = balance.saturating_sub(self.reserve);
        let below = self.reserve.saturating_sub(balance);
        (tick, balance - share(above) + share(below))
    }

    fn update(&self, change: impl Fn(u64) -> Option<u64>) -> bool {
        // One word holds everything, so no order among other words is needed.
        self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }
}

/// Tokens for hedges: a percentage of the requests, saved up to a burst. Starts full.
///
/// Between any two moments the withdrawals are at most the burst and the percentage of the
/// deposits. Time plays no part: without requests there is nothing to hedge.
#[derive(Debug)]
pub struct HedgeBudget {
    balance: AtomicU64,
    deposit: u32,
    burst: u32,
}

impl HedgeBudget {
    pub fn new(percent: f64, burst: f64) -> Self {
        let burst = parts(burst);
        let deposit = parts(percent / 100.0);
        Self { balance: AtomicU64::new(u64::from(burst)), deposit, burst }
    }

    /// One request came in.
    pub fn deposit(&self, _now: Instant) {
        self.add(self.deposit);
    }

    /// Takes one token, if there is one.
    #[must_use = "a hedge without a token must not be sent"]
    pub fn withdraw(&self, _now: Instant) -> bool {
        let take = |balance: u64| balance.checked_sub(u64::from(TOKEN));
        self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Brings a withdrawn token back that was not used.
    pub fn give_back(&self) {
        self.add(TOKEN);
    }

    /// Whole tokens left.
    pub fn balance(&self) -> u32 {
        let tokens = self.balance.load(Ordering::Relaxed) / u64::from(TOKEN);
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }

    fn add(&self, parts: u32) {
        let burst = u64::from(self.burst);
        let add = |balance: u64| {
            // A full budget is the rule: then the word shared by all is only read.
            (balance < burst).then(|| (balance + u64::from(parts)).min(burst))
        };
        let _full = self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

/// Tokens in parts; what is no number or below 0 is 0, what is too much 429,496 tokens.
fn parts(tokens: f64) -> u32 {
    (tokens * f64::from(TOKEN)).round() as u32
}

fn pack(tick: u32, balance: u32) -> u64 {
    u64::from(tick) << 32 | u64::from(balance)
}

fn unpack(state: u64) -> (u32, u32) {
    ((state >> 32) as u32, state as u32)
}

#[cfg(test)]
mod tests;
