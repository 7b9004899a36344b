//! What the client publishes and wants (SN-20 to SN-37).
//!
//! ```text
//! QoS 1: PUBLISH ─▶ link ─PUBACK of the broker─▶ PUBACK
//! QoS 2: PUBLISH ─▶ link ─PUBREC─▶ PUBREC ─PUBREL of the client─▶ link ─PUBCOMP─▶ PUBCOMP
//! ```

use super::super::topics::{has_wildcards, is_filter, is_topic};
use super::{Action, Actions, Link, Loss, Note, Session, ToBroker, level, refuse};
use protocol::sn::{Packet, Publish, Qos, ReturnCode, Subscribe, TopicFilter, TopicRef};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Publishes of a client, and requests of other kinds, that may be under way to the broker.
pub(super) const UNDER_WAY_MAX: usize = 4;
/// Subscriptions of one client.
pub(super) const SUBSCRIPTIONS_MAX: usize = 128;
/// What a message takes beside its topic and payload, in bytes.
pub(super) const OVERHEAD_BYTES: usize = 64;

/// What a client has under way.
#[derive(Debug, Default)]
pub(super) struct Uplink {
    publishes: Vec<Outgoing>,
    subscribes: Vec<Wanted>,
    /// Message ids and filters of UNSUBSCRIBE.
    unsubscribes: Vec<(u16, String)>,
    /// The last publish of QoS 1 that the broker took: message id, and a hash of what it was.
    done: Option<(u16, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The broker's PUBACK or PUBREC is awaited.
    Sent,
    /// The client's PUBREL.
    Received,
    /// The broker's PUBCOMP.
    Released,
}

/// A publish of QoS 1 or 2.
#[derive(Debug)]
struct Outgoing {
    id: u16,
    /// What PUBACK repeats.
    topic_id: u16,
    topic: String,
    payload: Vec<u8>,
    qos: u8,
    retain: bool,
    stage: Stage,
}

impl Outgoing {
    fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len() + OVERHEAD_BYTES
    }

    fn fingerprint(&self) -> u64 {
        fingerprint(&self.topic, &self.payload)
    }

    fn request(&self, dup: bool) -> ToBroker {
        ToBroker::Publish {
            packet_id: self.id,
            topic: self.topic.clone(),
            payload: self.payload.clone(),
            qos: self.qos,
            retain: self.retain,
            dup,
        }
    }
}

fn fingerprint(topic: &str, payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (topic, payload).hash(&mut hasher);
    hasher.finish()
}

/// A subscription that the broker has not answered.
#[derive(Debug)]
struct Wanted {
    id: u16,
    filter: String,
    qos: u8,
    /// What SUBACK tells.
    topic_id: u16,
    predefined: Option<u16>,
}

impl Uplink {
    /// Whether a request of the client uses this message id, so that the link has it as packet id.
    fn uses(&self, id: u16) -> bool {
        self.publishes.iter().any(|p| p.id == id)
            || self.subscribes.iter().any(|s| s.id == id)
            || self.unsubscribes.iter().any(|(used, _)| *used == id)
    }
}

fn puback(topic_id: u16, message_id: u16, code: ReturnCode) -> Packet {
    Packet::PubAck { topic_id, message_id, code }
}

fn suback(qos: Qos, topic_id: u16, message_id: u16, code: ReturnCode) -> Packet {
    Packet::SubAck { qos, topic_id, message_id, code }
}

impl Session {
    /// REGISTER of the client.
    pub(super) fn register(&mut self, message_id: u16, topic: &str, out: &mut Actions) {
        let answer = |topic_id, code| Packet::RegAck { topic_id, message_id, code };
        if !is_topic(topic) {
            return refuse(ReturnCode::NotSupported, answer(0, ReturnCode::NotSupported), out);
        }
        match self.topics.register(topic) {
            Some(id) => {
                self.topics.set_told(id, true);
                out.push(Action::Send(answer(id, ReturnCode::Accepted)));
            }
            None => refuse(ReturnCode::Congestion, answer(0, ReturnCode::Congestion), out),
        }
    }

