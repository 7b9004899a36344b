//! Spending from a purse: what every command that sends a request does.
//!
//! ```text
//! GET epoch, parameters, wallet ─▶ sign in the purse's next State ─▶ POST spends ─▶ certified ─▶ final
//!                  ▲                                                      │
//!                  └───────────── once, if the epoch ended before ────────┘
//! ```
//! # Rules
//! - The node is asked for the network and the purse's State, and never gets the key. What it says wrongly makes a request that is
//!   refused; nothing worse.
//! - A request that came to nothing because its epoch ended is signed again in the same number and State only: of the two
//!   at most one can be executed, whatever the node says.
//! - An answer that is lost says nothing of the request: the same one is handed over again, which spends nothing twice. Whoever
//!   cannot be told how it went is told which request to look for before sending again.

pub(crate) mod wire;

use super::amount::coins;
use super::client::{ClientError, DEFAULT_NODE, NodeClient};
use super::ordering::{parsed, read};
use super::output::{note, print, print_json, short};
use super::signing::WalletKey;
use super::wire::Epoch;
use super::{Exit, Failure, quantity};
use crate::hex::hex;
use protocol::{Encode as _, Request, SecretKey};
use sdk::{Position, SpendError, Spender};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use wire::{Holder, Parameters, Spend, Spends};

/// How often a request on its way is asked for again.
const POLL: Duration = Duration::from_millis(20);
/// The pause before a request is handed over again of which the node gave no answer.
const RETRY: Duration = Duration::from_millis(250);
/// Reasons that go away by signing again: the epoch has ended, or ends.
const EPOCH_REASONS: [&str; 2] = ["epoch", "ended"];

/// How far a request must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Until {
    /// Enough votes are known: it will be executed
    Certified,
    /// A milestone has executed it
    Final,
}

/// What every request needs.
#[derive(Debug, clap::Args)]
pub(crate) struct Spending {
    #[command(flatten)]
    signer: WalletKey,
    /// The node that carries the request
    #[arg(long, value_name = "URL", default_value = DEFAULT_NODE)]
    node: String,
    /// Wait until it is so far
    #[arg(long, value_enum, default_value = "final")]
    until: Until,
    /// How long to wait at most
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = quantity::duration)]
    wait: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How a request went.
struct Gone {
    record: Value,
    spend: Spend,
}

impl Spending {
    /// The node.
    ///
    /// # Errors
    /// [`Failure`] if it has no proper address.
    pub(crate) fn client(&self) -> Result<NodeClient, Failure> {
        Ok(NodeClient::new(&self.node)?)
    }

    /// Who signs.
    pub(crate) const fn signer(&self) -> &WalletKey {
        &self.signer
    }

    /// Signs a request, sends it, waits and tells: `done` in words, or why it came to nothing. `sign` gets the time in
    /// milliseconds since 1970.
    ///
    /// # Errors
    /// [`Failure`]: usage (2) if it cannot be signed, refused (1) if it was refused or did not get so far in time.
    pub(crate) fn spend(&self, done: &str, sign: impl Fn(&mut Spender, u64) -> Result<Request, SpendError>) -> Result<(), Failure> {
        let (node, key, start) = (self.client()?, self.signer.read()?, Instant::now());
        let at = position(&node, &key)?;
        let mut gone = self.attempt(&node, &key, at, start, &sign)?;
        if lapsed(&gone.spend)
            && let Some(next) = self.next_epoch(&node, &key, at, start).map_err(|why| unsure(&why, &gone.spend.id))?
        {
            if !replaces(at, next) {
                let what = format!("request {} is {}, and the purse has moved on since", short(&gone.spend.id), gone.spend.status);
                let todo = format!("see `wattle request show {}` and `wattle wallet show` before you send again", gone.spend.id);
                return Err(Failure::new(Exit::Refused, what, node.base(), todo));
            }
            note("the epoch ended before the request was executed, so it never will be: signed again for the next one");
            gone = self.attempt(&node, &key, next, start, &sign)?;
        }
        let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.tell(&node, done, gone, &key, took_ms)
    }

