//! A small network's ledger: three validators, six wallets, and whoever sends messages.

use ledger::{
    Account, Changes, Key, MemoryStore, OrderError, Overlay, Refusal, Rules, Validator, Wallet, apply, close_epoch, elect, electing,
    genesis_state, read_candidates, read_totals, read_validator, read_wallet, touched,
};
use protocol::order::first_state;
use protocol::{
    Action, Body, Committee, Decode, Encode as _, Evidence, Genesis, Id, Message, Name, NetworkId, Order, Parameters, PublicKey, SecretKey,
    Unsigned, Validator as Member,
};
use std::collections::BTreeMap;

/// Seeds of the validators' keys.
pub(crate) const VALIDATORS: [u8; 3] = [1, 2, 3];
/// Seeds of all wallets; the validators' own among them.
pub(crate) const WALLETS: [u8; 6] = [1, 2, 3, 4, 5, 6];
/// Stake of each validator, and balance of each wallet.
pub(crate) const COINS: u64 = 10_000;
const ISSUER: u8 = 200;

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

pub(crate) fn public(seed: u8) -> PublicKey {
    key(seed).public_key()
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn register() -> Action {
    Action::Register { name: name("new"), address: None }
}

pub(crate) fn delegate(validator: u8, amount: u64) -> Action {
    Action::Delegate { validator: public(validator), amount }
}

pub(crate) fn undelegate(validator: u8, amount: u64) -> Action {
    Action::Undelegate { validator: public(validator), amount }
}

pub(crate) fn withdraw(validator: u8) -> Action {
    Action::Withdraw { validator: public(validator) }
}

pub(crate) struct World {
    pub(crate) genesis: Genesis,
    pub(crate) network: NetworkId,
    pub(crate) values: BTreeMap<Key, Vec<u8>>,
    pub(crate) epoch: u64,
    /// Of the milestone that confirms the next message.
    pub(crate) height: u64,
    next: (u64, Id),
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Parameters::default())
    }

    pub(crate) fn with(parameters: Parameters) -> Self {
        let mut validators: Vec<_> = VALIDATORS.iter().map(|s| Member { key: public(*s), name: name(&format!("v{s}")) }).collect();
        validators.sort_by_key(|v| v.key);
        let committee = Committee::new(validators).unwrap();
        let mut genesis = Genesis::plain(name("world"), 4, 0, committee);
        genesis.parameters = parameters;
        genesis.stakes = vec![COINS; VALIDATORS.len()];
        genesis.wallets = WALLETS.iter().map(|s| (public(*s), COINS)).collect();
        genesis.wallets.sort_unstable();
        Self::of(genesis)
    }

    pub(crate) fn of(genesis: Genesis) -> Self {
        assert_eq!(genesis.check(), Ok(()));
        let (network, values) = (genesis.network(), genesis_state(&genesis));
        Self { network, values, epoch: 0, height: 1, next: (0, Unsigned::root(network)), genesis }
    }

    pub(crate) fn rules(&self) -> Rules<'_> {
        Rules {
            network: &self.network,
            subnet: self.genesis.subnet,
            epoch: self.epoch,
            height: self.height,
            parameters: &self.genesis.parameters,
        }
    }

    /// The whole state.
    pub(crate) fn state(&self) -> MemoryStore {
        MemoryStore::from(self.values.clone())
    }

    /// The values under these keys only: what a store brings along.
    pub(crate) fn brought(&self, keys: &[Key]) -> MemoryStore {
        let found = keys.iter().filter_map(|k| self.values.get(k).map(|v| (*k, v.clone())));
        MemoryStore::from(found.collect::<BTreeMap<_, _>>())
    }

    /// Takes over changes.
    pub(crate) fn take(&mut self, changes: Changes) {
        for (key, value) in changes {
            match value {
                Some(value) => drop(self.values.insert(key, value)),
                None => drop(self.values.remove(&key)),
            }
        }
    }

    /// The next message of the one issuer.
    pub(crate) fn message(&self, body: Body) -> Message {
        let unsigned = Unsigned {
            network: self.network,
            subnet: self.genesis.subnet,
            issuer: public(ISSUER),
            sequence: self.next.0,
            parents: vec![self.next.1],
            issued_at_ms: 0,
            votes: Vec::new(),
            body,
            pow_nonce: 0,
        };
        unsigned.sign(&key(ISSUER))
    }

    /// Sends a message and applies it on nothing but the values of the keys it touches.
    pub(crate) fn send(&mut self, body: Body) -> Vec<Refusal> {
        let message = self.message(body);
        let base = self.brought(&touched(&message));
        let mut overlay = Overlay::new(&base);
        let refusals = apply(&mut overlay, &self.rules(), &message).unwrap();
        self.take(overlay.into_changes());
        self.next = (self.next.0 + 1, message.id());
        self.check();
        refusals
    }

    pub(crate) fn order(&self, wallet: u8, action: Action) -> Order {
        Order::sign(&self.network, &key(wallet), self.wallet(wallet).state, action)
    }

    /// Sends one order in a message of its own.
    pub(crate) fn run(&mut self, wallet: u8, action: Action) -> Result<(), OrderError> {
        let order = self.order(wallet, action);
        self.submit(order)
    }

    pub(crate) fn submit(&mut self, order: Order) -> Result<(), OrderError> {
        let before = self.money();
        match self.send(Body::Orders(vec![order])).pop() {
            None => Ok(()),
            Some(Refusal { index, why }) => {
                assert_eq!(index, 0);
                assert_eq!(self.money(), before, "a refused order changed something: {why}");
                Err(why)
            }
        }
    }

    pub(crate) fn prove(&mut self, evidence: Evidence) -> Result<(), OrderError> {
        let before = self.money();
        match self.send(Body::Evidence(Box::new(evidence))).pop() {
            None => Ok(()),
            Some(refusal) => {
                assert_eq!(self.money(), before, "refused evidence changed something: {refusal}");
                Err(refusal.why)
            }
        }
    }

    /// Two messages of a validator with one sequence.
    pub(crate) fn equivocation(&self, validator: u8, sequence: u64) -> Evidence {
        let head = |data: u8| {
            let unsigned = Unsigned {
                network: self.network,
                subnet: self.genesis.subnet,
                issuer: public(validator),
                sequence,
                parents: vec![Id([data; 32])],
                issued_at_ms: 0,
                votes: Vec::new(),
                body: Body::Data(vec![data]),
                pow_nonce: 0,
            };
            unsigned.sign(&key(validator)).head()
        };
        Evidence::messages(head(1), head(2))
    }

    /// Everything but the issuer's account and the count of messages.
    fn money(&self) -> BTreeMap<Key, Vec<u8>> {
        let mut values = self.values.clone();
        values.remove(&Key::Account(public(ISSUER)));
        let totals = read_totals(&self.state()).unwrap();
        values.insert(Key::Totals, [totals.supply.to_be_bytes(), totals.burned.to_be_bytes()].concat());
        values
    }

    pub(crate) fn wallet(&self, seed: u8) -> Wallet {
        let state = first_state(&self.network, &public(seed));
        read_wallet(&self.state(), public(seed)).unwrap().unwrap_or(Wallet { state, balance: 0 })
    }

    pub(crate) fn validator(&self, seed: u8) -> Validator {
        read_validator(&self.state(), public(seed)).unwrap().unwrap()
    }

    /// What `wallet` has at stake with `validator` now.
    pub(crate) fn staked(&self, wallet: u8, validator: u8) -> u64 {
        let delegation = ledger::read_delegation(&self.state(), public(wallet), public(validator)).unwrap();
        delegation.map_or(0, |d| d.worth(self.validator(validator).retained))
    }

    /// What `wallet` gets back from `validator`, as of now.
    pub(crate) fn unbonding(&self, wallet: u8, validator: u8) -> u64 {
        let unbonding = ledger::read_unbonding(&self.state(), public(wallet), public(validator)).unwrap();
        read_validator(&self.state(), public(validator)).unwrap().map_or(0, |v| unbonding.worth(v.retained))
    }

    /// A message of this validator counts in the present epoch.
    pub(crate) fn hear(&mut self, seed: u8) {
        let heard = Account { next_sequence: 1, last: Id([seed; 32]), messages: 1, readings: 0, meter_us: 0, epoch: self.epoch, voids: 0 };
        self.values.insert(Key::Account(public(seed)), heard.encode());
    }

    /// Elects on nothing but the values that an election reads.
    pub(crate) fn elected(&self) -> Vec<PublicKey> {
        let candidates = read_candidates(&self.state()).unwrap().0;
        elect(&self.brought(&electing(&candidates)), &self.rules()).unwrap()
    }

    /// Ends the epoch.
    pub(crate) fn close(&mut self) -> Vec<PublicKey> {
        let (committee, state) = (self.elected(), self.state());
        let mut overlay = Overlay::new(&state);
        close_epoch(&mut overlay, &self.rules(), &committee);
        self.take(overlay.into_changes());
        self.epoch += 1;
        committee
    }

    /// What holds after every message: no coin is made or lost, what is bound is covered, and the list of candidates
    /// is that of those who stand.
    fn check(&self) {
        let state = self.state();
        let totals = read_totals(&state).unwrap();
        let (mut all, mut bound, mut standing) = (u128::from(totals.burned), BTreeMap::new(), Vec::new());
        for (key, value) in &self.values {
            match key {
                Key::Wallet(_) => all += u128::from(Wallet::decode(value).unwrap().balance),
                Key::Validator(v) => {
                    let validator = Validator::decode(value).unwrap();
                    all += u128::from(validator.stake) + u128::from(validator.unbonding);
                    if validator.stands(self.genesis.parameters.stake_min) {
                        standing.push(*v);
                    }
                }
                Key::Delegation(_, v) => {
                    let now = read_validator(&state, *v).unwrap().unwrap().retained;
                    let (stake, _): &mut (u128, u128) = bound.entry(*v).or_default();
                    *stake += u128::from(ledger::Delegation::decode(value).unwrap().worth(now));
                }
                Key::Unbonding(_, v) => {
                    let now = read_validator(&state, *v).unwrap().unwrap().retained;
                    let (_, unbonding) = bound.entry(*v).or_default();
                    *unbonding += u128::from(ledger::Unbonding::decode(value).unwrap().worth(now));
                }
                _ => {}
            }
        }
        assert_eq!(all, u128::from(totals.supply), "coins were made or lost");
        for (key, (stake, unbonding)) in bound {
            let validator = read_validator(&state, key).unwrap().unwrap();
            assert!(stake <= u128::from(validator.stake) && unbonding <= u128::from(validator.unbonding), "more is bound than there is");
        }
        assert_eq!(read_candidates(&state).unwrap().0, standing);
    }
}
