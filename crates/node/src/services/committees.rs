//! Committees that are known for sure, and how handovers lead on from them: a device and the gateway remember the same.
//!
//! ```text
//! genesis: epoch 0 ─handover 0─▶ 1 ─▶ … ─▶ 7 (remembered) ─handovers 7, 8 of a command─▶ 9
//! ```
//! Rules: SRV-4, SRV-5 and SRV-10 of `docs/spec/services.md`.

use super::command::{CommandError, HANDOVERS_BYTES_MAX, check};
use protocol::handover::HandoverError;
use protocol::{Certificate, Committee, Encode as _, Genesis, Handover};
use std::collections::BTreeMap;

/// Committees, and handovers, that are remembered: those of the newest epochs.
const EPOCHS_MAX: usize = 1_024;

/// Committees that are known for sure.
#[derive(Clone, Debug)]
pub(crate) struct Committees {
    genesis: Genesis,
    known: BTreeMap<u64, Committee>,
}

impl Committees {
    /// What the genesis says.
    pub(crate) fn new(genesis: Genesis) -> Self {
        let known = BTreeMap::from([(0, genesis.committee.clone())]);
        Self { genesis, known }
    }

    /// The network's genesis.
    pub(crate) const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The committee of an epoch, if it is known.
    pub(crate) fn of(&self, epoch: u64) -> Option<&Committee> {
        self.known.get(&epoch)
    }

    /// The newest epoch whose committee is known.
    pub(crate) fn last(&self) -> u64 {
        self.known.last_key_value().map_or(0, |(epoch, _)| *epoch)
    }

    /// The committees of the epochs after `epoch` that are known.
    pub(crate) fn after(&self, epoch: u64) -> impl Iterator<Item = (&u64, &Committee)> {
        self.known.range(epoch.saturating_add(1)..)
    }

    /// Takes over a committee that is known for sure. That of the genesis never changes.
    pub(crate) fn know(&mut self, epoch: u64, committee: Committee) {
        if epoch == 0 {
            return;
        }
        self.known.insert(epoch, committee);
        while self.known.len() > EPOCHS_MAX {
            let Some(oldest) = self.known.keys().copied().find(|epoch| *epoch > 0) else { return };
            self.known.remove(&oldest);
        }
    }

    /// The committee of epoch `to`, by handovers the first of which closes epoch `from` if it is not known. Newer ones that this leads
    /// through are remembered.
    ///
    /// # Errors
    /// [`CommandError`] if nothing known leads there.
    pub(crate) fn lead(&mut self, from: u64, to: u64, handovers: &[Handover]) -> Result<Committee, CommandError> {
        let Some((start, committee)) = self.known.range(..=to).next_back() else {
            return Err(CommandError::Gap { from, known: self.last() });
        };
        let (start, mut committee) = (*start, committee.clone());
        if start == to {
            return Ok(committee);
        }
        let Some(skipped) = start.checked_sub(from) else {
            return Err(CommandError::Gap { from, known: start });
        };
        let refused = |why| CommandError::Handovers { epoch: to, why };
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let mut epoch = start;
        for handover in handovers.iter().skip(skipped) {
            if epoch == to {
                break;
            }
            committee = handover.verify(&self.genesis, epoch, &committee).map_err(refused)?;
            epoch = epoch.saturating_add(1);
            if epoch > self.last() {
                self.know(epoch, committee.clone());
            }
        }
        match epoch == to {
            true => Ok(committee),
            false => Err(refused(HandoverError::Reached { epoch: to, reached: epoch })),
        }
    }
}

/// The way from the genesis, as a gateway tells it: every handover is verified once.
#[derive(Clone, Debug)]
pub(super) struct Way {
    committees: Committees,
    /// By the epoch that it closes, with its bytes.
    handovers: BTreeMap<u64, (Handover, usize)>,
}

impl Way {
    /// Nothing but the genesis.
    pub(super) fn new(genesis: Genesis) -> Self {
        Self { committees: Committees::new(genesis), handovers: BTreeMap::new() }
    }

    /// The newest epoch whose committee is known: the next handover closes it.
    pub(super) fn last(&self) -> u64 {
        self.committees.last()
    }

