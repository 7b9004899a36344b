//! Whole receipts, built by hand: what verifies, and that nothing else does. The rules are those of
//! `docs/spec/receipt.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]
#![cfg(feature = "json")]

mod sample;

use protocol::batch::salt;
use protocol::merkle;
use protocol::receipt::{Anchor, Receipt, ReceiptError, Verified};
use protocol::{
    Body, CommitteeError, Encode, Finalization, FinalizationError, Genesis, Handover, HandoverError, Id, Message, MessageError, Milestone,
    PublicKey, Signature, Unsigned, Value, Vote,
};

fn verify(receipt: &Receipt) -> Result<Verified, ReceiptError> {
    receipt.verify(&sample::genesis())
}

/// The receipt with its milestone changed and certified again: only the change is wrong with it.
fn recertified(change: impl FnOnce(&mut Milestone)) -> Receipt {
    let mut receipt = sample::receipt();
    change(&mut receipt.milestone);
    receipt.finalization = sample::finalization(receipt.milestone.digest(), &[0, 1, 2]);
    receipt
}

/// The receipt with another message in the only place of its milestone.
fn with_message(message: Message) -> Receipt {
    let id = message.id();
    let mut receipt = recertified(|m| {
        m.message_count = 1;
        m.messages_root = Milestone::root_of_messages(&[id]);
    });
    (receipt.message, receipt.message_index, receipt.message_path) = (message, 0, Vec::new());
    receipt
}

#[test]
fn a_receipt_proves_what_it_says() {
    for receipt in [sample::receipt(), sample::anchored_receipt()] {
        let reread = Receipt::from_json(&receipt.to_json()).unwrap();
        assert_eq!(reread, receipt);
        let verified = verify(&reread).unwrap();
        let reading = sample::readings()[sample::LEAF as usize].clone();
        assert_eq!(verified.reading_id, reading.id());
        assert_eq!(verified.reading, reading);
        assert_eq!(verified.issuer, sample::issuer().public_key());
        assert_eq!(verified.message, sample::message().id());
        assert_eq!((verified.height, verified.confirmed_ms), (1, sample::milestones()[1].time_ms));
        assert_eq!(verified.signers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["nord", "ost", "west"]);
        assert_eq!(verified.committee, usize::from(sample::VALIDATORS));
        assert_eq!(verified.epoch, 0);
    }
}

/// the device's signature is inside the leaf, and checked with the rest.
#[test]
fn a_receipt_shows_the_device_s_signature_and_it_is_checked() {
    let batch = sample::signed_batch();
    for index in 0..batch.readings.len() as u32 {
        let receipt = Receipt::from_json(&sample::receipt_of(&batch, index).to_json()).unwrap();
        let verified = verify(&receipt).unwrap();
        let keys = [sample::device_key(), sample::key(15)].map(|key| key.public_key());
        let expected = [Some(keys[0]), None, Some(keys[1]), Some(keys[0])][index as usize];
        assert_eq!(verified.reading.signed.map(|s| s.key), expected, "reading {index}");
    }
    // a node that anchors a signature that does not hold gives a receipt that does not hold
    let mut forged = batch.clone();
    forged.readings[0].value = Value::Number(1.0);
    assert_eq!(verify(&sample::receipt_of(&forged, 0)), Err(ReceiptError::Device));
    assert!(verify(&sample::receipt_of(&forged, 1)).is_ok(), "its neighbours are as they were");
    // nor can the signature be taken off afterwards
    let mut stripped = sample::signed_receipt();
    stripped.reading.signed = None;
    assert_eq!(verify(&stripped), Err(ReceiptError::Reading));
}

#[test]
fn every_reading_of_the_batch_has_a_receipt() {
    let batch = sample::batch();
    for (i, reading) in batch.readings.iter().enumerate() {
        let mut receipt = sample::receipt();
        receipt.reading = reading.clone();
        receipt.leaf_index = i as u32;
        receipt.salt = salt(&batch.secret, i as u32);
        receipt.batch_path = merkle::path(&batch.leaves(), i).unwrap();
        assert_eq!(verify(&receipt).unwrap().reading, *reading);
    }
}

