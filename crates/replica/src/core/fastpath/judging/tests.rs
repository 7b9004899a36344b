#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::core::fastpath::Heard;
use ledger::{MemoryStore, Purse};
use protocol::{Body, Draft, Encode as _, Message, NetworkId, Operation, Parameters, Request, SecretKey, Unsigned, WalletParameters};
use std::sync::Arc;
use std::time::SystemTime;

const NETWORK: NetworkId = NetworkId([7; 32]);
const NOW_MS: u64 = 1_000_000;

/// A validator's view: four members, of which it is one, and the purse of one wallet.
struct View {
    path: FastPath,
    store: MemoryStore,
    parameters: Parameters,
    wallets: WalletParameters,
    members: Vec<SecretKey>,
    sequence: u64,
}

fn spender() -> SecretKey {
    SecretKey::from_seed(&[99; 32])
}

fn purse(number: u64, state: Id, balance: u64) -> Purse {
    Purse { number, state, balance }
}

impl View {
    fn new(balance: u64) -> Self {
        let mut members: Vec<SecretKey> = (1..=4).map(|n| SecretKey::from_seed(&[n; 32])).collect();
        members.sort_by_key(SecretKey::public_key);
        let keys: Vec<PublicKey> = members.iter().map(SecretKey::public_key).collect();
        let mut path = FastPath::new(keys[0], 0, SystemTime::UNIX_EPOCH);
        path.enter(0, keys, 67);
        path.executed(Vec::new(), 1, 1);
        let wallets = WalletParameters { difficulty: 0, ..WalletParameters::default() };
        let mut view = Self { path, store: MemoryStore::default(), parameters: Parameters::default(), wallets, members, sequence: 0 };
        view.fund(&purse(0, Id([1; 32]), balance));
        view
    }

    fn fund(&mut self, purse: &Purse) {
        self.store.set(Key::Purse(spender().public_key()), purse.encode());
    }

    /// Takes requests in, as if a message had brought them and their signatures were good.
    fn hear(&mut self, requests: &[Request]) {
        for request in requests {
            let issuer = self.members[1].public_key();
            let heard = Heard { id: request.id(), request: Arc::new(request.clone()), message: Id([5; 32]), issuer };
            self.path.take(&heard, false);
        }
    }

    /// A member votes.
    fn vote(&mut self, member: usize, requests: &[&Request]) -> Message {
        let mut votes: Vec<Id> = requests.iter().map(|r| r.id()).collect();
        votes.sort_unstable();
        self.sequence += 1;
        let unsigned = Unsigned {
            network: NETWORK,
            subnet: 0,
            issuer: self.members[member].public_key(),
            sequence: self.sequence,
            parents: vec![Id([8; 32])],
            issued_at_ms: 1,
            votes,
            body: Body::Data(Vec::new()),
            pow_nonce: 0,
        };
        let message = unsigned.sign(&self.members[member]);
        self.path.hear(&message);
        message
    }

    /// One round; gives the votes that the next message would carry.
    fn judge(&mut self) -> Vec<Id> {
        let Some(round) = self.path.round(NOW_MS) else { return self.path.ballots(&Body::Data(Vec::new())) };
        let rules = Rules {
            network: &NETWORK,
            subnet: 0,
            epoch: 0,
            height: 2,
            time_ms: NOW_MS,
            parameters: &self.parameters,
            wallets: &self.wallets,
        };
        self.path.judge(&round, &self.store, &rules, NOW_MS).unwrap();
        self.path.ballots(&Body::Data(Vec::new()))
    }

    fn statuses(&self, requests: &[Request]) -> Vec<SpendStatus> {
        requests.iter().map(|r| self.path.now.status(&r.id()).unwrap()).collect()
    }
}

fn request(number: u64, state: Id, price: u64) -> Request {
    let operation = Operation::Transfer { to: SecretKey::from_seed(&[98; 32]).public_key() };
    let draft = Draft { state, number, epoch: 0, operation, price, from_ms: NOW_MS, until_ms: NOW_MS + 10 };
    draft.sign(&NETWORK, &spender(), 0, 1).unwrap().unwrap()
}

/// Requests one after another.
fn chain(number: u64, state: Id, prices: &[u64]) -> Vec<Request> {
    let (mut number, mut state, mut all) = (number, state, Vec::new());
    for price in prices {
        let next = request(number, state, *price);
        (number, state) = (number + 1, next.next_state());
        all.push(next);
    }
    all
}

