//! What the embedded broker asks us, and what we answer.
//!
//! | hook | answer |
//! |---|---|
//! | authenticate | who the client is ([`Doorman`]), nobody as superuser; a will must name a topic its client may publish to |
//! | check a subscription | whether the client may read it, and has room for it |
//! | check a publish (before PUBACK, PUBREC, routing) | see the next table; the reading is on the disk before we answer |
//! | publish of a will | recorded; one whose client lost its right is turned to a topic that nobody reads |
//! | connected, disconnected, terminated | counted, for the stop; told to the doorman; a fault of the client is counted |
//!
//! | verdict | MQTT 5 | MQTT 3.1.1 | routed |
//! |---|---|---|---|
//! | stored | success | PUBACK | yes |
//! | duplicate | 0x10, a success | PUBACK | no: its original was |
//! | malformed payload | 0x99 payload format invalid, with the reason | PUBACK: sending it again would not help | no |
//! | topic not allowed, or not the client's | 0x87 not authorised, with the reason | connection closed | no |
//! | beyond the client's rate | 0x97 quota exceeded | waits, then connection closed | no |
//! | too large | 0x83, with the reason | connection closed | no |
//! | cannot be stored now | 0x97 quota exceeded | connection closed, so that it is sent again | no |
//! | against the protocol (`faults.rs`) | connection closed | connection closed | no |
//! | sent to its keeper, which does not answer (`keepers`) | connection closed, so that it is sent again | the same | no |
//!
//! MQTT 3.1.1 has no negative PUBACK. Whatever is not closed is acknowledged, so what must not be believed to be kept
//! closes the connection. At QoS 0 nobody waits for an answer: only a topic that is not allowed closes.

use super::doorman::{Doorman, Session};
use super::faults::{fault, is_fault};
use super::keepers::{Keepers, Kept};
use crate::access::{Admission, Refused, Verdict as Permission};
use crate::broker::{Relay, TOPIC_BYTES_MAX};
use crate::ingress::{self, Ingress, Outcome, Refusal};
use crate::log::AppendError;
use crate::roles::Area;
use crate::tiers::Tiers;
use async_trait::async_trait;
use edge::payload::PAYLOAD_BYTES_MAX;
use protocol::{Name, Topic};
use rmqtt::codec::types::MQTT_LEVEL_5;
use rmqtt::codec::v5::PublishAckReason;
use rmqtt::context::ServerContext;
use rmqtt::hook::{Handler, HookResult, Parameter, ReturnType, Type};
use rmqtt::types::{FromType, Id, Publish, PublishAclResult, PublishResult, QoS, SubscribeAclResult};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::mpsc;

/// What the hooks share. It lets go of the log when it is closed, which the broker's own state never does.
pub(super) struct Gate {
    site: Name,
    doorman: Arc<Doorman>,
    /// `root/device/<site>/`: what is published below is ingested.
    own_devices: String,
    /// The same of the sites whose devices may come here.
    guests: Vec<String>,
    /// `root/node/<site>/active`.
    active: String,
    open: RwLock<Option<Arc<Open>>>,
    clients: AtomicI64,
}

/// Who keeps what devices publish.
pub(super) enum Intake {
    /// This process, in its log.
    Ingress(Arc<Ingress>),
    /// Other processes, in theirs.
    Keepers(Keepers),
}

struct Open {
    intake: Intake,
    relay: Relay,
    on_active: Option<mpsc::Sender<()>>,
}

/// Where a will goes whose client lost its right: wildcards do not reach what begins with `$`.
const VOID_TOPIC: &str = "$wattle/void";

/// What the client may do with a topic.
enum Permit {
    /// Its publish is for the ingress, which says what is wrong with the topic, if anything.
    Ingest,
    /// It says that a ledger node is back.
    Active,
    /// It is for subscribers only.
    Route,
    /// It is not the client's.
    Deny(String),
}

