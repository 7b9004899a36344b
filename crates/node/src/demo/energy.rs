//! The energy scenario: the smart meters of 17 homes, replayed through a site into a ledger of four nodes.
//!
//! ```text
//! bundled CSV ─▶ MQTT QoS 1 ─▶ node1's broker ─▶ ledger ─▶ every reading looked up, a sample of receipts verified
//! ```
//! "Exactly once" is judged from outside: every node's ledger holds as many readings as were published, and
//! each published id is found confirmed. More than one of a kind would make the first too large; a missing
//! one fails the second.

use super::network::{Network, POLL};
use super::report::Report;
use crate::cli::output::note;
use crate::cli::replay::{Load, Pace, RowError, Rows, Rules, START_US, STEP_US, progress_bar, publish};
use crate::cli::wire::{Reading as Found, Status};
use crate::cli::{Exit, Failure, receipt, verify};
use mqtt::Credentials;
use protocol::{Decode as _, Encode as _, Genesis, Name, Reading, Receipt};
use std::time::{Duration, Instant};

/// The bundled data.
const DATA: &[u8] = include_bytes!("../../../../examples/energy/data/readings.csv");
/// Connections to the broker.
const CONNECTIONS: usize = 4;
/// How long the broker may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the last reading may take to be confirmed on every node.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(60);
/// How long one receipt may take.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(10);
/// Receipts that are fetched and verified.
const RECEIPTS_SAMPLED: usize = 25;

/// The first `count` readings of the bundled data, for `site`.
///
/// # Errors
/// [`Failure`] if there are not so many.
pub(crate) fn readings(site: &Name, count: usize) -> Result<Vec<Reading>, Failure> {
    let rules = Rules { site: site.clone(), start_us: START_US, step_us: STEP_US };
    let bundled = |e: RowError| Failure::new(Exit::Fault, e, "the bundled data", "build this program again");
    let readings = Rows::open(DATA, rules).map_err(bundled)?.take(count).collect::<Result<Vec<_>, _>>().map_err(bundled)?;
    match readings.len() == count && count > 0 {
        true => Ok(readings),
        false => Err(Failure::new(Exit::Usage, format!("{count} readings"), "--readings", format!("choose 1 to {}", available(site)))),
    }
}

fn available(site: &Name) -> usize {
    let rules = Rules { site: site.clone(), start_us: START_US, step_us: STEP_US };
    Rows::open(DATA, rules).map_or(0, Iterator::count)
}

/// Replays `readings` through `network` and finds out what became of them.
///
/// # Errors
/// [`Failure`] if a node or the broker fails; a promise that was not kept is in the report.
pub(crate) async fn tell(network: &mut Network, readings: Vec<Reading>, pace: Pace) -> Result<Report, Failure> {
    let published = readings.len() as u64;
    note(&format!("replaying {published} readings of 17 homes to {} (QoS 1)", network.broker));
    let credentials = Credentials::default();
    let load = Load { url: network.broker.clone(), credentials, qos: 1, connections: CONNECTIONS, patience: PATIENCE };
    let bar = progress_bar(published);
    let start = Instant::now();
    let outcome = publish(readings.iter().cloned().map(Ok), &load, pace, &bar).await?;
    bar.finish_and_clear();
    network.alive()?;
    let mut report = Report {
        demo: "energy".to_owned(),
        nodes: network.genesis.committee.size(),
        readings_published: published,
        readings_acknowledged: outcome.acknowledged,
        broker: network.broker.clone(),
        http: network.clients().map(|c| c.base().to_owned()).collect(),
        problems: outcome.trouble.into_iter().collect(),
        ..Report::default()
    };
    if outcome.acknowledged != published {
        report.problems.push(format!("only {} of {published} readings were acknowledged", outcome.acknowledged));
    }
    note("waiting until every node has confirmed them");
    confirmed(network, published, &mut report).await?;
    report.elapsed_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    note("looking every reading up, verifying receipts");
    let problems = report.problems.len();
    tokio::task::block_in_place(|| lookups(network, &readings, &mut report))?;
    report.exactly_once = problems == 0 && report.problems.is_empty();
    tokio::task::block_in_place(|| receipts(network, &readings, &mut report))?;
    Ok(report)
}