fn sorted(requests: &[Request]) -> Vec<Id> {
    let mut ids: Vec<Id> = requests.iter().map(Request::id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_chain_is_voted_for_at_once_whatever_the_order_of_arrival() {
    let mut view = View::new(100);
    let all = chain(0, Id([1; 32]), &[10, 20, 30, 40]);
    let backwards: Vec<Request> = all.iter().rev().cloned().collect();
    view.hear(&backwards);
    assert_eq!(view.judge(), sorted(&all));
    // not a sub-unit is left
    let more = request(4, all[3].next_state(), 1);
    view.hear(std::slice::from_ref(&more));
    assert_eq!(view.judge(), sorted(&all));
    assert!(matches!(view.path.rejections[..], [(_, id, Reason::Funds { available: 0 })] if id == more.id()));
}

#[test]
fn what_waits_for_an_earlier_one_is_voted_for_when_that_comes() {
    let mut view = View::new(100);
    let all = chain(0, Id([1; 32]), &[10, 20, 30]);
    view.hear(&all[1..]);
    assert_eq!(view.judge(), []);
    assert!(view.path.rejections.is_empty(), "it may come");
    view.hear(&all[..1]);
    assert_eq!(view.judge(), sorted(&all));
}

/// Callers' requests of one round went into several messages, and the first of them carried the votes for all: those for requests of the
/// later ones came before these on the ledger, which does not count such votes.
#[test]
fn a_vote_does_not_come_before_the_message_that_carries_its_request() {
    let mut view = View::new(100);
    let one = request(0, Id([1; 32]), 10);
    let heard = Heard { id: one.id(), request: Arc::new(one.clone()), message: Id([0; 32]), issuer: view.members[0].public_key() };
    view.path.take(&heard, true);
    assert_eq!(view.judge(), []);
    assert_eq!(view.path.ballots(&Body::Requests(vec![one.clone()])), [one.id()]);
}

/// A member that was away did not vote for what the others had certified without it; where one of their votes was in a void message,
/// the ledger never had enough.
#[test]
fn what_enough_others_voted_for_gets_this_vote_too() {
    let mut view = View::new(100);
    let all = chain(0, Id([1; 32]), &[10, 20]);
    view.hear(&all);
    for member in 1..4 {
        view.vote(member, &[&all[0], &all[1]]);
    }
    assert_eq!(view.judge(), sorted(&all));
    assert!(view.path.rejections.is_empty());
}

#[test]
fn a_rival_gets_no_vote_even_when_it_is_certified() {
    let mut view = View::new(100);
    let (mine, rival) = (request(0, Id([1; 32]), 10), request(0, Id([1; 32]), 11));
    view.hear(std::slice::from_ref(&mine));
    assert_eq!(view.judge(), [mine.id()]);
    view.hear(std::slice::from_ref(&rival));
    assert_eq!(view.judge(), [mine.id()]);
    assert!(matches!(view.path.rejections[..], [(_, _, Reason::Locked { voted })] if voted == mine.id()));
    for member in 1..4 {
        view.vote(member, &[&rival]);
    }
    // the chain follows the certified one, the vote stays
    let next = request(1, rival.next_state(), 20);
    view.hear(std::slice::from_ref(&next));
    let mut both = vec![mine.id(), next.id()];
    both.sort_unstable();
    assert_eq!(view.judge(), both);
    assert_eq!(view.path.now.status(&rival.id()), Some(SpendStatus::Certified));
    view.path.cast(&both);
    view.vote(0, &[&mine]);
    view.hear(std::slice::from_ref(&rival));
    assert_eq!(view.judge(), []);
}

#[test]
fn a_request_is_certified_when_all_before_it_are() {
    let mut view = View::new(100);
    let all = chain(0, Id([1; 32]), &[10, 20]);
    view.hear(&all);
    view.judge();
    for member in 1..4 {
        view.vote(member, &[&all[1]]);
    }
    view.judge();
    assert_eq!(view.statuses(&all), [SpendStatus::Pending, SpendStatus::Pending]);
    for member in 1..4 {
        view.vote(member, &[&all[0]]);
    }
    view.judge();
    assert_eq!(view.statuses(&all), [SpendStatus::Certified, SpendStatus::Certified]);
    let told: Vec<Id> = view.path.take_events().into_iter().map(|event| event.id).collect();
    assert_eq!(told, [all[0].id(), all[1].id()]);
}

#[test]
fn what_a_milestone_executed_frees_the_chain() {
    let mut view = View::new(30);
    let all = chain(0, Id([1; 32]), &[10, 20, 30]);
    view.hear(&all);
    assert_eq!(view.judge(), sorted(&all[..2]));
    view.path.cast(&sorted(&all[..2]));
    let done = all[..2].iter().map(|r| ledger::Executed { request: r.id(), wallet: r.wallet, number: r.number, content: r.clone() });
    view.path.executed(done.collect(), 2, 2);
    // somebody credited it meanwhile
    view.fund(&purse(2, all[1].next_state(), 30));
    assert_eq!(view.judge(), [all[2].id()]);
    assert_eq!(view.path.locks.slots().count(), 1, "locks of what was executed are gone");
}

#[test]
fn a_vote_is_given_again_after_a_restart() {
    let mut view = View::new(100);
    let (mine, rival) = (request(0, Id([1; 32]), 10), request(0, Id([1; 32]), 11));
    // the record was on disk, the message was not
    view.path.locks.lock(mine.wallet, 0, mine.id());
    view.hear(&[rival, mine.clone()]);
    assert_eq!(view.judge(), [mine.id()]);
    assert_eq!(view.path.ballots(&Body::Certificates(Vec::new())), [], "such a message has no votes");
}

#[test]
fn nobody_votes_before_it_is_current_or_after_it_ended_the_epoch() {
    let mut view = View::new(100);
    let one = request(0, Id([1; 32]), 10);
    view.path.current = false;
    view.hear(std::slice::from_ref(&one));
    assert_eq!(view.judge(), []);
    // a milestone older than the start says nothing
    view.path.started_ms = 50;
    view.path.executed(Vec::new(), 2, 50);
    assert_eq!(view.judge(), []);
    view.path.executed(Vec::new(), 3, 51);
    assert_eq!(view.judge(), [one.id()]);
    view.path.locks.abstain();
    assert_eq!(view.judge(), []);
    let mut view = View::new(100);
    view.path.ended = true;
    view.hear(std::slice::from_ref(&one));
    assert_eq!(view.judge(), []);
    assert!(matches!(view.path.rejections[..], [(_, id, Reason::Ended)] if id == one.id()));
}

#[test]
fn an_epoch_begins_where_the_one_before_ended() {
    let mut view = View::new(100);
    view.path.executed(Vec::new(), 70, 2);
    view.path.enter(0, view.members.iter().map(SecretKey::public_key).collect(), 67);
    let one = request(0, Id([1; 32]), 10);
    view.hear(std::slice::from_ref(&one));
    for member in 1..4 {
        view.vote(member, &[&one]);
    }
    // else its certificate would be due at once
    assert_eq!(view.path.now.get(&one.id()).unwrap().complete_at, Some(70));
}

#[test]
fn who_abstains_while_it_catches_up_abstains_until_it_has() {
    let mut view = View::new(100);
    let committee: Vec<PublicKey> = view.members.iter().map(SecretKey::public_key).collect();
    view.path.current = false;
    view.path.locks.abstain();
    view.path.enter(1, committee.clone(), 67);
    assert!(view.path.locks.abstains());
    assert!(matches!(view.path.casting[..], [crate::store::Ballot::Abstain { epoch: 1 }]), "and a restart does not forget it");
    view.path.current = true;
    view.path.enter(2, committee, 67);
    assert!(!view.path.locks.abstains());
}

#[test]
fn what_costs_nothing_to_send_is_answered_once_a_round() {
    let mut view = View::new(100);
    let carriers = [view.members[1].public_key(), view.members[2].public_key()];
    let cheap = [Reason::Epoch { now: 0 }, Reason::Work { needed: 1 }, Reason::Signature];
    for n in 0..9 {
        for carrier in carriers {
            cheap.into_iter().for_each(|reason| view.path.answer(Id([n; 32]), carrier, reason));
        }
    }
    assert_eq!(view.path.take_rejections().len(), carriers.len() * cheap.len());
    for n in 0..9 {
        view.path.answer(Id([n; 32]), carriers[0], Reason::Recipient);
        view.path.answer(Id([n; 32]), carriers[0], Reason::Signature);
    }
    let noted = view.path.take_rejections();
    assert_eq!(noted.len(), 10, "a round later it is told again, and what cost something is told each time");
}

/// One that was executed before it was heard of stayed pending, and with votes enough its certificate went to the ledger again.
#[test]
fn what_is_below_the_executed_purse_is_forgotten() {
    let mut view = View::new(100);
    let (done, next) = (request(0, Id([1; 32]), 10), request(1, request(0, Id([1; 32]), 10).next_state(), 5));
    view.fund(&purse(1, done.next_state(), 90));
    for member in 1..4 {
        view.vote(member, &[&done]);
    }
    view.hear(&[done.clone(), next.clone()]);
    assert_eq!(view.judge(), [next.id()]);
    assert_eq!((view.path.now.status(&done.id()), view.path.now.open().count()), (None, 0));
    assert!(view.path.rejections.iter().any(|(_, id, why)| *id == done.id() && matches!(why, Reason::State { .. })), "its carrier hears");
    // a caller's stays, to be told of
    let issuer = view.members[0].public_key();
    let heard = Heard { id: done.id(), request: Arc::new(done.clone()), message: Id([6; 32]), issuer };
    view.path.take(&heard, true);
    assert_eq!(view.judge(), [next.id()]);
    assert_eq!(view.path.now.status(&done.id()), Some(SpendStatus::Pending));
}
