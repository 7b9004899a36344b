//! What the machine decides by: the genesis and the committees that it learned of since, its service and price, and what became of
//! the requests that it took.
//!
//! ```text
//! the file of --memory:   ID UNTIL.            a request that was served, and the end of its window
//!                         ID UNTIL failed.     one that was not
//!                         committee NETWORK EPOCH KEY,KEY.
//! ```

use crate::cli::{Exit, Failure};
use crate::services::command::Command;
use crate::services::committees::Committees;
use protocol::service::REPORT_MS_MAX;
use protocol::{Committee, Genesis, Id, Operation, PublicKey};
use replica::Trusted;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Requests that are remembered. Beyond, nothing is brewed until some are too old.
const TAKEN_MAX: usize = 1 << 20;
/// How long after its window a request may still be served, in milliseconds: its purchase is due before. So what is older need not
/// be remembered.
const AGE_MS_MAX: u64 = 2 * REPORT_MS_MAX;
/// What a line says of a request that was not served.
const FAILED: &str = " failed";

/// What is to be brewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// The request that paid for it.
    pub(super) request: Id,
    /// Who paid.
    pub(super) from: PublicKey,
    /// How much, in sub-units.
    pub(super) price: u64,
    /// What was asked for.
    pub(super) what: String,
    /// Until when the request could be voted for.
    until_ms: u64,
}

/// What is to be done with a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Brew.
    Brew(Order),
    /// It was taken before: say again what became of it.
    Again {
        /// The request.
        request: Id,
        /// Whether it was served.
        delivered: bool,
    },
}

/// A request that was taken.
#[derive(Clone, Copy, Debug)]
struct Taken {
    until_ms: u64,
    delivered: bool,
}

/// The machine.
pub(super) struct Machine {
    committees: Committees,
    service: Id,
    price: u64,
    taken: BTreeMap<Id, Taken>,
    memory: Option<(PathBuf, File)>,
}

impl Machine {
    /// A machine that is a service at a price, and remembers in `memory` what it served and learned.
    ///
    /// # Errors
    /// [`Failure`] if the file cannot be used.
    pub(super) fn open(genesis: Genesis, service: Id, price: u64, memory: Option<&Path>) -> Result<Self, Failure> {
        let (mut taken, mut committees) = (BTreeMap::new(), Committees::new(genesis));
        let memory = match memory {
            None => None,
            Some(path) => {
                let failure = |e: std::io::Error| Failure::file(path, &e, "name a file that can be read and written with --memory");
                let file = OpenOptions::new().create(true).append(true).open(path).map_err(failure)?;
                // a last line that was cut off by a kill was not served yet
                let text = std::fs::read_to_string(path).map_err(failure)?;
                taken.extend(text.lines().filter_map(request_in));
                for line in text.lines() {
                    if let Some((epoch, committee)) = committee_in(line, committees.genesis()) {
                        committees.know(epoch, committee);
                    }
                }
                Some((path.to_path_buf(), file))
            }
        };
        Ok(Self { committees, service, price, taken, memory })
    }

    /// Takes over the committee that somebody knows who followed the network.
    ///
    /// # Errors
    /// [`Failure`] if the file of the memory refuses.
    pub(super) fn believe(&mut self, trusted: &Trusted) -> Result<(), Failure> {
        let before = self.committees.last();
        if trusted.epoch() > before {
            self.committees.know(trusted.epoch(), trusted.committee().clone());
            self.note_committees(before)?;
        }
        Ok(())
    }

    /// Writes down the committees of the epochs after `before`.
    fn note_committees(&mut self, before: u64) -> Result<(), Failure> {
        let network = self.committees.genesis().network();
        let mut text = String::new();
        for (epoch, committee) in self.committees.after(before) {
            let keys: Vec<String> = committee.validators().iter().map(|member| member.key.to_string()).collect();
            text.push_str(&format!("\ncommittee {network} {epoch} {}.\n", keys.join(",")));
        }
        if text.is_empty() { Ok(()) } else { self.write(&text) }
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        let Some((path, file)) = &mut self.memory else { return Ok(()) };
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
        written.map_err(|e| Failure::new(Exit::Fault, e, path.display(), "see that the disk is neither full nor read-only"))
    }

