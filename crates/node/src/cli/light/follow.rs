//! `wattle light follow`: certificates only.

use super::{age, clients, now_ms, record};
use crate::cli::client::{DEFAULT_NODE, NodeClient};
use crate::cli::output::{note, print, print_json, short, time_ms};
use crate::cli::verify::load_genesis;
use crate::cli::{Exit, Failure};
use protocol::Genesis;
use replica::{Head, HeadError, Step, Trusted};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

/// How often every node is asked.
const POLL: Duration = Duration::from_millis(500);
/// Bytes of a head: as many handovers as one may have, each of a full committee, as text.
const HEAD_BYTES_MAX: u64 = 32 << 20;
/// Heads that are kept, to show what contradicts a later one.
const KEPT_MAX: usize = 64;
/// A network sends a milestone at least every heartbeat, 15 s unless configured otherwise: after this long something is wrong.
const SILENT: Duration = Duration::from_secs(60);

/// `wattle light follow`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints a line whenever a newer milestone is certified. Runs until Ctrl-C. Ends with code 5 if two different milestones of
one height are certified: then more than a third of the committee lies, and nothing it says can be relied on.

Examples:
  wattle light follow --genesis net/genesis.json --node http://10.0.0.7:8080 --node http://10.0.0.8:8080
  wattle light follow --genesis net/genesis.json --state light.json --once --json")]
pub(super) struct Arguments {
    /// The network's genesis
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// A node to ask; may be repeated
    #[arg(long = "node", value_name = "URL", default_value = DEFAULT_NODE)]
    nodes: Vec<String>,
    /// Remember here what was verified, and go on from there. Whoever can write this file is trusted
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Ask every node once and end
    #[arg(long)]
    once: bool,
    /// Print JSON, an object a line
    #[arg(long)]
    json: bool,
}

/// Follows.
///
/// # Errors
/// [`Failure`]: refused (1) if `--once` found nothing that verifies, unreachable (3) if nobody answered, fork (5).
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let genesis = load_genesis(&arguments.genesis)?;
    let nodes = clients(&arguments.nodes)?;
    let trusted = match &arguments.state {
        Some(path) => record::load(path, &genesis)?,
        None => Trusted::genesis(&genesis),
    };
    let mut follower = Follower { arguments, genesis, trusted, kept: VecDeque::new(), said: BTreeMap::new(), shown: None };
    loop {
        let mut heard = Vec::new();
        for node in &nodes {
            heard.push(follower.ask(node)?);
        }
        if arguments.once {
            return follower.end(&heard);
        }
        follower.watch_silence();
        std::thread::sleep(POLL);
    }
}

/// What asking a node brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    /// A head that verifies.
    Head,
    /// Nothing that could be looked at.
    Nothing,
    /// Something that does not verify.
    Lie,
}

struct Follower<'a> {
    arguments: &'a Arguments,
    genesis: Genesis,
    trusted: Trusted,
    /// The newest heads, oldest first.
    kept: VecDeque<Head>,
    /// What was said of each node last: it is not said again and again.
    said: BTreeMap<String, String>,
    /// The height that was shown last.
    shown: Option<u64>,
}

