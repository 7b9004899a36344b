//! What travels with a publish from broker to broker: MQTT 5 user properties (TIER-8 to TIER-10).
//!
//! | property | holds |
//! |---|---|
//! | `wattle-origin` | the id of the broker at which it entered the hierarchy |
//! | `wattle-sequence` | the number that broker gave it, ascending |
//! | `wattle-hops` | the ids of the brokers it left, the origin first, parted by commas |
//! | `wattle-qos` | the quality of service it was published with |
//! | `wattle-served` | groups of the sender's site that have it, parted by slashes |
//! | `wattle-groups` | the groups it is for at the receiver; without it, all |
//! | `wattle-position` | where it stands in the sender's queue; means nothing to others |

use super::scope::Scope;
use crate::spool::Record;
use thiserror::Error;

/// Brokers that a publish may leave on its way. The deepest tree needs twice its height.
pub const HOPS_MAX: usize = 8;
/// Bytes of a broker's id: 16 hexadecimal digits.
pub const BROKER_ID_BYTES: usize = 16;
/// Bytes of the value of one property.
const VALUE_BYTES_MAX: usize = 4096;

const ORIGIN: &str = "wattle-origin";
const SEQUENCE: &str = "wattle-sequence";
const HOPS: &str = "wattle-hops";
const QOS: &str = "wattle-qos";
const SERVED: &str = "wattle-served";
const GROUPS: &str = "wattle-groups";
/// See the module's table.
pub const POSITION: &str = "wattle-position";

/// What client ids of links begin with. Only a broker's uplink may bear one (TIER-11).
pub const LINK_PREFIX: &str = "wattle-link@";
/// Where a broker tells a broker below what its side asks for. It is sent on links only.
pub const ASKED_TOPIC: &str = "$wattle/asked";

/// Why a publish of a link is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PassportError {
    /// A property is missing or not of its form.
    #[error("the property {0} is missing or malformed")]
    Property(&'static str),
}

/// Where a publish comes from and whom it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passport {
    /// The id of the broker at which it entered.
    pub origin: String,
    /// The number it got there.
    pub sequence: u64,
    /// The brokers it left.
    pub hops: Vec<String>,
    /// 0, 1 or 2: what it was published with.
    pub qos: u8,
    /// Groups of the sender's site that have it.
    pub served: Vec<String>,
    /// The groups it is for; `None` for all.
    pub groups: Option<Vec<String>>,
}

impl Passport {
    /// That of a publish that enters here.
    #[must_use]
    pub fn new(origin: &str, sequence: u64, qos: u8) -> Self {
        Self { origin: origin.to_owned(), sequence, hops: Vec::new(), qos, served: Vec::new(), groups: None }
    }

    /// Reads the properties of a publish. `None` if it bears none of ours: it comes from a broker of another kind.
    ///
    /// # Errors
    /// [`PassportError`] if it bears some and they are not complete and well formed.
    pub fn read<'a>(properties: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Option<Self>, PassportError> {
        let (mut origin, mut sequence, mut hops, mut qos, mut served, mut groups) = (None, None, None, None, None, None);
        for (key, value) in properties {
            let place = match key {
                ORIGIN => &mut origin,
                SEQUENCE => &mut sequence,
                HOPS => &mut hops,
                QOS => &mut qos,
                SERVED => &mut served,
                GROUPS => &mut groups,
                _ => continue,
            };
            *place = Some(value).filter(|v| v.len() <= VALUE_BYTES_MAX);
        }
        if origin.is_none() && sequence.is_none() {
            return Ok(None);
        }
        let bad = PassportError::Property;
        let origin = origin.filter(|o| is_broker_id(o)).ok_or(bad(ORIGIN))?.to_owned();
        let sequence = sequence.and_then(|s| s.parse().ok()).ok_or(bad(SEQUENCE))?;
        let hops = hops.map(|h| h.split(',').map(str::to_owned).collect::<Vec<_>>()).ok_or(bad(HOPS))?;
        if hops.len() > HOPS_MAX || !hops.iter().all(|hop| is_broker_id(hop)) {
            return Err(bad(HOPS));
        }
        let qos = match qos {
            Some("0") => 0,
            Some("1") => 1,
            Some("2") => 2,
            _ => return Err(bad(QOS)),
        };
        Ok(Some(Self { origin, sequence, hops, qos, served: served.map(split).unwrap_or_default(), groups: groups.map(split) }))
    }

    /// Whether the broker `id` may take it: it did not pass there, and is not on its way for ever (TIER-9).
    #[must_use]
    pub fn may_enter(&self, id: &str) -> bool {
        self.origin != id && !self.hops.iter().any(|hop| hop == id) && self.hops.len() < HOPS_MAX
    }

    /// The record of the publish, leaving the broker `id`.
    #[must_use]
    pub fn leave(&self, id: &str, topic: &str, payload: &[u8], served: &[String], groups: Option<&[String]>) -> Record {
        let hops: Vec<&str> = self.hops.iter().map(String::as_str).chain([id]).collect();
        let mut properties = vec![(HOPS.to_owned(), hops.join(",")), (QOS.to_owned(), self.qos.to_string())];
        if !served.is_empty() {
            properties.push((SERVED.to_owned(), joined(served)));
        }
        if let Some(groups) = groups {
            properties.push((GROUPS.to_owned(), joined(groups)));
        }
        Record { topic: topic.to_owned(), payload: payload.to_vec(), origin: self.origin.clone(), sequence: self.sequence, properties }
    }
}