/// Waits until the site and every node's ledger hold `published` readings, and says who does not.
async fn confirmed(network: &mut Network, published: u64, report: &mut Report) -> Result<(), Failure> {
    let start = Instant::now();
    let expired = || start.elapsed() > CONFIRM_TIMEOUT;
    let site = loop {
        network.alive()?;
        let status = tokio::task::block_in_place(|| network.site_node()?.json::<Status>("/api/v1/status").map_err(Failure::from))?;
        let site = status
            .site_stats
            .ok_or_else(|| Failure::new(Exit::Fault, "it serves no site", network.broker.clone(), "see its wattle.toml"))?;
        if site.confirmed >= published || expired() {
            break site;
        }
        tokio::time::sleep(POLL).await;
    };
    report.readings_anchored = site.anchored;
    report.readings_confirmed = site.confirmed;
    report.latency_ms = site.latency_ms;
    for (what, count) in [("anchored", site.anchored), ("confirmed", site.confirmed)] {
        if count != published {
            report.problems.push(format!("the site {what} {count} readings, published were {published}"));
        }
    }
    let clients: Vec<_> = network.clients().cloned().collect();
    for client in clients {
        let held = loop {
            network.alive()?;
            let status: Status = tokio::task::block_in_place(|| client.json("/api/v1/status"))?;
            if status.ledger.readings >= published || expired() {
                break status.ledger.readings;
            }
            tokio::time::sleep(POLL).await;
        };
        if held != published {
            report.problems.push(format!("the ledger at {} holds {held} readings, published were {published}", client.base()));
        }
    }
    Ok(())
}

/// Looks every reading up by its id. The index may be a moment behind the ledger.
fn lookups(network: &Network, readings: &[Reading], report: &mut Report) -> Result<(), Failure> {
    let node = network.site_node()?;
    let start = Instant::now();
    for reading in readings {
        let path = format!("/api/v1/readings/{}", reading.id());
        loop {
            let problem = match node.json::<Found>(&path) {
                Ok(found) if found.topic != reading.topic.to_string() || found.time_us != reading.time_us => {
                    Some(format!("reading {} was found as {}@{}", reading.name(), found.topic, found.time_us))
                }
                Ok(found) if found.standing == "confirmed" => None,
                _ if start.elapsed() < CONFIRM_TIMEOUT => {
                    std::thread::sleep(POLL);
                    continue;
                }
                Ok(found) => Some(format!("reading {} is {}", reading.name(), found.standing)),
                Err(error) => Some(error.to_string()),
            };
            report.problems.extend(problem);
            break;
        }
    }
    Ok(())
}

/// Fetches a sample of receipts, verifies them, and shows what one flipped bit does.
fn receipts(network: &Network, readings: &[Reading], report: &mut Report) -> Result<(), Failure> {
    let node = network.site_node()?;
    let step = readings.len().div_ceil(RECEIPTS_SAMPLED).max(1);
    for (index, reading) in readings.iter().step_by(step).enumerate() {
        report.receipts_sampled += 1;
        // both ways to name a reading
        let reference = if index % 2 == 0 { reading.id().to_string() } else { reading.name().to_string() };
        let receipt = match receipt::fetch(node, &reference, RECEIPT_TIMEOUT) {
            Ok(text) => receipt::read(&text)?,
            Err(error) => {
                report.problems.push(format!("no receipt of {}: {error}", reading.name()));
                continue;
            }
        };
        match receipt.verify(&network.genesis) {
            Ok(verified) if verified.reading == *reading => {
                report.receipts_verified += 1;
                if report.proof.is_empty() {
                    report.proof = verify::sentence(&verified, &network.genesis);
                    report.flipped_bit_refused = flipped(receipt, &network.genesis);
                }
            }
            Ok(verified) => report.problems.push(format!("the receipt of {} is of {}", reading.name(), verified.reading.name())),
            Err(why) => report.problems.push(format!("the receipt of {} is refused: {why}", reading.name())),
        }
    }
    if report.flipped_bit_refused.is_none() {
        report.problems.push("a receipt with a flipped bit was not refused".to_owned());
    }
    Ok(())
}

/// Why the receipt is refused when the last bit of its reading's value is another; `None` if it is not.
fn flipped(mut receipt: Receipt, genesis: &Genesis) -> Option<String> {
    let mut bytes = receipt.reading.encode();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    receipt.reading = match Reading::decode(&bytes) {
        Ok(reading) => reading,
        Err(why) => return Some(why.to_string()),
    };
    receipt.verify(genesis).err().map(|why| why.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_bundled_data_are_the_readings_of_seventeen_homes() {
        let site = Name::new("z1").unwrap();
        let all = readings(&site, available(&site)).unwrap();
        assert!(all.len() > 6_000, "{} readings are too few", all.len());
        let homes: BTreeSet<_> = all.iter().map(|r| r.topic.device.to_string()).collect();
        assert_eq!(homes.len(), 17);
        let ids: BTreeSet<_> = all.iter().map(Reading::id).collect();
        assert_eq!(ids.len(), all.len(), "two readings have one id");
        assert!(readings(&site, all.len() + 1).is_err());
        assert!(readings(&site, 0).is_err());
    }
}
