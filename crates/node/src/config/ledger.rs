//! `[ledger]`: the node's part in the ledger, its peers, and how long it keeps what is old.

use super::{Config, check_name, check_range, loopback, wrong};
use crate::site::Earners;
use protocol::limits::{BATCH_READINGS_MAX, SHARES_MAX};
use protocol::{DeviceName, PublicKey};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

/// The longest that a batch may wait for company, in milliseconds.
const BATCH_DELAY_MS_MAX: u64 = 10_000;
/// The longest pause between two milestones under load, in milliseconds.
const MILESTONE_GAP_MS_MAX: u64 = 10_000;
/// The shortest heartbeat, in milliseconds: below it an idle network would not be idle.
const HEARTBEAT_MS_MIN: u64 = 100;
/// The longest heartbeat, in milliseconds: consensus keeps a little of every view since the last milestone.
const HEARTBEAT_MS_MAX: u64 = 300_000;
/// Seconds of a day.
const DAY_S: u64 = 24 * 60 * 60;
/// The longest that messages can be kept by age, in days; whoever wants more keeps all.
const RETENTION_AGE_DAYS_MAX: u64 = 36_500;
/// The smallest limit of messages and payloads, in bytes.
const RETENTION_BYTES_MIN: u64 = 16 << 20;

/// Says that nobody earns from this site's readings.
const NOBODY: &str = "none";
/// Devices whose readings earn for a wallet of their own.
const DEVICE_SHARES_MAX: usize = 10_000;

const _: () = assert!(BATCH_READINGS_MAX == 4096); // what the documented default says

/// A peer's place on the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeerConfig {
    /// Its public key, 64 hexadecimal digits.
    pub(crate) key: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// Who earns from the readings of one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShareConfig {
    /// The device: `site/ID`.
    pub(crate) device: String,
    /// Whose purse it is: a public key, 64 hexadecimal digits.
    pub(crate) wallet: String,
}

/// The node's part in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LedgerConfig {
    /// Where peers reach it.
    pub(crate) listen: SocketAddr,
    /// At least this long between two milestones under load, in milliseconds.
    pub(crate) milestone_gap_ms: u64,
    /// A milestone at least this often when nothing happens, in milliseconds.
    pub(crate) heartbeat_ms: u64,
    /// Under load a batch leaves at most this long after the one before, in milliseconds.
    pub(crate) batch_delay_ms: u64,
    /// At most this many readings in a batch.
    pub(crate) batch_readings_max: usize,
    /// Whose purse the site's confirmed readings earn for: a public key, or `none`. Without it, the node's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wallet: Option<String>,
    /// How long old messages stay.
    pub(crate) retention: RetentionConfig,
    /// Whom this node talks to, by the name people use: validators of the genesis, and whoever else may connect to it.
    /// Its own entry may be left out, as may those of validators that registered an address.
    pub(crate) peers: BTreeMap<String, PeerConfig>,
    /// Devices whose readings earn for other purses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) shares: Vec<ShareConfig>,
}

/// How long a node keeps what its state no longer needs. Without a limit it keeps everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RetentionConfig {
    /// Drop messages that were confirmed more days ago than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_age_days: Option<u64>,
    /// Drop the oldest messages while messages and payloads take more bytes than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_bytes: Option<u64>,
}

impl RetentionConfig {
    /// The same for the replica.
    #[must_use]
    pub(crate) fn retention(&self) -> replica::Retention {
        let age = self.max_age_days.map(|days| Duration::from_secs(days.saturating_mul(DAY_S)));
        replica::Retention { age, bytes: self.max_bytes }
    }
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            listen: loopback(7700),
            milestone_gap_ms: 20,
            heartbeat_ms: 15_000,
            batch_delay_ms: 5,
            batch_readings_max: 1000,
            wallet: None,
            retention: RetentionConfig::default(),
            peers: BTreeMap::new(),
            shares: Vec::new(),
        }
    }
}

