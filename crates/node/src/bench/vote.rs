//! `wattle bench vote`: what a vote and a certificate take, in bytes and in time, and what follows for larger committees.
//!
//! Three parts: sizes and costs without a network (`ballots.rs`), how long a message takes from one node of eight to another
//! (`passage.rs`), and with `--extrapolate` what a model makes of them (`sim::votes`, which `wattle sim votes` asks, too). How long a
//! request takes until it is certified, and how many are in a second, is measured by `wattle bench certificates`.

use super::ballots::{Ballots, Costs};
use super::child::{self, Apart};
use super::committee::{self, Network, WORKERS, link_ms};
use super::disk::scratch;
use super::figures::{Figures, fields};
use super::machine::usage;
use super::passage;
use crate::cli::{Exit, Failure, quantity};
use protocol::Encode as _;
use protocol::limits::COMMITTEE_MAX;
use serde_json::{Value, json};
use sim::votes::{Costs as Steps, Link, Network as Between, Ours, Protocol, latency_ms as decided_ms, quorum};
use std::time::Duration;

/// Nodes of the paper's platform.
const PAPER_NODES: u8 = 8;
/// Data in the messages of the passage: none, as much as one more vote takes, and as much as 64 take.
const PASSAGE_BYTES: [usize; 3] = [0, 32, 2_048];
/// The paper's Table II: bytes of a vote; milliseconds of its passage on average, at least, at most.
const PAPER_VOTES: [(u32, f64, f64, f64); 3] = [(72, 1.66, 1.40, 5.98), (96, 1.53, 1.38, 5.82), (144, 1.66, 1.41, 4.94)];
/// Votes in a message, for the table of sizes.
const AMORTISED: [u16; 4] = [1, 16, 64, 1_024];
/// Voters, and the paper's milliseconds: measured with 8 and (less than that) with 48, estimated beyond.
const VOTERS: [(u32, Option<f64>); 7] =
    [(4, None), (8, Some(300.0)), (16, None), (48, Some(1_000.0)), (128, None), (1_000, Some(2_000.0)), (10_000, Some(20_000.0))];
/// Rounds of which the model shows the mean.
const ROUNDS: u32 = 100;
/// The seed of these rounds.
const SEED: u64 = 0;
/// Bytes in a microsecond of one Mbit/s.
const BYTES_PER_US: f64 = 0.125;

/// `wattle bench vote`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Members of the committee; several sizes with commas between them
    #[arg(long, value_delimiter = ',', default_value = "4,8,16,48", value_parser = clap::value_parser!(u8).range(1..=128))]
    nodes: Vec<u8>,
    /// Votes in a message
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    votes: u16,
    /// Messages of each size that go from one node to another; 0 leaves that out
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    samples: u32,
    /// What connects these nodes
    #[arg(long, value_enum, default_value_t = Network::Tcp)]
    network: Network,
    /// How long a link takes, in milliseconds: a simulated one, and those of the model
    #[arg(long, default_value_t = 1.5, value_parser = link_ms)]
    latency_ms: f64,
    /// Says what follows for committees up to 10 000, by a model
    #[arg(long)]
    extrapolate: bool,
    /// What a connection of a node carries in the model, in Mbit/s
    #[arg(long, default_value_t = 1_000.0, value_parser = quantity::positive)]
    bandwidth_mbit: f64,
    /// Cores of a node's machine in the model
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    cores: u16,
    #[command(flatten)]
    apart: Apart,
}

