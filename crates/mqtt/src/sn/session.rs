//! One client's session, as a machine without sockets and clocks: events go in, actions come out.
//!
//! Rules (numbers of `docs/spec/mqtt-sn.md`):
//! - Each client has an MQTT connection of its own, the *link*. What the broker can do, the broker does: wills, retained
//!   messages, subscriptions, what waits for a persistent session (SN-10).
//! - A message id of the client is the packet id on the link. The client hears "accepted" only after the broker has said
//!   so (SN-30); the broker hears an acknowledgement only after the client gave one (SN-40).
//! - Towards the client one message of QoS 1 or 2 is on its way at a time (SN-41).
//! - A link that breaks is opened again, and nothing of the client's session is lost by that (SN-14).
//!
//! ```text
//!             ┌ connect.rs ─ handshake, will, link, sleep, the end ┐
//!  Event ──▶  ┤ uplink.rs  ─ what the client publishes and wants   ├ ──▶ Action
//!             └ downlink.rs ─ what the broker sends it             ┘
//!
//!  New ─CONNECT─▶ WillTopic ─▶ WillMessage ─▶ Opening ─CONNACK of the broker─▶ Active ⇄ Asleep ─PINGREQ(id)─▶ Awake
//!      └──────────── no will ──────────────────▲            └──── keep-alive × 1.5, DISCONNECT, N_retry ────▶ Ended
//! ```

mod connect;
mod downlink;
#[cfg(test)]
mod tests;
mod uplink;

use super::budget::{Budget, Share};
use super::topics::TopicTable;
use downlink::Downlink;
pub(super) use downlink::RECEIVE_MAX;
use protocol::sn::{Connect, Packet, Qos, ReturnCode, WillTopic};
use std::collections::BTreeMap;
use std::sync::Arc;
use uplink::Uplink;

/// How long PINGRESP waits for what the broker has yet to send to a client that is awake.
const LINGER_MS: u64 = 200;
/// The pause before a broken link is opened again; it doubles up to [`LINK_PAUSE_MS_MAX`].
const LINK_PAUSE_MS_MIN: u64 = 200;
/// The longest pause.
const LINK_PAUSE_MS_MAX: u64 = 30_000;

/// What all sessions of a gateway keep to.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// T_retry, in milliseconds.
    pub(super) retry_ms: u64,
    /// N_retry.
    pub(super) retries: u32,
    /// Topics by the ids that everybody knows beforehand.
    pub(super) predefined: BTreeMap<u16, String>,
    /// Messages that may wait for one client.
    pub(super) messages_max: usize,
    /// Bytes of one message towards a client.
    pub(super) packet_bytes_max: usize,
}

/// A will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Will {
    pub(super) topic: String,
    pub(super) message: Vec<u8>,
    pub(super) qos: u8,
    pub(super) retain: bool,
}

/// What happens to a session.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// The client says something.
    Client(Packet),
    /// The broker does.
    Broker(FromBroker),
    /// Time passes.
    Tick,
    /// The gateway stops.
    Stop,
}

/// What comes from the link.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FromBroker {
    /// It is open.
    Connected {
        session_present: bool,
    },
    /// The broker does not let us in.
    Refused(ReturnCode),
    /// It broke, or could not be opened.
    Lost,
    Publish(Arrival),
    PubAck(u16, ReturnCode),
    PubRec(u16, ReturnCode),
    PubRel(u16),
    PubComp(u16),
    SubAck(u16, Result<Qos, ReturnCode>),
    UnsubAck(u16),
}

/// A PUBLISH from the broker. `packet_id` is 0 at QoS 0.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Arrival {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) packet_id: u16,
}

/// What goes to the link.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ToBroker {
    Publish { packet_id: u16, topic: String, payload: Vec<u8>, qos: u8, retain: bool, dup: bool },
    PubAck(u16),
    PubRec(u16),
    PubRel(u16),
    PubComp(u16),
    Subscribe { packet_id: u16, filter: String, qos: u8 },
    Unsubscribe { packet_id: u16, filter: String },
}

/// How a link is to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    /// Forget what the broker knows of the client.
    pub(super) clean_start: bool,
    /// The broker keeps the session after the client has left.
    pub(super) durable: bool,
    /// What the broker publishes if the client is lost.
    pub(super) will: Option<Will>,
}

/// How a link is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// DISCONNECT; the session stays as long as was agreed.
    Keep,
    /// DISCONNECT; the session is over.
    Forget,
    /// No DISCONNECT: the broker publishes the will.
    Abort,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client left.
    Left,
    /// Nothing was heard of it for too long.
    Lost,
    /// The broker did not let it in, or the client did not keep to the protocol.
    Refused,
    /// It began to connect and did not go on.
    Abandoned,
    /// The gateway stops.
    Stopped,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// The client published.
    PublishIn,
    /// Something was published to the client.
    PublishOut,
    /// Something was sent again.
    Retry,
    /// A request of the client was refused.
    Refused(ReturnCode),
    /// A message for the client, or one of QoS 0 from it, was dropped.
    Dropped(Loss),
}

