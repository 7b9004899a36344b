//! Topic names of the ledger-as-a-service protocol (M13; the paper's Table 3).
//!
//! | topic | publisher | subscribers |
//! |---|---|---|
//! | `root/device/x` | device | fog processor |
//! | `root/fog/x` | fog processor | devices, ledger node, cache |
//! | `root/node/<site>/tangle` | ledger node | cache |
//! | `root/node/<site>/active` | ledger node | cache |
//! | `root/cache/<site>/pending` | cache | ledger node |
//! | `root/fog/<site>/rejected` | fog processor | operators (ours) |
//! | `root/device/<site>/<ID>/request` | device | ledger node (ours) |
//! | `root/device/<site>/<ID>/report` | device | ledger node (ours) |
//! | `root/node/<site>/<ID>/requested` | ledger node | that device (ours) |
//! | `root/node/<site>/<ID>/confirmed` | ledger node | that device (ours) |
//!
//! `x = site/ID/type`, `type = sense/<dataType>` or `act/<dataType>`. A site of a hierarchy has a name of several levels,
//! `site = aggregation/local` (the paper's §3.3): `x` is read from its end, where the number of levels is fixed.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_bytes};
use crate::device::{DeviceName, DeviceNameError};
use crate::limits::{NAME_BYTES_MAX, SITE_LEVELS_MAX};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use thiserror::Error;

/// Why text is not one level of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing between two slashes.
    #[error("it is empty")]
    Empty,
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("it has {0} bytes, the limit is {NAME_BYTES_MAX}")]
    TooLong(usize),
    /// `/`, `+`, `#`, `@`, a control character, or `$` at the start.
    #[error("it holds {0:?}, which has a meaning of its own in topics")]
    Character(char),
    /// A site with more than [`SITE_LEVELS_MAX`] levels.
    #[error("it has {0} levels, the limit is {SITE_LEVELS_MAX}")]
    TooManyLevels(usize),
    /// A level of a site that is `sense` or `act`: the end of a topic could not be told from it.
    #[error("a level of a site cannot be 'sense' or 'act'")]
    Reserved,
}

/// One level of a topic: a device or a data type; or the name of a site, which may have several levels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`NameError`] if it is empty, too long, or holds a character with a meaning of its own.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong(text.len()));
        }
        let bad = |c: char| c.is_control() || matches!(c, '/' | '+' | '#' | '@');
        if let Some(c) = text.chars().find(|c| bad(*c)).or_else(|| text.chars().next().filter(|c| *c == '$')) {
            return Err(NameError::Character(c));
        }
        Ok(Self(text.to_string()))
    }

    /// Checks the name of a site: one level, or up to [`SITE_LEVELS_MAX`] parted by `/`, such as `aggregation/local`. All of
    /// it has at most [`NAME_BYTES_MAX`] bytes. In a name of several levels none is `sense` or `act`.
    ///
    /// # Errors
    /// [`NameError`] if a level is not a name, or the whole is too long.
    pub fn site(text: &str) -> Result<Self, NameError> {
        if !text.contains('/') {
            return Self::new(text);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong(text.len()));
        }
        for level in text.split('/') {
            Self::new(level)?;
            if level == Direction::Sense.as_str() || level == Direction::Act.as_str() {
                return Err(NameError::Reserved);
            }
        }
        match text.split('/').count() {
            levels if levels > SITE_LEVELS_MAX => Err(NameError::TooManyLevels(levels)),
            _ => Ok(Self(text.to_string())),
        }
    }

    /// Reads the name of a site, which is encoded as any name.
    ///
    /// # Errors
    /// [`DecodeError`] if it ends too early, or is no site's name by [`Name::site`].
    pub fn decode_site(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::site(reader.text(NAME_BYTES_MAX, "a name")?).map_err(|_| DecodeError::Invalid("a name"))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for Name {
    type Err = NameError;
    fn from_str(s: &str) -> Result<Self, NameError> {
        Self::new(s)
    }
}
impl Encode for Name {
    fn encode_to(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.0.as_bytes());
    }
}
impl Decode for Name {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::new(reader.text(NAME_BYTES_MAX, "a name")?).map_err(|_| DecodeError::Invalid("a name"))
    }
}

/// Whether a device tells or does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// `sense`: a sensor's measurement.
    Sense,
    /// `act`: an actuator's state.
    Act,
}

impl Direction {
    /// The topic level.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sense => "sense",
            Self::Act => "act",
        }
    }
}

/// `x` of the paper: `site/ID/sense/<dataType>` or `site/ID/act/<dataType>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceTopic {
    /// The place, by [`Name::site`].
    pub site: Name,
    /// The device's ID within the site.
    pub device: Name,
    /// Sensor or actuator.
    pub direction: Direction,
    /// What is measured or driven.
    pub data_type: Name,
}

impl fmt::Display for DeviceTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.site, self.device, self.direction.as_str(), self.data_type)
    }
}

impl FromStr for DeviceTopic {
    type Err = TopicError;
    fn from_str(s: &str) -> Result<Self, TopicError> {
        // from the end: a site may have several levels
        let mut levels = s.rsplitn(4, '/');
        let (Some(data_type), Some(direction), Some(device), Some(site)) = (levels.next(), levels.next(), levels.next(), levels.next())
        else {
            return Err(TopicError::Shape);
        };
        let name = |level, text| Name::new(text).map_err(|why| TopicError::Name { level, why });
        Ok(Self {
            site: Name::site(site).map_err(|why| TopicError::Name { level: "site", why })?,
            device: name("device ID", device)?,
            direction: match direction {
                "sense" => Direction::Sense,
                "act" => Direction::Act,
                _ => return Err(TopicError::Direction),
            },
            data_type: name("data type", data_type)?,
        })
    }
}

