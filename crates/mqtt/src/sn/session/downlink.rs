//! What the broker sends to the client (SN-40 to SN-44).
//!
//! ```text
//! link ─▶ queue ─▶ known topic? ──no──▶ REGISTER ─REGACK─┐
//!                       └─yes─▶ PUBLISH ◀────────────────┘
//!   QoS 1: PUBACK of the client ─▶ PUBACK to the broker
//!   QoS 2: PUBREC ─▶ PUBREC to the broker ─PUBREL of the broker─▶ PUBREL ─PUBCOMP of the client─▶ PUBCOMP to the broker
//! ```
//! The broker keeps what is not acknowledged to it, and sends at most [`RECEIVE_MAX`] of that. So what waits here of
//! QoS 1 and 2 is bounded without a loss; what does not fit of QoS 0 is dropped and counted.

use super::uplink::OVERHEAD_BYTES;
use super::{Action, Actions, Arrival, Close, End, Link, Loss, Note, Phase, Session, ToBroker, quality};
use protocol::sn::{Packet, Publish, ReturnCode, TopicRef};
use std::collections::VecDeque;

/// Messages of QoS 1 and 2 that the broker may have sent to a client and not heard of again (Receive Maximum).
pub(in crate::sn) const RECEIVE_MAX: u16 = 16;
/// Octets of a PUBLISH beside its payload, with the long form of the length.
const PUBLISH_HEAD_BYTES: usize = 9;
/// Packet ids that are remembered as acknowledged while there was no link.
const SETTLED_MAX: usize = RECEIVE_MAX as usize;

/// A message for the client.
#[derive(Debug)]
struct Item {
    topic: String,
    payload: Vec<u8>,
    qos: u8,
    retain: bool,
    /// Its packet id on the present link; none at QoS 0, or if the broker has forgotten it.
    packet_id: Option<u16>,
    /// The message id that it was sent to the client with.
    message_id: Option<u16>,
}

impl Item {
    fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len() + OVERHEAD_BYTES
    }
}

/// What is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// REGACK.
    Register { topic_id: u16, message_id: u16 },
    /// PUBACK or PUBREC of the client.
    Sent(TopicRef),
    /// PUBREL of the broker.
    Received,
    /// PUBCOMP of the client.
    Released,
}

/// The message that is on its way to the client.
#[derive(Debug)]
struct Flight {
    item: Item,
    stage: Stage,
    tries: u32,
    retry_at_ms: u64,
}

/// What waits for the client.
#[derive(Debug, Default)]
pub(super) struct Downlink {
    queue: VecDeque<Item>,
    flight: Option<Flight>,
    /// The broker holds messages for which there was no room here; a new link brings them.
    missed: bool,
    /// Packet ids that the client acknowledged while there was no link.
    settled: VecDeque<u16>,
    /// The client acknowledged something since it woke up, or since it was last looked.
    pub(super) acknowledged_awake: bool,
}

/// How a topic can be named to the client.
enum Naming {
    Known(TopicRef),
    Register(u16),
    Full,
}

impl Session {
    /// PUBLISH of the broker.
    pub(super) fn arrived(&mut self, now: u64, arrival: Arrival, out: &mut Actions) {
        let Arrival { topic, payload, qos, retain, packet_id } = arrival;
        let packet_id = (qos > 0).then_some(packet_id);
        let item = Item { topic, payload, qos, retain, packet_id, message_id: None };
        if let Some(id) = packet_id
            && self.is_known(id, item.qos, out)
        {
            return;
        }
        if item.payload.len() + PUBLISH_HEAD_BYTES > self.settings.packet_bytes_max {
            return self.drop_item(&item, Loss::TooLarge, out);
        }
        while self.downlink.queue.len() >= self.settings.messages_max && qos > 0 && self.evict(out) {}
        let full = self.downlink.queue.len() >= self.settings.messages_max.max(usize::from(RECEIVE_MAX));
        let full = full || (qos == 0 && self.downlink.queue.len() >= self.settings.messages_max);
        let mut room = !full && self.share.take(item.bytes());
        while !room && !full && qos > 0 && self.evict(out) {
            room = self.share.take(item.bytes());
        }
        if !room {
            match qos {
                0 => out.push(Action::Note(Note::Dropped(Loss::Full))),
                _ => self.downlink.missed = true, // not acknowledged: the broker has it
            }
            return;
        }
        self.downlink.queue.push_back(item);
        self.pump(now, out);
    }