#[test]
fn the_siblings_in_a_receipt_are_blinded() {
    let (batch, receipt) = (sample::batch(), sample::receipt());
    // the sibling of leaf 1 is leaf 0; whoever guesses its reading still needs its salt
    let sibling = receipt.batch_path[0];
    let guess = batch.readings[0].encode();
    assert_eq!(sibling, Id::hash(&[&[0], &salt(&batch.secret, 0), &guess]));
    assert_ne!(sibling, merkle::leaf(&guess));
    assert_ne!(sibling, Id::hash(&[&[0], &receipt.salt, &guess]));
}

#[test]
fn every_flipped_bit_of_the_file_is_noticed() {
    let genesis = sample::genesis();
    for receipt in [sample::receipt(), sample::anchored_receipt()] {
        let text = receipt.to_json();
        let (mut unreadable, mut unproved) = (0, 0);
        for bit in 0..text.len() * 8 {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(damaged) = String::from_utf8(bytes) else {
                unreadable += 1;
                continue;
            };
            match Receipt::from_json(&damaged) {
                Err(_) => unreadable += 1,
                Ok(read) => {
                    let verdict = read.verify(&genesis);
                    assert!(verdict.is_err(), "bit {} of byte {} ({:?})", bit % 8, bit / 8, &text[..=bit / 8]);
                    unproved += 1;
                }
            }
        }
        // flips reach both: the form and the proof
        assert!(unreadable > 1_000 && unproved > 1_000, "{unreadable} unreadable, {unproved} unproved");
    }
}

#[test]
fn a_quorum_is_needed_and_enough() {
    let digest = sample::milestones()[1].digest();
    for signers in [Vec::<u8>::new(), vec![0], vec![0, 1], vec![2, 3]] {
        let mut receipt = sample::receipt();
        receipt.finalization = sample::finalization(digest, &signers);
        let (found, needed) = (signers.len(), usize::from(sample::QUORUM));
        assert_eq!(verify(&receipt), Err(FinalizationError::Quorum { found, needed }.into()));
    }
    for signers in [vec![0u8, 1, 2], vec![0, 1, 3], vec![0, 2, 3], vec![1, 2, 3], vec![0, 1, 2, 3]] {
        let mut receipt = sample::receipt();
        receipt.finalization = sample::finalization(digest, &signers);
        assert_eq!(verify(&receipt).unwrap().signers.len(), signers.len());
    }
}

#[test]
fn quorums_are_more_than_two_thirds() {
    use protocol::{Committee, Validator};
    let mut keys: Vec<PublicKey> = (1..=10).map(|seed| sample::key(seed).public_key()).collect();
    keys.sort();
    let quorums: Vec<usize> = (1..=10)
        .map(|n| {
            let validators = keys[..n].iter().map(|key| Validator { key: *key, name: sample::name("v") }).collect();
            Committee::new(validators).unwrap().quorum()
        })
        .collect();
    assert_eq!(quorums, [1, 2, 3, 3, 4, 5, 5, 6, 7, 7]);
}

#[test]
fn votes_of_strangers_do_not_count() {
    let digest = sample::milestones()[1].digest();
    // beside a full quorum, an index outside the committee
    let mut receipt = sample::receipt();
    let stray = Vote { validator: sample::VALIDATORS, signature: receipt.finalization.votes[0].signature };
    receipt.finalization.votes.push(stray);
    assert_eq!(verify(&receipt), Err(FinalizationError::Stranger(sample::VALIDATORS).into()));

    // a stranger's signature under a validator's index
    let namespace = [protocol::finalization::consensus_namespace(&sample::genesis().network()).as_slice(), b"_FINALIZE"].concat();
    let mut receipt = sample::receipt();
    receipt.finalization = sample::finalization(digest, &[0, 1]);
    let signature = sample::key(99).sign(&namespace, &receipt.finalization.proposal());
    receipt.finalization.votes.push(Vote { validator: 2, signature });
    assert_eq!(verify(&receipt), Err(FinalizationError::Signature("süd".to_string()).into()));

    // one validator's signature under another's index
    let mut receipt = sample::receipt();
    receipt.finalization.votes[2].signature = receipt.finalization.votes[0].signature;
    assert_eq!(verify(&receipt), Err(FinalizationError::Signature("west".to_string()).into()));
}