/// Why a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Too many wait already.
    Full,
    /// It does not fit a message towards the client.
    TooLarge,
    /// The client has no room for a further topic id.
    Topics,
    /// The client does not want it.
    Unwanted,
    /// There is no link to publish it on.
    NoLink,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// To the client.
    Send(Packet),
    /// Open a link; [`FromBroker::Connected`], `Refused` or `Lost` is the answer.
    Open(Open),
    /// To the broker.
    Broker(ToBroker),
    /// Close the link, or stop opening it. Nothing more is heard of it.
    Close(Close),
    /// Count it.
    Note(Note),
    /// The session is over.
    End(End),
}

/// Actions in the order in which they are to be done.
pub(super) type Actions = Vec<Action>;

/// What a gateway remembers of a client that left a persistent session.
#[derive(Clone, Debug, Default)]
pub(super) struct Remembered {
    topics: TopicTable,
    will: Option<Will>,
}

/// Where a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    WillTopic,
    WillMessage,
    Opening,
    Active,
    Asleep,
    Awake,
    Ended,
}

impl Phase {
    /// The client has had its CONNACK.
    const fn is_connected(self) -> bool {
        matches!(self, Self::Active | Self::Asleep | Self::Awake)
    }

    /// The client listens.
    const fn takes_messages(self) -> bool {
        matches!(self, Self::Active | Self::Awake)
    }
}

/// The state of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// There is none; it is opened at that time, if any.
    Down(Option<u64>),
    Opening,
    Up,
}

/// What the client waits for while the link opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    ConnAck,
    WillTopicResponse,
    WillMessageResponse,
}

/// A session.
pub(super) struct Session {
    settings: Arc<Settings>,
    share: Share,
    phase: Phase,
    link: Link,
    link_pause_ms: u64,
    /// How the present link was opened, or is being opened.
    opened: Open,
    /// The next link begins a new session at the broker.
    fresh: bool,
    /// The client said CleanSession.
    clean: bool,
    owed: Option<Owed>,
    will: Option<Will>,
    /// The will before an update that the broker has not taken yet.
    will_before: Option<Will>,
    /// The first half of a will.
    will_topic: Option<WillTopic>,
    last_connect: Option<Connect>,
    /// Something was heard since the last CONNACK.
    heard_since: bool,
    heard_at_ms: u64,
    keep_alive_ms: u64,
    sleep_ms: u64,
    handshake_until_ms: Option<u64>,
    linger_until_ms: Option<u64>,
    topics: TopicTable,
    /// Filters with their quality of service, for a broker that has forgotten them.
    subscriptions: BTreeMap<String, u8>,
    /// Topics that the client subscribed to by a predefined id.
    by_predefined: BTreeMap<String, u16>,
    uplink: Uplink,
    downlink: Downlink,
    last_message_id: u16,
}

impl Session {
    /// A session of a client of which nothing was heard yet but, perhaps, in an earlier one.
    pub(super) fn new(settings: Arc<Settings>, budget: Arc<Budget>, remembered: Option<Remembered>) -> Self {
        let Remembered { topics, will } = remembered.unwrap_or_default();
        Self {
            settings,
            share: Share::of(budget),
            phase: Phase::New,
            link: Link::Down(None),
            link_pause_ms: LINK_PAUSE_MS_MIN,
            opened: Open { clean_start: false, durable: false, will: None },
            fresh: true,
            clean: true,
            owed: None,
            will,
            will_before: None,
            will_topic: None,
            last_connect: None,
            heard_since: false,
            heard_at_ms: 0,
            keep_alive_ms: 0,
            sleep_ms: 0,
            handshake_until_ms: None,
            linger_until_ms: None,
            topics,
            subscriptions: BTreeMap::new(),
            by_predefined: BTreeMap::new(),
            uplink: Uplink::default(),
            downlink: Downlink::default(),
            last_message_id: 0,
        }
    }

    /// Takes an event in and puts out what is to be done. `now_ms` never goes back.
    pub(super) fn handle(&mut self, now_ms: u64, event: Event, out: &mut Actions) {
        if self.phase == Phase::Ended {
            return;
        }
        match event {
            Event::Client(packet) => self.client(now_ms, packet, out),
            Event::Broker(from) => self.broker(now_ms, from, out),
            Event::Tick => self.tick(now_ms, out),
            Event::Stop => {
                out.push(Action::Send(Packet::Disconnect { duration_s: None }));
                self.end(End::Stopped, Close::Keep, out);
            }
        }
    }