/// What becomes of a publish.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Acknowledge and give it to subscribers.
    Route,
    /// Acknowledge under this code, and give it to nobody.
    Settle(PublishAckReason, String),
    /// Do not acknowledge; `always`: close a 3.1.1 connection even at QoS 0.
    Refuse { code: PublishAckReason, why: String, always: bool },
    /// Close the connection, whatever it speaks: no packet of the protocol is like this.
    Close(&'static str),
    /// Nobody knows whether it is kept: close the connection, so that it is sent again and says so (DUP).
    Doubt,
}

impl Gate {
    pub(super) fn new(site: Name, doorman: Arc<Doorman>, intake: Intake, relay: Relay, on_active: Option<mpsc::Sender<()>>) -> Self {
        let open = RwLock::new(Some(Arc::new(Open { intake, relay, on_active })));
        let active = Topic::Active(site.clone()).to_string();
        let own_devices = format!("root/device/{site}/");
        let guests = doorman.authority().visitors().iter().map(|home| format!("root/device/{home}/")).collect();
        Self { site, doorman, own_devices, guests, active, open, clients: AtomicI64::new(0) }
    }

    /// Refuses everything from now on, and lets go of the ingress.
    pub(super) fn close(&self) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Clients whose connection is not through with all its hooks.
    pub(super) fn clients(&self) -> i64 {
        self.clients.load(Ordering::Relaxed)
    }

    fn open(&self) -> Option<Arc<Open>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What `who` may do with `topic`.
    fn permit(&self, who: &Admission, topic: &str) -> Permit {
        let own = topic.starts_with(&self.own_devices) || self.guests.iter().any(|guest| topic.starts_with(guest));
        match who.rules.may_publish(topic) {
            Permission::Allowed if own && self.is_barred(topic) => Permit::Deny("the device is barred".to_string()),
            Permission::Allowed if own => Permit::Ingest,
            Permission::Allowed if topic == self.active => Permit::Active,
            Permission::Allowed => Permit::Route,
            _ if self.doorman.is_own_device(topic) => Permit::Deny(format!("{} may not publish there", who.identity)),
            _ => Permit::Ingest,
        }
    }

    fn is_barred(&self, topic: &str) -> bool {
        let authority = self.doorman.authority();
        authority.bars_any()
            && topic
                .parse::<Topic>()
                .ok()
                .and_then(|t| t.publisher())
                .is_some_and(|d| d.site == self.site && authority.is_barred(&d.device))
    }

    /// A client sent what the protocol forbids. What exactly is not logged: it may hold a password.
    fn malformed(&self, client: &str) {
        self.doorman.counters().refused(Refused::Malformed);
        tracing::info!(%client, reason = Refused::Malformed.reason(), "connection closed: a packet against the protocol");
    }

    /// What becomes of a client's publish.
    async fn judge(&self, from: &Id, publish: &Publish, mqtt5: bool) -> Verdict {
        let Some(session) = self.doorman.session(from) else {
            let why = "the right to be connected has ended".to_string();
            return Verdict::Refuse { code: PublishAckReason::NotAuthorized, why, always: true };
        };
        if let Some(why) = fault(publish) {
            self.malformed(&from.client_id);
            return Verdict::Close(why);
        }
        if !self.doorman.within_rate(&session, publish.payload.len(), mqtt5).await {
            let why = "more publishes or bytes in a second than this broker allows a client".to_string();
            return Verdict::Refuse { code: PublishAckReason::QuotaExceeded, why, always: false };
        }
        self.take(&session.admission, Some(&session), &from.client_id, publish).await
    }

    /// What becomes of a will. Its client may have gone long ago; what counts is whether its right still stands.
    async fn judge_will(&self, from: &Id, publish: &Publish) -> Verdict {
        match self.doorman.owner(&from.client_id) {
            Some(who) if self.doorman.may_will(&who, &publish.topic) => self.take(&who, None, &from.client_id, publish).await,
            _ => {
                let why = "its client has no right to it any more".to_string();
                Verdict::Refuse { code: PublishAckReason::NotAuthorized, why, always: true }
            }
        }
    }