    /// Sends one request, and waits until it is so far, ends, or the time is over.
    fn attempt(
        &self,
        node: &NodeClient,
        key: &SecretKey,
        at: Position,
        start: Instant,
        sign: impl Fn(&mut Spender, u64) -> Result<Request, SpendError>,
    ) -> Result<Gone, Failure> {
        let present: Epoch = node.json("/api/v1/epoch")?;
        let Parameters { difficulty, .. } = node.json("/api/v1/parameters")?;
        let mut spender = Spender::new(parsed(&present.network)?, key.clone(), difficulty, at);
        let request =
            sign(&mut spender, now_ms()).map_err(|why| Failure::new(Exit::Usage, why, "the request", "see `wattle wallet send --help`"))?;
        let id = request.id();
        let mut gone = Gone::read(self.hand_over(node, &request, start)?).map_err(|why| unsure(&why, id))?;
        let path = format!("/api/v1/spends/{id}");
        while !self.far_enough(&gone.spend) && !gone.spend.ended() && start.elapsed() < self.wait {
            std::thread::sleep(POLL);
            match node.json(&path) {
                Ok(record) => gone = Gone::read(record).map_err(|why| unsure(&why, id))?,
                // a node that has just been started again may have to hear of it first
                Err(ClientError::Problem { status: 404, .. }) => {}
                Err(why) if passes(&why) => {}
                Err(why) => return Err(unsure(&why.into(), id)),
            }
        }
        Ok(gone)
    }

    /// Gives a request to the node, again if its answer is lost or it has no room now: a request that comes twice is one request.
    fn hand_over(&self, node: &NodeClient, request: &Request, start: Instant) -> Result<Value, Failure> {
        let (id, mut lost) = (request.id(), false);
        loop {
            match post(node, std::slice::from_ref(request)) {
                Err(why) if passes(&why) && start.elapsed() < self.wait => {
                    lost = true;
                    std::thread::sleep(RETRY);
                }
                Err(why) if lost || passes(&why) => return Err(unsure(&why.into(), id)),
                answer => {
                    let records = answers(&answer?).map_err(|why| unsure(&why, id))?;
                    let empty = || Failure::new(Exit::Refused, "the node's answer is empty", node.base(), "ask another node");
                    return records.into_iter().next().ok_or_else(|| unsure(&empty(), id));
                }
            }
        }
    }

    fn far_enough(&self, spend: &Spend) -> bool {
        match spend.status.as_str() {
            "final" => true,
            "certified" => self.until == Until::Certified,
            _ => false,
        }
    }

    /// Waits until the purse is in an epoch after that of `at`, and says where; `None` if the time is over before.
    fn next_epoch(&self, node: &NodeClient, key: &SecretKey, at: Position, start: Instant) -> Result<Option<Position>, Failure> {
        while start.elapsed() < self.wait {
            let next = position(node, key)?;
            if next.epoch > at.epoch {
                return Ok(Some(next));
            }
            std::thread::sleep(POLL);
        }
        Ok(None)
    }

    fn tell(&self, node: &NodeClient, done: &str, gone: Gone, key: &SecretKey, took_ms: u64) -> Result<(), Failure> {
        let Gone { mut record, spend } = gone;
        let good = self.far_enough(&spend);
        if self.json {
            if let Some(record) = record.as_object_mut() {
                record.insert("took_ms".to_owned(), took_ms.into());
            }
            print_json(&record)?;
        }
        if !good {
            return Err(self.failed(node, &spend));
        }
        if self.json {
            return Ok(());
        }
        // it is done, whatever the node says now
        let holder: Option<Holder> = node.json(&format!("/api/v1/wallets/{}", key.public_key())).ok();
        let left = holder.map(|holder| format!("; the purse has {}", coins(holder.purse.available))).unwrap_or_default();
        let height = spend.height.map(|height| format!(" in milestone {height}")).unwrap_or_default();
        print(&format!(
            "{done}; request {} is {}{height} with {} votes ({} are needed) after {took_ms} ms{left}",
            spend.id, spend.status, spend.votes, spend.needed,
        ))
    }