    /// What is to be done with a command at `now_ms`, or why it is not obeyed.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn judge(&mut self, payload: &[u8], now_ms: u64) -> Result<Judgement, String> {
        let command = Command::read(payload).map_err(|why| why.to_string())?;
        let before = self.committees.last();
        let verified = command.verify(&mut self.committees);
        // what was learned holds, whatever the certificate says
        self.note_committees(before).map_err(|why| why.to_string())?;
        verified.map_err(|why| why.to_string())?;
        let request = &command.certificate.request;
        let Operation::Buy { service, argument } = &request.operation else { return Err("it buys nothing".to_owned()) };
        if *service != self.service {
            return Err("it buys another service".to_owned());
        }
        if request.price < self.price {
            return Err(format!("it pays {} sub-units, {} are needed", request.price, self.price));
        }
        if let Some(Taken { delivered, .. }) = self.taken.get(&command.request).copied() {
            return Ok(Judgement::Again { request: command.request, delivered });
        }
        if request.until_ms.saturating_add(AGE_MS_MAX) < now_ms {
            return Err("it is too old".to_owned());
        }
        if self.taken.len() >= TAKEN_MAX {
            self.taken.retain(|_, taken| taken.until_ms.saturating_add(AGE_MS_MAX) >= now_ms);
        }
        if self.taken.len() >= TAKEN_MAX {
            return Err("the machine can remember no more requests".to_owned());
        }
        let what: String = String::from_utf8_lossy(argument).chars().filter(|c| !c.is_control()).collect();
        let what = if what.is_empty() { "an espresso".to_owned() } else { what };
        Ok(Judgement::Brew(Order {
            request: command.request,
            from: request.wallet,
            price: request.price,
            what,
            until_ms: request.until_ms,
        }))
    }

    /// Notes that an order is served, or will not be.
    ///
    /// # Errors
    /// [`Failure`] if the file refuses: then nothing may be brewed.
    pub(super) fn remember(&mut self, order: &Order, delivered: bool) -> Result<(), Failure> {
        let failed = if delivered { "" } else { FAILED };
        self.write(&format!("\n{} {}{failed}.\n", order.request, order.until_ms))?;
        self.taken.insert(order.request, Taken { until_ms: order.until_ms, delivered });
        Ok(())
    }
}

/// A request out of a line of the memory. A line that was cut off is none.
fn request_in(line: &str) -> Option<(Id, Taken)> {
    let (id, rest) = line.strip_suffix('.')?.split_once(' ')?;
    let (until_ms, delivered) = match rest.strip_suffix(FAILED) {
        Some(until_ms) => (until_ms, false),
        None => (rest, true),
    };
    Some((id.parse().ok()?, Taken { until_ms: until_ms.parse().ok()?, delivered }))
}

