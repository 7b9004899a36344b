//! A committee of replicas in this process, for the benches that need no broker.
//!
//! - On loopback TCP: encrypted connections, as between nodes, and no latency but the machine's own.
//! - Simulated: the same replicas over links that hand a message over so many milliseconds after it was sent.

use super::machine::allow_files;
use crate::cli::{Exit, Failure};
use crate::demo::POLL;
use protocol::{Committee, Genesis, Name, PublicKey, SecretKey, Validator};
use replica::{Handle, Laboratory, LaboratoryConfig, Pace, Runtime};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use tokio::time::Instant;

/// Threads of the runtime.
pub(super) const WORKERS: usize = 2;
/// How long replicas may take until all hear of each other,
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// and how much longer for each of them.
const READY_TIMEOUT_PER_NODE: Duration = Duration::from_secs(3);
/// Files that a replica keeps open, and one more for each connection; with room to spare.
const FILES_PER_NODE: u64 = 256;
/// Latency of a simulated link, at most.
const LATENCY_MS_MAX: f64 = 10_000.0;

/// What connects the replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Links {
    /// Loopback TCP.
    Tcp,
    /// Links of this latency within the process.
    Simulated(Duration),
}

/// What connects the replicas, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Network {
    /// Links within the process that take --latency-ms
    Simulated,
    /// Encrypted TCP on loopback
    Tcp,
}

impl Network {
    /// As it is typed.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Simulated => "simulated",
            Self::Tcp => "tcp",
        }
    }

    /// The links, each of so many milliseconds if simulated.
    pub(super) fn links(self, latency_ms: f64) -> Links {
        match self {
            Self::Simulated => Links::Simulated(Duration::try_from_secs_f64(latency_ms / 1e3).unwrap_or_default()),
            Self::Tcp => Links::Tcp,
        }
    }
}

/// Reads the latency of a link in milliseconds.
///
/// # Errors
/// A sentence saying what is accepted.
pub(super) fn link_ms(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ms) if (0.0..=LATENCY_MS_MAX).contains(&ms) => Ok(ms),
        _ => Err(format!("a number of milliseconds between 0 and {LATENCY_MS_MAX} is needed, such as 1.5")),
    }
}

/// A replica and its key. Number `k` of a committee keeps its storage under the prefix `node<k>`.
pub(super) type Member = (Handle, PublicKey);

/// Founds a network, starts its replicas, and waits until each hears of all others.
///
/// # Errors
/// [`Failure`] if they cannot be started, or do not find each other.
pub(super) async fn start(runtime: &Runtime, nodes: u8, links: Links) -> Result<Vec<Member>, Failure> {
    let (genesis, keys) = found(nodes)?;
    start_with(runtime, genesis, keys, links).await
}

/// Starts the replicas of a network that [`found`] gave, to whose genesis something may have been added, and waits until each
/// hears of all others.
///
/// # Errors
/// As [`start`].
pub(super) async fn start_with(runtime: &Runtime, genesis: Genesis, keys: Vec<SecretKey>, links: Links) -> Result<Vec<Member>, Failure> {
    let nodes = keys.len() as u64;
    allow_files(nodes * (FILES_PER_NODE + 2 * nodes));
    let public: Vec<PublicKey> = keys.iter().map(SecretKey::public_key).collect();
    let handles = match links {
        Links::Tcp => on_tcp(runtime, &genesis, keys).await?,
        Links::Simulated(latency) => {
            let config = LaboratoryConfig { genesis, keys, pace: Pace::default(), latency };
            Laboratory::start(runtime, config).await.map_err(|e| broken(&e))?.handles().to_vec()
        }
    };
    let members: Vec<Member> = handles.into_iter().zip(public).collect();
    ready(&members).await?;
    Ok(members)
}

fn broken(why: &dyn Display) -> Failure {
    Failure::new(Exit::Fault, why, "starting the replicas", "run it with -v to see the log")
}

