//! Misbehaviour: what proves it is put on the ledger, which punishes it.

use super::actor::{Core, CoreError};
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
        while let Some(evidence) = self.accusations.waiting.pop_front() {
            let offence = match evidence.verify(&self.network, self.genesis.subnet) {
                Ok(offence) => offence,
                Err(why) => {
                    debug!(%why, "evidence that proves nothing");
                    continue;
                }
            };
            let state = self.state.read(self.executed.state.as_ref(), BTreeSet::from([Key::Offence(offence.id)])).await?;
            let known = ledger::is_punished(&state, offence.id);
            if known || offence.offender == self.me || !self.accusations.accused.insert(offence.id) {
                continue;
            }
            if self.accusations.accused.len() > ACCUSED_MAX {
                self.accusations.accused.pop_first();
            }
            warn!(offender = %offence.offender, "accusing a validator of equivocation");
            let (reply, mut answer) = oneshot::channel();
            self.issue(Body::Evidence(Box::new(evidence.clone())), None, reply).await?;
            if let Ok(Err(why)) = answer.try_recv() {
                debug!(%why, "evidence waits to be issued");
                self.accusations.accused.remove(&offence.id);
                self.accusations.waiting.push_front(evidence);
                return Ok(());
            }
        }
        Ok(())
    }
}
