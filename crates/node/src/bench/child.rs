//! One run of a bench in a process of its own: the engine's runtime starts once in a process, and the memory and
//! processor time are then the run's.

use super::command::Common;
use super::figures::{Figures, fields, repeat};
use crate::cli::output::print_json;
use crate::cli::{Exit, Failure};
use serde_json::Value;
use std::fmt::Display;
use std::path::Path;
use std::process::Command;

/// What those benches understand whose runs are such processes.
#[derive(Debug, clap::Args)]
pub(super) struct Apart {
    /// Only one run, in this process
    #[arg(long, hide = true)]
    pub(super) once: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Apart {
    /// As [`repeat`] of `run`; or, in such a process, `once` and its figures.
    ///
    /// # Errors
    /// [`Failure`] of the first run that fails.
    pub(super) fn repeat(
        &self,
        bench: &str,
        parameters: Value,
        by: &str,
        once: impl FnOnce() -> Result<Figures, Failure>,
        run: impl FnMut() -> Result<Figures, Failure>,
    ) -> Result<(), Failure> {
        match self.once {
            true => print_json(&once()?),
            false => repeat(bench, parameters, &self.common, by, run),
        }
    }
}

/// Runs `wattle bench <bench> --once <arguments>` and takes its figures.
///
/// # Errors
/// [`Failure`] if it does not start or fails; then with its last words.
pub(super) fn run(bench: &str, arguments: &[(&str, String)]) -> Result<Figures, Failure> {
    run_in(None, bench, arguments)
}

/// The same, with its storage below `directory` if there is one.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_in(directory: Option<&Path>, bench: &str, arguments: &[(&str, String)]) -> Result<Figures, Failure> {
    let at = format!("bench {bench} --once");
    let failed = |what: &dyn Display| Failure::new(Exit::Fault, what, &at, "run it by hand to see why");
    let program = std::env::current_exe().map_err(|e| failed(&e))?;
    let mut command = Command::new(program);
    command.args(["bench", bench, "--once"]);
    if let Some(directory) = directory {
        command.env("TMPDIR", directory);
    }
    for (option, value) in arguments {
        command.arg(option).arg(value);
    }
    let output = command.output().map_err(|e| failed(&e))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|l| l.starts_with("wattle: ")).or_else(|| said.lines().next_back());
        return Err(failed(&last.unwrap_or("it said nothing").trim_start_matches("wattle: ")));
    }
    serde_json::from_slice(&output.stdout).map(fields).map_err(|e| failed(&e))
}
