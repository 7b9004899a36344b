//! Follows the ledger and reads what sites tell each other.
//!
//! ```text
//! milestone ─▶ its messages ─▶ records ─┬─ request for a device here ─▶ judge ─▶ store (one transaction) ─▶ delivery
//!                                       ├─ request of a device here ──▶ "confirmed"
//!                                       ├─ answer to one ─────────────▶ "delivered", "declined", "expired"
//!                                       └─ visit, handover, parcel ───▶ roaming
//! ```
//! Rules: REQ-7 to REQ-12 of `docs/spec/requests.md`. A milestone may come twice; the store knows what it has.

use super::counters::{Counters, count};
use super::issuing::Jobs;
use super::notices::Notices;
use super::payload::Notice;
use super::policy::{Acceptance, Policy};
use super::roaming::Roaming;
use super::store::{self, Incoming, Taken};
use super::{AHEAD_US_MAX, Told};
use crate::config::AGE_S_MAX;
use crate::devices::standing;
use crate::following::{Following, Milestone, News, place};
use crate::sqlite::{Store, StoreError};
use mqtt::Registered;
use protocol::exchange::{Answer, Record, Verdict, records};
use protocol::limits::ANSWER_REASON_BYTES_MAX;
use protocol::{Body, DeviceName, DeviceRequest, Id, Name, NetworkId, PublicKey};
use replica::Handle;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};

/// Events that may wait before the subscription is lost; then everything since is asked for.
pub(super) const EVENTS_MAX: usize = 1024;
/// Requests of one milestone that are told that they are refused. Each answer costs this site, and anybody may ask for anything.
const REFUSALS_TOLD_MAX: usize = 32;
/// The pause after the store has failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The task that follows.
pub(super) struct Follower {
    pub(super) ledger: Handle,
    pub(super) following: Following,
    pub(super) me: PublicKey,
    pub(super) network: NetworkId,
    pub(super) site: Name,
    /// The rules on requests; none: they are not for us.
    pub(super) policy: Option<Policy>,
    pub(super) max_age_us: u64,
    pub(super) hold_ms: u64,
    pub(super) store: Arc<Store>,
    pub(super) jobs: Jobs,
    pub(super) notices: Notices,
    pub(super) counters: Arc<Counters>,
    pub(super) roaming: Option<Arc<Roaming>>,
    /// Held by the issuer from a message's issue until it is noted.
    pub(super) gate: Arc<Mutex<()>>,
    /// Told when there is something to hand to the broker.
    pub(super) held: Arc<Notify>,
}

impl Follower {
    /// Follows until the ledger stops.
    pub(super) async fn run(mut self) {
        while let Some(news) = self.following.next().await {
            match news {
                News::Milestone(milestone) => self.milestone(&milestone).await,
                // what it told is lost to this site
                News::Missed => count(&self.counters.missed),
                News::Spends(_) | News::Lost => {}
            }
        }
    }