#[test]
fn one_bad_signature_refuses_the_certificate_even_beside_a_quorum() {
    let mut receipt = sample::receipt();
    receipt.finalization = sample::finalization(receipt.milestone.digest(), &[0, 1, 2, 3]);
    receipt.finalization.votes[3].signature = Signature([0; 64]);
    assert_eq!(verify(&receipt), Err(FinalizationError::Signature("west".to_string()).into()));
}

#[test]
fn a_vote_signed_for_another_purpose_is_refused() {
    // a notarization of the same proposal is not a finalization
    let mut receipt = sample::receipt();
    let base = protocol::finalization::consensus_namespace(&sample::genesis().network());
    for namespace in [[base.as_slice(), b"_NOTARIZE"].concat(), base.clone()] {
        let proposal = receipt.finalization.proposal();
        receipt.finalization.votes[0].signature = sample::committee_keys()[0].sign(&namespace, &proposal);
        assert_eq!(verify(&receipt), Err(FinalizationError::Signature("nord".to_string()).into()));
    }
}

#[test]
fn another_network_is_refused_at_every_step() {
    let other = sample::genesis_named("other");
    assert_eq!(sample::receipt().verify(&other), Err(MessageError::Network.into()));

    // the subnet is part of the network's id
    let mut subnet = sample::genesis();
    subnet.subnet += 1;
    assert_eq!(sample::receipt().verify(&subnet), Err(MessageError::Network.into()));

    // a network whose tag is the same but whose id is not: the signature tells
    let mut near = sample::genesis().network();
    near.0[31] ^= 1;
    assert_eq!(sample::message().verify(&near, sample::SUBNET), Err(MessageError::Signature));

    // everything of the other network except the certificate
    let network = other.network();
    let mut unsigned = sample::unsigned(sample::readings_body());
    (unsigned.network, unsigned.parents[0]) = (network, Unsigned::root(network));
    let receipt = with_message(unsigned.sign(&sample::issuer()));
    assert_eq!(receipt.verify(&other), Err(FinalizationError::Signature("nord".to_string()).into()));
}

#[test]
fn a_changed_genesis_is_not_read() {
    let text = sample::genesis().to_json();
    assert_eq!(Genesis::from_json(&text).unwrap(), sample::genesis());
    let changes = [
        ("sample", "simple"),
        ("\"subnet\": 7", "\"subnet\": 8"),
        ("1749999999000", "1749999999001"),
        ("nord", "nort"),
        ("\"stake\": 2000", "\"stake\": 2001"),
        ("\"balance\": 5000", "\"balance\": 5001"),
        ("\"epoch_milestones\": 4", "\"epoch_milestones\": 5"),
        ("\"committee_max\": 16", "\"committee_max\": 15"),
        ("\"stake_min\": 1000", "\"stake_min\": 1001"),
        ("\"unbonding_epochs\": 2", "\"unbonding_epochs\": 3"),
        ("\"slash_percent\": 50", "\"slash_percent\": 51"),
        ("\"share_per_second\": 4000", "\"share_per_second\": 4001"),
        ("\"pow_difficulty\": 0", "\"pow_difficulty\": 1"),
    ];
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        let error = Genesis::from_json(&text.replace(from, to)).unwrap_err();
        assert!(matches!(error, protocol::json::GenesisError::Network { .. }), "{from} → {to}: {error}");
    }
}

