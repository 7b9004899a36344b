//! A publish, and what becomes of it.

use crate::log::AppendError;
use edge::payload;
use protocol::{DeviceName, Name, PublicKey, Reading, Topic};
use thiserror::Error;

/// A PUBLISH as the broker got it.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its bytes.
    pub payload: &'a [u8],
    /// The client that sent it.
    pub client: &'a str,
    /// Its packet id; none at QoS 0.
    pub packet_id: Option<u16>,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether the client says that it may have sent it before.
    pub dup: bool,
}

/// A publish that is to be acknowledged.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Its new readings are durable.
    Stored {
        /// The offset of the first; the others follow.
        first_offset: u64,
        /// The readings that were new, in order.
        readings: Vec<Reading>,
    },
    /// All of it was durable before.
    Duplicate,
    /// It asks another device for something, and is on its way.
    Requested,
    /// It tells what became of a command that somebody paid for, and that is durable.
    Reported,
    /// Its payload can never become a reading; sending it again would not help.
    Rejected(Rejection),
}

/// A payload that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The topic it was published on.
    pub topic: String,
    /// Why, for the device's owner.
    pub reason: String,
    /// How many bytes it had.
    pub bytes: usize,
}

impl Outcome {
    /// What the broker publishes now: topics and payloads. For each stored reading `root/fog/x` and SenML JSON;
    /// for a rejection `root/fog/<site>/rejected` and a JSON object with `topic`, `reason` and `bytes`.
    #[must_use]
    pub fn republish(&self, site: &Name) -> Vec<(String, Vec<u8>)> {
        match self {
            Self::Stored { readings, .. } => {
                readings.iter().map(|reading| (Topic::Fog(reading.topic.clone()).to_string(), payload::fog_json(reading))).collect()
            }
            Self::Duplicate | Self::Requested | Self::Reported => Vec::new(),
            Self::Rejected(Rejection { topic, reason, bytes }) => {
                let told = serde_json::json!({ "topic": topic, "reason": reason, "bytes": bytes });
                vec![(Topic::Rejected(site.clone()).to_string(), told.to_string().into_bytes())]
            }
        }
    }
}

/// A device that published here, and is elsewhere as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The device.
    pub device: DeviceName,
    /// The key that it signed with.
    pub key: PublicKey,
}

/// A publish that must not be acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Devices of this site do not publish on this topic.
    #[error("{0}")]
    Topic(String),
    /// The payload is too large to be looked at.
    #[error("the payload has {bytes} bytes, the limit is {limit_bytes}: split it")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// How many it may have.
        limit_bytes: usize,
    },
    /// The log did not take it: the device sends it again later.
    #[error(transparent)]
    Store(#[from] AppendError),
}

/// How many publishes had which end, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngressCounters {
    /// Stored, wholly or in part; and requests and reports that were taken.
    pub accepted: u64,
    /// All of it was stored before.
    pub duplicates: u64,
    /// Malformed payloads.
    pub rejected: u64,
    /// Not acknowledged; at QoS 0 that means lost.
    pub refused: u64,
    /// Readings that were stored.
    pub readings: u64,
}