impl Follower<'_> {
    /// Asks a node until it has nothing newer.
    fn ask(&mut self, node: &NodeClient) -> Result<Heard, Failure> {
        loop {
            let text = match node.text_within(&format!("/api/v1/head?epoch={}", self.trusted.epoch()), HEAD_BYTES_MAX) {
                Ok(text) => text,
                Err(why) => {
                    self.say(node, format!("skipped: {why}"));
                    return Ok(Heard::Nothing);
                }
            };
            let head = match Head::from_json(&text) {
                Ok(head) => head,
                Err(why) => {
                    self.say(node, format!("gave no head, skipped: {why}"));
                    return Ok(Heard::Lie);
                }
            };
            let step = match self.trusted.advance(&self.genesis, &head) {
                Ok(step) => step,
                Err(fork @ HeadError::Fork { .. }) => return Err(self.alarm(node, head, &fork)),
                Err(behind @ HeadError::Behind { .. }) => {
                    self.say(node, format!("skipped: {behind}"));
                    return Ok(Heard::Nothing);
                }
                Err(why) => {
                    self.say(node, format!("gave a head that does not verify, skipped: {why}"));
                    return Ok(Heard::Lie);
                }
            };
            self.said.remove(node.base());
            if let (true, Some(path)) = (step != Step::Known, &self.arguments.state) {
                record::save(path, &self.trusted, &self.genesis)?;
            }
            if step == Step::Newer {
                self.show(Some((node, &head)))?;
                self.kept.push_back(head);
                while self.kept.len() > KEPT_MAX {
                    self.kept.pop_front();
                }
            }
            if step != Step::Partly {
                return Ok(Heard::Head);
            }
        }
    }

    /// Says something of a node, unless it was said last.
    fn say(&mut self, node: &NodeClient, text: String) {
        if self.said.get(node.base()) != Some(&text) {
            note(&format!("{} {text}", node.base()));
            self.said.insert(node.base().to_owned(), text);
        }
    }

    /// Prints the newest milestone, and who gave it.
    fn show(&mut self, from: Option<(&NodeClient, &Head)>) -> Result<(), Failure> {
        let (milestone, committee) = (self.trusted.milestone(), self.trusted.committee().size());
        self.shown = Some(milestone.height);
        let (node, signers) = (from.map(|(node, _)| node.base()), from.map(|(_, head)| head.finalization.votes.len()));
        if self.arguments.json {
            let line = json!({
                "height": milestone.height,
                "digest": milestone.digest().to_string(),
                "epoch": milestone.epoch,
                "time_ms": milestone.time_ms,
                "age_ms": now_ms().saturating_sub(milestone.time_ms),
                "state_root": milestone.state_root.to_string(),
                "committee": committee,
                "signers": signers,
                "node": node,
            });
            return print(&line.to_string());
        }
        let signed = signers.map(|n| format!(", signed by {n} of {committee}")).unwrap_or_default();
        let told = node.map(|n| format!(", from {n}")).unwrap_or_default();
        print(&format!(
            "milestone {} ({}) of {}, {} old, epoch {}{signed}{told}",
            milestone.height,
            short(&milestone.digest().to_string()),
            time_ms(milestone.time_ms),
            age(milestone.time_ms),
            milestone.epoch,
        ))
    }

    /// How a single round ends.
    fn end(&mut self, heard: &[Heard]) -> Result<(), Failure> {
        let nodes = self.arguments.nodes.join(", ");
        if heard.contains(&Heard::Head) {
            // also if it is not a newer one
            return if self.shown.is_none() { self.show(None) } else { Ok(()) };
        }
        match heard.contains(&Heard::Lie) {
            true => Err(Failure::new(Exit::Refused, "no node gave a head that verifies", nodes, "name other nodes with --node")),
            false => Err(Failure::new(Exit::Unreachable, "no node gave a head", nodes, "start them, or name others with --node")),
        }
    }

    /// Says once that nothing newer comes.
    fn watch_silence(&mut self) {
        let last_ms = self.trusted.milestone().time_ms;
        let silent = u128::from(now_ms().saturating_sub(last_ms)) > SILENT.as_millis();
        let text = match silent {
            true => format!("no milestone since {}: the committee does not confirm, or these nodes keep it back", time_ms(last_ms)),
            false => String::new(),
        };
        if self.said.get("") != Some(&text) {
            if silent {
                note(&text);
            }
            self.said.insert(String::new(), text);
        }
    }

    /// Two certified milestones of one height.
    fn alarm(&self, node: &NodeClient, head: Head, fork: &HeadError) -> Failure {
        if let HeadError::Fork { height, one, other } = fork {
            let near = |h: &&Head| h.milestone.height == *height || h.milestone.height == height.saturating_add(1);
            let shown = |h: &Head| serde_json::from_str::<Value>(&h.to_json()).unwrap_or_default();
            let heads: Vec<Value> = self.kept.iter().filter(near).chain([&head]).map(shown).collect();
            // what proves it; that it cannot be printed must not hide the alarm
            let _ =
                print_json(&json!({ "fork": { "height": height, "one": one.to_string(), "other": other.to_string() }, "heads": heads }));
        }
        Failure::new(Exit::Fork, format!("ALARM: {fork}"), node.base(), "trust nothing that this committee signs; tell its operators")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_head_fits() {
        let handover = 2 * (protocol::limits::MILESTONE_BYTES_MAX as u64 + protocol::limits::COMMITTEE_MAX as u64 * 65 + 128) + 64;
        assert!(replica::HANDOVERS_AT_ONCE_MAX * handover <= HEAD_BYTES_MAX);
    }
}
