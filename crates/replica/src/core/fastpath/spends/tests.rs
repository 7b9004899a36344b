#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use protocol::{Draft, NetworkId, Operation, SecretKey};

const NETWORK: NetworkId = NetworkId([7; 32]);
const HERE: PublicKey = PublicKey([1; 32]);

/// Four members, three votes needed.
fn spends() -> Spends {
    Spends::new(5, (1..=4).map(|n| PublicKey([n; 32])).collect(), 3)
}

fn request(wallet: u8, price: u64) -> (Id, Arc<Request>) {
    let operation = Operation::Transfer { to: PublicKey([2; 32]) };
    let draft = Draft { state: Id([1; 32]), number: 3, epoch: 5, operation, price, from_ms: 0, until_ms: 1 };
    let request = draft.sign(&NETWORK, &SecretKey::from_seed(&[wallet; 32]), 0, 1).unwrap().unwrap();
    (request.id(), Arc::new(request))
}

fn message(n: u8) -> Id {
    Id([n; 32])
}

fn rejection(validator: u8, request: Id, reason: Reason) -> Rejection {
    Rejection { validator: PublicKey([validator; 32]), epoch: 5, request, reason, at_ms: 9, signature: protocol::Signature([0; 64]) }
}

#[test]
fn votes_count_whether_they_come_before_or_after_the_request() {
    let mut spends = spends();
    let (id, request) = request(9, 10);
    assert!(!spends.vote(&id, 0, message(1)));
    assert!(!spends.vote(&id, 0, message(2)), "one member has one vote");
    assert_eq!(spends.add(id, &request), Kept::default());
    assert_eq!(spends.get(&id).unwrap().votes.len(), 1);
    assert!(!spends.vote(&id, 1, message(3)));
    assert!(spends.vote(&id, 2, message(4)));
    assert!(!spends.vote(&id, 3, message(5)), "it had enough before");
    assert!(spends.is_complete(&id) && spends.open().count() == 1);
    // all of them before
    let (id, request) = super::tests::request(8, 10);
    for voter in 0..3 {
        assert!(!spends.vote(&id, voter, message(1)));
    }
    assert!(spends.add(id, &request).complete);
}

#[test]
fn a_request_goes_from_pending_to_final() {
    let mut spends = spends();
    let (id, request) = request(9, 10);
    assert_eq!(spends.status(&id), None);
    spends.add(id, &request);
    assert_eq!(spends.status(&id), Some(SpendStatus::Pending));
    for voter in 0..4 {
        spends.vote(&id, voter, message(voter));
    }
    assert_eq!(spends.status(&id), Some(SpendStatus::Pending), "one before it may have votes too few");
    assert_eq!(spends.certified(&id), Some(Arc::clone(&request)));
    assert_eq!(spends.certified(&id), None, "told once");
    assert_eq!(spends.status(&id), Some(SpendStatus::Certified));
    assert_eq!(spends.executed(&id, 7), Some(request));
    assert_eq!(spends.status(&id), Some(SpendStatus::Final { height: 7 }));
    assert_eq!(spends.get(&id).unwrap().votes.len(), 3, "no more than a certificate needs");
    spends.end();
    assert_eq!(spends.status(&id), Some(SpendStatus::Final { height: 7 }));
}

#[test]
fn rivals_with_split_votes_are_locked_until_the_epoch_ends() {
    let mut spends = spends();
    let ((one, first), (two, second)) = (request(9, 10), request(9, 11));
    spends.add(one, &first);
    spends.add(two, &second);
    spends.carried_here(&one);
    for (voter, id) in [(0, one), (1, one), (2, two)] {
        spends.vote(&id, voter, message(voter));
    }
    assert_eq!(spends.status(&one), Some(SpendStatus::Pending), "the fourth may make it enough");
    spends.vote(&two, 3, message(3));
    assert_eq!((spends.status(&one), spends.status(&two)), (Some(SpendStatus::Locked), Some(SpendStatus::Locked)));
    assert_eq!(spends.contested(&two), [one], "only what this node carried is told of");
    assert_eq!(spends.told_anew(&one), Some((Arc::clone(&first), SpendStatus::Locked)));
    assert_eq!(spends.told_anew(&one), None, "once");
    spends.end();
    assert_eq!(spends.lapsed(), [(one, first)]);
}

#[test]
fn who_was_overtaken_is_refused() {
    let mut spends = spends();
    let ((one, first), (two, second)) = (request(9, 10), request(9, 11));
    spends.add(one, &first);
    spends.add(two, &second);
    spends.executed(&two, 4);
    assert_eq!(spends.status(&one), Some(SpendStatus::Refused));
}

