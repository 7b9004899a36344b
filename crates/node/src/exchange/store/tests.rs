//! The file of requests: what is used once, what outlives the process, what is listed.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::following::place::{height, set_height};
use crate::sqlite::Store;
use protocol::Value;

fn request(number: u64) -> DeviceRequest {
    DeviceRequest {
        from: "z1/button".parse().unwrap(),
        to: "z2/lamp/act/power".parse().unwrap(),
        time_us: 5,
        number,
        unit: None,
        value: Value::Boolean(true),
        signed: None,
    }
}

fn incoming(number: u64, message: u8) -> Incoming {
    let (request, message) = (request(number), Id([message; 32]));
    Incoming { request, message, height: 3, time_ms: 50, refused: None, slot_until_ms: 100, hold_until_ms: 90 }
}

fn store(dir: &tempfile::TempDir) -> Store {
    FILE.open(&dir.path().join("exchange.sqlite")).unwrap()
}

/// REQ-9, REQ-10
#[test]
fn a_number_is_taken_once_and_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let take_one = |store: &Store, i: Incoming| store.transact_blocking(move |t| take(t, &i)).unwrap();
    let first = store(&dir);
    assert_eq!(take_one(&first, incoming(7, 1)), Taken::Held);
    assert_eq!(take_one(&first, incoming(7, 1)), Taken::Known, "the milestone comes again");
    assert_eq!(take_one(&first, incoming(7, 2)), Taken::Replayed);
    let other = DeviceRequest { value: Value::Boolean(false), ..request(7) };
    assert_eq!(take_one(&first, Incoming { request: other, ..incoming(7, 1) }), Taken::Used);
    let refused = Incoming { refused: Some("no".into()), ..incoming(8, 1) };
    assert_eq!(take_one(&first, refused), Taken::Refused("no".into()));
    assert_eq!(take_one(&first, incoming(8, 2)), Taken::Held, "what was refused used no number");
    drop(first);
    let again = store(&dir);
    assert_eq!(take_one(&again, incoming(7, 2)), Taken::Replayed);
    let waiting = again.transact_blocking(held).unwrap();
    assert_eq!(waiting.iter().map(|h| h.request.number).collect::<Vec<_>>(), [7, 8]);
    again.transact_blocking(|t| settle(t, request(7).id(), "delivered", 60)).unwrap();
    assert_eq!(again.transact_blocking(held).unwrap().len(), 1);
    assert_eq!(take_one(&again, incoming(7, 2)), Taken::Replayed, "delivered is still used");
    let late = Incoming { refused: Some("it was too old when it was confirmed".into()), ..incoming(7, 3) };
    assert_eq!(take_one(&again, late), Taken::Replayed);
    let listed = again.transact_blocking(|t| newest(t, None, 9)).unwrap();
    assert_eq!(listed.iter().find(|l| l.number == "7").map(|l| l.state.as_str()), Some("delivered"), "and listed as such");
    again.transact_blocking(|t| forget_slots(t, 101)).unwrap();
    assert_eq!(take_one(&again, incoming(7, 2)), Taken::Held, "its time is over: the rule on age refuses it");
}

#[test]
fn strangers_push_out_nothing_that_devices_here_asked() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let noted = Issued { request: request(7), fingerprint: Id([4; 32]), message: Id([1; 32]), at_ms: 5 };
    store.transact_blocking(|t| issued(t, &noted)).unwrap();
    let flood = |t: &Transaction<'_>| -> rusqlite::Result<()> {
        for number in 0..u64::from(LISTED_MAX) + 2 {
            let refused = Incoming { refused: Some("no".into()), time_ms: 50 + number, ..incoming(number, 1) };
            take(t, &refused)?;
        }
        trim(t)
    };
    store.transact_blocking(flood).unwrap();
    let count = |way: &'static str| {
        let sql = "SELECT count(*) FROM requests WHERE way = ?1";
        let read = move |t: &Transaction<'_>| t.query_row(sql, [way], |r| r.get::<_, u32>(0));
        store.transact_blocking(read).unwrap()
    };
    assert_eq!((count("in"), count("out")), (LISTED_MAX + 1, 1));
}

#[test]
fn heights_do_not_fall() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    assert_eq!(store.transact_blocking(height).unwrap(), None);
    for (set, is) in [(5, 5), (3, 5), (9, 9)] {
        store.transact_blocking(|t| set_height(t, set)).unwrap();
        assert_eq!(store.transact_blocking(height).unwrap(), Some(is));
    }
}

#[test]
fn what_was_issued_is_confirmed_and_answered_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let (request, message) = (request(7), Id([1; 32]));
    let noted = Issued { request: request.clone(), fingerprint: Id([4; 32]), message, at_ms: 50 };
    store.transact_blocking(|t| issued(t, &noted)).unwrap();
    assert_eq!(store.transact_blocking(|t| recent(t, 50)).unwrap(), [(request.slot(), Id([4; 32]), 50)]);
    assert!(store.transact_blocking(|t| recent(t, 51)).unwrap().is_empty());
    let confirm = || store.transact_blocking(|t| confirmed(t, &request, message, 3, 60)).unwrap();
    assert_eq!((confirm(), confirm()), (true, false));
    let answer = || store.transact_blocking(|t| answered(t, request.id(), ("delivered", ""), 70)).unwrap();
    assert_eq!(answer(), Some(("z1/button".into(), "z2/lamp/act/power".into(), "7".into())));
    assert_eq!(answer(), None);
    let listed = store.transact_blocking(|t| newest(t, None, 9)).unwrap();
    let listed = listed.first().unwrap();
    assert_eq!((listed.state.as_str(), listed.height, listed.message), ("delivered", Some(3), Some(message)));
}