/// The genesis of a network of so many, and the keys in the committee's order.
///
/// # Errors
/// [`Failure`] if there are more than a committee has room for.
pub(super) fn found(nodes: u8) -> Result<(Genesis, Vec<SecretKey>), Failure> {
    let mut keys: Vec<SecretKey> = (1..=nodes).map(|n| SecretKey::from_seed(&[n; 32])).collect();
    keys.sort_by_key(SecretKey::public_key);
    let name = |text: &str| Name::new(text).map_err(|e| broken(&e));
    let mut validators = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        validators.push(Validator { key: key.public_key(), name: name(&format!("node{}", index + 1))? });
    }
    let committee = Committee::new(validators).map_err(|e| broken(&e))?;
    let created_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    let mut genesis = Genesis::plain(name("bench")?, 0, created_ms, committee);
    // the figures are of the ledger, not of the limits that a network sets itself
    genesis.parameters.share_per_second = u32::MAX;
    Ok((genesis, keys))
}

async fn on_tcp(runtime: &Runtime, genesis: &Genesis, keys: Vec<SecretKey>) -> Result<Vec<Handle>, Failure> {
    let mut peers: BTreeMap<PublicKey, SocketAddr> = BTreeMap::new();
    let mut listeners = Vec::new();
    for key in &keys {
        // held until all are drawn, so that no port is drawn twice
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| broken(&e))?;
        peers.insert(key.public_key(), listener.local_addr().map_err(|e| broken(&e))?);
        listeners.push(listener);
    }
    drop(listeners);
    let mut handles = Vec::new();
    for (index, key) in keys.into_iter().enumerate() {
        let listen = *peers.get(&key.public_key()).ok_or_else(|| broken(&"no address"))?;
        let config = replica::Config {
            genesis: genesis.clone(),
            key,
            listen,
            peers: peers.clone(),
            pace: Pace::default(),
            prefix: format!("node{index}"),
            joining: replica::Joining::default(),
            retention: replica::Retention::default(),
        };
        handles.push(runtime.start(config).await.map_err(|e| broken(&e))?);
    }
    Ok(handles)
}

/// Waits until every replica has executed a milestone beyond genesis and hears of all others.
async fn ready(members: &[Member]) -> Result<(), Failure> {
    let others = members.len().saturating_sub(1);
    let timeout = READY_TIMEOUT + READY_TIMEOUT_PER_NODE * u32::try_from(others).unwrap_or_default();
    let start = Instant::now();
    for (handle, _) in members {
        loop {
            let status = handle.status().await.ok_or_else(|| broken(&"a replica has stopped"))?;
            if status.height > 0 && status.peers >= others {
                break;
            }
            if start.elapsed() > timeout {
                let (peers, height) = (status.peers, status.height);
                let what = format!("a replica hears of {peers} of {others} others at height {height} after {} s", timeout.as_secs());
                return Err(Failure::new(Exit::Refused, what, "starting the replicas", "use fewer --nodes or a faster machine"));
            }
            tokio::time::sleep(POLL).await;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_committee_of_any_size_can_be_founded() {
        for nodes in [1, 4, 48, 64] {
            let (genesis, keys) = found(nodes).unwrap();
            assert_eq!(genesis.committee.size(), usize::from(nodes));
            let named: Vec<PublicKey> = genesis.committee.validators().iter().map(|v| v.key).collect();
            assert_eq!(named, keys.iter().map(SecretKey::public_key).collect::<Vec<_>>());
        }
    }

    #[test]
    fn links_are_read_as_they_are_typed() {
        assert_eq!(link_ms("1.5"), Ok(1.5));
        assert_eq!(Network::Simulated.links(1.5), Links::Simulated(Duration::from_micros(1_500)));
        assert_eq!(Network::Tcp.links(1.5), Links::Tcp);
        for text in ["-1", "NaN", "inf", "1e9", "x"] {
            assert!(link_ms(text).is_err(), "{text} was accepted");
        }
    }
}
