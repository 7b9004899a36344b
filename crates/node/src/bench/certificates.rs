//! `wattle bench certificates`: how many requests a second a committee certifies and executes, and how soon.
//!
//! All replicas run in this process and share its cores, on simulated links or on loopback TCP; `spending.rs` says what the
//! wallets do. *Certified* is what enough votes are known for where the request was handed in, *final* what a milestone executed
//! there. The clients' signatures and proofs of work are made before the run and are in no figure.
//!
//! With one wallet and a chain of 1, each request waits for the certificate of the one before: the figures are latencies. With many
//! wallets and long chains they are throughput, and latencies those of a node that is as busy as it can be.

use super::child::{self, Apart};
use super::committee::{self, Network, WORKERS, link_ms};
use super::disk::scratch;
use super::figures::{Figures, fields, latency};
use super::machine::usage;
use super::spenders;
use super::spending::{self, Plan};
use crate::cli::{Exit, Failure};
use protocol::{Encode as _, Genesis, Request, SecretKey};
use serde_json::json;
use std::fmt::Display;

/// Requests of all wallets together that may wait for a milestone: a quarter of those that the ledger registers.
const NOT_FINAL_MAX: usize = 16_384;
/// Requests of one wallet that may wait for a milestone: a quarter of how far a wallet may be ahead.
const WALLET_NOT_FINAL_MAX: usize = 1_024;
/// By committee: milliseconds until the consensus is reached, in the Wallance paper, on Raspberry Pis over 5 GHz WiFi. It says
/// of 48 nodes that it takes less.
const PAPER_MS: [(u8, f64); 2] = [(8, 300.0), (48, 1_000.0)];

/// `wattle bench certificates`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Validators; wallets are shared out among them
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    nodes: u8,
    /// What connects them
    #[arg(long, value_enum, default_value_t = Network::Simulated)]
    network: Network,
    /// How long a simulated link takes, in milliseconds
    #[arg(long, default_value_t = 1.5, value_parser = link_ms)]
    latency_ms: f64,
    /// Wallets that spend at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    wallets: u16,
    /// Requests that a wallet sends at a time, each naming the State after the one before
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u8).range(1..=64))]
    chain: u8,
    /// Requests of all wallets together, rounded up to as many for each
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    requests: u32,
    #[command(flatten)]
    apart: Apart,
}

/// Measures.
///
/// # Errors
/// [`Failure`] if the replicas cannot run, or refuse a request.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { nodes, network, latency_ms, wallets, chain, requests, .. } = arguments;
    let parameters = json!({
        "nodes": nodes, "network": network.name(), "wallets": wallets, "chain": chain,
        "link_ms": (*network == Network::Simulated).then_some(latency_ms),
        "paper_certified_ms": paper_ms(*nodes),
    });
    let options = [
        ("--nodes", nodes.to_string()),
        ("--network", network.name().to_owned()),
        ("--latency-ms", latency_ms.to_string()),
        ("--wallets", wallets.to_string()),
        ("--chain", chain.to_string()),
        ("--requests", requests.to_string()),
    ];
    arguments.apart.repeat("certificates", parameters, "certified_per_second", || once(arguments), || child::run("certificates", &options))
}

fn paper_ms(nodes: u8) -> Option<f64> {
    PAPER_MS.iter().find(|(committee, _)| *committee == nodes).map(|(_, ms)| *ms)
}

impl Arguments {
    fn plan(&self) -> Plan {
        let share = NOT_FINAL_MAX / usize::from(self.wallets.max(1));
        Plan { chain: usize::from(self.chain), not_final_max: share.min(WALLET_NOT_FINAL_MAX) }
    }
}

/// A network that is not started yet, and what its wallets are going to send.
struct Prepared {
    genesis: Genesis,
    keys: Vec<SecretKey>,
    wallets: Vec<SecretKey>,
    chains: Vec<Vec<Request>>,
}