    /// The topic that a PUBLISH names, if it can be published to.
    fn topic_of(&self, topic: TopicRef) -> Option<String> {
        let name = match topic {
            TopicRef::Normal(id) => self.topics.name(id)?.to_string(),
            TopicRef::Predefined(id) => self.settings.predefined.get(&id)?.clone(),
            TopicRef::Short(name) => std::str::from_utf8(&name).ok()?.to_string(),
        };
        is_topic(&name).then_some(name)
    }

    /// PUBLISH of the client.
    pub(super) fn publish(&mut self, publish: Publish, out: &mut Actions) {
        let Publish { dup, qos, retain, topic: reference, message_id: id, data: payload } = publish;
        let answer = |code| puback(reference.number(), id, code);
        let Some(topic) = self.topic_of(reference) else {
            return refuse(ReturnCode::InvalidTopicId, answer(ReturnCode::InvalidTopicId), out);
        };
        if let Qos::AtMostOnce | Qos::MinusOne = qos {
            if self.link == Link::Up {
                out.push(Action::Note(Note::PublishIn));
                out.push(Action::Broker(ToBroker::Publish { packet_id: 0, topic, payload, qos: 0, retain, dup: false }));
            } else {
                out.push(Action::Note(Note::Dropped(Loss::NoLink)));
            }
            return;
        }
        if id == 0 {
            return refuse(ReturnCode::NotSupported, answer(ReturnCode::NotSupported), out);
        }
        if dup && qos == Qos::AtLeastOnce && self.uplink.done == Some((id, fingerprint(&topic, &payload))) {
            return out.push(Action::Send(answer(ReturnCode::Accepted))); // the PUBACK was lost
        }
        if let Some(known) = self.uplink.publishes.iter().find(|p| p.id == id) {
            if known.stage == Stage::Received {
                out.push(Action::Send(Packet::PubRec(id)));
            }
            return; // under way
        }
        if self.link != Link::Up || self.uplink.uses(id) || !self.has_turn() {
            return refuse(ReturnCode::Congestion, answer(ReturnCode::Congestion), out);
        }
        let outgoing = Outgoing { id, topic_id: reference.number(), topic, payload, qos: level(qos), retain, stage: Stage::Sent };
        if !self.share.take(outgoing.bytes()) {
            return refuse(ReturnCode::Congestion, answer(ReturnCode::Congestion), out);
        }
        out.push(Action::Note(Note::PublishIn));
        out.push(Action::Broker(outgoing.request(dup)));
        self.uplink.publishes.push(outgoing);
    }

    /// Whether one more publish may be under way. One that the client gave up between PUBREC and PUBREL makes room.
    fn has_turn(&mut self) -> bool {
        if self.uplink.publishes.len() < UNDER_WAY_MAX {
            return true;
        }
        let given_up = self.uplink.publishes.iter().find(|p| p.stage == Stage::Received).map(|p| p.id);
        given_up.is_some_and(|id| self.forget_publish(id).is_some())
    }

    fn forget_publish(&mut self, id: u16) -> Option<Outgoing> {
        let at = self.uplink.publishes.iter().position(|p| p.id == id)?;
        let outgoing = self.uplink.publishes.remove(at);
        self.share.give(outgoing.bytes());
        Some(outgoing)
    }

    /// PUBACK of the broker.
    pub(super) fn published(&mut self, id: u16, code: ReturnCode, out: &mut Actions) {
        if !self.uplink.publishes.iter().any(|p| p.id == id && p.qos == 1) {
            return;
        }
        let Some(outgoing) = self.forget_publish(id) else { return };
        if code == ReturnCode::Accepted {
            self.uplink.done = Some((id, outgoing.fingerprint()));
            out.push(Action::Send(puback(outgoing.topic_id, id, code)));
        } else {
            refuse(code, puback(outgoing.topic_id, id, code), out);
        }
    }

