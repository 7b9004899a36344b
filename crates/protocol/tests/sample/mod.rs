//! Fixed values of every type: a small network, five readings of every kind, the message that anchors them, two
//! milestones, their certificates, the handover to a second epoch, orders, evidence and the receipts. Changing one
//! changes the golden vectors.

#![allow(dead_code, reason = "each test file uses its part")]

use protocol::batch::salt;
use protocol::finalization::consensus_namespace;
use protocol::merkle;
use protocol::order::first_state;
use protocol::receipt::Anchor;
use protocol::{
    Action, Ballot, Batch, Body, Committee, Credential, DeviceName, Encode, Evidence, Finalization, Genesis, Handover, Id, Message,
    Milestone, Name, Order, Parameters, Phase, PublicKey, Reading, Receipt, Role, SecretKey, Share, SignedReading, Unsigned, Validator,
    Value, Vote, WalletParameters,
};

/// Readings in [`batch`]; the receipt is of the one at [`LEAF`].
pub(crate) const READINGS: usize = 5;
/// Which reading the receipts are of.
pub(crate) const LEAF: u32 = 1;
/// Validators in [`genesis`], and how many of them decide.
pub(crate) const VALIDATORS: u8 = 4;
pub(crate) const QUORUM: u8 = 3;
pub(crate) const SUBNET: u16 = 7;
/// Milestones of an epoch: [`last_of_epoch`] has height 3.
pub(crate) const EPOCH_MILESTONES: u64 = 4;
/// Validators of epoch 1, and how many of them decide.
pub(crate) const NEXT_VALIDATORS: u8 = 5;
pub(crate) const NEXT_QUORUM: u8 = 4;

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
    let mut wallets = vec![(key(12).public_key(), 5_000), (key(13).public_key(), u64::from(u32::MAX))];
    wallets.sort();
    let parameters = Parameters { epoch_milestones: EPOCH_MILESTONES, ..Parameters::default() };
    let stakes = vec![1_000, 2_000, 3_000, 4_000];
    Genesis {
        name: name(network),
        subnet: SUBNET,
        created_ms: 1_749_999_999_000,
        parameters,
        committee,
        stakes,
        wallets,
        wallet_parameters: WalletParameters::default(),
    }
}