impl Encode for DeviceTopic {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.site.encode_to(out);
        self.device.encode_to(out);
        out.push(match self.direction {
            Direction::Sense => 0,
            Direction::Act => 1,
        });
        self.data_type.encode_to(out);
    }
}

impl Decode for DeviceTopic {
    fn decode_from(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            site: Name::decode_site(reader)?,
            device: Name::decode_from(reader)?,
            direction: match reader.byte("a direction")? {
                0 => Direction::Sense,
                1 => Direction::Act,
                tag => return Err(DecodeError::UnknownTag { what: "a direction", tag }),
            },
            data_type: Name::decode_from(reader)?,
        })
    }
}

/// Why a topic is outside the scheme.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TopicError {
    /// Not one of the scheme's shapes.
    #[error("it is outside the scheme: publish to root/device/<site>/<ID>/sense|act/<dataType>")]
    Shape,
    /// The third level of `x` is neither `sense` nor `act`.
    #[error("the level before the data type must be 'sense' or 'act'")]
    Direction,
    /// A level is not a name.
    #[error("its {level} is not valid: {why}")]
    Name {
        /// Which level.
        level: &'static str,
        /// What is wrong with it.
        why: NameError,
    },
    /// What should name a device does not.
    #[error("it names no device: {0}")]
    Device(DeviceNameError),
}

/// A topic of the scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topic {
    /// `root/device/x`: what a device publishes.
    Device(DeviceTopic),
    /// `root/fog/x`: processed data.
    Fog(DeviceTopic),
    /// `root/fog/<site>/rejected`: payloads that were refused, with the reason.
    Rejected(Name),
    /// `root/node/<site>/tangle`: what was published on the ledger.
    Tangle(Name),
    /// `root/node/<site>/active`: the ledger node is back.
    Active(Name),
    /// `root/cache/<site>/pending`: what the cache still holds.
    Pending(Name),
    /// `root/device/<site>/<ID>/request`: what a device asks of another.
    Request(DeviceName),
    /// `root/node/<site>/<ID>/requested`: what became of it.
    Requested(DeviceName),
    /// `root/device/<site>/<ID>/report`: what became of a command that somebody paid for.
    Report(DeviceName),
    /// `root/node/<site>/<ID>/confirmed`: which of the device's readings are on the ledger.
    Confirmed(DeviceName),
}

impl Topic {
    /// The device that may publish there, if the topic is one for devices to publish on.
    #[must_use]
    pub fn publisher(&self) -> Option<DeviceName> {
        match self {
            Self::Device(x) => Some(DeviceName::of(x)),
            Self::Request(device) | Self::Report(device) => Some(device.clone()),
            _ => None,
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(x) => write!(f, "root/device/{x}"),
            Self::Fog(x) => write!(f, "root/fog/{x}"),
            Self::Rejected(site) => write!(f, "root/fog/{site}/rejected"),
            Self::Tangle(site) => write!(f, "root/node/{site}/tangle"),
            Self::Active(site) => write!(f, "root/node/{site}/active"),
            Self::Pending(site) => write!(f, "root/cache/{site}/pending"),
            Self::Request(device) => write!(f, "root/device/{device}/request"),
            Self::Report(device) => write!(f, "root/device/{device}/report"),
            Self::Requested(device) => write!(f, "root/node/{device}/requested"),
            Self::Confirmed(device) => write!(f, "root/node/{device}/confirmed"),
        }
    }
}

impl FromStr for Topic {
    type Err = TopicError;
    fn from_str(s: &str) -> Result<Self, TopicError> {
        let site = |text| Name::site(text).map_err(|why| TopicError::Name { level: "site", why });
        let rest = s.strip_prefix("root/").ok_or(TopicError::Shape)?;
        let (area, rest) = rest.split_once('/').ok_or(TopicError::Shape)?;
        let device = |text: &str| text.parse::<DeviceName>().map_err(TopicError::Device);
        match (area, rest.rsplit_once('/')) {
            // `request` and `report` may also be data types; then the level before it is a direction
            ("device", Some((name, "request"))) if rest.parse::<DeviceTopic>().is_err() => device(name).map(Self::Request),
            ("device", Some((name, "report"))) if rest.parse::<DeviceTopic>().is_err() => device(name).map(Self::Report),
            ("device", _) => rest.parse().map(Self::Device),
            // `rejected` may also be a data type; then the level before it is a direction
            ("fog", Some((name, "rejected"))) if rest.parse::<DeviceTopic>().is_err() => site(name).map(Self::Rejected),
            ("fog", _) => rest.parse().map(Self::Fog),
            ("node", Some((name, "tangle"))) => site(name).map(Self::Tangle),
            ("node", Some((name, "active"))) => site(name).map(Self::Active),
            ("node", Some((name, "requested"))) => device(name).map(Self::Requested),
            ("node", Some((name, "confirmed"))) => device(name).map(Self::Confirmed),
            ("cache", Some((name, "pending"))) => site(name).map(Self::Pending),
            _ => Err(TopicError::Shape),
        }
    }
}
