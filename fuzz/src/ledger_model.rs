//! The state machine of the ledger against sums: messages, readings, money and what purses spend; and void messages against a
//! plain list.

use crate::draw::Draw;
use ledger::{
    ApplyError, Key, MemoryStore, Overlay, Rules, StateStore, apply, apply_with_effects, following, genesis_state, is_void, read_account,
    read_coins, read_purchase, read_purse, read_totals, read_validator, read_wallet, remember, touched,
};
use protocol::limits::{BATCH_BYTES_MAX, BATCH_READINGS_MAX};
use protocol::service::service_id;
use protocol::{
    Action, Body, CastVote, Certificate, Committee, Draft, Evidence, Genesis, Id, Message, Name, NetworkId, Operation, Order, Outcome,
    PublicKey, Request, SecretKey, ServiceKind, Share, Silence, Terms, UNITS_PER_COIN, Unsigned, Validator,
};
use std::collections::BTreeMap;
use std::sync::OnceLock;

const ISSUERS: usize = 4;
/// Messages of one input: each is signed, which is slow.
const MESSAGES_MAX: usize = 48;
/// The epoch is the same throughout: elections have tests of their own.
const EPOCH: u64 = 3;

/// The issuers' keys.
fn keys() -> &'static [SecretKey] {
    static KEYS: OnceLock<Vec<SecretKey>> = OnceLock::new();
    KEYS.get_or_init(|| (0..ISSUERS).map(|n| SecretKey::from_seed(&[0x40 + n as u8; 32])).collect())
}

/// A network whose validators are the issuers, and whose wallets are theirs.
fn genesis() -> &'static (Genesis, NetworkId) {
    static GENESIS: OnceLock<(Genesis, NetworkId)> = OnceLock::new();
    GENESIS.get_or_init(|| {
        let mut members: Vec<Validator> = keys()
            .iter()
            .enumerate()
            .map(|(n, key)| Validator { key: key.public_key(), name: Name::new(&format!("v{n}")).expect("a name") })
            .collect();
        members.sort_by_key(|v| v.key);
        let mut genesis = Genesis::plain(Name::new("fuzz").expect("a name"), 0, 1, Committee::new(members).expect("a committee"));
        genesis.wallet_parameters.difficulty = 0;
        let network = genesis.network();
        (genesis, network)
    })
}

fn rules() -> Rules<'static> {
    let (genesis, network) = genesis();
    Rules {
        network,
        subnet: genesis.subnet,
        epoch: EPOCH,
        height: 1,
        time_ms: 1,
        parameters: &genesis.parameters,
        wallets: &genesis.wallet_parameters,
    }
}

fn founded() -> MemoryStore {
    MemoryStore::from(genesis_state(&genesis().0))
}

/// What the state must hold: all that counted, in order; and what did not, with how many had counted before.
#[derive(Default)]
struct Model(Vec<Message>, Vec<(usize, Message)>, Spent);

/// What wallets signed, and how it went.
#[derive(Default)]
struct Spent {
    /// Every request so far, whether or not anybody carries it.
    signed: Vec<Request>,
    /// What was executed, by wallet and number.
    executed: BTreeMap<(PublicKey, u64), Id>,
}

impl Model {
    fn of(&self, issuer: PublicKey) -> impl Iterator<Item = &Message> {
        self.0.iter().filter(move |m| m.issuer == issuer)
    }

    /// Void messages of an issuer that no sequence settles.
    fn void_of(&self, issuer: PublicKey) -> BTreeMap<Id, u64> {
        let next = self.of(issuer).count() as u64;
        let beyond = self.1.iter().map(|(_, m)| m).filter(|m| m.issuer == issuer && m.sequence >= next);
        beyond.map(|m| (m.id(), m.sequence)).collect()
    }

    /// Each purse moved on by what was executed and nothing else, and no sub-unit is made or lost.
    fn check_purses(&self, state: &impl StateStore) {
        let mut circulating = 0;
        for key in keys() {
            let key = key.public_key();
            let purse = read_purse(state, key).expect("what was written can be read");
            let mut at = protocol::request::first_state(&genesis().1, &key);
            let executed: Vec<Id> = self.2.executed.range((key, 0)..=(key, u64::MAX)).map(|(_, id)| *id).collect();
            for id in &executed {
                at = protocol::request::next_state(&at, id);
            }
            let found = purse.as_ref().map_or((0, protocol::request::first_state(&genesis().1, &key)), |p| (p.number, p.state));
            assert_eq!(found, (executed.len() as u64, at), "a purse moved on by something else than was executed");
            circulating += purse.map_or(0, |p| u128::from(p.balance));
        }
        for request in &self.2.signed {
            let held = read_purchase(state, request.id()).expect("what was written can be read");
            circulating += held.map_or(0, |p| u128::from(p.price));
        }
        let coins = read_coins(state).expect("what was written can be read");
        let (funded, redeemed) = (u128::from(coins.funded), u128::from(coins.redeemed));
        let units = u128::from(UNITS_PER_COIN);
        assert_eq!(circulating, u128::from(coins.circulating), "sub-units were made or lost");
        assert_eq!(circulating + redeemed * units, funded * units + u128::from(coins.minted), "sub-units came from nowhere");
    }