    /// When [`Event::Tick`] is due, if nothing else happens.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        if self.phase == Phase::Ended {
            return None;
        }
        let again = match self.link {
            Link::Down(again) => again,
            Link::Opening | Link::Up => None,
        };
        [self.handshake_until_ms, self.silence_until_ms(), self.linger_until_ms, again, self.retry_at_ms()].into_iter().flatten().min()
    }

    /// Whether the session is over.
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Whether the client has had its CONNACK.
    pub(super) fn is_connected(&self) -> bool {
        self.phase.is_connected()
    }

    /// Whether the client sleeps.
    pub(super) fn is_asleep(&self) -> bool {
        self.phase == Phase::Asleep
    }

    /// What to remember of a persistent session that is over.
    pub(super) fn remembered(self) -> Option<Remembered> {
        (!self.clean).then_some(Remembered { topics: self.topics, will: self.will })
    }

    fn client(&mut self, now: u64, packet: Packet, out: &mut Actions) {
        self.heard_at_ms = now;
        if let Packet::Connect(connect) = packet {
            return self.connect(now, connect, out);
        }
        self.heard_since = true;
        match (self.phase, packet) {
            (Phase::WillTopic, Packet::WillTopic(topic)) => self.will_topic(now, topic, out),
            // once more: WILLMSGREQ was lost
            (Phase::WillMessage, Packet::WillTopic(topic)) => self.will_topic(now, topic, out),
            (Phase::WillMessage, Packet::WillMessage(message)) => self.will_message(now, message, out),
            (_, Packet::Disconnect { duration_s }) => self.disconnect(duration_s, out),
            (phase, packet) if phase.is_connected() => self.request(now, packet, out),
            _ => {} // too early, or not for a gateway
        }
    }

    /// What a connected client says.
    fn request(&mut self, now: u64, packet: Packet, out: &mut Actions) {
        match packet {
            Packet::Register { message_id, topic, .. } => self.register(message_id, &topic, out),
            Packet::Publish(publish) => self.publish(publish, out),
            Packet::PubRel(id) => self.pubrel(id, out),
            Packet::Subscribe(subscribe) => self.subscribe(subscribe, out),
            Packet::Unsubscribe { message_id, topic } => self.unsubscribe(message_id, &topic, out),
            Packet::RegAck { topic_id, message_id, code } => self.regack(now, topic_id, message_id, code, out),
            Packet::PubAck { topic_id, message_id, code } => self.puback(now, topic_id, message_id, code, out),
            Packet::PubRec(id) => self.pubrec(now, id, out),
            Packet::PubComp(id) => self.pubcomp(now, id, out),
            Packet::PingRequest { client_id } => self.ping(now, &client_id, out),
            Packet::WillTopicUpdate(topic) => self.update_will_topic(topic, out),
            Packet::WillMessageUpdate(message) => self.update_will_message(message, out),
            _ => {} // not for a gateway
        }
    }

    fn broker(&mut self, now: u64, from: FromBroker, out: &mut Actions) {
        match (self.link, from) {
            (Link::Opening, FromBroker::Connected { session_present }) => self.link_opened(now, session_present, out),
            (Link::Opening, FromBroker::Refused(code)) => self.link_refused(now, code, out),
            (Link::Opening | Link::Up, FromBroker::Lost) => self.link_lost(now, out),
            (Link::Up, FromBroker::Publish(arrival)) => self.arrived(now, arrival, out),
            (Link::Up, FromBroker::PubAck(id, code)) => self.published(id, code, out),
            (Link::Up, FromBroker::PubRec(id, code)) => self.received(id, code, out),
            (Link::Up, FromBroker::PubComp(id)) => self.completed(id, out),
            (Link::Up, FromBroker::PubRel(id)) => self.released(now, id, out),
            (Link::Up, FromBroker::SubAck(id, outcome)) => self.subscribed(id, outcome, out),
            (Link::Up, FromBroker::UnsubAck(id)) => self.unsubscribed(id, out),
            _ => {} // of a link that is gone
        }
    }

    /// A message id for what the gateway sends.
    fn next_message_id(&mut self) -> u16 {
        self.last_message_id = self.last_message_id.checked_add(1).unwrap_or(1);
        self.last_message_id
    }
}

/// The number of a quality of service on the link; −1 goes as 0.
pub(super) const fn level(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce | Qos::MinusOne => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
}

/// The quality of service of a number; whatever is above 2 does not come from a broker.
pub(super) const fn quality(level: u8) -> Qos {
    match level {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    }
}

/// Refuses a request, and counts it.
fn refuse(code: ReturnCode, answer: Packet, out: &mut Actions) {
    out.push(Action::Note(Note::Refused(code)));
    out.push(Action::Send(answer));
}
