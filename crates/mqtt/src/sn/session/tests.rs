//! The session on its own: scenarios step by step, then any order of events against what must always hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use protocol::sn::{Publish, Subscribe, TopicFilter, TopicRef};

const RETRY_MS: u64 = 10_000;
const KEEP_ALIVE_S: u16 = 60;

struct Desk {
    session: Session,
    budget: Arc<Budget>,
    now: u64,
}

fn settings() -> Settings {
    let predefined = [(7, "root/device/s1/d/sense/level".to_string())].into();
    Settings { retry_ms: RETRY_MS, retries: 2, predefined, messages_max: 4, packet_bytes_max: 1024 }
}

impl Desk {
    fn new(budget_bytes: usize, remembered: Option<Remembered>) -> Self {
        let budget = Budget::new(budget_bytes);
        Self { session: Session::new(Arc::new(settings()), budget.clone(), remembered), budget, now: 1_000 }
    }

    /// Connected, with a link, and nothing else.
    fn connected(clean: bool) -> Self {
        let mut desk = Self::new(1 << 20, None);
        desk.client(connect(clean, false));
        let out = desk.broker(FromBroker::Connected { session_present: false });
        assert_eq!(sent(&out), [Packet::ConnAck(ReturnCode::Accepted)]);
        desk
    }

    fn take(&mut self, event: Event) -> Actions {
        let mut out = Vec::new();
        self.session.handle(self.now, event, &mut out);
        out
    }

    fn client(&mut self, packet: Packet) -> Actions {
        self.take(Event::Client(packet))
    }

    fn broker(&mut self, from: FromBroker) -> Actions {
        self.take(Event::Broker(from))
    }

    fn after(&mut self, ms: u64) -> Actions {
        self.now += ms;
        self.take(Event::Tick)
    }

    /// Subscribes to everything and hears of a message.
    fn subscribe(&mut self, filter: &str) {
        self.client(subscribe(9, TopicFilter::Name(filter.into())));
        self.broker(FromBroker::SubAck(9, Ok(Qos::ExactlyOnce)));
    }
}

fn connect(clean_session: bool, will: bool) -> Packet {
    Packet::Connect(Connect { will, clean_session, protocol_id: 1, keep_alive_s: KEEP_ALIVE_S, client_id: "d".into() })
}

fn publish(qos: Qos, topic: TopicRef, message_id: u16, dup: bool) -> Packet {
    Packet::Publish(Publish { dup, qos, retain: false, topic, message_id, data: b"1".to_vec() })
}

fn subscribe(message_id: u16, topic: TopicFilter) -> Packet {
    Packet::Subscribe(Subscribe { dup: false, qos: Qos::ExactlyOnce, message_id, topic })
}

fn arrival(topic: &str, qos: u8, packet_id: u16) -> FromBroker {
    FromBroker::Publish(Arrival { topic: topic.into(), payload: b"v".to_vec(), qos, retain: false, packet_id })
}

fn will(topic: &str) -> Option<WillTopic> {
    Some(WillTopic { qos: Qos::AtLeastOnce, retain: false, topic: topic.into() })
}

fn sent(out: &[Action]) -> Vec<Packet> {
    out.iter().filter_map(|a| if let Action::Send(packet) = a { Some(packet.clone()) } else { None }).collect()
}

fn requests(out: &[Action]) -> Vec<ToBroker> {
    out.iter().filter_map(|a| if let Action::Broker(to) = a { Some(to.clone()) } else { None }).collect()
}

/// The PUBLISH that is all that was sent.
fn published(out: &[Action]) -> Publish {
    match sent(out).as_slice() {
        [Packet::Publish(publish)] => publish.clone(),
        other => panic!("not one PUBLISH: {other:?}"),
    }
}

/// The REGISTER that is all that was sent: topic id, message id, topic.
fn registered(out: &[Action]) -> (u16, u16, String) {
    match sent(out).as_slice() {
        [Packet::Register { topic_id, message_id, topic }] => (*topic_id, *message_id, topic.clone()),
        other => panic!("not one REGISTER: {other:?}"),
    }
}

fn opened(out: &[Action]) -> Option<&Open> {
    out.iter().find_map(|a| if let Action::Open(open) = a { Some(open) } else { None })
}

fn ended(out: &[Action]) -> Option<(Option<Close>, End)> {
    let close = out.iter().find_map(|a| if let Action::Close(close) = a { Some(*close) } else { None });
    out.iter().find_map(|a| if let Action::End(end) = a { Some((close, *end)) } else { None })
}

