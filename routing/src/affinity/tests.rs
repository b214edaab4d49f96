#![expect(clippy::unwrap_used, reason = "tests")]
use proptest::prelude::*;

use super::*;

const TTL: Duration = Duration::from_secs(300);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn an_endpoint_holds_what_was_last_remembered_of_it() {
    let (affinity, now) = (Affinity::new(10, TTL), Instant::now());
    affinity.remember(1, 7, 1_000, now);
    affinity.remember(1, 8, 500, now);
    affinity.remember(1, 7, 1_200, now);
    assert_eq!(affinity.cached_tokens(1, 7, now), 1_200);
    assert_eq!(affinity.cached_tokens(1, 8, now), 500);
    assert_eq!(affinity.cached_tokens(1, 9, now), 0, "an endpoint never used");
    assert_eq!(affinity.cached_tokens(2, 7, now), 0, "another conversation");
}

#[test]
fn what_is_not_used_again_is_gone_after_its_time_however_often_it_is_asked_for() {
    let (affinity, now) = (Affinity::new(10, TTL), Instant::now());
    affinity.remember(1, 7, 1_000, now);
    for second in 0..300 {
        assert_eq!(affinity.cached_tokens(1, 7, now + seconds(second)), 1_000);
    }
    assert_eq!(affinity.cached_tokens(1, 7, now + TTL), 0);
    affinity.remember(1, 7, 1_100, now + seconds(299));
    assert_eq!(affinity.cached_tokens(1, 7, now + TTL), 1_100, "a use prolongs");
}

#[test]
fn the_fourth_endpoint_takes_the_place_of_the_one_used_longest_ago() {
    let (affinity, now) = (Affinity::new(10, TTL), Instant::now());
    for (second, endpoint) in (0..).zip([1, 2, 3, 1, 4]) {
        affinity.remember(9, endpoint, 100, now + seconds(second));
    }
    let held = |endpoint| affinity.cached_tokens(9, endpoint, now + seconds(5)) > 0;
    assert_eq!([1, 2, 3, 4].map(held), [true, false, true, true]);
}

#[test]
fn no_session_is_no_conversation() {
    let (affinity, now) = (Affinity::new(10, TTL), Instant::now());
    affinity.remember(0, 7, 1_000, now);
    assert_eq!(affinity.cached_tokens(0, 7, now), 0);
    assert!(affinity.sessions.is_empty());
}

#[test]
fn never_more_sessions_are_kept_than_the_capacity() {
    for capacity in [0, 1, 100] {
        let (affinity, now) = (Affinity::new(capacity, TTL), Instant::now());
        for session in 1..=10_000 {
            affinity.remember(session, 7, 1, now);
        }
        let limit = usize::try_from(affinity.sessions.capacity()).unwrap();
        // The cache rounds its shards up: at most one session a shard too many.
        assert!(limit < capacity + affinity.sessions.num_shards(), "{capacity}: {limit}");
        let kept = (1..=10_000).filter(|session| affinity.cached_tokens(*session, 7, now) > 0);
        assert!(kept.count() <= limit, "{capacity}");
    }
}

#[test]
fn threads_that_use_one_new_session_lose_nothing_of_each_other() {
    let (affinity, now) = (Affinity::new(1_000, TTL), Instant::now());
    let barrier = std::sync::Barrier::new(ENDPOINTS);
    std::thread::scope(|scope| {
        for endpoint in [1, 2, 3] {
            let (affinity, barrier) = (&affinity, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for session in 1..=100 {
                    affinity.remember(session, endpoint, endpoint, now);
                }
            });
        }
    });
    for session in 1..=100 {
        for endpoint in [1, 2, 3] {
            assert_eq!(affinity.cached_tokens(session, endpoint, now), endpoint);
        }
    }
}

proptest! {
    #[test]
    fn it_knows_the_last_three_endpoints_within_their_time(
        uses in prop::collection::vec((0..4_u64, 1..6_u64, 1..9_999_u64, 1..90_u64), 1..60),
    ) {
        let (affinity, mut now) = (Affinity::new(1_000, TTL), Instant::now());
        let mut last: Vec<(u64, u64, u64, Instant)> = Vec::new();
        for (session, endpoint, tokens, pause) in uses {
            now += seconds(pause);
            affinity.remember(session, endpoint, tokens, now);
            last.retain(|known| (known.0, known.1) != (session, endpoint));
            last.insert(0, (session, endpoint, tokens, now));
            for session in 0..4 {
                let of_session = last.iter().filter(|known| known.0 == session && session > 0);
                let alive = of_session.take(ENDPOINTS).filter(|known| now - known.3 < TTL);
                let alive: Vec<_> = alive.collect();
                for endpoint in 1..6 {
                    let known = alive.iter().find(|known| known.1 == endpoint);
                    let expected = known.map_or(0, |known| known.2);
                    prop_assert_eq!(affinity.cached_tokens(session, endpoint, now), expected);
                }
            }
        }
    }
}
