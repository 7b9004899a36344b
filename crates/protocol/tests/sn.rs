//! MQTT-SN messages against vectors made by hand from the specification, and against themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation, missing_docs)]

use proptest::collection::vec;
use proptest::prelude::*;
use protocol::DecodeError;
use protocol::sn::{
    Connect, EncodeError, Flags, Frame, NODE_ID_BYTES_MAX, PACKET_BYTES_MAX, PROTOCOL_ID, Packet, Publish, Qos, ReturnCode, Route,
    Subscribe, TopicFilter, TopicIdType, TopicRef, WillTopic,
};

fn publish(topic: TopicRef, qos: Qos, message_id: u16, data: &[u8]) -> Publish {
    Publish { dup: false, qos, retain: false, topic, message_id, data: data.to_vec() }
}

fn subscribe(topic: TopicFilter, qos: Qos) -> Packet {
    Packet::Subscribe(Subscribe { dup: false, qos, message_id: 0x0102, topic })
}

/// Each message with its octets, in hexadecimal.
fn vectors() -> Vec<(Packet, &'static str)> {
    let connect = |will, clean_session| Connect { will, clean_session, protocol_id: PROTOCOL_ID, keep_alive_s: 60, client_id: "m1".into() };
    let will = |qos, retain| Some(WillTopic { qos, retain, topic: "w/t".into() });
    let full = Publish { dup: true, retain: true, ..publish(TopicRef::Normal(0x1234), Qos::ExactlyOnce, 0xABCD, b"hi") };
    vec![
        (Packet::Advertise { gateway_id: 7, duration_s: 900 }, "0500 07 0384"),
        (Packet::SearchGateway { radius: 2 }, "0301 02"),
        (Packet::GatewayInfo { gateway_id: 7, address: vec![] }, "0302 07"),
        (Packet::GatewayInfo { gateway_id: 7, address: vec![10, 0, 0, 1] }, "0702 07 0a000001"),
        (Packet::Connect(connect(false, true)), "0804 04 01 003c 6d31"),
        (Packet::Connect(connect(true, false)), "0804 08 01 003c 6d31"),
        (Packet::ConnAck(ReturnCode::Accepted), "0305 00"),
        (Packet::ConnAck(ReturnCode::Congestion), "0305 01"),
        (Packet::ConnAck(ReturnCode::InvalidTopicId), "0305 02"),
        (Packet::ConnAck(ReturnCode::NotSupported), "0305 03"),
        (Packet::WillTopicRequest, "0206"),
        (Packet::WillTopic(None), "0207"),
        (Packet::WillTopic(will(Qos::AtLeastOnce, true)), "0607 30 772f74"),
        (Packet::WillMessageRequest, "0208"),
        (Packet::WillMessage(b"gone".to_vec()), "0609 676f6e65"),
        (Packet::Register { topic_id: 0, message_id: 1, topic: "a/b".into() }, "090a 0000 0001 612f62"),
        (Packet::RegAck { topic_id: 5, message_id: 1, code: ReturnCode::Accepted }, "070b 0005 0001 00"),
        (Packet::Publish(full), "090c d0 1234 abcd 6869"),
        (Packet::Publish(publish(TopicRef::Predefined(3), Qos::AtLeastOnce, 9, b"")), "070c 21 0003 0009"),
        (Packet::Publish(publish(TopicRef::Short(*b"ab"), Qos::MinusOne, 0, b"1")), "080c 62 6162 0000 31"),
        (Packet::PubAck { topic_id: 5, message_id: 9, code: ReturnCode::InvalidTopicId }, "070d 0005 0009 02"),
        (Packet::PubComp(0x0A0B), "040e 0a0b"),
        (Packet::PubRec(0x0A0B), "040f 0a0b"),
        (Packet::PubRel(0x0A0B), "0410 0a0b"),
        (subscribe(TopicFilter::Name("a/#".into()), Qos::ExactlyOnce), "0812 40 0102 612f23"),
        (subscribe(TopicFilter::Predefined(3), Qos::AtMostOnce), "0712 01 0102 0003"),
        (subscribe(TopicFilter::Short(*b"ab"), Qos::AtLeastOnce), "0712 22 0102 6162"),
        (Packet::SubAck { qos: Qos::AtLeastOnce, topic_id: 5, message_id: 9, code: ReturnCode::Accepted }, "0813 20 0005 0009 00"),
        (Packet::Unsubscribe { message_id: 9, topic: TopicFilter::Name("a/+".into()) }, "0814 00 0009 612f2b"),
        (Packet::Unsubscribe { message_id: 9, topic: TopicFilter::Predefined(3) }, "0714 01 0009 0003"),
        (Packet::UnsubAck(9), "0415 0009"),
        (Packet::PingRequest { client_id: String::new() }, "0216"),
        (Packet::PingRequest { client_id: "m1".into() }, "0416 6d31"),
        (Packet::PingResponse, "0217"),
        (Packet::Disconnect { duration_s: None }, "0218"),
        (Packet::Disconnect { duration_s: Some(3600) }, "0418 0e10"),
        (Packet::WillTopicUpdate(will(Qos::AtMostOnce, false)), "061a 00 772f74"),
        (Packet::WillTopicUpdate(None), "021a"),
        (Packet::WillTopicResponse(ReturnCode::Accepted), "031b 00"),
        (Packet::WillMessageUpdate(b"bye".to_vec()), "051c 627965"),
        (Packet::WillMessageResponse(ReturnCode::NotSupported), "031d 03"),
    ]
}

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|b| *b != b' ').collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// SN-1, SN-2.
#[test]
fn every_message_is_written_and_read_as_the_specification_says() {
    let mut kinds = std::collections::BTreeSet::new();
    for (packet, hex) in vectors() {
        let bytes = octets(hex);
        assert_eq!(packet.encode().unwrap(), bytes, "{packet:?}");
        assert_eq!(Packet::decode(&bytes).as_ref(), Ok(&packet), "{hex}");
        assert_eq!(Frame::decode(&bytes), Ok(Frame { route: None, packet: packet.clone() }), "{hex}");
        kinds.insert(packet.kind());
    }
    let all: std::collections::BTreeSet<u8> = (0x00..=0x1D).filter(|kind| ![0x03, 0x11, 0x19].contains(kind)).collect();
    assert_eq!(kinds, all, "a message without a vector");
}

