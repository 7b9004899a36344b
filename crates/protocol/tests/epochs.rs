//! Orders, heads and evidence: what holds, and that nothing else does. The rules are those of `docs/spec/epochs.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

mod sample;

use protocol::order::{first_state, next_state};
use protocol::{
    Action, Ballot, Body, Decode, Encode, Evidence, EvidenceError, FoundingError, Genesis, Head, Id, Message, MessageError, NetworkId,
    Order, Parameters, ParametersError, Phase, PublicKey, Signature,
};

fn network() -> NetworkId {
    sample::genesis().network()
}

fn verify(evidence: &Evidence) -> Result<protocol::Offence, EvidenceError> {
    evidence.verify(&network(), sample::SUBNET)
}

#[test]
fn an_order_is_its_wallets_and_of_one_network() {
    for order in sample::orders() {
        assert!(order.verify(&network()));
        assert!(!order.verify(&sample::genesis_named("other").network()), "of another network");
        let changed = |change: &dyn Fn(&mut Order)| {
            let mut order = order.clone();
            change(&mut order);
            order.verify(&network())
        };
        assert!(!changed(&|o| o.wallet = sample::key(13).public_key()));
        assert!(!changed(&|o| o.state.0[0] ^= 1));
        assert!(!changed(&|o| o.action = Action::Delegate { validator: o.wallet, amount: 77 }));
        assert!(!changed(&|o| o.signature.0[0] ^= 1));
    }
}

#[test]
fn an_order_is_named_by_what_it_says() {
    let orders = sample::orders();
    let ids: std::collections::BTreeSet<Id> = orders.iter().map(Order::id).collect();
    assert_eq!(ids.len(), orders.len());
    let mut resigned = orders[0].clone();
    resigned.signature = Signature([9; 64]);
    assert_eq!(resigned.id(), orders[0].id(), "the signature is no part of it");
    let bytes = orders[0].encode();
    assert_eq!(orders[0].id(), Id::hash(&[b"wattle/order/v1", &bytes[..bytes.len() - 64]]));
}

#[test]
fn states_are_a_chain_of_hashes() {
    let wallet = sample::wallet().public_key();
    let first = first_state(&network(), &wallet);
    assert_eq!(first, Id::hash(&[b"wattle/wallet/v1", &network().0, &wallet.0]));
    assert_ne!(first, first_state(&sample::genesis_named("other").network(), &wallet));
    assert_ne!(first, first_state(&network(), &sample::key(13).public_key()));
    let order = Id([7; 32]);
    let next = next_state(&first, &order);
    assert_eq!(next, Id::hash(&[b"wattle/wallet/v1", &first.0, &order.0]));
    assert_ne!(next_state(&next, &order), next);
}

#[test]
fn a_head_stands_for_its_message() {
    for message in [sample::message(), sample::data_message(), sample::orders_message(), sample::evidence_message()] {
        let head = message.head();
        assert_eq!(head.verify(&network(), sample::SUBNET), Ok(()));
        assert_eq!(head.signed(), message.signed());
        assert_eq!(head.verify(&network(), 9), Err(MessageError::Subnet(sample::SUBNET)));
        assert_eq!(head.verify(&sample::genesis_named("other").network(), sample::SUBNET), Err(MessageError::Network));
        let changed = |change: fn(&mut Head)| {
            let mut head = head.clone();
            change(&mut head);
            head.verify(&network(), sample::SUBNET)
        };
        assert_eq!(changed(|h| h.rest.0[0] ^= 1), Err(MessageError::Signature));
        assert_eq!(changed(|h| h.sequence += 1), Err(MessageError::Signature));
        assert_eq!(changed(|h| h.issuer = sample::key(13).public_key()), Err(MessageError::Signature));
        // every byte of the message is signed: it is in the head, or in `rest`, or is the signature itself
        let bytes = message.bytes();
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            if let Ok(damaged) = Message::decode(&damaged) {
                assert!(damaged.verify(&network(), sample::SUBNET).is_err(), "byte {at}");
            }
        }
    }
}

#[test]
fn two_messages_of_one_sequence_are_evidence() {
    let (one, other) = (sample::data_message().head(), sample::equivocation().head());
    let evidence = Evidence::messages(one.clone(), other.clone());
    assert_eq!(evidence, Evidence::messages(other, one.clone()), "in one order");
    let offence = verify(&evidence).unwrap();
    assert_eq!(offence.offender, sample::issuer().public_key());

    // a third message of that sequence proves the same offence
    let mut third = sample::unsigned(Body::Data(b"hallo".to_vec()));
    third.sequence = one.sequence;
    let third = Evidence::messages(third.sign(&sample::issuer()).head(), one);
    assert_eq!(verify(&third).unwrap(), offence);
    // another sequence is another offence
    let pair = [b"a", b"b"].map(|data| sample::unsigned(Body::Data(data.to_vec())).sign(&sample::issuer()).head());
    let [a, b] = pair;
    assert_ne!(verify(&Evidence::messages(a, b)).unwrap().id, offence.id);
}