/// Measures.
///
/// # Errors
/// [`Failure`] if the replicas cannot run.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { nodes, votes, samples, network, latency_ms, .. } = arguments;
    let parameters = json!({
        "votes": votes, "samples": samples, "nodes_of_the_passage": PAPER_NODES, "network": network.name(), "threads": 1,
        "link_ms": (*network == Network::Simulated).then_some(latency_ms),
    });
    let sizes: Vec<String> = nodes.iter().map(u8::to_string).collect();
    let options = [
        ("--nodes", sizes.join(",")),
        ("--votes", votes.to_string()),
        ("--samples", samples.to_string()),
        ("--network", network.name().to_owned()),
        ("--latency-ms", latency_ms.to_string()),
    ];
    let run = || {
        let mut figures = child::run("vote", &options)?;
        if arguments.extrapolate {
            let model = extrapolated(&figures, arguments)?;
            figures.insert("model".to_owned(), Value::Object(model));
        }
        Ok::<Figures, Failure>(figures)
    };
    arguments.apart.repeat("vote", parameters, "take_in_us", || once(arguments), run)
}

fn once(arguments: &Arguments) -> Result<Figures, Failure> {
    let mut figures = sizes()?;
    figures.extend(costs(arguments.votes)?);
    for members in &arguments.nodes {
        figures.insert(format!("committee_{members}"), Value::Object(certificates(*members, arguments.votes)?));
    }
    for (bytes, mean_ms, min_ms, max_ms) in PAPER_VOTES {
        let paper = json!({ "mean_ms": mean_ms, "min_ms": min_ms, "max_ms": max_ms });
        figures.insert(format!("paper_vote_of_{bytes}_bytes"), paper);
    }
    if arguments.samples > 0 {
        let storage = scratch()?;
        figures.extend(replica::run(storage.path(), WORKERS, |runtime| passages(runtime, arguments))?);
    }
    let used = usage(std::process::id());
    figures.extend(fields(json!({ "cpu_seconds": used.cpu_seconds, "rss_bytes": used.rss_bytes })));
    Ok(figures)
}

/// What a vote takes on the wire, alone in a message and with others.
fn sizes() -> Result<Figures, Failure> {
    let (alone, together) = (Ballots::of(1, 1)?, Ballots::of(PAPER_NODES, 1)?);
    let mut figures = fields(json!({
        "request_bytes": alone.request_bytes(),
        "message_bytes": alone.message_bytes(),
        "message_of_8_parents_bytes": together.message_bytes(),
    }));
    for votes in AMORTISED {
        let ballots = Ballots::of(PAPER_NODES, votes)?;
        let one = json!({
            "bytes_per_vote_in_message": ballots.message_bytes() as f64 / f64::from(votes),
            "bytes_per_vote_in_certificate": ballots.vote_bytes(),
        });
        figures.insert(format!("with_{votes}_in_a_message"), one);
    }
    Ok(figures)
}

fn costs(votes: u16) -> Result<Figures, Failure> {
    let costs = Costs::measure(votes)?;
    Ok(fields(json!({
        "sign_us": costs.sign_us,
        "verify_us": costs.verify_us,
        "verify_batched_us": costs.verify_batched_us,
        "take_in_us": costs.take_in_us,
        "sign_request_us": costs.sign_request_us,
        "verify_request_us": costs.verify_request_us,
        "sync_us": costs.sync_us,
    })))
}

/// The certificates of a committee.
fn certificates(members: u8, votes: u16) -> Result<Figures, Failure> {
    let ballots = Ballots::of(members, votes)?;
    Ok(fields(json!({
        "votes_needed": ballots.needed(),
        "certificate_bytes": ballots.certificate()?.encode().len(),
        "assemble_us": ballots.assemble_us()?,
        "check_us": ballots.check_us()?,
    })))
}

async fn passages(runtime: replica::Runtime, arguments: &Arguments) -> Result<Figures, Failure> {
    let members = committee::start(&runtime, PAPER_NODES, arguments.network.links(arguments.latency_ms)).await?;
    let mut figures = Figures::new();
    for bytes in PASSAGE_BYTES {
        let one = passage::run(&members, arguments.samples, bytes).await?;
        figures.insert(format!("passage_with_{bytes}_bytes_of_data"), Value::Object(one));
    }
    Ok(figures)
}

