//! Does what was bought: tells the device, waits for its report, settles the purchase.
//!
//! ```text
//! heard ─ purchase there? ─▶ bought ─ certificate holds, somebody subscribed ─▶ publish ─▶ sent ─▶ report (desk.rs)
//!                                                                                  ▲          │ no report: again, until it is due
//!                                                                                  └──────────┘
//! delivered, failed, due ─▶ Settle orders, signed by the provider ─▶ purchase gone ─▶ ended
//! ```
//! # Rules
//! - Each turn asks the ledger anew what is owed: a restart in between repeats a turn, and nothing else (SRV-6).
//! - A command may come to the device more than once, always with the same request id; the device does it once (SRV-5).
//! - That a purchase is not there says nothing before the ledger is current: a crash undoes the last milestones there, and not
//!   what this node noted of them.

use super::command::command;
use super::committees::Way;
use super::settling::Settling;
use super::store::{self, Open, State};
use crate::clock::now_us;
use crate::sqlite::{Store, StoreError};
use ledger::Purchase;
use mqtt::Broker;
use protocol::{Certificate, DeviceTopic, Id, Name, Operation, Outcome, ServiceKind, Silence, Topic};
use replica::Handle;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How often what is open is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long the broker may take for one command.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long before it is due a purchase is given back whose device said nothing, in milliseconds.
pub(crate) const MARGIN_MS: u64 = 5_000;
/// Certificates that are remembered as verified: of more purchases than are looked at in one turn.
const VERIFIED_MAX: usize = 1_024;

/// The task that does it.
pub(super) struct Gateway {
    pub(super) ledger: Handle,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) store: Arc<Store>,
    pub(super) changed: Arc<Notify>,
    /// The committees of all epochs, and what leads to them.
    pub(super) way: Arc<Mutex<Way>>,
    /// Certificates that hold.
    pub(super) verified: BTreeMap<Id, Certificate>,
    pub(super) site: Name,
    /// After how long a command is published again.
    pub(super) answer: Duration,
    pub(super) settling: Settling,
    /// When each command was published last.
    pub(super) published: BTreeMap<Id, Instant>,
    /// When this node was started, in milliseconds since 1970.
    pub(super) started_ms: u64,
    /// Up to which row those that are only heard of were looked at in the last turn; 0 if all were.
    pub(super) heard_after: i64,
}