    async fn take(&self, who: &Admission, session: Option<&Session>, client: &str, publish: &Publish) -> Verdict {
        let topic: &str = &publish.topic;
        if topic.len() > TOPIC_BYTES_MAX {
            self.doorman.denied(session, &topic.chars().take(TOPIC_BYTES_MAX).collect::<String>());
            let why = format!("the topic has {} bytes, the limit is {TOPIC_BYTES_MAX}", topic.len());
            return Verdict::Refuse { code: PublishAckReason::TopicNameInvalid, why, always: true };
        }
        let Some(open) = self.open() else {
            let why = "the broker is stopping".to_string();
            return Verdict::Refuse { code: PublishAckReason::ImplementationSpecificError, why, always: false };
        };
        match self.permit(who, topic) {
            Permit::Ingest => {}
            Permit::Route => {
                return match (&open.intake, Area::of_topic(topic, &self.site)) {
                    (Intake::Keepers(keepers), Some(area)) => kept(keepers.keep(area, client, publish).await),
                    _ => Verdict::Route,
                };
            }
            Permit::Active => {
                if let Some(told) = &open.on_active {
                    // Full means that the application has yet to act on an earlier one.
                    let _ = told.try_send(());
                }
                return Verdict::Route;
            }
            Permit::Deny(why) => {
                self.doorman.denied(session, topic);
                return Verdict::Refuse { code: PublishAckReason::NotAuthorized, why, always: true };
            }
        }
        let ingress = match &open.intake {
            Intake::Ingress(ingress) => ingress,
            Intake::Keepers(keepers) => return self.pass_on(keepers, session, client, publish).await,
        };
        let arrived = ingress::Publish {
            topic,
            payload: &publish.payload,
            client,
            packet_id: publish.packet_id.map(NonZeroU16::get),
            qos: publish.qos.value(),
            dup: publish.dup,
        };
        match ingress.accept(arrived).await {
            Ok(outcome) => {
                // Copies of readings are for subscribers here; other brokers get them from the log. What was rejected is not there.
                if !matches!(outcome, Outcome::Stored { .. }) || self.doorman.is_anybody_subscribed().await {
                    open.relay.offer(ingress.copies(&outcome));
                }
                match outcome {
                    Outcome::Stored { .. } | Outcome::Requested | Outcome::Reported => Verdict::Route,
                    Outcome::Duplicate => Verdict::Settle(PublishAckReason::NoMatchingSubscribers, String::new()),
                    Outcome::Rejected(rejection) => Verdict::Settle(PublishAckReason::PayloadFormatInvalid, rejection.reason),
                }
            }
            Err(refusal) => {
                let why = refusal.to_string();
                tracing::debug!(%client, %topic, %why, "publish refused");
                if matches!(refusal, Refusal::Topic(_)) {
                    self.doorman.denied(session, topic);
                }
                let (code, always) = match refusal {
                    Refusal::Topic(_) => (PublishAckReason::NotAuthorized, true),
                    Refusal::TooLarge { .. } | Refusal::Store(AppendError::Invalid(_)) => {
                        (PublishAckReason::ImplementationSpecificError, false)
                    }
                    Refusal::Store(_) => (PublishAckReason::QuotaExceeded, false),
                };
                Verdict::Refuse { code, why, always }
            }
        }
    }
}

