//! A network of `wattle up` processes on this machine, for the demo and the benches.
//!
//! # Rules
//! - Every node is a process of its own with a directory of its own, as it would be on a machine of its own.
//! - No node outlives this process: each ends when its standard input does, however we end; and [`Network`]
//!   asks them to stop (SIGTERM), waits, and kills what is left when it is dropped.
//! - A port that is taken is never an error here: the next free one is used, and said.

use crate::cli::client::NodeClient;
use crate::cli::init::{self, BrokerPlan, HTTP_PORT, LEDGER_PORT, MQTT_PORT, Plan, Ports, Written};
use crate::cli::wire::Status;
use crate::cli::{Exit, Failure};
use protocol::{Genesis, Name, Parameters, WalletParameters};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long nodes may take to start,
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// and how much longer for each of them: they share this machine.
const START_TIMEOUT_PER_NODE: Duration = Duration::from_secs(2);
/// How long nodes may take to stop before they are killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How often something is looked at again.
pub(crate) const POLL: Duration = Duration::from_millis(50);
/// How far from the usual port a free one is looked for.
const PORT_SEARCH_MAX: u16 = 2_000;

/// One running node.
#[derive(Debug)]
struct NodeProcess {
    name: String,
    child: Child,
    client: NodeClient,
    log: PathBuf,
}

/// Running nodes. Dropping it stops them.
#[derive(Debug)]
pub(crate) struct Network {
    nodes: Vec<NodeProcess>,
    /// What they agreed on at the start.
    pub(crate) genesis: Genesis,
    /// Its file.
    pub(crate) genesis_file: PathBuf,
    /// Where devices publish.
    pub(crate) broker: String,
    /// The site of the first node.
    pub(crate) site: Name,
}

