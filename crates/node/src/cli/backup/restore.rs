//! `wattle restore`: a node from a backup.
//!
//! # Rules
//! - A backup cannot tell whether its node ran on after it was made. If it did, an old copy of the ledger makes it sign a second
//!   message of a sequence, or vote twice: misbehaviour that others can prove. So whoever restores says which it is.
//! - `--resume`: all of it. For moving a node, and for a disk that failed after the node was stopped for good.
//! - `--rejoin`: who the node is, and how it is set up, but nothing that must not be old. It joins the network anew; what it voted for
//!   in this epoch it does not know any more (WAL-11).
//! - Either the whole directory is there in the end, and every file has the sum that the backup says, or nothing is.

use super::{ABOUT, About, DATA_HERE, FORMAT, GENESIS_HERE, KEY_HERE, NAMED_GENESIS, NAMED_KEY, SUMS, copy, is_below, tar};
use crate::cli::check;
use crate::cli::output::{note, print, print_json, thousands, time_ms};
use crate::cli::{Exit, Failure, progress};
use crate::config::Config;
use indicatif::ProgressBar;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use tar::Entry;

/// Bytes of an entry of our own.
const TEXT_BYTES_MAX: u64 = 256 << 20;
/// What of the data may be old.
const THINGS: &str = "data/things";

/// `wattle restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Has the node run since the backup was made? If it has, and it started from the old copy, it would sign things twice, which costs a
validator its stake. So: --resume if it has not, --rejoin if it has, or if you do not know.

Examples:
  wattle restore node1.tar --to /srv/wattle --resume
  wattle restore node1.tar --to /srv/wattle --rejoin && wattle up --config /srv/wattle/wattle.toml --from-peer http://10.0.0.7:8080
  zstd -dc node1.tar.zst | wattle restore - --to /srv/wattle --resume")]
pub(crate) struct Restore {
    /// The backup; `-` reads it from stdin
    file: PathBuf,
    /// The directory to make; it may be there if it is empty
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    how: How,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What became of the node since.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct How {
    /// The node has not run since the backup was made: it goes on where it was
    #[arg(long)]
    resume: bool,
    /// The node may have run since: only its key, configuration and descriptions of devices; it joins the network anew
    #[arg(long)]
    rejoin: bool,
}

/// What was restored.
struct Restored {
    about: About,
    files: u64,
    bytes: u64,
    /// Whether there is data to check.
    data: bool,
}

/// Restores a backup and checks it.
///
/// # Errors
/// [`Failure`]: usage (2) if the directory is not empty, refused (1) if the backup is none or is damaged, fault (4) if it cannot be written.
pub(crate) fn restore(arguments: &Restore) -> Result<(), Failure> {
    let to = &arguments.to;
    if std::fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) || to.is_file() {
        return Err(Failure::new(Exit::Usage, "it is not an empty directory", to.display(), "name another with --to"));
    }
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unwritten =
        |e: io::Error| Failure::new(Exit::Fault, e, parent.display(), "name a directory that can be written, with room for all");
    let part = tempfile::Builder::new().prefix(".wattle-restore-").tempdir_in(parent).map_err(unwritten)?;
    let unread = |e: io::Error| {
        let todo = "nothing was restored: take another copy of the backup, or see that there is room";
        Failure::new(Exit::Refused, e, arguments.file.display(), todo)
    };
    let restored = match arguments.file.as_os_str() == "-" {
        true => unpack(io::stdin().lock(), part.path(), arguments.how.resume, &ProgressBar::hidden()).map_err(unread)?,
        false => {
            let file =
                File::open(&arguments.file).map_err(|e| Failure::file(&arguments.file, &e, "name a file that `wattle backup` wrote"))?;
            let bar = progress::bytes(file.metadata().map_or(0, |metadata| metadata.len()), "restoring");
            let restored = unpack(file, part.path(), arguments.how.resume, &bar).map_err(unread)?;
            bar.finish_and_clear();
            restored
        }
    };
    settle(part.path())?;
    let part = part.keep();
    std::fs::rename(&part, to).map_err(unwritten)?;
    let damages = match restored.data && arguments.how.resume {
        true => {
            let _busy = progress::busy("checking what was restored");
            check::damages(to)?.len()
        }
        false => 0,
    };
    say(arguments, &restored, damages)
}

