//! Connecting, the will, the link, sleep, and the end (SN-11 to SN-19, SN-50 to SN-56).

use super::super::topics::{TopicTable, is_topic};
use super::{
    Action, Actions, Close, End, LINGER_MS, LINK_PAUSE_MS_MAX, LINK_PAUSE_MS_MIN, Link, Open, Owed, Phase, Session, Will, level, refuse,
};
use protocol::sn::{Connect, Packet, Qos, ReturnCode, WillTopic};

/// A keep-alive of 0 counts as the longest that can be said.
const KEEP_ALIVE_S_MAX: u16 = u16::MAX;

/// What a client may be silent for: one and a half times what it said.
fn tolerated_ms(seconds: u16) -> u64 {
    let seconds = if seconds == 0 { KEEP_ALIVE_S_MAX } else { seconds };
    u64::from(seconds) * 1_500
}

impl Session {
    /// How long a handshake may take: as long as the client may repeat itself.
    fn handshake_ms(&self) -> u64 {
        self.settings.retry_ms.saturating_mul(u64::from(self.settings.retries).saturating_add(1))
    }

    /// When the client is lost if nothing more is heard of it.
    pub(super) fn silence_until_ms(&self) -> Option<u64> {
        match self.phase {
            Phase::Active => Some(self.heard_at_ms.saturating_add(self.keep_alive_ms)),
            Phase::Asleep | Phase::Awake => Some(self.heard_at_ms.saturating_add(self.sleep_ms)),
            _ => None,
        }
    }

    pub(super) fn connect(&mut self, now: u64, connect: Connect, out: &mut Actions) {
        let repeated = self.last_connect.as_ref() == Some(&connect);
        if repeated && self.phase.is_connected() && !self.heard_since {
            out.push(Action::Send(Packet::ConnAck(ReturnCode::Accepted))); // the CONNACK was lost
            return;
        }
        if repeated && self.phase == Phase::Opening {
            return; // the answer is on its way
        }
        self.keep_alive_ms = tolerated_ms(connect.keep_alive_s);
        self.clean = connect.clean_session;
        self.linger_until_ms = None;
        self.handshake_until_ms = Some(now.saturating_add(self.handshake_ms()));
        let wants_will = connect.will;
        self.last_connect = Some(connect);
        if self.clean {
            self.will = None;
        }
        if wants_will {
            self.phase = Phase::WillTopic;
            self.will_topic = None;
            out.push(Action::Send(Packet::WillTopicRequest));
        } else {
            self.enter(now, out);
        }
    }

    pub(super) fn will_topic(&mut self, now: u64, topic: Option<WillTopic>, out: &mut Actions) {
        match topic.filter(|will| !will.topic.is_empty()) {
            None => {
                self.will = None;
                self.enter(now, out);
            }
            Some(will) if is_will(&will) => {
                self.will_topic = Some(will);
                self.phase = Phase::WillMessage;
                out.push(Action::Send(Packet::WillMessageRequest));
            }
            Some(_) => {
                refuse(ReturnCode::NotSupported, Packet::ConnAck(ReturnCode::NotSupported), out);
                self.end(End::Refused, Close::Keep, out);
            }
        }
    }

    pub(super) fn will_message(&mut self, now: u64, message: Vec<u8>, out: &mut Actions) {
        let Some(WillTopic { qos, retain, topic }) = self.will_topic.take() else { return };
        self.will = Some(Will { topic, message, qos: level(qos), retain });
        self.enter(now, out);
    }

    /// The client has said everything: the broker is asked, unless the link can stay as it is.
    fn enter(&mut self, now: u64, out: &mut Actions) {
        self.fresh = self.clean;
        if self.fresh {
            self.topics = TopicTable::default();
            self.subscriptions.clear();
            self.by_predefined.clear();
            self.forget_messages();
        } else {
            self.topics.forget_told();
        }
        self.phase = Phase::Opening;
        self.owed = Some(Owed::ConnAck);
        let wanted = Open { clean_start: self.fresh, durable: !self.clean, will: self.will.clone() };
        let same = self.opened.durable == wanted.durable && self.opened.will == wanted.will;
        if self.link == Link::Up && !self.fresh && same {
            self.accept(now, out);
        } else {
            self.open_link(out);
        }
    }