impl Config {
    /// Checks what is said of the ledger.
    pub(super) fn check_ledger(&self) -> Result<(), (String, String)> {
        let ledger = &self.ledger;
        check_range("ledger.milestone_gap_ms", ledger.milestone_gap_ms, 1, MILESTONE_GAP_MS_MAX)?;
        check_range("ledger.heartbeat_ms", ledger.heartbeat_ms, HEARTBEAT_MS_MIN.max(ledger.milestone_gap_ms), HEARTBEAT_MS_MAX)?;
        check_range("ledger.batch_delay_ms", ledger.batch_delay_ms, 0, BATCH_DELAY_MS_MAX)?;
        check_range("ledger.batch_readings_max", ledger.batch_readings_max as u64, 1, BATCH_READINGS_MAX as u64)?;
        if let Some(days) = ledger.retention.max_age_days {
            check_range("ledger.retention.max_age_days", days, 1, RETENTION_AGE_DAYS_MAX)?;
        }
        if let Some(bytes) = ledger.retention.max_bytes {
            check_range("ledger.retention.max_bytes", bytes, RETENTION_BYTES_MIN, i64::MAX.cast_unsigned())?;
        }
        self.check_shares()?;
        let mut keys = BTreeMap::new();
        for (name, peer) in &ledger.peers {
            let at = format!("ledger.peers.{name}");
            check_name(&at, name)?;
            let key = peer.key.parse::<PublicKey>().map_err(|why| (format!("{at}.key"), why.to_string()))?;
            if let Some(other) = keys.insert(key, name) {
                return wrong(format!("{at}.key"), format!("it is also the key of {other}"));
            }
        }
        Ok(())
    }

    /// Checks who earns.
    fn check_shares(&self) -> Result<(), (String, String)> {
        let ledger = &self.ledger;
        if let Some(text) = ledger.wallet.as_deref().filter(|text| *text != NOBODY) {
            wallet_in("ledger.wallet", text)?;
        }
        check_range("ledger.shares: their number", ledger.shares.len() as u64, 0, DEVICE_SHARES_MAX as u64)?;
        let (mut devices, mut wallets) = (BTreeSet::new(), BTreeSet::new());
        for (index, share) in ledger.shares.iter().enumerate() {
            let at = format!("ledger.shares[{index}]");
            let device = share.device.parse::<DeviceName>().map_err(|why| (format!("{at}.device"), why.to_string()))?;
            wallets.insert(wallet_in(&format!("{at}.wallet"), &share.wallet)?);
            if !devices.insert(device) {
                return wrong(format!("{at}.device"), format!("{} is there twice", share.device));
            }
        }
        // one place is for all other devices
        check_range("ledger.shares: different wallets", wallets.len() as u64, 0, SHARES_MAX as u64 - 1)
    }

    /// Who earns from the readings of the site, if it has one. `own` is the node's key.
    #[must_use]
    pub(crate) fn earners(&self, own: PublicKey) -> Earners {
        let ledger = &self.ledger;
        let rest = match ledger.wallet.as_deref() {
            None => Some(own),
            Some(text) => text.parse().ok(), // checked: a key, or nobody
        };
        let of_device = |share: &ShareConfig| Some((share.device.parse::<DeviceName>().ok()?, share.wallet.parse::<PublicKey>().ok()?));
        Earners::new(rest, ledger.shares.iter().filter_map(of_device))
    }

    /// Where the peers listen, by their keys.
    #[must_use]
    pub(crate) fn peers(&self) -> BTreeMap<PublicKey, SocketAddr> {
        self.ledger.peers.values().filter_map(|p| Some((p.key.parse().ok()?, p.address))).collect()
    }
}

/// A wallet's key: what is earned for another one is lost.
fn wallet_in(at: &str, text: &str) -> Result<PublicKey, (String, String)> {
    let key: PublicKey =
        text.parse().map_err(|_| (at.to_owned(), format!("{text:?} is not a public key: 64 lower-case hexadecimal digits")))?;
    match key.is_sound() {
        true => Ok(key),
        false => Err((at.to_owned(), format!("{text} is not a sound Ed25519 key: nobody could spend what it earns"))),
    }
}
