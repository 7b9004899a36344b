//! `[tier]`: the broker's place in the tree of brokers.

use mqtt::spool::SpoolConfig;
use mqtt::tiers::{LinkTls, Member, Parent, ParentUrl, Scope};
use mqtt::{TierConfig, TierError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The smallest spool: it must hold the largest payload several times.
const SPOOL_BYTES_MIN: u64 = 4 << 20;

/// The place of the embedded broker in a tree of brokers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TierSettings {
    /// The sites that the broker is for: all whose names begin so. Without it, the site's own name; empty for the top.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<String>,
    /// The broker above: `mqtt://host[:port]` or `mqtts://host[:port]`. Without it, this is the top.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<String>,
    /// The link's user name at the parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    /// The file with its password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<PathBuf>,
    /// The certificates of the authorities that may vouch for the parent, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// The link's own certificate, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    /// This broker's name among several with the same scope. Without it, it is the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) member: Option<String>,
    /// How much of the work of shared subscriptions it takes beside the others of its scope.
    pub(crate) weight: u32,
    /// The scopes of the brokers that may link to this one.
    pub(crate) children: Vec<String>,
    /// Filters of what always goes up.
    pub(crate) up: Vec<String>,
    /// Filters that are always subscribed to at the parent.
    pub(crate) down: Vec<String>,
    /// Publishes on their way to other brokers may take this much of the disk.
    pub(crate) spool_bytes: u64,
}

impl Default for TierSettings {
    fn default() -> Self {
        Self {
            scope: None,
            parent: None,
            username: None,
            password_file: None,
            ca: None,
            certificate: None,
            key: None,
            member: None,
            weight: 1,
            children: Vec::new(),
            up: vec!["root/fog/#".into()],
            down: Vec::new(),
            spool_bytes: 1 << 30,
        }
    }
}

/// What the files of a link hold.
#[derive(Default)]
struct Secrets {
    login: Option<(String, String)>,
    tls: Option<LinkTls>,
}

impl TierSettings {
    /// Checks what can be checked without the files that it names.
    ///
    /// # Errors
    /// The key, and what is wrong with its value.
    pub(super) fn check(&self, site: &str) -> Result<(), (String, String)> {
        let wrong = |key: &str, why: &str| Err((format!("tier.{key}"), why.to_owned()));
        if self.username.is_some() != self.password_file.is_some() {
            return wrong("username", "give both `username` and `password_file`, or neither");
        }
        if self.certificate.is_some() != self.key.is_some() {
            return wrong("certificate", "give both `certificate` and `key`, or neither");
        }
        let tls = self.ca.is_some() || self.certificate.is_some();
        if tls && self.parent.as_ref().is_none_or(|parent| !parent.starts_with("mqtts://")) {
            return wrong("parent", "`ca`, `certificate` and `key` are for a parent at mqtts://host[:port]");
        }
        if self.certificate.is_some() && self.ca.is_none() {
            return wrong("ca", "a link over TLS needs the certificate of an authority");
        }
        if self.spool_bytes < SPOOL_BYTES_MIN || i64::try_from(self.spool_bytes).is_err() {
            return Err(("tier.spool_bytes".into(), format!("{} is outside {SPOOL_BYTES_MIN} to {}", self.spool_bytes, i64::MAX)));
        }
        let secrets = Secrets { login: None, tls: self.ca.as_ref().map(|_| LinkTls { ca: Vec::new(), identity: None }) };
        self.place(site, PathBuf::new(), 0, secrets).map(drop)
    }

    /// The broker's place, with the files read: relative paths are relative to `base`.
    ///
    /// # Errors
    /// One that says which file cannot be used, or which key does not fit.
    pub(crate) fn resolve(&self, site: &str, base: &Path, spool: PathBuf, min_free_bytes: u64) -> anyhow::Result<TierConfig> {
        let read = |key: &str, file: &Path| {
            let file = base.join(file);
            std::fs::read(&file).map_err(|why| anyhow::anyhow!("cannot read {}, which tier.{key} names: {why}", file.display()))
        };
        let mut secrets = Secrets::default();
        if let (Some(name), Some(file)) = (&self.username, &self.password_file) {
            let text = String::from_utf8(read("password_file", file)?);
            let text = text.map_err(|_| anyhow::anyhow!("{}, which tier.password_file names, is not UTF-8 text", file.display()))?;
            secrets.login = Some((name.clone(), text.trim_end_matches(['\r', '\n']).to_owned()));
        }
        if let Some(ca) = &self.ca {
            let identity = match (&self.certificate, &self.key) {
                (Some(certificate), Some(key)) => Some((read("certificate", certificate)?, read("key", key)?)),
                _ => None,
            };
            secrets.tls = Some(LinkTls { ca: read("ca", ca)?, identity });
        }
        self.place(site, spool, min_free_bytes, secrets).map_err(|(key, why)| anyhow::anyhow!("configuration: {key}: {why}"))
    }

    fn place(&self, site: &str, spool: PathBuf, min_free_bytes: u64, secrets: Secrets) -> Result<TierConfig, (String, String)> {
        let scope = |key: &str, text: &str| {
            let parsed = text.parse::<Scope>();
            parsed.map_err(|why| (format!("tier.{key}"), format!("{text:?} is not a part of the tree of sites: {why}")))
        };
        let parent = match &self.parent {
            Some(url) => {
                let url: ParentUrl = url.parse().map_err(|why: TierError| ("tier.parent".to_owned(), why.to_string()))?;
                Some(Parent { url, login: secrets.login, tls: secrets.tls })
            }
            None => None,
        };
        let config = TierConfig {
            scope: scope("scope", self.scope.as_deref().unwrap_or(site))?,
            member: self.member.clone().map(|name| Member { name, weight: self.weight }),
            parent,
            children: self.children.iter().map(|child| scope("children", child)).collect::<Result<_, _>>()?,
            up: self.up.clone(),
            down: self.down.clone(),
            spool,
            limits: SpoolConfig { limit_bytes: self.spool_bytes, min_free_bytes },
        };
        config.check().map_err(|why| ("tier".to_owned(), why.to_string()))?;
        Ok(config)
    }
}
