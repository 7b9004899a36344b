//! The ledger node's way in where it is a process of its own: it takes what the fog processor publishes, and what the cache
//! says is pending, into its own log, and says what is published. The rules are ROLE-9, ROLE-11 and ROLE-13.
//!
//! | from | is | answer |
//! |---|---|---|
//! | `root/fog/x` | new, or in the window of the log | PUBACK when it is durable |
//! | `root/cache/<site>/pending` | on the ledger, confirmed | named on `root/node/<site>/tangle` again |
//! | | on the ledger, not confirmed; or in the window of the log | its notice will come |
//! | | neither | as on `root/fog/x` |
//! | both | not to be believed | `root/fog/<site>/rejected`, with its time: the cache forgets it |
//!
//! At most once: a reading is in the window while it is in the log and not confirmed, because what is pending is taken only
//! while that is not more than the window holds. What is anchored is in the index.

use super::mouth::Mouth;
use super::{Reach, now_us};
use crate::index::{Lookup, LookupError};
use edge::payload::Told;
use futures::future::join_all;
use mqtt::roles::{Arrived, Carrier, Desk, Judgement, Judging, Outgoing, Service, link, parse_fog, parse_pending, told};
use mqtt::{AppendError, Broker, Ingress, Outcome, PassedOn, Refusal, SiteLog};
use protocol::{DeviceTopic, Id, Name, Reading, ReadingName, Topic};
use replica::Standing;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How long pending readings wait for the log's backlog to shrink, and how often that is looked at.
const BACKLOG_WAIT: Duration = Duration::from_secs(60);
const BACKLOG_LOOK: Duration = Duration::from_millis(100);

/// What the way in needs of a site.
pub(crate) struct LedgerParts {
    /// Judges and keeps.
    pub(crate) ingress: Arc<Ingress>,
    /// The site's log.
    pub(crate) log: SiteLog,
    /// How many publishes the log remembers.
    pub(crate) window: usize,
    /// Finds what is anchored.
    pub(crate) lookup: Lookup,
    /// The replica.
    pub(crate) ledger: replica::Handle,
}

struct LedgerDesk {
    site: Name,
    parts: LedgerParts,
    mouth: Mouth,
    carrier: Arc<Carrier>,
}

/// Connects the ledger node to the site's broker.
///
/// # Errors
/// If what is configured for the broker cannot be used.
pub(crate) fn connect(reach: &Reach, parts: LedgerParts) -> anyhow::Result<Arc<dyn Broker>> {
    let carrier = reach.carrier(Service::Ledger, 0)?;
    let mouth = Mouth::open(carrier.clone());
    let desk = Arc::new(LedgerDesk { site: reach.site.clone(), parts, mouth, carrier: carrier.clone() });
    let receiver = reach.receiver(Service::Ledger, desk)?;
    Ok(link(reach.url.clone(), receiver, carrier))
}

impl Desk for LedgerDesk {
    fn take(self: Arc<Self>, arrived: Arrived) -> Judging {
        Box::pin(async move { self.judge(arrived).await })
    }

    /// The node is back: the cache may say what is pending.
    fn subscribed(&self) {
        let (carrier, topic) = (self.carrier.clone(), Topic::Active(self.site.clone()).to_string());
        let payload = json!({ "at_ms": now_us() / 1_000 }).to_string().into_bytes();
        tokio::spawn(async move {
            if let Err(why) = carrier.publish(Outgoing::plain(topic, payload)).await {
                tracing::debug!(%why, "nobody hears that this node is back");
            }
        });
    }
}

/// What the ledger has of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Has {
    /// It is confirmed, or was and is dropped here.
    Confirmed,
    /// It is in a message.
    Anchored,
    /// Nothing.
    Nothing,
}

impl LedgerDesk {
    async fn judge(&self, arrived: Arrived) -> Judgement {
        match arrived.topic.parse::<Topic>() {
            Ok(Topic::Fog(topic)) if topic.site == self.site && !arrived.command => self.processed(&topic, arrived).await,
            Ok(Topic::Pending(site)) if site == self.site => self.pending(&arrived).await,
            _ => Judgement::Settled,
        }
    }

    /// Takes a publish of the fog processor.
    async fn processed(&self, topic: &DeviceTopic, arrived: Arrived) -> Judgement {
        let mut readings = match parse_fog(topic, &arrived.payload, arrived.reading.as_deref(), now_us()) {
            Ok(readings) => readings,
            Err(why) => {
                tracing::warn!(%topic, %why, "a publish of the fog processor means nothing, and is left");
                return Judgement::Settled;
            }
        };
        let time_us = readings.first().map_or(0, |reading| reading.time_us);
        let told = match readings.pop() {
            Some(reading) if readings.is_empty() => told(reading),
            Some(reading) => {
                readings.push(reading);
                Told::Readings(readings)
            }
            None => return Judgement::Settled,
        };
        // a number says nothing of what comes by several ways, so the ledger is asked
        if let Told::Signed(signed) = &told
            && self.has_signed(topic, signed.time_us, signed.sequence).await != Has::Nothing
        {
            return Judgement::Settled;
        }
        let passed = PassedOn { topic: topic.clone(), told, origin: arrived.fingerprint(), dup: arrived.dup };
        self.take(passed, time_us).await
    }