    fn failed(&self, node: &NodeClient, spend: &Spend) -> Failure {
        let reasons = spend.reasons().join("; ");
        let why = if reasons.is_empty() { String::new() } else { format!(": {reasons}") };
        let (id, status) = (short(&spend.id), spend.status.as_str());
        let (what, todo) = match status {
            // a validator that is against it now may vote for it later
            "refused" => (
                format!("request {id} was refused{why}"),
                format!(
                    "nothing was spent so far; change what is wrong, and see `wattle request show {}` before you send another",
                    spend.id
                ),
            ),
            "locked" => (
                format!("request {id} is locked: another one of this wallet has the same number, and validators voted for both{why}"),
                "nothing was spent; the wallet can spend again in the next epoch".to_owned(),
            ),
            "lapsed" => {
                (format!("request {id} lapsed: its epoch ended before it was executed{why}"), "nothing was spent; send again".to_owned())
            }
            _ => (
                format!("request {id} is {status} after {:?}, with {} of {} votes{why}", self.wait, spend.votes, spend.needed),
                format!("it still may be executed: see `wattle request show {}` before you send again", spend.id),
            ),
        };
        Failure::new(Exit::Refused, what, node.base(), todo)
    }
}

impl Gone {
    fn read(record: Value) -> Result<Self, Failure> {
        let spend = serde_json::from_value(record.clone()).map_err(Failure::answer)?;
        Ok(Self { record, spend })
    }
}

/// Where the purse stands: what its next request must name.
fn position(node: &NodeClient, key: &SecretKey) -> Result<Position, Failure> {
    let Holder { purse, .. } = node.json(&format!("/api/v1/wallets/{}", key.public_key()))?;
    Ok(Position { number: purse.next_number, state: parsed(&purse.next_state)?, epoch: purse.epoch })
}

/// Whether a request signed at `next` can only be executed if one signed at `at` is not.
fn replaces(at: Position, next: Position) -> bool {
    next.number == at.number && next.state == at.state
}

/// Whether the same question may be answered in a moment.
const fn passes(why: &ClientError) -> bool {
    match why {
        ClientError::Unreachable { .. } | ClientError::Answer { .. } => true,
        ClientError::Problem { status, .. } => *status == 429 || *status >= 500,
        ClientError::Url(_) | ClientError::Token { .. } | ClientError::Authority { .. } | ClientError::Tls { .. } => false,
    }
}

/// A failure after which nobody knows whether a request is executed.
fn unsure(why: &Failure, id: impl std::fmt::Display) -> Failure {
    let todo = format!("request {id} may be executed all the same: see `wattle request show {id}` before you send again");
    Failure::said(why.exit, format!("{why}; {todo}"))
}

/// Whether a request came to nothing because of its epoch alone.
fn lapsed(spend: &Spend) -> bool {
    spend.status == "lapsed" || spend.reason.as_ref().is_some_and(|reason| EPOCH_REASONS.contains(&reason.kind.as_str()))
}

/// Gives requests to a node, and gives its answers in their order.
///
/// # Errors
/// [`Failure`] if the node cannot be asked, or does not take any.
pub(crate) fn carry(node: &NodeClient, requests: &[Request]) -> Result<Vec<Value>, Failure> {
    answers(&post(node, requests)?)
}

fn post(node: &NodeClient, requests: &[Request]) -> Result<String, ClientError> {
    let requests: Vec<String> = requests.iter().map(|request| hex(&request.encode())).collect();
    node.post_json("/api/v1/spends", &json!({ "requests": requests }).to_string())
}

/// A node's answer to requests, one for each.
fn answers(text: &str) -> Result<Vec<Value>, Failure> {
    let mut answer: Value = read(text)?;
    // what is no list of requests is said so
    let _: Spends = serde_json::from_value(answer.clone()).map_err(Failure::answer)?;
    Ok(match answer.get_mut("spends").map(Value::take) {
        Some(Value::Array(spends)) => spends,
        _ => Vec::new(),
    })
}