    /// Every account and the totals are what the messages give, and no coin is made or lost.
    fn check(&self, state: &impl StateStore) {
        self.check_purses(state);
        let (mut messages, mut readings_sum, mut coins) = (0, 0, 0);
        for key in keys() {
            let key = key.public_key();
            let account = read_account(state, key).expect("what was written can be read");
            let void = self.void_of(key);
            assert_eq!(account.as_ref().map_or(0, |a| a.voids), void.len() as u64);
            for (id, sequence) in void {
                assert!(is_void(state, key, sequence, &id).expect("what was written can be read"), "a void message was forgotten");
            }
            let heard = account.as_ref().filter(|a| a.messages > 0);
            let found = heard.map(|a| (a.next_sequence, a.last, a.messages, a.readings));
            let count = self.of(key).count() as u64;
            assert_eq!(found, self.of(key).last().map(|last| (count, last.id(), count, readings(self.of(key)))));
            messages += account.as_ref().map_or(0, |a| a.messages);
            readings_sum += account.as_ref().map_or(0, |a| a.readings);
            coins += read_wallet(state, key).expect("what was written can be read").map_or(0, |w| w.balance);
            let validator = read_validator(state, key).expect("what was written can be read").expect("a validator stays one");
            coins += validator.stake + validator.unbonding;
        }
        let totals = read_totals(state).expect("what was written can be read");
        assert_eq!((totals.messages, totals.readings), (messages, readings_sum));
        assert_eq!((messages, readings_sum), (self.0.len() as u64, readings(self.0.iter())));
        assert_eq!(Some(totals.supply), genesis().0.supply());
        let moved = read_coins(state).expect("what was written can be read");
        assert_eq!(totals.supply + moved.redeemed, coins + totals.burned + moved.funded, "coins were made or lost");
    }
}

fn readings<'a>(messages: impl Iterator<Item = &'a Message>) -> u64 {
    messages.map(|m| u64::from(m.body.readings())).sum()
}

/// Each operation is a byte and what it needs: 0 to 4, the next message of an issuer; 5 and 6, a message with any
/// sequence, which is void if it does not count; 7, what was applied so far becomes the state below. After each the state
/// is what plain sums say, sequences have no gap, void messages are remembered until their sequence is reached, and
/// changes are among the keys that [`touched`] announced, and that of void ones. In the end, applying all of it at once
/// gives the same state.
///
/// Returns whether a message counted.
///
/// # Panics
/// If that does not hold.
pub fn ledger_model(data: &[u8]) -> bool {
    let (mut draw, mut model, mut base) = (Draw::new(data), Model::default(), founded());
    let mut left = MESSAGES_MAX;
    while !draw.is_empty() && left > 0 {
        let mut state = Overlay::new(&base);
        let mut announced = Vec::new();
        while !draw.is_empty() && left > 0 {
            let operation = draw.byte() % 8;
            if operation == 7 {
                break;
            }
            let message = message(operation < 5, &mut model, &mut draw, &state);
            announced.extend(touched(&message));
            announced.extend(following(&state, [&message]).expect("what was written can be read"));
            announced.push(Key::Void(message.issuer, message.sequence));
            try_apply(&mut state, message, &mut model);
            model.check(&state);
            left -= 1;
        }
        let changes = state.into_changes();
        assert!(changes.keys().all(|key| announced.contains(key)), "a key was changed that was not announced");
        base.absorb(changes);
        model.check(&base);
    }
    assert_eq!(at_once(&model), base, "the state depends on where milestones end");
    !model.0.is_empty()
}

