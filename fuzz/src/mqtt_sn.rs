//! Datagrams of MQTT-SN.

use protocol::sn::{Frame, Packet};

/// The first byte chooses: an even one a whole datagram, perhaps encapsulated, an odd one a bare message. What is accepted
/// is written as what is read again, never longer; is refused with a byte more or less; and is the same with the long form of
/// its length. What is refused is refused with an error that can be shown.
///
/// Returns whether the input was accepted.
///
/// # Panics
/// If that does not hold.
pub fn mqtt_sn(data: &[u8]) -> bool {
    let Some((choice, input)) = data.split_first() else { return false };
    if choice & 1 == 0 { frame(input) } else { packet(input) }
}

fn frame(bytes: &[u8]) -> bool {
    let frame = match Frame::decode(bytes) {
        Ok(frame) => frame,
        Err(why) => {
            assert!(!why.to_string().is_empty());
            return false;
        }
    };
    let written = frame.encode().expect("what was read can be written");
    assert!(written.len() <= bytes.len(), "written longer than it was read");
    assert_eq!(Frame::decode(&written).as_ref(), Ok(&frame));
    assert!(Frame::decode(&[bytes, &[0]].concat()).is_err(), "a byte more");
    if let Some((_, shorter)) = bytes.split_last() {
        assert!(Frame::decode(shorter).is_err(), "a byte less");
    }
    if frame.route.is_none() {
        packet(bytes);
    }
    true
}

fn packet(bytes: &[u8]) -> bool {
    let packet = match Packet::decode(bytes) {
        Ok(packet) => packet,
        Err(why) => {
            assert!(!why.to_string().is_empty());
            return false;
        }
    };
    let written = packet.encode().expect("what was read can be written");
    assert!(written.len() <= bytes.len());
    assert_eq!(written.get(if written.first() == Some(&1) { 3 } else { 1 }), Some(&packet.kind()));
    if written.first() != Some(&1) {
        let length = u16::try_from(written.len() + 2).expect("a short message");
        let wide = [&[1u8][..], &length.to_be_bytes()[..], &written[1..]].concat();
        assert_eq!(Packet::decode(&wide).as_ref(), Ok(&packet), "the long form says something else");
    }
    true
}
