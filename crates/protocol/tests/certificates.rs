//! Votes and certificates: WAL-5 to WAL-20 of `docs/spec/wallet.md`; and the golden vectors of what wallets send.
//!
//! `vectors/wallet-v1.json` was made by another program than this one, in another language, from `docs/spec/wallet.md`. If a
//! comparison fails, a wire format changed, and requests and certificates in the field would no longer be understood.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]
#![cfg(feature = "json")]

mod sample;

use protocol::certificate::needed;
use protocol::request::{first_state, next_state};
use protocol::service::service_id;
use protocol::{
    Body, CastVote, Certificate, CertificateError, CertificateProof, CertificateProofError, Decode, DecodeError, Draft, Encode, Evidence,
    Genesis, Id, Message, NetworkId, Operation, Reason, Rejection, Request, ServiceKind, Silence, Terms, UNITS_PER_COIN, Unsigned,
    WalletParameters,
};
use serde_json::Value;

/// A percentage that asks for a quorum.
const PERCENT: u8 = 67;

fn network() -> NetworkId {
    sample::genesis().network()
}

fn draft(operation: Operation, price: u64) -> Draft {
    let state = first_state(&network(), &sample::wallet().public_key());
    Draft { state, number: 0, epoch: 0, operation, price, from_ms: 1_750_000_000_000, until_ms: 1_750_000_060_000 }
}

fn request(operation: Operation, price: u64) -> Request {
    draft(operation, price).sign(&network(), &sample::wallet(), 1, u64::MAX).unwrap().unwrap()
}

fn requests() -> Vec<Request> {
    let service = service_id(&sample::key(13).public_key(), &sample::name("espresso"));
    vec![
        request(Operation::Transfer { to: sample::key(13).public_key() }, 300),
        request(Operation::Buy { service, argument: b"double".to_vec() }, 2 * UNITS_PER_COIN),
        request(Operation::Redeem, UNITS_PER_COIN),
    ]
}

/// A message of a committee's member with `others` votes beside that for the request.
fn ballot(member: usize, request: &Request, others: u8) -> Message {
    let key = sample::committee_keys().swap_remove(member);
    let mut votes: Vec<Id> = (0..others).map(|n| Id([17 * n + 1; 32])).chain([request.id()]).collect();
    votes.sort_unstable();
    let unsigned = Unsigned {
        network: network(),
        subnet: sample::SUBNET,
        issuer: key.public_key(),
        sequence: 300 + member as u64,
        parents: vec![Id([5; 32]), Id([6; 32])],
        issued_at_ms: 1_750_000_000_200,
        votes,
        body: Body::Data(b"and so on".to_vec()),
        pow_nonce: 7,
    };
    unsigned.sign(&key)
}

fn vote(member: usize, request: &Request) -> CastVote {
    ballot(member, request, 4).cast_vote(&request.id(), member as u8).unwrap()
}

fn certificate() -> Certificate {
    let request = requests().swap_remove(1);
    Certificate::assemble(request.clone(), [3, 0, 2].map(|m| vote(m, &request)), 3).unwrap()
}

fn verdict(certificate: &Certificate) -> Result<(), CertificateError> {
    certificate.verify(&network(), sample::SUBNET, &sample::genesis().committee, PERCENT)
}

#[test]
fn a_certificate_is_checked_without_the_dag() {
    let certificate = certificate();
    assert_eq!(verdict(&certificate), Ok(()));
    assert_eq!(certificate.voters(), 0b1101);
    assert_eq!(Certificate::decode(&certificate.encode()), Ok(certificate.clone()));
    for votes in [0u8, 1, 2, 7, 12] {
        let message = ballot(1, &certificate.request, votes);
        assert_eq!(message.verify(&network(), sample::SUBNET), Ok(()));
        assert_eq!(Message::decode(message.bytes()).as_ref(), Ok(&message));
        let mut other = certificate.clone();
        other.votes.insert(1, message.cast_vote(&other.request.id(), 1).unwrap());
        assert_eq!(verdict(&other), Ok(()), "{votes} more votes in its message");
        assert_eq!(message.cast_vote(&Id([0; 32]), 1), None, "it has no such vote");
    }
}

