//! `wattle demo market`: eight nodes share sensor data, earn DCoin by it, and buy espressos; one of them tries to cheat.
//!
//! ```text
//! air quality ─MQTT─▶ 8 sites ─▶ ledger ─shares─▶ 8 purses ─requests, votes─▶ service "espresso" ─▶ machine at z1
//!                                                    └─ cheats.rs: each refused, with its reason
//! books.rs: on every node all coins add up, and all nodes agree
//! ```
//! # Rules
//! - Everything is seen from outside, by HTTP and MQTT, as any program would.
//! - Nothing waits for a fixed time: each step ends when it is done, or fails at its deadline.

mod books;
mod cheats;
mod report;
mod town;
mod watch;
mod window;

use super::command::{directory, leave_running};
use crate::cli::amount;
use crate::cli::output::{note, print, print_json};
use crate::cli::runtime::{asked_to_stop, runtime};
use crate::cli::{Exit, Failure};
use protocol::{Id, Operation};
use report::Report;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use town::Town;
use window::{Purse, Timing};

/// Validators of the market: six votes certify a request, two of the eight may fail.
const NODES: u16 = 8;
/// What an espresso costs, in sub-units: ten shares.
const PRICE: u64 = 2_000_000;
/// Espressos that each node buys.
const CUPS: usize = 2;
/// How long the nodes may take to earn an espresso, to have one served, and to agree at the end.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a purse, a request or a purchase is looked at again.
const LOOK: Duration = Duration::from_millis(25);

/// `wattle demo market`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts eight nodes, each with a site of its own that replays real air quality data. Five shares earn a DCoin, an espresso costs two.
Every node buys from its purse; six of eight votes certify a request, and the machine checks the certificate itself. Then node 3
tries to spend twice, to replay, to overspend and to forge. At the end all coins must add up on every node.

Examples:
  wattle demo market
  wattle demo market --exit --json          for programs: 0 only if every cheat was refused and every coin is accounted for")]
pub(crate) struct Arguments {
    /// End after the report; the exit code says whether every promise was kept
    #[arg(long)]
    exit: bool,
    /// For how long the sites publish
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Where to keep the nodes' directories; without it, in a new temporary directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Plays the scenario.
///
/// # Errors
/// [`Failure`] if the network cannot be run, or a promise was not kept.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let directory = directory(arguments.dir.as_deref())?;
    note(&format!("starting {NODES} nodes in {} (kept afterwards)", directory.display()));
    let runtime = runtime()?;
    let mut town = Town::found(&directory)?;
    let played = runtime.block_on(async {
        tokio::select! {
            () = asked_to_stop() => None,
            played = play(&mut town, arguments.seconds) => Some(played),
        }
    });
    let Some(played) = played else {
        note("stopping the nodes");
        return Err(Failure::new(Exit::Refused, "interrupted", "the demo", "let it run to its end to see the report"));
    };
    let mut report = played?;
    report.directory = directory;
    match arguments.json {
        true => print_json(&report)?,
        false => print(&report.text())?,
    }
    if !arguments.exit {
        note(&town.invitation());
        runtime.block_on(leave_running(&mut town.network))?;
    }
    note("stopping the nodes");
    drop(town);
    match report.problems.first() {
        None => Ok(()),
        Some(first) => {
            let todo = "read the nodes' log.txt and run `wattle check` on their data directories";
            Err(Failure::new(Exit::Refused, first, report.directory.display(), todo))
        }
    }
}

/// All of it, in order.
async fn play(town: &mut Town, seconds: u64) -> Result<Report, Failure> {
    let start = Instant::now();
    town.network.ready().await?;
    town.open_shop().await?;
    let table = watch::Watch::start(town);
    note(&format!("the shop is open: an espresso costs {}", amount::coins(PRICE)));
    let (published, cups) = tokio::join!(town.publish(seconds), buy_all(town));
    let published = published?;
    let mut report = Report::new(town, published);
    let mut bought = Vec::new();
    for cups in cups {
        for cup in cups? {
            report.certified_ms.push(cup.certified_ms);
            report.final_ms.push(cup.final_ms);
            bought.push(cup.id);
        }
    }
    note("waiting until every espresso is served and paid");
    served(town, &bought).await?;
    report.espressos = town.machine.count("brewed");
    if report.espressos != bought.len() {
        report.problems.push(format!("{} espressos were brewed, {} were bought", report.espressos, bought.len()));
    }
    let purses = cheats::tell(town, bought.first().copied(), &mut report).await?;
    if town.machine.count("brewed") != report.espressos {
        report.problems.push("the machine brewed for nothing".to_owned());
    }
    drop(table);
    note("adding up all coins, on every node");
    books::check(town, &purses, &mut report).await?;
    report.elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

/// What each node bought.
async fn buy_all(town: &Town) -> Vec<Result<Vec<Timing>, Failure>> {
    let customers = town.people.iter().map(|person| async move {
        let mut cups = Vec::with_capacity(CUPS);
        for _ in 0..CUPS {
            cups.push(buy(town, person).await?);
        }
        Ok(cups)
    });
    futures::future::join_all(customers).await
}

/// Buys one espresso, as soon as the purse has its price. A request whose epoch ended is signed again.
async fn buy(town: &Town, person: &town::Person) -> Result<Timing, Failure> {
    let start = Instant::now();
    loop {
        let purse = Purse::of(&person.node, &person.key.public_key()).await?;
        if purse.available < PRICE {
            if start.elapsed() > PATIENCE {
                let what = format!("{} has earned {} only", person.name, amount::coins(purse.available));
                return Err(Failure::new(Exit::Refused, what, person.node.base(), "read the node's log"));
            }
            tokio::time::sleep(LOOK).await;
            continue;
        }
        let operation = Operation::Buy { service: town.service, argument: b"lungo".to_vec() };
        let request = purse.sign(&town.network.genesis, &person.key, operation, PRICE)?;
        let timing = window::spend(&person.node, &request, PATIENCE).await?;
        match timing.status.as_str() {
            "final" => return Ok(timing),
            "lapsed" if start.elapsed() < PATIENCE => {}
            other => {
                let what = format!("the request of {} for an espresso is {other}: {}", person.name, timing.reason);
                return Err(Failure::new(Exit::Refused, what, person.node.base(), "read the node's log"));
            }
        }
    }
}

/// Waits until the provider has settled all purchases.
async fn served(town: &mut Town, bought: &[Id]) -> Result<(), Failure> {
    let start = Instant::now();
    for id in bought {
        let path = format!("/api/v1/purchases/{id}");
        while window::find(&town.shop, &path).await?.is_some() {
            town.network.alive()?;
            if start.elapsed() > PATIENCE {
                let what = format!("the purchase {id} was not settled");
                return Err(Failure::new(Exit::Refused, what, town.shop.base(), "read the log of node1, which provides the service"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}