/// SN-11, SN-12.
#[test]
fn connack_waits_for_the_broker() {
    let mut desk = Desk::new(1000, None);
    let out = desk.client(connect(true, false));
    assert!(sent(&out).is_empty());
    assert_eq!(opened(&out), Some(&Open { clean_start: true, durable: false, will: None }));
    assert!(desk.client(connect(true, false)).is_empty(), "repeated: the answer is on its way");
    assert_eq!(sent(&desk.broker(FromBroker::Connected { session_present: false })), [Packet::ConnAck(ReturnCode::Accepted)]);
    let again = desk.client(connect(true, false));
    assert_eq!(again, [Action::Send(Packet::ConnAck(ReturnCode::Accepted))], "the CONNACK was lost");
    desk.client(Packet::PingRequest { client_id: String::new() });
    assert!(opened(&desk.client(connect(true, false))).is_some(), "a device that began anew");

    for (from, code) in
        [(FromBroker::Refused(ReturnCode::NotSupported), ReturnCode::NotSupported), (FromBroker::Lost, ReturnCode::Congestion)]
    {
        let mut desk = Desk::new(1000, None);
        desk.client(connect(true, false));
        let out = desk.broker(from);
        assert_eq!(sent(&out), [Packet::ConnAck(code)]);
        assert_eq!(ended(&out).map(|(_, end)| end), Some(End::Refused));
    }
    let mut desk = Desk::new(1000, None);
    desk.client(connect(true, false));
    assert_eq!(ended(&desk.after(3 * RETRY_MS)).map(|(_, end)| end), Some(End::Abandoned));
}

/// SN-15, SN-16.
#[test]
fn a_will_is_prompted_for_and_kept_with_the_session() {
    let mut desk = Desk::new(1000, None);
    assert_eq!(desk.client(connect(false, true)), [Action::Send(Packet::WillTopicRequest)]);
    assert_eq!(desk.client(connect(false, true)), [Action::Send(Packet::WillTopicRequest)], "repeated");
    for _ in 0..2 {
        assert_eq!(desk.client(Packet::WillTopic(will("w/t"))), [Action::Send(Packet::WillMessageRequest)]);
    }
    let out = desk.client(Packet::WillMessage(b"gone".to_vec()));
    let kept = Will { topic: "w/t".into(), message: b"gone".to_vec(), qos: 1, retain: false };
    assert_eq!(opened(&out), Some(&Open { clean_start: false, durable: true, will: Some(kept.clone()) }));
    desk.broker(FromBroker::Connected { session_present: false });
    let out = desk.client(Packet::Disconnect { duration_s: None });
    assert_eq!(ended(&out), Some((Some(Close::Keep), End::Left)));

    // CleanSession and Will both unset: the will of before
    let mut desk = Desk::new(1000, desk.session.remembered());
    assert_eq!(opened(&desk.client(connect(false, false))).unwrap().will, Some(kept));
    // an empty WILLTOPIC: none
    desk.client(connect(false, true));
    assert_eq!(opened(&desk.client(Packet::WillTopic(None))).unwrap().will, None);
    // CleanSession: none
    let mut desk = Desk::new(1000, desk.session.remembered());
    assert_eq!(opened(&desk.client(connect(true, false))), Some(&Open { clean_start: true, durable: false, will: None }));
    // one that cannot be published
    let mut desk = Desk::new(1000, None);
    desk.client(connect(true, true));
    let out = desk.client(Packet::WillTopic(will("w/#")));
    assert_eq!(sent(&out), [Packet::ConnAck(ReturnCode::NotSupported)]);
    assert!(desk.session.is_over() && desk.session.remembered().is_none());
}

