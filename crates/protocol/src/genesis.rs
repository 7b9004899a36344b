//! Genesis: what everybody must agree on before the first message. Its hash is the network's id.
//!
//! ```text
//! version=1 u8 | name | subnet u16 | created ms u64 | committee n × (key [32] | name)
//! ```

use crate::codec::{Encode, put_bytes, put_varint};
use crate::keys::{Id, NetworkId, PublicKey};
use crate::limits::COMMITTEE_MAX;
use crate::merkle;
use crate::milestone::Milestone;
use crate::topic::Name;
use alloc::vec::Vec;
use thiserror::Error;

const VERSION: u8 = 1;

/// Why a list of validators is not a committee.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommitteeError {
    /// Nobody, or more than [`COMMITTEE_MAX`].
    #[error("it has {0} validators, allowed are 1 to {COMMITTEE_MAX}")]
    Size(usize),
    /// Keys not strictly ascending, so one appears twice or the order is ambiguous.
    #[error("the validators' keys are not in strictly ascending order")]
    Order,
    /// A key that is no point of the curve, or of small order.
    #[error("the key {0} is not a sound Ed25519 key")]
    Key(PublicKey),
}

/// A member of the committee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// The key it signs with.
    pub key: PublicKey,
    /// What people call it.
    pub name: Name,
}

/// The validators of an epoch, in ascending order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee(Vec<Validator>);

impl Committee {
    /// Checks a list of validators.
    ///
    /// # Errors
    /// [`CommitteeError`] if its size, order or a key is not allowed.
    pub fn new(validators: Vec<Validator>) -> Result<Self, CommitteeError> {
        if validators.is_empty() || validators.len() > COMMITTEE_MAX {
            return Err(CommitteeError::Size(validators.len()));
        }
        if !validators.is_sorted_by(|a, b| a.key < b.key) {
            return Err(CommitteeError::Order);
        }
        match validators.iter().find(|v| !v.key.is_sound()) {
            Some(v) => Err(CommitteeError::Key(v.key)),
            None => Ok(Self(validators)),
        }
    }

    /// The members, in order.
    #[must_use]
    pub fn validators(&self) -> &[Validator] {
        &self.0
    }

    /// How many members.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// How many equal votes decide: `⌊2n/3⌋ + 1`, so that any two such sets share an honest validator.
    #[must_use]
    pub fn quorum(&self) -> usize {
        2 * self.0.len() / 3 + 1
    }
}

/// The agreement a network starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// What people call the network.
    pub name: Name,
    /// The subnet this genesis starts.
    pub subnet: u16,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// The first epoch's committee.
    pub committee: Committee,
}

impl Genesis {
    /// The network's id.
    #[must_use]
    pub fn network(&self) -> NetworkId {
        let mut out = alloc::vec![VERSION];
        put_bytes(&mut out, self.name.as_str().as_bytes());
        out.extend_from_slice(&self.subnet.to_be_bytes());
        out.extend_from_slice(&self.created_ms.to_be_bytes());
        put_varint(&mut out, self.committee.size() as u64);
        for validator in self.committee.validators() {
            validator.key.encode_to(&mut out);
            validator.name.encode_to(&mut out);
        }
        NetworkId(Id::hash(&[b"wattle/genesis/v1", &out]).0)
    }

    /// The milestone of height 0. Nobody signs it: it follows from the genesis. `state_root` is zero, for
    /// there is no state before it.
    #[must_use]
    pub fn milestone(&self) -> Milestone {
        Milestone {
            subnet: self.subnet,
            parent: Id(self.network().0),
            height: 0,
            epoch: 0,
            time_ms: self.created_ms,
            tips: Vec::new(),
            message_count: 0,
            messages_root: merkle::empty_root(),
            state_root: Id([0; 32]),
            history_root: merkle::empty_root(),
            next_committee: None,
        }
    }
}