    /// Whether the broker sends something again that is here, or was delivered.
    fn is_known(&mut self, id: u16, qos: u8, out: &mut Actions) -> bool {
        let downlink = &mut self.downlink;
        if qos == 1
            && let Some(at) = downlink.settled.iter().position(|settled| *settled == id)
        {
            downlink.settled.remove(at);
            out.push(Action::Broker(ToBroker::PubAck(id)));
            return true;
        }
        if let Some(flight) = downlink.flight.as_ref().filter(|f| f.item.packet_id == Some(id)) {
            if matches!(flight.stage, Stage::Received | Stage::Released) {
                out.push(Action::Broker(ToBroker::PubRec(id)));
            }
            return true;
        }
        downlink.queue.iter().any(|item| item.packet_id == Some(id))
    }

    /// Drops the oldest message of QoS 0.
    fn evict(&mut self, out: &mut Actions) -> bool {
        let Some(at) = self.downlink.queue.iter().position(|item| item.qos == 0) else { return false };
        if let Some(item) = self.downlink.queue.remove(at) {
            self.share.give(item.bytes());
            out.push(Action::Note(Note::Dropped(Loss::Full)));
        }
        true
    }

    /// A message that cannot be delivered is acknowledged to the broker, else it would come for ever.
    fn drop_item(&mut self, item: &Item, why: Loss, out: &mut Actions) {
        out.push(Action::Note(Note::Dropped(why)));
        self.acknowledge(item, out);
    }

    /// Tells the broker that it may forget a message. Of QoS 2 that is only the first half; its PUBREL is answered.
    fn acknowledge(&mut self, item: &Item, out: &mut Actions) {
        let Some(id) = item.packet_id else { return };
        match (self.link, item.qos) {
            (Link::Up, 1) => out.push(Action::Broker(ToBroker::PubAck(id))),
            (Link::Up, _) => out.push(Action::Broker(ToBroker::PubRec(id))),
            (_, 1) => {
                if self.downlink.settled.len() >= SETTLED_MAX {
                    self.downlink.settled.pop_front();
                }
                self.downlink.settled.push_back(id);
            }
            _ => {}
        }
    }

    /// Sends what can be sent.
    pub(super) fn pump(&mut self, now: u64, out: &mut Actions) {
        while self.phase.takes_messages() && self.downlink.flight.is_none() {
            let Some(item) = self.downlink.queue.pop_front() else { break };
            match self.naming(&item.topic) {
                Naming::Known(topic) => self.launch(now, item, topic, 0, out),
                Naming::Register(topic_id) => {
                    let message_id = self.next_message_id();
                    let flight = Flight { item, stage: Stage::Register { topic_id, message_id }, tries: 0, retry_at_ms: 0 };
                    self.fly(now, flight, out);
                }
                Naming::Full => {
                    self.share.give(item.bytes());
                    self.drop_item(&item, Loss::Topics, out);
                }
            }
        }
        if self.is_drained() {
            if self.downlink.missed && self.link == Link::Up && self.phase.takes_messages() {
                self.downlink.missed = false;
                self.open_link(out);
                self.link_is_down(out);
            }
            self.drained(now, out);
        }
    }

    pub(super) fn is_drained(&self) -> bool {
        self.downlink.queue.is_empty() && self.downlink.flight.is_none()
    }

    fn naming(&mut self, topic: &str) -> Naming {
        if let Some(id) = self.by_predefined.get(topic) {
            return Naming::Known(TopicRef::Predefined(*id));
        }
        match self.topics.id(topic) {
            Some((id, true)) => return Naming::Known(TopicRef::Normal(id)),
            Some((id, false)) => return Naming::Register(id),
            None => {}
        }
        if let Ok(name) = <[u8; 2]>::try_from(topic.as_bytes()) {
            return Naming::Known(TopicRef::Short(name));
        }
        self.topics.register(topic).map_or(Naming::Full, Naming::Register)
    }

    /// Sends a PUBLISH. At QoS 0 that was all.
    fn launch(&mut self, now: u64, mut item: Item, topic: TopicRef, tries: u32, out: &mut Actions) {
        out.push(Action::Note(Note::PublishOut));
        if item.qos == 0 {
            self.share.give(item.bytes());
            let Item { payload, retain, qos, .. } = item;
            let publish = Publish { dup: false, qos: quality(qos), retain, topic, message_id: 0, data: payload };
            return out.push(Action::Send(Packet::Publish(publish)));
        }
        let dup = item.message_id.is_some();
        let message_id = item.message_id.unwrap_or_else(|| self.next_message_id());
        item.message_id = Some(message_id);
        let flight = Flight { item, stage: Stage::Sent(topic), tries, retry_at_ms: 0 };
        self.send_flight(&flight, dup, out);
        self.keep_flight(now, flight);
    }

