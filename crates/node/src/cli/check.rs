//! `wattle check`: verifies everything on disk, like fsck, and changes nothing.
//!
//! ```text
//! DIR/log           every record's checksum and content, offsets without a gap
//! DIR/intake        the same of what waits to be processed
//! DIR/fog           snapshot and journal of the fog processor, and that they are of one time
//! DIR/cache         the same, of a cache that is a process of its own
//! DIR/ledger        every message, milestone and payload, and that they fit together   (on a copy)
//! DIR/index.sqlite  the file's own structure, and that it leads to every batch it lists     (on a copy)
//! DIR/network       that the directory belongs to the genesis at hand
//! ```
//! A damage is named with its place and what to do. A torn tail of the last write is none: it was never
//! acknowledged, and the next start cuts it off.

mod index;

use super::output::{note, print, print_json, thousands};
use super::{Exit, Failure, progress, verify};
use crate::config::Config;
use crate::fog;
use crate::lock::DirLock;
use index::IndexCheck;
use mqtt::SiteLog;
use protocol::{Batch, Genesis};
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};

/// `wattle check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Stop the node first. Nothing is changed: the ledger and the index are looked at in a copy, so the temporary
directory (TMPDIR) needs room for them.

Examples:
  wattle check net/node1                      a node's directory, with its wattle.toml
  wattle check net/node1/data --genesis net/genesis.json --json")]
