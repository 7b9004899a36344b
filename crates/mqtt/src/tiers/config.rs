//! What a broker is told about its place in the tree.

use super::passport::BROKER_ID_BYTES;
use super::scope::Scope;
use crate::client::BrokerUrl;
use crate::spool::{SpoolConfig, SpoolError};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;

/// The port of MQTT over TLS.
pub const TLS_PORT: u16 = 8883;

/// Why a broker cannot take its place.
#[derive(Debug, Error)]
pub enum TierError {
    /// The parent's URL is not one.
    #[error("'{url}' is not a parent's URL: {why}; write mqtt://host[:port] or mqtts://host[:port]")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The TLS files cannot be used.
    #[error("the link's {what} cannot be used: {why}")]
    Tls {
        /// Which.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A scope, child or filter that does not fit.
    #[error("{0}")]
    Place(String),
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The system gives no randomness.
    #[error("the system gives no randomness for the broker's id: {0}")]
    Randomness(String),
}

/// Where the parent listens: `mqtt://host[:port]`, or `mqtts://host[:port]` for TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentUrl {
    /// Host and port.
    pub(super) address: BrokerUrl,
    /// Whether TLS is spoken.
    pub(super) tls: bool,
}

impl fmt::Display for ParentUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}:{}", self.address.host(), self.address.port())
    }
}

impl FromStr for ParentUrl {
    type Err = TierError;
    fn from_str(url: &str) -> Result<Self, TierError> {
        let bad = |why: String| TierError::Url { url: url.to_owned(), why };
        let (tls, plain) = match url.strip_prefix("mqtts://") {
            Some(rest) => (true, format!("mqtt://{rest}")),
            None => (false, url.to_owned()),
        };
        let address = BrokerUrl::with_default_port(&plain, if tls { TLS_PORT } else { crate::client::DEFAULT_PORT });
        let address = address.map_err(|error| match error {
            crate::client::ConnectError::Url { why, .. } => bad(why.to_owned()),
            other => bad(other.to_string()),
        })?;
        Ok(Self { address, tls })
    }
}

/// PEM files of a link, by content.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkTls {
    /// The certificates of the authorities that may vouch for the parent.
    pub ca: Vec<u8>,
    /// Our certificate and its key, if the parent asks for one.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// The broker above.
#[derive(Clone, PartialEq, Eq)]
pub struct Parent {
    /// Where it listens.
    pub url: ParentUrl,
    /// The user name and password of our link.
    pub login: Option<(String, String)>,
    /// What TLS needs; must be there for `mqtts`.
    pub tls: Option<LinkTls>,
}

impl fmt::Debug for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // neither password nor key
        write!(f, "Parent({}, user {:?})", self.url, self.login.as_ref().map(|(name, _)| name))
    }
}

/// One of several brokers of a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Tells it from the others.
    pub name: String,
    /// How much of a group's work it takes, 1 to [`super::balance::WEIGHT_MAX`].
    pub weight: u32,
}

/// A broker's place in the tree.
#[derive(Clone, Debug)]
pub struct TierConfig {
    /// The sites that it is for.
    pub scope: Scope,
    /// Set if other brokers have the same scope.
    pub member: Option<Member>,
    /// The broker above; none for the top.
    pub parent: Option<Parent>,
    /// The scopes of the brokers that may link to this one.
    pub children: Vec<Scope>,
    /// Filters of what always goes up, beside what is asked for.
    pub up: Vec<String>,
    /// Filters that are always subscribed to at the parent, beside what is needed.
    pub down: Vec<String>,
    /// The spool's file; its directory exists.
    pub spool: PathBuf,
    /// How the spool behaves.
    pub limits: SpoolConfig,
}