    async fn take(&self, passed: PassedOn, time_us: u64) -> Judgement {
        let topic = passed.topic.clone();
        match self.parts.ingress.take(passed).await {
            Ok(Outcome::Stored { .. } | Outcome::Duplicate | Outcome::Requested | Outcome::Reported) => Judgement::Settled,
            Ok(Outcome::Rejected(rejection)) => self.reject(&topic, time_us, &rejection.reason, rejection.bytes),
            Err(Refusal::Store(AppendError::Invalid(why))) => self.reject(&topic, time_us, &why, 0),
            Err(Refusal::Store(_)) => Judgement::Later,
            Err(why) => self.reject(&topic, time_us, &why.to_string(), 0),
        }
    }

    /// Says that a reading never will be published; the cache need not keep it.
    fn reject(&self, topic: &DeviceTopic, time_us: u64, reason: &str, bytes: usize) -> Judgement {
        let topic = Topic::Fog(topic.clone()).to_string();
        tracing::warn!(%topic, time_us, %reason, "a processed reading is rejected");
        let told = json!({ "topic": topic, "reason": reason, "bytes": bytes, "time_us": time_us }).to_string();
        self.mouth.tell(vec![(Topic::Rejected(self.site.clone()).to_string(), told.into_bytes())]);
        Judgement::Settled
    }

    /// Takes what the cache says is pending: all of it, or nothing is acknowledged.
    async fn pending(&self, arrived: &Arrived) -> Judgement {
        let readings = match parse_pending(&arrived.payload, &self.site, now_us()) {
            Ok(readings) => readings,
            Err(why) => {
                tracing::warn!(%why, "what the cache says is pending means nothing, and is left");
                return Judgement::Settled;
            }
        };
        if !self.has_room(readings.len()).await {
            return Judgement::Later;
        }
        let (mut published, mut fresh) = (Vec::new(), Vec::new());
        let mut standings = HashMap::new();
        for reading in readings {
            match self.has(&reading, &mut standings).await {
                Has::Confirmed => published.push((reading.topic, reading.time_us)),
                Has::Anchored => {}
                Has::Nothing => fresh.push(reading),
            }
        }
        let taken = fresh.into_iter().map(|reading| {
            let (topic, time_us) = (reading.topic.clone(), reading.time_us);
            self.take(PassedOn { topic, told: told(reading), origin: None, dup: false }, time_us)
        });
        let all = join_all(taken).await.into_iter().all(|judgement| judgement == Judgement::Settled);
        let tangle = Topic::Tangle(self.site.clone()).to_string();
        self.mouth.tell(mqtt::notices::notices(&published).into_iter().map(|notice| (tangle.clone(), notice)).collect());
        if all { Judgement::Settled } else { Judgement::Later }
    }

    /// Waits until the log would still know all that is not confirmed if `more` came to it.
    async fn has_room(&self, more: usize) -> bool {
        let start = tokio::time::Instant::now();
        let full = || self.parts.log.stats().pending_readings.saturating_add(more as u64) > self.parts.window as u64;
        while full() {
            if start.elapsed() > BACKLOG_WAIT {
                return false;
            }
            tokio::time::sleep(BACKLOG_LOOK).await;
        }
        true
    }

    async fn has(&self, reading: &Reading, standings: &mut HashMap<Id, bool>) -> Has {
        if let Told::Signed(signed) = told(reading.clone()) {
            return self.has_signed(&reading.topic, signed.time_us, signed.sequence).await;
        }
        // by name first: what the ledger never had costs least to miss so
        let id = reading.id();
        let found = match self.parts.lookup.by_name(&ReadingName { topic: reading.topic.clone(), time_us: reading.time_us }).await {
            Ok(Some(found)) if found.reading.id() != id => self.parts.lookup.by_id(id).await,
            found => found,
        };
        match found {
            Ok(Some(found)) => {
                let message = found.anchored.message;
                let confirmed = match standings.get(&message) {
                    Some(confirmed) => *confirmed,
                    None => self.is_confirmed(message).await,
                };
                standings.insert(message, confirmed);
                if confirmed { Has::Confirmed } else { Has::Anchored }
            }
            Ok(None) => Has::Nothing,
            Err(why) => unknown(&why),
        }
    }

    async fn has_signed(&self, topic: &DeviceTopic, time_us: u64, sequence: u64) -> Has {
        match self.parts.lookup.by_name(&ReadingName { topic: topic.clone(), time_us }).await {
            Ok(Some(found)) if found.reading.sequence == Some(sequence) && found.reading.signed.is_some() => {
                if self.is_confirmed(found.anchored.message).await { Has::Confirmed } else { Has::Anchored }
            }
            Ok(_) => Has::Nothing,
            Err(why) => unknown(&why),
        }
    }

    async fn is_confirmed(&self, message: Id) -> bool {
        let record = self.parts.ledger.message(message).await;
        record.is_some_and(|record| matches!(record.standing, Standing::Confirmed { .. } | Standing::Settled))
    }
}

/// What is dropped was confirmed once. What the index cannot say is asked again: the cache keeps it.
fn unknown(why: &LookupError) -> Has {
    match why {
        LookupError::Dropped(_) => Has::Confirmed,
        why => {
            tracing::warn!(%why, "whether a pending reading is on the ledger is not known now");
            Has::Anchored
        }
    }
}
