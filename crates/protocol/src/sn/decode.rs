//! From bytes to a message.

use super::flags::{Flags, TopicIdType};
use super::packet::{Connect, Packet, Publish, ReturnCode, Subscribe, WillTopic};
use super::topic::{TopicFilter, TopicRef};
use crate::codec::{DecodeError, Reader};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Bytes of the shortest message: a length of one octet and a type.
const SHORTEST: usize = 2;

impl Packet {
    /// Reads one message that must fill `bytes` exactly, as it fills its datagram.
    ///
    /// # Errors
    /// [`DecodeError`]: a length that is not that of `bytes`, a field that is missing or too much, a reserved value, text
    /// that is not UTF-8.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let first = reader.byte("the length")?;
        let (length, head) = match first {
            0x01 => (usize::from(reader.u16("the length")?), 3),
            length => (usize::from(length), 1),
        };
        if length < head + SHORTEST - 1 {
            return Err(DecodeError::Invalid("the length"));
        }
        if length > bytes.len() {
            return Err(DecodeError::UnexpectedEnd("the message"));
        }
        if length < bytes.len() {
            return Err(DecodeError::TrailingBytes(bytes.len() - length));
        }
        let kind = reader.byte("the message type")?;
        let packet = body(kind, &mut reader)?;
        reader.finish()?;
        Ok(packet)
    }
}

/// What follows the message type.
fn body(kind: u8, reader: &mut Reader<'_>) -> Result<Packet, DecodeError> {
    Ok(match kind {
        0x00 => Packet::Advertise { gateway_id: reader.byte("a gateway's id")?, duration_s: reader.u16("a duration")? },
        0x01 => Packet::SearchGateway { radius: reader.byte("a radius")? },
        0x02 => Packet::GatewayInfo { gateway_id: reader.byte("a gateway's id")?, address: rest(reader)? },
        0x04 => connect(reader)?,
        0x05 => Packet::ConnAck(code(reader)?),
        0x06 => Packet::WillTopicRequest,
        0x07 => Packet::WillTopic(will(reader)?),
        0x08 => Packet::WillMessageRequest,
        0x09 => Packet::WillMessage(rest(reader)?),
        0x0A => Packet::Register { topic_id: topic_id(reader)?, message_id: message_id(reader)?, topic: text(reader, "a topic name")? },
        0x0B => Packet::RegAck { topic_id: topic_id(reader)?, message_id: message_id(reader)?, code: code(reader)? },
        0x0C => publish(reader)?,
        0x0D => Packet::PubAck { topic_id: topic_id(reader)?, message_id: message_id(reader)?, code: code(reader)? },
        0x0E => Packet::PubComp(message_id(reader)?),
        0x0F => Packet::PubRec(message_id(reader)?),
        0x10 => Packet::PubRel(message_id(reader)?),
        0x12 => subscribe(reader)?,
        0x13 => suback(reader)?,
        0x14 => unsubscribe(reader)?,
        0x15 => Packet::UnsubAck(message_id(reader)?),
        0x16 => Packet::PingRequest { client_id: text(reader, "a client id")? },
        0x17 => Packet::PingResponse,
        0x18 => Packet::Disconnect { duration_s: (reader.remaining() > 0).then(|| reader.u16("a duration")).transpose()? },
        0x1A => Packet::WillTopicUpdate(will(reader)?),
        0x1B => Packet::WillTopicResponse(code(reader)?),
        0x1C => Packet::WillMessageUpdate(rest(reader)?),
        0x1D => Packet::WillMessageResponse(code(reader)?),
        tag => return Err(DecodeError::UnknownTag { what: "a message type", tag }),
    })
}

fn rest(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    Ok(reader.take(reader.remaining(), "the rest of the message")?.to_vec())
}

fn text(reader: &mut Reader<'_>, what: &'static str) -> Result<String, DecodeError> {
    let bytes = reader.take(reader.remaining(), what)?;
    core::str::from_utf8(bytes).map(ToString::to_string).map_err(|_| DecodeError::Invalid(what))
}

fn flags(reader: &mut Reader<'_>) -> Result<Flags, DecodeError> {
    reader.byte("the flags").map(Flags)
}

fn topic_id(reader: &mut Reader<'_>) -> Result<u16, DecodeError> {
    reader.u16("a topic id")
}

fn message_id(reader: &mut Reader<'_>) -> Result<u16, DecodeError> {
    reader.u16("a message id")
}

fn code(reader: &mut Reader<'_>) -> Result<ReturnCode, DecodeError> {
    ReturnCode::of_octet(reader.byte("a return code")?)
}

fn connect(reader: &mut Reader<'_>) -> Result<Packet, DecodeError> {
    let flags = flags(reader)?;
    Ok(Packet::Connect(Connect {
        will: flags.will(),
        clean_session: flags.clean_session(),
        protocol_id: reader.byte("the protocol id")?,
        keep_alive_s: reader.u16("a duration")?,
        client_id: text(reader, "a client id")?,
    }))
}

fn will(reader: &mut Reader<'_>) -> Result<Option<WillTopic>, DecodeError> {
    if reader.remaining() == 0 {
        return Ok(None);
    }
    let flags = flags(reader)?;
    Ok(Some(WillTopic { qos: flags.qos(), retain: flags.retain(), topic: text(reader, "a will's topic")? }))
}

fn publish(reader: &mut Reader<'_>) -> Result<Packet, DecodeError> {
    let flags = flags(reader)?;
    Ok(Packet::Publish(Publish {
        dup: flags.dup(),
        qos: flags.qos(),
        retain: flags.retain(),
        topic: TopicRef::new(flags.topic_id_type()?, reader.array("a topic id")?),
        message_id: message_id(reader)?,
        data: rest(reader)?,
    }))
}

fn filter(flags: Flags, reader: &mut Reader<'_>) -> Result<TopicFilter, DecodeError> {
    Ok(match flags.topic_id_type()? {
        TopicIdType::Normal => TopicFilter::Name(text(reader, "a topic name")?),
        TopicIdType::Predefined => TopicFilter::Predefined(topic_id(reader)?),
        TopicIdType::Short => TopicFilter::Short(reader.array("a short topic name")?),
    })
}

fn subscribe(reader: &mut Reader<'_>) -> Result<Packet, DecodeError> {
    let flags = flags(reader)?;
    let message_id = message_id(reader)?;
    Ok(Packet::Subscribe(Subscribe { dup: flags.dup(), qos: flags.qos(), message_id, topic: filter(flags, reader)? }))
}

fn suback(reader: &mut Reader<'_>) -> Result<Packet, DecodeError> {
    let qos = flags(reader)?.qos();
    Ok(Packet::SubAck { qos, topic_id: topic_id(reader)?, message_id: message_id(reader)?, code: code(reader)? })
}

fn unsubscribe(reader: &mut Reader<'_>) -> Result<Packet, DecodeError> {
    let flags = flags(reader)?;
    let message_id = message_id(reader)?;
    Ok(Packet::Unsubscribe { message_id, topic: filter(flags, reader)? })
}
