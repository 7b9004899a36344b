//! A receipt: everything a stranger needs, beside the genesis, to check one reading offline.
//!
//! ```text
//! reading ‖ salt ─leaf_index, batch_path─▶ message.body.root
//!           message ─message_index, message_path─▶ milestone.messages_root
//!         milestone ─history_path─▶ anchor.history_root        (only if the milestone has no certificate itself)
//!            anchor ─▶ finalization ─▶ > 2/3 of the committee of its epoch
//!           genesis ─handovers─▶ that committee
//! ```
//! The numbered rules are in `docs/spec/receipt.md`; [`Receipt::verify`] applies them in that order.

use crate::batch::blinded_leaf;
#[cfg(feature = "json")]
use crate::codec::Decode;
use crate::codec::DecodeError;
use crate::finalization::{Finalization, FinalizationError};
use crate::genesis::Genesis;
use crate::handover::{Handover, HandoverError, walk};
use crate::keys::{Id, PublicKey};
use crate::merkle;
use crate::message::{Body, Message, MessageError};
use crate::milestone::Milestone;
use crate::reading::Reading;
use crate::topic::Name;
use alloc::vec::Vec;
use thiserror::Error;

/// A later milestone that carries the certificate, and the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The later milestone.
    pub milestone: Milestone,
    /// From the confirming milestone's digest to the later one's `history_root`.
    pub history_path: Vec<Id>,
}

/// The proof that one reading was confirmed.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The reading.
    pub reading: Reading,
    /// What blinds its leaf.
    pub salt: [u8; 32],
    /// Its place in the batch.
    pub leaf_index: u32,
    /// From its leaf to the batch's root.
    pub batch_path: Vec<Id>,
    /// The message that anchors the batch.
    pub message: Message,
    /// The message's place in the milestone.
    pub message_index: u64,
    /// From the message to `messages_root`.
    pub message_path: Vec<Id>,
    /// The milestone that confirms the message.
    pub milestone: Milestone,
    /// Present if the certificate is on a later milestone.
    pub anchor: Option<Anchor>,
    /// The committee's certificate on the anchor, or on the milestone itself.
    pub finalization: Finalization,
    /// From the committee in the genesis to the one that certified: the closing milestones of the epochs before its own.
    pub handovers: Vec<Handover>,
}

