//! `wattle doctor`: whether a node can run well here, and what to do if not.
//!
//! ```text
//! configuration ─▶ files (genesis, key, modes, pipelines, users, certificates)
//!               ─▶ ports    free, or held by whom
//!               ─▶ machine  disk: room and speed; open files
//!               ─▶ clock    against genesis, own files and milestones
//!               ─▶ reach    peers, brokers
//! ```
//! # Rules
//! - Nothing is changed, and a node that runs is not disturbed: what it holds is counted as in order.
//! - Every line says what was found; one that is not `ok` also says what to do.
//! - `bad` means that the node will not run, or not as it should; `warn` that somebody should know. The exit code is 1 if anything is bad.

mod clock;
mod files;
mod machine;
mod ports;
mod reach;

use super::output::table;
use super::watch::{View, Watch};
use super::{Exit, Failure};
use crate::config::Config;
use crate::lock;
use serde::Serialize;
use serde_json::json;
use std::path::PathBuf;

/// `wattle doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing is changed. Run it as the user that runs the node, or as root: others do not see who holds a port.

Examples:
  wattle doctor --config /etc/wattle/wattle.toml
  wattle doctor --node http://10.0.0.7:8080          compares the clock with that node's milestones, too
  wattle doctor --json | jq '.findings[] | select(.state != \"ok\")'")]
pub(crate) struct Arguments {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "wattle.toml")]
    config: PathBuf,
    /// A node of the network to compare the clock with; may be repeated
    #[arg(long, value_name = "URL")]
    node: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    watch: Watch,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Ok,
    /// Somebody should know.
    Warn,
    /// It will not run, or not as it should.
    Bad,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    state: State,
    /// What was looked at.
    check: &'static str,
    /// What was found.
    found: String,
    /// What to do; empty if nothing.
    what_to_do: String,
}

/// All that was found.
#[derive(Debug, Default)]
struct Report {
    findings: Vec<Finding>,
}

impl Report {
    fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.add(State::Ok, check, found.into(), "");
    }

    fn warn(&mut self, check: &'static str, found: impl Into<String>, todo: &str) {
        self.add(State::Warn, check, found.into(), todo);
    }

    fn bad(&mut self, check: &'static str, found: impl Into<String>, todo: &str) {
        self.add(State::Bad, check, found.into(), todo);
    }

    fn add(&mut self, state: State, check: &'static str, found: String, todo: &str) {
        let found = found.split_whitespace().collect::<Vec<_>>().join(" ");
        self.findings.push(Finding { state, check, found, what_to_do: todo.to_owned() });
    }

    fn worst(&self) -> State {
        self.findings.iter().map(|finding| finding.state).max().unwrap_or(State::Ok)
    }
}

/// Examines and prints.
///
/// # Errors
/// [`Failure`]: refused (1) if anything is bad.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut worst = State::Ok;
    arguments.watch.show(|| {
        let report = examine(arguments);
        worst = report.worst();
        Ok(view(&report, arguments))
    })?;
    match worst {
        State::Bad => {
            Err(Failure::new(Exit::Refused, "this node will not run as it should", arguments.config.display(), "see what is bad above"))
        }
        State::Ok | State::Warn => Ok(()),
    }
}

fn examine(arguments: &Arguments) -> Report {
    let mut report = Report::default();
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(why) => {
            report.bad("configuration", why.to_string(), "change the file, or name another with --config");
            return report;
        }
    };
    report.ok("configuration", format!("{} can be used", arguments.config.display()));
    let owner = lock::owner(&config.data_dir());
    match &owner {
        Some(pid) => report.ok("process", format!("a node runs here, pid {pid}")),
        None => report.ok("process", "no node runs here now"),
    }
    let genesis = files::check(&config, &mut report);
    ports::check(&config, owner.as_deref(), &mut report);
    machine::check(&config, &mut report);
    clock::check(&config, genesis.as_ref(), &arguments.node, &mut report);
    reach::check(&config, genesis.as_ref(), &mut report);
    report
}

fn view(report: &Report, arguments: &Arguments) -> View {
    if arguments.json {
        let (sound, config) = (report.worst() != State::Bad, &arguments.config);
        return View::Json(json!({ "sound": sound, "config": config, "findings": report.findings }));
    }
    let row = |finding: &Finding| {
        vec![finding.state.as_str().to_owned(), finding.check.to_owned(), finding.found.clone(), finding.what_to_do.clone()]
    };
    View::text(table(&["state", "check", "found", "what to do"], report.findings.iter().map(row).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_decides() {
        let mut report = Report::default();
        assert_eq!(report.worst(), State::Ok);
        report.ok("a", "fine");
        report.warn("b", "so\n so", "look");
        assert_eq!(report.worst(), State::Warn);
        report.bad("c", "broken", "mend it");
        report.ok("d", "fine");
        assert_eq!(report.worst(), State::Bad);
        assert!(report.findings.iter().any(|finding| finding.found == "so so"), "one line each");
    }
}
