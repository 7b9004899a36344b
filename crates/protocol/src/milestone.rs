//! A milestone: one block of the committee's chain.
//!
//! It names tips of the DAG; what is new in their past cone is confirmed, in one order on every node.
//! ```text
//! version=1 u8 | subnet u16 | parent [32] | height | epoch | time ms u64 | tips n ≤ 64 × [32] |
//! message count | messages_root [32] | state_root [32] | history_root [32] | next committee? n × [32]
//! ```
//! - `messages_root`: the tree over the ids of the messages it confirms, in order (`message_count` leaves);
//! - `state_root`: the ledger's state after the **parent** (execution is one milestone behind);
//! - `history_root`: the tree over the digests of all milestones before this one, genesis first (`height` leaves).

use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use crate::keys::{Id, PublicKey};
use crate::limits::{COMMITTEE_MAX, CUT_MESSAGES_MAX, TIPS_MAX};
use crate::merkle;
use crate::message::ids;
use alloc::vec::Vec;

const VERSION: u8 = 1;

/// A block of the committee's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Milestone {
    /// The subnet whose DAG it confirms.
    pub subnet: u16,
    /// Digest of the milestone before.
    pub parent: Id,
    /// Milestones before it; genesis has 0.
    pub height: u64,
    /// Whose committee signs it.
    pub epoch: u64,
    /// The proposer's clock in milliseconds since 1970, above the parent's.
    pub time_ms: u64,
    /// Tips whose past cone it confirms, strictly ascending.
    pub tips: Vec<Id>,
    /// How many messages it confirms.
    pub message_count: u64,
    /// Root over their ids, in order.
    pub messages_root: Id,
    /// Root of the ledger's state after the parent.
    pub state_root: Id,
    /// Root over the digests of all earlier milestones.
    pub history_root: Id,
    /// The next epoch's committee, in the last milestone of an epoch.
    pub next_committee: Option<Vec<PublicKey>>,
}

impl Milestone {
    /// The hash that names it and that the committee signs.
    #[must_use]
    pub fn digest(&self) -> Id {
        Id::hash(&[&self.encode()])
    }

    /// The leaf of this milestone in the tree of history.
    #[must_use]
    pub fn history_leaf(digest: &Id) -> Id {
        merkle::leaf(&digest.0)
    }

    /// The leaf of a message in a milestone's tree.
    #[must_use]
    pub fn message_leaf(id: &Id) -> Id {
        merkle::leaf(&id.0)
    }

    /// The root over the ids of messages, in order.
    #[must_use]
    pub fn root_of_messages(ids: &[Id]) -> Id {
        let leaves: Vec<_> = ids.iter().map(Self::message_leaf).collect();
        merkle::root(&leaves)
    }
}

impl Encode for Milestone {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.subnet.to_be_bytes());
        self.parent.encode_to(out);
        put_varint(out, self.height);
        put_varint(out, self.epoch);
        out.extend_from_slice(&self.time_ms.to_be_bytes());
        put_varint(out, self.tips.len() as u64);
        self.tips.iter().for_each(|t| t.encode_to(out));
        put_varint(out, self.message_count);
        self.messages_root.encode_to(out);
        self.state_root.encode_to(out);
        self.history_root.encode_to(out);
        match &self.next_committee {
            None => out.push(0),
            Some(members) => {
                out.push(1);
                put_varint(out, members.len() as u64);
                members.iter().for_each(|m| m.encode_to(out));
            }
        }
    }
}

impl Decode for Milestone {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.version(VERSION, "a milestone's version")?;
        let subnet = reader.u16("a subnet")?;
        let parent = Id::decode_from(reader)?;
        let height = reader.varint("a height")?;
        let epoch = reader.varint("an epoch")?;
        let time_ms = reader.u64("a milestone's time")?;
        let tips = ids(reader, TIPS_MAX, "a milestone's tips")?;
        if !tips.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::NonCanonical("a milestone's tips"));
        }
        let message_count = reader.varint("a milestone's message count")?;
        if message_count > CUT_MESSAGES_MAX as u64 {
            return Err(DecodeError::OverLimit { what: "a milestone's message count", limit: CUT_MESSAGES_MAX, found: message_count });
        }
        let (messages_root, state_root, history_root) = (Id::decode_from(reader)?, Id::decode_from(reader)?, Id::decode_from(reader)?);
        let next_committee = if reader.flag("a next committee")? {
            let n = reader.length(COMMITTEE_MAX, 32, "a next committee")?;
            let members = (0..n).map(|_| PublicKey::decode_from(reader)).collect::<Result<Vec<_>, _>>()?;
            if members.is_empty() || !members.is_sorted_by(|a, b| a < b) {
                return Err(DecodeError::NonCanonical("a next committee"));
            }
            Some(members)
        } else {
            None
        };
        Ok(Self { subnet, parent, height, epoch, time_ms, tips, message_count, messages_root, state_root, history_root, next_committee })
    }
}