#[test]
fn a_certificate_that_lacks_something_is_refused() {
    let whole = certificate();
    let with = |change: &dyn Fn(&mut Certificate)| {
        let mut certificate = whole.clone();
        change(&mut certificate);
        verdict(&certificate)
    };
    let forged = |member: usize| Err(CertificateError::Signature(sample::committee_keys()[member].public_key().to_string()));
    assert_eq!(with(&|c| drop(c.votes.pop())), Err(CertificateError::Votes { found: 2, needed: 3 }), "one short");
    assert_eq!(with(&|c| c.votes[1] = c.votes[0].clone()), Err(CertificateError::Order), "one twice");
    assert_eq!(with(&|c| c.votes.reverse()), Err(CertificateError::Order));
    assert_eq!(with(&|c| c.votes[2].voter = 4), Err(CertificateError::Stranger(4)));
    assert_eq!(with(&|c| c.votes[1].voter = 1), forged(1), "somebody else's place");
    assert_eq!(with(&|c| c.votes[0].sequence += 1), forged(0));
    assert_eq!(with(&|c| c.votes[0].content = Id([0; 32])), forged(0));
    assert_eq!(with(&|c| c.votes[0].index = 0), forged(0), "another place among the votes");
    assert_eq!(with(&|c| c.votes[0].count = 1), forged(0));
    assert_eq!(with(&|c| c.votes[0].path[0] = Id([0; 32])), forged(0));
    assert_eq!(with(&|c| c.request.price += 1), Err(CertificateError::Request));
    // a vote for one request is none for another, nor in another epoch
    let other = requests().swap_remove(0);
    assert_eq!(with(&|c| c.request = other.clone()), forged(0));
    let next = Draft { epoch: 1, ..draft(whole.request.operation.clone(), whole.request.price) };
    let next = next.sign(&network(), &sample::wallet(), 1, u64::MAX).unwrap().unwrap();
    assert_eq!(with(&|c| c.request = next.clone()), forged(0));
    // nor in another network or subnet, nor for a network that asks for more
    let elsewhere = sample::genesis_named("other").network();
    let committee = sample::genesis().committee;
    assert_eq!(whole.verify(&elsewhere, sample::SUBNET, &committee, PERCENT), Err(CertificateError::Request));
    assert_eq!(whole.verify(&network(), sample::SUBNET + 1, &committee, PERCENT), forged(0));
    let all = Err(CertificateError::Votes { found: 3, needed: 4 });
    assert_eq!(whole.verify(&network(), sample::SUBNET, &committee, 100), all);
}

#[test]
fn a_certificate_is_checked_with_the_genesis_alone() {
    let proof = CertificateProof { certificate: certificate(), handovers: Vec::new() };
    let text = proof.to_json();
    assert_eq!(CertificateProof::from_json(&text).as_ref(), Ok(&proof));
    let certified = proof.verify(&sample::genesis()).unwrap();
    assert_eq!((certified.request, certified.epoch), (proof.certificate.request.id(), 0));
    assert_eq!((certified.voters.len(), certified.needed, certified.committee), (3, 3, 4));
    // the way must lead to the committee of the request's epoch, neither further nor less far
    let far = CertificateProof { handovers: vec![sample::handover()], ..proof.clone() };
    assert_eq!(CertificateProof::from_json(&far.to_json()).as_ref(), Ok(&far));
    assert_eq!(far.verify(&sample::genesis()), Err(CertificateProofError::Reached { epoch: 0, reached: 1 }));
    let mut later = far;
    later.certificate.request.epoch = 1;
    assert!(matches!(later.verify(&sample::genesis()), Err(CertificateProofError::Certificate(_))));
    assert!(matches!(later.verify(&sample::genesis_named("other")), Err(CertificateProofError::Handover(_))));
    // a network that asks for all votes does not take it
    let parameters = WalletParameters { threshold_percent: 100, ..WalletParameters::default() };
    let strict = Genesis { wallet_parameters: parameters, ..sample::genesis() };
    assert!(matches!(proof.verify(&strict), Err(CertificateProofError::Certificate(_))));
}