/// SN-17.
#[test]
fn a_changed_will_takes_a_new_link_and_is_answered_after_it() {
    let mut desk = Desk::connected(true);
    let out = desk.client(Packet::WillMessageUpdate(b"x".to_vec()));
    assert_eq!(sent(&out), [Packet::WillMessageResponse(ReturnCode::NotSupported)], "no topic");
    let out = desk.client(Packet::WillTopicUpdate(will("w/t")));
    assert!(out.contains(&Action::Close(Close::Keep)) && sent(&out).is_empty());
    let open = opened(&out).unwrap();
    assert!(!open.clean_start && open.will.as_ref().unwrap().topic == "w/t");
    assert!(desk.client(Packet::WillTopicUpdate(will("w/t"))).is_empty(), "repeated");
    let out = desk.broker(FromBroker::Connected { session_present: true });
    assert_eq!(sent(&out), [Packet::WillTopicResponse(ReturnCode::Accepted)]);

    desk.client(Packet::WillMessageUpdate(b"gone".to_vec()));
    let out = desk.broker(FromBroker::Refused(ReturnCode::NotSupported));
    assert_eq!(sent(&out), [Packet::WillMessageResponse(ReturnCode::NotSupported)]);
    assert_eq!(opened(&out).unwrap().will.as_ref().unwrap().message, b"", "the will of before");
    desk.broker(FromBroker::Connected { session_present: true });
    desk.client(Packet::WillTopicUpdate(None));
    let out = desk.broker(FromBroker::Connected { session_present: true });
    assert_eq!(sent(&out), [Packet::WillTopicResponse(ReturnCode::Accepted)]);
}

/// SN-20, SN-21, SN-30.
#[test]
fn a_publish_is_accepted_when_the_broker_has_it() {
    let mut desk = Desk::connected(true);
    let out = desk.client(Packet::Register { topic_id: 0, message_id: 3, topic: "a/b".into() });
    assert_eq!(sent(&out), [Packet::RegAck { topic_id: 1, message_id: 3, code: ReturnCode::Accepted }]);
    let first = publish(Qos::AtLeastOnce, TopicRef::Normal(1), 5, false);
    let out = desk.client(first.clone());
    let request = |dup| ToBroker::Publish { packet_id: 5, topic: "a/b".into(), payload: b"1".to_vec(), qos: 1, retain: false, dup };
    assert_eq!((requests(&out), sent(&out)), (vec![request(false)], vec![]));
    assert!(desk.client(publish(Qos::AtLeastOnce, TopicRef::Normal(1), 5, true)).is_empty(), "it is under way");
    let accepted = Packet::PubAck { topic_id: 1, message_id: 5, code: ReturnCode::Accepted };
    assert_eq!(sent(&desk.broker(FromBroker::PubAck(5, ReturnCode::Accepted))), std::slice::from_ref(&accepted));
    let again = desk.client(publish(Qos::AtLeastOnce, TopicRef::Normal(1), 5, true));
    assert_eq!(again, [Action::Send(accepted)], "the PUBACK was lost");
    assert_eq!(requests(&desk.client(first)), [request(false)], "an id comes back without DUP: another message");
    let out = desk.broker(FromBroker::PubAck(5, ReturnCode::NotSupported));
    assert_eq!(sent(&out), [Packet::PubAck { topic_id: 1, message_id: 5, code: ReturnCode::NotSupported }]);
    assert_eq!(desk.budget.used(), 0);

    let refused = |topic, code| Packet::PubAck { topic_id: topic, message_id: 6, code };
    for (topic, code) in [
        (TopicRef::Normal(2), ReturnCode::InvalidTopicId),
        (TopicRef::Predefined(8), ReturnCode::InvalidTopicId),
        (TopicRef::Short(*b"a#"), ReturnCode::InvalidTopicId),
        (TopicRef::Short([0xff, 0xfe]), ReturnCode::InvalidTopicId),
    ] {
        let out = desk.client(publish(Qos::AtLeastOnce, topic, 6, false));
        assert_eq!(sent(&out), [refused(topic.number(), code)]);
    }
    let zero = desk.client(publish(Qos::AtLeastOnce, TopicRef::Predefined(7), 0, false));
    assert_eq!(sent(&zero), [Packet::PubAck { topic_id: 7, message_id: 0, code: ReturnCode::NotSupported }]);
    let out = desk.client(publish(Qos::AtMostOnce, TopicRef::Predefined(7), 0, false));
    assert!(matches!(&requests(&out)[..], [ToBroker::Publish { packet_id: 0, qos: 0, topic, .. }] if topic == &settings().predefined[&7]));
}

