//! `wattle`: a distributed ledger for the edge of the Internet of Things.
//!
//! Purpose: one binary that is any part of a site (broker, ledger node, HTTP) and the tools to look at it.
//! This crate only assembles: what happens to a reading is decided in `edge`, `mqtt` and `replica`.
//!
//! ```text
//! main ─▶ cli (one file a subcommand) ─▶ up ─────▶ config ─▶ assembly ─▶ replica, mqtt, site, index, http
//!                                     ├▶ replay, receipt, status …  ─▶ a node's MQTT and HTTP, from outside
//!                                     ├▶ demo, bench, capacity ─▶ `wattle up` as child processes
//!                                     └▶ simulate (`wattle sim`) ─▶ sim: models, without any of the above
//! ```
//! # Rules
//! - stdout carries only results; notes, progress and logs go to stderr.
//! - An error is one line: `wattle: what: where: what to do`; its exit code says who has to act
//!   ([`cli::Exit`]).
//! - A panic is our own bug. It ends the process at once: what was acknowledged is on disk already.

mod asking;
mod assembly;
mod bench;
mod capacity;
mod cli;
mod clock;
mod config;
mod demo;
mod devices;
mod exchange;
mod fog;
mod following;
mod hex;
mod http;
mod index;
mod joining;
mod lock;
mod metrics;
mod roles;
mod services;
mod simulate;
mod site;
mod spends;
mod sqlite;
mod supervisor;
mod things;
mod tokens;
mod traces;
mod values;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::faults::install();
    let arguments = match cli::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    cli::logging::start(arguments.verbose, &arguments.command);
    cli::client::show_token(arguments.token_file.clone());
    cli::trust::believe(arguments.ca.clone());
    match cli::run(&arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            cli::output::note(&format!("wattle: {failure}"));
            ExitCode::from(failure.exit.code())
        }
    }
}
