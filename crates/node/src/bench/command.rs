//! What may be typed after `wattle bench`.

use super::{api, certificates, confirm, connections, dag, ingest, mqtt, mqttsn, pow, storage, verify, vote};
use crate::cli::Failure;

/// `wattle bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each bench prints a table, or with --json one object whose fields have their unit in their name.
Figures are those of the median run. Build with --release.

Examples:
  wattle bench ingest --nodes 4 --batch 1000 --seconds 10
  wattle bench mqtt --publishers 100 --qos 1 --json
  wattle bench connections --devices 10000 --readings 20
  wattle bench mqttsn --clients 5000
  wattle bench confirm --rate 1000 --seconds 20
  wattle bench confirm --nodes 48 --network simulated --rate 100
  wattle bench dag --nodes 8 --network tcp
  wattle bench storage --batch 1,1000 --readings 100000
  wattle bench pow --difficulty 3
  wattle bench certificates --wallets 64 --chain 64
  wattle bench certificates --nodes 8 --wallets 1 --chain 1 --requests 500
  wattle bench vote --extrapolate
  wattle bench api --listeners 1000")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, clap::Subcommand)]
enum Bench {
    /// Readings a second that replicas in this process confirm
    Ingest(ingest::Arguments),
    /// Publishes a second through the broker, beside mosquitto under the same load
    Mqtt(mqtt::Arguments),
    /// Devices that stay connected and tell a reading each second: what they take, and how soon they are answered
    Connections(connections::Arguments),
    /// Readings a second of MQTT-SN devices, through a gateway
    Mqttsn(mqttsn::Arguments),
    /// Receipts verified a second
    Verify(verify::Arguments),
    /// From publish to confirmed, at a stated rate, through processes or replicas in this one
    Confirm(confirm::Arguments),
    /// Messages a second that a committee of replicas admits and confirms, one reading each
    Dag(dag::Arguments),
    /// Bytes on disk per reading, part by part
    Storage(storage::Arguments),
    /// Hashes and time that the proof of work takes at each difficulty
    Pow(pow::Arguments),
    /// Requests a second that a committee certifies and executes, and how soon
    Certificates(certificates::Arguments),
    /// Requests a second over HTTP, and how soon an event reaches many listeners
    Api(api::Arguments),
    /// What a vote and a certificate take: bytes, time, and what follows for larger committees
    Vote(vote::Arguments),
}

/// What all benches understand.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    /// How often to measure
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(super) runs: u16,
}

/// Measures.
///
/// # Errors
/// [`Failure`] if it cannot.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.bench {
        Bench::Ingest(arguments) => ingest::run(arguments),
        Bench::Mqtt(arguments) => mqtt::run(arguments),
        Bench::Connections(arguments) => connections::run(arguments),
        Bench::Mqttsn(arguments) => mqttsn::run(arguments),
        Bench::Verify(arguments) => verify::run(arguments),
        Bench::Confirm(arguments) => confirm::run(arguments),
        Bench::Dag(arguments) => dag::run(arguments),
        Bench::Storage(arguments) => storage::run(arguments),
        Bench::Pow(arguments) => pow::run(arguments),
        Bench::Certificates(arguments) => certificates::run(arguments),
        Bench::Vote(arguments) => vote::run(arguments),
        Bench::Api(arguments) => api::run(arguments),
    }
}