/// SN-31.
#[test]
fn quality_2_takes_both_steps() {
    let mut desk = Desk::connected(true);
    let message = |dup| publish(Qos::ExactlyOnce, TopicRef::Predefined(7), 5, dup);
    assert_eq!(requests(&desk.client(message(false))).len(), 1);
    assert_eq!(sent(&desk.broker(FromBroker::PubRec(5, ReturnCode::Accepted))), [Packet::PubRec(5)]);
    assert_eq!(desk.client(message(true)), [Action::Send(Packet::PubRec(5))], "the PUBREC was lost");
    assert_eq!(desk.client(Packet::PubRel(5)), [Action::Broker(ToBroker::PubRel(5))]);
    assert!(desk.client(Packet::PubRel(5)).is_empty());
    assert_eq!(sent(&desk.broker(FromBroker::PubComp(5))), [Packet::PubComp(5)]);
    assert_eq!(desk.client(Packet::PubRel(5)), [Action::Send(Packet::PubComp(5))], "the PUBCOMP was lost");
    desk.client(message(false));
    let out = desk.broker(FromBroker::PubRec(5, ReturnCode::Congestion));
    assert_eq!(sent(&out), [Packet::PubAck { topic_id: 7, message_id: 5, code: ReturnCode::Congestion }]);
    assert_eq!(desk.budget.used(), 0);
}

/// SN-14, SN-32.
#[test]
fn a_broken_link_is_opened_again_and_nothing_is_lost() {
    let mut desk = Desk::connected(true);
    desk.subscribe("t/#");
    desk.client(publish(Qos::AtLeastOnce, TopicRef::Predefined(7), 5, false));
    desk.client(subscribe(6, TopicFilter::Name("u".into())));
    let out = desk.broker(FromBroker::Lost);
    assert_eq!(
        sent(&out),
        [Packet::SubAck { qos: Qos::AtMostOnce, topic_id: 0, message_id: 6, code: ReturnCode::Congestion }],
        "what the link will not answer"
    );
    let out = desk.client(publish(Qos::AtLeastOnce, TopicRef::Predefined(7), 8, false));
    assert_eq!(sent(&out), [Packet::PubAck { topic_id: 7, message_id: 8, code: ReturnCode::Congestion }]);
    assert!(opened(&desk.after(LINK_PAUSE_MS_MIN - 1)).is_none());
    assert!(!opened(&desk.after(1)).unwrap().clean_start);
    assert!(opened(&desk.broker(FromBroker::Lost)).is_none());
    assert!(opened(&desk.after(LINK_PAUSE_MS_MIN)).is_none(), "the pause grows");
    assert!(opened(&desk.after(LINK_PAUSE_MS_MIN)).is_some());
    let out = desk.broker(FromBroker::Connected { session_present: false });
    let requests = requests(&out);
    assert!(matches!(&requests[0], ToBroker::Subscribe { filter, qos: 2, .. } if filter == "t/#"));
    assert!(matches!(&requests[1], ToBroker::Publish { packet_id: 5, dup: true, .. }));
    assert_eq!(requests.len(), 2);
    assert_eq!(sent(&desk.broker(FromBroker::PubAck(5, ReturnCode::Accepted))).len(), 1);
    // the broker throws it out
    desk.broker(FromBroker::Lost);
    desk.after(LINK_PAUSE_MS_MIN);
    let out = desk.broker(FromBroker::Refused(ReturnCode::NotSupported));
    assert_eq!(sent(&out), [Packet::Disconnect { duration_s: None }]);
    assert!(desk.session.is_over());
}

/// SN-23, SN-33, SN-34.
#[test]
fn subscriptions_tell_the_id_under_which_messages_come() {
    let mut desk = Desk::connected(true);
    for (topic, filter, topic_id) in [
        (TopicFilter::Name("a/b".into()), "a/b", 1),
        (TopicFilter::Name("a/+".into()), "a/+", 0),
        (TopicFilter::Predefined(7), "root/device/s1/d/sense/level", 7),
        (TopicFilter::Short(*b"ab"), "ab", 0),
    ] {
        let out = desk.client(subscribe(4, topic.clone()));
        assert!(matches!(&requests(&out)[..], [ToBroker::Subscribe { packet_id: 4, filter: asked, qos: 2 }] if asked == filter));
        assert!(desk.client(subscribe(4, topic)).is_empty(), "repeated");
        let out = desk.broker(FromBroker::SubAck(4, Ok(Qos::AtLeastOnce)));
        assert_eq!(sent(&out), [Packet::SubAck { qos: Qos::AtLeastOnce, topic_id, message_id: 4, code: ReturnCode::Accepted }]);
    }
    for (topic, code) in [
        (TopicFilter::Name("a/#/b".into()), ReturnCode::NotSupported),
        (TopicFilter::Name(String::new()), ReturnCode::NotSupported),
        (TopicFilter::Predefined(8), ReturnCode::InvalidTopicId),
    ] {
        let out = desk.client(subscribe(4, topic));
        assert_eq!(sent(&out), [Packet::SubAck { qos: Qos::AtMostOnce, topic_id: 0, message_id: 4, code }]);
    }
    desk.client(subscribe(4, TopicFilter::Name("x".into())));
    let out = desk.broker(FromBroker::SubAck(4, Err(ReturnCode::NotSupported)));
    assert_eq!(sent(&out), [Packet::SubAck { qos: Qos::AtMostOnce, topic_id: 0, message_id: 4, code: ReturnCode::NotSupported }]);
    // each comes as it was asked for
    for (topic, reference) in
        [("a/b", TopicRef::Normal(1)), ("root/device/s1/d/sense/level", TopicRef::Predefined(7)), ("ab", TopicRef::Short(*b"ab"))]
    {
        let out = desk.broker(arrival(topic, 0, 0));
        assert!(matches!(&sent(&out)[..], [Packet::Publish(p)] if p.topic == reference && p.message_id == 0), "{topic}");
    }
    let out = desk.client(Packet::Unsubscribe { message_id: 5, topic: TopicFilter::Name("a/b".into()) });
    assert_eq!(requests(&out), [ToBroker::Unsubscribe { packet_id: 5, filter: "a/b".into() }]);
    assert_eq!(sent(&desk.broker(FromBroker::UnsubAck(5))), [Packet::UnsubAck(5)]);
}