pub(crate) struct Arguments {
    /// A node's directory (with wattle.toml) or its data directory
    dir: PathBuf,
    /// The network's genesis, if there is no wattle.toml and no genesis.json beside the data directory
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Something on disk that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Damage {
    /// What is wrong.
    pub(crate) what: String,
    /// Where.
    pub(crate) at: String,
    /// What to do.
    pub(crate) what_to_do: String,
}

/// What was looked at, and what was found.
#[derive(Debug, Default)]
struct Report {
    counts: Vec<(&'static str, u64)>,
    notes: Vec<String>,
    damages: Vec<Damage>,
}

impl Report {
    fn damage(&mut self, what: impl Into<String>, at: impl std::fmt::Display, what_to_do: &str) {
        self.damages.push(Damage { what: what.into(), at: at.to_string(), what_to_do: what_to_do.to_owned() });
    }
}

/// Where things are.
struct Place {
    data: PathBuf,
    genesis: PathBuf,
}

/// Checks and prints.
///
/// # Errors
/// [`Failure`]: refused (1) if anything is damaged, usage (2) if the directory is none or is in use.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let busy = progress::busy("checking");
    let (report, data) = examine(arguments)?;
    drop(busy);
    show(&report, &data, arguments.json)?;
    match report.damages.len() {
        0 => Ok(()),
        n => Err(Failure::new(Exit::Refused, format!("{n} damages found"), data.display(), "see the list above")),
    }
}

/// What is damaged in a node's directory.
///
/// # Errors
/// [`Failure`] (usage) if the directory is none or is in use.
pub(crate) fn damages(dir: &Path) -> Result<Vec<Damage>, Failure> {
    let (report, _) = examine(&Arguments { dir: dir.to_path_buf(), genesis: None, json: false })?;
    Ok(report.damages)
}

/// Looks at everything; gives the data directory, too.
fn examine(arguments: &Arguments) -> Result<(Report, PathBuf), Failure> {
    if let Some(data) = parts_only(&arguments.dir)? {
        return Ok((check_parts(&data)?, data));
    }
    let place = place(arguments)?;
    let genesis = verify::load_genesis(&place.genesis)?;
    let _lock = DirLock::take(&place.data).map_err(|e| Failure::said(Exit::Usage, e))?;
    let mut report = Report::default();
    check_network(&place.data, &genesis, &mut report);
    check_log(&place.data.join("log"), &LOG_COUNTS, &mut report);
    check_fog(&place.data, &mut report);
    if place.data.join("cache").exists() {
        check_log(&place.data.join("cache"), &LOG_COUNTS, &mut report);
    }
    let mut index = open_index(&place.data.join("index.sqlite"), &mut report);
    check_ledger(&place.data.join("ledger"), &genesis, index.as_mut(), &mut report);
    if let Some(index) = index {
        conclude_index(index, &place.data.join("index.sqlite"), &mut report);
    }
    Ok((report, place.data))
}

/// The data directory of a process that runs parts of a site and no ledger node.
fn parts_only(dir: &Path) -> Result<Option<PathBuf>, Failure> {
    let file = dir.join("wattle.toml");
    if !file.is_file() {
        return Ok(None);
    }
    let config = Config::load(&file).map_err(|e| Failure::said(Exit::Usage, e))?;
    Ok((!config.keeps_a_ledger()).then(|| config.data_dir()))
}

/// Checks what parts of a site keep that are processes of their own.
fn check_parts(data: &Path) -> Result<Report, Failure> {
    let _lock = DirLock::take(data).map_err(|e| Failure::said(Exit::Usage, e))?;
    let mut report = Report::default();
    check_fog(data, &mut report);
    for log in ["sealed", "cache"].map(|name| data.join(name)) {
        if log.exists() {
            check_log(&log, &LOG_COUNTS, &mut report);
        }
    }
    Ok(report)
}

fn place(arguments: &Arguments) -> Result<Place, Failure> {
    let config = arguments.dir.join("wattle.toml");
    let (data, genesis) = match config.is_file() {
        true => {
            let config = Config::load(&config).map_err(|e| Failure::said(Exit::Usage, e))?;
            (config.data_dir(), config.genesis_file())
        }
        false => (arguments.dir.clone(), arguments.dir.join("../genesis.json")),
    };
    if !["log", "ledger", "index.sqlite"].iter().any(|part| data.join(part).exists()) {
        return Err(Failure::new(
            Exit::Usage,
            "this is no data directory of a node",
            data.display(),
            "name a node's directory or its data_dir",
        ));
    }
    Ok(Place { data, genesis: arguments.genesis.clone().unwrap_or(genesis) })
}

fn check_network(data: &Path, genesis: &Genesis, report: &mut Report) {
    let file = data.join("network");
    let network = genesis.network().to_string();
    match std::fs::read_to_string(&file) {
        Ok(text) if text.trim() == network => {}
        Ok(text) => {
            let what = format!("the directory says it belongs to network {:?}, the genesis is of {network}", text.trim());
            report.damage(
                what,
                file.display(),
                "use the genesis this node was started with; if that is this one, write its network id into the file",
            );
        }
        Err(why) => {
            report.damage(format!("the network's id cannot be read: {why}"), file.display(), "start the node once: it writes the file")
        }
    }
}

/// What counts of the log, and of the intake, are called: files, publishes, readings.
const LOG_COUNTS: [&str; 3] = ["log_segments", "log_publishes", "log_readings"];
const INTAKE_COUNTS: [&str; 3] = ["intake_segments", "intake_publishes", "intake_readings"];

/// What a site with pipelines has beside its log.
fn check_fog(data: &Path, report: &mut Report) {
    let (intake, fog) = (data.join("intake"), data.join("fog"));
    if intake.exists() {
        check_log(&intake, &INTAKE_COUNTS, report);
    }
    if fog.exists() {
        let todo = "restore the directories fog and intake from one copy, or delete fog: then open windows and rules begin anew";
        for (what, at) in fog::check(&fog) {
            report.damage(what, at.display(), todo);
        }
    }
}

fn check_log(dir: &Path, [segments, publishes, readings]: &[&'static str; 3], report: &mut Report) {
    if !dir.exists() {
        report.notes.push("no log: this node serves no site".to_owned());
        return;
    }
    let todo = "restore the file from a copy; readings that the ledger confirmed are not lost with it";
    match SiteLog::check(dir) {
        Ok(log) => {
            report.counts.extend([(*segments, log.segments), (*publishes, log.publishes), (*readings, log.readings)]);
            if log.torn_bytes > 0 {
                let (dir, bytes) = (dir.display(), log.torn_bytes);
                report.notes.push(format!("{dir} ends with {bytes} bytes of a write that was cut short: the next start removes them"));
            }
            for damage in log.damages {
                report.damage(damage.why, format!("{} byte {}", damage.file.display(), damage.at), todo);
            }
        }
        Err(why) => report.damage(why.to_string(), dir.display(), todo),
    }
}

fn check_ledger(dir: &Path, genesis: &Genesis, mut index: Option<&mut IndexCheck>, report: &mut Report) {
    let todo = "restore the node's whole data directory from a copy, or ask the other operators before you start it without";
    if !dir.exists() {
        report.damage("the ledger's directory is missing", dir.display(), todo);
        return;
    }
    let mut compare = |place, batch: &Batch| {
        if let Some(index) = &mut index {
            index.compare(place, batch);
        }
    };
    match replica::check(dir, genesis, &mut compare) {
        Ok(ledger) => {
            report.counts.extend([("messages", ledger.messages), ("milestones", ledger.milestones), ("payloads", ledger.payloads)]);
            report.notes.extend(ledger.notes);
            for what in ledger.damages {
                report.damage(what, dir.display(), todo);
            }
        }
        Err(why) => report.damage(why, dir.display(), todo),
    }
}

const INDEX_TODO: &str = "delete the file: the next start makes it again from the ledger";

fn open_index(file: &Path, report: &mut Report) -> Option<IndexCheck> {
    if !file.exists() {
        report.notes.push("no index: it is made from the ledger when a node with a site starts".to_owned());
        return None;
    }
    match IndexCheck::open(file) {
        Ok(Some(index)) => Some(index),
        Ok(None) => {
            report.notes.push("the index is of another version: the next start puts it aside and makes it from the ledger".to_owned());
            None
        }
        Err(why) => {
            report.damage(why, file.display(), INDEX_TODO);
            None
        }
    }
}

fn conclude_index(index: IndexCheck, file: &Path, report: &mut Report) {
    let found = index.finish();
    report.counts.extend([("index_batches", found.batches), ("index_readings", found.readings)]);
    for what in found.damages {
        report.damage(what, file.display(), INDEX_TODO);
    }
}

fn show(report: &Report, data: &Path, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let mut object = json!({ "directory": data, "sound": report.damages.is_empty(), "damages": report.damages, "notes": report.notes });
        if let Some(object) = object.as_object_mut() {
            object.extend(report.counts.iter().map(|(name, n)| ((*name).to_owned(), json!(n))));
        }
        return print_json(&object);
    }
    report.notes.iter().for_each(|n| note(&format!("note: {n}")));
    for (name, n) in &report.counts {
        print(&format!("{:<15} {}", name.replace('_', " "), thousands(*n)))?;
    }
    for damage in &report.damages {
        print(&format!("damage: {}: {}: {}", damage.what, damage.at, damage.what_to_do))?;
    }
    match report.damages.is_empty() {
        true => print("nothing is damaged"),
        false => Ok(()),
    }
}