impl Gate {
    /// Has a device's publish kept by another process, if it is one of this site's devices.
    async fn pass_on(&self, keepers: &Keepers, session: Option<&Session>, client: &str, publish: &Publish) -> Verdict {
        let topic: &str = &publish.topic;
        if Area::of_topic(topic, &self.site) != Some(Area::Device) {
            self.doorman.denied(session, topic);
            let why = match topic.parse::<Topic>() {
                // REQ-13: nobody here could say what becomes of it
                Ok(Topic::Request(_) | Topic::Report(_)) => crate::requests::NOT_IN_PARTS.to_owned(),
                _ => format!("devices of this site publish to root/device/{}/<ID>/sense|act/<dataType>", self.site),
            };
            return Verdict::Refuse { code: PublishAckReason::NotAuthorized, why, always: true };
        }
        let (bytes, limit_bytes) = (publish.payload.len(), PAYLOAD_BYTES_MAX);
        if bytes > limit_bytes {
            let why = Refusal::TooLarge { bytes, limit_bytes }.to_string();
            return Verdict::Refuse { code: PublishAckReason::ImplementationSpecificError, why, always: false };
        }
        kept(keepers.keep(Area::Device, client, publish).await)
    }
}

fn kept(kept: Kept) -> Verdict {
    match kept {
        Kept::Yes => Verdict::Route,
        Kept::No(why) => Verdict::Refuse { code: PublishAckReason::QuotaExceeded, why: why.to_owned(), always: false },
        Kept::Doubtful => Verdict::Doubt,
    }
}

/// How rmqtt is told a verdict. Only `Success` is routed.
fn answer(verdict: Verdict, qos: QoS, mqtt5: bool) -> PublishAclResult {
    PublishAclResult(match verdict {
        Verdict::Route => PublishResult::success(),
        Verdict::Settle(code, why) => PublishResult::reason_code(code, (!why.is_empty()).then(|| why.into()), false),
        Verdict::Refuse { code, why, always } => {
            let close = !mqtt5 && (always || qos != QoS::AtMostOnce);
            PublishResult::reason_code(code, Some(why.into()), close)
        }
        Verdict::Close(why) => PublishResult::reason_code(PublishAckReason::TopicNameInvalid, Some(why.into()), true),
        Verdict::Doubt => {
            let why = "it is not known whether the publish was kept: send it again under its packet id";
            PublishResult::reason_code(PublishAckReason::UnspecifiedError, Some(why.into()), true)
        }
    })
}

/// The handlers that are registered with rmqtt.
#[derive(Clone)]
pub(super) struct Hooks {
    gate: Arc<Gate>,
    /// The tree of brokers, if we have a place in it.
    tiers: Option<Arc<Tiers>>,
}

impl Hooks {
    pub(super) fn new(gate: Arc<Gate>, tiers: Option<Arc<Tiers>>) -> Self {
        Self { gate, tiers }
    }

