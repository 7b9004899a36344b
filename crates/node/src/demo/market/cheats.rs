//! Node 3 tries to cheat. Each try must be refused, and is shown with the reason that it met.
//!
//! | try | how | who refuses |
//! |---|---|---|
//! | double spend | two requests of one State, to two nodes at once | validators: one vote for a State (WAL-11) |
//! | replay | a request that was executed, to another node | the State has moved on (WAL-24) |
//! | replayed votes | the votes of one request under another | the machine: a vote names its request (WAL-13) |
//! | overspend | more than the purse has | validators (WAL-10) |
//! | forged, short, repeated | straight to the machine | the machine (SRV-5) |

use super::report::{Refused, Report};
use super::town::{Person, Town};
use super::window::{self, Purse, find, follow, hand_in, number, reason, text};
use super::{LOOK, PATIENCE, PRICE};
use crate::cli::output::note;
use crate::cli::{Exit, Failure, amount};
use crate::clock::now_us;
use crate::hex::unhex;
use crate::services::command::command;
use protocol::{Body, Certificate, Decode as _, DeviceTopic, Id, Operation, PublicKey, Request, SecretKey, UNITS_PER_COIN, Unsigned};
use serde_json::Value;
use std::time::{Duration, Instant};

/// What each of the cheat's hidden wallets gets.
const STAKE: u64 = UNITS_PER_COIN / 2;
/// How long validators may take to refuse.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(15);

fn missing(what: &str) -> Failure {
    Failure::new(Exit::Fault, format!("{what} is not there"), "the demo", "report this")
}

/// A key that nobody knows.
fn fresh() -> Result<SecretKey, Failure> {
    let mut seed = [0u8; 32];
    getrandom::fill(&mut seed).map_err(|e| Failure::new(Exit::Fault, e, "the system's source of randomness", "check getrandom(2)"))?;
    Ok(SecretKey::from_seed(&seed))
}

/// Where the cheat is, and what it meets.
struct Cheat<'a> {
    town: &'a Town,
    /// Node 3.
    me: &'a Person,
    /// Node 1 and node 2.
    others: (&'a Person, &'a Person),
}

/// Tries everything. Gives all wallets that have a purse now.
///
/// # Errors
/// [`Failure`] if a node does not answer. A cheat that was not refused is in the report.
pub(super) async fn tell(town: &mut Town, bought: Option<Id>, report: &mut Report) -> Result<Vec<PublicKey>, Failure> {
    note("node3 tries to cheat");
    let (first, second) = (fresh()?, fresh()?);
    let mut refused = Vec::new();
    {
        let town: &Town = town;
        let person = |k: usize| town.people.get(k).ok_or_else(|| missing("a node"));
        let cheat = Cheat { town, me: person(2)?, others: (person(0)?, person(1)?) };
        let paid = cheat.hide(&first, &second).await?;
        refused.push(cheat.double_spend(&first).await?);
        refused.push(cheat.replay(&paid).await?);
        refused.push(cheat.overspend(&second).await?);
    }
    let bought = bought.ok_or_else(|| missing("a purchase"))?;
    refused.extend(straight(town, bought, &second).await?);
    for refused in refused {
        note(&format!("  {}: {}", refused.what, if refused.held { refused.reason.as_str() } else { "NOT refused" }));
        if !refused.held {
            report.problems.push(format!("{} was not refused: {}", refused.what, refused.reason));
        }
        report.refused.push(refused);
    }
    let mut wallets: Vec<PublicKey> = town.people.iter().map(|person| person.key.public_key()).collect();
    wallets.extend([first.public_key(), second.public_key()]);
    Ok(wallets)
}

