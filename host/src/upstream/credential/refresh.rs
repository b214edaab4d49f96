//! Keeps one value that expires, and fetches the next one before that.
//!
//! A request never waits while there is a valid value: the fetch goes on beside it. When
//! there is none, all requests wait for the same fetch, which has a deadline and which no
//! request that gives up can cancel. Failures are shared and back off, so that a broken
//! source is asked at most once a second however many requests want it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::CredentialError;

/// All of a fetch: three exchanges of the metadata service, or two of a token service, at
/// their own deadlines. Longer than this no client would wait for a first byte.
pub(super) const FETCH_TIMEOUT: Duration = Duration::from_secs(25);
/// Left to a value that is given out: the request has to arrive before it expires.
const MARGIN: Duration = Duration::from_secs(10);
/// A source may give out the same value until shortly before it expires (metadata services
/// do); more often than this it is not asked for a better one.
const REPEAT: Duration = Duration::from_secs(30);
/// After a failure, doubling up to `REPEAT`.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);

type Outcome<T> = Result<T, CredentialError>;
type Source<T> = Box<dyn Fn() -> BoxFuture<'static, Outcome<Fresh<T>>> + Send + Sync>;
type Flight<T> = watch::Receiver<Option<Outcome<T>>>;

/// A value as it was fetched. Without a time it stays valid, or needs no other.
#[derive(Clone)]
pub(super) struct Fresh<T> {
    pub(super) value: T,
    pub(super) expires: Option<SystemTime>,
    /// From here on a better one is wanted.
    pub(super) refresh: Option<SystemTime>,
}

pub(super) struct Refreshing<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    source: Source<T>,
    clock: Box<dyn Fn() -> SystemTime + Send + Sync>,
    state: Mutex<State<T>>,
}

struct State<T> {
    current: Option<Fresh<T>>,
    flight: Option<Flight<T>>,
    failure: Option<CredentialError>,
    /// No fetch before this.
    not_before: Option<Instant>,
    back_off: Duration,
}

impl<T> fmt::Debug for Refreshing<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Refreshing")
    }
}

impl<T> Fresh<T> {
    /// A value that expires, of which the next is wanted `lead` before (but not in the first
    /// half of a short life).
    pub(super) fn until(value: T, now: SystemTime, expires: SystemTime, lead: Duration) -> Self {
        let life = expires.duration_since(now).unwrap_or_default();
        let refresh = expires.checked_sub(lead.min(life / 2));
        Self { value, expires: Some(expires), refresh }
    }
}

impl<T: Clone + Send + Sync + 'static> Refreshing<T> {
    pub(super) fn new(
        clock: impl Fn() -> SystemTime + Send + Sync + 'static,
        source: impl Fn() -> BoxFuture<'static, Outcome<Fresh<T>>> + Send + Sync + 'static,
    ) -> Self {
        let state = State {
            current: None,
            flight: None,
            failure: None,
            not_before: None,
            back_off: FIRST_BACK_OFF,
        };
        let shared =
            Shared { source: Box::new(source), clock: Box::new(clock), state: Mutex::new(state) };
        Self { shared: Arc::new(shared) }
    }

    /// The value, at once if there is a valid one, else after at most [`FETCH_TIMEOUT`].
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The failure of the fetch waited for, or of the last one when it is too early to try
    /// again.
    pub(super) async fn get(&self) -> Outcome<T> {
        let mut flight = {
            let mut state = self.shared.lock();
            let now = (self.shared.clock)();
            if let Some(current) = state.current.as_ref().filter(|current| current.is_valid(now)) {
                let (value, is_stale) = (current.value.clone(), current.is_stale(now));
                if is_stale && state.flight().is_none() && state.may_fetch() {
                    self.depart(&mut state);
                }
                return Ok(value);
            }
            match (state.flight(), &state.failure) {
                (Some(flight), _) => flight,
                (None, Some(error)) if !state.may_fetch() => return Err(error.clone()),
                (None, _) => self.depart(&mut state),
            }
        };
        let arrived = flight.wait_for(Option::is_some).await;
        arrived.ok().and_then(|outcome| outcome.clone()).unwrap_or(Err(CredentialError::BrokenOff))
    }

    /// Starts a fetch, on a task of its own.
    #[expect(
        clippy::disallowed_methods,
        reason = "bounded by its timeout, and nothing is lost when the process ends within it"
    )]
    fn depart(&self, state: &mut State<T>) -> Flight<T> {
        let (sender, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let fetched = tokio::time::timeout(FETCH_TIMEOUT, (shared.source)()).await;
            let fetched = fetched.unwrap_or_else(|_| {
                Err(CredentialError::TimedOut {
                    origin: "the source of the credentials".to_owned(),
                    after: FETCH_TIMEOUT,
                    remedy: "check the network between the gateway and it",
                })
            });
            let outcome = shared.lock().arrive(fetched);
            sender.send_replace(Some(outcome));
        });
        flight
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> State<T> {
    /// The fetch under way, unless its task has died.
    fn flight(&self) -> Option<Flight<T>> {
        self.flight.as_ref().filter(|flight| flight.has_changed().is_ok()).cloned()
    }

    fn may_fetch(&self) -> bool {
        self.not_before.is_none_or(|not_before| Instant::now() >= not_before)
    }

    fn arrive(&mut self, fetched: Outcome<Fresh<T>>) -> Outcome<T> {
        self.flight = None;
        let now = Instant::now();
        match fetched {
            Ok(fresh) => {
                self.not_before = now.checked_add(REPEAT);
                self.back_off = FIRST_BACK_OFF;
                self.failure = None;
                let value = fresh.value.clone();
                self.current = Some(fresh);
                Ok(value)
            }
            Err(error) => {
                self.not_before = now.checked_add(self.back_off);
                self.back_off = (self.back_off * 2).min(REPEAT);
                self.failure = Some(error.clone());
                Err(error)
            }
        }
    }
}

