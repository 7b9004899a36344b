//! Certificates that the ledger does not know of, and the end of an epoch (WAL-23, WAL-30).
//!
//! ```text
//! closing − lead            closing
//! ────┬──────────────────────┬───▶ milestones
//!     └ certificates, then EndOfEpoch: needed of more than two thirds
//! ```

use crate::core::actor::{Core, CoreError};
use crate::store::Disk;
use commonware_runtime::Spawner;
use commonware_utils::channel::oneshot;
use protocol::limits::{CERTIFICATES_BYTES_MAX, CERTIFICATES_MAX};
use protocol::{Body, Certificate, Encode as _, Id};
use tracing::debug;

/// Milestones after which a certificate that was not executed is put on the ledger by the first member whose turn it is,
const CERTIFICATE_AGE: u64 = 64;
/// and after how many more by the next one.
const CERTIFICATE_TURN: u64 = 4;
/// The same in milliseconds of the milestones' time: on an idle network there is none but the heartbeat.
const CERTIFICATE_AGE_MS: u64 = 10_000;
const CERTIFICATE_TURN_MS: u64 = 1_000;
/// The same age once this node has ended the epoch.
const LATE_CERTIFICATE_AGE: u64 = 2;
/// Milestones before the closing one at which members end an epoch, at most.
const LEAD_MAX: u64 = 8;
/// Messages with certificates that are issued at once.
const CERTIFICATE_MESSAGES_MAX: usize = 64;

/// How many milestones before the closing one members end an epoch of this many.
pub(super) fn lead(epoch_milestones: u64) -> u64 {
    (epoch_milestones / 4).clamp(1, LEAD_MAX)
}

/// Whether a certificate is to be put on the ledger by the member with this seat of `members`.
fn is_due(id: &Id, seat: Option<u8>, members: usize, (age, age_ms): (u64, u64), ended: bool) -> bool {
    if ended {
        return age >= LATE_CERTIFICATE_AGE;
    }
    let members = (members as u64).max(1);
    let first = u64::from(id.0.first().copied().unwrap_or(0)) % members;
    // who is no member comes after all of them
    let turn = seat.map_or(members, |seat| (u64::from(seat) + first) % members);
    let old = age_ms >= CERTIFICATE_AGE_MS.saturating_add(turn.saturating_mul(CERTIFICATE_TURN_MS));
    // a single milestone may not have the votes yet
    age >= CERTIFICATE_AGE.saturating_add(turn.saturating_mul(CERTIFICATE_TURN)) || (age > 1 && old)
}

impl<E: Disk + Spawner> Core<E> {
    /// A milestone was executed: puts certificates on the ledger that it should have executed long ago.
    pub(in crate::core) async fn present_certificates(&mut self) -> Result<(), CoreError> {
        let (height, time_ms) = (self.executed.height, self.executed.time_ms);
        let (seat, members, ended) = (self.fast.seat(), self.fast.now.members(), self.fast.ended);
        let due: Vec<Id> = self
            .fast
            .now
            .open()
            .filter(|(id, spend)| {
                let age = height.saturating_sub(spend.complete_at.unwrap_or(height));
                let age_ms = time_ms.saturating_sub(spend.complete_ms);
                !spend.presented && is_due(id, seat, members, (age, age_ms), ended)
            })
            .map(|(id, _)| *id)
            .collect();
        self.present(due).await
    }

    /// Puts certificates on the ledger, as many as fit into a few messages.
    async fn present(&mut self, due: Vec<Id>) -> Result<(), CoreError> {
        let (mut together, mut ids, mut bytes, mut messages): (Vec<Certificate>, Vec<Id>, usize, usize) = (Vec::new(), Vec::new(), 0, 0);
        for id in due {
            let Some(certificate) = self.assemble(&id).await? else { continue };
            let size = certificate.encode().len();
            if together.len() == CERTIFICATES_MAX || bytes + size > CERTIFICATES_BYTES_MAX {
                if messages == CERTIFICATE_MESSAGES_MAX {
                    break;
                }
                messages += 1;
                if !self.issue_certificates(std::mem::take(&mut together), std::mem::take(&mut ids)).await? {
                    return Ok(());
                }
                bytes = 0;
            }
            bytes += size;
            together.push(certificate);
            ids.push(id);
        }
        self.issue_certificates(together, ids).await?;
        Ok(())
    }

    /// Gives whether they could be issued: if not, no others need be assembled.
    async fn issue_certificates(&mut self, together: Vec<Certificate>, ids: Vec<Id>) -> Result<bool, CoreError> {
        if together.is_empty() {
            return Ok(true);
        }
        let (reply, mut answer) = oneshot::channel();
        self.issue(Body::Certificates(together), None, reply).await?;
        if let Ok(Err(why)) = answer.try_recv() {
            debug!(%why, "certificates wait to be issued");
            return Ok(false);
        }
        self.fast.counts.certificates += ids.len() as u64;
        ids.iter().for_each(|id| self.fast.now.presented(id));
        Ok(true)
    }

    /// Says that this node votes no more, when the epoch is about to end: the certificates that it knew before the last milestone
    /// come first, for the votes of all others are in messages that count by then.
    pub(super) async fn end_epoch_if_due(&mut self) -> Result<(), CoreError> {
        let epoch = self.fast.now.epoch();
        let Some(closing) = self.genesis.parameters.closing_height(epoch) else { return Ok(()) };
        let height = self.executed.height;
        let early = height.saturating_add(lead(self.genesis.parameters.epoch_milestones)) < closing;
        // behind what is final: the epoch may be over
        if self.fast.ended || early || !self.finalized.is_empty() || self.fast.seat().is_none() {
            return Ok(());
        }
        // the closing milestone may be the first after a start
        if !self.fast.current && height.saturating_add(1) < closing {
            return Ok(());
        }
        let open = self.fast.now.open().filter(|(_, spend)| !spend.presented && spend.complete_at.is_some_and(|at| at < height));
        let open: Vec<Id> = open.map(|(id, _)| *id).collect();
        self.present(open).await?;
        let (reply, mut answer) = oneshot::channel();
        self.issue(Body::EndOfEpoch { epoch }, None, reply).await?;
        if let Ok(Err(why)) = answer.try_recv() {
            debug!(%why, "the end of the epoch waits to be issued");
            return Ok(());
        }
        // heard as any message is
        self.fast.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_end_an_epoch_within_it() {
        assert_eq!([2, 3, 4, 7, 8, 32, 33, 50_000].map(lead), [1, 1, 1, 1, 2, 8, 8, 8]);
        for milestones in 2..100 {
            assert!(lead(milestones) < milestones);
        }
    }

    #[test]
    fn members_put_a_certificate_on_the_ledger_in_turns() {
        let id = Id([6; 32]);
        let first_age = |seat: Option<u8>| (0..200).find(|age| is_due(&id, seat, 4, (*age, 0), false));
        // 6 mod 4 = 2: seat 2 comes first
        let ages: Vec<Option<u64>> = [Some(2), Some(3), Some(0), Some(1), None].into_iter().map(first_age).collect();
        assert_eq!(ages, [Some(64), Some(68), Some(72), Some(76), Some(80)]);
        assert!(!is_due(&id, Some(1), 4, (1, 0), true) && is_due(&id, Some(1), 4, (2, 0), true));
        // an idle network has a milestone in 15 s
        assert!(is_due(&id, Some(2), 4, (2, 10_000), false) && !is_due(&id, Some(3), 4, (2, 10_000), false));
        assert!(is_due(&id, Some(3), 4, (2, 11_000), false) && !is_due(&id, Some(2), 4, (1, 90_000), false));
    }
}