#[test]
fn the_message_must_be_its_issuers() {
    let unsigned = sample::unsigned(sample::readings_body());
    let receipt = with_message(unsigned.clone().sign(&sample::key(99)));
    assert_eq!(verify(&receipt), Err(MessageError::Signature.into()));

    let mut other_subnet = unsigned;
    other_subnet.subnet = 9;
    let receipt = with_message(other_subnet.sign(&sample::issuer()));
    assert_eq!(verify(&receipt), Err(MessageError::Subnet(9).into()));
}

#[test]
fn the_message_must_anchor_readings() {
    let receipt = with_message(sample::data_message());
    assert_eq!(verify(&receipt), Err(ReceiptError::Body));
}

#[test]
fn another_reading_salt_place_or_path_is_refused() {
    let changes: [fn(&mut Receipt); 7] = [
        |r| r.reading.value = Value::number(-3.5).unwrap(),
        |r| r.reading.time_us += 1,
        |r| r.reading.sequence = None,
        |r| r.salt[0] ^= 1,
        |r| r.leaf_index = 0,
        |r| r.leaf_index = u32::MAX,
        |r| r.batch_path.truncate(r.batch_path.len() - 1),
    ];
    for change in changes {
        let mut receipt = sample::receipt();
        change(&mut receipt);
        assert_eq!(verify(&receipt), Err(ReceiptError::Reading));
    }
    // the message says how many leaves there are: a path for another number does not fit
    let Body::Readings { root, bytes, span_us, blob, shares, .. } = sample::readings_body() else { panic!("readings") };
    let body = Body::Readings { root, count: 2, bytes, span_us, blob, shares };
    assert_eq!(verify(&with_message(sample::unsigned(body).sign(&sample::issuer()))), Err(ReceiptError::Reading));
}

#[test]
fn a_message_that_the_milestone_does_not_confirm_is_refused() {
    let changes: [fn(&mut Receipt); 4] =
        [|r| r.message_index = 0, |r| r.message_index = u64::MAX, |r| r.message_path.clear(), |r| r.message_path[0].0[0] ^= 1];
    for change in changes {
        let mut receipt = sample::receipt();
        change(&mut receipt);
        assert_eq!(verify(&receipt), Err(ReceiptError::NotConfirmed));
    }
    let receipt = recertified(|m| m.messages_root = merkle::empty_root());
    assert_eq!(verify(&receipt), Err(ReceiptError::NotConfirmed));
    let receipt = recertified(|m| m.message_count = 0);
    assert_eq!(verify(&receipt), Err(ReceiptError::NotConfirmed));
}

#[test]
fn a_milestone_of_another_subnet_or_epoch_is_refused() {
    assert_eq!(verify(&recertified(|m| m.subnet = 8)), Err(ReceiptError::Subnet));
    assert_eq!(verify(&recertified(|m| m.epoch = 3)), Err(HandoverError::Height { epoch: 3, height: 1 }.into()));
    let mut receipt = sample::receipt();
    receipt.finalization.epoch = 2;
    let resigned = receipt.finalization.clone();
    receipt.finalization.votes = (0..3).map(|v| sample::vote(&resigned, v)).collect();
    assert_eq!(verify(&receipt), Err(HandoverError::Epoch { expected: 0, found: 2 }.into()));
}

