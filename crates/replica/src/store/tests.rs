#![allow(clippy::unwrap_used)]

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
