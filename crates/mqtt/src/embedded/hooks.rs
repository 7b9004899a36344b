//! What the embedded broker asks us, and what we answer.
//!
//! | hook | answer |
//! |---|---|
//! | authenticate | everybody may enter, nobody as superuser; a will must name a topic its client may publish to |
//! | check a publish (before PUBACK, PUBREC, routing) | see the next table; the reading is on the disk before we answer |
//! | publish of a will | recorded; a will is acknowledged to nobody, so nothing can be refused any more |
//! | connected, disconnected | counted, for the stop |
//!
//! | verdict | MQTT 5 | MQTT 3.1.1 | routed |
//! |---|---|---|---|
//! | stored | success | PUBACK | yes |
//! | duplicate | 0x10, a success | PUBACK | no: its original was |
//! | malformed payload | 0x99 payload format invalid, with the reason | PUBACK: sending it again would not help | no |
//! | topic not allowed | 0x87 not authorised, with the reason | connection closed | no |
//! | too large | 0x83, with the reason | connection closed | no |
//! | cannot be stored now | 0x97 quota exceeded | connection closed, so that it is sent again | no |
//!
//! MQTT 3.1.1 has no negative PUBACK. Whatever is not closed is acknowledged, so what must not be believed to be kept
//! closes the connection. At QoS 0 nobody waits for an answer: only a topic that is not allowed closes.

use crate::broker::{Relay, TOPIC_BYTES_MAX};
use crate::ingress::{self, Ingress, Outcome, Refusal};
use crate::log::AppendError;
use async_trait::async_trait;
use protocol::{Name, Topic};
use rmqtt::codec::types::MQTT_LEVEL_5;
use rmqtt::codec::v5::PublishAckReason;
use rmqtt::context::ServerContext;
use rmqtt::hook::{Handler, HookResult, Parameter, ReturnType, Type};
use rmqtt::types::{AuthResult, ConnectInfo, FromType, LastWill, Publish, PublishAclResult, PublishResult, QoS};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::mpsc;

/// What the hooks share. It lets go of the log when it is closed, which the broker's own state never does.
pub(super) struct Gate {
    site: Name,
    /// `root/node/<site>/active`.
    active: String,
    open: RwLock<Option<Arc<Open>>>,
    clients: AtomicI64,
}

struct Open {
    ingress: Arc<Ingress>,
    relay: Relay,
    on_active: Option<mpsc::Sender<()>>,
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
}

