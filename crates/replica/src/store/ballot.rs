//! A record of the table `ballots`: what this node voted for, or that it must not vote (WAL-11, WAL-11a).
//!
//! ```text
//! 0 u8 | epoch | wallet [32] | number | request [32]
//! 1 u8 | epoch
//! ```

use protocol::codec::{Reader, put_varint};
use protocol::{Decode, DecodeError, Encode, Id, PublicKey};

/// A record of the table `ballots`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ballot {
    /// In this epoch it votes for this request of this wallet and number, and for no other.
    Vote { epoch: u64, wallet: PublicKey, number: u64, request: Id },
    /// In this epoch it votes for nothing more.
    Abstain { epoch: u64 },
}

impl Ballot {
    /// The epoch that it is about.
    pub(crate) const fn epoch(&self) -> u64 {
        match self {
            Self::Vote { epoch, .. } | Self::Abstain { epoch } => *epoch,
        }
    }

    /// What it is stored under. It is read by its place only.
    pub(crate) fn key(&self) -> Id {
        Id::hash(&[b"wattle/ballot", &self.encode()])
    }
}

impl Encode for Ballot {
    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Vote { epoch, wallet, number, request } => {
                out.push(0);
                put_varint(out, *epoch);
                wallet.encode_to(out);
                put_varint(out, *number);
                request.encode_to(out);
            }
            Self::Abstain { epoch } => {
                out.push(1);
                put_varint(out, *epoch);
            }
        }
    }
}

impl Decode for Ballot {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = reader.byte("a ballot")?;
        let epoch = reader.varint("a ballot's epoch")?;
        match kind {
            0 => Ok(Self::Vote {
                epoch,
                wallet: PublicKey::decode_from(reader)?,
                number: reader.varint("a ballot's number")?,
                request: Id::decode_from(reader)?,
            }),
            1 => Ok(Self::Abstain { epoch }),
            tag => Err(DecodeError::UnknownTag { what: "a ballot", tag }),
        }
    }
}