impl Gateway {
    /// Works, for ever.
    pub(super) async fn run(mut self) {
        loop {
            match self.look().await {
                Ok(0) => self.changed.notified().await,
                Ok(_) => {
                    let _ = tokio::time::timeout(LOOK, self.changed.notified()).await; // a change is looked at at once
                }
                Err(why) => {
                    tracing::error!("services wait: {why}");
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Looks at what is open, and gives how much still is.
    async fn look(&mut self) -> Result<usize, StoreError> {
        let after = self.heard_after;
        let (open, next) = self.store.transact(move |t| store::open(t, after)).await?;
        self.heard_after = next;
        // asked first: what has no purchase after its epoch's end, or once the ledger is current, will never have one
        let time_ms = self.ledger.status().await.map_or(0, |status| status.milestone_ms);
        let current = time_ms > self.started_ms;
        let Some(epoch) = self.ledger.epoch().await.map(|record| record.epoch) else { return Ok(0) };
        let times = Times { ledger_ms: time_ms, now_ms: now_us() / 1_000 };
        // those that were not looked at in this turn come in the next ones
        let mut left = open.len() + usize::from(after != 0 || next != 0);
        let mut settle = Vec::new();
        for row in open {
            let purchase = self.ledger.purchase(row.id).await;
            let Some(purchase) = purchase else {
                left -= usize::from(self.without_purchase(&row, epoch, current).await?);
                continue;
            };
            if let Some(outcome) = self.step(&row, &purchase, times).await? {
                settle.push((row.id, outcome));
            }
        }
        self.published.retain(|_, at| at.elapsed() < self.answer);
        self.settling.give(settle).await;
        Ok(left)
    }

    /// The ledger has no purchase: it ended, or there is none yet. Whether the row is done with. `current`: the ledger has executed at
    /// least what it had executed when this node was started.
    async fn without_purchase(&mut self, row: &Open, epoch: u64, current: bool) -> Result<bool, StoreError> {
        let id = row.id;
        let too_early = !current || (row.state == State::Heard && row.request.epoch >= epoch);
        // a ledger that has stopped has no purchases either
        if too_early || self.ledger.status().await.is_none() {
            return Ok(false);
        }
        match row.state {
            State::Heard => {
                // or it was executed and settled while this node was down: then it is no business of ours any more
                self.store.transact(move |t| store::forget(t, id)).await?;
                Ok(true)
            }
            State::Executed | State::Bought | State::Sent | State::Delivered | State::Failed => {
                self.settling.ended(&id);
                self.published.remove(&id);
                self.verified.remove(&id);
                self.store.transact(move |t| store::end(t, id)).await?;
                tracing::info!(request = %id, "a purchase has ended");
                Ok(true)
            }
        }
    }

    /// Takes a purchase one step further; how it is to be settled, if it is time.
    async fn step(&mut self, row: &Open, purchase: &Purchase, times: Times) -> Result<Option<Outcome>, StoreError> {
        let (id, time) = (row.id, times.of(purchase));
        match row.state {
            _ if time == Time::Due => Ok(Some(Outcome::Due)),
            State::Delivered => Ok(Some(Outcome::Delivered)),
            State::Failed => Ok(Some(Outcome::Failed)),
            State::Heard | State::Executed => {
                self.begin(row).await?;
                self.changed.notify_one();
                Ok(None)
            }
            State::Bought | State::Sent => {
                if purchase.silence == Silence::Pay && time != Time::Early {
                    tracing::warn!(request = %id, "a device did not report in time: its purchase is given back");
                    self.store.transact(move |t| store::fail(t, id, "the device did not report in time")).await?;
                    return Ok(Some(Outcome::Failed));
                }
                // what is done too late is not paid
                if time != Time::Over && !self.published.contains_key(&id) {
                    self.publish(row).await?;
                }
                Ok(None)
            }
        }
    }

    /// A request is executed: where its command goes, or why it cannot be served.
    async fn begin(&self, row: &Open) -> Result<(), StoreError> {
        let Operation::Buy { service, .. } = row.request.operation else { return Ok(()) };
        let Some(record) = self.ledger.service(service).await else { return Ok(()) };
        let (id, served) = (row.id, self.served(&record.terms.kind));
        tracing::info!(request = %id, service = %record.name, from = %row.request.wallet, price = row.request.price, "a service was bought");
        match served {
            Ok(topic) => self.store.transact(move |t| store::bought(t, id, &topic)).await,
            Err(why) => {
                tracing::warn!(request = %id, service = %record.name, "a purchase is given back: {why}");
                self.store.transact(move |t| store::fail(t, id, &why)).await
            }
        }
    }

    /// The topic of a service's commands, if this node serves it.
    fn served(&self, kind: &ServiceKind) -> Result<String, String> {
        match kind {
            ServiceKind::Actuate(topic) if topic.site == self.site => Ok(topic.to_string()),
            ServiceKind::Actuate(topic) => Err(format!("its device is of the site {}, this node serves {}", topic.site, self.site)),
            ServiceKind::Data(_) => Err("grants on data are not served by this node yet".to_owned()),
            ServiceKind::Contract(_) => Err("calls of contracts are not served by this node yet".to_owned()),
        }
    }

    /// Publishes a command, if everything for it is there.
    async fn publish(&mut self, row: &Open) -> Result<(), StoreError> {
        let id = row.id;
        let Ok(topic) = row.topic.parse::<DeviceTopic>() else { return Ok(()) };
        let name = Topic::Fog(topic.clone()).to_string();
        if self.broker.has_subscriber(&name).await == Some(false) {
            return Ok(());
        }
        let Some(certificate) = self.certificate(row).await else { return Ok(()) };
        let (from_epoch, handovers) = locked(&self.way).tail(row.request.epoch);
        let payload = command(&topic, &certificate, from_epoch, &handovers, now_us());
        match tokio::time::timeout(PUBLISH_TIMEOUT, self.broker.command(&name, payload)).await {
            Ok(Ok(())) => {
                self.published.insert(id, Instant::now());
                self.store.transact(move |t| store::sent(t, id)).await?;
            }
            Ok(Err(why)) => tracing::debug!(topic = name, "a command waits: {why}"),
            Err(_) => tracing::debug!(topic = name, "a command waits: the broker did not take it in {} s", PUBLISH_TIMEOUT.as_secs()),
        }
        Ok(())
    }

    /// The certificate of a purchase, verified as the device will, once.
    async fn certificate(&mut self, row: &Open) -> Option<Certificate> {
        if let Some(known) = self.verified.get(&row.id) {
            return Some(known.clone());
        }
        let Some(certificate) = self.ledger.certificate(row.id).await else {
            tracing::debug!(request = %row.id, "a command waits: not all votes for it are here");
            return None;
        };
        self.reach(row.request.epoch).await?;
        let (way, unchecked) = (self.way.clone(), certificate.clone());
        let checked = tokio::task::spawn_blocking(move || locked(&way).check(&unchecked)).await;
        match checked {
            Ok(Ok(())) => {
                if self.verified.len() >= VERIFIED_MAX {
                    self.verified.clear();
                }
                self.verified.insert(row.id, certificate.clone());
                Some(certificate)
            }
            Ok(Err(why)) => {
                tracing::error!(request = %row.id, "a command waits: {why}");
                None
            }
            Err(why) => {
                tracing::error!(request = %row.id, "a command waits: {why}");
                None
            }
        }
    }

    /// Learns the committees up to that of `epoch`, each once; nothing while some handovers are not here.
    async fn reach(&self, epoch: u64) -> Option<()> {
        loop {
            let last = locked(&self.way).last();
            if last >= epoch {
                return Some(());
            }
            let more = self.ledger.head(last).await?.handovers;
            if more.is_empty() {
                return None;
            }
            let way = self.way.clone();
            // a few signatures for each epoch
            match tokio::task::spawn_blocking(move || locked(&way).extend(more)).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => {
                    tracing::error!("commands wait: {why}");
                    return None;
                }
                Err(why) => {
                    tracing::error!("commands wait: {why}");
                    return None;
                }
            }
        }
    }
}

fn locked(way: &Mutex<Way>) -> MutexGuard<'_, Way> {
    way.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What time it is.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// By the last milestone executed: orders are judged by the next one, so what is due by this one is due.
    ledger_ms: u64,
    /// By this machine's clock, which may be wrong.
    now_ms: u64,
}

/// How much time a purchase has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Time {
    /// More than the margin.
    Early,
    /// Less.
    Late,
    /// None by this machine's clock; the ledger may not say so yet.
    Over,
    /// None: whoever says that it is due is believed.
    Due,
}

impl Times {
    fn of(self, purchase: &Purchase) -> Time {
        let now_ms = self.now_ms.max(self.ledger_ms);
        match purchase.due_ms {
            due_ms if self.ledger_ms > due_ms => Time::Due,
            due_ms if now_ms > due_ms => Time::Over,
            due_ms if now_ms.saturating_add(MARGIN_MS) >= due_ms => Time::Late,
            _ => Time::Early,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::PublicKey;

    /// SRV-9: a clock that was ahead had purchases settled as due that were not, and nothing came of it until they were.
    #[test]
    fn the_ledger_says_what_is_due() {
        let (requester, provider) = (PublicKey([1; 32]), PublicKey([2; 32]));
        let purchase = Purchase { requester, provider, price: 5, due_ms: 100_000, silence: Silence::Pay };
        let time = |ledger_ms, now_ms| Times { ledger_ms, now_ms }.of(&purchase);
        assert_eq!(time(50_000, 90_000), Time::Early);
        assert_eq!(time(50_000, 95_000), Time::Late);
        assert_eq!(time(95_000, 10_000), Time::Late, "a clock that is behind");
        assert_eq!(time(90_000, 900_000), Time::Over, "a clock that is ahead");
        assert_eq!(time(100_000, 0), Time::Late);
        assert_eq!(time(100_001, 0), Time::Due);
    }
}
