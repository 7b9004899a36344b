//! What the file keeps, and what it makes of a purse's State.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::*;
use protocol::request::first_state;
use protocol::{NetworkId, Operation, Signature};
use std::sync::Arc;

const NETWORK: NetworkId = NetworkId([7; 32]);
const WALLET: PublicKey = PublicKey([1; 32]);

fn store() -> (Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (store, height) = Store::open(&dir.path().join("wallets.sqlite")).unwrap();
    assert_eq!(height, 0);
    (store, dir)
}

fn request(number: u64, state: Id, epoch: u64, price: u64) -> Request {
    Request {
        wallet: WALLET,
        state,
        number,
        epoch,
        operation: Operation::Transfer { to: PublicKey([2; 32]) },
        price,
        from_ms: 0,
        until_ms: 0,
        nonce: 0,
        signature: Signature([0; 64]),
    }
}

fn chain(epoch: u64, count: u64) -> Vec<Request> {
    let mut state = first_state(&NETWORK, &WALLET);
    let mut made = Vec::new();
    for number in 0..count {
        let next = request(number, state, epoch, 5);
        state = next.next_state();
        made.push(next);
    }
    made
}

fn purse(number: u64, state: Id, epoch: u64) -> PurseRecord {
    PurseRecord { wallet: WALLET, epoch, number, state, balance: 0, next_number: number, next_state: state, available: 0 }
}

fn carried(requests: &[Request]) -> Found {
    Found { requests: requests.iter().map(|r| (Id([9; 32]), r.clone())).collect(), ..Found::default() }
}

fn status(store: &Store, request: &Request) -> &'static str {
    store.spend(request.id()).unwrap().unwrap().status.name()
}

#[test]
fn what_was_told_and_what_a_message_says_are_one_row() {
    let (store, _dir) = store();
    let requests = chain(3, 2);
    let event = |request: &Request, status| SpendEvent { id: request.id(), request: Arc::new(request.clone()), status };
    store.told(&[event(&requests[0], SpendStatus::Certified)]).unwrap();
    store.milestone(8, &carried(&requests)).unwrap();
    assert_eq!((status(&store, &requests[0]), status(&store, &requests[1])), ("certified", "pending"));
    store.told(&[event(&requests[0], SpendStatus::Final { height: 8 })]).unwrap();
    store.told(&[event(&requests[0], SpendStatus::Certified), event(&requests[1], SpendStatus::Locked)]).unwrap();
    let row = store.spend(requests[0].id()).unwrap().unwrap();
    assert_eq!((row.status, row.height, row.message), (SpendStatus::Final { height: 8 }, Some(8), Some(Id([9; 32]))));
    assert_eq!((row.number, row.epoch, row.next), (0, 3, requests[0].next_state()));
    assert_eq!(status(&store, &requests[1]), "locked");
    // the milestone comes again
    store.milestone(8, &carried(&requests)).unwrap();
    let listed: Vec<u64> = store.spends(Some(WALLET), None, 10).unwrap().iter().map(|(_, r)| r.number).collect();
    assert_eq!(listed, [1, 0]);
    assert_eq!(store.spends(None, None, 1).unwrap().len(), 1);
    assert!(store.spends(Some(PublicKey([3; 32])), None, 10).unwrap().is_empty());
}

#[test]
fn the_state_says_which_requests_led_to_it() {
    let (store, _dir) = store();
    let requests = chain(3, 4);
    let rival = request(1, requests[1].state, 3, 6);
    store.milestone(1, &carried(&requests)).unwrap();
    store.milestone(2, &carried(std::slice::from_ref(&rival))).unwrap();
    // two were executed, and the epoch goes on
    store.settle(&[purse(2, requests[1].next_state(), 3)]).unwrap();
    let all = |of: &[Request]| of.iter().map(|r| status(&store, r)).collect::<Vec<_>>();
    assert_eq!(all(&requests), ["final", "final", "pending", "pending"]);
    assert_eq!(status(&store, &rival), "pending");
    // one more, and then the epoch ended
    store.settle(&[purse(3, requests[2].next_state(), 4)]).unwrap();
    assert_eq!(all(&requests), ["final", "final", "final", "lapsed"]);
    assert_eq!(store.spend(requests[2].id()).unwrap().unwrap().height, None, "nobody said when");
    assert_eq!(status(&store, &rival), "lapsed", "another one of its number was executed");
}

