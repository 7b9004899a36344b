//! The clock: against the genesis, the files this node wrote, and milestones, which carry the committee's time.

use super::Report;
use crate::cli::client::{ClientError, NodeClient};
use crate::cli::output::time_ms;
use crate::clock::now_us;
use crate::config::Config;
use protocol::Genesis;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// How far a correct clock may be from the committee's, in milliseconds.
const SKEW_MS_MAX: u64 = 2_000;
/// A milestone comes at least every heartbeat; so many of them late, something is wrong.
const HEARTBEATS_MAX: u64 = 4;
/// Files whose times are looked at.
const FILES_MAX: usize = 10_000;

const SET_IT: &str = "set the clock (timedatectl set-ntp true): readings, requests and milestones are judged by it";

/// Compares the clock with all that carries a time.
pub(super) fn check(config: &Config, genesis: Option<&Genesis>, nodes: &[String], report: &mut Report) {
    let now_ms = now_us() / 1_000;
    if let Some(genesis) = genesis.filter(|genesis| genesis.created_ms > now_ms) {
        report.bad("clock", format!("it is {} here, but the network was founded {}", time_ms(now_ms), time_ms(genesis.created_ms)), SET_IT);
    }
    if let Some(newest_ms) = newest_ms(&config.data_dir()).filter(|newest_ms| *newest_ms > now_ms.saturating_add(SKEW_MS_MAX)) {
        report.bad("clock", format!("it is {} here, but this node wrote a file {}", time_ms(now_ms), time_ms(newest_ms)), SET_IT);
    }
    if let Some(found) = unsynchronised() {
        report.warn("clock", found, SET_IT);
    }
    let mut compared = false;
    for url in nodes.iter().cloned().chain(config.keeps_a_ledger().then(|| own(config.http.listen, config.http.tls.is_some()))) {
        // a token is for one node: it is not shown to several
        let node = if nodes.len() > 1 && nodes.contains(&url) { NodeClient::nameless(&url) } else { NodeClient::new(&url) };
        let status = node.and_then(|node| node.json::<Value>("/api/v1/status"));
        compared |= against(&url, &status, nodes.contains(&url), config.ledger.heartbeat_ms, report);
    }
    if !compared {
        report.warn("clock", "there is no node to compare it with", "name one of the network with --node http://HOST:PORT");
    }
}

/// The address of this configuration's own node.
fn own(listen: SocketAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    match listen.ip().is_unspecified() {
        true => format!("{scheme}://{}", SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port())),
        false => format!("{scheme}://{listen}"),
    }
}

/// Compares the clock with the last milestone of a node by what it says of itself; whether it could.
fn against(url: &str, status: &Result<Value, ClientError>, asked_for: bool, heartbeat_ms: u64, report: &mut Report) -> bool {
    let milestone_ms = match status {
        Ok(status) => status.pointer("/ledger/milestone_ms").and_then(Value::as_u64).filter(|ms| *ms > 0),
        Err(why) => {
            let cannot = format!("{url} cannot be asked: {why}");
            match why {
                // it may be this one, whose certificate is for its name and not for its address
                ClientError::Tls { .. } | ClientError::Authority { .. } => {
                    report.warn(
                        "clock",
                        cannot,
                        "name it as its certificate does (--node https://HOST:PORT), and its authority (--ca FILE)",
                    );
                }
                _ if asked_for => report.warn("clock", cannot, "name a node of the network that runs"),
                _ => {}
            }
            None
        }
    };
    let Some(milestone_ms) = milestone_ms else { return false };
    let now_ms = now_us() / 1_000;
    match judge(milestone_ms, now_ms, heartbeat_ms) {
        Verdict::Behind(ms) => report.bad("clock", format!("it is {ms} ms behind the last milestone of {url}"), SET_IT),
        Verdict::Old(ms) => {
            let todo = "if the committee confirms elsewhere, set the clock; else see `wattle status` and the peers below";
            report.warn("clock", format!("the last milestone of {url} is {} s old", ms / 1_000), todo);
        }
        Verdict::Fits => report.ok("clock", format!("it fits the last milestone of {url}")),
    }
    true
}

/// What a milestone says of the clock.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The milestone is from the future, by so many milliseconds.
    Behind(u64),
    /// It is older than it should be.
    Old(u64),
    /// Neither.
    Fits,
}

fn judge(milestone_ms: u64, now_ms: u64, heartbeat_ms: u64) -> Verdict {
    let (ahead, age) = (milestone_ms.saturating_sub(now_ms), now_ms.saturating_sub(milestone_ms));
    if ahead > SKEW_MS_MAX {
        Verdict::Behind(ahead)
    } else if age > heartbeat_ms.saturating_mul(HEARTBEATS_MAX).saturating_add(SKEW_MS_MAX) {
        Verdict::Old(age)
    } else {
        Verdict::Fits
    }
}

/// When the newest of this node's files was written.
fn newest_ms(dir: &Path) -> Option<u64> {
    let (mut waiting, mut seen, mut newest) = (vec![dir.to_path_buf()], 0usize, None);
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            seen += 1;
            if seen > FILES_MAX {
                return newest;
            }
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                waiting.push(entry.path());
            } else if let Ok(since) = metadata.modified().map(|at| at.duration_since(UNIX_EPOCH).unwrap_or_default()) {
                newest = newest.max(u64::try_from(since.as_millis()).ok());
            }
        }
    }
    newest
}

/// What systemd-timesyncd says, where it runs.
fn unsynchronised() -> Option<String> {
    let dir = Path::new("/run/systemd/timesync");
    (dir.is_dir() && !dir.join("synchronized").exists()).then(|| "systemd-timesyncd runs, and has not set it yet".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_milestone_tells_whether_the_clock_is_right() {
        assert_eq!(judge(10_000, 10_100, 15_000), Verdict::Fits);
        assert_eq!(judge(12_000, 10_000, 15_000), Verdict::Fits, "a little ahead");
        assert_eq!(judge(12_001, 10_000, 15_000), Verdict::Behind(2_001));
        assert_eq!(judge(1_000, 63_000, 15_000), Verdict::Fits);
        assert_eq!(judge(1_000, 63_001, 15_000), Verdict::Old(62_001));
    }

    #[test]
    fn the_newest_file_counts_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest_ms(dir.path()), None);
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/b"), "x").unwrap();
        let newest = newest_ms(dir.path()).unwrap();
        assert!(newest.abs_diff(now_us() / 1_000) < 60_000, "{newest}");
    }

    #[test]
    fn a_node_that_listens_everywhere_is_asked_here() {
        assert_eq!(own("0.0.0.0:8080".parse().unwrap(), false), "http://127.0.0.1:8080");
        assert_eq!(own("0.0.0.0:8080".parse().unwrap(), true), "https://127.0.0.1:8080");
        assert_eq!(own("10.0.0.1:80".parse().unwrap(), false), "http://10.0.0.1:80");
    }
}
