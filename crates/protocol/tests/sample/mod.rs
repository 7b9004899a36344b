//! Fixed values of every type: a small network, five readings of every kind, the message that anchors them, two
//! milestones, their certificates and the receipts. Changing one changes the golden vectors.

#![allow(dead_code, reason = "each test file uses its part")]

use protocol::batch::salt;
use protocol::finalization::consensus_namespace;
use protocol::merkle;
use protocol::receipt::Anchor;
use protocol::{
    Batch, Body, Committee, Encode, Finalization, Genesis, Id, Message, Milestone, Name, PublicKey, Reading, Receipt, SecretKey, Share,
    Unsigned, Validator, Value, Vote,
};

/// Readings in [`batch`]; the receipt is of the one at [`LEAF`].
pub(crate) const READINGS: usize = 5;
/// Which reading the receipts are of.
pub(crate) const LEAF: u32 = 1;
/// Validators in [`genesis`], and how many of them decide.
pub(crate) const VALIDATORS: u8 = 4;
pub(crate) const QUORUM: u8 = 3;
pub(crate) const SUBNET: u16 = 7;

const TIME_US: u64 = 1_750_000_000_123_456;

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// The committee's secret keys, in the committee's order.
pub(crate) fn committee_keys() -> Vec<SecretKey> {
    let mut keys: Vec<_> = (1..=VALIDATORS).map(key).collect();
    keys.sort_by_key(SecretKey::public_key);
    keys
}

pub(crate) fn genesis() -> Genesis {
    genesis_named("sample")
}

/// The same committee under another network's name.
pub(crate) fn genesis_named(network: &str) -> Genesis {
    let names = ["nord", "ost", "süd", "west"];
    let validator = |(k, n): (&SecretKey, &&str)| Validator { key: k.public_key(), name: name(n) };
    let committee = Committee::new(committee_keys().iter().zip(&names).map(validator).collect()).unwrap();
    Genesis { name: name(network), subnet: SUBNET, created_ms: 1_749_999_999_000, committee }
}

fn reading(topic: &str, after_us: u64, sequence: Option<u64>, unit: Option<&str>, value: Value) -> Reading {
    Reading { topic: topic.parse().unwrap(), time_us: TIME_US + after_us, sequence, unit: unit.map(str::to_string), value }
}

pub(crate) fn readings() -> Vec<Reading> {
    vec![
        reading("plant/meter-1/sense/power", 0, None, Some("W"), Value::number(412.5).unwrap()),
        reading("plant/meter-1/sense/power", 1_000_000, Some(41), Some("W"), Value::number(-3.25).unwrap()),
        reading("plant/valve-7/act/open", 500_000, None, None, Value::Boolean(true)),
        reading("plant/door/sense/note", 500_000, None, None, Value::Text("locked \u{2014} \u{9375}".to_string())),
        reading("plant/cam-2/sense/frame", 2_000_000, Some(u64::MAX), Some("%RH"), Value::Bytes(vec![0, 255, 7])),
    ]
}

pub(crate) fn batch() -> Batch {
    Batch { secret: [0x5a; 32], first_offset: 300, readings: readings() }
}

pub(crate) fn issuer() -> SecretKey {
    key(11)
}

pub(crate) fn unsigned(body: Body) -> Unsigned {
    let network = genesis().network();
    Unsigned {
        network,
        subnet: SUBNET,
        issuer: issuer().public_key(),
        sequence: 0,
        parents: vec![Unsigned::root(network), Id([0x21; 32]), Id([0x42; 32])],
        issued_at_ms: 1_750_000_000_200,
        votes: vec![Id([1; 32]), Id([2; 32])],
        body,
        pow_nonce: 0x0102_0304_0506_0708,
    }
}

pub(crate) fn readings_body() -> Body {
    let batch = batch();
    let encoded = batch.encode();
    Body::Readings {
        root: merkle::root(&batch.leaves()),
        count: u32::try_from(batch.readings.len()).unwrap(),
        bytes: u32::try_from(encoded.len()).unwrap(),
        span_us: batch.span_us(),
        blob: Batch::blob_digest(&encoded),
        shares: vec![Share { wallet: key(12).public_key(), count: 2 }],
    }
}