#[test]
fn purses_are_settled_together() {
    let (store, _dir) = store();
    let ours = chain(3, 1).remove(0);
    let theirs = Request { wallet: PublicKey([4; 32]), ..ours.clone() };
    store.milestone(1, &carried(&[ours.clone(), theirs.clone()])).unwrap();
    let other = PurseRecord { wallet: theirs.wallet, ..purse(0, Id([6; 32]), 4) };
    store.settle(&[purse(1, ours.next_state(), 3), other]).unwrap();
    assert_eq!((status(&store, &ours), status(&store, &theirs)), ("final", "lapsed"));
}

#[test]
fn of_what_is_below_a_gap_nothing_is_said() {
    let (store, _dir) = store();
    let requests = chain(3, 3);
    store.milestone(1, &carried(&[requests[0].clone(), requests[2].clone()])).unwrap();
    store.settle(&[purse(3, requests[2].next_state(), 9)]).unwrap();
    assert_eq!((status(&store, &requests[0]), status(&store, &requests[2])), ("pending", "final"));
}

#[test]
fn numbers_of_64_bits_come_back() {
    let (store, _dir) = store();
    let request = request(u64::MAX, Id([4; 32]), u64::MAX - 1, u64::MAX);
    store.milestone(u64::MAX, &carried(std::slice::from_ref(&request))).unwrap();
    let row = store.spend(request.id()).unwrap().unwrap();
    assert_eq!((row.number, row.epoch), (u64::MAX, u64::MAX - 1));
}

#[test]
fn services_are_listed_once_and_by_provider() {
    let (store, dir) = store();
    let service = |n: u8, by: u8, name: &str| (Id([n; 32]), PublicKey([by; 32]), Name::new(name).unwrap());
    let found = Found { services: vec![service(1, 1, "espresso"), service(2, 2, "tea"), service(1, 1, "espresso")], ..Found::default() };
    store.milestone(5, &found).unwrap();
    let services = |provider, before, limit| store.services(provider, before, limit).unwrap();
    let ids = |list: Vec<(i64, Id)>| list.into_iter().map(|(_, id)| id).collect::<Vec<_>>();
    assert_eq!(ids(services(None, None, 10)), [Id([2; 32]), Id([1; 32])]);
    assert_eq!(ids(services(Some(PublicKey([1; 32])), None, 10)), [Id([1; 32])]);
    let first = services(None, None, 1);
    assert_eq!(first.len(), 1);
    // the next page begins below it
    assert_eq!(ids(services(None, first.last().map(|(seen, _)| *seen), 10)), [Id([1; 32])]);
    assert!(store.has_service(&Id([2; 32])).unwrap() && !store.has_service(&Id([3; 32])).unwrap());
    drop(store);
    let (_, height) = Store::open(&dir.path().join("wallets.sqlite")).unwrap();
    assert_eq!(height, 5);
}

#[test]
fn a_file_that_is_damaged_or_of_another_version_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wallets.sqlite");
    std::fs::write(&path, b"this is no database, however long one looks at it. ".repeat(100)).unwrap();
    drop(Store::open(&path).unwrap());
    assert!(dir.path().join("wallets.sqlite.damaged").exists());
    let other = Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA user_version = 9;").unwrap();
    drop(other);
    let (store, height) = Store::open(&path).unwrap();
    assert_eq!((height, store.spends(None, None, 10).unwrap().len()), (0, 0));
}