    /// Goes on by handovers, the first of which closes [`Way::last`].
    ///
    /// # Errors
    /// [`CommandError`] for the first that does not hold; those before it are taken over.
    pub(super) fn extend(&mut self, handovers: Vec<Handover>) -> Result<(), CommandError> {
        for handover in handovers {
            let closes = self.last();
            self.committees.lead(closes, closes.saturating_add(1), std::slice::from_ref(&handover))?;
            let bytes = handover.encode().len();
            self.handovers.insert(closes, (handover, bytes));
            while self.handovers.len() > EPOCHS_MAX {
                self.handovers.pop_first();
            }
        }
        Ok(())
    }

    /// Checks a certificate as a device will.
    ///
    /// # Errors
    /// [`CommandError`] if the committee of its epoch is not known (any more), or the certificate proves nothing.
    pub(super) fn check(&self, certificate: &Certificate) -> Result<(), CommandError> {
        let epoch = certificate.request.epoch;
        let gap = CommandError::Gap { from: epoch, known: self.last() };
        check(self.committees.genesis(), certificate, self.committees.of(epoch).ok_or(gap)?)
    }

    /// The last handovers before `epoch` for which a command has room, and the epoch that the first of them closes.
    pub(super) fn tail(&self, epoch: u64) -> (u64, Vec<Handover>) {
        let (mut from, mut bytes, mut last) = (epoch, 0usize, Vec::new());
        for (closes, (handover, more)) in self.handovers.range(..epoch).rev() {
            bytes = bytes.saturating_add(*more);
            if bytes > HANDOVERS_BYTES_MAX {
                break;
            }
            from = *closes;
            last.push(handover.clone());
        }
        last.reverse();
        (from, last)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::services::command::tests::{certified_in, epochs, handover};
    use protocol::Id;

    /// SRV-5: every command had to lead from the genesis, and none did any more once that took too many bytes.
    #[test]
    fn handovers_lead_on_from_what_is_known() {
        let (genesis, keys) = epochs();
        let all: Vec<Handover> = (0..6).map(|epoch| handover(&genesis, &keys, epoch)).collect();
        let mut known = Committees::new(genesis);
        assert_eq!(known.lead(2, 4, &all[2..4]).unwrap_err(), CommandError::Gap { from: 2, known: 0 });
        known.lead(0, 3, &all[..3]).unwrap();
        assert_eq!(known.last(), 3);
        known.lead(2, 5, &all[2..5]).unwrap();
        assert_eq!(known.last(), 5);
        // older ones, with and without a way to them
        known.lead(9, 4, &[]).unwrap();
        let short = known.lead(5, 7, &all[5..]).unwrap_err();
        assert!(matches!(short, CommandError::Handovers { epoch: 7, why: HandoverError::Reached { reached: 6, .. } }), "{short}");
        assert!(known.lead(6, 7, &all[5..6]).is_err(), "it closes another epoch");
        assert_eq!(known.last(), 6, "what holds is taken over");
    }

    #[test]
    fn a_way_is_verified_once_and_told_from_its_end() {
        let (genesis, keys) = epochs();
        let mut way = Way::new(genesis.clone());
        let all: Vec<Handover> = (0..700).map(|epoch| handover(&genesis, &keys, epoch)).collect();
        way.extend(all[..3].to_vec()).unwrap();
        assert_eq!((way.last(), way.tail(3), way.tail(0)), (3, (0, all[..3].to_vec()), (0, Vec::new())));
        assert!(way.extend(vec![all[7].clone()]).is_err());
        way.extend(all[3..].to_vec()).unwrap();
        let (from, last) = way.tail(700);
        let bytes = |handovers: &[Handover]| handovers.iter().map(|h| h.encode().len()).sum::<usize>();
        let first = usize::try_from(from).unwrap();
        assert_eq!(last, all[first..]);
        assert!(from > 0 && bytes(&last) <= HANDOVERS_BYTES_MAX && bytes(&all[first - 1..]) > HANDOVERS_BYTES_MAX);
        assert_eq!(way.check(&certified_in(&genesis, &keys, Id([5; 32]), 2, 3, 700)), Ok(()));
        assert!(matches!(way.check(&certified_in(&genesis, &keys, Id([5; 32]), 2, 3, 701)), Err(CommandError::Gap { .. })));
    }
}