#[test]
fn messages_that_do_not_contradict_each_other_are_no_evidence() {
    let (one, other) = (sample::data_message().head(), sample::equivocation().head());
    let twice = Evidence::messages(one.clone(), Head { signature: Signature([1; 64]), ..one.clone() });
    assert_eq!(verify(&twice), Err(EvidenceError::Order), "one content, signed twice");
    let Evidence::Messages { first, second } = Evidence::messages(one.clone(), other.clone()) else { panic!("messages") };
    assert_eq!(verify(&Evidence::Messages { first: second, second: first }), Err(EvidenceError::Order));

    let sequences = Evidence::messages(one.clone(), sample::message().head());
    assert_eq!(verify(&sequences), Err(EvidenceError::Unrelated));
    let issuers = Evidence::messages(one.clone(), Head { issuer: sample::key(13).public_key(), ..other.clone() });
    assert_eq!(verify(&issuers), Err(EvidenceError::Unrelated));

    let forged = Evidence::messages(one.clone(), Head { rest: Id([0; 32]), ..other });
    assert_eq!(verify(&forged), Err(EvidenceError::Head(MessageError::Signature)));
    let evidence = Evidence::messages(one, sample::equivocation().head());
    let subnet = evidence.verify(&network(), 9);
    assert_eq!(subnet, Err(EvidenceError::Head(MessageError::Subnet(sample::SUBNET))));
    let elsewhere = evidence.verify(&sample::genesis_named("other").network(), sample::SUBNET);
    assert_eq!(elsewhere, Err(EvidenceError::Head(MessageError::Network)));
}

#[test]
fn two_votes_in_one_view_are_evidence() {
    let voter = sample::committee_keys()[0].public_key();
    let offences = [Phase::Notarize, Phase::Finalize].map(|phase| verify(&sample::double_vote(phase)).unwrap());
    assert_eq!(offences[0], offences[1], "one view, one offence");
    assert_eq!(offences[0].offender, voter);
    // the same milestone on another parent is another proposal
    let (one, other) = (sample::ballot(Phase::Notarize, 8, Id([1; 32])), sample::ballot(Phase::Notarize, 7, Id([1; 32])));
    assert!(verify(&Evidence::votes(voter, Phase::Notarize, 0, 9, one, other)).is_ok());
}

#[test]
fn votes_that_do_not_contradict_each_other_are_no_evidence() {
    let voter = sample::committee_keys()[0].public_key();
    let ballot = |parent_view, byte| sample::ballot(Phase::Notarize, parent_view, Id([byte; 32]));
    let votes = |validator: PublicKey, phase, epoch, view, one: Ballot, other: Ballot| {
        verify(&Evidence::votes(validator, phase, epoch, view, one, other))
    };
    assert_eq!(votes(voter, Phase::Notarize, 0, 9, ballot(8, 1), ballot(8, 1)), Err(EvidenceError::Order), "one proposal");
    assert_eq!(votes(voter, Phase::Notarize, 0, 10, ballot(8, 1), ballot(8, 2)), Err(EvidenceError::Signature), "another view");
    assert_eq!(votes(voter, Phase::Notarize, 1, 9, ballot(8, 1), ballot(8, 2)), Err(EvidenceError::Signature), "another epoch");
    assert_eq!(votes(voter, Phase::Finalize, 0, 9, ballot(8, 1), ballot(8, 2)), Err(EvidenceError::Signature), "another phase");
    let other = sample::key(13).public_key();
    assert_eq!(votes(other, Phase::Notarize, 0, 9, ballot(8, 1), ballot(8, 2)), Err(EvidenceError::Signature), "another voter");
    // a notarize and a finalize vote of one view for two proposals: this format does not carry that
    let final_one = sample::ballot(Phase::Finalize, 8, Id([2; 32]));
    assert_eq!(votes(voter, Phase::Notarize, 0, 9, ballot(8, 1), final_one), Err(EvidenceError::Signature));
    let network = sample::genesis_named("other").network();
    let elsewhere = sample::double_vote(Phase::Notarize).verify(&network, sample::SUBNET);
    assert_eq!(elsewhere, Err(EvidenceError::Signature));
}

#[test]
fn evidence_survives_its_encoding() {
    for evidence in sample::evidence() {
        let read = Evidence::decode(&evidence.encode()).unwrap();
        assert_eq!(verify(&read), verify(&evidence));
        assert_eq!(read.offence(), verify(&evidence).unwrap());
    }
}

#[test]
fn a_plain_genesis_gives_every_validator_stake_and_a_wallet() {
    let committee = sample::genesis().committee;
    let genesis = Genesis::plain(sample::name("plain"), 3, 5, committee.clone());
    assert_eq!(genesis.check(), Ok(()));
    assert_eq!(genesis.parameters, Parameters::default());
    assert_eq!(genesis.stakes, vec![1_000_000; 4]);
    let keys: Vec<_> = committee.validators().iter().map(|v| (v.key, 1_000_000)).collect();
    assert_eq!(genesis.wallets, keys);
    assert_eq!(genesis.supply(), Some(8_000_000));
}

#[test]
fn the_parts_of_a_genesis_fit_together() {
    let with = |change: fn(&mut Genesis)| {
        let mut genesis = sample::genesis();
        change(&mut genesis);
        genesis.check()
    };
    assert_eq!(with(|_| ()), Ok(()));
    assert_eq!(with(|g| g.stakes.truncate(3)), Err(FoundingError::Stakes { found: 3, validators: 4 }));
    assert_eq!(with(|g| g.stakes.push(1)), Err(FoundingError::Stakes { found: 5, validators: 4 }));
    assert_eq!(with(|g| g.wallets.swap(0, 1)), Err(FoundingError::WalletOrder));
    assert_eq!(with(|g| g.wallets[1] = g.wallets[0]), Err(FoundingError::WalletOrder));
    assert_eq!(with(|g| g.wallets[0].1 = u64::MAX), Err(FoundingError::Supply));
    let slash = ParametersError::SlashPercent(200);
    assert_eq!(with(|g| g.parameters.slash_percent = 200), Err(slash.into()));
}