    fn fly(&mut self, now: u64, flight: Flight, out: &mut Actions) {
        self.send_flight(&flight, false, out);
        self.keep_flight(now, flight);
    }

    fn keep_flight(&mut self, now: u64, flight: Flight) {
        let retry_at_ms = now.saturating_add(self.settings.retry_ms);
        self.downlink.flight = Some(Flight { retry_at_ms, ..flight });
    }

    /// Sends what the client has to answer next.
    fn send_flight(&self, flight: &Flight, dup: bool, out: &mut Actions) {
        let Item { topic: name, payload, qos, retain, message_id, .. } = &flight.item;
        let packet = match flight.stage {
            Stage::Register { topic_id, message_id } => Packet::Register { topic_id, message_id, topic: name.clone() },
            Stage::Sent(topic) => Packet::Publish(Publish {
                dup,
                qos: quality(*qos),
                retain: *retain,
                topic,
                message_id: message_id.unwrap_or_default(),
                data: payload.clone(),
            }),
            Stage::Received => return,
            Stage::Released => Packet::PubRel(message_id.unwrap_or_default()),
        };
        out.push(Action::Send(packet));
    }

    /// Takes the flight if it waits for what was just heard.
    fn landed(&mut self, awaited: impl Fn(&Flight) -> bool) -> Option<Flight> {
        if self.downlink.flight.as_ref().is_some_and(awaited) { self.downlink.flight.take() } else { None }
    }

    /// The flight is over.
    fn finish(&mut self, flight: &Flight) {
        self.share.give(flight.item.bytes());
        self.downlink.acknowledged_awake = true;
    }

    /// REGACK of the client.
    pub(super) fn regack(&mut self, now: u64, topic_id: u16, message_id: u16, code: ReturnCode, out: &mut Actions) {
        if code == ReturnCode::Congestion {
            return; // T_retry
        }
        let Some(flight) = self.landed(|f| f.stage == Stage::Register { topic_id, message_id }) else { return };
        if code == ReturnCode::Accepted {
            self.topics.set_told(topic_id, true);
            self.launch(now, flight.item, TopicRef::Normal(topic_id), flight.tries, out);
        } else {
            self.finish(&flight);
            self.drop_item(&flight.item, Loss::Unwanted, out);
        }
        self.pump(now, out);
    }

    /// PUBACK of the client: an acknowledgement, or a refusal of a message of any quality.
    pub(super) fn puback(&mut self, now: u64, topic_id: u16, message_id: u16, code: ReturnCode, out: &mut Actions) {
        if message_id == 0 {
            if code == ReturnCode::InvalidTopicId {
                self.topics.set_told(topic_id, false); // it is registered before the next
            }
            return;
        }
        if code == ReturnCode::Congestion {
            return; // T_retry
        }
        let fits = |f: &Flight| matches!(f.stage, Stage::Sent(_)) && f.item.message_id == Some(message_id);
        let accepted = code == ReturnCode::Accepted;
        let Some(flight) = self.landed(|f| fits(f) && (f.item.qos == 1 || !accepted)) else { return };
        let again = flight.tries < self.settings.retries;
        match (code, flight.stage) {
            (ReturnCode::Accepted, _) => {
                self.finish(&flight);
                self.acknowledge(&flight.item, out);
            }
            (ReturnCode::InvalidTopicId, Stage::Sent(TopicRef::Normal(id))) if again => {
                self.topics.set_told(id, false);
                let message_id = self.next_message_id();
                let stage = Stage::Register { topic_id: id, message_id };
                self.fly(now, Flight { stage, tries: flight.tries + 1, ..flight }, out);
            }
            _ => {
                self.finish(&flight);
                self.drop_item(&flight.item, Loss::Unwanted, out);
            }
        }
        self.pump(now, out);
    }