/// SN-1.
#[test]
fn a_length_takes_three_octets_where_it_must_and_may_where_it_need_not() {
    for (data, head) in [(248, 1), (249, 3), (300, 3), (PACKET_BYTES_MAX - 9, 3)] {
        let packet = Packet::Publish(publish(TopicRef::Normal(1), Qos::AtLeastOnce, 2, &vec![7; data]));
        let bytes = packet.encode().unwrap();
        assert_eq!(bytes.len(), head + 6 + data);
        assert_eq!(bytes[0] == 0x01, head == 3, "{data} bytes of data");
        assert_eq!(Packet::decode(&bytes), Ok(packet));
    }
    let long = Packet::WillMessage(vec![0; PACKET_BYTES_MAX - 3]);
    assert_eq!(long.encode(), Err(EncodeError::TooLong(PACKET_BYTES_MAX + 1)));

    for (packet, hex) in vectors() {
        let short = octets(hex);
        let mut wide = vec![0x01];
        wide.extend_from_slice(&(short.len() as u16 + 2).to_be_bytes());
        wide.extend_from_slice(&short[1..]);
        assert_eq!(Packet::decode(&wide), Ok(packet), "{hex} in the wide form");
    }
}

/// SN-2.
#[test]
fn what_is_not_a_message_is_refused() {
    for (hex, why) in [
        ("", "nothing"),
        ("00", "no length"),
        ("0206", "fine"),
        ("0006", "a length of 0"),
        ("01", "half a length"),
        ("010003", "a length without a type"),
        ("0306", "longer than it is"),
        ("020600", "shorter than it is"),
        ("0203", "reserved 0x03"),
        ("0211", "reserved 0x11"),
        ("0219", "reserved 0x19"),
        ("021e", "reserved 0x1E"),
        ("02fd", "reserved 0xFD"),
        ("02ff", "reserved 0xFF"),
        ("030600", "a body where there is none"),
        ("040500 00", "two return codes"),
        ("030504", "a reserved return code"),
        ("0205", "no return code"),
        ("03 18 00", "half a duration"),
        ("05 18 00 00 00", "more than a duration"),
        ("06 04 04 01 00 3c ff", "a client id too long"),
        ("07 04 04 01 00 3c ff", "a client id that is not UTF-8"),
        ("07 0c 03 00 01 00 02", "a reserved type of topic id"),
        ("06 0c 00 00 01 00", "half a message id"),
        ("08 12 01 00 01 00 02 03", "three octets of a predefined id"),
        ("06 12 02 00 01 61", "one octet of a short name"),
        ("06 12 03 00 01 61", "a reserved type of topic id"),
        ("04 07 00 ff", "a will's topic that is not UTF-8"),
    ] {
        let bytes = octets(hex);
        if why == "fine" {
            assert!(Packet::decode(&bytes).is_ok());
            continue;
        }
        let error = Packet::decode(&bytes).expect_err(why);
        assert!(!error.to_string().is_empty());
        assert!(Frame::decode(&bytes).is_err(), "{why}");
    }
    assert_eq!(Packet::decode(&octets("030504")), Err(DecodeError::UnknownTag { what: "a return code", tag: 4 }));
    assert_eq!(Packet::decode(&octets("020600")), Err(DecodeError::TrailingBytes(1)));
}

