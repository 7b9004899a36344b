//! The parts of a site as processes of their own that talk only MQTT: what they call themselves, what they subscribe to,
//! and what travels with their publishes. The rules are ROLE-1 to ROLE-17 of `docs/spec/topics.md`.
//!
//! # Rules
//! - A part is a *service*: it is known by its client id, `$wattle-<role>@<site>`. What it publishes goes over connections
//!   of their own, `$wattle-<role>-out-<n>@<site>`, so that what it is waited for never waits behind what it waits for.
//! - What comes in is acknowledged by hand, in order, when it is kept ([`Receiver`]); what goes out is sent again until the
//!   broker has acknowledged it or refused it ([`Carrier`]).
//! - Through our own broker a publish bears its origin, so that a repetition is recognised ([`Arrived::origin`]). Another
//!   broker's word on that is not believed.
//!
//! ```text
//! device ─root/device/x─▶ broker ─▶ fog ─root/fog/x─▶ broker ─▶ cache, ledger ─root/node/<site>/tangle─▶ broker ─▶ cache
//!        ◀── PUBACK ──────── when its keeper has acknowledged its copy ──┘
//! ```

mod carrier;
mod items;
mod link;
mod receiver;

pub use carrier::{Carrier, CarryError, Outgoing, Submitted};
pub use items::{
    ItemError, PENDING_PAYLOAD_BYTES_MAX, PENDING_READINGS_MAX, fog_publish, parse_fog, parse_pending, pending_cut, pending_json, record,
    sealed, told,
};
pub use link::link;
pub use receiver::{Arrived, Desk, Judgement, Judging, Receiver, ReceiverConfig};

use crate::access::Grants;
use protocol::{Id, Name, Topic};
use std::fmt;

/// What client ids of services begin with.
pub const SERVICE_PREFIX: &str = "$wattle-";
/// Where our own broker greets a service: it is sent to the service's session only, whatever it subscribed to.
pub(crate) const GREETING_TOPIC: &str = "$wattle/service";
/// The property that holds the origin of a publish: 32 hexadecimal digits.
pub(crate) const ORIGIN: &str = "wattle-publish";
/// The property of a publish that may have been sent before: `1`.
pub(crate) const REPEATED: &str = "wattle-repeated";
/// The property by which the broker knows which copy is acknowledged.
pub(crate) const COPY: &str = "wattle-copy";
/// The property of a command, whether a rule or another device wants it: `1`. A command is for its actuator, and no reading.
pub const COMMAND: &str = "wattle-command";
/// The property that holds a reading's canonical bytes, in hexadecimal digits, where its payload cannot say all of it.
pub const READING: &str = "wattle-reading";

/// A part of a site that keeps something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// The fog processor.
    Fog,
    /// The cache.
    Cache,
    /// The ledger node.
    Ledger,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fog, Self::Cache, Self::Ledger];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fog => "fog",
            Self::Cache => "cache",
            Self::Ledger => "ledger",
        }
    }

    /// The client id of the connection on which it receives.
    #[must_use]
    pub fn client_id(self, site: &Name) -> String {
        format!("{SERVICE_PREFIX}{self}@{site}")
    }

    /// The client id of its `number`th connection for publishing.
    #[must_use]
    pub fn carrier_id(self, number: usize, site: &Name) -> String {
        format!("{SERVICE_PREFIX}{self}-out-{number}@{site}")
    }

    /// The service of `site` that bears `client_id`, and whether that is the connection on which it receives.
    #[must_use]
    pub fn of(client_id: &str, site: &Name) -> Option<(Self, bool)> {
        let rest = client_id.strip_prefix(SERVICE_PREFIX)?;
        let (who, place) = rest.split_once('@')?;
        if place != site.as_str() {
            return None;
        }
        Self::ALL.into_iter().find_map(|service| match who.strip_prefix(service.name())? {
            "" => Some((service, true)),
            number => number.strip_prefix("-out-")?.parse::<u16>().ok().map(|_| (service, false)),
        })
    }

    /// What it may do where services need no credentials.
    #[must_use]
    pub fn grants(self, site: &Name) -> Grants {
        let (publish, subscribe) = match self {
            Self::Fog => (vec![format!("root/fog/{site}/#")], vec![format!("root/device/{site}/#")]),
            Self::Cache => (vec![format!("root/cache/{site}/pending")], vec![format!("root/fog/{site}/#"), format!("root/node/{site}/#")]),
            Self::Ledger => (
                vec![format!("root/node/{site}/#"), format!("root/fog/{site}/rejected")],
                vec![format!("root/fog/{site}/#"), format!("root/cache/{site}/pending")],
            ),
        };
        Grants { publish, subscribe }
    }

    /// A topic that it alone publishes on: who may not do that is not this service.
    #[must_use]
    pub fn own_topic(self, site: &Name) -> String {
        match self {
            Self::Fog => format!("root/fog/{site}/x/sense/x"),
            Self::Cache => Topic::Pending(site.clone()).to_string(),
            Self::Ledger => Topic::Tangle(site.clone()).to_string(),
        }
    }

    /// What it subscribes to.
    #[must_use]
    pub fn filters(self, site: &Name) -> Vec<String> {
        match self {
            Self::Fog => vec![Area::Device.filter(site)],
            Self::Cache => vec![
                Area::Fog.filter(site),
                Topic::Tangle(site.clone()).to_string(),
                Topic::Active(site.clone()).to_string(),
                Topic::Rejected(site.clone()).to_string(),
            ],
            Self::Ledger => vec![Area::Fog.filter(site), Area::Pending.filter(site)],
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Topics whose publishes are acknowledged when a service has kept them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// `root/device/x`.
    Device,
    /// `root/fog/x`.
    Fog,
    /// `root/cache/<site>/pending`.
    Pending,
}

impl Area {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Device, Self::Fog, Self::Pending];

    /// The services that can keep what is published there; the first that is there does.
    #[must_use]
    pub const fn keepers(self) -> &'static [Service] {
        match self {
            Self::Device => &[Service::Fog, Service::Cache, Service::Ledger],
            Self::Fog => &[Service::Cache, Service::Ledger],
            Self::Pending => &[Service::Ledger],
        }
    }

    /// What a service subscribes to in order to get all of it, and nothing else.
    #[must_use]
    pub fn filter(self, site: &Name) -> String {
        match self {
            Self::Device => format!("root/device/{site}/#"),
            Self::Fog => format!("root/fog/{site}/+/+/+"),
            Self::Pending => Topic::Pending(site.clone()).to_string(),
        }
    }

    /// The area that a service's filter is of.
    #[must_use]
    pub fn of_filter(filter: &str, site: &Name) -> Option<Self> {
        Self::ALL.into_iter().find(|area| area.filter(site) == filter)
    }

    /// The area of a topic of `site`.
    #[must_use]
    pub fn of_topic(topic: &str, site: &Name) -> Option<Self> {
        match topic.parse::<Topic>().ok()? {
            Topic::Device(x) if x.site == *site => Some(Self::Device),
            Topic::Fog(x) if x.site == *site => Some(Self::Fog),
            Topic::Pending(place) if place == *site => Some(Self::Pending),
            _ => None,
        }
    }

    /// What is said when nobody is there to keep it.
    #[must_use]
    pub const fn nobody(self) -> &'static str {
        match self {
            Self::Device => "no fog processor takes readings now: send it again later",
            Self::Fog => "no cache takes readings now: send it again later",
            Self::Pending => "no ledger node takes readings now: send it again later",
        }
    }
}

