//! The messages (§5.4), each as a value.

use super::flags::Qos;
use super::topic::{TopicFilter, TopicRef};
use crate::codec::DecodeError;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The protocol id of MQTT-SN 1.2 in CONNECT.
pub const PROTOCOL_ID: u8 = 0x01;

/// How a request was answered (§5.3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReturnCode {
    /// 0x00.
    Accepted,
    /// 0x01: not now; try again later (T_WAIT).
    Congestion,
    /// 0x02: the topic id is not known: register the topic.
    InvalidTopicId,
    /// 0x03: never, as it stands.
    NotSupported,
}

impl ReturnCode {
    /// Its octet.
    #[must_use]
    pub const fn octet(self) -> u8 {
        match self {
            Self::Accepted => 0x00,
            Self::Congestion => 0x01,
            Self::InvalidTopicId => 0x02,
            Self::NotSupported => 0x03,
        }
    }

    /// What an octet means.
    ///
    /// # Errors
    /// [`DecodeError::UnknownTag`] for the reserved 0x04 to 0xFF.
    pub const fn of_octet(octet: u8) -> Result<Self, DecodeError> {
        match octet {
            0x00 => Ok(Self::Accepted),
            0x01 => Ok(Self::Congestion),
            0x02 => Ok(Self::InvalidTopicId),
            0x03 => Ok(Self::NotSupported),
            tag => Err(DecodeError::UnknownTag { what: "a return code", tag }),
        }
    }
}

impl fmt::Display for ReturnCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accepted => "accepted",
            Self::Congestion => "rejected: congestion",
            Self::InvalidTopicId => "rejected: invalid topic id",
            Self::NotSupported => "rejected: not supported",
        })
    }
}

/// CONNECT.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connect {
    /// The client wants to be prompted for a will.
    pub will: bool,
    /// Forget what was known of the client, its will included.
    pub clean_session: bool,
    /// [`PROTOCOL_ID`], or the client speaks another protocol.
    pub protocol_id: u8,
    /// Seconds after which the client has said something.
    pub keep_alive_s: u16,
    /// Who it is: 1 to 23 characters by the specification.
    pub client_id: String,
}

/// What WILLTOPIC and WILLTOPICUPD say, unless they are empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WillTopic {
    /// The quality of service of the will.
    pub qos: Qos,
    /// Whether the will is retained.
    pub retain: bool,
    /// Its topic.
    pub topic: String,
}

/// PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Publish {
    /// It was sent before.
    pub dup: bool,
    /// Quality of service.
    pub qos: Qos,
    /// Whether it is, or is to be, retained.
    pub retain: bool,
    /// Its topic.
    pub topic: TopicRef,
    /// What its acknowledgement will repeat; 0 at QoS 0 and −1.
    pub message_id: u16,
    /// Its payload.
    pub data: Vec<u8>,
}

/// SUBSCRIBE.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subscribe {
    /// It was sent before.
    pub dup: bool,
    /// The highest quality of service wanted.
    pub qos: Qos,
    /// What its acknowledgement will repeat.
    pub message_id: u16,
    /// What is subscribed to.
    pub topic: TopicFilter,
}

