//! What a message names its topic by.

use super::flags::TopicIdType;
use alloc::string::String;

/// The topic of a PUBLISH: always two octets, told apart by the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TopicRef {
    /// A topic id that was registered in this session.
    Normal(u16),
    /// An id that both sides know beforehand.
    Predefined(u16),
    /// A name of two octets.
    Short([u8; 2]),
}

impl TopicRef {
    /// The two octets as a number, as acknowledgements repeat them.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Normal(id) | Self::Predefined(id) => id,
            Self::Short(name) => u16::from_be_bytes(name),
        }
    }

    /// How the flags tell it apart.
    #[must_use]
    pub const fn kind(self) -> TopicIdType {
        match self {
            Self::Normal(_) => TopicIdType::Normal,
            Self::Predefined(_) => TopicIdType::Predefined,
            Self::Short(_) => TopicIdType::Short,
        }
    }

    pub(super) const fn new(kind: TopicIdType, octets: [u8; 2]) -> Self {
        match kind {
            TopicIdType::Normal => Self::Normal(u16::from_be_bytes(octets)),
            TopicIdType::Predefined => Self::Predefined(u16::from_be_bytes(octets)),
            TopicIdType::Short => Self::Short(octets),
        }
    }
}

/// What SUBSCRIBE and UNSUBSCRIBE are about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicFilter {
    /// A name, with or without wildcards.
    Name(String),
    /// An id that both sides know beforehand.
    Predefined(u16),
    /// A name of two octets.
    Short([u8; 2]),
}

impl TopicFilter {
    /// How the flags tell it apart.
    #[must_use]
    pub const fn kind(&self) -> TopicIdType {
        match self {
            Self::Name(_) => TopicIdType::Normal,
            Self::Predefined(_) => TopicIdType::Predefined,
            Self::Short(_) => TopicIdType::Short,
        }
    }
}
