//! One run of a bench in a process of its own: the engine's runtime starts once in a process, and the memory and
//! processor time are then the run's.

use super::figures::{Figures, fields};
use crate::cli::{Exit, Failure};
use std::fmt::Display;
use std::process::Command;

/// Runs `wattle bench <bench> --once <arguments>` and takes its figures.
///
/// # Errors
/// [`Failure`] if it does not start or fails; then with its last words.
pub(super) fn run(bench: &str, arguments: &[(&str, String)]) -> Result<Figures, Failure> {
    let at = format!("bench {bench} --once");
    let failed = |what: &dyn Display| Failure::new(Exit::Fault, what, &at, "run it by hand to see why");
    let program = std::env::current_exe().map_err(|e| failed(&e))?;
    let mut command = Command::new(program);
    command.args(["bench", bench, "--once"]);
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