fn say(arguments: &Restore, restored: &Restored, damages: usize) -> Result<(), Failure> {
    let (to, Restored { about, files, bytes, .. }) = (arguments.to.display(), restored);
    match arguments.json {
        true => print_json(&json!({
            "directory": to.to_string(), "name": about.name, "created_ms": about.created_ms, "files": files, "bytes": bytes,
            "resume": arguments.how.resume, "damages": damages,
        }))?,
        false => {
            let when = time_ms(about.created_ms);
            print(&format!("{to}: {} as it was {when}: {} files, {} bytes", about.name, thousands(*files), thousands(*bytes)))?;
        }
    }
    match arguments.how.resume {
        true => note("if the old copy of this node is still there, see that it never starts again: two would sign things twice"),
        false => {
            note("start it with `wattle up --from-peer http://HOST:PORT`, of a node of its network");
            note(
                "a validator does not know any more what it voted for: see that its old process is gone, and start it in the next epoch (`wattle validators` tells which it is), or give it a new key",
            );
        }
    }
    match damages {
        0 => Ok(()),
        n => {
            let todo = "`wattle check` lists them: the node was damaged when the backup was made";
            Err(Failure::new(Exit::Refused, format!("{n} damages found"), to, todo))
        }
    }
}

/// Unpacks an archive into an empty directory, and checks its sums.
fn unpack(from: impl Read, to: &Path, resume: bool, bar: &ProgressBar) -> io::Result<Restored> {
    let mut from = BufReader::with_capacity(super::PIECE_BYTES, from);
    let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let mut sums = BTreeMap::new();
    let about = match tar::next(&mut from)? {
        Some(entry) if entry.name == ABOUT => own_text(&mut from, &entry, &mut sums)?,
        _ => return Err(wrong("this is no backup of a node")),
    };
    let about: About = serde_json::from_str(&about).map_err(|e| wrong(&format!("{ABOUT}: {e}")))?;
    if about.format != FORMAT {
        return Err(wrong(&format!("its format is {:?}: this program reads {FORMAT}", about.format)));
    }
    let data_below = about.data_below.clone().filter(|below| is_below(Path::new(below))).unwrap_or_else(|| DATA_HERE.to_owned());
    let mut restored = Restored { about, files: 0, bytes: 0, data: false };
    loop {
        let entry = tar::next(&mut from)?.ok_or_else(|| wrong("it ends without its sums: it was cut short"))?;
        if entry.name == SUMS {
            let said = own_text(&mut from, &entry, &mut BTreeMap::new())?;
            compare(&said, &sums)?;
            return Ok(restored);
        }
        let wanted = resume || !entry.name.starts_with("data") || entry.name == THINGS || entry.name.starts_with("data/things/");
        let place = place(&entry.name, &data_below).filter(|_| wanted).map(|place| to.join(place));
        restored.data |= place.is_some() && entry.name.starts_with("data/") && !entry.directory;
        let sum = match place {
            Some(place) if entry.directory => {
                std::fs::DirBuilder::new().recursive(true).mode(entry.mode | 0o700).create(place)?;
                continue;
            }
            Some(place) => {
                restored.files += 1;
                restored.bytes += entry.size;
                file(&mut from, &place, &entry, bar)?
            }
            None => copy(&mut from, &mut io::sink(), entry.size, bar)?,
        };
        if !entry.directory {
            tar::skip_padding(&mut from, entry.size)?;
            if sums.insert(entry.name.clone(), sum).is_some() {
                return Err(wrong(&format!("{} is there twice", entry.name)));
            }
        }
    }
}

/// Writes one file as it was.
fn file(from: &mut impl Read, place: &Path, entry: &Entry, bar: &ProgressBar) -> io::Result<String> {
    let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", place.display()));
    if let Some(parent) = place.parent() {
        std::fs::create_dir_all(parent).map_err(named)?;
    }
    let mut file = File::options().write(true).create_new(true).mode(entry.mode | 0o600).open(place).map_err(named)?;
    let sum = copy(from, &mut file, entry.size, bar)?;
    file.flush().and_then(|()| file.sync_all()).map_err(named)?;
    Ok(sum)
}

/// Where an entry goes; nowhere if it is none of a backup.
fn place(name: &str, data_below: &str) -> Option<PathBuf> {
    match name {
        NAMED_GENESIS => Some(GENESIS_HERE.into()),
        NAMED_KEY => Some(KEY_HERE.into()),
        "data" => Some(data_below.into()),
        _ => match (name.strip_prefix("config/"), name.strip_prefix("data/")) {
            (Some(rest), _) => Some(rest.into()),
            (None, Some(rest)) => Some(Path::new(data_below).join(rest)),
            (None, None) => None,
        },
    }
}

/// Reads an entry of our own.
fn own_text(from: &mut impl Read, entry: &Entry, sums: &mut BTreeMap<String, String>) -> io::Result<String> {
    if entry.size > TEXT_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is too long", entry.name)));
    }
    let mut bytes = Vec::new();
    let sum = copy(from, &mut bytes, entry.size, &ProgressBar::hidden())?;
    tar::skip_padding(from, entry.size)?;
    sums.insert(entry.name.clone(), sum);
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{} is no text", entry.name)))
}