    async fn milestone(&mut self, milestone: &Milestone) {
        let mut told = Vec::new();
        for id in &milestone.messages {
            let Some(found) = self.ledger.message(*id).await else {
                count(&self.counters.missed);
                continue;
            };
            let Body::Data(data) = &found.message.body else { continue };
            match records(data) {
                None => {}
                Some(Ok(records)) => {
                    let from = Told { message: *id, issuer: found.message.issuer, height: milestone.height, time_ms: milestone.time_ms };
                    told.extend(records.into_iter().map(|record| (from, record)));
                }
                Some(Err(why)) => {
                    count(&self.counters.malformed);
                    tracing::debug!(message = %id, "what a site told cannot be read: {why}");
                }
            }
        }
        // what comes first was told first, and is done first: until it is on the disk nothing follows
        while let Err(why) = self.read(milestone, &told).await {
            tracing::error!(height = milestone.height, "the site cannot follow what others tell: {why}; trying again");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn read(&mut self, milestone: &Milestone, told: &[(Told, Record)]) -> Result<(), StoreError> {
        let mut incoming = Vec::new();
        for (from, record) in told {
            match record {
                Record::Request(request) => {
                    if request.from.site == self.site && from.issuer == self.me {
                        self.confirmed(*from, request).await?;
                    }
                    if request.to.site == self.site && self.policy.is_some() {
                        incoming.push(self.judge(*from, request).await);
                    }
                }
                Record::Answer(answer) => self.answered(*from, answer).await?,
                Record::Visit(visit) => {
                    if let Some(roaming) = &self.roaming {
                        roaming.visit(*from, visit).await?;
                    }
                }
                Record::Handover(departure) => {
                    if let Some(roaming) = &self.roaming {
                        roaming.handover(*from, departure).await?;
                    }
                }
                Record::Parcel(parcel) => {
                    if let Some(roaming) = &self.roaming {
                        roaming.parcel(*from, parcel).await?;
                    }
                }
            }
        }
        if !told.is_empty() || self.following.is_due() {
            self.take(milestone, incoming).await?;
            self.following.noted();
        }
        Ok(())
    }

    /// A request for a device of this site: whether it is to be taken.
    async fn judge(&self, from: Told, request: &DeviceRequest) -> Incoming {
        let refused = self.refusal(from, request).await;
        let end_us = request.time_us.saturating_add(AGE_S_MAX.saturating_mul(1_000_000)).saturating_add(AHEAD_US_MAX);
        Incoming {
            request: request.clone(),
            message: from.message,
            height: from.height,
            time_ms: from.time_ms,
            refused,
            slot_until_ms: end_us / 1_000,
            hold_until_ms: from.time_ms.saturating_add(self.hold_ms),
        }
    }

    /// Why a request is not taken.
    async fn refusal(&self, from: Told, request: &DeviceRequest) -> Option<String> {
        let acceptance = self.policy.as_ref().map_or(Acceptance::Denied, |policy| policy.accepts(&request.from, &request.to));
        if acceptance == Acceptance::Denied {
            return Some(format!("no rule of the site {} accepts it", self.site));
        }
        let now_us = from.time_ms.saturating_mul(1_000);
        if request.time_us > now_us.saturating_add(AHEAD_US_MAX) {
            return Some("its time lies ahead".to_owned());
        }
        if request.time_us.saturating_add(self.max_age_us) < now_us {
            return Some("it was too old when it was confirmed".to_owned());
        }
        let registered = self.ledger.device(request.from.clone()).await.map_or(Registered::Unknown, |record| standing(&record));
        match (registered, request.signed) {
            (Registered::Revoked, _) => Some("the device that asks was revoked".to_owned()),
            (Registered::Signs(key), Some(signed)) if signed.key == key && request.is_authentic(&self.network) => None,
            (Registered::Signs(_), Some(_)) => Some("the signature is not that of the registered key of the device that asks".to_owned()),
            (Registered::Signs(_), None) => Some("the device that asks has a key and did not sign".to_owned()),
            (Registered::Unknown | Registered::Unsigned, Some(_)) => Some("the device that asks has no registered key".to_owned()),
            (Registered::Unknown | Registered::Unsigned, None) if acceptance != Acceptance::Any => {
                Some("only signed requests are accepted".to_owned())
            }
            (Registered::Unknown | Registered::Unsigned, None) => match self.speaks_for(from.issuer, &request.from.site).await {
                true => None,
                false => Some(format!("the site {} does not name the node that issued it as its gateway", request.from.site)),
            },
        }
    }

    /// Whether a node may speak for a site's devices: its owner named it, or it is this very node and site.
    async fn speaks_for(&self, node: PublicKey, site: &Name) -> bool {
        if *site == self.site && node == self.me {
            return true;
        }
        self.ledger.site(site.clone()).await.is_some_and(|known| known.gateways.contains(&node))
    }

    /// Takes what is to be taken, with the height, in one transaction; then answers.
    async fn take(&self, milestone: &Milestone, incoming: Vec<Incoming>) -> Result<(), StoreError> {
        let (height, time_ms) = (milestone.height, milestone.time_ms);
        let requests: Vec<Id> = incoming.iter().map(|i| i.request.id()).collect();
        let trim = self.counters.trim_is_due(incoming.len());
        let taken = self.store.transact(move |t| {
            let taken = incoming.iter().map(|i| store::take(t, i)).collect::<rusqlite::Result<Vec<_>>>()?;
            store::forget_slots(t, time_ms)?;
            place::set_height(t, height)?;
            if trim {
                store::trim(t)?;
            }
            Ok(taken)
        });
        let mut refusals = 0;
        for (request, taken) in requests.into_iter().zip(taken.await?) {
            refusals += usize::from(matches!(taken, Taken::Refused(_) | Taken::Used));
            let told = refusals <= REFUSALS_TOLD_MAX;
            match taken {
                Taken::Held => {
                    count(&self.counters.accepted);
                    self.held.notify_one();
                }
                Taken::Refused(why) => {
                    count(&self.counters.declined);
                    self.refuse(told, request, &why);
                }
                Taken::Used => {
                    count(&self.counters.replayed);
                    self.refuse(told, request, "the device has used this number for another request, less than a day ago");
                }
                Taken::Replayed => {
                    count(&self.counters.replayed);
                    tracing::debug!(%request, "a request came again, in another message");
                }
                Taken::Known => {}
            }
        }
        Ok(())
    }

    /// Answers that a request is refused, if that is to be told.
    fn refuse(&self, told: bool, request: Id, why: &str) {
        let mut reason: String = why.chars().filter(|c| !c.is_control()).collect();
        reason.truncate(reason.floor_char_boundary(ANSWER_REASON_BYTES_MAX));
        if !told || !self.jobs.mention(Record::Answer(Answer { request, verdict: Verdict::Refused, reason })) {
            count(&self.counters.dropped);
        }
    }

    /// A request that this node issued is confirmed: its device is told.
    async fn confirmed(&self, from: Told, request: &DeviceRequest) -> Result<(), StoreError> {
        let (id, row) = (request.id(), request.clone());
        // what is being issued is noted first
        drop(self.gate.lock().await);
        let news = self.store.transact(move |t| store::confirmed(t, &row, from.message, from.height, from.time_ms)).await?;
        if news {
            count(&self.counters.confirmed);
            let notice = Notice {
                number: Some(request.number),
                to: Some(request.to.to_string()),
                state: "confirmed",
                request: Some(id),
                message: Some(from.message),
                height: Some(from.height),
                ..Notice::default()
            };
            self.notices.tell(request.from.clone(), notice);
        }
        Ok(())
    }

    /// The site of a target has answered: if it is that site, the device that asked is told.
    async fn answered(&self, from: Told, answer: &Answer) -> Result<(), StoreError> {
        let id = answer.request;
        let Some(target) = self.store.transact(move |t| store::target(t, id)).await? else { return Ok(()) };
        let Ok(target) = target.parse::<protocol::DeviceTopic>() else { return Ok(()) };
        if !self.may_answer(from.issuer, &target.site).await {
            tracing::debug!(request = %id, issuer = %from.issuer, "an answer by a node that does not speak for the target's site");
            return Ok(());
        }
        let state = match answer.verdict {
            Verdict::Delivered => "delivered",
            Verdict::Refused => "declined",
            Verdict::Expired => "expired",
        };
        let reason = answer.reason.clone();
        let told = self.store.transact(move |t| store::answered(t, id, (state, reason.as_str()), from.time_ms)).await?;
        if let Some((sender, target, number)) = told
            && let Ok(sender) = sender.parse::<DeviceName>()
        {
            let notice = Notice {
                number: number.parse().ok(),
                to: Some(target),
                state,
                reason: (!answer.reason.is_empty()).then(|| answer.reason.clone()),
                request: Some(id),
                ..Notice::default()
            };
            self.notices.tell(sender, notice);
        }
        Ok(())
    }

    /// Whether a node may answer for a site: a gateway of it; anybody if the site's owner names none.
    async fn may_answer(&self, node: PublicKey, site: &Name) -> bool {
        if *site == self.site {
            return node == self.me;
        }
        match self.ledger.site(site.clone()).await {
            Some(known) => known.gateways.is_empty() || known.gateways.contains(&node),
            None => true,
        }
    }
}