impl Cheat<'_> {
    fn sign(&self, purse: &Purse, key: &SecretKey, operation: Operation, price: u64) -> Result<Request, Failure> {
        purse.sign(&self.town.network.genesis, key, operation, price)
    }

    /// Gives two new wallets something to cheat with, by a chain of two requests in one message. Gives the first of them.
    async fn hide(&self, first: &SecretKey, second: &SecretKey) -> Result<Request, Failure> {
        let (start, node) = (Instant::now(), &self.me.node);
        loop {
            let purse = Purse::of(node, &self.me.key.public_key()).await?;
            let one = self.sign(&purse, &self.me.key, Operation::Transfer { to: first.public_key() }, STAKE)?;
            let two = self.sign(&purse.after(&one), &self.me.key, Operation::Transfer { to: second.public_key() }, STAKE)?;
            if purse.available >= 2 * STAKE {
                let answers = hand_in(node, &[&one, &two]).await?;
                let last = follow(node, two.id(), answers.into_iter().nth(1).unwrap_or_default(), (start, PATIENCE)).await?;
                if last.status == "final" {
                    return Ok(one);
                }
            }
            if start.elapsed() > PATIENCE {
                return Err(Failure::new(Exit::Refused, "a chain of two transfers was not executed", node.base(), "read the node's log"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Two requests of one State, to two nodes at once: at most one is final, and the other meets a reason.
    async fn double_spend(&self, key: &SecretKey) -> Result<Refused, Failure> {
        let (left, right) = self.others;
        let purse = self.funded(key).await?;
        let one = self.sign(&purse, key, Operation::Transfer { to: left.key.public_key() }, STAKE)?;
        let two = self.sign(&purse, key, Operation::Transfer { to: right.key.public_key() }, STAKE)?;
        let (a, b) = tokio::join!(window::spend(&left.node, &one, REFUSAL_PATIENCE), window::spend(&right.node, &two, REFUSAL_PATIENCE));
        let (a, b) = (a?, b?);
        let finals = [&a, &b].iter().filter(|timing| timing.status == "final").count();
        let loser = if a.status == "final" { &b } else { &a };
        let reason = match loser.reason.as_str() {
            "" => format!("the other one is {}", loser.status),
            reason => format!("the other one is {}: {reason}", loser.status),
        };
        // both may have got some votes each: then none of them is executed, and the wallet waits for the next epoch
        let reason = if finals == 0 { format!("none of the two is executed; {reason}") } else { reason };
        Ok(Refused { what: "double spend, two requests of one State to two nodes".to_owned(), reason, held: finals <= 1 })
    }

    /// A request that was executed, to another node: nothing is paid again.
    async fn replay(&self, paid: &Request) -> Result<Refused, Failure> {
        let node = &self.others.0.node;
        let before = Purse::of(&self.me.node, &paid.wallet).await?;
        let answer = hand_in(node, &[paid]).await?.into_iter().next().unwrap_or_default();
        let status = text(&answer, "/status");
        // one more request of the same wallet shows that everything before it was looked at
        let next = self.sign(&before, &self.me.key, Operation::Transfer { to: paid.wallet }, 1)?;
        let shown = window::spend(&self.me.node, &next, PATIENCE).await?;
        let after = Purse::of(&self.me.node, &paid.wallet).await?;
        let held = shown.status == "final" && after.executed == before.number.saturating_add(1);
        let why = match (status.as_str(), number(node, &answer, "/height")) {
            ("final", Ok(height)) => format!("it is final since milestone {height} and is executed once"),
            _ => format!("it is {status}: {}", reason(&answer)),
        };
        Ok(Refused { what: "replay of a request that was executed".to_owned(), reason: why, held })
    }

    /// More than there is.
    async fn overspend(&self, key: &SecretKey) -> Result<Refused, Failure> {
        let node = &self.me.node;
        let purse = self.funded(key).await?;
        let price = purse.available.saturating_add(PRICE);
        let request = self.sign(&purse, key, Operation::Transfer { to: self.me.key.public_key() }, price)?;
        let (start, path) = (Instant::now(), format!("/api/v1/spends/{}", request.id()));
        let mut seen = hand_in(node, &[&request]).await?.into_iter().next().unwrap_or_default();
        while reason(&seen).is_empty() && text(&seen, "/status") != "final" && start.elapsed() < REFUSAL_PATIENCE {
            tokio::time::sleep(LOOK).await;
            seen = find(node, &path).await?.unwrap_or(seen);
        }
        let status = text(&seen, "/status");
        let why = match reason(&seen) {
            why if why.is_empty() => format!("it is {status}, with {} votes", number(node, &seen, "/votes").unwrap_or_default()),
            why => format!("it is {status}: {why}"),
        };
        let held = status != "final" && status != "certified" && Purse::of(node, &request.wallet).await?.executed == purse.executed;
        Ok(Refused { what: format!("overspend by {}", amount::coins(PRICE)), reason: why, held })
    }

    /// The purse of a wallet that got something, once nothing of it is on its way.
    async fn funded(&self, key: &SecretKey) -> Result<Purse, Failure> {
        let start = Instant::now();
        loop {
            let purse = Purse::of(&self.me.node, &key.public_key()).await?;
            if purse.available >= STAKE || start.elapsed() > PATIENCE {
                return Ok(purse);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// Commands straight to the machine, as if its cover were open.
async fn straight(town: &mut Town, bought: Id, key: &SecretKey) -> Result<Vec<Refused>, Failure> {
    let genesis = town.network.genesis.clone();
    let topic: DeviceTopic = "z1/espresso/act/brew".parse().map_err(|e| Failure::new(Exit::Fault, e, "the demo", "report this"))?;
    let good = certificate(town, bought).await?;
    let needed = good.votes.len();
    let purse = Purse::of(&town.shop, &key.public_key()).await?;
    let unpaid = purse.sign(&genesis, key, Operation::Buy { service: town.service, argument: Vec::new() }, PRICE)?;
    let stolen = Certificate { request: unpaid.clone(), votes: good.votes.clone() };
    let mut own = good.votes.clone();
    for vote in &mut own {
        let message = Unsigned {
            network: genesis.network(),
            subnet: genesis.subnet,
            issuer: key.public_key(),
            sequence: vote.sequence,
            parents: vec![Unsigned::root(genesis.network())],
            issued_at_ms: now_us() / 1_000,
            votes: vec![unpaid.id()],
            body: Body::Data(Vec::new()),
            pow_nonce: 0,
        };
        *vote = message.sign(key).cast_vote(&unpaid.id(), vote.voter).ok_or_else(|| missing("a vote"))?;
    }
    let forged = Certificate { request: unpaid, votes: own };
    let short = Certificate { request: good.request.clone(), votes: good.votes.iter().take(needed.saturating_sub(1)).cloned().collect() };
    let mut all = Vec::new();
    for (what, certificate, event) in [
        ("votes of another request, under a request that nobody voted for", stolen, "refused"),
        ("a certificate whose votes the cheat signed itself", forged, "refused"),
        ("a certificate with a vote too few", short, "refused"),
        ("a good certificate for the second time", good, "repeated"),
    ] {
        let (before, brewed) = (town.machine.count(event), town.machine.count("brewed"));
        town.machine.give(&command(&topic, &certificate, 0, &[], now_us()))?;
        let reason = town.machine.wait(event, before, REFUSAL_PATIENCE).await;
        let held = reason.is_ok() && town.machine.count("brewed") == brewed;
        let reason = reason.unwrap_or_else(|failure| failure.to_string());
        all.push(Refused { what: format!("to the machine: {what}"), reason, held });
    }
    Ok(all)
}

/// The certificate of a request, as the provider's node has it.
async fn certificate(town: &Town, request: Id) -> Result<Certificate, Failure> {
    let path = format!("/api/v1/spends/{request}/certificate");
    let answer: Value = find(&town.shop, &path).await?.ok_or_else(|| missing("the certificate of an espresso"))?;
    let bytes = unhex(&text(&answer, "/certificate")).ok_or_else(|| missing("the certificate's text"))?;
    Certificate::decode(&bytes).map_err(|why| Failure::new(Exit::Refused, why, town.shop.base(), "check that the node runs this version"))
}