/// SN-24, SN-41, SN-42.
#[test]
fn an_unknown_topic_is_registered_first_and_one_message_is_on_its_way() {
    let mut desk = Desk::connected(true);
    desk.subscribe("t/#");
    let out = desk.broker(arrival("t/1", 1, 11));
    let (topic_id, message_id, topic) = registered(&out);
    assert_eq!(topic, "t/1");
    assert!(sent(&desk.broker(arrival("t/1", 1, 12))).is_empty(), "one at a time");
    let out = desk.client(Packet::RegAck { topic_id, message_id, code: ReturnCode::Accepted });
    let first = published(&out);
    assert_eq!((first.topic, first.qos, first.dup), (TopicRef::Normal(topic_id), Qos::AtLeastOnce, false));
    let ack = |message_id, code| Packet::PubAck { topic_id, message_id, code };
    let out = desk.client(ack(first.message_id, ReturnCode::Accepted));
    assert_eq!(requests(&out), [ToBroker::PubAck(11)]);
    let second = published(&out);
    // the client has forgotten the id
    let out = desk.client(ack(second.message_id, ReturnCode::InvalidTopicId));
    let (_, message_id, _) = registered(&out);
    let out = desk.client(Packet::RegAck { topic_id, message_id, code: ReturnCode::Accepted });
    let again = published(&out);
    assert!(again.dup && again.message_id == second.message_id);
    // the broker sends it again meanwhile
    assert!(desk.broker(arrival("t/1", 1, 12)).is_empty());
    // the client does not want it: the broker is rid of it too
    assert_eq!(requests(&desk.client(ack(again.message_id, ReturnCode::NotSupported))), [ToBroker::PubAck(12)]);
    assert_eq!(desk.budget.used(), 0);
}

/// SN-40.
#[test]
fn quality_2_towards_the_client_takes_both_steps() {
    let mut desk = Desk::connected(true);
    desk.subscribe("t");
    let out = desk.broker(arrival("t", 2, 11));
    let message = published(&out);
    let id = message.message_id;
    assert_eq!(requests(&desk.client(Packet::PubRec(id))), [ToBroker::PubRec(11)]);
    assert_eq!(requests(&desk.broker(arrival("t", 2, 11))), [ToBroker::PubRec(11)], "the PUBREC was lost");
    assert_eq!(sent(&desk.broker(FromBroker::PubRel(11))), [Packet::PubRel(id)]);
    assert_eq!(sent(&desk.client(Packet::PubRec(id))), [Packet::PubRel(id)], "the PUBREL was lost");
    assert_eq!(requests(&desk.client(Packet::PubComp(id))), [ToBroker::PubComp(11)]);
    assert_eq!(requests(&desk.broker(FromBroker::PubRel(11))), [ToBroker::PubComp(11)], "the PUBCOMP was lost");
    assert_eq!(desk.budget.used(), 0);
}

