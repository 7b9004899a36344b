//! The state machine of the ledger against sums.

use crate::draw::Draw;
use ledger::{Account, ApplyError, MemoryStore, Overlay, StateStore, Totals, apply, read_account, read_totals, touched};
use protocol::limits::{BATCH_BYTES_MAX, BATCH_READINGS_MAX};
use protocol::{Body, Id, Message, NetworkId, PublicKey, SecretKey, Unsigned};
use std::sync::OnceLock;

const ISSUERS: usize = 4;
/// Messages of one input: each is signed, which is slow.
const MESSAGES_MAX: usize = 48;
const NETWORK: NetworkId = NetworkId([7; 32]);

/// The issuers' keys.
fn keys() -> &'static [SecretKey] {
    static KEYS: OnceLock<Vec<SecretKey>> = OnceLock::new();
    KEYS.get_or_init(|| (0..ISSUERS).map(|n| SecretKey::from_seed(&[0x40 + n as u8; 32])).collect())
}

/// What the state must hold: all that counted, in order.
#[derive(Default)]
struct Model(Vec<Message>);

impl Model {
    fn of(&self, issuer: PublicKey) -> impl Iterator<Item = &Message> {
        self.0.iter().filter(move |m| m.issuer == issuer)
    }

    fn account(&self, issuer: PublicKey) -> Option<Account> {
        let last = self.of(issuer).last()?.id();
        let messages = self.of(issuer).count() as u64;
        Some(Account { next_sequence: messages, last, messages, readings: readings(self.of(issuer)) })
    }

    /// Every account and the totals are what the messages give; the totals are the sums of the accounts.
    fn check(&self, state: &impl StateStore) {
        let (mut messages, mut readings_sum) = (0, 0);
        for key in keys() {
            let account = read_account(state, key.public_key()).expect("what was written can be read");
            assert_eq!(account, self.account(key.public_key()));
            messages += account.as_ref().map_or(0, |a| a.messages);
            readings_sum += account.as_ref().map_or(0, |a| a.readings);
        }
        let totals = read_totals(state).expect("what was written can be read");
        assert_eq!(totals, Totals { messages, readings: readings_sum });
        assert_eq!(totals, Totals { messages: self.0.len() as u64, readings: readings(self.0.iter()) });
    }
}

fn readings<'a>(messages: impl Iterator<Item = &'a Message>) -> u64 {
    messages.map(|m| u64::from(m.body.readings())).sum()
}

/// Each operation is a byte and what it needs: 0 to 4, the next message of an issuer; 5 and 6, a message with any
/// sequence, which may not count; 7, what was applied so far becomes the state below. After each the state is what
/// plain sums say, sequences have no gap, a refused message changed nothing, and changes are among the keys that
/// [`touched`] announced. In the end, applying all of it at once gives the same state.
///
/// Returns whether a message counted.
///
/// # Panics
/// If that does not hold.
pub fn ledger_model(data: &[u8]) -> bool {
    let (mut draw, mut model, mut base) = (Draw::new(data), Model::default(), MemoryStore::default());
    let mut left = MESSAGES_MAX;
    while !draw.is_empty() && left > 0 {
        let mut state = Overlay::new(&base);
        let mut announced = Vec::new();
        while !draw.is_empty() && left > 0 {
            let operation = draw.byte() % 8;
            if operation == 7 {
                break;
            }
            let message = message(operation < 5, &model, &mut draw);
            announced.extend(touched(&message));
            try_apply(&mut state, message, &mut model);
            model.check(&state);
            left -= 1;
        }
        let changes = state.into_changes();
        assert!(changes.keys().all(|key| announced.contains(key)), "a key was changed that was not announced");
        changes.into_iter().for_each(|(key, value)| base.set(key, value));
        model.check(&base);
    }
    assert_eq!(at_once(&model.0), base, "the state depends on where milestones end");
    !model.0.is_empty()
}

/// A message of a drawn issuer, with its next sequence or any.
fn message(next: bool, model: &Model, draw: &mut Draw<'_>) -> Message {
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
    let previous = model.of(issuer).last().map_or(Unsigned::root(NETWORK), Message::id);
    let body = match draw.u16() {
        number if number.is_multiple_of(4) => Body::Data(number.to_be_bytes().to_vec()),
        number => Body::Readings {
            root: Id([1; 32]),
            count: 1 + u32::from(number) % BATCH_READINGS_MAX as u32,
            bytes: BATCH_BYTES_MAX as u32,
            span_us: (0, u64::from(number)),
            blob: Id([2; 32]),
            shares: Vec::new(),
        },
    };
    let unsigned = Unsigned {
        network: NETWORK,
        subnet: 0,
        issuer,
        sequence,
        parents: vec![previous],
        issued_at_ms: 0,
        votes: Vec::new(),
        body,
        pow_nonce: 0,
    };
    unsigned.sign(key)
}

/// Applies a message: it counts exactly if its sequence is its issuer's next one.
fn try_apply(state: &mut Overlay<'_, MemoryStore>, message: Message, model: &mut Model) {
    let expected = model.of(message.issuer).count() as u64;
    match apply(state, &message) {
        Ok(()) => {
            assert_eq!(message.sequence, expected, "a message out of order counted");
            model.0.push(message);
        }
        Err(why) => {
            let (issuer, sequence) = (message.issuer, message.sequence);
            assert_ne!(sequence, expected, "the next message did not count");
            assert_eq!(why, ApplyError::OutOfOrder { issuer, sequence, expected });
        }
    }
}

/// The state that the messages give, applied to nothing in one go.
fn at_once(messages: &[Message]) -> MemoryStore {
    let nothing = MemoryStore::default();
    let mut state = Overlay::new(&nothing);
    for message in messages {
        apply(&mut state, message).expect("it counted before");
    }
    let mut store = MemoryStore::default();
    state.into_changes().into_iter().for_each(|(key, value)| store.set(key, value));
    store
}