    /// PUBREC of the client.
    pub(super) fn pubrec(&mut self, now: u64, id: u16, out: &mut Actions) {
        let up = self.link == Link::Up;
        match &mut self.downlink.flight {
            Some(flight) if flight.item.message_id == Some(id) && flight.item.qos == 2 => match flight.stage {
                Stage::Sent(_) => match flight.item.packet_id {
                    Some(packet_id) => {
                        flight.stage = Stage::Received;
                        if up {
                            out.push(Action::Broker(ToBroker::PubRec(packet_id)));
                        }
                    }
                    None => self.release(now, out),
                },
                Stage::Released => out.push(Action::Send(Packet::PubRel(id))),
                Stage::Register { .. } | Stage::Received => {}
            },
            _ => out.push(Action::Send(Packet::PubRel(id))), // of a session that is over: let it finish
        }
    }

    /// PUBREL of the broker.
    pub(super) fn released(&mut self, now: u64, id: u16, out: &mut Actions) {
        match self.downlink.flight.as_ref().filter(|f| f.item.packet_id == Some(id)).map(|f| f.stage) {
            Some(Stage::Received) => self.release(now, out),
            Some(_) => {}
            None => out.push(Action::Broker(ToBroker::PubComp(id))),
        }
    }

    fn release(&mut self, now: u64, out: &mut Actions) {
        let Some(flight) = self.downlink.flight.take() else { return };
        let flight = Flight { stage: Stage::Released, tries: 0, ..flight };
        if self.phase.takes_messages() {
            self.send_flight(&flight, false, out);
        }
        self.keep_flight(now, flight);
    }

    /// PUBCOMP of the client.
    pub(super) fn pubcomp(&mut self, now: u64, id: u16, out: &mut Actions) {
        let Some(flight) = self.landed(|f| f.stage == Stage::Released && f.item.message_id == Some(id)) else { return };
        self.finish(&flight);
        if let (Some(packet_id), Link::Up) = (flight.item.packet_id, self.link) {
            out.push(Action::Broker(ToBroker::PubComp(packet_id)));
        }
        self.pump(now, out);
    }

    /// When something is to be sent again.
    pub(super) fn retry_at_ms(&self) -> Option<u64> {
        let flight = self.downlink.flight.as_ref().filter(|f| self.phase.takes_messages() && f.stage != Stage::Received)?;
        Some(flight.retry_at_ms)
    }

    pub(super) fn retry(&mut self, now: u64, out: &mut Actions) {
        if self.retry_at_ms().is_none_or(|at| at > now) {
            return;
        }
        let Some(mut flight) = self.downlink.flight.take() else { return };
        if flight.tries >= self.settings.retries {
            flight.tries = 0;
            self.downlink.flight = Some(flight);
            // one that wakes up now and then has gone to sleep again; any other is lost
            match self.phase {
                Phase::Awake => self.sleep_again(out),
                _ => self.end(End::Lost, Close::Abort, out),
            }
            return;
        }
        flight.tries += 1;
        out.push(Action::Note(Note::Retry));
        self.send_flight(&flight, true, out);
        self.keep_flight(now, flight);
    }

    /// The client listens again, perhaps after it has forgotten everything: what was on its way starts again.
    pub(super) fn begin_anew(&mut self, now: u64, out: &mut Actions) {
        self.downlink.acknowledged_awake = false;
        if let Some(flight) = self.downlink.flight.take() {
            match flight.stage {
                Stage::Register { .. } | Stage::Sent(_) => self.downlink.queue.push_front(flight.item),
                Stage::Received => self.downlink.flight = Some(flight),
                Stage::Released => self.fly(now, Flight { tries: 0, ..flight }, out),
            }
        }
        self.pump(now, out);
    }

    /// The broker has forgotten the session: what is here is delivered, and acknowledged to nobody.
    pub(super) fn orphan_messages(&mut self) {
        self.downlink.settled.clear();
        self.downlink.missed = false;
        for item in &mut self.downlink.queue {
            item.packet_id = None;
        }
        if let Some(flight) = &mut self.downlink.flight {
            flight.item.packet_id = None;
            if flight.stage == Stage::Received {
                flight.stage = Stage::Released; // its PUBREL will not come
                flight.retry_at_ms = 0;
                flight.tries = 0;
            }
        }
    }

    /// A new session: nothing of the one before is delivered or acknowledged.
    pub(super) fn forget_messages(&mut self) {
        let Downlink { queue, flight, .. } = std::mem::take(&mut self.downlink);
        for item in queue.iter().chain(flight.as_ref().map(|f| &f.item)) {
            self.share.give(item.bytes());
        }
        self.forget_requests();
    }
}
