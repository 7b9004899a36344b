#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use commonware_runtime::{Runner as _, Supervisor as _, deterministic};
use commonware_utils::NZU16;

fn id(n: u8) -> Id {
    Id([n; 32])
}

#[test]
fn a_store_keeps_the_secret_it_was_made_with() {
    deterministic::Runner::default().start(|context| async move {
        let cache = CacheRef::new(NZU16!(4096), NZUsize!(64));
        let mut store = Store::open(&context.child("first"), "node", &cache, SECTION, id(1)).await.unwrap();
        store.messages.append(id(9), &vec![1, 2]).await.unwrap();
        store.messages.sync().await.unwrap();
        drop(store);
        let store = Store::open(&context.child("second"), "node", &cache, SECTION, id(2)).await.unwrap();
        assert_eq!(store.messages.get(id(9)).await.unwrap(), Some(vec![1, 2]));
        assert!(store.messages.has(id(9)).await.unwrap());
        assert!(!store.messages.has(id(8)).await.unwrap());
    });
}

#[test]
fn tables_without_a_layout_are_left_alone() {
    deterministic::Runner::default().start(|context| async move {
        let cache = CacheRef::new(NZU16!(4096), NZUsize!(64));
        drop(context.open("node-history-key", b"0").await.unwrap());
        let opened = Store::open(&context.child("older"), "node", &cache, SECTION, id(1)).await;
        assert!(matches!(opened, Err(StoreError::Older)));
        // another replica's tables in the same storage are none of its business
        assert!(Store::open(&context.child("other"), "other", &cache, SECTION, id(1)).await.is_ok());
    });
}

#[test]
fn an_older_layout_is_left_alone() {
    deterministic::Runner::default().start(|context| async move {
        let cache = CacheRef::new(NZU16!(4096), NZUsize!(64));
        let mut table = Table::open(context.child("layout"), "node", "layout", NZU64!(1_024), &cache, id(0)).await.unwrap();
        let mut old = Layout { secret: id(1) }.encode();
        old[0] = LAYOUT_VERSION - 1;
        table.put(0, id(0), &old).await.unwrap();
        table.sync().await.unwrap();
        drop(table);
        let opened = Store::open(&context.child("older"), "node", &cache, SECTION, id(1)).await;
        assert!(matches!(opened, Err(StoreError::Older)));
    });
}

#[test]
fn ids_that_begin_alike_have_keys_of_their_own() {
    deterministic::Runner::default().start(|context| async move {
        let cache = CacheRef::new(NZU16!(4096), NZUsize!(64));
        let mut store = Store::open(&context, "node", &cache, SECTION, id(1)).await.unwrap();
        let mut alike = id(5);
        alike.0[31] = 6;
        store.confirmations.append(id(5), &vec![1]).await.unwrap();
        assert!(!store.confirmations.has(alike).await.unwrap());
        store.confirmations.append(alike, &vec![2]).await.unwrap();
        assert_eq!(store.confirmations.get(id(5)).await.unwrap(), Some(vec![1]));
        assert_eq!(store.confirmations.get(alike).await.unwrap(), Some(vec![2]));
    });
}

#[test]
fn a_payload_stands_behind_the_place_of_its_message() {
    for message in [0, 127, 128, u64::MAX] {
        let record = payload_record(message, b"readings");
        assert_eq!(split_payload(&record), Ok((message, &b"readings"[..])));
    }
    assert!(split_payload(&[]).is_err());
    assert!(split_payload(&[0x80]).is_err());
}

#[test]
fn a_ballot_is_read_as_it_was_written() {
    let vote = Ballot::Vote { epoch: 300, wallet: protocol::PublicKey([4; 32]), number: u64::MAX, request: id(6) };
    for ballot in [vote, Ballot::Abstain { epoch: 7 }] {
        assert_eq!(Ballot::decode(&ballot.encode()), Ok(ballot));
    }
    assert!(Ballot::decode(&[2, 0]).is_err());
    assert_eq!((vote.epoch(), Ballot::Abstain { epoch: 7 }.epoch()), (300, 7));
}

#[test]
fn ballots_survive_a_restart_in_their_order() {
    deterministic::Runner::default().start(|context| async move {
        let cache = CacheRef::new(NZU16!(4096), NZUsize!(64));
        let mut store = Store::open(&context.child("first"), "node", &cache, SECTION, id(1)).await.unwrap();
        for epoch in [3, 4] {
            let ballot = Ballot::Abstain { epoch };
            store.ballots.append(ballot.key(), &ballot.encode()).await.unwrap();
        }
        store.ballots.sync().await.unwrap();
        drop(store);
        let store = Store::open(&context.child("second"), "node", &cache, SECTION, id(2)).await.unwrap();
        let last = store.ballots.at(store.ballots.next() - 1).await.unwrap().unwrap();
        assert_eq!(store.ballots.decode::<Ballot>(&last).unwrap(), Ballot::Abstain { epoch: 4 });
    });
}
