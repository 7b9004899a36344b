//! `wattle backup`: all that a node is, in one file.
//!
//! ```text
//! wattle-backup.json   what this is, of whom, and from when
//! config/…             the directory of wattle.toml, without the data directory
//! named/…              genesis and key, if the configuration names them elsewhere
//! data/…               the data directory, without its lock
//! SHA256SUMS           of every file above, as sha256sum writes it; last, so that a file cut short is found out
//! ```
//! # Rules
//! - The node is stopped: its lock is taken meanwhile. Parts that were copied at different times do not fit together.
//! - The file holds the node's key: it is made readable by its owner only, and never over another.
//! - It is a tar archive, so everything in it can be had without this program, too.

mod restore;
mod tar;
mod tree;

pub(crate) use restore::{Restore, restore};

use super::output::{note, print, print_json, thousands};
use super::{Exit, Failure, progress};
use crate::clock::now_us;
use crate::config::Config;
use crate::lock::DirLock;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};
use tar::Entry;
use tree::Found;

/// What says that a file is a backup of a node.
const FORMAT: &str = "wattle-backup-v1";
/// The first entry.
const ABOUT: &str = "wattle-backup.json";
/// The last one.
const SUMS: &str = "SHA256SUMS";
/// Where a genesis and a key are that the configuration names elsewhere.
const NAMED_GENESIS: &str = "named/genesis.json";
const NAMED_KEY: &str = "named/node.key";
/// Where they are put: no file of the node's directory is called so.
const GENESIS_HERE: &str = "restored-genesis.json";
const KEY_HERE: &str = "restored-node.key";
/// Where data are put that were elsewhere.
const DATA_HERE: &str = "data";
/// Bytes that are copied at a time.
const PIECE_BYTES: usize = 1 << 18;

/// `wattle backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Stop the node first. The file holds the node's key: keep it as you keep that.

Examples:
  wattle backup net/node1 --out node1.tar
  wattle backup /etc/wattle --out - | zstd > node1.tar.zst
  tar tf node1.tar                                        it is a tar archive")]
pub(crate) struct Backup {
    /// The directory of the node's wattle.toml
    dir: PathBuf,
    /// The file to write; `-` writes it to stdout
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    format: String,
    /// The program that wrote it.
    version: String,
    /// The node's name.
    name: String,
    /// When it was made, in milliseconds since 1970.
    created_ms: u64,
    /// Where the data directory is below that of the configuration; none if it is elsewhere.
    data_below: Option<String>,
}

/// What was written.
#[derive(Debug, Default)]
struct Written {
    files: u64,
    bytes: u64,
}

/// Writes a backup.
///
/// # Errors
/// [`Failure`]: usage (2) if the directory is no node's, or the node runs; fault (4) if a file cannot be read or written.
pub(crate) fn backup(arguments: &Backup) -> Result<(), Failure> {
    let file = arguments.dir.join("wattle.toml");
    let config = Config::load(&file).map_err(|e| Failure::said(Exit::Usage, e))?;
    let data = config.data_dir();
    let lock = match data.is_dir() {
        true => Some(DirLock::take(&data).map_err(|e| Failure::said(Exit::Usage, e))?),
        false => None,
    };
    let list = list(&arguments.dir, &config)?;
    for left in &list.left_out {
        note(&format!("note: {left}"));
    }
    let out = &arguments.out;
    let failed =
        |e: io::Error| Failure::new(Exit::Fault, e, out.display(), "nothing was kept: see that there is room, and that all can be read");
    let bar = progress::bytes(list.found.iter().map(|found| found.entry.size).sum(), "saving");
    let written = match out.as_os_str() == "-" {
        true => write(&mut io::stdout().lock(), &list, &bar).map_err(failed)?,
        false => {
            if out.exists() {
                return Err(Failure::file(out, &io::ErrorKind::AlreadyExists.into(), "name another file with --out"));
            }
            let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            // only its owner may read it, and it appears when it is whole
            let mut part = tempfile::NamedTempFile::new_in(parent).map_err(failed)?;
            let written = write(part.as_file_mut(), &list, &bar).map_err(failed)?;
            part.as_file().sync_all().map_err(failed)?;
            part.persist_noclobber(out).map_err(|e| failed(e.error))?;
            written
        }
    };
    bar.finish_and_clear();
    drop(lock);
    say(arguments, &written)
}

fn say(arguments: &Backup, written: &Written) -> Result<(), Failure> {
    let (to, Written { files, bytes }) = (arguments.out.display().to_string(), written);
    if arguments.out.as_os_str() == "-" {
        note(&format!("{} files, {} bytes", thousands(*files), thousands(*bytes)));
        return Ok(());
    }
    match arguments.json {
        true => print_json(&json!({ "file": to, "files": files, "bytes": bytes })),
        false => print(&format!("{to}: {} files, {} bytes; it holds the node's key", thousands(*files), thousands(*bytes))),
    }
}

