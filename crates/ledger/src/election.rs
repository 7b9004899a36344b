//! Elections: who signs in the next epoch. The rules are E-10 to E-13 of `docs/spec/epochs.md`.

use crate::read::{ApplyError, read_account, read_candidates, read_epoch, read_validator};
use crate::rules::Rules;
use crate::store::{Key, Overlay, StateStore};
use crate::validator::Epoch;
use protocol::PublicKey;
use std::cmp::Reverse;

/// The keys whose values [`elect`] reads beside [`Key::Candidates`]: a store that cannot answer at once brings first
/// the candidates ([`read_candidates`]), then these.
#[must_use]
pub fn electing(candidates: &[PublicKey]) -> Vec<Key> {
    candidates.iter().flat_map(|c| [Key::Validator(*c), Key::Account(*c)]).chain([Key::Candidates, Key::Epoch]).collect()
}

/// The committee of the epoch after `rules.epoch`, in order of the keys: of those who stand for election and are not
/// jailed the ones with the greatest stake; of equal stakes the smaller key. Who is not in the present committee must
/// have shown in this epoch that it is there, by a message that counted: stake alone must not seat nodes that do not
/// run, for a committee of those would confirm nothing. The present committee if there is nobody.
///
/// # Errors
/// [`ApplyError`] if the state is damaged, or a value was not brought along.
pub fn elect(state: &impl StateStore, rules: &Rules<'_>) -> Result<Vec<PublicKey>, ApplyError> {
    let (mut standing, present) = (Vec::new(), read_epoch(state)?.committee);
    for key in read_candidates(state)?.0 {
        let validator = read_validator(state, key)?.ok_or(ApplyError::Missing(Key::Validator(key)))?;
        let awake = present.contains(&key) || read_account(state, key)?.is_some_and(|a| a.messages > 0 && a.epoch == rules.epoch);
        if awake && validator.stands(rules.parameters.stake_min) && validator.jailed_until <= rules.epoch {
            standing.push((Reverse(validator.stake), key));
        }
    }
    if standing.is_empty() {
        return Ok(present);
    }
    standing.sort_unstable();
    standing.truncate(usize::from(rules.parameters.committee_max));
    let mut committee: Vec<PublicKey> = standing.into_iter().map(|(_, key)| key).collect();
    committee.sort_unstable();
    Ok(committee)
}

/// Ends `rules.epoch`: from now on it is the next one, with this committee.
pub fn close_epoch<S: StateStore>(state: &mut Overlay<'_, S>, rules: &Rules<'_>, committee: &[PublicKey]) {
    state.set(Key::Epoch, &Epoch { epoch: rules.epoch.saturating_add(1), committee: committee.to_vec() });
}