    /// What is routed here may have to leave for other brokers, and be kept for them before it is acknowledged.
    async fn leaves(&self, verdict: Verdict, publish: &Publish) -> Verdict {
        let (Verdict::Route, Some(tiers)) = (&verdict, &self.tiers) else { return verdict };
        let kept = match tiers.offer(&publish.topic, &publish.payload, publish.qos.value()) {
            Ok(Some(durable)) => durable.wait().await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        match kept {
            Ok(()) => verdict,
            Err(error) => Verdict::Refuse { code: PublishAckReason::QuotaExceeded, why: error.to_string(), always: false },
        }
    }

    /// Registers and switches on.
    pub(super) async fn install(self, scx: &ServerContext) {
        let register = scx.extends.hook_mgr().register();
        for hook in [
            Type::ClientAuthenticate,
            Type::ClientSubscribeCheckAcl,
            Type::MessagePublish,
            Type::MessagePublishCheckAcl,
            Type::ClientConnected,
            Type::ClientDisconnected,
            Type::SessionTerminated,
        ] {
            register.add(hook, Box::new(self.clone())).await;
        }
        register.start().await;
    }
}

#[async_trait]
impl Handler for Hooks {
    async fn hook(&self, parameter: &Parameter, result: Option<HookResult>) -> ReturnType {
        match parameter {
            Parameter::ClientAuthenticate(client) => {
                let answer = self.gate.doorman.authenticate(client).await;
                (false, Some(HookResult::AuthResult(answer)))
            }
            Parameter::ClientSubscribeCheckAcl(session, subscribe) => match self.gate.doorman.subscribe(session, subscribe).await {
                None => (true, result),
                Some(code) => (false, Some(HookResult::SubscribeAclResult(SubscribeAclResult::new_failure(code)))),
            },
            Parameter::MessagePublish(_, from, publish) => {
                if !matches!(from.typ(), FromType::LastWill) {
                    return (true, result);
                }
                let verdict = self.gate.judge_will(&from.id, publish).await;
                let verdict = self.leaves(verdict, publish).await;
                if verdict == Verdict::Route {
                    return (true, result);
                }
                tracing::warn!(client = %from.client_id, topic = %publish.topic, ?verdict, "a will was not recorded");
                if !matches!(verdict, Verdict::Refuse { code: PublishAckReason::NotAuthorized, .. }) {
                    return (true, result);
                }
                // It cannot be dropped here, only turned aside.
                let mut aside: Publish = (*publish).clone();
                aside.topic = VOID_TOPIC.into();
                aside.retain = false;
                (false, Some(HookResult::Publish(aside)))
            }
            Parameter::MessagePublishCheckAcl(session, publish) => {
                let mqtt5 = session.protocol().await.is_ok_and(|level| level == MQTT_LEVEL_5);
                let verdict = self.gate.judge(&session.id, publish, mqtt5).await;
                let verdict = self.leaves(verdict, publish).await;
                (false, Some(HookResult::PublishAclResult(answer(verdict, publish.qos, mqtt5))))
            }
            Parameter::ClientConnected(session) => {
                self.gate.clients.fetch_add(1, Ordering::Relaxed);
                if !self.gate.doorman.connected(&session.id) {
                    // rmqtt holds on to this client until we have answered
                    let (doorman, client_id) = (self.gate.doorman.clone(), session.id.client_id.to_string());
                    tokio::spawn(async move { doorman.kick(&client_id).await });
                }
                (true, result)
            }
            Parameter::ClientDisconnected(session, reason) => {
                if is_fault(reason) {
                    self.gate.malformed(&session.id.client_id);
                }
                self.gate.clients.fetch_sub(1, Ordering::Relaxed);
                self.gate.doorman.disconnected(&session.id);
                (true, result)
            }
            Parameter::SessionTerminated(session, _) => {
                self.gate.doorman.terminated(&session.id);
                (true, result)
            }
            _ => (true, result),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_answers() {
        let refuse = |always| Verdict::Refuse { code: PublishAckReason::QuotaExceeded, why: "full".to_string(), always };
        let settle = || Verdict::Settle(PublishAckReason::PayloadFormatInvalid, "not SenML".to_string());
        for (verdict, qos, mqtt5, routed, close) in [
            (Verdict::Route, QoS::AtLeastOnce, false, true, false),
            (Verdict::Route, QoS::ExactlyOnce, true, true, false),
            (settle(), QoS::AtLeastOnce, false, false, false),
            (settle(), QoS::AtLeastOnce, true, false, false),
            (refuse(false), QoS::AtLeastOnce, true, false, false),
            (refuse(false), QoS::AtLeastOnce, false, false, true),
            (refuse(false), QoS::AtMostOnce, false, false, false),
            (refuse(true), QoS::AtMostOnce, false, false, true),
            (Verdict::Close("no topic"), QoS::AtLeastOnce, true, false, true),
            (Verdict::Close("no topic"), QoS::AtMostOnce, false, false, true),
            (Verdict::Doubt, QoS::AtLeastOnce, false, false, true),
            (Verdict::Doubt, QoS::AtLeastOnce, true, false, true),
        ] {
            let told = format!("{verdict:?} at {qos:?}, MQTT 5: {mqtt5}");
            let answer = answer(verdict, qos, mqtt5);
            assert_eq!((answer.is_allow(), answer.pub_res().disconnect), (routed, close), "{told}");
        }
    }
}