/// SN-3.
#[test]
fn flags_that_mean_nothing_in_a_message_are_ignored() {
    // a PUBLISH with Will and CleanSession, a CONNECT with DUP, Retain and a topic type
    assert_eq!(Packet::decode(&octets("070c 0c 0001 0000")), Packet::decode(&octets("070c 00 0001 0000")));
    assert_eq!(Packet::decode(&octets("0704 97 01 0000 61")), Packet::decode(&octets("0704 04 01 0000 61")));
    let flags = Flags::NONE.with_dup(true).with_qos(Qos::MinusOne).with_topic_id_type(TopicIdType::Short);
    assert_eq!((flags.0, flags.dup(), flags.qos(), flags.topic_id_type()), (0xE2, true, Qos::MinusOne, Ok(TopicIdType::Short)));
    assert!(Flags(0x03).topic_id_type().is_err());
}

/// SN-4.
#[test]
fn a_forwarder_s_encapsulation_holds_one_message() {
    let frame = |node: &[u8]| Frame { route: Some(Route { radius: 1, node: node.to_vec() }), packet: Packet::PingResponse };
    assert_eq!(frame(b"N7").encode().unwrap(), octets("05fe01 4e37 0217"));
    assert_eq!(frame(b"").encode().unwrap(), octets("03fe01 0217"));
    for node in [&b""[..], b"N7", &[9; NODE_ID_BYTES_MAX]] {
        assert_eq!(Frame::decode(&frame(node).encode().unwrap()), Ok(frame(node)));
    }
    assert_eq!(frame(&[9; NODE_ID_BYTES_MAX + 1]).encode(), Err(EncodeError::NodeId(NODE_ID_BYTES_MAX + 1)));
    // reserved bits of the control octet are ignored
    assert_eq!(Frame::decode(&octets("05fefd 4e37 0217")), Ok(frame(b"N7")));
    for (hex, why) in [
        ("02fe", "no control octet"),
        ("02fe 0217", "a length that ends before the control octet"),
        ("05fe01 4e", "half a node id"),
        ("05fe01 4e37", "no message"),
        ("05fe01 4e37 0217 00", "more than a message"),
        ("05fe01 4e37 05fe01 4e37 0217", "an encapsulation within"),
    ] {
        assert!(Frame::decode(&octets(hex)).is_err(), "{why}");
    }
}