/// The message that anchors [`batch`].
pub(crate) fn message() -> Message {
    unsigned(readings_body()).sign(&issuer())
}

/// A message with bytes of an application.
pub(crate) fn data_message() -> Message {
    let mut unsigned = unsigned(Body::Data(b"hello".to_vec()));
    unsigned.sequence = 300;
    unsigned.parents = vec![Id([9; 32])];
    unsigned.votes.clear();
    unsigned.sign(&issuer())
}

/// The ids that the milestone of height 1 confirms, [`message`] in the middle.
pub(crate) fn confirmed() -> Vec<Id> {
    vec![Id::hash(&[b"first"]), message().id(), Id::hash(&[b"third"])]
}

fn history(earlier: &[Milestone]) -> Vec<Id> {
    earlier.iter().map(|m| Milestone::history_leaf(&m.digest())).collect()
}

fn child(earlier: &[Milestone], tips: Vec<Id>, ids: &[Id]) -> Milestone {
    let parent = earlier.last().unwrap();
    Milestone {
        subnet: SUBNET,
        parent: parent.digest(),
        height: parent.height + 1,
        epoch: 0,
        time_ms: parent.time_ms + 1_500,
        tips,
        message_count: ids.len() as u64,
        messages_root: Milestone::root_of_messages(ids),
        state_root: Id([0x77; 32]),
        history_root: merkle::root(&history(earlier)),
        next_committee: None,
    }
}

/// Genesis, a milestone that confirms [`confirmed`], and a heartbeat.
pub(crate) fn milestones() -> Vec<Milestone> {
    let mut chain = vec![genesis().milestone()];
    let mut tips = vec![message().id(), Id::hash(&[b"third"])];
    tips.sort();
    chain.push(child(&chain, tips, &confirmed()));
    chain.push(child(&chain, Vec::new(), &[]));
    chain
}

/// A milestone that ends an epoch.
pub(crate) fn last_of_epoch() -> Milestone {
    let mut members: Vec<PublicKey> = (1..=5).map(|seed| key(seed).public_key()).collect();
    members.sort();
    let mut milestone = child(&milestones(), Vec::new(), &[]);
    milestone.next_committee = Some(members);
    milestone
}

/// The certificate of the given validators on a digest.
pub(crate) fn finalization(digest: Id, signers: &[u8]) -> Finalization {
    let mut finalization = Finalization { epoch: 0, view: 300, parent_view: 299, digest, votes: Vec::new() };
    finalization.votes = signers.iter().map(|v| vote(&finalization, *v)).collect();
    finalization
}

/// What validator `validator` signs.
pub(crate) fn vote(finalization: &Finalization, validator: u8) -> Vote {
    let namespace = [consensus_namespace(&genesis().network()).as_slice(), b"_FINALIZE"].concat();
    let signature = committee_keys()[usize::from(validator)].sign(&namespace, &finalization.proposal());
    Vote { validator, signature }
}

fn receipt_with(milestone: Milestone, anchor: Option<Anchor>, digest: Id) -> Receipt {
    let (batch, ids) = (batch(), confirmed());
    let index = LEAF as usize;
    let leaves: Vec<Id> = ids.iter().map(Milestone::message_leaf).collect();
    Receipt {
        reading: batch.readings[index].clone(),
        salt: salt(&batch.secret, LEAF),
        leaf_index: LEAF,
        batch_path: merkle::path(&batch.leaves(), index).unwrap(),
        message: message(),
        message_index: 1,
        message_path: merkle::path(&leaves, 1).unwrap(),
        milestone,
        anchor,
        finalization: finalization(digest, &[0, 1, 3]),
    }
}

/// A receipt whose milestone carries the certificate itself.
pub(crate) fn receipt() -> Receipt {
    let milestone = milestones()[1].clone();
    let digest = milestone.digest();
    receipt_with(milestone, None, digest)
}

/// The same reading, certified by a later milestone.
pub(crate) fn anchored_receipt() -> Receipt {
    let chain = milestones();
    let anchor = Anchor { milestone: chain[2].clone(), history_path: merkle::path(&history(&chain[..2]), 1).unwrap() };
    let digest = chain[2].digest();
    receipt_with(chain[1].clone(), Some(anchor), digest)
}
