//! What light nodes ask for: proofs of the state, and the newest certified milestone.

use super::actor::{Core, CoreError};
use super::queries::CERTIFICATE_WITHIN;
use crate::light::{HANDOVERS_AT_ONCE_MAX, Head};
use crate::proof::{ProofError, StateProof};
use crate::store::Disk;
use crate::wire;
use commonware_consensus::types::Height;
use commonware_runtime::Spawner;
use ledger::Key;
use protocol::receipt::Anchor;

impl<E: Disk + Spawner> Core<E> {
    /// A value of the state as applied. The milestone after the one it is applied up to certifies it.
    pub(super) async fn state_proof(&self, key: Key) -> Result<Result<StateProof, ProofError>, CoreError> {
        let height = self.state.height().saturating_add(1);
        let Some((value, proof)) = self.state.prove(key).await? else {
            return Ok(Err(ProofError::Absent { height: self.state.height() }));
        };
        let Some(certified) = self.header(height).await? else { return Ok(Err(ProofError::Uncertified(height))) };
        let Some((at, finalization)) = self.certificate(height).await? else { return Ok(Err(ProofError::Uncertified(height))) };
        let anchor = match at == height {
            true => None,
            false => {
                let later = self.header(at).await?.ok_or(CoreError::Inconsistent("a certified milestone is missing"))?;
                Some(Anchor { history_path: self.history_path(height, at).await?, milestone: later })
            }
        };
        Ok(match self.handovers(finalization.epoch).await? {
            Ok(handovers) => Ok(StateProof { key, value, proof, certified, anchor, finalization, handovers }),
            Err(epoch) => Err(ProofError::Handover(epoch)),
        })
    }

    /// The newest milestone with a certificate here, and what leads from `from_epoch` towards its committee.
    pub(super) async fn head(&self, from_epoch: u64) -> Result<Option<Head>, CoreError> {
        let top = self.executed_height();
        for height in (top.saturating_sub(CERTIFICATE_WITHIN).max(1)..=top).rev() {
            let Some(certificate) = self.chain.get_finalization(Height::new(height)).await else { continue };
            let finalization = wire::finalization(&certificate).ok_or(CoreError::Inconsistent("a stored certificate cannot be read"))?;
            let milestone = self.header(height).await?.ok_or(CoreError::Inconsistent("a certified milestone is missing"))?;
            let mut handovers = Vec::new();
            for epoch in from_epoch..milestone.epoch.min(from_epoch.saturating_add(HANDOVERS_AT_ONCE_MAX)) {
                let Some(handover) = self.handover(epoch).await? else { return Ok(None) };
                handovers.push(handover);
            }
            return Ok(Some(Head { milestone, finalization, handovers }));
        }
        Ok(None)
    }
}