fn reading(topic: &str, after_us: u64, sequence: Option<u64>, unit: Option<&str>, value: Value) -> Reading {
    Reading { topic: topic.parse().unwrap(), time_us: TIME_US + after_us, sequence, unit: unit.map(str::to_string), value, signed: None }
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

/// The secret keys of the committee of epoch 1, in its order: that of epoch 0 and one more.
pub(crate) fn next_committee_keys() -> Vec<SecretKey> {
    let mut keys: Vec<_> = (1..=NEXT_VALIDATORS).map(key).collect();
    keys.sort_by_key(SecretKey::public_key);
    keys
}

/// The milestone that closes epoch 0.
pub(crate) fn last_of_epoch() -> Milestone {
    let members: Vec<PublicKey> = next_committee_keys().iter().map(SecretKey::public_key).collect();
    let mut milestone = child(&milestones(), Vec::new(), &[]);
    milestone.next_committee = Some(members);
    milestone
}

/// Epoch 0 hands over to epoch 1.
pub(crate) fn handover() -> Handover {
    let milestone = last_of_epoch();
    let finalization = finalization(milestone.digest(), &[0, 1, 2]);
    Handover { milestone, finalization }
}

/// The first milestone of epoch 1.
pub(crate) fn first_of_next_epoch() -> Milestone {
    let mut chain = milestones();
    chain.push(last_of_epoch());
    Milestone { epoch: 1, ..child(&chain, Vec::new(), &[]) }
}

/// The certificate of the given validators on a digest.
pub(crate) fn finalization(digest: Id, signers: &[u8]) -> Finalization {
    let mut finalization = Finalization { epoch: 0, view: 300, parent_view: 299, digest, votes: Vec::new() };
    finalization.votes = signers.iter().map(|v| vote(&finalization, *v)).collect();
    finalization
}

/// The certificate of the given validators of epoch 1 on a digest.
pub(crate) fn next_finalization(digest: Id, signers: &[u8]) -> Finalization {
    let mut finalization = Finalization { epoch: 1, view: 2, parent_view: 1, digest, votes: Vec::new() };
    let namespace = [consensus_namespace(&genesis().network()).as_slice(), b"_FINALIZE"].concat();
    let (keys, proposal) = (next_committee_keys(), finalization.proposal());
    let sign = |v: &u8| Vote { validator: *v, signature: keys[usize::from(*v)].sign(&namespace, &proposal) };
    finalization.votes = signers.iter().map(sign).collect();
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
        handovers: Vec::new(),
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

/// The same reading, certified by the committee of epoch 1.
pub(crate) fn handed_over_receipt() -> Receipt {
    let mut chain = milestones();
    chain.push(last_of_epoch());
    let certified = first_of_next_epoch();
    let digest = certified.digest();
    let anchor = Anchor { milestone: certified, history_path: merkle::path(&history(&chain), 1).unwrap() };
    let mut receipt = receipt_with(chain[1].clone(), Some(anchor), digest);
    receipt.finalization = next_finalization(digest, &[0, 1, 2, 4]);
    receipt.handovers = vec![handover()];
    receipt
}

/// The wallet that gives [`orders`].
pub(crate) fn wallet() -> SecretKey {
    key(12)
}

/// An order of each kind, all in the wallet's first State.
pub(crate) fn orders() -> Vec<Order> {
    let (network, validator) = (genesis().network(), key(1).public_key());
    let state = first_state(&network, &wallet().public_key());
    let actions = [
        Action::Register { name: name("fünf"), address: Some("node-5.example:7700".parse().unwrap()) },
        Action::Register { name: name("six"), address: None },
        Action::Retire,
        Action::Delegate { validator, amount: 1 },
        Action::Undelegate { validator, amount: u64::MAX },
        Action::Withdraw { validator },
    ];
    actions.into_iter().map(|action| Order::sign(&network, &wallet(), state, action)).collect()
}

/// The key of the device that signs.
pub(crate) fn device_key() -> SecretKey {
    key(14)
}

/// The device that signs.
pub(crate) fn device() -> DeviceName {
    "plant/meter-1".parse().unwrap()
}

/// What the device publishes: two readings under its key, the first with a unit.
pub(crate) fn envelopes() -> Vec<SignedReading> {
    let (network, topic) = (genesis().network(), "plant/meter-1/sense/power".parse().unwrap());
    let sign =
        |at, unit: Option<&str>, value| SignedReading::sign(&network, &device_key(), &topic, at, unit.map(str::to_string), value).unwrap();
    vec![
        sign((TIME_US + 3_000_000, 42), Some("W"), Value::number(99.75).unwrap()),
        sign((TIME_US + 4_000_000, 300), None, Value::Text("idle".to_string())),
    ]
}

/// The same as readings.
pub(crate) fn signed_readings() -> Vec<Reading> {
    let topic = "plant/meter-1/sense/power";
    envelopes().into_iter().map(|e| e.into_reading(topic.parse().unwrap(), device_key().public_key())).collect()
}

/// A batch with readings of both kinds, and two devices that sign.
pub(crate) fn signed_batch() -> Batch {
    let mut readings = signed_readings();
    readings.insert(1, self::readings().swap_remove(0));
    let other = SignedReading::sign(
        &genesis().network(),
        &key(15),
        &"plant/valve-7/act/open".parse().unwrap(),
        (TIME_US, 0),
        None,
        Value::Boolean(false),
    );
    readings.insert(2, other.unwrap().into_reading("plant/valve-7/act/open".parse().unwrap(), key(15).public_key()));
    Batch { secret: [0x6b; 32], first_offset: 305, readings }
}

/// The receipt of reading `index` of `batch`, in a message and a milestone of its own.
pub(crate) fn receipt_of(batch: &Batch, index: u32) -> Receipt {
    let encoded = batch.encode();
    let body = Body::Readings {
        root: merkle::root(&batch.leaves()),
        count: u32::try_from(batch.readings.len()).unwrap(),
        bytes: u32::try_from(encoded.len()).unwrap(),
        span_us: batch.span_us(),
        blob: Batch::blob_digest(&encoded),
        shares: Vec::new(),
    };
    let message = unsigned(body).sign(&issuer());
    let milestone = child(&[genesis().milestone()], vec![message.id()], &[message.id()]);
    let finalization = finalization(milestone.digest(), &[0, 1, 3]);
    Receipt {
        reading: batch.readings[index as usize].clone(),
        salt: salt(&batch.secret, index),
        leaf_index: index,
        batch_path: merkle::path(&batch.leaves(), index as usize).unwrap(),
        message,
        message_index: 0,
        message_path: Vec::new(),
        milestone,
        anchor: None,
        finalization,
        handovers: Vec::new(),
    }
}

/// The receipt of a reading that its device signed.
pub(crate) fn signed_receipt() -> Receipt {
    receipt_of(&signed_batch(), 0)
}

/// An order of each kind about sites and devices, all in the wallet's first State.
pub(crate) fn device_orders() -> Vec<Order> {
    let (network, owner) = (genesis().network(), wallet().public_key());
    let state = first_state(&network, &owner);
    let credential = Credential::sign(&network, &device_key(), &device(), &owner);
    let mut gateways = vec![key(1).public_key(), key(2).public_key()];
    gateways.sort();
    let actions = [
        Action::Site { site: name("plant"), gateways },
        Action::Site { site: name("süd"), gateways: Vec::new() },
        Action::RegisterDevice { device: device(), role: Role::Signer, credential: Some(credential), thing: Some(Id([0x33; 32])) },
        Action::RegisterDevice { device: "plant/door".parse().unwrap(), role: Role::Unsigned, credential: None, thing: None },
        Action::RotateDevice { device: device(), credential: Credential::sign(&network, &key(15), &device(), &owner) },
        Action::DescribeDevice { device: device(), thing: Some(Id([0x44; 32])) },
        Action::DescribeDevice { device: device(), thing: None },
        Action::RevokeDevice { device: device() },
    ];
    actions.into_iter().map(|action| Order::sign(&network, &wallet(), state, action)).collect()
}

pub(crate) fn orders_message() -> Message {
    let mut unsigned = unsigned(Body::Orders(orders()));
    unsigned.sequence = 1;
    unsigned.sign(&issuer())
}

/// Another message with the sequence of [`data_message`].
pub(crate) fn equivocation() -> Message {
    let mut unsigned = unsigned(Body::Data(b"hollo".to_vec()));
    unsigned.sequence = data_message().sequence;
    unsigned.sign(&issuer())
}

/// A vote of the committee's first member in view 9 of epoch 0.
pub(crate) fn ballot(phase: Phase, parent_view: u64, digest: Id) -> Ballot {
    let namespace = [consensus_namespace(&genesis().network()).as_slice(), phase.suffix()].concat();
    let proposal = Finalization { epoch: 0, view: 9, parent_view, digest, votes: Vec::new() }.proposal();
    Ballot { parent_view, digest, signature: committee_keys()[0].sign(&namespace, &proposal) }
}

/// Two votes of the committee's first member in view 9 of epoch 0.
pub(crate) fn double_vote(phase: Phase) -> Evidence {
    let (one, other) = (ballot(phase, 8, Id([1; 32])), ballot(phase, 7, Id([2; 32])));
    Evidence::votes(committee_keys()[0].public_key(), phase, 0, 9, one, other)
}

/// Evidence of every kind.
pub(crate) fn evidence() -> Vec<Evidence> {
    let equivocation = Evidence::messages(data_message().head(), equivocation().head());
    vec![equivocation, double_vote(Phase::Notarize), double_vote(Phase::Finalize)]
}

pub(crate) fn evidence_message() -> Message {
    let mut unsigned = unsigned(Body::Evidence(Box::new(evidence().swap_remove(0))));
    unsigned.sequence = 2;
    unsigned.sign(&issuer())
}