    /// PUBREC of the broker.
    pub(super) fn received(&mut self, id: u16, code: ReturnCode, out: &mut Actions) {
        let Some(outgoing) = self.uplink.publishes.iter_mut().find(|p| p.id == id && p.qos == 2 && p.stage == Stage::Sent) else {
            return;
        };
        if code == ReturnCode::Accepted {
            outgoing.stage = Stage::Received;
            out.push(Action::Send(Packet::PubRec(id)));
        } else {
            let topic_id = outgoing.topic_id;
            self.forget_publish(id);
            refuse(code, puback(topic_id, id, code), out);
        }
    }

    /// PUBREL of the client.
    pub(super) fn pubrel(&mut self, id: u16, out: &mut Actions) {
        let up = self.link == Link::Up;
        match self.uplink.publishes.iter_mut().find(|p| p.id == id && p.qos == 2) {
            Some(outgoing) if outgoing.stage == Stage::Received => {
                outgoing.stage = Stage::Released;
                if up {
                    out.push(Action::Broker(ToBroker::PubRel(id)));
                }
            }
            Some(_) => {}                                        // the broker is asked already, or was not yet
            None => out.push(Action::Send(Packet::PubComp(id))), // the PUBCOMP was lost
        }
    }

    /// PUBCOMP of the broker.
    pub(super) fn completed(&mut self, id: u16, out: &mut Actions) {
        if self.uplink.publishes.iter().any(|p| p.id == id && p.stage == Stage::Released) {
            self.forget_publish(id);
            out.push(Action::Send(Packet::PubComp(id)));
        }
    }

    /// A new link: what the broker has not answered goes to it again.
    pub(super) fn publish_again(&mut self, out: &mut Actions) {
        for outgoing in &self.uplink.publishes {
            match outgoing.stage {
                Stage::Sent => out.push(Action::Broker(outgoing.request(true))),
                Stage::Received => {}
                Stage::Released => out.push(Action::Broker(ToBroker::PubRel(outgoing.id))),
            }
        }
    }

    /// The filter that SUBSCRIBE and UNSUBSCRIBE name, or why there is none.
    fn filter_of(&self, topic: &TopicFilter) -> Result<String, ReturnCode> {
        let filter = match topic {
            TopicFilter::Name(name) => name.clone(),
            TopicFilter::Predefined(id) => self.settings.predefined.get(id).cloned().ok_or(ReturnCode::InvalidTopicId)?,
            TopicFilter::Short(name) => std::str::from_utf8(name).map_err(|_| ReturnCode::NotSupported)?.to_string(),
        };
        if is_filter(&filter) { Ok(filter) } else { Err(ReturnCode::NotSupported) }
    }

    /// SUBSCRIBE of the client.
    pub(super) fn subscribe(&mut self, subscribe: Subscribe, out: &mut Actions) {
        let Subscribe { qos, message_id: id, topic, .. } = subscribe;
        let answer = |code| suback(Qos::AtMostOnce, 0, id, code);
        let filter = match self.filter_of(&topic) {
            Ok(filter) if id != 0 && qos != Qos::MinusOne => filter,
            Ok(_) => return refuse(ReturnCode::NotSupported, answer(ReturnCode::NotSupported), out),
            Err(code) => return refuse(code, answer(code), out),
        };
        if self.uplink.subscribes.iter().any(|s| s.id == id && s.filter == filter) {
            return; // once more
        }
        let many = self.subscriptions.len() >= SUBSCRIPTIONS_MAX && !self.subscriptions.contains_key(&filter);
        let busy = self.uplink.subscribes.len() >= UNDER_WAY_MAX || self.uplink.uses(id);
        if self.link != Link::Up || many || busy {
            return refuse(ReturnCode::Congestion, answer(ReturnCode::Congestion), out);
        }
        let (topic_id, predefined) = match topic {
            TopicFilter::Name(name) if !has_wildcards(&name) => match self.topics.register(&name) {
                Some(topic_id) => (topic_id, None),
                None => return refuse(ReturnCode::Congestion, answer(ReturnCode::Congestion), out),
            },
            TopicFilter::Predefined(topic_id) => (topic_id, Some(topic_id)),
            TopicFilter::Name(_) | TopicFilter::Short(_) => (0, None),
        };
        out.push(Action::Broker(ToBroker::Subscribe { packet_id: id, filter: filter.clone(), qos: level(qos) }));
        self.uplink.subscribes.push(Wanted { id, filter, qos: level(qos), topic_id, predefined });
    }