fn prepare(arguments: &Arguments) -> Result<Prepared, Failure> {
    let (mut genesis, keys) = committee::found(arguments.nodes)?;
    let wallets = spenders::keys(arguments.wallets);
    spenders::endow(&mut genesis, &wallets);
    let chains = spenders::chains(&genesis, &wallets, arguments.requests.div_ceil(u32::from(arguments.wallets)))?;
    Ok(Prepared { genesis, keys, wallets, chains })
}

fn once(arguments: &Arguments) -> Result<Figures, Failure> {
    let prepared = prepare(arguments)?;
    let storage = scratch()?;
    replica::run(storage.path(), WORKERS, |runtime| measure(runtime, arguments, prepared))
}

async fn measure(runtime: replica::Runtime, arguments: &Arguments, prepared: Prepared) -> Result<Figures, Failure> {
    let broken = |why: &dyn Display| Failure::new(Exit::Fault, why, "bench certificates", "run it with -v to see the log");
    let Prepared { genesis, keys, wallets, chains } = prepared;
    let network = genesis.network();
    let members = committee::start_with(&runtime, genesis, keys, arguments.network.links(arguments.latency_ms)).await?;
    spenders::fund(&members, &network, &wallets).await?;
    let (first, _) = members.first().ok_or_else(|| broken(&"there is no replica"))?;
    let total: usize = chains.iter().map(Vec::len).sum();
    let requests = total as f64;
    let last = chains.first().and_then(|chain| chain.last()).map(Request::id);
    let before = usage(std::process::id());
    let course = spending::run(&members, chains, arguments.plan()).await.map_err(|why| broken(&why))?;
    let used = usage(std::process::id());
    let weight = spending::weigh(first, &course.traffic.some).await;
    let certificate = match last {
        Some(id) => first.certificate(id).await,
        None => None,
    };
    let ratio = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
    let messages_per_request = course.traffic.messages as f64 / requests;
    let (certified, executed) = (latency(course.certified_ms), latency(course.final_ms));
    Ok(fields(json!({
        "requests": total,
        "certified_per_second": requests / course.certified_seconds,
        "final_per_second": requests / course.final_seconds,
        "certified_ms": certified,
        "final_ms": executed,
        "messages_per_request": messages_per_request,
        "bytes_per_message": ratio(weight.bytes, weight.messages),
        // each message once: it travels to each of the others
        "bytes_per_request": ratio(weight.bytes, weight.messages) * messages_per_request,
        "votes_per_message": ratio(weight.votes, weight.voting),
        "votes_per_request": ratio(weight.votes, weight.messages) * messages_per_request,
        "requests_per_message": ratio(weight.requests, weight.messages),
        "certificate_bytes": certificate.map(|c| c.encode().len()),
        "milestones_per_second": course.traffic.milestones as f64 / course.final_seconds,
        "cpu_ms_per_request": (used.cpu_seconds - before.cpu_seconds) * 1e3 / requests,
        "rss_bytes": used.rss_bytes,
    })))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn typed(options: &[&str]) -> Arguments {
        Line::try_parse_from([["bench"].as_slice(), options].concat()).unwrap().arguments
    }

    #[test]
    fn no_wallet_gets_as_far_ahead_as_a_ledger_forbids() {
        for wallets in ["1", "64", "1024"] {
            let arguments = typed(&["--wallets", wallets]);
            let plan = arguments.plan();
            assert!(plan.not_final_max >= 1 && (plan.not_final_max as u64) < ledger::AHEAD_MAX, "{plan:?}");
            let each = plan.not_final_max.max(plan.chain);
            assert!((each * usize::from(arguments.wallets)) as u64 <= ledger::REGISTERED_MAX, "{plan:?}");
        }
    }

    #[test]
    fn each_wallet_has_its_part_of_the_requests() {
        let prepared = prepare(&typed(&["--nodes", "2", "--wallets", "3", "--requests", "10"])).unwrap();
        assert_eq!(prepared.chains.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 4]);
        prepared.genesis.check().unwrap();
        assert_eq!((paper_ms(8), paper_ms(4)), (Some(300.0), None));
    }
}