#[test]
fn handovers_lead_from_genesis_to_a_later_committee() {
    let receipt = sample::handed_over_receipt();
    let reread = Receipt::from_json(&receipt.to_json()).unwrap();
    assert_eq!(reread, receipt);
    let verified = verify(&reread).unwrap();
    assert_eq!((verified.epoch, verified.height, verified.committee), (1, 1, usize::from(sample::NEXT_VALIDATORS)));
    // the genesis names all but the newcomer, who goes by the beginning of its key
    let newcomer = sample::key(sample::NEXT_VALIDATORS).public_key();
    let names: Vec<String> = protocol::handover::walk(&sample::genesis(), &receipt.handovers)
        .unwrap()
        .validators()
        .iter()
        .map(|v| {
            let known = if v.key == newcomer { newcomer.to_string()[..16].to_string() } else { v.name.to_string() };
            assert_eq!(v.name.to_string(), known);
            known
        })
        .collect();
    let signers: Vec<String> = [0, 1, 2, 4].iter().map(|i: &usize| names[*i].clone()).collect();
    assert_eq!(verified.signers.iter().map(ToString::to_string).collect::<Vec<_>>(), signers);

    // the new committee's quorum counts
    let mut few = receipt.clone();
    few.finalization = sample::next_finalization(few.finalization.digest, &[0, 1, 2]);
    let error = FinalizationError::Quorum { found: 3, needed: usize::from(sample::NEXT_QUORUM) };
    assert_eq!(verify(&few), Err(error.into()));

    // and only the new committee's: the old one cannot certify a milestone of the new epoch
    let mut old = receipt;
    old.finalization = sample::finalization(old.finalization.digest, &[0, 1, 2, 3]);
    assert_eq!(verify(&old), Err(HandoverError::Epoch { expected: 1, found: 0 }.into()));
}

#[test]
fn as_many_handovers_as_epochs() {
    let mut receipt = sample::handed_over_receipt();
    receipt.handovers.clear();
    assert_eq!(verify(&receipt), Err(HandoverError::Reached { epoch: 1, reached: 0 }.into()));
    receipt.handovers = vec![sample::handover(), sample::handover()];
    assert_eq!(verify(&receipt), Err(HandoverError::Reached { epoch: 1, reached: 2 }.into()));
    let mut receipt = sample::receipt();
    receipt.handovers = vec![sample::handover()];
    assert_eq!(verify(&receipt), Err(HandoverError::Reached { epoch: 0, reached: 1 }.into()));
    // a milestone that lies in the epoch after its certificate's
    let mut receipt = sample::handed_over_receipt();
    let anchor = receipt.anchor.as_mut().unwrap();
    anchor.milestone.epoch = 0;
    receipt.finalization = sample::finalization(anchor.milestone.digest(), &[0, 1, 2]);
    assert_eq!(verify(&receipt), Err(HandoverError::Height { epoch: 0, height: 4 }.into()));
}