#[test]
fn rejections_refuse_a_request_if_they_do_not_pass() {
    let mut spends = spends();
    let (id, request) = request(9, 10);
    spends.add(id, &request);
    assert!(!spends.wants(&rejection(1, id, Reason::Service)), "another node carried it");
    spends.carried_here(&id);
    assert!(!spends.wants(&rejection(9, id, Reason::Service)), "no member");
    for validator in 1..=2 {
        assert!(spends.wants(&rejection(validator, id, Reason::Funds { available: 1 })));
        spends.reject(rejection(validator, id, Reason::Funds { available: 1 }));
    }
    assert_eq!(spends.status(&id), Some(SpendStatus::Pending), "funds may come");
    assert!(!spends.wants(&rejection(1, id, Reason::Funds { available: 1 })), "known");
    assert!(!spends.wants(&rejection(1, id, Reason::Funds { available: 2 })), "nothing new but a number");
    for validator in 1..=2 {
        spends.reject(rejection(validator, id, Reason::Service));
    }
    assert_eq!(spends.status(&id), Some(SpendStatus::Refused), "two are left, three are needed");
    spends.vote(&id, 0, message(1));
    assert_eq!(spends.status(&id), Some(SpendStatus::Pending), "the first changed its mind");
}

#[test]
fn what_matters_is_forgotten_last() {
    let mut spends = spends();
    let (voted, kept) = request(9, 10);
    spends.add(voted, &kept);
    spends.vote(&voted, 0, message(1));
    let (idle, gone) = request(8, 10);
    spends.add(idle, &gone);
    assert_eq!(spends.evict(), Some((gone.wallet, 3, idle)));
    assert_eq!(spends.evict(), Some((kept.wallet, 3, voted)));
    assert_eq!(spends.evict(), None);
    assert!(spends.by_slot.is_empty() && spends.order.is_empty());
}

#[test]
fn a_request_is_carried_by_messages() {
    let mut spends = spends();
    let (id, request) = request(9, 10);
    let heard = |message| Heard { id, request: Arc::clone(&request), message, issuer: HERE };
    assert!(!spends.carried_by(&heard(message(3))));
    spends.add(id, &request);
    assert!(spends.carried_by(&heard(Id([0; 32]))) && spends.carried_by(&heard(message(3))) && spends.carried_by(&heard(message(3))));
    assert_eq!(spends.get(&id).unwrap().carriers, [(message(3), HERE)]);
    spends.forget_unheard(&id);
    assert!(spends.get(&id).is_some());
}

#[test]
fn enough_farewells_let_the_epoch_end() {
    let mut spends = spends();
    for member in [0, 1, 1] {
        spends.farewell(member);
    }
    assert!(!spends.may_close());
    spends.farewell(3);
    assert!(spends.may_close());
}

#[test]
fn what_too_few_voted_for_is_carried_again() {
    let mut spends = spends();
    let (id, request) = request(9, 10);
    spends.reach(7, 0);
    spends.add(id, &request);
    let heard = |n| Heard { id, request: Arc::clone(&request), message: message(n), issuer: HERE };
    spends.reach(9, 0);
    assert!(spends.neglected(&id).is_none(), "votes may be on their way");
    spends.reach(10, 0);
    assert_eq!(spends.neglected(&id), Some(Arc::clone(&request)));
    spends.carried_by(&heard(3));
    assert!(spends.neglected(&id).is_none(), "it was");
    spends.reach(99, 0);
    for voter in 0..3 {
        spends.vote(&id, voter, message(voter));
    }
    assert!(spends.neglected(&id).is_none(), "it has votes enough");
}

#[test]
fn a_certificate_of_somebody_else_does_not_stand_for_the_own_one() {
    let mut spends = spends();
    let (id, request) = request(9, 10);
    spends.add(id, &request);
    let certificate = Certificate { request: (*request).clone(), votes: Vec::new() };
    assert!(spends.present(&id, certificate));
    assert!(!spends.get(&id).unwrap().presented, "its message may be void");
    spends.presented(&id);
    assert!(spends.get(&id).unwrap().presented);
}

#[test]
fn of_the_certificates_put_together_here_the_latest_are_kept() {
    let mut spends = spends();
    let rivals = RIVALS_MAX as u64;
    let all: Vec<(Id, Arc<Request>)> =
        (0..=ASSEMBLED_MAX as u64).map(|n| request(1 + u8::try_from(n / rivals).unwrap(), 1 + n % rivals)).collect();
    for (id, request) in &all {
        spends.add(*id, request);
        spends.keep(id, &Certificate { request: (**request).clone(), votes: Vec::new() });
    }
    let kept = |spends: &Spends, id: &Id| spends.get(id).unwrap().certificate.is_some();
    assert!(!kept(&spends, &all[0].0), "the oldest made room");
    assert!(all[1..].iter().all(|(id, _)| kept(&spends, id)));
    let first = &all[1];
    spends.keep(&first.0, &Certificate { request: (*first.1).clone(), votes: Vec::new() });
    assert_eq!(spends.assembled.len(), ASSEMBLED_MAX, "once");
    spends.remove(first.0);
    assert_eq!(spends.assembled.len(), ASSEMBLED_MAX - 1, "it goes with its request");
}