impl Gate {
    pub(super) fn new(site: Name, ingress: Arc<Ingress>, relay: Relay, on_active: Option<mpsc::Sender<()>>) -> Self {
        let open = RwLock::new(Some(Arc::new(Open { ingress, relay, on_active })));
        let active = Topic::Active(site.clone()).to_string();
        Self { site, active, open, clients: AtomicI64::new(0) }
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

    /// Whether `topic` is one that a device of this site publishes to.
    fn is_own_device(&self, topic: &str) -> bool {
        topic.len() <= TOPIC_BYTES_MAX && matches!(topic.parse::<Topic>(), Ok(Topic::Device(device)) if device.site == self.site)
    }

    fn authenticate(&self, client: &ConnectInfo) -> AuthResult {
        let will = client.last_will().map(|will| match will {
            LastWill::V3(will) => will.topic.clone(),
            LastWill::V5(will) => will.topic.clone(),
        });
        match will {
            Some(topic) if !self.is_own_device(&topic) => {
                let topic: String = topic.chars().take(TOPIC_BYTES_MAX).collect();
                tracing::info!(client = %client.client_id(), %topic, "refused: its will is for a topic it may not publish to");
                AuthResult::NotAuthorized
            }
            // Never as superuser: that would skip the check of publishes, and with it the log.
            _ => AuthResult::Allow(false, None),
        }
    }

    async fn judge(&self, client: &str, publish: &Publish) -> Verdict {
        let topic: &str = &publish.topic;
        if topic.len() > TOPIC_BYTES_MAX {
            let why = format!("the topic has {} bytes, the limit is {TOPIC_BYTES_MAX}", topic.len());
            return Verdict::Refuse { code: PublishAckReason::TopicNameInvalid, why, always: true };
        }
        let Some(open) = self.open() else {
            let why = "the broker is stopping".to_string();
            return Verdict::Refuse { code: PublishAckReason::ImplementationSpecificError, why, always: false };
        };
        if topic == self.active {
            if let Some(told) = &open.on_active {
                // Full means that the application has yet to act on an earlier one.
                let _ = told.try_send(());
            }
            return Verdict::Route;
        }
        let arrived = ingress::Publish {
            topic,
            payload: &publish.payload,
            client,
            packet_id: publish.packet_id.map(NonZeroU16::get),
            qos: publish.qos.value(),
            dup: publish.dup,
        };
        match open.ingress.accept(arrived).await {
            Ok(outcome) => {
                open.relay.offer(outcome.republish(&self.site));
                match outcome {
                    Outcome::Stored { .. } => Verdict::Route,
                    Outcome::Duplicate => Verdict::Settle(PublishAckReason::NoMatchingSubscribers, String::new()),
                    Outcome::Rejected(rejection) => Verdict::Settle(PublishAckReason::PayloadFormatInvalid, rejection.reason),
                }
            }
            Err(refusal) => {
                let why = refusal.to_string();
                tracing::debug!(%client, %topic, %why, "publish refused");
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

/// How rmqtt is told a verdict. Only `Success` is routed.
fn answer(verdict: Verdict, qos: QoS, mqtt5: bool) -> PublishAclResult {
    PublishAclResult(match verdict {
        Verdict::Route => PublishResult::success(),
        Verdict::Settle(code, why) => PublishResult::reason_code(code, (!why.is_empty()).then(|| why.into()), false),
        Verdict::Refuse { code, why, always } => {
            let close = !mqtt5 && (always || qos != QoS::AtMostOnce);
            PublishResult::reason_code(code, Some(why.into()), close)
        }
    })
}

/// The handlers that are registered with rmqtt.
#[derive(Clone)]
pub(super) struct Hooks {
    gate: Arc<Gate>,
}

impl Hooks {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        Self { gate }
    }

    /// Registers and switches on.
    pub(super) async fn install(self, scx: &ServerContext) {
        let register = scx.extends.hook_mgr().register();
        for hook in
            [Type::ClientAuthenticate, Type::MessagePublish, Type::MessagePublishCheckAcl, Type::ClientConnected, Type::ClientDisconnected]
        {
            register.add(hook, Box::new(self.clone())).await;
        }
        register.start().await;
    }
}

#[async_trait]
impl Handler for Hooks {
    async fn hook(&self, parameter: &Parameter, result: Option<HookResult>) -> ReturnType {
        match parameter {
            Parameter::ClientAuthenticate(client) => (false, Some(HookResult::AuthResult(self.gate.authenticate(client)))),
            Parameter::MessagePublish(_, from, publish) => {
                if matches!(from.typ(), FromType::LastWill) {
                    let verdict = self.gate.judge(&from.client_id, publish).await;
                    if verdict != Verdict::Route {
                        tracing::warn!(client = %from.client_id, topic = %publish.topic, ?verdict, "a will was not recorded");
                    }
                }
                (true, result) // it cannot be dropped here
            }
            Parameter::MessagePublishCheckAcl(session, publish) => {
                let verdict = self.gate.judge(&session.id.client_id, publish).await;
                let mqtt5 = session.protocol().await.is_ok_and(|level| level == MQTT_LEVEL_5);
                (false, Some(HookResult::PublishAclResult(answer(verdict, publish.qos, mqtt5))))
            }
            Parameter::ClientConnected(_) => {
                self.gate.clients.fetch_add(1, Ordering::Relaxed);
                (true, result)
            }
            Parameter::ClientDisconnected(_, _) => {
                self.gate.clients.fetch_sub(1, Ordering::Relaxed);
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
        ] {
            let told = format!("{verdict:?} at {qos:?}, MQTT 5: {mqtt5}");
            let answer = answer(verdict, qos, mqtt5);
            assert_eq!((answer.is_allow(), answer.pub_res().disconnect), (routed, close), "{told}");
        }
    }
}
