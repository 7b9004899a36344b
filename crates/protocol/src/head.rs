//! A message's head: what its issuer signs, and what is enough to prove that it signed.
//!
//! ```text
//! version u8 | network tag [8] | subnet u16 | issuer [32] | sequence | rest [32] | signature [64]
//! ```
//! In version 2 `rest` is the SHA-256 of everything between sequence and signature in the message's encoding. In version 3, that of
//! messages with votes, it joins the root of the votes and the hash of all else ([`crate::certificate`]). So two heads prove
//! equivocation, whatever the size of the messages.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_varint};
use crate::keys::{Id, NetworkId, PublicKey, Signature};
use crate::message::{MessageError, VERSION, VOTING_VERSION, namespace};
use alloc::vec::Vec;

/// What the issuer of a message signs, with the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The message's version: 2, or 3 if it has votes.
    pub version: u8,
    /// The first bytes of the network's id.
    pub network_tag: [u8; 8],
    /// The subnet within the network.
    pub subnet: u16,
    /// Who issued the message.
    pub issuer: PublicKey,
    /// The issuer's own count of messages, from 0.
    pub sequence: u64,
    /// The hash that stands for all between sequence and signature.
    pub rest: Id,
    /// The issuer's signature over all of the above.
    pub signature: Signature,
}

/// The bytes that are signed under [`namespace`].
pub(crate) fn signed_bytes(version: u8, network_tag: &[u8; 8], subnet: u16, issuer: &PublicKey, sequence: u64, rest: &Id) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    out.push(version);
    out.extend_from_slice(network_tag);
    out.extend_from_slice(&subnet.to_be_bytes());
    issuer.encode_to(&mut out);
    put_varint(&mut out, sequence);
    rest.encode_to(&mut out);
    out
}

impl Head {
    /// The bytes that are signed under [`namespace`].
    #[must_use]
    pub fn signed(&self) -> Vec<u8> {
        signed_bytes(self.version, &self.network_tag, self.subnet, &self.issuer, self.sequence, &self.rest)
    }

    /// Checks network, subnet and signature.
    ///
    /// # Errors
    /// [`MessageError`] naming what does not fit.
    pub fn verify(&self, network: &NetworkId, subnet: u16) -> Result<(), MessageError> {
        if self.network_tag != *network.tag() {
            return Err(MessageError::Network);
        }
        if self.subnet != subnet {
            return Err(MessageError::Subnet(self.subnet));
        }
        match self.issuer.verify(&namespace(network), &self.signed(), &self.signature) {
            true => Ok(()),
            false => Err(MessageError::Signature),
        }
    }
}

impl Encode for Head {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.signed());
        self.signature.encode_to(out);
    }
}

impl Decode for Head {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = match reader.byte("a head's version")? {
            version @ (VERSION | VOTING_VERSION) => version,
            tag => return Err(DecodeError::UnknownTag { what: "a head's version", tag }),
        };
        Ok(Self {
            version,
            network_tag: reader.array("a network tag")?,
            subnet: reader.u16("a subnet")?,
            issuer: PublicKey::decode_from(reader)?,
            sequence: reader.varint("a sequence")?,
            rest: Id::decode_from(reader)?,
            signature: Signature::decode_from(reader)?,
        })
    }
}
