//! Where a wallet stands beyond its executed purse: its requests that are certified or that this node voted for, one after another.
//!
//! Each State is a hash over all before, so a chain is known exactly: whoever votes for its next request says what it stands on.

use ledger::{AHEAD_MAX, Ahead, Purse};
use protocol::{Id, Request};
use std::collections::VecDeque;

/// A request of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) id: Id,
    price: u64,
    next_state: Id,
}

/// The requests of one wallet that follow its executed purse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// The executed purse's number,
    number: u64,
    /// and its State.
    state: Id,
    links: VecDeque<Link>,
    /// What the links cost, in sub-units.
    reserved: u64,
    /// Links from the first on that are certified.
    certified: usize,
}

impl Chain {
    /// That of a wallet none of whose requests waits for a milestone.
    pub(super) fn of(purse: &Purse) -> Self {
        Self { number: purse.number, state: purse.state, links: VecDeque::new(), reserved: 0, certified: 0 }
    }

    /// Whether nothing waits for a milestone.
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Milestones were executed: what they executed is no part of it any more. If they executed something else, nothing stays.
    pub(super) fn follow(&mut self, purse: &Purse) {
        while self.number < purse.number {
            let Some(link) = self.links.pop_front() else { break };
            self.number += 1;
            self.state = link.next_state;
            self.reserved = self.reserved.saturating_sub(link.price);
            self.certified = self.certified.saturating_sub(1);
        }
        if self.number != purse.number || self.state != purse.state {
            *self = Self::of(purse);
        }
    }

    /// Where the next request of the wallet must stand.
    pub(super) fn end(&self) -> Ahead {
        let number = self.number.saturating_add(self.links.len() as u64);
        Ahead { number, state: self.links.back().map_or(self.state, |link| link.next_state), reserved: self.reserved }
    }

    /// Whether it is as long as it may be.
    pub(super) fn is_full(&self) -> bool {
        self.links.len() as u64 > AHEAD_MAX
    }

    /// Adds a request that stands at its end.
    pub(super) fn push(&mut self, id: Id, request: &Request, next_state: Id) {
        self.links.push_back(Link { id, price: request.price, next_state });
        self.reserved = self.reserved.saturating_add(request.price);
    }

    /// The request of this number.
    pub(super) fn at(&self, number: u64) -> Option<&Link> {
        let place = usize::try_from(number.checked_sub(self.number)?).ok()?;
        self.links.get(place)
    }

    /// Takes away the request of this number and all after it.
    pub(super) fn cut(&mut self, number: u64) {
        let keep = usize::try_from(number.saturating_sub(self.number)).unwrap_or(usize::MAX);
        while self.links.len() > keep {
            let Some(link) = self.links.pop_back() else { break };
            self.reserved = self.reserved.saturating_sub(link.price);
        }
        self.certified = self.certified.min(self.links.len());
    }

    /// The requests that are certified now and were not before: those with votes enough, up to the first without.
    pub(super) fn certify(&mut self, complete: impl Fn(&Id) -> bool) -> Vec<Id> {
        let anew: Vec<Id> = self.links.iter().skip(self.certified).map(|link| link.id).take_while(|id| complete(id)).collect();
        self.certified += anew.len();
        anew
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use protocol::{Draft, NetworkId, Operation, PublicKey, SecretKey};

    const NETWORK: NetworkId = NetworkId([7; 32]);

    fn purse() -> Purse {
        Purse { number: 0, state: Id([1; 32]), balance: 1_000 }
    }

    /// Requests one after another from a purse.
    fn requests(from: &Purse, prices: &[u64]) -> Vec<Request> {
        let (mut number, mut state) = (from.number, from.state);
        let mut all = Vec::new();
        for price in prices {
            let operation = Operation::Transfer { to: PublicKey([2; 32]) };
            let draft = Draft { state, number, epoch: 0, operation, price: *price, from_ms: 0, until_ms: 1 };
            let request = draft.sign(&NETWORK, &SecretKey::from_seed(&[3; 32]), 0, 1).unwrap().unwrap();
            (number, state) = (number + 1, request.next_state());
            all.push(request);
        }
        all
    }

    fn chain(requests: &[Request]) -> Chain {
        let mut chain = Chain::of(&purse());
        for request in requests {
            assert_eq!((request.number, request.state), (chain.end().number, chain.end().state));
            chain.push(request.id(), request, request.next_state());
        }
        chain
    }

    #[test]
    fn a_chain_reserves_what_its_requests_cost() {
        let all = requests(&purse(), &[1, 2, 4]);
        let chain = chain(&all);
        assert_eq!(chain.end(), Ahead { number: 3, state: all[2].next_state(), reserved: 7 });
        assert_eq!(chain.at(1).map(|link| link.id), Some(all[1].id()));
        assert_eq!(chain.at(3), None);
    }

    #[test]
    fn what_was_executed_leaves_it() {
        let all = requests(&purse(), &[1, 2, 4]);
        let mut chain = chain(&all);
        chain.follow(&Purse { number: 2, state: all[1].next_state(), balance: 997 });
        assert_eq!(chain.end(), Ahead { number: 3, state: all[2].next_state(), reserved: 4 });
        chain.follow(&Purse { number: 3, state: all[2].next_state(), balance: 993 });
        assert!(chain.is_empty());
        assert_eq!(chain.end().reserved, 0);
    }

    #[test]
    fn nothing_stays_of_a_chain_that_was_not_executed() {
        let mut chain = chain(&requests(&purse(), &[1, 2, 4]));
        let other = Purse { number: 1, state: Id([9; 32]), balance: 5 };
        chain.follow(&other);
        assert_eq!(chain, Chain::of(&other));
    }

    #[test]
    fn it_is_cut_where_another_request_is_certified() {
        let all = requests(&purse(), &[1, 2, 4]);
        let mut chain = chain(&all);
        assert_eq!(chain.certify(|_| true).len(), 3);
        chain.cut(1);
        assert_eq!(chain.end(), Ahead { number: 1, state: all[0].next_state(), reserved: 1 });
        assert_eq!(chain.certify(|_| true), []);
        chain.cut(0);
        assert_eq!(chain, Chain::of(&purse()));
    }

    #[test]
    fn a_request_is_certified_when_all_before_it_are() {
        let all = requests(&purse(), &[1, 2, 4]);
        let mut chain = chain(&all);
        let (first, last) = (all[0].id(), all[2].id());
        assert_eq!(chain.certify(|id| *id == last), []);
        assert_eq!(chain.certify(|id| *id == first), [first]);
        assert_eq!(chain.certify(|_| true), [all[1].id(), last]);
    }
}
