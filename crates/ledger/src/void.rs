//! What the state remembers of void messages: those that no sequence settles.
//!
//! A message is settled, so that no later milestone holds it, if its issuer has gone past its sequence, which the account
//! says; or if a milestone found it void beyond that, as the end of a branch that lost. The latter are listed here, by
//! issuer and sequence. So which messages are new to a milestone follows from the messages and the state alone, never
//! from what a node happens to remember. The rules are FIN-21 to FIN-24 of `docs/spec/finality.md`.
//!
//! ```text
//! counts       a0 ◀── a1                       next sequence 2
//! void               ╲  a1' ◀── a2' ◀── a3'     a1' is settled by its sequence; 2: {a2'} and 3: {a3'} are remembered
//!                                              until messages of sequence 2 and 3 count
//! ```
//! An account counts what is remembered of its issuer, so an honest one costs no look-up. An issuer of which more would
//! be remembered than there is room for is *barred*: its next sequence is 2^64 − 1, and everything of it is settled.

use crate::account::Account;
use crate::read::{ApplyError, read_account, read_void};
use crate::rules::Rules;
use crate::store::{Key, Overlay, StateStore};
use protocol::codec::{Reader, put_varint};
use protocol::limits::OWN_UNCONFIRMED_MAX;
use protocol::{Decode, DecodeError, Encode, Id, Message, PublicKey};

/// Void messages of one issuer and sequence that are remembered.
pub const VOID_IDS_MAX: usize = 1_024;
/// Void messages of one issuer that are remembered.
pub const VOIDS_MAX: u64 = 16_384;
// a node that came back from an old copy of its disk may lose all that it had unconfirmed: it is not barred for that
const _: () = assert!(VOIDS_MAX > OWN_UNCONFIRMED_MAX);

/// Void messages of one issuer and sequence.
/// ```text
/// 1 ≤ n ≤ 1024 LEB128 | n × id [32], strictly ascending
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoidIds(pub Vec<Id>);

impl Encode for VoidIds {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        self.0.iter().for_each(|id| id.encode_to(out));
    }
}

impl Decode for VoidIds {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let what = "the void messages of a sequence";
        let n = reader.length(VOID_IDS_MAX, 32, what)?;
        let ids = (0..n).map(|_| Id::decode_from(reader)).collect::<Result<Vec<_>, _>>()?;
        match !ids.is_empty() && ids.is_sorted_by(|a, b| a < b) {
            true => Ok(Self(ids)),
            false => Err(DecodeError::NonCanonical(what)),
        }
    }
}

/// The keys that [`crate::apply`] and [`remember`] read for these messages beside those that [`crate::touched`] names: a
/// store that cannot answer at once brings first the accounts of their issuers, then these. None where nothing is
/// remembered of an issuer.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn remembered<'a>(state: &impl StateStore, messages: impl IntoIterator<Item = &'a Message>) -> Result<Vec<Key>, ApplyError> {
    let mut keys = Vec::new();
    for message in messages {
        if read_account(state, message.issuer)?.is_some_and(|account| account.voids > 0) {
            keys.push(Key::Void(message.issuer, message.sequence));
        }
    }
    Ok(keys)
}

/// Whether the state remembers that a message is void. A void one whose sequence its issuer has gone past is not
/// remembered: see [`Account::has_passed`].
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn is_void(state: &impl StateStore, issuer: PublicKey, sequence: u64, id: &Id) -> Result<bool, ApplyError> {
    Ok(read_void(state, issuer, sequence)?.0.binary_search(id).is_ok())
}

/// Remembers the messages that a milestone found void, in its order, after [applying](crate::apply) those that count.
/// Those whose issuer has gone past their sequence need no remembering. An issuer with too many is barred.
///
/// # Errors
/// [`ApplyError::Corrupt`].
pub fn remember<'a, S: StateStore>(
    state: &mut Overlay<'_, S>,
    rules: &Rules<'_>,
    void: impl IntoIterator<Item = &'a Message>,
) -> Result<(), ApplyError> {
    for message in void {
        let (issuer, sequence) = (message.issuer, message.sequence);
        let mut account = read_account(state, issuer)?.unwrap_or_else(|| Account::unheard(rules.network));
        if account.has_passed(sequence) {
            continue;
        }
        let VoidIds(mut ids) = match account.voids {
            0 => VoidIds::default(),
            _ => read_void(state, issuer, sequence)?,
        };
        let Err(at) = ids.binary_search(&message.id()) else { continue };
        if ids.len() >= VOID_IDS_MAX || account.voids >= VOIDS_MAX {
            account.bar();
        } else {
            ids.insert(at, message.id());
            state.set(Key::Void(issuer, sequence), &VoidIds(ids));
            account.voids += 1;
        }
        state.set(Key::Account(issuer), &account);
    }
    Ok(())
}

/// A message of this sequence counts: its rivals that were found void before are settled by their sequence from now on.
/// `voids` is how many are remembered of the issuer; gives how many are left.
pub(crate) fn pass<S: StateStore>(state: &mut Overlay<'_, S>, issuer: PublicKey, sequence: u64, voids: u64) -> Result<u64, ApplyError> {
    if voids == 0 {
        return Ok(0);
    }
    let passed = read_void(state, issuer, sequence)?.0.len() as u64;
    if passed > 0 {
        state.remove(Key::Void(issuer, sequence));
    }
    Ok(voids.saturating_sub(passed))
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_void_messages_has_one_form() {
        let ids: Vec<Id> = (1..=3).map(|n| Id([n; 32])).collect();
        let list = VoidIds(ids.clone());
        assert_eq!(VoidIds::decode(&list.encode()), Ok(list));
        for bad in [vec![], vec![ids[1], ids[0]], vec![ids[0], ids[0]]] {
            assert!(VoidIds::decode(&VoidIds(bad).encode()).is_err());
        }
        let full: Vec<Id> = (0..=VOID_IDS_MAX as u64).map(|n| Id::hash(&[&n.to_be_bytes()])).collect();
        let mut sorted = full;
        sorted.sort_unstable();
        assert!(VoidIds::decode(&VoidIds(sorted.clone()).encode()).is_err());
        sorted.pop();
        assert!(VoidIds::decode(&VoidIds(sorted).encode()).is_ok());
    }
}