/// The user properties with which a record is sent.
#[must_use]
pub fn properties(record: Record) -> (String, Vec<u8>, Vec<(String, String)>) {
    let Record { topic, payload, origin, sequence, properties } = record;
    let mut all = vec![(ORIGIN.to_owned(), origin), (SEQUENCE.to_owned(), sequence.to_string())];
    all.extend(properties);
    (topic, payload, all)
}

/// As many groups as the value of a property holds: with more the receiver would refuse the publish.
fn joined(groups: &[String]) -> String {
    let mut list = String::new();
    for group in groups {
        if list.len() + 1 + group.len() <= VALUE_BYTES_MAX {
            if !list.is_empty() {
                list.push('/');
            }
            list.push_str(group);
        }
    }
    list
}

fn split(list: &str) -> Vec<String> {
    list.split('/').filter(|group| !group.is_empty()).map(str::to_owned).collect()
}

fn is_broker_id(text: &str) -> bool {
    text.len() == BROKER_ID_BYTES && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The client id of the link of a broker with `scope`; `member` tells several brokers of one site apart.
#[must_use]
pub fn link_client_id(scope: &Scope, member: Option<&str>) -> String {
    match member {
        Some(member) => format!("{LINK_PREFIX}{scope}@{member}"),
        None => format!("{LINK_PREFIX}{scope}"),
    }
}

/// The scope in a link's client id; `None` if it is not one.
#[must_use]
pub fn link_scope(client_id: &str) -> Option<Scope> {
    let rest = client_id.strip_prefix(LINK_PREFIX)?;
    let scope = rest.split_once('@').map_or(rest, |(scope, _)| scope);
    scope.parse().ok().filter(|scope| *scope != Scope::default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "00000000000000aa";
    const B: &str = "00000000000000bb";

    fn read(properties: &[(String, String)]) -> Result<Option<Passport>, PassportError> {
        Passport::read(properties.iter().map(|(k, v)| (k.as_str(), v.as_str())))
    }

    /// TIER-9: a publish passes no broker twice and leaves at most [`HOPS_MAX`].
    #[test]
    fn no_broker_twice_and_no_endless_way() {
        let mut passport = Passport::new(A, 7, 1);
        assert!(!passport.may_enter(A), "the origin itself");
        for n in 0..HOPS_MAX {
            let id = format!("{n:016x}");
            assert!(passport.may_enter(&id), "{n}");
            let (_, _, all) = properties(passport.leave(&id, "t", b"", &[], None));
            passport = read(&all).unwrap().unwrap();
            assert!(!passport.may_enter(&id));
        }
        assert!(!passport.may_enter(B), "it left {HOPS_MAX} brokers");
    }

    #[test]
    fn strange_properties() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("colour".into(), "red".into())]), Ok(None));
        let (_, _, fine) = properties(Passport::new(A, 7, 1).leave(A, "t", b"", &[], None));
        assert!(read(&fine).unwrap().is_some());
        for (at, bad) in [(0, "x"), (0, ""), (1, "-1"), (1, "18446744073709551616"), (2, "a,b"), (3, "3")] {
            let mut properties = fine.clone();
            properties.get_mut(at).unwrap().1 = bad.into();
            assert!(read(&properties).is_err(), "{at}: {bad}");
            properties.remove(at);
            assert!(read(&properties).is_err(), "{at} missing");
        }
        let many = [A; HOPS_MAX + 1].join(",");
        let mut properties = fine;
        properties.get_mut(2).unwrap().1 = many;
        assert_eq!(read(&properties), Err(PassportError::Property(HOPS)));
    }

    /// TIER-13: however many groups there are, the publish arrives.
    #[test]
    fn more_groups_than_fit_do_not_keep_a_publish_from_arriving() {
        let groups: Vec<String> = (0..100).map(|n| format!("{n:0>100}")).collect();
        let (_, _, all) = properties(Passport::new(A, 7, 1).leave(A, "t", b"", &groups, Some(&groups)));
        let read = read(&all).unwrap().unwrap();
        let fitting = groups.get(..40).unwrap();
        assert_eq!((read.served.as_slice(), read.groups.as_deref()), (fitting, Some(fitting)));
    }

    #[test]
    fn client_ids_of_links() {
        let scope: Scope = "agg1/loc1".parse().unwrap();
        for member in [None, Some("b")] {
            assert_eq!(link_scope(&link_client_id(&scope, member)), Some(scope.clone()));
        }
        for other in ["meter", "wattle-link@", "wattle-link@@b", "wattle-link@a//b", "wattle-links"] {
            assert_eq!(link_scope(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn what_leaves_is_what_arrives(
            sequence: u64,
            qos in 0u8..3,
            served in prop::collection::vec("[a-z]{1,5}", 0..3),
            groups in prop::option::of(prop::collection::vec("[a-z]{1,5}", 0..3)),
        ) {
            let (_, _, all) = properties(Passport::new(A, sequence, qos).leave(A, "t", b"x", &served, groups.as_deref()));
            let expected = Passport { origin: A.into(), sequence, hops: vec![A.into()], qos, served, groups };
            prop_assert_eq!(read(&all), Ok(Some(expected)));
        }
    }
}