/// SN-43, SN-50.
#[test]
fn what_is_not_answered_is_sent_again_with_dup_then_the_client_is_lost() {
    let mut desk = Desk::connected(false);
    desk.subscribe("t");
    let out = desk.broker(arrival("t", 1, 11));
    let message = published(&out);
    assert!(desk.after(RETRY_MS - 1).is_empty());
    let out = desk.after(1);
    assert_eq!(sent(&out), [Packet::Publish(Publish { dup: true, ..message.clone() })]);
    assert!(out.contains(&Action::Note(Note::Retry)));
    assert_eq!(sent(&desk.after(RETRY_MS)).len(), 1);
    assert_eq!(ended(&desk.after(RETRY_MS)), Some((Some(Close::Abort), End::Lost)), "the broker publishes the will");
    assert!(desk.session.remembered().is_some());

    let mut desk = Desk::connected(true);
    let silence = u64::from(KEEP_ALIVE_S) * 1_500;
    assert!(desk.after(silence - 1).is_empty());
    desk.client(Packet::PingRequest { client_id: String::new() });
    assert_eq!(desk.session.deadline_ms(), Some(desk.now + silence));
    assert!(desk.after(silence - 1).is_empty());
    assert_eq!(ended(&desk.after(1)), Some((Some(Close::Abort), End::Lost)));
}

/// SN-52, SN-53, SN-54.
#[test]
fn a_sleeping_client_gets_what_waits_when_it_wakes_up() {
    let mut desk = Desk::connected(true);
    desk.subscribe("t");
    assert_eq!(sent(&desk.client(Packet::Disconnect { duration_s: Some(100) })), [Packet::Disconnect { duration_s: None }]);
    assert!(desk.session.is_asleep());
    for n in 0..3 {
        assert!(sent(&desk.broker(arrival("t", 1, 11 + n))).is_empty());
    }
    assert!(desk.budget.used() > 0);
    assert_eq!(sent(&desk.client(Packet::PingRequest { client_id: String::new() })), [Packet::PingResponse], "only a sign of life");
    let mut out = desk.client(Packet::PingRequest { client_id: "d".into() });
    for n in 0..3 {
        let message = published(&out);
        out = desk.client(Packet::PubAck { topic_id: 1, message_id: message.message_id, code: ReturnCode::Accepted });
        assert!(requests(&out).contains(&ToBroker::PubAck(11 + n)));
    }
    assert!(sent(&out).is_empty(), "the broker may have more");
    assert_eq!(sent(&desk.broker(arrival("t", 0, 0))).len(), 1, "it had");
    assert_eq!(sent(&desk.after(LINGER_MS)), [Packet::PingResponse]);
    assert!(desk.session.is_asleep());
    assert_eq!(sent(&desk.client(Packet::PingRequest { client_id: "d".into() })), [Packet::PingResponse], "nothing waits");
    // it comes back for good, without a new link
    desk.broker(arrival("t", 1, 20));
    let out = desk.client(connect(true, false));
    assert!(opened(&out).is_some(), "CleanSession: everything anew");
    desk.broker(FromBroker::Connected { session_present: false });
    desk.client(Packet::Disconnect { duration_s: Some(100) });
    assert_eq!(ended(&desk.after(150_000)), Some((Some(Close::Abort), End::Lost)));

    let mut desk = Desk::connected(false);
    desk.subscribe("t");
    desk.client(Packet::Disconnect { duration_s: Some(100) });
    desk.broker(arrival("t", 1, 11));
    let out = desk.client(connect(false, false));
    assert!(opened(&out).is_none());
    assert!(matches!(&sent(&out)[..], [Packet::ConnAck(ReturnCode::Accepted), Packet::Register { .. }]), "{out:?}");
    // awake and silent: it sleeps on, and the message waits
    desk.client(Packet::Disconnect { duration_s: Some(1000) });
    desk.client(Packet::PingRequest { client_id: "d".into() });
    desk.after(RETRY_MS);
    desk.after(RETRY_MS);
    assert!(ended(&desk.after(RETRY_MS)).is_none() && desk.session.is_asleep());
    assert!(matches!(&sent(&desk.client(Packet::PingRequest { client_id: "d".into() }))[..], [Packet::Register { .. }]));
}

