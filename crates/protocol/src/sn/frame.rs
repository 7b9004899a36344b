//! A datagram: a message, alone or encapsulated by a forwarder (§5.4.20, SN-4).

use super::encode::EncodeError;
use super::packet::Packet;
use crate::codec::{DecodeError, Reader};
use alloc::vec::Vec;

/// Bytes of a wireless node id: the encapsulation's length has one octet, three octets are its own.
pub const NODE_ID_BYTES_MAX: usize = 252;
/// The encapsulation's message type.
const ENCAPSULATION: u8 = 0xFE;
/// The bits of `ctrl` that are the radius; the others are reserved.
const RADIUS: u8 = 0b11;
/// Octets of an encapsulation before the wireless node id.
const HEAD: usize = 3;

/// Which node a forwarder speaks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// How far a broadcast goes: 0 to 3.
    pub radius: u8,
    /// The node behind the forwarder. Only the forwarder knows what it means.
    pub node: Vec<u8>,
}

/// What a datagram holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Given if a forwarder is in between.
    pub route: Option<Route>,
    /// The message.
    pub packet: Packet,
}

impl Frame {
    /// Reads a whole datagram. An encapsulation holds a message, never another encapsulation.
    ///
    /// # Errors
    /// As [`Packet::decode`]; and if the encapsulation is damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.get(1) != Some(&ENCAPSULATION) || bytes.first() == Some(&0x01) {
            return Ok(Self { route: None, packet: Packet::decode(bytes)? });
        }
        let mut reader = Reader::new(bytes);
        let length = usize::from(reader.byte("the length")?);
        let _ = reader.byte("the message type")?;
        let radius = reader.byte("the control octet")? & RADIUS;
        let node = length.checked_sub(HEAD).ok_or(DecodeError::Invalid("the length"))?;
        let node = reader.take(node, "a wireless node id")?.to_vec();
        let packet = Packet::decode(reader.take(reader.remaining(), "the message")?)?;
        Ok(Self { route: Some(Route { radius, node }), packet })
    }

    /// Its bytes.
    ///
    /// # Errors
    /// [`EncodeError`] if the message or the wireless node id is too long.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let packet = self.packet.encode()?;
        let Some(Route { radius, node }) = &self.route else { return Ok(packet) };
        let fits = node.len() <= NODE_ID_BYTES_MAX;
        let length = u8::try_from(HEAD + node.len()).ok().filter(|_| fits).ok_or(EncodeError::NodeId(node.len()))?;
        let mut out = Vec::with_capacity(usize::from(length) + packet.len());
        out.extend_from_slice(&[length, ENCAPSULATION, radius & RADIUS]);
        out.extend_from_slice(node);
        out.extend_from_slice(&packet);
        Ok(out)
    }
}
