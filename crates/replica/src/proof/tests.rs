#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use super::*;
use crate::sample::{EPOCH_MILESTONES, Sample, wallet};
use crate::state::{PROOF_BYTES_MAX, State};
use commonware_runtime::{Runner as _, Supervisor as _, buffer::paged::CacheRef, deterministic};
use commonware_utils::{NZU16, NZUsize};
use ledger::{Validator, Wallet};
use protocol::{Decode as _, Id, PublicKey};

/// The state's root after the genesis, and the values under `keys` with their proofs.
/// A value and its proof.
type Proved = Option<(Vec<u8>, Vec<u8>)>;

fn proved(genesis: &Genesis, keys: Vec<Key>) -> (Id, Vec<Proved>) {
    let genesis = genesis.clone();
    deterministic::Runner::new(deterministic::Config::new()).start(|context| async move {
        let cache = CacheRef::new(NZU16!(4096), NZUsize!(1024));
        let state = State::open(context.child("state"), "sample", &cache, &genesis).await.unwrap();
        let mut proofs = Vec::new();
        for key in keys {
            proofs.push(state.prove(key).await.unwrap());
        }
        (state.root().unwrap(), proofs)
    })
}

/// A proof of what `key` holds, certified by the milestone of height `certified`, if need be by way of `signed`.
fn proof(sample: &Sample, key: Key, certified: usize, signed: usize) -> StateProof {
    let (root, mut proofs) = proved(&sample.genesis, vec![key]);
    let (value, proof) = proofs.pop().unwrap().unwrap();
    let chain = sample.chain(signed as u64 + 1, root, 0);
    let anchor = (signed > certified).then(|| {
        let leaves: Vec<Id> = chain[..signed].iter().map(|m| Milestone::history_leaf(&m.digest())).collect();
        Anchor { milestone: chain[signed].clone(), history_path: merkle::path(&leaves, certified).unwrap() }
    });
    let handovers = sample.handovers(&chain, 0, chain[signed].epoch);
    let finalization = sample.certify(&chain[signed]);
    StateProof { key, value, proof, certified: chain[certified].clone(), anchor, finalization, handovers }
}

#[test]
fn a_value_is_proved_against_the_milestone_after_its_state() {
    let sample = Sample::new();
    for n in [0, 1, 255, 256, 599] {
        let proof = proof(&sample, Key::Wallet(wallet(n)), 1, 1);
        let verified = proof.verify(&sample.genesis).unwrap();
        assert_eq!((verified.height, verified.epoch, verified.time_ms), (0, 0, 1_010));
        assert_eq!(Wallet::decode(&verified.value).unwrap().balance, 1_000 + u64::from(n));
        assert_eq!(StateProof::from_json(&proof.to_json()).as_ref(), Ok(&proof));
    }
    let member = sample.genesis.committee.validators()[2].key;
    let verified = proof(&sample, Key::Validator(member), 1, 1).verify(&sample.genesis).unwrap();
    assert_eq!(Validator::decode(&verified.value).unwrap().name.as_str(), "c");
}

#[test]
fn a_later_milestone_of_a_later_epoch_may_carry_the_certificate() {
    let sample = Sample::new();
    let (certified, signed) = (EPOCH_MILESTONES as usize - 1, 2 * EPOCH_MILESTONES as usize + 1);
    let proof = proof(&sample, Key::Wallet(wallet(7)), certified, signed);
    assert_eq!(proof.handovers.len(), 2);
    let verified = proof.verify(&sample.genesis).unwrap();
    assert_eq!((verified.height, verified.epoch), (certified as u64 - 1, 2));
    assert_eq!(StateProof::from_json(&proof.to_json()).as_ref(), Ok(&proof));
}

#[test]
fn what_is_not_there_has_no_proof() {
    let sample = Sample::new();
    let (_, proofs) = proved(&sample.genesis, vec![Key::Wallet(wallet(600)), Key::Offence(Id([7; 32]))]);
    assert_eq!(proofs, [None, None]);
}

#[test]
fn every_flipped_bit_of_the_engine_s_proof_is_refused() {
    let sample = Sample::new();
    // the log is ordered by hash: these lie in different chunks of the bitmap
    for n in [3, 100, 300, 598] {
        let good = proof(&sample, Key::Wallet(wallet(n)), 1, 1);
        let root = good.certified.state_root;
        assert_eq!(state::holds(good.key, &good.value, &good.proof, root), Some(true));
        for bit in 0..good.proof.len() * 8 {
            let mut bytes = good.proof.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(state::holds(good.key, &good.value, &bytes, root), Some(true), "bit {bit}");
        }
    }
}

#[test]
fn a_proof_that_was_cut_or_stretched_is_refused() {
    let sample = Sample::new();
    let good = proof(&sample, Key::Wallet(wallet(3)), 1, 1);
    // cuts within the location, the chunk of the bitmap, the digests, and what follows them
    for length in 0..good.proof.len() {
        let cut = StateProof { proof: good.proof[..length].to_vec(), ..good.clone() };
        assert_eq!(cut.verify(&sample.genesis), Err(StateProofError::Proof), "{length} bytes");
    }
    let longer = StateProof { proof: [good.proof.as_slice(), &[0]].concat(), ..good.clone() };
    assert_eq!(longer.verify(&sample.genesis), Err(StateProofError::Proof));
    let endless = StateProof { proof: vec![0xff; PROOF_BYTES_MAX + 1], ..good.clone() };
    assert_eq!(endless.verify(&sample.genesis), Err(StateProofError::Proof));
    for filler in [0, 1, 0x7f, 0xff] {
        for length in [1, 40, 64, 200, 4_000, PROOF_BYTES_MAX] {
            let noise = StateProof { proof: vec![filler; length], ..good.clone() };
            assert!(noise.verify(&sample.genesis).is_err(), "{length} times {filler}");
        }
    }
}