/// A message of a drawn issuer, with its next sequence or any. Its number says what it carries: modulo 5, 0 is data, 1 an order, 2
/// one of evidence, requests, certificates, an end of the epoch and votes, by turns; all else readings, and modulo 25, 3 with shares.
fn message(next: bool, model: &mut Model, draw: &mut Draw<'_>, state: &impl StateStore) -> Message {
    let key = &keys()[draw.below(ISSUERS)];
    let issuer = key.public_key();
    let expected = model.of(issuer).count() as u64;
    let sequence = if next {
        expected
    } else if draw.byte() < 128 {
        // near the next one
        expected.wrapping_add(u64::from(draw.byte())).wrapping_sub(128)
    } else {
        draw.u64()
    };
    let network = genesis().1;
    let previous = model.of(issuer).last().map_or(Unsigned::root(network), Message::id);
    let mut votes = Vec::new();
    let body = match draw.u16() {
        number if number.is_multiple_of(5) => Body::Data(number.to_be_bytes().to_vec()),
        number if number % 5 == 1 => Body::Orders(vec![order(draw, state, &model.2)]),
        number if number % 25 == 2 => Body::Evidence(Box::new(evidence(draw))),
        number if number % 25 == 7 => {
            let requests: Vec<Request> = (0..=draw.below(3)).map(|_| request(draw, state, &mut model.2)).collect();
            if draw.byte() >= 128 {
                votes.extend(requests.iter().map(Request::id));
            }
            Body::Requests(requests)
        }
        number if number % 25 == 12 && !model.2.signed.is_empty() => Body::Certificates(vec![certificate(draw, &model.2)]),
        number if number % 25 == 17 => Body::EndOfEpoch { epoch: if draw.byte() < 240 { EPOCH } else { u64::from(draw.byte()) } },
        number if number % 25 == 22 => {
            votes.extend((0..=draw.below(4)).filter_map(|_| drawn(draw, &model.2)).map(Request::id));
            Body::Data(Vec::new())
        }
        number if number % 25 == 3 => {
            let count = 1 + u32::from(draw.byte());
            let shares = vec![Share { wallet: keys()[draw.below(ISSUERS)].public_key(), count: 1 + u32::from(draw.byte()) }];
            let (root, bytes) = (Id([draw.byte(); 32]), BATCH_BYTES_MAX as u32);
            Body::Readings { root, count, bytes, span_us: (0, u64::from(number)), blob: Id([2; 32]), shares }
        }
        number => Body::Readings {
            root: Id([1; 32]),
            count: 1 + u32::from(number) % BATCH_READINGS_MAX as u32,
            bytes: BATCH_BYTES_MAX as u32,
            span_us: (0, u64::from(number)),
            blob: Id([2; 32]),
            shares: Vec::new(),
        },
    };
    votes.sort_unstable();
    votes.dedup();
    let unsigned = Unsigned { network, subnet: 0, issuer, sequence, parents: vec![previous], issued_at_ms: 0, votes, body, pow_nonce: 0 };
    unsigned.sign(key)
}

/// One of the requests so far.
fn drawn<'a>(draw: &mut Draw<'_>, spent: &'a Spent) -> Option<&'a Request> {
    let count = spent.signed.len().min(256);
    (count > 0).then(|| &spent.signed[draw.below(count)])
}

/// A request of a drawn wallet: in the purse's State, in that after the last request it signed, or in one that never was.
fn request(draw: &mut Draw<'_>, state: &impl StateStore, spent: &mut Spent) -> Request {
    let (key, other) = (&keys()[draw.below(ISSUERS)], keys()[draw.below(ISSUERS)].public_key());
    let wallet = key.public_key();
    let purse = read_purse(state, wallet).expect("what was written can be read");
    let executed = purse.map_or_else(|| (0, protocol::request::first_state(&genesis().1, &wallet)), |p| (p.number, p.state));
    let last = spent.signed.iter().rev().find(|r| r.wallet == wallet).map(|r| (r.number.saturating_add(1), r.next_state()));
    let (number, at) = match draw.byte() {
        0..=127 => executed,
        128..=239 => last.unwrap_or(executed),
        240..=247 => (executed.0, Id([9; 32])),
        _ => (draw.u64(), Id([9; 32])),
    };
    let units = if draw.byte() < 240 { u64::from(draw.u16()) + 1 } else { draw.u64().max(1) };
    let (operation, price) = match draw.below(4) {
        0 | 1 => (Operation::Transfer { to: other }, units),
        2 => (Operation::Buy { service: service_id(&other, &service_name()), argument: Vec::new() }, units),
        _ => (Operation::Redeem, (1 + units % 4) * UNITS_PER_COIN),
    };
    let epoch = if draw.byte() < 240 { EPOCH } else { u64::from(draw.byte()) };
    let draft = Draft { state: at, number, epoch, operation, price, from_ms: 0, until_ms: 1 };
    let request = draft.sign(&genesis().1, key, 0, 1).expect("it can be encoded").expect("no work is asked for");
    spent.signed.push(request.clone());
    request
}

fn service_name() -> Name {
    Name::new("espresso").expect("a name")
}