/// This machine's clock, in milliseconds since 1970.
fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::wire::Reason;
    use super::*;
    use clap::Parser;
    use protocol::Id;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        spending: Spending,
    }

    fn typed(words: &[&str]) -> Spending {
        Line::try_parse_from(["x"].iter().chain(words)).unwrap().spending
    }

    fn spend(status: &str) -> Spend {
        Spend { id: "ab".repeat(32), status: status.to_owned(), needed: 3, votes: 1, ..Spend::default() }
    }

    #[test]
    fn it_is_said_how_far_a_request_must_be() {
        let (certified, executed) = (typed(&["--key", "k", "--until", "certified"]), typed(&["--wallet", "w"]));
        for (status, by_votes, by_milestone) in
            [("pending", false, false), ("certified", true, false), ("final", true, true), ("refused", false, false)]
        {
            assert_eq!(certified.far_enough(&spend(status)), by_votes, "{status}");
            assert_eq!(executed.far_enough(&spend(status)), by_milestone, "{status}");
        }
        assert!(Line::try_parse_from(["x"]).is_err(), "nobody signs");
        assert!(Line::try_parse_from(["x", "--key", "k", "--wallet", "w"]).is_err(), "two sign");
    }

    #[test]
    fn only_an_epoch_s_end_is_tried_again() {
        let because = |kind: &str| Spend { reason: Some(Reason { kind: kind.into(), text: "so".into() }), ..spend("refused") };
        assert!(lapsed(&spend("lapsed")) && lapsed(&because("epoch")) && lapsed(&because("ended")));
        assert!(!lapsed(&spend("refused")) && !lapsed(&spend("locked")) && !lapsed(&because("funds")));
    }

    /// A node that answered `ended` for a request that was executed all the same had it paid twice: it was signed again wherever
    /// the purse stood by then.
    #[test]
    fn what_is_signed_again_is_a_rival_of_what_it_replaces() {
        let at = Position { number: 4, state: Id([1; 32]), epoch: 2 };
        assert!(replaces(at, Position { epoch: 3, ..at }));
        assert!(!replaces(at, Position { number: 5, state: Id([2; 32]), epoch: 3 }), "it was executed");
        assert!(!replaces(at, Position { state: Id([2; 32]), epoch: 3, ..at }));
        assert!(!replaces(at, Position { number: 3, epoch: 3, ..at }));
    }

    /// An answer that was lost after the request had left looked like a node that was never reached.
    #[test]
    fn a_lost_answer_names_the_request_and_what_is_no_answer_is_asked_again() {
        let lost = || ClientError::Unreachable { base: "http://127.0.0.1:1".into(), why: "timeout".into() };
        let failure = unsure(&lost().into(), Id([0xab; 32]));
        assert!(failure.exit == Exit::Unreachable && failure.to_string().contains(&"ab".repeat(32)), "{failure}");
        assert!(failure.to_string().contains("before you send again"), "{failure}");
        let problem = |status| ClientError::Problem { status, detail: String::new(), url: String::new() };
        assert!(passes(&lost()) && passes(&problem(429)) && passes(&problem(503)));
        assert!(!passes(&problem(400)) && !passes(&problem(422)) && !passes(&problem(404)));
    }

    #[test]
    fn a_failure_says_what_to_do() {
        let (spending, node) = (typed(&["--key", "k", "--wait", "5s"]), NodeClient::new("http://127.0.0.1:1").unwrap());
        for (status, part) in [
            ("refused", "nothing was spent so far"),
            ("locked", "next epoch"),
            ("lapsed", "send again"),
            ("pending", "still may be executed"),
        ] {
            let failure = spending.failed(&node, &spend(status));
            assert!(failure.exit == Exit::Refused && failure.to_string().contains(part), "{failure}");
        }
        let refused = spending.failed(&node, &spend("refused")).to_string();
        assert!(refused.contains(&format!("wattle request show {}", "ab".repeat(32))), "{refused}");
        let late = spending.failed(&node, &spend("pending")).to_string();
        assert!(late.contains("5s") && late.contains("1 of 3 votes"), "{late}");
    }
}
