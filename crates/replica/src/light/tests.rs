#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use super::*;
use crate::sample::Sample;

const ROOT: Id = Id([5; 32]);

/// The head at `height` for somebody who knows the committee of epoch `from`.
fn head(sample: &Sample, chain: &[Milestone], height: usize, from: u64) -> Head {
    let milestone = chain[height].clone();
    let handovers = sample.handovers(chain, from, milestone.epoch);
    Head { finalization: sample.certify(&milestone), milestone, handovers }
}

#[test]
fn a_follower_walks_from_the_genesis_through_every_committee() {
    let sample = Sample::new();
    let chain = sample.chain(12, ROOT, 0);
    let mut trusted = Trusted::genesis(&sample.genesis);
    for height in 1..chain.len() {
        let head = head(&sample, &chain, height, trusted.epoch());
        assert_eq!(trusted.advance(&sample.genesis, &head), Ok(Step::Newer), "height {height}");
        assert_eq!(trusted.milestone(), &chain[height]);
        assert_eq!(trusted.epoch(), chain[height].epoch);
        assert_eq!(trusted.advance(&sample.genesis, &Head { handovers: Vec::new(), ..head }), Ok(Step::Known));
    }
    // the same in one stride
    let mut late = Trusted::genesis(&sample.genesis);
    assert_eq!(late.advance(&sample.genesis, &head(&sample, &chain, 11, 0)), Ok(Step::Newer));
    assert_eq!((late.epoch(), late.committee().size()), (3, 3));
    // and from what was written down
    let keys: Vec<PublicKey> = late.committee().validators().iter().map(|v| v.key).collect();
    let again = Trusted::restore(&sample.genesis, late.epoch(), &keys, late.milestone().clone()).unwrap();
    assert_eq!((again.milestone(), again.committee()), (late.milestone(), late.committee()));
    let text = late.to_json(&sample.genesis);
    assert_eq!(Trusted::from_json(&text, &sample.genesis), Ok(again));
    let mut elsewhere = sample.genesis.clone();
    elsewhere.created_ms += 1;
    assert!(Trusted::from_json(&text, &elsewhere).is_err());
    let other = Trusted::genesis(&sample.genesis).milestone().digest().to_string();
    assert!(Trusted::from_json(&text.replace(&late.milestone().digest().to_string(), &other), &sample.genesis).is_err());
}

#[test]
fn handovers_without_the_last_ones_are_a_part_of_the_way() {
    let sample = Sample::new();
    let chain = sample.chain(12, ROOT, 0);
    let mut trusted = Trusted::genesis(&sample.genesis);
    let mut part = head(&sample, &chain, 10, 0);
    part.handovers.truncate(2);
    assert_eq!(trusted.advance(&sample.genesis, &part), Ok(Step::Partly));
    assert_eq!((trusted.epoch(), trusted.milestone().height), (2, 5));
    assert_eq!(trusted.advance(&sample.genesis, &head(&sample, &chain, 10, 2)), Ok(Step::Newer));
    // without any there is no progress
    let mut fresh = Trusted::genesis(&sample.genesis);
    let none = Head { handovers: Vec::new(), ..head(&sample, &chain, 10, 0) };
    assert!(matches!(fresh.advance(&sample.genesis, &none), Err(HeadError::Handover(HandoverError::Reached { .. }))));
    assert_eq!(fresh, Trusted::genesis(&sample.genesis));
}

#[test]
fn what_does_not_hold_changes_nothing() {
    let sample = Sample::new();
    let chain = sample.chain(12, ROOT, 0);
    let mut trusted = Trusted::genesis(&sample.genesis);
    trusted.advance(&sample.genesis, &head(&sample, &chain, 4, 0)).unwrap();
    let before = trusted.clone();
    let good = head(&sample, &chain, 10, 1);
    let mut refused = |change: &dyn Fn(&mut Head)| {
        let mut changed = good.clone();
        change(&mut changed);
        let why = trusted.advance(&sample.genesis, &changed).unwrap_err();
        assert_eq!(trusted, before, "{why}");
        why
    };
    assert_eq!(refused(&|h| h.milestone.subnet = 1), HeadError::Subnet);
    assert_eq!(refused(&|h| h.milestone.time_ms += 1), HeadError::Digest);
    assert_eq!(refused(&|h| h.milestone.height = 3), HeadError::Epoch { height: 3 });
    assert_eq!(refused(&|h| h.finalization.epoch = 2), HeadError::Epoch { height: 10 });
    assert!(matches!(refused(&|h| h.finalization.view += 1), HeadError::Finalization(_)));
    assert!(matches!(refused(&|h| h.finalization.votes.truncate(2)), HeadError::Finalization(_)));
    assert!(matches!(refused(&|h| h.handovers.reverse()), HeadError::Handover(_)));
    assert!(matches!(refused(&|h| h.handovers[1].finalization.votes[0].signature.0[0] ^= 1), HeadError::Handover(_)));
    assert!(matches!(refused(&|h| drop(h.handovers.remove(0))), HeadError::Handover(_)));
    let many = vec![good.handovers[0].clone(); HANDOVERS_AT_ONCE_MAX as usize + 1];
    assert_eq!(refused(&|h| h.handovers = many.clone()), HeadError::TooMany(257));
    // an earlier epoch's committee may still sign, but nobody listens
    let old = Head { handovers: Vec::new(), ..head(&sample, &chain, 2, 0) };
    assert_eq!(trusted.advance(&sample.genesis, &old), Err(HeadError::Behind { height: 2, epoch: 0 }));
    // handovers that lead beyond the milestone
    let beyond = Head { handovers: good.handovers.clone(), ..head(&sample, &chain, 5, 1) };
    assert!(matches!(trusted.advance(&sample.genesis, &beyond), Err(HeadError::Handover(HandoverError::Reached { .. }))));
}