impl<T> Fresh<T> {
    fn is_valid(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|expires| now + MARGIN < expires)
    }

    fn is_stale(&self, now: SystemTime) -> bool {
        self.refresh.is_some_and(|refresh| now >= refresh)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const LEAD: Duration = Duration::from_secs(300);

    /// A wall clock that goes with tokio's, which tests pause and advance.
    fn clock() -> impl Fn() -> SystemTime + Clone + Send + Sync {
        let start = Instant::now();
        move || SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + start.elapsed()
    }

    fn down() -> CredentialError {
        CredentialError::Key
    }

    /// Gives 1, 2, 3 … after a second each, good for an hour; fails while `failing`.
    fn counted(failing: &Arc<AtomicUsize>) -> (Refreshing<usize>, Arc<AtomicUsize>) {
        let calls = Arc::new(AtomicUsize::new(0));
        let (counter, failing, now) = (Arc::clone(&calls), Arc::clone(failing), clock());
        let source_clock = now.clone();
        let refreshing = Refreshing::new(now, move || {
            let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
            let (fails, now) = (failing.load(Ordering::SeqCst) != 0, source_clock.clone());
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if fails {
                    return Err(down());
                }
                Ok(Fresh::until(number, now(), now() + HOUR, LEAD))
            })
        });
        (refreshing, calls)
    }

    async fn advance(duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_requests_make_one_fetch() {
        let (refreshing, calls) = counted(&Arc::default());
        let waiting = (0..100).map(|_| refreshing.get());
        let values = futures_util::future::join_all(waiting).await;
        assert!(values.into_iter().all(|value| value.unwrap() == 1));
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_gives_up_does_not_cancel_the_fetch() {
        let (refreshing, calls) = counted(&Arc::default());
        let gave_up = tokio::time::timeout(Duration::from_millis(10), refreshing.get()).await;
        assert!(gave_up.is_err());
        advance(Duration::from_secs(2)).await;
        assert_eq!(refreshing.get().await.unwrap(), 1);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_value_serves_while_the_next_one_is_fetched() {
        let (refreshing, calls) = counted(&Arc::default());
        assert_eq!(refreshing.get().await.unwrap(), 1);
        advance(HOUR - LEAD - Duration::from_secs(5)).await;
        assert_eq!(refreshing.get().await.unwrap(), 1);
        assert_eq!(calls.load(Ordering::SeqCst), 1, "not wanted yet");
        advance(Duration::from_secs(10)).await;
        let before = Instant::now();
        for _ in 0..50 {
            assert_eq!(refreshing.get().await.unwrap(), 1);
        }
        assert_eq!(Instant::now(), before, "no request waited");
        advance(Duration::from_secs(2)).await;
        assert_eq!(refreshing.get().await.unwrap(), 2);
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_expired_value_is_never_given_out() {
        let failing = Arc::default();
        let (refreshing, _) = counted(&failing);
        assert_eq!(refreshing.get().await.unwrap(), 1);
        failing.store(1, Ordering::SeqCst);
        advance(HOUR - LEAD + Duration::from_secs(5)).await;
        assert_eq!(refreshing.get().await.unwrap(), 1, "stale, and the refresh fails");
        advance(LEAD).await;
        assert!(refreshing.get().await.is_err());
        failing.store(0, Ordering::SeqCst);
        advance(REPEAT).await;
        assert!(refreshing.get().await.unwrap() > 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_source_is_asked_ever_more_rarely() {
        let (refreshing, calls) = counted(&Arc::new(AtomicUsize::new(1)));
        for _ in 0..6000 {
            assert!(refreshing.get().await.is_err());
            advance(Duration::from_millis(20)).await;
        }
        // 120 s: after 1, 2, 4, 8, 16, then every 30 s, and a second for each fetch.
        let calls = calls.load(Ordering::SeqCst);
        assert!((6..=9).contains(&calls), "{calls}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_hangs_is_given_up() {
        let refreshing = Refreshing::<()>::new(clock(), || Box::pin(std::future::pending()));
        let before = Instant::now();
        let error = refreshing.get().await.unwrap_err();
        assert!(matches!(error, CredentialError::TimedOut { .. }), "{error}");
        assert_eq!(before.elapsed(), FETCH_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_dies_is_an_error_and_the_next_one_works() {
        let calls = AtomicUsize::new(0);
        let refreshing = Refreshing::new(clock(), move || {
            let number = calls.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                assert!(number > 0, "the first fetch dies");
                Ok(Fresh { value: number, expires: None, refresh: None })
            })
        });
        assert!(matches!(refreshing.get().await, Err(CredentialError::BrokenOff)));
        assert_eq!(refreshing.get().await.unwrap(), 1);
    }
}
