//! `wattle bench ingest`: how many readings a second replicas confirm, without broker and HTTP.
//!
//! All replicas run in this process on loopback TCP and share its cores; `load.rs` says what they are given to do. Each
//! run is a process of its own.

use super::child::{self, Apart};
use super::committee::{self, Links, WORKERS};
use super::disk::{scratch, size};
use super::figures::{Figures, fields, latency};
use super::load::{self, Load, Window};
use super::machine::usage;
use crate::cli::Failure;
use serde_json::json;
use std::path::PathBuf;

/// `wattle bench ingest`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Replicas; all of them issue
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    nodes: u8,
    /// Readings in a batch
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    /// How long is measured
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Seconds before that
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    warm_up: u64,
    /// Batches that one replica may have unconfirmed
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    in_flight: u16,
    #[command(flatten)]
    apart: Apart,
}

/// Measures.
///
/// # Errors
/// [`Failure`] if the replicas cannot run.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let parameters = json!({
        "nodes": arguments.nodes, "batch": arguments.batch, "seconds": arguments.seconds, "in_flight": arguments.in_flight,
        "payload_replicas": 1,
    });
    let options = [
        ("--nodes", arguments.nodes.to_string()),
        ("--batch", arguments.batch.to_string()),
        ("--seconds", arguments.seconds.to_string()),
        ("--warm-up", arguments.warm_up.to_string()),
        ("--in-flight", arguments.in_flight.to_string()),
    ];
    arguments.apart.repeat("ingest", parameters, "readings_per_second", || once(arguments), || child::run("ingest", &options))
}

fn once(arguments: &Arguments) -> Result<Figures, Failure> {
    let storage = scratch()?;
    let path = storage.path().to_path_buf();
    replica::run(storage.path(), WORKERS, |runtime| measure(runtime, arguments, path))
}

async fn measure(runtime: replica::Runtime, arguments: &Arguments, storage: PathBuf) -> Result<Figures, Failure> {
    let members = committee::start(&runtime, arguments.nodes, Links::Tcp).await?;
    let window = Window::after(arguments.warm_up, arguments.seconds);
    let load = Load { batch: arguments.batch, in_flight: usize::from(arguments.in_flight), rate: None };
    let tally = load::run(&members, load, window).await?;
    let used = usage(std::process::id());
    let on_disk = size(&storage).bytes as f64 / f64::from(arguments.nodes) / tally.readings_ever.max(1) as f64;
    Ok(fields(json!({
        "readings_per_second": tally.readings as f64 / window.seconds(),
        "messages_per_second": tally.messages as f64 / window.seconds(),
        "disk_bytes_per_reading_and_node": on_disk,
        "latency_ms": latency(tally.latency_ms),
        "cpu_seconds": used.cpu_seconds,
        "rss_bytes": used.rss_bytes,
    })))
}