    /// Opens the link, after closing the one there is.
    pub(super) fn open_link(&mut self, out: &mut Actions) {
        if matches!(self.link, Link::Up | Link::Opening) {
            out.push(Action::Close(Close::Keep));
        }
        self.opened = Open { clean_start: self.fresh, durable: !self.clean, will: self.will.clone() };
        self.link = Link::Opening;
        out.push(Action::Open(self.opened.clone()));
    }

    fn accept(&mut self, now: u64, out: &mut Actions) {
        self.owed = None;
        self.handshake_until_ms = None;
        self.phase = Phase::Active;
        self.heard_since = false;
        self.heard_at_ms = now;
        out.push(Action::Send(Packet::ConnAck(ReturnCode::Accepted)));
        self.begin_anew(now, out);
    }

    pub(super) fn link_opened(&mut self, now: u64, session_present: bool, out: &mut Actions) {
        self.link = Link::Up;
        self.link_pause_ms = LINK_PAUSE_MS_MIN;
        if !self.fresh && !session_present {
            self.orphan_messages();
            self.subscribe_again(out);
        }
        self.fresh = false;
        self.publish_again(out);
        match self.owed.take() {
            Some(Owed::ConnAck) => self.accept(now, out),
            Some(Owed::WillTopicResponse) => out.push(Action::Send(Packet::WillTopicResponse(ReturnCode::Accepted))),
            Some(Owed::WillMessageResponse) => out.push(Action::Send(Packet::WillMessageResponse(ReturnCode::Accepted))),
            None => {}
        }
        self.pump(now, out);
    }

    pub(super) fn link_refused(&mut self, now: u64, code: ReturnCode, out: &mut Actions) {
        self.link = Link::Down(None);
        let answer = match self.owed.take() {
            Some(Owed::WillTopicResponse) => Packet::WillTopicResponse(code),
            Some(Owed::WillMessageResponse) => Packet::WillMessageResponse(code),
            Some(Owed::ConnAck) => {
                refuse(code, Packet::ConnAck(code), out);
                return self.end(End::Refused, Close::Abort, out);
            }
            None if code == ReturnCode::Congestion => return self.link_lost(now, out),
            None => {
                // the broker has thrown it out
                refuse(code, Packet::Disconnect { duration_s: None }, out);
                return self.end(End::Refused, Close::Abort, out);
            }
        };
        refuse(code, answer, out);
        self.will = self.will_before.take();
        self.open_link(out);
    }

    pub(super) fn link_lost(&mut self, now: u64, out: &mut Actions) {
        if self.owed == Some(Owed::ConnAck) {
            self.link = Link::Down(None);
            refuse(ReturnCode::Congestion, Packet::ConnAck(ReturnCode::Congestion), out);
            return self.end(End::Refused, Close::Abort, out);
        }
        self.link = Link::Down(Some(now.saturating_add(self.link_pause_ms)));
        self.link_pause_ms = self.link_pause_ms.saturating_mul(2).min(LINK_PAUSE_MS_MAX);
        self.link_is_down(out);
    }

    pub(super) fn update_will_topic(&mut self, topic: Option<WillTopic>, out: &mut Actions) {
        let will = match topic.filter(|will| !will.topic.is_empty()) {
            None => None,
            Some(will) if is_will(&will) => {
                let message = self.will.as_ref().map(|w| w.message.clone()).unwrap_or_default();
                Some(Will { topic: will.topic, message, qos: level(will.qos), retain: will.retain })
            }
            Some(_) => return refuse(ReturnCode::NotSupported, Packet::WillTopicResponse(ReturnCode::NotSupported), out),
        };
        self.update_will(will, Owed::WillTopicResponse, out);
    }

    pub(super) fn update_will_message(&mut self, message: Vec<u8>, out: &mut Actions) {
        match self.will.clone() {
            Some(will) => self.update_will(Some(Will { message, ..will }), Owed::WillMessageResponse, out),
            None => refuse(ReturnCode::NotSupported, Packet::WillMessageResponse(ReturnCode::NotSupported), out),
        }
    }

