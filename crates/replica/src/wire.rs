//! Our types in the engine's clothes: what the engine's codecs, digests and keys ask of them.

use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, DecodeExt as _, Encode as _, EncodeSize, Error as CodecError, RangeCfg, Read, ReadExt as _, Write};
use commonware_consensus::simplex::types::{Activity, Finalize, Notarize, Proposal};
use commonware_consensus::{Block as ConsensusBlock, BoundedBlock, Heightable, simplex, types::Height};
use commonware_cryptography::certificate::Attestation;
use commonware_cryptography::{Digestible, ed25519, sha256};
use protocol::codec::{Reader, put_varint};
use protocol::evidence::{Ballot, Phase};
use protocol::limits::{MESSAGE_BYTES_MAX, MILESTONE_BYTES_MAX};
use protocol::{Decode, DecodeError, Encode, Evidence, Finalization, Id, Message, Milestone, Rejection, Signature, Vote};
use std::sync::Arc;

/// The engine's digest.
pub(crate) type Digest = sha256::Digest;
/// The scheme validators sign with: attributable, no key ceremony.
pub(crate) type Scheme = simplex::scheme::ed25519::Scheme;
/// A certificate of the engine.
pub(crate) type Certificate = simplex::types::Finalization<Scheme, Digest>;

/// Bytes of messages in one frame of the push channel, or in one answer to a pull.
pub(crate) const FRAME_BYTES_MAX: usize = 256 * 1024;
/// Messages in one frame.
pub(crate) const FRAME_MESSAGES_MAX: usize = 256;
/// Rejections in one frame.
pub(crate) const FRAME_REJECTIONS_MAX: usize = 256;
const _: () = assert!(FRAME_REJECTIONS_MAX * 256 <= FRAME_BYTES_MAX);
const _: () = assert!(MESSAGE_BYTES_MAX + 16 <= FRAME_BYTES_MAX);

/// An id as the engine's digest.
pub(crate) const fn digest(id: Id) -> Digest {
    sha256::Digest(id.0)
}

/// The engine's digest as an id.
pub(crate) const fn id(digest: Digest) -> Id {
    Id(digest.0)
}

/// A public key as the engine's; `None` if it is no point of the curve.
pub(crate) fn public_key(key: &protocol::PublicKey) -> Option<ed25519::PublicKey> {
    ed25519::PublicKey::decode(Bytes::copy_from_slice(&key.0)).ok()
}

/// A secret key as the engine's; `None` never, but the engine's type says it could be.
pub(crate) fn private_key(key: &protocol::SecretKey) -> Option<ed25519::PrivateKey> {
    ed25519::PrivateKey::decode(Bytes::copy_from_slice(&key.to_seed())).ok()
}

/// A certificate of the engine as receipts carry it; `None` if a signature in it cannot be read.
pub(crate) fn finalization(certificate: &Certificate) -> Option<Finalization> {
    let proposal = &certificate.proposal;
    let signed = certificate.certificate.signers.iter().zip(&certificate.certificate.signatures);
    let votes = signed.map(|(signer, signature)| {
        let bytes: &[u8] = signature.get()?.as_ref();
        Some(Vote { validator: u8::try_from(signer.get()).ok()?, signature: Signature(bytes.try_into().ok()?) })
    });
    Some(Finalization {
        epoch: proposal.round.epoch().get(),
        view: proposal.round.view().get(),
        parent_view: proposal.parent.get(),
        digest: id(proposal.payload),
        votes: votes.collect::<Option<_>>()?,
    })
}

/// What proves that a validator voted for two milestones of one view, if an activity of consensus does. Nothing is
/// verified yet.
pub(crate) fn misbehaviour(activity: &Activity<Scheme, Digest>, committee: &[protocol::PublicKey]) -> Option<Evidence> {
    let (mut bytes, phase) = match activity {
        Activity::ConflictingNotarize(both) => (both.encode(), Phase::Notarize),
        Activity::ConflictingFinalize(both) => (both.encode(), Phase::Finalize),
        _ => return None,
    };
    // the engine shows the pair only as its encoding, one vote after the other
    let mut take = || -> Option<(Proposal<Digest>, Attestation<Scheme>)> {
        match phase {
            Phase::Notarize => Notarize::<Scheme, Digest>::read(&mut bytes).ok().map(|v| (v.proposal, v.attestation)),
            Phase::Finalize => Finalize::<Scheme, Digest>::read(&mut bytes).ok().map(|v| (v.proposal, v.attestation)),
        }
    };
    let ((one, first), (two, second)) = (take()?, take()?);
    let validator = *committee.get(usize::try_from(first.signer.get()).ok()?)?;
    let ballot = |proposal: &Proposal<Digest>, attestation: &Attestation<Scheme>| {
        let bytes: &[u8] = attestation.signature.get()?.as_ref();
        Some(Ballot { parent_view: proposal.parent.get(), digest: id(proposal.payload), signature: Signature(bytes.try_into().ok()?) })
    };
    let (epoch, view) = (one.round.epoch().get(), one.round.view().get());
    Some(Evidence::votes(validator, phase, epoch, view, ballot(&one, &first)?, ballot(&two, &second)?))
}