#[test]
fn two_certified_milestones_of_one_height_are_an_alarm() {
    let sample = Sample::new();
    let (chain, other) = (sample.chain(6, ROOT, 0), sample.chain(6, ROOT, 1));
    let mut trusted = Trusted::genesis(&sample.genesis);
    trusted.advance(&sample.genesis, &head(&sample, &chain, 2, 0)).unwrap();
    let fork = |height: usize| HeadError::Fork { height: height as u64, one: chain[height].digest(), other: other[height].digest() };
    let mut same = trusted.clone();
    assert_eq!(same.advance(&sample.genesis, &head(&sample, &other, 2, 0)), Err(fork(1)));
    // the next one of the other chain names another parent
    assert_eq!(trusted.clone().advance(&sample.genesis, &head(&sample, &other, 3, 0)).unwrap_err(), fork(1));
    let mut restored = Trusted::restore(&sample.genesis, 0, &keys(&sample), chain[2].clone()).unwrap();
    assert_eq!(restored.advance(&sample.genesis, &head(&sample, &other, 2, 0)), Err(fork(2)));
    // an older one, told by a node that is behind
    let mut ahead = trusted.clone();
    ahead.advance(&sample.genesis, &head(&sample, &chain, 5, 0)).unwrap();
    assert_eq!(ahead.advance(&sample.genesis, &head(&sample, &other, 4, 1)), Err(fork(4)));
}

fn keys(sample: &Sample) -> Vec<PublicKey> {
    sample.genesis.committee.validators().iter().map(|v| v.key).collect()
}

#[test]
fn a_record_whose_parts_do_not_fit_is_refused() {
    let sample = Sample::new();
    let chain = sample.chain(6, ROOT, 0);
    let restore = |epoch, milestone: &Milestone| Trusted::restore(&sample.genesis, epoch, &keys(&sample), milestone.clone());
    assert!(restore(0, &chain[0]).is_ok());
    assert!(restore(0, &chain[1]).is_ok());
    assert!(restore(1, &chain[2]).is_ok(), "a closing milestone tells the next committee");
    for (epoch, height) in [(1, 1), (0, 3), (2, 2)] {
        assert_eq!(restore(epoch, &chain[height]), Err(TrustError::Misfit), "epoch {epoch}, height {height}");
    }
    assert_eq!(restore(0, &Milestone { subnet: 1, ..chain[1].clone() }), Err(TrustError::Misfit));
    assert_eq!(restore(0, &Milestone { time_ms: 7, ..chain[0].clone() }), Err(TrustError::Misfit));
    let unsorted: Vec<PublicKey> = keys(&sample).into_iter().rev().collect();
    assert!(matches!(Trusted::restore(&sample.genesis, 0, &unsorted, chain[1].clone()), Err(TrustError::Committee(_))));
}

#[test]
fn a_head_is_read_back_from_json() {
    let sample = Sample::new();
    let chain = sample.chain(12, ROOT, 0);
    let head = head(&sample, &chain, 10, 0);
    let text = head.to_json();
    assert_eq!(Head::from_json(&text).as_ref(), Ok(&head));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    for field in value.as_object().unwrap().keys() {
        let mut without = value.clone();
        without.as_object_mut().unwrap().remove(field);
        assert!(Head::from_json(&without.to_string()).is_err(), "without {field}");
    }
    assert!(Head::from_json(&text.replacen("wattle-head-v1", "wattle-head-v2", 1)).is_err());
    assert!(Head::from_json(&text[..text.len() / 2]).is_err());
}