/// A message of MQTT-SN 1.2.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Packet {
    /// ADVERTISE: a gateway is here.
    Advertise {
        /// The gateway's id.
        gateway_id: u8,
        /// Seconds until the next one.
        duration_s: u16,
    },
    /// SEARCHGW: is there a gateway?
    SearchGateway {
        /// How far the question is to be broadcast; 0 is everywhere.
        radius: u8,
    },
    /// GWINFO: there is.
    GatewayInfo {
        /// The gateway's id.
        gateway_id: u8,
        /// Its address, if a client answers in its place; empty from the gateway itself.
        address: Vec<u8>,
    },
    /// CONNECT.
    Connect(Connect),
    /// CONNACK.
    ConnAck(ReturnCode),
    /// WILLTOPICREQ.
    WillTopicRequest,
    /// WILLTOPIC; `None` if it is empty: no will.
    WillTopic(Option<WillTopic>),
    /// WILLMSGREQ.
    WillMessageRequest,
    /// WILLMSG.
    WillMessage(Vec<u8>),
    /// REGISTER, both ways.
    Register {
        /// The id that the gateway gives; 0 from a client.
        topic_id: u16,
        /// What REGACK will repeat.
        message_id: u16,
        /// The topic.
        topic: String,
    },
    /// REGACK.
    RegAck {
        /// The topic's id.
        topic_id: u16,
        /// The REGISTER's.
        message_id: u16,
        /// Whether it is registered.
        code: ReturnCode,
    },
    /// PUBLISH.
    Publish(Publish),
    /// PUBACK: QoS 1 is through, or a PUBLISH of any quality is refused.
    PubAck {
        /// That of the PUBLISH.
        topic_id: u16,
        /// That of the PUBLISH.
        message_id: u16,
        /// Whether it is accepted.
        code: ReturnCode,
    },
    /// PUBREC with its message id.
    PubRec(u16),
    /// PUBREL with its message id.
    PubRel(u16),
    /// PUBCOMP with its message id.
    PubComp(u16),
    /// SUBSCRIBE.
    Subscribe(Subscribe),
    /// SUBACK.
    SubAck {
        /// The quality of service granted.
        qos: Qos,
        /// The id under which the topic will be published; 0 if it is short or has wildcards.
        topic_id: u16,
        /// That of the SUBSCRIBE.
        message_id: u16,
        /// Whether it is accepted.
        code: ReturnCode,
    },
    /// UNSUBSCRIBE.
    Unsubscribe {
        /// What UNSUBACK will repeat.
        message_id: u16,
        /// What is no longer wanted.
        topic: TopicFilter,
    },
    /// UNSUBACK with its message id.
    UnsubAck(u16),
    /// PINGREQ.
    PingRequest {
        /// Given by a sleeping client that wants what waits for it; else empty.
        client_id: String,
    },
    /// PINGRESP.
    PingResponse,
    /// DISCONNECT.
    Disconnect {
        /// Seconds for which the client will sleep; `None` if it leaves.
        duration_s: Option<u16>,
    },
    /// WILLTOPICUPD; `None` if it is empty: the will is deleted.
    WillTopicUpdate(Option<WillTopic>),
    /// WILLTOPICRESP.
    WillTopicResponse(ReturnCode),
    /// WILLMSGUPD.
    WillMessageUpdate(Vec<u8>),
    /// WILLMSGRESP.
    WillMessageResponse(ReturnCode),
}

impl Packet {
    /// Its octet `MsgType` (§5.2.2).
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Advertise { .. } => 0x00,
            Self::SearchGateway { .. } => 0x01,
            Self::GatewayInfo { .. } => 0x02,
            Self::Connect(_) => 0x04,
            Self::ConnAck(_) => 0x05,
            Self::WillTopicRequest => 0x06,
            Self::WillTopic(_) => 0x07,
            Self::WillMessageRequest => 0x08,
            Self::WillMessage(_) => 0x09,
            Self::Register { .. } => 0x0A,
            Self::RegAck { .. } => 0x0B,
            Self::Publish(_) => 0x0C,
            Self::PubAck { .. } => 0x0D,
            Self::PubComp(_) => 0x0E,
            Self::PubRec(_) => 0x0F,
            Self::PubRel(_) => 0x10,
            Self::Subscribe(_) => 0x12,
            Self::SubAck { .. } => 0x13,
            Self::Unsubscribe { .. } => 0x14,
            Self::UnsubAck(_) => 0x15,
            Self::PingRequest { .. } => 0x16,
            Self::PingResponse => 0x17,
            Self::Disconnect { .. } => 0x18,
            Self::WillTopicUpdate(_) => 0x1A,
            Self::WillTopicResponse(_) => 0x1B,
            Self::WillMessageUpdate(_) => 0x1C,
            Self::WillMessageResponse(_) => 0x1D,
        }
    }
}
