//! Misbehaviour: what proves it is put on the ledger, which punishes it.

use super::actor::{Core, CoreError};
use super::issuing::unix_ms;
use crate::state::StateError;
use crate::store::Disk;
use commonware_runtime::Spawner;
use commonware_utils::channel::oneshot;
use dag::Equivocation;
use ledger::Key;
use protocol::{Body, Evidence, Id};
use std::collections::{BTreeSet, VecDeque};
use tracing::{debug, warn};

/// Proofs that wait to be issued. Offenders beyond that are proved when they offend again.
const ACCUSATIONS_MAX: usize = 64;
/// A node whose last milestone is older than this is catching up, in milliseconds.
pub(super) const CAUGHT_UP_MS: u64 = 60_000;
/// Offences remembered as accused already.
const ACCUSED_MAX: usize = 4096;

/// Proofs of misbehaviour that this node has met.
#[derive(Default)]
pub(super) struct Accusations {
    waiting: VecDeque<Evidence>,
    /// Offences this node has accused somebody of, so that it does so once.
    accused: BTreeSet<Id>,
}

impl Accusations {
    /// Takes a proof up, verified or not.
    pub(super) fn hear(&mut self, evidence: Evidence) {
        if self.waiting.len() < ACCUSATIONS_MAX {
            self.waiting.push_back(evidence);
        }
    }
}

impl<E: Disk + Spawner> Core<E> {
    /// Takes up what proves that an issuer signed two messages of one sequence.
    pub(super) async fn prove(&mut self, found: &Equivocation) -> Result<(), CoreError> {
        if let (Some(first), Some(second)) = (self.find(found.first).await?, self.find(found.second).await?) {
            self.accusations.hear(Evidence::messages(first.head(), second.head()));
        }
        Ok(())
    }

    /// Issues what proves misbehaviour and is not on the ledger yet.
    pub(super) async fn accuse(&mut self) -> Result<(), CoreError> {
        if !self.accusations.waiting.is_empty() && !self.may_issue(self.me).await? {
            self.accusations.waiting.clear();
        }
        // one at a time, and none before this node has caught up: until then it may not know its own last message
        let now_ms = unix_ms(self.context.current());
        if now_ms.saturating_sub(self.executed.time_ms) > CAUGHT_UP_MS {
            return Ok(());
        }
        if let Some(evidence) = self.accusations.waiting.pop_front() {
            let offence = match evidence.verify(&self.network, self.genesis.subnet) {
                Ok(offence) => offence,
                Err(why) => {
                    debug!(%why, "evidence that proves nothing");
                    return Ok(());
                }
            };
            let keys = BTreeSet::from([Key::Offence(offence.id), Key::Validator(offence.offender)]);
            let state = self.state.read(self.executed.state.as_ref(), keys).await?;
            // whoever has nothing at stake has nothing to lose
            let staked = ledger::read_validator(&state, offence.offender).map_err(StateError::from)?;
            let known = ledger::is_punished(&state, offence.id) || staked.is_none_or(|v| v.stake == 0 && v.unbonding == 0);
            if known || offence.offender == self.me || !self.accusations.accused.insert(offence.id) {
                return Ok(());
            }
            if self.accusations.accused.len() > ACCUSED_MAX {
                self.accusations.accused.pop_first();
            }
            let (reply, mut answer) = oneshot::channel();
            self.issue(Body::Evidence(Box::new(evidence.clone())), None, reply).await?;
            if let Ok(Err(why)) = answer.try_recv() {
                debug!(%why, "evidence waits to be issued");
                self.accusations.accused.remove(&offence.id);
                self.accusations.waiting.push_front(evidence);
                return Ok(());
            }
            warn!(offender = %offence.offender, "accused a validator of equivocation");
        }
        Ok(())
    }
}