fn qos() -> impl Strategy<Value = Qos> {
    (0..4u8).prop_map(Qos::of_bits)
}

fn code() -> impl Strategy<Value = ReturnCode> {
    (0..4u8).prop_map(|octet| ReturnCode::of_octet(octet).unwrap())
}

fn will() -> impl Strategy<Value = Option<WillTopic>> {
    proptest::option::of((qos(), any::<bool>(), ".{0,40}").prop_map(|(qos, retain, topic)| WillTopic { qos, retain, topic }))
}

fn topic() -> impl Strategy<Value = TopicRef> {
    prop_oneof![
        any::<u16>().prop_map(TopicRef::Normal),
        any::<u16>().prop_map(TopicRef::Predefined),
        any::<[u8; 2]>().prop_map(TopicRef::Short)
    ]
}

fn filter() -> impl Strategy<Value = TopicFilter> {
    prop_oneof![
        ".{0,300}".prop_map(TopicFilter::Name),
        any::<u16>().prop_map(TopicFilter::Predefined),
        any::<[u8; 2]>().prop_map(TopicFilter::Short)
    ]
}

fn packet() -> impl Strategy<Value = Packet> {
    let ids = (any::<u16>(), any::<u16>());
    prop_oneof![
        (any::<u8>(), any::<u16>()).prop_map(|(gateway_id, duration_s)| Packet::Advertise { gateway_id, duration_s }),
        (any::<u8>(), vec(any::<u8>(), 0..20)).prop_map(|(gateway_id, address)| Packet::GatewayInfo { gateway_id, address }),
        (any::<(bool, bool, u8, u16)>(), ".{0,23}").prop_map(|((will, clean_session, protocol_id, keep_alive_s), client_id)| {
            Packet::Connect(Connect { will, clean_session, protocol_id, keep_alive_s, client_id })
        }),
        will().prop_map(Packet::WillTopic),
        will().prop_map(Packet::WillTopicUpdate),
        vec(any::<u8>(), 0..400).prop_map(Packet::WillMessage),
        (ids, ".{0,300}").prop_map(|((topic_id, message_id), topic)| Packet::Register { topic_id, message_id, topic }),
        (ids, code()).prop_map(|((topic_id, message_id), code)| Packet::PubAck { topic_id, message_id, code }),
        (any::<(bool, bool, u16)>(), qos(), topic(), vec(any::<u8>(), 0..400)).prop_map(|((dup, retain, message_id), qos, topic, data)| {
            Packet::Publish(Publish { dup, qos, retain, topic, message_id, data })
        }),
        (any::<bool>(), qos(), any::<u16>(), filter()).prop_map(|(dup, qos, message_id, topic)| Packet::Subscribe(Subscribe {
            dup,
            qos,
            message_id,
            topic
        })),
        (qos(), ids, code()).prop_map(|(qos, (topic_id, message_id), code)| Packet::SubAck { qos, topic_id, message_id, code }),
        (any::<u16>(), filter()).prop_map(|(message_id, topic)| Packet::Unsubscribe { message_id, topic }),
        ".{0,30}".prop_map(|client_id| Packet::PingRequest { client_id }),
        proptest::option::of(any::<u16>()).prop_map(|duration_s| Packet::Disconnect { duration_s }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(packet in packet(), route in proptest::option::of((0..4u8, vec(any::<u8>(), 0..252)))) {
        let frame = Frame { route: route.map(|(radius, node)| Route { radius, node }), packet };
        let bytes = frame.encode().unwrap();
        prop_assert_eq!(Frame::decode(&bytes), Ok(frame));
        let mut longer = bytes.clone();
        longer.push(0);
        prop_assert!(Frame::decode(&longer).is_err());
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in vec(any::<u8>(), 0..64)) {
        if let Ok(frame) = Frame::decode(&bytes) {
            let written = frame.encode().unwrap();
            prop_assert!(written.len() <= bytes.len());
            prop_assert_eq!(Frame::decode(&written), Ok(frame));
        }
    }
}
