#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

#[test]
fn the_oldest_is_the_one_that_began_first() {
    let outstanding = Outstanding::default();
    assert_eq!(outstanding.oldest(), None);
    let late = outstanding.enter(7).unwrap();
    let early = outstanding.enter(0).unwrap();
    assert_eq!(outstanding.oldest(), Some(0));
    outstanding.leave(early);
    assert_eq!(outstanding.oldest(), Some(7));
    outstanding.leave(late);
    assert_eq!(outstanding.oldest(), None);
}

#[test]
fn requests_beyond_the_last_slot_have_no_age() {
    let outstanding = Outstanding::default();
    let slots: Vec<Slot> = (0..512).map(|now| outstanding.enter(100 + now).unwrap()).collect();
    assert!(outstanding.enter(1).is_none());
    assert_eq!(outstanding.oldest(), Some(100));
    for slot in slots {
        outstanding.leave(slot);
    }
    assert_eq!(outstanding.oldest(), None);
    assert!(outstanding.enter(1).is_some());
}

#[test]
fn the_lowest_free_slot_is_taken() {
    let outstanding = Outstanding::default();
    let mut slots: Vec<Slot> = (0..100).map(|now| outstanding.enter(now).unwrap()).collect();
    outstanding.leave(slots.swap_remove(70));
    outstanding.leave(slots.swap_remove(3));
    assert_eq!(outstanding.enter(0).unwrap().0, 3);
    assert_eq!(outstanding.enter(0).unwrap().0, 70);
    assert_eq!(outstanding.enter(0).unwrap().0, 100);
}

#[test]
fn threads_never_share_a_slot() {
    let outstanding = Outstanding::default();
    std::thread::scope(|scope| {
        for thread in 1..=4 {
            let outstanding = &outstanding;
            scope.spawn(move || {
                for _ in 0..2_000 {
                    let slot = outstanding.enter(thread).unwrap();
                    let since = outstanding.since[slot.0].load(Ordering::Acquire);
                    assert_eq!(since, thread + 1);
                    assert!(outstanding.oldest().is_some_and(|oldest| oldest <= thread));
                    outstanding.leave(slot);
                }
            });
        }
    });
    assert_eq!(outstanding.oldest(), None);
}

proptest! {
    #[test]
    fn the_oldest_is_as_in_a_plain_list(
        events in prop::collection::vec((any::<bool>(), 0_usize..50, 0_u64..1_000), 0..300),
    ) {
        let outstanding = Outstanding::default();
        let mut list: Vec<(u64, Slot)> = Vec::new();
        for (enters, which, time) in events {
            if enters {
                list.push((time, outstanding.enter(time).unwrap()));
            } else if which < list.len() {
                outstanding.leave(list.swap_remove(which).1);
            }
            prop_assert_eq!(outstanding.oldest(), list.iter().map(|(time, _)| *time).min());
        }
    }
}
