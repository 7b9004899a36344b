//! A small network's ledger: three validators, six wallets, and whoever sends messages.

use ledger::{
    Account, Changes, Effects, Key, MemoryStore, OrderError, Overlay, Refusal, Rules, Validator, Wallet, apply_with_effects, close_epoch,
    elect, electing, following, genesis_state, read_candidates, read_totals, read_validator, read_wallet, touched,
};
use protocol::order::first_state;
use protocol::{
    Action, Body, Committee, Decode, Encode as _, Evidence, Genesis, Id, Message, Name, NetworkId, Order, Parameters, PublicKey, SecretKey,
    UNITS_PER_COIN, Unsigned, Validator as Member,
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
    /// Of that milestone.
    pub(crate) time_ms: u64,
    next: BTreeMap<u8, (u64, Id)>,
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
        Self { network, values, epoch: 0, height: 1, time_ms: 1_000, next: BTreeMap::new(), genesis }
    }

    pub(crate) fn rules(&self) -> Rules<'_> {
        Rules {
            network: &self.network,
            subnet: self.genesis.subnet,
            epoch: self.epoch,
            height: self.height,
            time_ms: self.time_ms,
            parameters: &self.genesis.parameters,
            wallets: &self.genesis.wallet_parameters,
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
        self.message_of(ISSUER, Vec::new(), body)
    }

    /// The next message of an issuer, with votes.
    pub(crate) fn message_of(&self, issuer: u8, mut votes: Vec<Id>, body: Body) -> Message {
        let (sequence, last) = self.next.get(&issuer).copied().unwrap_or((0, Unsigned::root(self.network)));
        votes.sort_unstable();
        let unsigned = Unsigned {
            network: self.network,
            subnet: self.genesis.subnet,
            issuer: public(issuer),
            sequence,
            parents: vec![last],
            issued_at_ms: 0,
            votes,
            body,
            pow_nonce: 0,
        };
        unsigned.sign(&key(issuer))
    }

    /// Sends a message of the one issuer.
    pub(crate) fn send(&mut self, body: Body) -> Vec<Refusal> {
        self.send_of(ISSUER, Vec::new(), body).refusals
    }

    /// Sends a message and applies it on nothing but the values of the keys it touches.
    pub(crate) fn send_of(&mut self, issuer: u8, votes: Vec<Id>, body: Body) -> Effects {
        let message = self.message_of(issuer, votes, body);
        let mut keys = touched(&message);
        loop {
            let more = following(&self.brought(&keys), [&message]).unwrap();
            if more.iter().all(|key| keys.contains(key)) {
                break;
            }
            keys.extend(more);
        }
        let base = self.brought(&keys);
        let mut overlay = Overlay::new(&base);
        let effects = apply_with_effects(&mut overlay, &self.rules(), &message).unwrap();
        // on the whole state the same comes out: nothing was read that was not named
        let state = self.state();
        let mut whole = Overlay::new(&state);
        assert_eq!(apply_with_effects(&mut whole, &self.rules(), &message).as_ref(), Ok(&effects));
        let changes = overlay.into_changes();
        assert_eq!(whole.into_changes(), changes);
        self.take(changes);
        self.next.insert(issuer, (message.sequence + 1, message.id()));
        self.check();
        effects
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
        values.retain(|key, _| !matches!(key, Key::Account(_)));
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
        let (coins, mut circulating) = (ledger::read_coins(&state).unwrap(), 0u128);
        for (key, value) in &self.values {
            match key {
                Key::Purse(_) => circulating += u128::from(ledger::Purse::decode(value).unwrap().balance),
                Key::Purchase(_) => circulating += u128::from(ledger::Purchase::decode(value).unwrap().price),
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
        let (funded, redeemed) = (u128::from(coins.funded), u128::from(coins.redeemed));
        assert_eq!(all + funded, u128::from(totals.supply) + redeemed, "coins were made or lost");
        assert_eq!(circulating, u128::from(coins.circulating), "sub-units were made or lost");
        let units = u128::from(UNITS_PER_COIN);
        assert_eq!(circulating + redeemed * units, funded * units + u128::from(coins.minted), "sub-units came from nowhere");
        for (key, (stake, unbonding)) in bound {
            let validator = read_validator(&state, key).unwrap().unwrap();
            assert!(stake <= u128::from(validator.stake) && unbonding <= u128::from(validator.unbonding), "more is bound than there is");
        }
        assert_eq!(read_candidates(&state).unwrap().0, standing);
    }
}
