//! `wattle request certificate`: a certificate with the way from the genesis, as a file.
//!
//! ```text
//! GET spends/{id}/certificate ─▶ votes          GET head?epoch=… ─▶ handovers up to the request's epoch
//! ```
//! The file has all that `wattle verify --certificate` needs beside the genesis. Nothing in it is believed here.

use crate::cli::client::{ClientError, DEFAULT_NODE, NodeClient};
use crate::cli::output::{note, print};
use crate::cli::spending::wire::Certified;
use crate::cli::{Exit, Failure, quantity};
use protocol::{Certificate, CertificateProof, Handover, Id};
use replica::Head;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often the node is asked again.
const POLL: Duration = Duration::from_millis(100);
/// What a node answers while a certificate is on its way, or its epoch is just beginning: not known yet, or not certified yet.
const ON_ITS_WAY: [u16; 2] = [404, 409];
/// Bytes of a head: as many handovers as one may have, each of a full committee, as text.
const HEAD_BYTES_MAX: u64 = 32 << 20;

/// `wattle request certificate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It shows that more than two thirds of the committee voted for the request. It is JSON, and checked with the genesis alone.

Examples:
  wattle request certificate 9b1e…64 digits… --out c.json
  wattle request certificate 9b1e…64 digits… | wattle verify --certificate - --genesis net/genesis.json")]
pub(super) struct Arguments {
    /// The request
    id: Id,
    /// Write it to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The node to ask
    #[arg(long, value_name = "URL", default_value = DEFAULT_NODE)]
    node: String,
    /// How long to wait for the request to be certified
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = quantity::duration)]
    wait: Duration,
}

/// Asks, waits if need be, and writes.
///
/// # Errors
/// [`Failure`] if there is no certificate within the time given.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (node, start) = (NodeClient::new(&arguments.node)?, Instant::now());
    let waiting = || start.elapsed() < arguments.wait;
    let path = format!("/api/v1/spends/{}/certificate", arguments.id);
    let Certified { certificate } = loop {
        match node.json::<Certified>(&path) {
            Err(ClientError::Problem { status, .. }) if ON_ITS_WAY.contains(&status) && waiting() => std::thread::sleep(POLL),
            answer => break answer?,
        }
    };
    let certificate = Certificate::from_hex(&certificate).map_err(|why| wrong(&why))?;
    if certificate.request.id() != arguments.id {
        return Err(wrong(&"the certificate is of another request"));
    }
    let handovers = way(&node, certificate.request.epoch, waiting)?;
    let text = CertificateProof { certificate, handovers }.to_json();
    match &arguments.out {
        None => print(&text),
        Some(path) => {
            std::fs::write(path, &text).map_err(|e| Failure::file(path, &e, "choose a file that can be written"))?;
            note(&format!("certificate written to {}", path.display()));
            Ok(())
        }
    }
}

fn wrong(why: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Refused, why, "the node's answer", "check that the node runs this version of wattle, or ask another")
}

/// The closing milestones of all epochs before `epoch`.
fn way(node: &NodeClient, epoch: u64, waiting: impl Fn() -> bool) -> Result<Vec<Handover>, Failure> {
    let mut handovers: Vec<Handover> = Vec::new();
    loop {
        let reached = handovers.len() as u64;
        if reached >= epoch {
            return Ok(handovers);
        }
        let more = match node.text_within(&format!("/api/v1/head?epoch={reached}"), HEAD_BYTES_MAX) {
            Ok(text) => Head::from_json(&text).map_err(|why| wrong(&why))?,
            Err(ClientError::Problem { status, .. }) if ON_ITS_WAY.contains(&status) && waiting() => {
                std::thread::sleep(POLL);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let left = usize::try_from(epoch - reached).unwrap_or(usize::MAX);
        match (more.handovers.is_empty(), waiting()) {
            (false, _) => handovers.extend(more.handovers.into_iter().take(left)),
            // the epoch has begun, and no milestone of it is certified yet
            (true, true) => std::thread::sleep(POLL),
            (true, false) => {
                let what = format!("the node knows the way to epoch {reached} only, the request is of epoch {epoch}");
                return Err(Failure::new(Exit::Refused, what, node.base(), "ask again in a moment, or another node"));
            }
        }
    }
}
