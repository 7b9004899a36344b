//! A certificate with all that a stranger needs to check it: the way from the genesis to the committee that voted.
//!
//! ```text
//! genesis ─handover 0─▶ committee 1 ─ … ─handover e−1─▶ committee e ─votes─▶ request of epoch e
//! ```
//! What it proves is that the request was certified in its epoch (WAL-15, WAL-60 of `docs/spec/wallet.md`). That it was executed is
//! proved by the State of the purse.

use crate::certificate::{Certificate, CertificateError, needed};
use crate::codec::DecodeError;
use crate::genesis::Genesis;
use crate::handover::{Handover, HandoverError, walk};
use crate::keys::Id;
use crate::topic::Name;
use alloc::string::String;
use alloc::vec::Vec;
use thiserror::Error;

/// A certificate, and what leads from the genesis to its committee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateProof {
    /// The certificate.
    pub certificate: Certificate,
    /// The closing milestones of all epochs before the request's, in their order.
    pub handovers: Vec<Handover>,
}

/// What a certificate proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The request.
    pub request: Id,
    /// The epoch whose committee voted.
    pub epoch: u64,
    /// Who voted, in the committee's order.
    pub voters: Vec<Name>,
    /// Members of that committee.
    pub committee: usize,
    /// Votes that are needed.
    pub needed: usize,
}

/// Why a certificate with its way from the genesis proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateProofError {
    /// Not JSON, or not exactly the fields of the format.
    #[error("it is not written as the format asks: {0}")]
    Json(String),
    /// A part that is not in canonical form.
    #[error("{part} cannot be read: {why}")]
    Decode {
        /// Which part.
        part: &'static str,
        /// What is wrong with it.
        why: DecodeError,
    },
    /// Too few or too many handovers for the request's epoch.
    #[error("the request is of epoch {epoch}, the handovers lead to epoch {reached}")]
    Reached {
        /// The request's epoch.
        epoch: u64,
        /// The epoch after the last handover.
        reached: u64,
    },
    /// A handover does not hold.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// The certificate does not hold.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl CertificateProof {
    /// Checks the way from the genesis to the committee, and the certificate against that committee.
    ///
    /// # Errors
    /// [`CertificateProofError`] for the first thing that does not hold.
    pub fn verify(&self, genesis: &Genesis) -> Result<Certified, CertificateProofError> {
        let epoch = self.certificate.request.epoch;
        let reached = self.handovers.len() as u64;
        if reached != epoch {
            return Err(CertificateProofError::Reached { epoch, reached });
        }
        let committee = walk(genesis, &self.handovers)?;
        let percent = genesis.wallet_parameters.threshold_percent;
        self.certificate.verify(&genesis.network(), genesis.subnet, &committee, percent)?;
        let member = |voter: u8| committee.validators().get(usize::from(voter)).map(|v| v.name.clone());
        Ok(Certified {
            request: self.certificate.request.id(),
            epoch,
            voters: self.certificate.votes.iter().filter_map(|vote| member(vote.voter)).collect(),
            committee: committee.size(),
            needed: needed(committee.size(), percent),
        })
    }
}