#[test]
fn a_certificate_with_a_changed_digit_proves_nothing_else() {
    let proof = CertificateProof { certificate: certificate(), handovers: Vec::new() };
    let certified = proof.verify(&sample::genesis()).unwrap();
    let hex = proof.certificate.to_hex();
    let text = proof.to_json();
    for at in 0..hex.len() {
        let digit = if hex.as_bytes()[at] == b'0' { "1" } else { "0" };
        let changed = text.replace(&hex, &format!("{}{digit}{}", &hex[..at], &hex[at + 1..]));
        // how many votes a message has does not always show in a path; what was voted for does
        let verdict = CertificateProof::from_json(&changed).and_then(|p| p.verify(&sample::genesis()));
        assert!(verdict.is_err() || verdict.as_ref() == Ok(&certified), "digit {at}: {verdict:?}");
    }
    let refused = |text: &str| matches!(CertificateProof::from_json(text), Err(CertificateProofError::Json(_)));
    let others =
        [text.replace("-v1", "-v2"), text.replace("handovers", "hand"), format!("{text}x"), "{}".into(), "[]".into(), String::new()];
    for bad in others {
        assert!(refused(&bad), "{bad}");
    }
    let upper = text.replace(&hex, &hex.to_uppercase());
    assert!(matches!(CertificateProof::from_json(&upper), Err(CertificateProofError::Decode { .. })));
}

#[test]
fn too_few_votes_make_no_certificate() {
    let request = requests().swap_remove(0);
    let vote = |m| vote(m, &request);
    assert_eq!(needed(4, PERCENT), 3);
    assert_eq!(Certificate::assemble(request.clone(), [vote(1), vote(1), vote(2)], 3), None, "one voted twice");
    let more = Certificate::assemble(request.clone(), [vote(3), vote(1), vote(2), vote(0)], 3).unwrap();
    assert_eq!(more.votes.iter().map(|v| v.voter).collect::<Vec<_>>(), [1, 2, 3], "no more than are needed");
}

#[test]
fn messages_with_and_without_votes_are_evidence_against_each_other() {
    let request = requests().swap_remove(0);
    let message = ballot(0, &request, 2);
    let key = sample::committee_keys().swap_remove(0);
    let without = Unsigned {
        network: network(),
        subnet: sample::SUBNET,
        issuer: message.issuer,
        sequence: message.sequence,
        parents: message.parents.clone(),
        issued_at_ms: message.issued_at_ms,
        votes: Vec::new(),
        body: message.body.clone(),
        pow_nonce: 7,
    };
    let without = without.sign(&key);
    assert_eq!((message.head().version, without.head().version), (3, 2));
    assert!(Evidence::messages(message.head(), without.head()).verify(&network(), sample::SUBNET).is_ok());
    // each version has its own kind of message
    for (bytes, version) in [(message.bytes(), 2), (without.bytes(), 3)] {
        let mut bytes = bytes.to_vec();
        bytes[0] = version;
        assert_eq!(Message::decode(&bytes), Err(DecodeError::NonCanonical("a message's votes")));
    }
}

#[test]
fn a_message_with_certificates_has_no_votes() {
    let carry = |votes: Vec<Id>| {
        let mut unsigned = sample::unsigned(Body::Certificates(vec![certificate()]));
        unsigned.votes = votes;
        Message::decode(unsigned.sign(&sample::issuer()).bytes()).map(|_| ())
    };
    assert_eq!(carry(Vec::new()), Ok(()));
    assert_eq!(carry(vec![Id([1; 32])]), Err(DecodeError::Invalid("a message's votes")));
}