/// A milestone as the engine's block: its canonical encoding behind a length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block(pub(crate) Milestone);

impl Write for Block {
    fn write(&self, out: &mut impl BufMut) {
        self.0.encode().write(out);
    }
}
impl EncodeSize for Block {
    fn encode_size(&self) -> usize {
        self.0.encode().encode_size()
    }
}
impl Read for Block {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        let bytes = Vec::<u8>::read_cfg(buf, &(RangeCfg::new(0..=MILESTONE_BYTES_MAX), ()))?;
        Milestone::decode(&bytes).map(Self).map_err(|_| CodecError::Invalid("wattle", "milestone"))
    }
}
impl Digestible for Block {
    type Digest = Digest;
    fn digest(&self) -> Digest {
        digest(self.0.digest())
    }
}
impl Heightable for Block {
    fn height(&self) -> Height {
        Height::new(self.0.height)
    }
}
impl ConsensusBlock for Block {
    fn parent(&self) -> Digest {
        digest(self.0.parent)
    }
}
impl BoundedBlock for Block {
    fn max_encode_size((): &()) -> usize {
        MILESTONE_BYTES_MAX + 5
    }
}

/// Messages on their way to a peer: a push, or the answer to a pull. Or, in their place, rejections of requests that the peer
/// carried.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame(pub(crate) Vec<Arc<Message>>, pub(crate) Vec<Rejection>);

impl Frame {
    /// The encoding: `count | message…`, or `0 | count | rejection…`.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.0.len() as u64);
        self.0.iter().for_each(|m| out.extend_from_slice(m.bytes()));
        if self.0.is_empty() && !self.1.is_empty() {
            put_varint(&mut out, self.1.len() as u64);
            self.1.iter().for_each(|r| r.encode_to(&mut out));
        }
        out
    }

    /// Reads the encoding.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let n = reader.length(FRAME_MESSAGES_MAX, 64, "a frame")?;
        let messages: Vec<_> = (0..n).map(|_| Message::decode_from(&mut reader).map(Arc::new)).collect::<Result<_, _>>()?;
        let mut rejections = Vec::new();
        if messages.is_empty() && reader.remaining() > 0 {
            let n = reader.length(FRAME_REJECTIONS_MAX, 138, "a frame's rejections")?;
            rejections = (0..n).map(|_| Rejection::decode_from(&mut reader)).collect::<Result<_, _>>()?;
        }
        reader.finish()?;
        Ok(Self(messages, rejections))
    }

    /// Splits messages into frames within the bounds.
    pub(crate) fn split(messages: Vec<Arc<Message>>) -> Vec<Self> {
        let (mut frames, mut current, mut bytes) = (Vec::new(), Vec::new(), 0);
        for message in messages {
            let size = message.bytes().len();
            if current.len() == FRAME_MESSAGES_MAX || bytes + size > FRAME_BYTES_MAX {
                frames.push(Self(std::mem::take(&mut current), Vec::new()));
                bytes = 0;
            }
            bytes += size;
            current.push(message);
        }
        if !current.is_empty() {
            frames.push(Self(current, Vec::new()));
        }
        frames
    }
}

impl Write for Frame {
    fn write(&self, out: &mut impl BufMut) {
        self.to_bytes().write(out);
    }
}
impl EncodeSize for Frame {
    fn encode_size(&self) -> usize {
        let length = match self.1.is_empty() {
            true => {
                let mut count = Vec::new();
                put_varint(&mut count, self.0.len() as u64);
                self.0.iter().map(|m| m.bytes().len()).sum::<usize>() + count.len()
            }
            // few and small
            false => self.to_bytes().len(),
        };
        let mut prefix = Vec::new();
        put_varint(&mut prefix, length as u64);
        length + prefix.len()
    }
}
impl Read for Frame {
    type Cfg = ();
    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, CodecError> {
        let bytes = Vec::<u8>::read_cfg(buf, &(RangeCfg::new(0..=FRAME_BYTES_MAX + 16), ()))?;
        Self::from_bytes(&bytes).map_err(|_| CodecError::Invalid("wattle", "frame"))
    }
}