/// SN-60, SN-61.
#[test]
fn what_does_not_fit_is_dropped_at_quality_0_and_stays_with_the_broker_otherwise() {
    let mut desk = Desk::connected(true);
    desk.subscribe("t");
    desk.client(Packet::Disconnect { duration_s: Some(100) });
    let full = Action::Note(Note::Dropped(Loss::Full));
    for n in 0..6 {
        assert_eq!(desk.broker(arrival("t", 0, 0)).contains(&full), n >= 4);
    }
    assert!(desk.broker(arrival("t", 1, 11)).contains(&full), "one of quality 0 makes room");
    let large = Arrival { topic: "t".into(), payload: vec![0; 1024], qos: 1, retain: false, packet_id: 12 };
    let out = desk.broker(FromBroker::Publish(large));
    assert_eq!(out, [Action::Note(Note::Dropped(Loss::TooLarge)), Action::Broker(ToBroker::PubAck(12))]);

    // no room in all: it is not acknowledged, and a new link brings it later
    let mut desk = Desk::new(70, None);
    desk.client(connect(true, false));
    desk.broker(FromBroker::Connected { session_present: false });
    desk.subscribe("t");
    desk.client(Packet::Disconnect { duration_s: Some(100) });
    assert!(desk.broker(arrival("t", 1, 11)).is_empty());
    assert!(desk.broker(arrival("t", 1, 12)).is_empty());
    let out = desk.client(Packet::PingRequest { client_id: "d".into() });
    let message = published(&out);
    let out = desk.client(Packet::PubAck { topic_id: 1, message_id: message.message_id, code: ReturnCode::Accepted });
    assert_eq!(requests(&out), [ToBroker::PubAck(11)]);
    assert!(opened(&out).is_some_and(|open| !open.clean_start), "{out:?}");
    desk.broker(FromBroker::Connected { session_present: true });
    assert_eq!(sent(&desk.broker(arrival("t", 1, 12))).len(), 1);
    drop(desk.session);
    assert_eq!(desk.budget.used(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Client(Packet),
    Broker(FromBroker),
    Wait(u64),
}

fn packet() -> impl Strategy<Value = Packet> {
    let id = || 0..4u16;
    let code = || (0..4u8).prop_map(|octet| ReturnCode::of_octet(octet).unwrap());
    let topic = || prop_oneof![(0..4u16).prop_map(TopicRef::Normal), Just(TopicRef::Predefined(7)), Just(TopicRef::Short(*b"ab"))];
    let filter = || {
        prop_oneof![
            prop_oneof![Just("t/#"), Just("t/1"), Just("#/t")].prop_map(|f: &str| TopicFilter::Name(f.into())),
            Just(TopicFilter::Predefined(7)),
            Just(TopicFilter::Short(*b"ab")),
        ]
    };
    prop_oneof![
        3 => (any::<bool>(), any::<bool>()).prop_map(|(clean, will)| connect(clean, will)),
        1 => prop_oneof![Just(None), Just(will("w/t")), Just(will("#"))].prop_map(Packet::WillTopic),
        1 => Just(Packet::WillMessage(b"m".to_vec())),
        1 => prop_oneof![Just(None), Just(will("w/u"))].prop_map(Packet::WillTopicUpdate),
        1 => Just(Packet::WillMessageUpdate(b"n".to_vec())),
        2 => id().prop_map(|message_id| Packet::Register { topic_id: 0, message_id, topic: "t/1".into() }),
        4 => ((0..4u8).prop_map(Qos::of_bits), topic(), id(), any::<bool>()).prop_map(|(q, t, id, dup)| publish(q, t, id, dup)),
        2 => id().prop_map(Packet::PubRel),
        2 => (id(), filter()).prop_map(|(id, f)| subscribe(id, f)),
        1 => (id(), filter()).prop_map(|(message_id, topic)| Packet::Unsubscribe { message_id, topic }),
        3 => (id(), id(), code()).prop_map(|(topic_id, message_id, code)| Packet::RegAck { topic_id, message_id, code }),
        4 => (id(), id(), code()).prop_map(|(topic_id, message_id, code)| Packet::PubAck { topic_id, message_id, code }),
        2 => id().prop_map(Packet::PubRec),
        2 => id().prop_map(Packet::PubComp),
        2 => prop_oneof![Just(""), Just("d")].prop_map(|id: &str| Packet::PingRequest { client_id: id.into() }),
        2 => prop_oneof![Just(None), Just(Some(10)), Just(Some(100))].prop_map(|duration_s| Packet::Disconnect { duration_s }),
    ]
}

fn from_broker() -> impl Strategy<Value = FromBroker> {
    let id = || 0..4u16;
    let code = || prop_oneof![3 => Just(ReturnCode::Accepted), 1 => Just(ReturnCode::Congestion)];
    prop_oneof![
        6 => any::<bool>().prop_map(|session_present| FromBroker::Connected { session_present }),
        1 => prop_oneof![Just(ReturnCode::Congestion), Just(ReturnCode::NotSupported)].prop_map(FromBroker::Refused),
        2 => Just(FromBroker::Lost),
        6 => (prop_oneof![Just("t/1"), Just("t/2"), Just("ab")], 0..3u8, 1..5u16).prop_map(|(t, q, id)| arrival(t, q, if q > 0 { id } else { 0 })),
        4 => (id(), code()).prop_map(|(id, code)| FromBroker::PubAck(id, code)),
        2 => (id(), code()).prop_map(|(id, code)| FromBroker::PubRec(id, code)),
        2 => id().prop_map(FromBroker::PubRel),
        2 => id().prop_map(FromBroker::PubComp),
        2 => (id(), code()).prop_map(|(id, code)| FromBroker::SubAck(id, if code == ReturnCode::Accepted { Ok(Qos::AtLeastOnce) } else { Err(code) })),
        1 => id().prop_map(FromBroker::UnsubAck),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => packet().prop_map(Step::Client),
        5 => from_broker().prop_map(Step::Broker),
        1 => prop_oneof![Just(1u64), Just(100), Just(RETRY_MS), Just(50_000)].prop_map(Step::Wait),
    ]
}

/// What must hold whatever happens.
#[derive(Default)]
struct Rules {
    /// Message ids that the broker said PUBACK, or PUBCOMP, to.
    taken: std::collections::BTreeSet<u16>,
    /// Whether there is a link, or one is being opened.
    open: bool,
    connected: bool,
}

impl Rules {
    fn check(&mut self, step: &Step, out: &[Action], asked: &mut std::collections::BTreeSet<u16>) {
        if let Step::Broker(FromBroker::PubAck(id, ReturnCode::Accepted)) = step {
            self.taken.insert(*id);
        }
        if let Step::Broker(FromBroker::Lost | FromBroker::Refused(_)) = step {
            self.open = false;
        }
        for (at, action) in out.iter().enumerate() {
            match action {
                Action::Send(Packet::PubAck { message_id, code: ReturnCode::Accepted, .. }) => {
                    assert!(self.taken.contains(message_id), "accepted, and the broker never took {message_id}");
                }
                Action::Send(Packet::ConnAck(ReturnCode::Accepted)) => self.connected = true,
                Action::Send(Packet::Publish(_)) => assert!(self.connected, "a message before CONNACK"),
                Action::Open(_) => {
                    assert!(!self.open, "two links");
                    self.open = true;
                }
                Action::Close(_) => {
                    assert!(self.open, "no link to close");
                    self.open = false;
                }
                Action::Broker(to) => {
                    assert!(self.open, "no link for {to:?}");
                    if let ToBroker::PubAck(id) = to {
                        assert!(asked.remove(id), "acknowledged {id}, which the broker did not send");
                    }
                }
                Action::End(_) => assert_eq!(at, out.len() - 1, "something after the end"),
                Action::Note(_) | Action::Send(_) => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_hold(steps in vec(step(), 1..80), clean in any::<bool>()) {
        let mut desk = Desk::new(400, None);
        let (mut rules, mut asked) = (Rules::default(), std::collections::BTreeSet::new());
        let first = Step::Client(connect(clean, false));
        for step in std::iter::once(first).chain(steps) {
            let out = match step.clone() {
                Step::Client(packet) => desk.client(packet),
                Step::Broker(from) => {
                    // the link hears of a broker only while there is one
                    let greets = matches!(from, FromBroker::Connected { .. } | FromBroker::Refused(_));
                    if !rules.open || desk.session.is_over() || (greets && desk.session.link != Link::Opening) {
                        continue;
                    }
                    if let FromBroker::Publish(Arrival { qos: 1, packet_id, .. }) = &from {
                        if desk.session.link != Link::Up {
                            continue;
                        }
                        asked.insert(*packet_id);
                    }
                    desk.broker(from)
                }
                Step::Wait(ms) => desk.after(ms),
            };
            rules.check(&step, &out, &mut asked);
            if desk.session.is_over() {
                break;
            }
            // it never asks to be woken for nothing, again and again
            if desk.session.deadline_ms().is_some_and(|due| due <= desk.now) {
                let out = desk.after(0);
                rules.check(&Step::Wait(0), &out, &mut asked);
                prop_assert!(desk.session.deadline_ms().is_none_or(|next| next > desk.now), "due at once after it was done");
            }
            prop_assert!(desk.budget.used() <= 400);
        }
        drop(desk.session);
        prop_assert_eq!(desk.budget.used(), 0);
    }
}
