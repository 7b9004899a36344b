//! `wattle pipeline`: looks at pipelines before a site runs them.
//!
//! ```text
//! check FILE                 text ─▶ pipelines, or file:line:column: reason
//! test FILE --input DATA     recorded data ─▶ the same pipelines that a site runs ─▶ what comes out
//! ```
//! Both are offline: the times are those of the data, and what windows and rules wait for happens in between.

mod data;
mod trial;

use super::output::{print, print_json, table};
use super::{Exit, Failure};
use edge::fog::Fog;
use serde_json::json;
use std::path::{Path, PathBuf};

/// `wattle pipeline`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle pipeline check pipelines.toml
  wattle pipeline test pipelines.toml --input readings.csv --site plant
  wattle pipeline test pipelines.toml --input publishes.ndjson --topic plant/m1/sense/power --json")]
pub(crate) struct Arguments {
    /// What to do
    #[command(subcommand)]
    what: What,
}

/// The subcommands.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Say what a file of pipelines does, or where it is wrong
    Check(Check),
    /// Show what comes out of recorded data
    Test(trial::Arguments),
}

/// `wattle pipeline check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wattle pipeline check pipelines.toml
  wattle pipeline check pipelines.toml --json")]
struct Check {
    /// The file of pipelines
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Does what was asked for.
///
/// # Errors
/// [`Failure`]: usage (2) if a file cannot be read or used; refused (1) if `--strict` and something was rejected.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.what {
        What::Check(arguments) => check(arguments),
        What::Test(arguments) => trial::run(arguments),
    }
}

/// Reads a file of pipelines.
///
/// # Errors
/// [`Failure`]: usage (2) with the file, the place in it and the reason.
fn load(path: &Path) -> Result<Fog, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::file(path, &e, "name a file of pipelines that can be read"))?;
    Fog::load(&text, &path.display().to_string()).map_err(|wrong| Failure::said(Exit::Usage, wrong))
}

fn check(arguments: &Check) -> Result<(), Failure> {
    let summary = load(&arguments.file)?.summary();
    if arguments.json {
        let one = |s: &edge::fog::Summary| json!({ "name": s.name, "match": s.patterns, "format": s.format, "stages": s.stages });
        return print_json(&json!({ "pipelines": summary.iter().map(one).collect::<Vec<_>>() }));
    }
    let rows = summary.into_iter().map(|s| vec![s.name, s.patterns.join("\n"), s.format.to_owned(), s.stages.join("\n")]).collect();
    print(&table(&["pipeline", "match", "format", "stages"], rows))
}
