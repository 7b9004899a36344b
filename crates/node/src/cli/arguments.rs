//! What may be typed, and which file does it.

use super::{Exit, Failure, check, init, light, messages, milestones, output, readings, receipt, replay, status, up, user, verify};
use super::{backup, completions, device, doctor, pipeline, request, requests, service, stake, token, top, validator, validators, wallet};
use crate::{bench, capacity, demo, simulate};
use clap::error::ErrorKind;
use clap::{ArgAction, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

const AFTER_HELP: &str = "\
Examples:
  wattle demo                       four nodes on this machine, replaying real smart-meter data
  wattle init --out net             keys, genesis and one configuration per node
  wattle up --config net/node1/wattle.toml
  wattle receipt z1/m1/sense/power@1470009600000000 -o r.json
  wattle verify r.json --genesis net/genesis.json

Exit codes:
  0  done
  1  refused, or a check failed (a receipt that proves nothing, a damaged directory, readings not acknowledged)
  2  wrong usage or configuration
  3  a node or broker cannot be reached
  4  stopped by a fault (a failing disk, an internal error)
  5  the committee certified two different milestones of one height (wattle light follow)";

/// A distributed ledger for the edge of the Internet of Things.
///
/// Plug sensors in over MQTT; every reading is anchored in a ledger that several organisations keep
/// together, and answered with a receipt that a stranger can check offline.
#[derive(Debug, Parser)]
#[command(name = "wattle", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Tell more on stderr; twice for still more. RUST_LOG, if set, decides instead
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Show nodes the token in the first line of this file; without it that of the environment variable WATTLE_TOKEN
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Authorities that may vouch for a node at https://, PEM; a certificate that vouches for itself does, too. Without it those
    /// in the file that the environment variable WATTLE_CA names, else the system's
    // `wattle replay` has a --ca of its own, for brokers: the names, and the types, must stay the same
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole network on this machine and replay real data through it
    Demo(demo::Arguments),
    /// Write keys, a genesis and one configuration per node
    Init(init::Arguments),
    /// Run the node that a configuration describes
    Up(up::Arguments),
    /// Publish a CSV file as devices would, over MQTT
    Replay(replay::Arguments),
    /// Fetch the receipt of one reading
    Receipt(receipt::Arguments),
    /// Check a receipt or a certificate offline and say what it proves
    Verify(verify::Arguments),
    /// Follow certificates and check proofs of nodes that nobody trusts
    Light(light::Arguments),
    /// How a node is doing
    Status(status::Arguments),
    /// The newest messages of the DAG
    Messages(messages::Arguments),
    /// The newest milestones
    Milestones(milestones::Arguments),
    /// The newest readings a node anchored
    Readings(readings::Arguments),
    /// What devices of a site asked of others, and others of them
    Requests(requests::Arguments),
    /// Who can be elected into the committee, and who is
    Validators(validators::Arguments),
    /// Register a validator, or retire it
    Validator(validator::Arguments),
    /// Put DCoin at stake with a validator
    Delegate(stake::Delegate),
    /// Take DCoin from a validator; it is released some epochs later
    Undelegate(stake::Undelegate),
    /// Take what was undelegated, and is released, back into the wallet
    Withdraw(stake::Withdraw),
    /// Register devices, rotate and revoke their keys, describe them
    Device(device::Arguments),
    /// Make wallets, see what they have, pay
    Wallet(wallet::Arguments),
    /// What wallets spend, and the certificates of it
    Request(request::Arguments),
    /// Offer services, buy them, and say how it went
    Service(service::Arguments),
    /// Check pipelines of the fog, and try them on recorded data
    Pipeline(pipeline::Arguments),
    /// Tokens for a node's HTTP interface
    Token(token::Arguments),
    /// The file of users that the site's broker knows
    User(user::Arguments),
    /// Verify everything on disk, like fsck
    Check(check::Arguments),
    /// Whether a node can run well here, and what to do if not
    Doctor(doctor::Arguments),
    /// A node at a glance, drawn anew each second
    Top(top::Arguments),
    /// Save all that a node is into one file
    Backup(backup::Backup),
    /// Make a node of such a file again
    Restore(backup::Restore),
    /// What a shell needs to complete this command line
    Completions(completions::Completions),
    /// Write manual pages
    Man(completions::Manual),
    /// Measure this machine
    Bench(bench::Arguments),
    /// How many devices and hubs this machine can serve
    Capacity(capacity::Arguments),
    /// Reproduce the papers' evaluations from models, and extrapolate
    Sim(simulate::Arguments),
}