/// A plan with free ports, and notes about those that differ from the usual.
///
/// # Errors
/// [`Failure`] if no port is free.
pub(crate) fn free_plan(name: Name, site: Name, nodes: u16) -> Result<(Plan, Vec<String>), Failure> {
    let mut used = Vec::new();
    let mut notes = Vec::new();
    let mut next = |usual: u16, what: String| {
        let free = (usual..usual.saturating_add(PORT_SEARCH_MAX))
            .find(|port| !used.contains(port) && TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let port = free.ok_or_else(|| {
            Failure::new(Exit::Usage, "no free port", format!("127.0.0.1:{usual} and above"), "stop something that listens there")
        })?;
        used.push(port);
        if port != usual {
            notes.push(format!("port {usual} is taken: {what} uses {port}"));
        }
        Ok::<u16, Failure>(port)
    };
    let mut ports = Vec::new();
    for k in 0..nodes {
        let ledger = next(LEDGER_PORT.saturating_add(k), format!("the ledger of node{}", k + 1))?;
        let http = next(HTTP_PORT.saturating_add(k), format!("HTTP of node{}", k + 1))?;
        ports.push(Ports { ledger, http });
    }
    let broker = BrokerPlan::Embedded(next(MQTT_PORT, "MQTT".to_owned())?);
    let (parameters, wallet_parameters) = (Parameters::default(), WalletParameters::default());
    Ok((Plan { name, site, nodes: ports, broker, parameters, wallet_parameters }, notes))
}

impl NodeProcess {
    /// Whether it has executed a milestone beyond genesis and hears of so many others.
    fn has_joined(&self, others: u64) -> bool {
        let status: Result<Status, _> = self.client.json("/api/v1/status");
        status.is_ok_and(|s| s.ledger.height > 0 && s.ledger.peers >= others)
    }
}

impl Network {
    /// Writes a network into `directory` and starts its nodes. They are not ready yet.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be written or a process cannot be started.
    pub(crate) fn start(directory: &Path, plan: &Plan) -> Result<Self, Failure> {
        Self::launch(init::write(plan, directory)?, plan)
    }

    /// Starts the nodes of a network that was written. They are not ready yet.
    ///
    /// # Errors
    /// [`Failure`] if a process cannot be started.
    pub(crate) fn launch(written: Written, plan: &Plan) -> Result<Self, Failure> {
        let Written { genesis, genesis_file, directories } = written;
        let broker = match &plan.broker {
            BrokerPlan::Embedded(port) => format!("mqtt://127.0.0.1:{port}"),
            BrokerPlan::External(url) => url.clone(),
        };
        let mut network = Self { nodes: Vec::new(), genesis, genesis_file, broker, site: plan.site.clone() };
        let program =
            std::env::current_exe().map_err(|e| Failure::new(Exit::Fault, e, "the path of this program", "start it by its full path"))?;
        for (index, (directory, ports)) in directories.iter().zip(&plan.nodes).enumerate() {
            let log = directory.join("log.txt");
            let file = File::create(&log).map_err(|e| Failure::file(&log, &e, "name a directory that can be written"))?;
            let child = Command::new(&program)
                .arg("up")
                .arg("--config")
                .arg(directory.join("wattle.toml"))
                .arg("--until-stdin-ends")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(file)
                .process_group(0) // Ctrl-C is for us; we stop them in order
                .spawn()
                .map_err(|e| Failure::new(Exit::Fault, e, program.display(), "check that it may be executed"))?;
            let client = NodeClient::nameless(&format!("http://127.0.0.1:{}", ports.http))?;
            network.nodes.push(NodeProcess { name: format!("node{}", index + 1), child, client, log });
        }
        Ok(network)
    }

    /// Waits until every node is well, has executed the network's first milestone, and hears of all the others.
    ///
    /// # Errors
    /// [`Failure`] if one ends instead, or takes too long.
    pub(crate) async fn ready(&mut self) -> Result<(), Failure> {
        let (start, others) = (Instant::now(), self.nodes.len().saturating_sub(1) as u64);
        let timeout = START_TIMEOUT + START_TIMEOUT_PER_NODE * u32::try_from(others).unwrap_or_default();
        loop {
            self.alive()?;
            let waiting = tokio::task::block_in_place(|| self.nodes.iter().find(|n| !n.client.healthy() || !n.has_joined(others)));
            let Some(node) = waiting else { return Ok(()) };
            if start.elapsed() > timeout {
                let what = format!("{} is not ready after {} s", node.name, timeout.as_secs());
                return Err(Failure::new(Exit::Fault, what, node.log.display(), "read its log"));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Checks that no node has ended.
    ///
    /// # Errors
    /// [`Failure`] with the last words of one that has.
    pub(crate) fn alive(&mut self) -> Result<(), Failure> {
        for node in &mut self.nodes {
            if let Ok(Some(status)) = node.child.try_wait() {
                let log = std::fs::read_to_string(&node.log).unwrap_or_default();
                let last = log.lines().rev().find(|l| l.starts_with("wattle: ")).or_else(|| log.lines().next_back());
                let last = last.unwrap_or("it said nothing").trim_start_matches("wattle: ");
                return Err(Failure::new(Exit::Fault, format!("{} ended ({status})", node.name), node.log.display(), last));
            }
        }
        Ok(())
    }

    /// The nodes' HTTP interfaces, in the committee's order.
    pub(crate) fn clients(&self) -> impl Iterator<Item = &NodeClient> {
        self.nodes.iter().map(|n| &n.client)
    }

    /// The first node's HTTP interface: the one with the site.
    ///
    /// # Errors
    /// [`Failure`] if the network has no nodes.
    pub(crate) fn site_node(&self) -> Result<&NodeClient, Failure> {
        self.clients().next().ok_or_else(|| Failure::new(Exit::Usage, "no nodes", "--nodes", "choose at least 1"))
    }

    /// The nodes' process ids.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.nodes.iter().map(|n| n.child.id()).collect()
    }

    /// Asks every node to stop, waits, and kills what has not.
    pub(crate) fn stop(&mut self) {
        for node in &mut self.nodes {
            // a node that has ended and been waited for must not be signalled: its number may be another's
            if matches!(node.child.try_wait(), Ok(None)) {
                let _ = kill_process(Pid::from_child(&node.child), Signal::TERM);
            }
            drop(node.child.stdin.take());
        }
        let start = Instant::now();
        while start.elapsed() < STOP_TIMEOUT && self.nodes.iter_mut().any(|n| matches!(n.child.try_wait(), Ok(None))) {
            std::thread::sleep(POLL);
        }
        for node in &mut self.nodes {
            let _ = node.child.kill();
            let _ = node.child.wait();
        }
        self.nodes.clear();
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over_and_said() {
        let holder = TcpListener::bind("127.0.0.1:1883");
        let (plan, notes) = free_plan(Name::new("n").unwrap(), Name::new("z1").unwrap(), 2).unwrap();
        let mut ports: Vec<u16> = plan.nodes.iter().flat_map(|p| [p.ledger, p.http]).collect();
        let BrokerPlan::Embedded(mqtt) = plan.broker else { unreachable!("a free plan has its own broker") };
        ports.push(mqtt);
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 5, "{ports:?}");
        // taken by us or by somebody else: either way it is not ours to give
        assert_ne!(mqtt, 1883);
        assert!(notes.iter().any(|n| n.contains("1883")), "{notes:?}");
        drop(holder);
    }
}