/// A certificate with votes of drawn members; one in eight is tampered with. There must be a request.
fn certificate(draw: &mut Draw<'_>, spent: &Spent) -> Certificate {
    let request = drawn(draw, spent).expect("a request was signed").clone();
    let (id, bits, tampered) = (request.id(), draw.byte(), draw.byte() < 32);
    let (genesis, network) = genesis();
    let mut votes: Vec<CastVote> = Vec::new();
    for (place, member) in (0u8..).zip(genesis.committee.validators()) {
        let key = keys().iter().find(|k| k.public_key() == member.key).expect("a member's key");
        if (bits >> place) & 1 == 0 {
            continue;
        }
        let (parents, body) = (vec![Unsigned::root(*network)], Body::Data(Vec::new()));
        let (issuer, votes_for) = (member.key, vec![id]);
        let unsigned =
            Unsigned { network: *network, subnet: 0, issuer, sequence: 0, parents, issued_at_ms: 0, votes: votes_for, body, pow_nonce: 0 };
        votes.extend(unsigned.sign(key).cast_vote(&id, place));
    }
    if tampered && let Some(first) = votes.first_mut() {
        first.content = Id([7; 32]);
    }
    Certificate { request, votes }
}

/// An order of a drawn wallet, which may or may not be able to give it.
fn order(draw: &mut Draw<'_>, state: &impl StateStore, spent: &Spent) -> Order {
    let wallet = &keys()[draw.below(ISSUERS)];
    let validator = keys()[draw.below(ISSUERS)].public_key();
    let held = read_wallet(state, wallet.public_key()).expect("what was written can be read");
    let current = held.map_or_else(|| protocol::order::first_state(&genesis().1, &wallet.public_key()), |w| w.state);
    // one in sixteen is of another State
    let state = if draw.byte() < 16 { Id([9; 32]) } else { current };
    let amount = if draw.byte() < 240 { u64::from(draw.u16()) * 31 + 1 } else { draw.u64().max(1) };
    let action = match draw.below(8) {
        0 => Action::Register { name: Name::new("again").expect("a name"), address: None },
        1 => Action::Retire,
        2 => Action::Delegate { validator, amount },
        3 => Action::Undelegate { validator, amount },
        4 => Action::Withdraw { validator },
        5 => Action::Fund { amount },
        6 => {
            let (kind, silence) = (ServiceKind::Data(Id([5; 32])), if amount % 2 == 0 { Silence::Pay } else { Silence::Refund });
            let terms = Terms { kind, price: amount, report_ms: 0, silence };
            Action::Service { name: service_name(), terms: (draw.byte() < 224).then_some(terms) }
        }
        _ => {
            let purchase = drawn(draw, spent).map_or(Id([8; 32]), Request::id);
            Action::Settle { purchase, outcome: [Outcome::Delivered, Outcome::Failed, Outcome::Due][draw.below(3)] }
        }
    };
    Order::sign(&genesis().1, wallet, state, action)
}

/// Two messages of one issuer and sequence; now and then the same one twice, which proves nothing.
fn evidence(draw: &mut Draw<'_>) -> Evidence {
    let (key, sequence) = (&keys()[draw.below(ISSUERS)], u64::from(draw.byte()));
    let draft = |time: u64| {
        let (network, issuer) = (genesis().1, key.public_key());
        let (parents, body) = (vec![Unsigned::root(network)], Body::Data(vec![1]));
        Unsigned { network, subnet: 0, issuer, sequence, parents, issued_at_ms: time, votes: Vec::new(), body, pow_nonce: 0 }
    };
    let other = u64::from(draw.byte() % 4);
    Evidence::messages(draft(0).sign(key).head(), draft(other).sign(key).head())
}

/// Applies a message: it counts exactly if its sequence is its issuer's next one.
fn try_apply(state: &mut Overlay<'_, MemoryStore>, message: Message, model: &mut Model) {
    let expected = model.of(message.issuer).count() as u64;
    match apply_with_effects(state, &rules(), &message) {
        Ok(effects) => {
            assert_eq!(message.sequence, expected, "a message out of order counted");
            for done in effects.executed {
                let before = model.2.executed.insert((done.wallet, done.number), done.request);
                assert_eq!(before, None, "a State was spent twice");
            }
            model.0.push(message);
        }
        Err(why) => {
            let (issuer, sequence) = (message.issuer, message.sequence);
            assert_ne!(sequence, expected, "the next message did not count");
            assert_eq!(why, ApplyError::OutOfOrder { issuer, sequence, expected });
            remember(state, &rules(), [&message]).expect("what was written can be read");
            model.1.push((model.0.len(), message));
        }
    }
}

/// The state that the messages give, applied to nothing in one go.
fn at_once(model: &Model) -> MemoryStore {
    let founded = founded();
    let mut state = Overlay::new(&founded);
    let void = |state: &mut Overlay<'_, MemoryStore>, before: usize| {
        let lost = model.1.iter().filter(|(counted, _)| *counted == before).map(|(_, message)| message);
        remember(state, &rules(), lost).expect("what was written can be read");
    };
    void(&mut state, 0);
    for (before, message) in (1..).zip(&model.0) {
        apply(&mut state, &rules(), message).expect("it counted before");
        void(&mut state, before);
    }
    let changes = state.into_changes();
    let mut store = founded;
    store.absorb(changes);
    store
}
