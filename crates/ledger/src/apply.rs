//! Applying one message.

use crate::account::{Account, Totals};
use crate::store::{Key, Overlay, StateStore};
use protocol::{Decode, DecodeError, Message, PublicKey};
use thiserror::Error;

/// Why a message could not be applied. Either is a fault of this node, never of the message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ApplyError {
    /// A stored value cannot be read: rebuild the state from the milestones.
    #[error("the state under {key:?} is damaged: {why}")]
    Corrupt {
        /// Which value.
        key: Key,
        /// Why it cannot be read.
        why: DecodeError,
    },
    /// The caller passed a message that does not count.
    #[error("message {sequence} of {issuer} is not its next one ({expected})")]
    OutOfOrder {
        /// Who issued it.
        issuer: PublicKey,
        /// The message's sequence.
        sequence: u64,
        /// The sequence that would count.
        expected: u64,
    },
}

/// The keys whose values [`apply`] reads for a message: a store that cannot answer at once brings them first.
#[must_use]
pub fn touched(message: &Message) -> Vec<Key> {
    vec![Key::Account(message.issuer), Key::Totals]
}

fn read<T: Decode>(state: &impl StateStore, key: Key) -> Result<Option<T>, ApplyError> {
    state.get(&key).map(|bytes| T::decode(&bytes).map_err(|why| ApplyError::Corrupt { key, why })).transpose()
}

/// An issuer's account, if a message of it ever counted.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_account(state: &impl StateStore, issuer: PublicKey) -> Result<Option<Account>, ApplyError> {
    read(state, Key::Account(issuer))
}

/// The network's totals.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn read_totals(state: &impl StateStore) -> Result<Totals, ApplyError> {
    Ok(read(state, Key::Totals)?.unwrap_or_default())
}

/// Applies a message that counts.
///
/// # Errors
/// [`ApplyError`]; the overlay is then unchanged.
pub fn apply<S: StateStore>(state: &mut Overlay<'_, S>, message: &Message) -> Result<(), ApplyError> {
    let readings = u64::from(message.body.readings());
    let before = read_account(state, message.issuer)?;
    let expected = before.as_ref().map_or(0, |a| a.next_sequence);
    if message.sequence != expected {
        return Err(ApplyError::OutOfOrder { issuer: message.issuer, sequence: message.sequence, expected });
    }
    let totals = read_totals(state)?;
    let (messages, earlier) = before.map_or((0, 0), |a| (a.messages, a.readings));
    let account =
        Account { next_sequence: expected.saturating_add(1), last: message.id(), messages: messages + 1, readings: earlier + readings };
    state.set(Key::Account(message.issuer), &account);
    state.set(Key::Totals, &Totals { messages: totals.messages + 1, readings: totals.readings + readings });
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use protocol::{Body, Id, NetworkId, SecretKey, Unsigned};

    fn message(seed: u8, sequence: u64, previous: Id) -> Message {
        let key = SecretKey::from_seed(&[seed; 32]);
        let unsigned = Unsigned {
            network: NetworkId([7; 32]),
            subnet: 0,
            issuer: key.public_key(),
            sequence,
            parents: vec![previous],
            issued_at_ms: 1,
            votes: vec![],
            body: Body::Data(vec![1]),
            pow_nonce: 0,
        };
        unsigned.sign(&key)
    }

    #[test]
    fn accounts_follow_their_issuers_and_totals_follow_all() {
        let base = MemoryStore::default();
        let mut state = Overlay::new(&base);
        let a0 = message(1, 0, Id([7; 32]));
        let a1 = message(1, 1, a0.id());
        let b0 = message(2, 0, Id([7; 32]));
        for m in [&a0, &b0, &a1] {
            apply(&mut state, m).unwrap();
        }
        let account = read_account(&state, a0.issuer).unwrap().unwrap();
        assert_eq!(account, Account { next_sequence: 2, last: a1.id(), messages: 2, readings: 0 });
        assert_eq!(read_totals(&state).unwrap(), Totals { messages: 3, readings: 0 });
        assert_eq!(state.into_changes().len(), 3);
    }

    #[test]
    fn a_message_out_of_order_changes_nothing() {
        let base = MemoryStore::default();
        let mut state = Overlay::new(&base);
        let skipped = message(1, 4, Id([7; 32]));
        assert!(matches!(apply(&mut state, &skipped), Err(ApplyError::OutOfOrder { expected: 0, .. })));
        assert!(state.into_changes().is_empty());
    }

    #[test]
    fn a_damaged_value_is_named() {
        let mut base = MemoryStore::default();
        let m = message(1, 0, Id([7; 32]));
        base.set(Key::Account(m.issuer), vec![1, 2, 3]);
        let mut state = Overlay::new(&base);
        assert!(matches!(apply(&mut state, &m), Err(ApplyError::Corrupt { key: Key::Account(_), .. })));
    }
}
