//! Where validators can be reached: told to the network as an epoch begins.

use super::actor::{Core, CoreError};
use crate::state::StateError;
use crate::store::Disk;
use commonware_runtime::Spawner;
use ledger::{Key, Validator};
use protocol::PublicKey;
use std::cmp::Reverse;
use std::collections::BTreeSet;

impl<E: Disk + Spawner> Core<E> {
    /// Tells which validators registered an address: the committee first, then the `previous` one, then candidates by
    /// falling stake. Others need not be reached.
    pub(super) async fn tell_addresses(&mut self, previous: &[PublicKey]) -> Result<(), CoreError> {
        let state = self.state.read(self.executed.state.as_ref(), BTreeSet::from([Key::Candidates])).await?;
        let candidates = ledger::read_candidates(&state).map_err(StateError::from)?.0;
        let keys: BTreeSet<PublicKey> = self.committee.iter().chain(previous).chain(&candidates).copied().collect();
        let state = self.state.read(self.executed.state.as_ref(), keys.iter().map(|key| Key::Validator(*key)).collect()).await?;
        let mut known: Vec<(PublicKey, Validator)> = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(validator) = ledger::read_validator(&state, key).map_err(StateError::from)? {
                known.push((key, validator));
            }
        }
        let rank = |key: &PublicKey| match (self.committee.binary_search(key).is_ok(), previous.contains(key)) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        };
        known.sort_by_key(|(key, validator)| (rank(key), Reverse(validator.stake), *key));
        let list = known.into_iter().filter_map(|(key, validator)| Some((key, validator.address?))).collect();
        (self.outlets.registered)(list);
        Ok(())
    }
}