/// Reads the command line. An error is said in one line; the code to exit with comes back.
///
/// # Errors
/// The exit code: 0 after `--help` and `--version`, 2 for what cannot be understood.
pub(crate) fn parse() -> Result<Arguments, ExitCode> {
    Arguments::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(Exit::Fault.code()),
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            output::note(&error.to_string());
            ExitCode::from(Exit::Usage.code())
        }
        _ => {
            let text = error.to_string();
            let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
            let failure = Failure::new(Exit::Usage, first, "command line", "see `wattle --help`");
            output::note(&format!("wattle: {failure}"));
            ExitCode::from(Exit::Usage.code())
        }
    })
}

/// Does what was typed.
///
/// # Errors
/// [`Failure`]: one line for people, one code for programs.
pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Demo(arguments) => demo::run(arguments),
        Command::Init(arguments) => init::run(arguments),
        Command::Up(arguments) => up::run(arguments),
        Command::Replay(arguments) => replay::run(arguments),
        Command::Receipt(arguments) => receipt::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Light(arguments) => light::run(arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Messages(arguments) => messages::run(arguments),
        Command::Milestones(arguments) => milestones::run(arguments),
        Command::Readings(arguments) => readings::run(arguments),
        Command::Requests(arguments) => requests::run(arguments),
        Command::Validators(arguments) => validators::run(arguments),
        Command::Validator(arguments) => validator::run(arguments),
        Command::Delegate(arguments) => stake::delegate(arguments),
        Command::Undelegate(arguments) => stake::undelegate(arguments),
        Command::Withdraw(arguments) => stake::withdraw(arguments),
        Command::Device(arguments) => device::run(arguments),
        Command::Wallet(arguments) => wallet::run(arguments),
        Command::Request(arguments) => request::run(arguments),
        Command::Service(arguments) => service::run(arguments),
        Command::Pipeline(arguments) => pipeline::run(arguments),
        Command::Token(arguments) => token::run(arguments),
        Command::User(arguments) => user::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Top(arguments) => top::run(arguments),
        Command::Backup(arguments) => backup::backup(arguments),
        Command::Restore(arguments) => backup::restore(arguments),
        Command::Completions(arguments) => completions::completions(arguments),
        Command::Man(arguments) => completions::manual(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Capacity(arguments) => capacity::run(arguments),
        Command::Sim(arguments) => simulate::run(arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn authorities_can_be_named_anywhere() {
        let ca = |line: &[&str]| Arguments::try_parse_from(line).ok().and_then(|arguments| arguments.ca);
        let file = Some(PathBuf::from("ca.pem"));
        assert_eq!(ca(&["wattle", "--ca", "ca.pem", "status"]), file);
        assert_eq!(ca(&["wattle", "status", "--ca", "ca.pem"]), file);
        assert_eq!(ca(&["wattle", "wallet", "list", "--ca", "ca.pem"]), file);
        assert_eq!(ca(&["wattle", "status"]), None);
        // that of brokers
        let replay = |line: &[&str]| Arguments::try_parse_from(line).is_ok();
        assert!(replay(&["wattle", "replay", "t.csv", "--ca", "ca.pem"]) && replay(&["wattle", "--ca", "ca.pem", "replay", "t.csv"]));
    }
}