/// Compares the sums that a backup says with those of what is in it.
fn compare(said: &str, sums: &BTreeMap<String, String>) -> io::Result<()> {
    let said: BTreeMap<&str, &str> = said.lines().filter_map(|line| line.split_once("  ")).map(|(sum, name)| (name, sum)).collect();
    let wrong = sums.iter().find(|(name, sum)| said.get(name.as_str()) != Some(&sum.as_str())).map(|(name, _)| name.as_str());
    let missing = said.keys().find(|name| !sums.contains_key(**name)).copied();
    match wrong.or(missing) {
        None => Ok(()),
        Some(name) => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name} is not what was backed up"))),
    }
}

/// Has the configuration name what lies beside it now, if it named other places.
fn settle(dir: &Path) -> Result<(), Failure> {
    let file = dir.join("wattle.toml");
    let load = || Config::load(&file).map_err(|e| Failure::said(Exit::Refused, e));
    let config = load()?;
    let mut text = std::fs::read_to_string(&file).map_err(|e| Failure::file(&file, &e, "see that it can be read"))?;
    let node = &config.node;
    for (key, path, here) in
        [("data_dir", &node.data_dir, DATA_HERE), ("genesis", &node.genesis, GENESIS_HERE), ("key_file", &node.key_file, KEY_HERE)]
    {
        if !is_below(path) {
            note(&format!("note: node.{key} was {}; it is {here:?} now", path.display()));
            text = with_node_key(&text, key, here);
        }
    }
    std::fs::write(&file, text).map_err(|e| Failure::file(&file, &e, "see that it can be written"))?;
    let again = load()?;
    let settled = [&again.node.data_dir, &again.node.genesis, &again.node.key_file].into_iter().all(|path| is_below(path));
    match settled {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Refused,
            "its [node] cannot be changed",
            "wattle.toml of the backup",
            "unpack it with tar, and change it yourself",
        )),
    }
}

/// A configuration whose `[node]` has `key` at `value`; everything else stays, comments too.
fn with_node_key(text: &str, key: &str, value: &str) -> String {
    let line = format!("{key} = {value:?}");
    let is_header = |text: &str| text.trim_start().starts_with('[');
    let in_node = |lines: &[&str], at: usize| {
        lines
            .iter()
            .take(at)
            .rev()
            .find(|text| is_header(text))
            .is_some_and(|text| text.split('#').next().unwrap_or_default().trim() == "[node]")
    };
    let lines: Vec<&str> = text.lines().collect();
    let names = |text: &str| text.split_once('=').is_some_and(|(name, _)| name.trim() == key);
    let old = lines.iter().enumerate().position(|(at, text)| names(text) && in_node(&lines, at));
    let header = lines.iter().position(|text| text.split('#').next().unwrap_or_default().trim() == "[node]");
    let mut out: Vec<&str> = lines.clone();
    match (old, header) {
        (Some(at), _) => {
            if let Some(place) = out.get_mut(at) {
                *place = &line;
            }
        }
        (None, Some(at)) => out.insert(at + 1, &line),
        (None, None) => out.extend(["[node]", line.as_str()]),
    }
    format!("{}\n", out.join("\n"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_their_places() {
        let at = |name| place(name, "var/data").map(|place| place.display().to_string());
        assert_eq!(at("config/wattle.toml").as_deref(), Some("wattle.toml"));
        assert_eq!(at("config/keys/a.pem").as_deref(), Some("keys/a.pem"));
        assert_eq!(at("data/ledger/x").as_deref(), Some("var/data/ledger/x"));
        assert_eq!(at("named/node.key").as_deref(), Some("restored-node.key"));
        assert_eq!(at("other/x"), None);
    }

    #[test]
    fn only_the_key_of_the_node_is_changed() {
        let text = "# mine\n[node] # it\nname = \"n1\"\ndata_dir = \"/var/lib/wattle\"\n[site]\ndata_dir = 1\n";
        let changed = with_node_key(text, "data_dir", "data");
        assert_eq!(changed, "# mine\n[node] # it\nname = \"n1\"\ndata_dir = \"data\"\n[site]\ndata_dir = 1\n");
        assert_eq!(
            with_node_key("[node]\nname = \"n\"\n", "genesis", "genesis.json"),
            "[node]\ngenesis = \"genesis.json\"\nname = \"n\"\n"
        );
        assert_eq!(with_node_key("", "data_dir", "data"), "[node]\ndata_dir = \"data\"\n");
    }

    #[test]
    fn sums_that_differ_are_named() {
        let sums: BTreeMap<String, String> = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())].into();
        compare("1  a\n2  b\n", &sums).unwrap();
        for (said, name) in [("1  a\n3  b\n", "b"), ("1  a\n", "b"), ("1  a\n2  b\n4  c\n", "c")] {
            assert!(compare(said, &sums).unwrap_err().to_string().starts_with(name), "{said}");
        }
    }
}
