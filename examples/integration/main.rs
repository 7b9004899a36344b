//! The four ways to plug a device in, as programs: `cargo run --example integration -- gateway | signer | devices | cloud`.
//!
//! `network.sh` starts the network that they expect; README.md says what each of them shows.

mod cloud;
mod devices;
mod gateway;
mod place;
mod signer;

use place::{Failed, Place};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo run --example integration -- MODE [NAME=VALUE …]

  gateway   A: a battery sensor without any cryptography, through the MQTT-SN gateway of its site
  signer    B: a device signs its readings itself
  devices   C: a button at one site switches a lamp at another, through the ledger
  cloud     D: confirmed readings go on to a service elsewhere, with their receipts (to=URL, until Ctrl-C)

  http=URL mqtt=URL mqtt2=URL http2=URL sn=ADDRESS network=DIRECTORY   another network than that of network.sh";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mode = arguments.next().unwrap_or_default();
    match Place::with(arguments).and_then(|place| run(&mode, &place)) {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(mode: &str, place: &Place) -> Result<String, Failed> {
    match mode {
        "gateway" => gateway::run(place),
        "signer" => signer::run(place),
        "devices" => devices::run(place),
        "cloud" => cloud::run(place, None),
        _ => Err(USAGE.into()),
    }
}