/// The origin of a publish: what its client, packet id, topic and bytes are hashed to.
#[must_use]
pub(crate) fn origin(client: &str, packet_id: u16, topic: &str, payload: &[u8]) -> [u8; 16] {
    let length = |bytes: &[u8]| (bytes.len() as u64).to_be_bytes();
    let hash = Id::hash(&[
        b"wattle/origin/v1",
        &length(client.as_bytes()),
        client.as_bytes(),
        &packet_id.to_be_bytes(),
        &length(topic.as_bytes()),
        topic.as_bytes(),
        payload,
    ]);
    let mut origin = [0; 16];
    origin.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
    origin
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        for digit in [byte >> 4, byte & 0xf] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
        text
    })
}

/// The bytes of hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| (high << 4) | low).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn site() -> Name {
        Name::site("agg1/loc1").unwrap()
    }

    /// ROLE-2
    #[test]
    fn services_are_known_by_their_client_ids() {
        for service in Service::ALL {
            assert_eq!(Service::of(&service.client_id(&site()), &site()), Some((service, true)));
            assert_eq!(Service::of(&service.carrier_id(7, &site()), &site()), Some((service, false)));
        }
        for id in
            ["$wattle-fog", "$wattle-fog@loc1", "wattle-fog@agg1/loc1", "$wattle-fogs@agg1/loc1", "$wattle-fog-out-x@agg1/loc1", "$wattle"]
        {
            assert_eq!(Service::of(id, &site()), None, "{id}");
        }
    }

    /// ROLE-3
    #[test]
    fn areas_are_of_the_site_only() {
        for (topic, area) in [
            ("root/device/agg1/loc1/d/sense/t", Some(Area::Device)),
            ("root/fog/agg1/loc1/d/act/t", Some(Area::Fog)),
            ("root/cache/agg1/loc1/pending", Some(Area::Pending)),
            ("root/fog/agg1/loc1/rejected", None),
            ("root/node/agg1/loc1/tangle", None),
            ("root/device/agg1/loc2/d/sense/t", None),
            ("other", None),
        ] {
            assert_eq!(Area::of_topic(topic, &site()), area, "{topic}");
        }
        for service in Service::ALL {
            let areas: Vec<Area> = service.filters(&site()).iter().filter_map(|filter| Area::of_filter(filter, &site())).collect();
            assert!(areas.iter().all(|area| area.keepers().contains(&service)), "{service}: {areas:?}");
        }
    }

    #[test]
    fn digits_are_read_back() {
        assert_eq!(unhex(&hex(&[0, 0x1f, 0xff])), Some(vec![0, 0x1f, 0xff]));
        assert_eq!(hex(&[0xab, 0x01]), "ab01");
        assert_eq!((unhex("a"), unhex("ag")), (None, None));
    }
}
