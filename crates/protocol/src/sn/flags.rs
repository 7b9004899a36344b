//! The octet of flags (§5.3.4): `DUP QoS QoS Retain Will CleanSession TopicIdType TopicIdType`.

use crate::codec::DecodeError;

const DUP: u8 = 0x80;
const RETAIN: u8 = 0x10;
const WILL: u8 = 0x08;
const CLEAN_SESSION: u8 = 0x04;
const QOS_SHIFT: u32 = 5;
const QOS_MASK: u8 = 0b11;
const TOPIC_ID_TYPE: u8 = 0b11;

/// Quality of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qos {
    /// 0: sent once, never acknowledged.
    #[default]
    AtMostOnce,
    /// 1: acknowledged.
    AtLeastOnce,
    /// 2: acknowledged in two steps.
    ExactlyOnce,
    /// −1: as 0, and the sender has no connection.
    MinusOne,
}

impl Qos {
    /// The two bits that stand for it.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::AtMostOnce => 0b00,
            Self::AtLeastOnce => 0b01,
            Self::ExactlyOnce => 0b10,
            Self::MinusOne => 0b11,
        }
    }

    /// What two bits stand for; further bits are ignored.
    #[must_use]
    pub const fn of_bits(bits: u8) -> Self {
        match bits & QOS_MASK {
            0b00 => Self::AtMostOnce,
            0b01 => Self::AtLeastOnce,
            0b10 => Self::ExactlyOnce,
            _ => Self::MinusOne,
        }
    }
}

/// What the topic of a message is given as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TopicIdType {
    /// `00`: a registered topic id, or the name itself in SUBSCRIBE and UNSUBSCRIBE.
    #[default]
    Normal,
    /// `01`: an id that both sides know beforehand.
    Predefined,
    /// `10`: a name of two octets.
    Short,
}

/// An octet of flags, taken apart by name. Each message says which of them it uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// No flag set.
    pub const NONE: Self = Self(0);

    const fn with(self, bit: u8, set: bool) -> Self {
        if set { Self(self.0 | bit) } else { Self(self.0 & !bit) }
    }

    /// With DUP as given: the message was sent before.
    #[must_use]
    pub const fn with_dup(self, set: bool) -> Self {
        self.with(DUP, set)
    }

    /// With the quality of service.
    #[must_use]
    pub const fn with_qos(self, qos: Qos) -> Self {
        Self((self.0 & !(QOS_MASK << QOS_SHIFT)) | (qos.bits() << QOS_SHIFT))
    }

    /// With Retain as given.
    #[must_use]
    pub const fn with_retain(self, set: bool) -> Self {
        self.with(RETAIN, set)
    }

    /// With Will as given: CONNECT asks to be prompted for a will.
    #[must_use]
    pub const fn with_will(self, set: bool) -> Self {
        self.with(WILL, set)
    }

    /// With CleanSession as given.
    #[must_use]
    pub const fn with_clean_session(self, set: bool) -> Self {
        self.with(CLEAN_SESSION, set)
    }

    /// With the type of the topic id.
    #[must_use]
    pub const fn with_topic_id_type(self, kind: TopicIdType) -> Self {
        let bits = match kind {
            TopicIdType::Normal => 0b00,
            TopicIdType::Predefined => 0b01,
            TopicIdType::Short => 0b10,
        };
        Self((self.0 & !TOPIC_ID_TYPE) | bits)
    }

    /// DUP.
    #[must_use]
    pub const fn dup(self) -> bool {
        self.0 & DUP != 0
    }

    /// The quality of service.
    #[must_use]
    pub const fn qos(self) -> Qos {
        Qos::of_bits(self.0 >> QOS_SHIFT)
    }

    /// Retain.
    #[must_use]
    pub const fn retain(self) -> bool {
        self.0 & RETAIN != 0
    }

    /// Will.
    #[must_use]
    pub const fn will(self) -> bool {
        self.0 & WILL != 0
    }

    /// CleanSession.
    #[must_use]
    pub const fn clean_session(self) -> bool {
        self.0 & CLEAN_SESSION != 0
    }

    /// The type of the topic id.
    ///
    /// # Errors
    /// [`DecodeError::UnknownTag`] for the reserved `11`.
    pub const fn topic_id_type(self) -> Result<TopicIdType, DecodeError> {
        match self.0 & TOPIC_ID_TYPE {
            0b00 => Ok(TopicIdType::Normal),
            0b01 => Ok(TopicIdType::Predefined),
            0b10 => Ok(TopicIdType::Short),
            tag => Err(DecodeError::UnknownTag { what: "the type of a topic id", tag }),
        }
    }
}