    /// SUBACK of the broker.
    pub(super) fn subscribed(&mut self, id: u16, outcome: Result<Qos, ReturnCode>, out: &mut Actions) {
        let Some(at) = self.uplink.subscribes.iter().position(|s| s.id == id) else { return };
        let Wanted { filter, qos, topic_id, predefined, .. } = self.uplink.subscribes.remove(at);
        match outcome {
            Ok(granted) => {
                match predefined {
                    Some(predefined) => {
                        self.by_predefined.insert(filter.clone(), predefined);
                    }
                    None => self.topics.set_told(topic_id, true),
                }
                self.subscriptions.insert(filter, qos);
                out.push(Action::Send(suback(granted, topic_id, id, ReturnCode::Accepted)));
            }
            Err(code) => refuse(code, suback(Qos::AtMostOnce, 0, id, code), out),
        }
    }

    /// UNSUBSCRIBE of the client. UNSUBACK has no return code: what cannot be done is not answered, and comes again.
    pub(super) fn unsubscribe(&mut self, id: u16, topic: &TopicFilter, out: &mut Actions) {
        let Ok(filter) = self.filter_of(topic) else {
            return out.push(Action::Send(Packet::UnsubAck(id))); // nobody can have subscribed to it
        };
        let busy = self.uplink.unsubscribes.len() >= UNDER_WAY_MAX || self.uplink.uses(id);
        if id == 0 || self.link != Link::Up || busy {
            return;
        }
        out.push(Action::Broker(ToBroker::Unsubscribe { packet_id: id, filter: filter.clone() }));
        self.uplink.unsubscribes.push((id, filter));
    }

    /// UNSUBACK of the broker.
    pub(super) fn unsubscribed(&mut self, id: u16, out: &mut Actions) {
        let Some(at) = self.uplink.unsubscribes.iter().position(|(used, _)| *used == id) else { return };
        let (_, filter) = self.uplink.unsubscribes.remove(at);
        self.subscriptions.remove(&filter);
        self.by_predefined.remove(&filter);
        out.push(Action::Send(Packet::UnsubAck(id)));
    }

    /// The broker has forgotten the session: it is told what the client wants.
    pub(super) fn subscribe_again(&mut self, out: &mut Actions) {
        let mut id = u16::MAX;
        for (filter, qos) in &self.subscriptions {
            while self.uplink.uses(id) {
                id = id.saturating_sub(1);
            }
            out.push(Action::Broker(ToBroker::Subscribe { packet_id: id, filter: filter.clone(), qos: *qos }));
            id = id.saturating_sub(1);
        }
    }

    /// The link is gone: requests that it will not answer are refused. Publishes stay, and go out again.
    pub(super) fn link_is_down(&mut self, out: &mut Actions) {
        self.uplink.unsubscribes.clear();
        for Wanted { id, .. } in std::mem::take(&mut self.uplink.subscribes) {
            refuse(ReturnCode::Congestion, suback(Qos::AtMostOnce, 0, id, ReturnCode::Congestion), out);
        }
    }

    /// Everything that is under way is forgotten.
    pub(super) fn forget_requests(&mut self) {
        for outgoing in std::mem::take(&mut self.uplink).publishes {
            self.share.give(outgoing.bytes());
        }
    }
}
