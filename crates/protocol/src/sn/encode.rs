//! From a message to its bytes.

use super::flags::Flags;
use super::frame::NODE_ID_BYTES_MAX;
use super::packet::{Packet, WillTopic};
use super::topic::TopicFilter;
use alloc::vec::Vec;
use thiserror::Error;

/// Bytes of one message: what the length of three octets can say.
pub const PACKET_BYTES_MAX: usize = 65_535;

/// Why a message cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// It does not fit the length field.
    #[error("the message has {0} bytes, the limit is {PACKET_BYTES_MAX}: send less")]
    TooLong(usize),
    /// The wireless node id does not fit an encapsulation.
    #[error("the wireless node id has {0} bytes, the limit is {NODE_ID_BYTES_MAX}")]
    NodeId(usize),
}

impl Packet {
    /// Its bytes, with the shortest length that fits.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] over [`PACKET_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut body = Vec::new();
        self.put_body(&mut body);
        let mut out = Vec::with_capacity(body.len() + 4);
        let short = body.len() + 2;
        match u8::try_from(short) {
            Ok(length) => out.push(length),
            // over 255: the length takes two octets more
            Err(_) => {
                let length = short + 2;
                out.push(0x01);
                out.extend_from_slice(&u16::try_from(length).map_err(|_| EncodeError::TooLong(length))?.to_be_bytes());
            }
        }
        out.push(self.kind());
        out.extend_from_slice(&body);
        Ok(out)
    }

    /// What follows the message type.
    fn put_body(&self, out: &mut Vec<u8>) {
        match self {
            Self::WillTopicRequest | Self::WillMessageRequest | Self::PingResponse => {}
            Self::Advertise { gateway_id, duration_s } => {
                out.push(*gateway_id);
                put(out, *duration_s);
            }
            Self::SearchGateway { radius } => out.push(*radius),
            Self::GatewayInfo { gateway_id, address } => {
                out.push(*gateway_id);
                out.extend_from_slice(address);
            }
            Self::Connect(connect) => {
                out.push(Flags::NONE.with_will(connect.will).with_clean_session(connect.clean_session).0);
                out.push(connect.protocol_id);
                put(out, connect.keep_alive_s);
                out.extend_from_slice(connect.client_id.as_bytes());
            }
            Self::ConnAck(code) | Self::WillTopicResponse(code) | Self::WillMessageResponse(code) => out.push(code.octet()),
            Self::WillTopic(will) | Self::WillTopicUpdate(will) => put_will(out, will.as_ref()),
            Self::WillMessage(message) | Self::WillMessageUpdate(message) => out.extend_from_slice(message),
            Self::Register { topic_id, message_id, topic } => {
                put(out, *topic_id);
                put(out, *message_id);
                out.extend_from_slice(topic.as_bytes());
            }
            Self::RegAck { topic_id, message_id, code } | Self::PubAck { topic_id, message_id, code } => {
                put(out, *topic_id);
                put(out, *message_id);
                out.push(code.octet());
            }
            Self::Publish(publish) => {
                let flags = Flags::NONE.with_dup(publish.dup).with_qos(publish.qos).with_retain(publish.retain);
                out.push(flags.with_topic_id_type(publish.topic.kind()).0);
                put(out, publish.topic.number());
                put(out, publish.message_id);
                out.extend_from_slice(&publish.data);
            }
            Self::PubRec(id) | Self::PubRel(id) | Self::PubComp(id) | Self::UnsubAck(id) => put(out, *id),
            Self::Subscribe(subscribe) => {
                let flags = Flags::NONE.with_dup(subscribe.dup).with_qos(subscribe.qos);
                out.push(flags.with_topic_id_type(subscribe.topic.kind()).0);
                put(out, subscribe.message_id);
                put_filter(out, &subscribe.topic);
            }
            Self::SubAck { qos, topic_id, message_id, code } => {
                out.push(Flags::NONE.with_qos(*qos).0);
                put(out, *topic_id);
                put(out, *message_id);
                out.push(code.octet());
            }
            Self::Unsubscribe { message_id, topic } => {
                out.push(Flags::NONE.with_topic_id_type(topic.kind()).0);
                put(out, *message_id);
                put_filter(out, topic);
            }
            Self::PingRequest { client_id } => out.extend_from_slice(client_id.as_bytes()),
            Self::Disconnect { duration_s } => {
                if let Some(duration_s) = duration_s {
                    put(out, *duration_s);
                }
            }
        }
    }
}

fn put(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_will(out: &mut Vec<u8>, will: Option<&WillTopic>) {
    if let Some(will) = will {
        out.push(Flags::NONE.with_qos(will.qos).with_retain(will.retain).0);
        out.extend_from_slice(will.topic.as_bytes());
    }
}

fn put_filter(out: &mut Vec<u8>, filter: &TopicFilter) {
    match filter {
        TopicFilter::Name(name) => out.extend_from_slice(name.as_bytes()),
        TopicFilter::Predefined(id) => put(out, *id),
        TopicFilter::Short(name) => out.extend_from_slice(name),
    }
}