#[test]
fn a_handover_that_does_not_hold_is_refused() {
    let certify = |handover: &mut Handover| handover.finalization = sample::finalization(handover.milestone.digest(), &[0, 1, 2]);
    let changed = |change: &dyn Fn(&mut Handover)| {
        let mut receipt = sample::handed_over_receipt();
        change(&mut receipt.handovers[0]);
        match verify(&receipt) {
            Err(ReceiptError::Handover(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    // the milestone changed and certified again
    let certified = |change: fn(&mut Milestone)| {
        changed(&|h| {
            change(&mut h.milestone);
            certify(h);
        })
    };
    assert_eq!(certified(|m| m.epoch = 1), HandoverError::Epoch { expected: 0, found: 1 });
    assert_eq!(certified(|m| m.height = 2), HandoverError::Height { epoch: 0, height: 2 });
    assert_eq!(certified(|m| m.height = 4), HandoverError::Height { epoch: 0, height: 4 });
    assert_eq!(certified(|m| m.subnet = 8), HandoverError::Subnet(0));
    assert_eq!(certified(|m| m.next_committee = None), HandoverError::Missing(0));
    let mut neutral = PublicKey([0; 32]);
    neutral.0[0] = 1;
    let weak = changed(&|h| {
        h.milestone.next_committee = Some(vec![neutral]);
        certify(h);
    });
    assert_eq!(weak, HandoverError::Committee { epoch: 0, why: CommitteeError::Key(neutral) });

    // the certificate changed
    assert_eq!(changed(&|h| h.milestone.time_ms += 1), HandoverError::Digest(0));
    assert_eq!(changed(&|h| h.finalization.epoch = 1), HandoverError::Epoch { expected: 0, found: 1 });
    let why = FinalizationError::Quorum { found: 2, needed: 3 };
    assert_eq!(changed(&|h| h.finalization.votes.truncate(h.finalization.votes.len() - 1)), HandoverError::Finalization { epoch: 0, why });
    let why = FinalizationError::Signature("ost".to_string());
    let forged = changed(&|h| h.finalization.votes[1].signature.0[40] ^= 1);
    assert_eq!(forged, HandoverError::Finalization { epoch: 0, why });

    // another committee than the one that certified: certified by too few of those who may
    let other = changed_committee();
    assert_eq!(verify(&other), Err(FinalizationError::Stranger(4).into()));
}

/// The receipt with a handover to the first four of five.
fn changed_committee() -> Receipt {
    let mut receipt = sample::handed_over_receipt();
    let handover = &mut receipt.handovers[0];
    handover.milestone.next_committee.as_mut().unwrap().truncate(4);
    handover.finalization = sample::finalization(handover.milestone.digest(), &[0, 1, 2]);
    receipt
}

#[test]
fn flipped_bits_in_handovers_are_noticed() {
    let (genesis, text) = (sample::genesis(), sample::handed_over_receipt().to_json());
    let start = text.find("\"handovers\"").unwrap();
    for at in start..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1 << (at % 7);
        let damaged = String::from_utf8(bytes).unwrap();
        if let Ok(read) = Receipt::from_json(&damaged) {
            assert!(read.verify(&genesis).is_err(), "byte {at} ({:?})", &text[start..=at]);
        }
    }
}

#[test]
fn the_certificate_must_be_on_the_milestone() {
    let mut receipt = sample::receipt();
    receipt.finalization = sample::finalization(sample::milestones()[2].digest(), &[0, 1, 2]);
    assert_eq!(verify(&receipt), Err(ReceiptError::Digest));

    // the digest put right, the signatures are of the other milestone
    receipt.finalization.digest = receipt.milestone.digest();
    assert_eq!(verify(&receipt), Err(FinalizationError::Signature("nord".to_string()).into()));

    // the view is signed as well
    let change: [fn(&mut Finalization); 2] = [|f| f.view += 1, |f| f.parent_view -= 1];
    for change in change {
        let mut receipt = sample::receipt();
        change(&mut receipt.finalization);
        assert_eq!(verify(&receipt), Err(FinalizationError::Signature("nord".to_string()).into()));
    }
}

#[test]
fn an_anchor_must_have_the_milestone_in_its_history() {
    let anchor = |receipt: &mut Receipt, change: &dyn Fn(&mut Anchor)| {
        let mut anchor = receipt.anchor.take().unwrap();
        change(&mut anchor);
        receipt.finalization = sample::finalization(anchor.milestone.digest(), &[0, 1, 2]);
        receipt.anchor = Some(anchor);
    };
    type Change = (fn(&mut Anchor), ReceiptError);
    let changes: [Change; 5] = [
        (|a| a.history_path.clear(), ReceiptError::History),
        (|a| a.milestone.history_root = merkle::empty_root(), ReceiptError::History),
        (|a| a.milestone.height = 1, ReceiptError::History),
        (|a| a.milestone.subnet = 8, ReceiptError::Subnet),
        (|a| a.milestone.epoch = 1, ReceiptError::Handover(HandoverError::Height { epoch: 1, height: 2 })),
    ];
    for (change, expected) in changes {
        let mut receipt = sample::anchored_receipt();
        anchor(&mut receipt, &change);
        assert_eq!(verify(&receipt), Err(expected));
    }

    // a certificate on the milestone itself does not serve an anchor, nor the other way round
    let mut receipt = sample::anchored_receipt();
    receipt.finalization = sample::finalization(receipt.milestone.digest(), &[0, 1, 2]);
    assert_eq!(verify(&receipt), Err(ReceiptError::Digest));
    let mut receipt = sample::anchored_receipt();
    receipt.anchor = None;
    assert_eq!(verify(&receipt), Err(ReceiptError::Digest));

    // a milestone that is not in the anchor's history
    let mut receipt = sample::anchored_receipt();
    receipt.milestone.time_ms += 1;
    assert_eq!(verify(&receipt), Err(ReceiptError::History));
}