    /// The broker learns of a will only when a link is opened (SN-17).
    fn update_will(&mut self, will: Option<Will>, owed: Owed, out: &mut Actions) {
        let answer = |code| match owed {
            Owed::WillTopicResponse => Packet::WillTopicResponse(code),
            Owed::WillMessageResponse | Owed::ConnAck => Packet::WillMessageResponse(code),
        };
        if self.owed.is_some() {
            // the one before is not through; the same again is its repetition
            if self.owed != Some(owed) || self.will != will {
                refuse(ReturnCode::Congestion, answer(ReturnCode::Congestion), out);
            }
            return;
        }
        match self.link {
            Link::Up if self.opened.will == will => out.push(Action::Send(answer(ReturnCode::Accepted))),
            Link::Up => {
                self.will_before = std::mem::replace(&mut self.will, will);
                self.owed = Some(owed);
                self.open_link(out);
                self.link_is_down(out);
            }
            Link::Down(_) | Link::Opening => refuse(ReturnCode::Congestion, answer(ReturnCode::Congestion), out),
        }
    }

    /// DISCONNECT: for a while, or for good.
    pub(super) fn disconnect(&mut self, duration_s: Option<u16>, out: &mut Actions) {
        out.push(Action::Send(Packet::Disconnect { duration_s: None }));
        match duration_s.filter(|seconds| *seconds > 0) {
            Some(seconds) if self.phase.is_connected() => {
                self.phase = Phase::Asleep;
                self.sleep_ms = tolerated_ms(seconds);
                self.linger_until_ms = None;
            }
            _ => {
                let close = if self.clean { Close::Forget } else { Close::Keep };
                self.end(End::Left, close, out);
            }
        }
    }

    pub(super) fn ping(&mut self, now: u64, client_id: &str, out: &mut Actions) {
        match self.phase {
            Phase::Asleep if !client_id.is_empty() => {
                self.phase = Phase::Awake;
                self.begin_anew(now, out);
            }
            // its PINGRESP comes when everything is delivered
            Phase::Awake => {}
            _ => out.push(Action::Send(Packet::PingResponse)),
        }
    }

    /// Nothing more is to be delivered for now.
    pub(super) fn drained(&mut self, now: u64, out: &mut Actions) {
        if self.phase != Phase::Awake {
            return;
        }
        if self.downlink.acknowledged_awake || self.link == Link::Opening {
            // an acknowledgement may bring the next from the broker
            self.downlink.acknowledged_awake = false;
            self.linger_until_ms = Some(now.saturating_add(LINGER_MS));
        } else if self.linger_until_ms.is_none() {
            self.sleep_again(out);
        }
    }

    pub(super) fn sleep_again(&mut self, out: &mut Actions) {
        self.linger_until_ms = None;
        self.phase = Phase::Asleep;
        out.push(Action::Send(Packet::PingResponse));
    }

    pub(super) fn tick(&mut self, now: u64, out: &mut Actions) {
        let due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        if due(self.handshake_until_ms) {
            return self.end(End::Abandoned, Close::Abort, out);
        }
        if due(self.silence_until_ms()) {
            return self.end(End::Lost, Close::Abort, out);
        }
        if let Link::Down(again) = self.link
            && due(again)
        {
            self.open_link(out);
        }
        if due(self.linger_until_ms) {
            self.linger_until_ms = None; // what is on its way sets it again
            if self.is_drained() {
                self.sleep_again(out);
            }
        }
        self.retry(now, out);
    }

    pub(super) fn end(&mut self, end: End, close: Close, out: &mut Actions) {
        self.phase = Phase::Ended;
        if matches!(self.link, Link::Up | Link::Opening) {
            out.push(Action::Close(close));
        }
        self.link = Link::Down(None);
        out.push(Action::End(end));
    }
}

/// Whether a will can be published.
fn is_will(will: &WillTopic) -> bool {
    is_topic(&will.topic) && will.qos != Qos::MinusOne
}