/// Why a receipt proves nothing. Each names the step that fails; the receipt is damaged, forged, or of
/// another network than the genesis at hand.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReceiptError {
    /// A part cannot be read.
    #[error("{part} cannot be read: {why}")]
    Decode {
        /// Which part.
        part: &'static str,
        /// Why not.
        why: DecodeError,
    },
    /// The file is not a receipt's JSON.
    #[error("the file is not a receipt: {0}")]
    Json(alloc::string::String),
    /// The message does not fit the network, or is not its issuer's.
    #[error("the message does not hold: {0}")]
    Message(#[from] MessageError),
    /// The message anchors no batch.
    #[error("the message anchors no readings")]
    Body,
    /// The reading is not in the batch.
    #[error("the reading is not in the batch that the message anchors")]
    Reading,
    /// The reading bears a signature of a device that is not that key's.
    #[error("the device's signature of the reading does not hold")]
    Device,
    /// The message is not in the milestone.
    #[error("the message is not among those that the milestone confirms")]
    NotConfirmed,
    /// The milestone belongs to another subnet.
    #[error("the milestone belongs to another subnet")]
    Subnet,
    /// The milestone is not before the anchor.
    #[error("the milestone is not in the history of the certified one")]
    History,
    /// The certificate is on another milestone.
    #[error("the finalization is of another milestone")]
    Digest,
    /// The way from the genesis to the committee that certified does not hold, or leads to another.
    #[error("the committee is not known: {0}")]
    Handover(#[from] HandoverError),
    /// The certificate does not hold.
    #[error("the finalization does not hold: {0}")]
    Finalization(#[from] FinalizationError),
}

/// What a verified receipt proves.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// The reading: which device, what value, what time.
    pub reading: Reading,
    /// Its id.
    pub reading_id: Id,
    /// The node that anchored it.
    pub issuer: PublicKey,
    /// The message it is anchored by.
    pub message: Id,
    /// The milestone that confirmed it.
    pub height: u64,
    /// That milestone's time, in milliseconds since 1970.
    pub confirmed_ms: u64,
    /// The epoch whose committee certified it.
    pub epoch: u64,
    /// The validators whose signatures were checked.
    pub signers: Vec<Name>,
    /// Size of that committee.
    pub committee: usize,
}

impl Receipt {
    /// Checks the receipt against a genesis. Needs nothing else: no network, no clock.
    ///
    /// # Errors
    /// [`ReceiptError`] naming the first step that fails.
    pub fn verify(&self, genesis: &Genesis) -> Result<Verified, ReceiptError> {
        let network = genesis.network();
        self.message.verify(&network, genesis.subnet)?;
        let Body::Readings { root, count, .. } = &self.message.body else {
            return Err(ReceiptError::Body);
        };
        let leaf = blinded_leaf(&self.salt, &crate::Encode::encode(&self.reading));
        if !merkle::verify(&leaf, u64::from(self.leaf_index), u64::from(*count), &self.batch_path, root) {
            return Err(ReceiptError::Reading);
        }
        if self.reading.signed.is_some() && !self.reading.is_authentic(&network) {
            return Err(ReceiptError::Device);
        }
        let message_leaf = Milestone::message_leaf(&self.message.id());
        if !merkle::verify(
            &message_leaf,
            self.message_index,
            self.milestone.message_count,
            &self.message_path,
            &self.milestone.messages_root,
        ) {
            return Err(ReceiptError::NotConfirmed);
        }
        if self.milestone.subnet != genesis.subnet {
            return Err(ReceiptError::Subnet);
        }
        let certified = match &self.anchor {
            None => &self.milestone,
            Some(Anchor { milestone, history_path }) => {
                if milestone.subnet != genesis.subnet {
                    return Err(ReceiptError::Subnet);
                }
                let leaf = Milestone::history_leaf(&self.milestone.digest());
                if !merkle::verify(&leaf, self.milestone.height, milestone.height, history_path, &milestone.history_root) {
                    return Err(ReceiptError::History);
                }
                milestone
            }
        };
        if certified.digest() != self.finalization.digest {
            return Err(ReceiptError::Digest);
        }
        let epoch = self.epoch(genesis, certified)?;
        let committee = walk(genesis, &self.handovers)?;
        self.finalization.verify(&network, &committee)?;
        let name = |v: &crate::Vote| committee.validators().get(usize::from(v.validator)).map(|m| m.name.clone());
        Ok(Verified {
            reading: self.reading.clone(),
            reading_id: self.reading.id(),
            issuer: self.message.issuer,
            message: self.message.id(),
            height: self.milestone.height,
            confirmed_ms: self.milestone.time_ms,
            epoch,
            signers: self.finalization.votes.iter().filter_map(name).collect(),
            committee: committee.size(),
        })
    }

    /// The epoch of the certified milestone, if all parts agree on it and the handovers lead there.
    fn epoch(&self, genesis: &Genesis, certified: &Milestone) -> Result<u64, HandoverError> {
        for Milestone { height, epoch, .. } in [&self.milestone, certified] {
            if genesis.parameters.epoch_of(*height) != *epoch {
                return Err(HandoverError::Height { epoch: *epoch, height: *height });
            }
        }
        let (epoch, found) = (certified.epoch, self.finalization.epoch);
        if found != epoch {
            return Err(HandoverError::Epoch { expected: epoch, found });
        }
        match self.handovers.len() as u64 {
            reached if reached == epoch => Ok(epoch),
            reached => Err(HandoverError::Reached { epoch, reached }),
        }
    }
}

/// Decodes one part of a receipt.
#[cfg(feature = "json")]
pub(crate) fn part<T: Decode>(part: &'static str, bytes: &[u8]) -> Result<T, ReceiptError> {
    T::decode(bytes).map_err(|why| ReceiptError::Decode { part, why })
}