impl TierConfig {
    /// Checks what fits together.
    ///
    /// # Errors
    /// [`TierError::Place`] with what is wrong and what would be right.
    pub fn check(&self) -> Result<(), TierError> {
        let wrong = |why: String| Err(TierError::Place(why));
        if self.parent.is_some() && self.scope == Scope::default() {
            return wrong("a broker with a parent needs a scope: the sites that it is for".into());
        }
        if self.parent.is_none() && self.member.is_some() {
            return wrong("several brokers of one scope need a parent that shares out the work".into());
        }
        if let Some(Parent { url, tls: None, .. }) = &self.parent
            && url.tls
        {
            return wrong("a link over TLS needs the certificate of an authority (ca)".into());
        }
        if let Some(member) = &self.member {
            protocol::Name::new(&member.name).map_err(|why| TierError::Place(format!("the member {:?}: {why}", member.name)))?;
            if !(1..=super::balance::WEIGHT_MAX).contains(&member.weight) {
                return wrong(format!("the weight {} is outside 1 to {}", member.weight, super::balance::WEIGHT_MAX));
            }
        }
        for child in &self.children {
            if *child == self.scope || !self.scope.contains(child) {
                return wrong(format!("the child {:?} is not below the scope {:?}", child.to_string(), self.scope.to_string()));
            }
        }
        match self.up.iter().chain(&self.down).find(|filter| !super::scope::crosses(filter)) {
            Some(filter) => wrong(format!("the filter {filter:?} is not of the form root/<device|fog|node|cache|+>/…")),
            None => Ok(()),
        }
    }
}

/// A new broker id.
pub(super) fn broker_id() -> Result<String, TierError> {
    let mut bytes = [0u8; BROKER_ID_BYTES / 2];
    getrandom::fill(&mut bytes).map_err(|e| TierError::Randomness(e.to_string()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn config(scope: &str) -> TierConfig {
        TierConfig {
            scope: scope.parse().unwrap(),
            member: None,
            parent: None,
            children: vec![],
            up: vec!["root/fog/#".into()],
            down: vec![],
            spool: "spool".into(),
            limits: SpoolConfig::default(),
        }
    }

    fn parent(url: &str) -> Option<Parent> {
        Some(Parent { url: url.parse().unwrap(), login: Some(("loc1".into(), "secret".into())), tls: None })
    }

    #[test]
    fn urls() {
        for (text, meant) in [("mqtt://b", "mqtt://b:1883"), ("mqtts://b", "mqtts://b:8883"), ("mqtts://[::1]:99", "mqtts://[::1]:99")] {
            assert_eq!(text.parse::<ParentUrl>().unwrap().to_string(), meant);
        }
        for text in ["b", "mqtts://", "http://b", "mqtts://u:p@b"] {
            let error = text.parse::<ParentUrl>().unwrap_err().to_string();
            assert!(error.contains("mqtts://host[:port]"), "{error}");
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        assert!(config("").check().is_ok() && TierConfig { parent: parent("mqtt://b"), ..config("agg1") }.check().is_ok());
        let child = |text: &str| vec![text.parse().unwrap()];
        let member = |weight| Some(Member { name: "a".into(), weight });
        for (config, says) in [
            (TierConfig { parent: parent("mqtt://b"), ..config("") }, "needs a scope"),
            (TierConfig { parent: parent("mqtts://b"), ..config("agg1") }, "(ca)"),
            (TierConfig { member: member(1), ..config("agg1") }, "need a parent"),
            (TierConfig { member: member(0), parent: parent("mqtt://b"), ..config("agg1") }, "outside 1 to 1000"),
            (TierConfig { children: child("agg2/loc1"), ..config("agg1") }, "not below"),
            (TierConfig { children: child("agg1"), ..config("agg1") }, "not below"),
            (TierConfig { up: vec!["#".into()], ..config("agg1") }, "root/<device"),
        ] {
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(!format!("{:?}", parent("mqtt://b")).contains("secret"));
    }

    #[test]
    fn ids_are_new_each_time() {
        let (a, b) = (broker_id().unwrap(), broker_id().unwrap());
        assert!(a != b && a.len() == BROKER_ID_BYTES);
    }
}