/// What the model makes of the figures of a run.
fn extrapolated(figures: &Figures, arguments: &Arguments) -> Result<Figures, Failure> {
    let Arguments { votes, latency_ms, bandwidth_mbit, cores, .. } = *arguments;
    let figure = |name: &str| figures.get(name).and_then(Value::as_f64).unwrap_or_default();
    let steps = Steps {
        sign_us: figure("sign_us"),
        take_in_us: figure("take_in_us"),
        verify_request_us: figure("verify_request_us"),
        sync_us: figure("sync_us"),
        request_bytes: figure("request_bytes"),
        message_bytes: figure("message_bytes"),
        cast_vote_bytes: Ballots::of(1, votes)?.vote_bytes() as f64,
    };
    let link = Link::constant(Duration::try_from_secs_f64(latency_ms / 1e3).unwrap_or_default());
    let ours = |network| Ours { link, network, cores: u32::from(cores), bytes_per_us: bandwidth_mbit * BYTES_PER_US, costs: steps };
    let certified_ms = |network, members| {
        let decided = decided_ms(&Protocol::Ours(ours(network)), members, ROUNDS, SEED);
        decided.map(|band| band.mean).map_err(|e| Failure::new(Exit::Usage, e, "bench vote --extrapolate", "choose other links"))
    };
    let links = ours(Between::Links);
    let mut rows =
        fields(json!({ "link_ms": latency_ms, "bandwidth_mbit": bandwidth_mbit, "cores": cores, "committee_max": COMMITTEE_MAX }));
    for (members, paper_ms) in VOTERS {
        let possible = usize::try_from(members).is_ok_and(|members| members <= COMMITTEE_MAX);
        let row = json!({
            "votes_needed": quorum(members),
            "certified_ms": certified_ms(Between::Links, members)?,
            // nobody has 1 000 nodes on one machine
            "certified_on_one_machine_ms": possible.then(|| certified_ms(Between::OneMachine, members)).transpose()?,
            "requests_per_second": links.requests_per_second(members, votes),
            "certificate_bytes": links.certificate_bytes(members),
            "paper_ms": paper_ms,
        });
        rows.insert(format!("voters_{members}"), row);
    }
    Ok(rows)
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

    #[test]
    fn sizes_are_those_that_the_formats_have() {
        let figures = sizes().unwrap();
        let of = |name: &str, field: &str| figures.get(name).and_then(|row| row.get(field)).and_then(Value::as_f64).unwrap();
        let message = figures.get("message_of_8_parents_bytes").and_then(Value::as_f64).unwrap();
        let alone = of("with_1_in_a_message", "bytes_per_vote_in_message");
        assert!((alone - message).abs() < 1e-9);
        let many = of("with_1024_in_a_message", "bytes_per_vote_in_message");
        assert!((32.0..33.0).contains(&many), "{many}");
        assert!(of("with_1024_in_a_message", "bytes_per_vote_in_certificate") > of("with_1_in_a_message", "bytes_per_vote_in_certificate"));
    }

    #[test]
    fn a_model_says_what_the_paper_says_beside_and_no_more_than_it_can() {
        let arguments = Line::try_parse_from(["bench", "--extrapolate"]).unwrap().arguments;
        let figures = fields(json!({
            "sign_us": 20.0, "take_in_us": 30.0, "verify_request_us": 50.0, "sync_us": 100.0, "request_bytes": 200, "message_bytes": 300,
        }));
        let rows = extrapolated(&figures, &arguments).unwrap();
        let of = |name: &str, field: &str| rows.get(name).and_then(|row| row.get(field)).cloned().unwrap();
        assert_eq!(of("voters_8", "paper_ms"), json!(300.0));
        assert_eq!(of("voters_1000", "certified_on_one_machine_ms"), Value::Null);
        assert!(of("voters_128", "certified_on_one_machine_ms").is_f64());
        // two links of 1.5 ms at least
        assert!(of("voters_4", "certified_ms").as_f64().unwrap() > 3.0);
        assert_eq!(of("voters_10000", "votes_needed"), json!(6_667));
    }
}