/// What goes into a backup.
struct List {
    about: About,
    found: Vec<Found>,
    /// What does not, and why.
    left_out: Vec<String>,
}

fn list(dir: &Path, config: &Config) -> Result<List, Failure> {
    let failed = |e: io::Error| Failure::new(Exit::Usage, e, dir.display(), "run this as the user that runs the node, or as root");
    let (own, data) = (absolute(dir).map_err(failed)?, absolute(&config.data_dir()).map_err(failed)?);
    let mut left_out = Vec::new();
    let mut found = tree::walk(&own, "config", Some(&data), &mut left_out).map_err(failed)?;
    for (file, name) in [(&config.node.genesis, NAMED_GENESIS), (&config.node.key_file, NAMED_KEY)] {
        if !is_below(file) && config.keeps_a_ledger() {
            found.push(tree::one(&config.base.join(file), name).map_err(failed)?);
        }
    }
    if data.is_dir() {
        found.extend(
            tree::walk(&data, "data", None, &mut left_out).map_err(failed)?.into_iter().filter(|found| found.entry.name != "data/lock"),
        );
    }
    left_out.extend(tree::elsewhere(&config.to_toml(), &[&own, &data]));
    let below = config.node.data_dir.to_str().filter(|_| is_below(&config.node.data_dir));
    let about = About {
        format: FORMAT.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        name: config.node.name.clone(),
        created_ms: now_us() / 1_000,
        data_below: below.map(str::to_owned),
    };
    Ok(List { about, found, left_out })
}

/// Whether a path, as a configuration names it, is below the configuration's directory.
fn is_below(path: &Path) -> bool {
    let mut parts = path.components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// The place of something, without links; as it is written if it is not there.
fn absolute(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => std::path::absolute(path),
        other => other,
    }
}

fn write(out: &mut impl Write, list: &List, bar: &ProgressBar) -> io::Result<Written> {
    let mut out = BufWriter::with_capacity(PIECE_BYTES, out);
    let (mut sums, mut written) = (String::new(), Written::default());
    let about = serde_json::to_string_pretty(&list.about).map_err(io::Error::other)?;
    text(&mut out, ABOUT, &about, &list.about, &mut sums)?;
    for Found { path, entry } in &list.found {
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        tar::begin(&mut out, entry)?;
        if !entry.directory {
            let mut file = File::open(path).map_err(named)?;
            let sum = copy(&mut file, &mut out, entry.size, bar).map_err(named)?;
            tar::pad(&mut out, entry.size)?;
            sums.push_str(&format!("{sum}  {}\n", entry.name));
            written.files += 1;
            written.bytes += entry.size;
        }
    }
    let all = std::mem::take(&mut sums);
    text(&mut out, SUMS, &all, &list.about, &mut sums)?;
    tar::end(&mut out)?;
    out.flush()?;
    Ok(written)
}

/// Writes an entry of our own.
fn text(out: &mut impl Write, name: &str, text: &str, about: &About, sums: &mut String) -> io::Result<()> {
    let size = text.len() as u64;
    let entry = Entry { name: name.into(), directory: false, mode: 0o600, changed_s: about.created_ms / 1_000, size };
    tar::begin(out, &entry)?;
    let sum = copy(&mut text.as_bytes(), out, size, &ProgressBar::hidden())?;
    tar::pad(out, size)?;
    sums.push_str(&format!("{sum}  {name}\n"));
    Ok(())
}

/// Copies exactly `size` bytes and gives their SHA-256 in hexadecimal.
fn copy(from: &mut impl Read, to: &mut impl Write, size: u64, bar: &ProgressBar) -> io::Result<String> {
    let (mut hasher, mut left, mut piece) = (Sha256::new(), size, vec![0u8; PIECE_BYTES]);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let room = piece.get_mut(..most).unwrap_or_default();
        let n = match from.read(room) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends too early: was it changed meanwhile?")),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        let got = room.get(..n).unwrap_or_default();
        hasher.update(got);
        to.write_all(got)?;
        left = left.saturating_sub(n as u64);
        bar.inc(n as u64);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_is_known() {
        for (path, below) in [("data", true), ("var/data", true), ("../data", false), ("/data", false), ("a/../../b", false), ("", false)] {
            assert_eq!(is_below(Path::new(path)), below, "{path}");
        }
    }

    #[test]
    fn what_is_copied_is_summed() {
        let mut to = Vec::new();
        let sum = copy(&mut b"abcdef".as_slice(), &mut to, 3, &ProgressBar::hidden()).unwrap();
        assert_eq!((to.as_slice(), sum.as_str()), (b"abc".as_slice(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
        assert!(copy(&mut b"ab".as_slice(), &mut to, 3, &ProgressBar::hidden()).is_err());
    }
}