#[test]
fn a_rejection_is_its_validators() {
    let key = sample::committee_keys().swap_remove(0);
    let reasons = [
        Reason::Signature,
        Reason::Work { needed: 2 },
        Reason::Epoch { now: 300 },
        Reason::State { number: 300, state: Id([1; 32]) },
        Reason::Funds { available: 0 },
        Reason::Time { clock_ms: u64::MAX },
        Reason::Service,
        Reason::Price { asked: 1 },
        Reason::Recipient,
        Reason::Locked { voted: Id([2; 32]) },
        Reason::Ended,
    ];
    for (tag, reason) in reasons.into_iter().enumerate() {
        let rejection = Rejection::sign(&network(), &key, 2, Id([3; 32]), reason, 5);
        assert_eq!(reason.encode()[0] as usize, tag);
        assert_eq!(Rejection::decode(&rejection.encode()), Ok(rejection.clone()));
        assert!(rejection.verify(&network()) && !reason.to_string().is_empty() && !reason.kind().is_empty());
        assert!(!Rejection { request: Id([4; 32]), ..rejection.clone() }.verify(&network()));
        assert!(!rejection.verify(&sample::genesis_named("other").network()));
    }
    assert_eq!(Reason::decode(&[11]), Err(DecodeError::UnknownTag { what: "a rejection's reason", tag: 11 }));
}

#[test]
fn a_genesis_says_what_differs_from_the_defaults() {
    let plain = sample::genesis();
    assert!(!plain.to_json().contains("wallet_parameters"), "files of before are as they were");
    let mut other = plain.clone();
    other.wallet_parameters.threshold_percent = 80;
    assert_ne!(other.network(), plain.network());
    assert_eq!(Genesis::from_json(&other.to_json()), Ok(other.clone()));
    other.wallet_parameters = WalletParameters { threshold_percent: 60, ..WalletParameters::default() };
    assert!(other.check().is_err());
    let why = Genesis::from_json(&other.to_json()).unwrap_err().to_string();
    assert!(why.contains("threshold_percent is 60"), "{why}");
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn terms() -> Terms {
    let kind = ServiceKind::Actuate("plant/valve-7/act/open".parse().unwrap());
    Terms { kind, price: 2 * UNITS_PER_COIN, report_ms: 30_000, silence: Silence::Refund }
}

#[test]
fn the_formats_are_those_that_another_program_wrote() {
    let text = include_str!("vectors/wallet-v1.json");
    let v: Value = serde_json::from_str(text).unwrap();
    assert_eq!(v["format"], "wattle-wallet-v1");
    assert_eq!(v["network"], network().to_string().as_str());
    let wallet = sample::wallet().public_key();
    let first = first_state(&network(), &wallet);
    assert_eq!(v["first_state"], first.to_string().as_str());
    assert_eq!(v["service"], service_id(&sample::key(13).public_key(), &sample::name("espresso")).to_string().as_str());
    assert_eq!(unhex(&v["terms"]), terms().encode());
    assert_eq!(v["requests"].as_array().unwrap().len(), 3);
    for (stored, request) in v["requests"].as_array().unwrap().iter().zip(requests()) {
        assert_eq!(Request::decode(&unhex(&stored["bytes"])).as_ref(), Ok(&request));
        assert_eq!(unhex(&stored["bytes"]), request.encode());
        assert_eq!(stored["id"], request.id().to_string().as_str());
        assert_eq!(stored["next_state"], next_state(&first, &request.id()).to_string().as_str());
        assert!(request.verify(&network()) && request.work() >= 1);
    }
    let request = requests().swap_remove(1);
    assert_eq!(v["messages"].as_array().unwrap().len(), 4);
    for (member, stored) in v["messages"].as_array().unwrap().iter().enumerate() {
        let message = ballot(member, &request, 4);
        assert_eq!(unhex(&stored["bytes"]), message.bytes());
        assert_eq!(unhex(&stored["head"]), message.head().encode());
    }
    assert_eq!(unhex(&v["certificate"]), certificate().encode());
    let rejection = Rejection::sign(&network(), &sample::committee_keys()[0], 2, request.id(), Reason::Funds { available: 300 }, 5);
    assert_eq!(unhex(&v["rejection"]), rejection.encode());
    let parameters = WalletParameters { threshold_percent: 80, share_cap: 300, ..WalletParameters::default() };
    assert_eq!(unhex(&v["wallet_parameters"]), parameters.encode());
    let genesis = Genesis { wallet_parameters: parameters, ..sample::genesis() };
    assert_eq!(v["network_with_parameters"], genesis.network().to_string().as_str());
}