#[test]
fn no_part_can_be_exchanged() {
    let sample = Sample::new();
    let key = Key::Wallet(wallet(3));
    let good = proof(&sample, key, 2, 7);
    assert!(good.verify(&sample.genesis).is_ok());
    let other = proof(&sample, Key::Wallet(wallet(4)), 2, 7);
    let refused = |change: &dyn Fn(&mut StateProof)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed.verify(&sample.genesis).unwrap_err()
    };
    assert_eq!(refused(&|p| p.key = Key::Account(wallet(3))), StateProofError::Value);
    assert_eq!(refused(&|p| p.key = other.key), StateProofError::Value);
    assert_eq!(refused(&|p| p.value = other.value.clone()), StateProofError::Value);
    assert_eq!(refused(&|p| p.value.push(0)), StateProofError::Value);
    assert_eq!(refused(&|p| p.proof = other.proof.clone()), StateProofError::Value);
    assert_eq!(refused(&|p| p.certified.state_root = Id([1; 32])), StateProofError::History);
    assert_eq!(refused(&|p| p.certified.height = 0), StateProofError::Genesis);
    assert_eq!(refused(&|p| p.certified.height = 3), StateProofError::History);
    assert_eq!(refused(&|p| p.certified.subnet = 1), StateProofError::Subnet);
    assert_eq!(refused(&|p| p.certified.time_ms += 1), StateProofError::History);
    assert_eq!(refused(&|p| p.anchor.as_mut().unwrap().milestone.subnet = 1), StateProofError::Subnet);
    assert_eq!(refused(&|p| p.anchor.as_mut().unwrap().milestone.time_ms += 1), StateProofError::Digest);
    assert_eq!(refused(&|p| p.anchor.as_mut().unwrap().history_path.reverse()), StateProofError::History);
    assert_eq!(refused(&|p| p.anchor = None), StateProofError::Digest);
    assert_eq!(refused(&|p| p.finalization.digest = Id([1; 32])), StateProofError::Digest);
    assert!(matches!(refused(&|p| p.finalization.view += 1), StateProofError::Finalization(_)));
    assert!(matches!(refused(&|p| p.finalization.epoch = 1), StateProofError::Handover(HandoverError::Epoch { .. })));
    assert!(matches!(refused(&|p| p.finalization.votes.truncate(2)), StateProofError::Finalization(_)));
    assert!(matches!(refused(&|p| p.finalization.votes[0].signature.0[5] ^= 1), StateProofError::Finalization(_)));
    assert!(matches!(refused(&|p| p.handovers.truncate(1)), StateProofError::Handover(HandoverError::Reached { .. })));
    assert!(matches!(refused(&|p| p.handovers.swap(0, 1)), StateProofError::Handover(_)));
    assert!(matches!(refused(&|p| p.handovers[1].finalization.view += 1), StateProofError::Handover(_)));
    assert!(matches!(
        refused(&|p| p.handovers[0].milestone.next_committee.as_mut().unwrap()[0] = PublicKey([9; 32])),
        StateProofError::Handover(_)
    ));
    let mut elsewhere = sample.genesis.clone();
    elsewhere.created_ms += 1;
    assert!(good.verify(&elsewhere).is_err());
}

#[test]
fn json_is_strict() {
    let sample = Sample::new();
    let good = proof(&sample, Key::Wallet(wallet(3)), 2, 7);
    let text = good.to_json();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    for field in value.as_object().unwrap().keys() {
        let mut without = value.clone();
        without.as_object_mut().unwrap().remove(field);
        assert!(StateProof::from_json(&without.to_string()).is_err(), "without {field}");
        let mut other = value.clone();
        other[field] = serde_json::json!(7);
        assert!(StateProof::from_json(&other.to_string()).is_err(), "{field} is a number");
    }
    let mut more = value.clone();
    more["comment"] = serde_json::json!("x");
    assert!(StateProof::from_json(&more.to_string()).is_err());
    for (from, to) in [("wallet/", "pouch/"), ("wallet/", "delegation/"), ("wattle-state-v1", "wattle-state-v2"), ("\"key\"", "\"Key\"")] {
        assert!(text.contains(from));
        assert!(StateProof::from_json(&text.replacen(from, to, 1)).is_err(), "{to}");
    }
    for bad in ["", "{}", "[]", "null", "\"x\""] {
        assert!(StateProof::from_json(bad).is_err(), "{bad}");
    }
    let mut odd = value.clone();
    odd["value"] = serde_json::json!("ABCD");
    assert!(StateProof::from_json(&odd.to_string()).is_err(), "capital letters");
    odd["value"] = serde_json::json!("abc");
    assert!(StateProof::from_json(&odd.to_string()).is_err(), "half a byte");
}