/// A committee of this network out of a line of the memory.
fn committee_in(line: &str, genesis: &Genesis) -> Option<(u64, Committee)> {
    let mut parts = line.strip_suffix('.')?.strip_prefix("committee ")?.split(' ');
    let (network, epoch, keys) = (parts.next()?, parts.next()?, parts.next()?);
    if network != genesis.network().to_string() {
        return None;
    }
    let keys = keys.split(',').map(|key| key.parse::<PublicKey>()).collect::<Result<Vec<_>, _>>().ok()?;
    Some((epoch.parse().ok()?, Committee::from_keys(&keys, genesis).ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::services::command::command;
    use crate::services::command::tests::{certified, certified_in, epochs, handover, network};
    use protocol::{Certificate, Handover};

    const NOW_MS: u64 = 1_750_000_030_000;
    const SERVICE: Id = Id([5; 32]);

    fn payload(certificate: &Certificate) -> Vec<u8> {
        command(&"z1/espresso/act/brew".parse().unwrap(), certificate, 0, &[], NOW_MS * 1_000)
    }

    /// SRV-5, SRV-10
    #[test]
    fn it_brews_once_and_remembers_after_a_restart() {
        let (genesis, keys) = network();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("brewed.txt");
        let paid = payload(&certified(&genesis, &keys, SERVICE, 2, 3));
        let mut machine = Machine::open(genesis.clone(), SERVICE, 2, Some(&path)).unwrap();
        let Ok(Judgement::Brew(order)) = machine.judge(&paid, NOW_MS) else { panic!("it does not brew") };
        assert_eq!((order.price, order.what.as_str()), (2, "lungo"));
        machine.remember(&order, true).unwrap();
        let again = Judgement::Again { request: order.request, delivered: true };
        assert_eq!(machine.judge(&paid, NOW_MS), Ok(again.clone()));
        // a kill in the middle of a line spoils that line only
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("\n0505");
        std::fs::write(&path, text).unwrap();
        let mut machine = Machine::open(genesis, SERVICE, 2, Some(&path)).unwrap();
        assert_eq!(machine.judge(&paid, NOW_MS), Ok(again));
    }

    /// SRV-5: a machine that reported "failed" brewed at the next repetition, when it was repaired: for a buyer who had been paid back.
    #[test]
    fn what_failed_is_not_brewed_later() {
        let (genesis, keys) = network();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("brewed.txt");
        let paid = payload(&certified(&genesis, &keys, SERVICE, 2, 3));
        let mut machine = Machine::open(genesis.clone(), SERVICE, 2, Some(&path)).unwrap();
        let Ok(Judgement::Brew(order)) = machine.judge(&paid, NOW_MS) else { panic!("it does not brew") };
        machine.remember(&order, false).unwrap();
        let again = Judgement::Again { request: order.request, delivered: false };
        assert_eq!(machine.judge(&paid, NOW_MS), Ok(again.clone()));
        let mut machine = Machine::open(genesis, SERVICE, 2, Some(&path)).unwrap();
        assert_eq!(machine.judge(&paid, NOW_MS), Ok(again));
    }

    /// SRV-10: what was learned of committees outlives the process, so that later commands need only the last handovers.
    #[test]
    fn it_remembers_the_committees_that_it_learned_of() {
        let (genesis, keys) = epochs();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("brewed.txt");
        let handovers: Vec<Handover> = (0..5).map(|epoch| handover(&genesis, &keys, epoch)).collect();
        let command_of = |epoch: usize, from: usize| {
            let certificate = certified_in(&genesis, &keys, SERVICE, 2, 3, epoch as u64);
            let topic = "z1/espresso/act/brew".parse().unwrap();
            command(&topic, &certificate, from as u64, handovers.get(from..epoch).unwrap(), NOW_MS * 1_000)
        };
        let open = |genesis: &Genesis| Machine::open(genesis.clone(), SERVICE, 2, Some(&path)).unwrap();
        assert!(open(&genesis).judge(&command_of(5, 3), NOW_MS).unwrap_err().contains("begin at epoch 3"));
        assert!(matches!(open(&genesis).judge(&command_of(3, 0), NOW_MS), Ok(Judgement::Brew(_))));
        assert!(matches!(open(&genesis).judge(&command_of(5, 3), NOW_MS), Ok(Judgement::Brew(_))));
        assert_eq!(open(&genesis).committees.last(), 5);
        let mut other = genesis.clone();
        other.created_ms += 1;
        assert_eq!(open(&other).committees.last(), 0, "they are of another network");
    }

    /// SRV-5
    #[test]
    fn it_brews_for_its_own_service_and_price_only() {
        let (genesis, keys) = network();
        let mut machine = Machine::open(genesis.clone(), SERVICE, 2, None).unwrap();
        let mut refusal = |certificate: &Certificate, at| machine.judge(&payload(certificate), at).unwrap_err();
        let good = certified(&genesis, &keys, SERVICE, 2, 3);
        assert!(refusal(&certified(&genesis, &keys, SERVICE, 1, 3), NOW_MS).contains("pays 1"));
        assert!(refusal(&certified(&genesis, &keys, Id([6; 32]), 2, 3), NOW_MS).contains("another service"));
        assert!(refusal(&certified(&genesis, &keys, SERVICE, 2, 2), NOW_MS).contains("3 are needed"));
        assert!(refusal(&good, NOW_MS + 2 * AGE_MS_MAX).contains("too old"));
        assert!(machine.judge(b"brew!", NOW_MS).unwrap_err().contains("no command"));
        assert!(machine.judge(br#"[{"vs":"lungo"}]"#, NOW_MS).unwrap_err().contains("no certificate"));
    }
}
